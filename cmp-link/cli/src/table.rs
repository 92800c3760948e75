//! What a terminal shows of rows: tables with headings, local times with their age. Scripts get `key=value`, or JSON.

use crate::printable::printable;
use crate::time::{UNITS, is_time, local};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};

/// How long ago something was, or how long it takes until then.
fn age(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second().saturating_sub(at.as_second());
    let (amount, ago) = (seconds.unsigned_abs(), seconds >= 0);
    let unit = UNITS
        .iter()
        .find(|(length, _)| amount >= length.unsigned_abs());
    let Some((length, name)) = unit else {
        return "now".into();
    };
    let count = amount / length.unsigned_abs();
    let plural = if count == 1 { "" } else { "s" };
    match ago {
        true => format!("{count} {name}{plural} ago"),
        false => format!("in {count} {name}{plural}"),
    }
}

/// A value as people read it at `now`, in their time zone.
fn cell(name: &str, value: &Value, now: Timestamp, zone: &TimeZone) -> String {
    let text = match value {
        Value::Null => "none".into(),
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        Value::String(text) if is_time(name) => match text.parse::<Timestamp>() {
            Ok(at) => format!("{} ({})", local(at, zone), age(at, now)),
            Err(_) => text.clone(),
        },
        Value::String(text) => text.clone(),
        Value::Array(list) if list.is_empty() => "none".into(),
        Value::Array(list) => {
            let texts = list.iter().map(|v| cell("", v, now, zone));
            texts.collect::<Vec<_>>().join(", ")
        }
        Value::Object(members) => members
            .iter()
            .map(|(k, v)| format!("{k} {}", cell(k, v, now, zone)))
            .collect::<Vec<_>>()
            .join(", "),
        other => other.to_string(),
    };
    printable(&text).into_owned()
}

/// Who reads: a clock and a time zone.
#[derive(Debug)]
pub struct Reader {
    now: Timestamp,
    zone: TimeZone,
}

impl Reader {
    /// Somebody at this machine, now.
    #[must_use]
    pub fn here() -> Self {
        Self {
            now: Timestamp::now(),
            zone: TimeZone::system(),
        }
    }

    /// Rows under their headings; columns that no row has are left out, those that are not named come last, or not at all
    /// where `only` is set.
    #[must_use]
    pub fn table(&self, first: &[&str], only: bool, rows: &[Value], headings: bool) -> String {
        let rows: Vec<&Map<String, Value>> = rows.iter().filter_map(Value::as_object).collect();
        let has = |name: &str| {
            rows.iter()
                .any(|row| row.get(name).is_some_and(|v| !v.is_null()))
        };
        let mut columns: Vec<&str> = first.iter().copied().filter(|name| has(name)).collect();
        let others = rows.iter().filter(|_| !only);
        for name in others.flat_map(|row| row.keys()) {
            if !columns.contains(&name.as_str()) && has(name) {
                columns.push(name);
            }
        }
        let mut lines = Vec::new();
        if headings {
            let upper = |name: &&str| name.replace('_', " ").to_uppercase();
            lines.push(columns.iter().map(upper).collect::<Vec<_>>());
        }
        for row in rows {
            let of = |name: &&str| {
                let value = row.get(*name).unwrap_or(&Value::Null);
                cell(name, value, self.now, &self.zone)
            };
            lines.push(columns.iter().map(of).collect());
        }
        aligned(&lines)
    }

    /// One row with a line for each of its members; lists of objects follow as tables.
    #[must_use]
    pub fn card(&self, row: &Value) -> String {
        let Some(members) = row.as_object() else {
            return format!("{}\n", cell("", row, self.now, &self.zone));
        };
        let is_table = |v: &&Value| {
            v.as_array()
                .is_some_and(|list| list.first().is_some_and(Value::is_object))
        };
        let plain = members.iter().filter(|(_, v)| !is_table(v));
        let lines: Vec<Vec<String>> = plain
            .map(|(k, v)| vec![k.replace('_', " "), cell(k, v, self.now, &self.zone)])
            .collect();
        let mut text = aligned(&lines);
        for (name, rows) in members.iter().filter(|(_, v)| is_table(v)) {
            let rows = rows.as_array().map(Vec::as_slice).unwrap_or_default();
            text.push_str(&format!("\n{}:\n", name.replace('_', " ")));
            text.push_str(&self.table(&["at", "event"], false, rows, true));
        }
        text
    }
}

fn aligned(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let mut one = String::new();
        for (cell, width) in line.iter().zip(&widths) {
            one.push_str(&format!("{cell:<width$}  "));
        }
        text.push_str(one.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn reader() -> Reader {
        Reader {
            now: "2026-11-30T12:00:00Z".parse().unwrap(),
            zone: TimeZone::fixed(jiff::tz::offset(1)),
        }
    }

    #[test]
    fn rows_are_a_table_with_local_times_and_their_age() {
        let rows = [
            json!({"eid": "89", "online": true, "last_message": "2026-11-30T11:58:00Z", "vin": null}),
            json!({"eid": "8", "online": false, "last_message": null, "vin": null}),
        ];
        let text = reader().table(&["eid", "online", "vin"], false, &rows, true);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "EID  ONLINE  LAST MESSAGE");
        assert_eq!(lines[1], "89   yes     2026-11-30 12:58:00 (2 minutes ago)");
        assert_eq!(lines[2], "8    no      none");
        let narrow = reader().table(&["eid"], true, &rows, true);
        assert_eq!(narrow, "EID\n89\n8\n");
    }

    #[test]
    fn nothing_of_others_makes_a_line_or_moves_the_cursor() {
        let row = json!({"reason": "a\nforged  row\u{1b}[2J", "history": [{"at": "soon", "event": "x\n"}]});
        let text = reader().card(&row);
        assert_eq!(text.lines().count(), 5, "{text}");
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn ages_are_read_in_both_directions() {
        let now: Timestamp = "2026-11-30T12:00:00Z".parse().unwrap();
        for (at, text) in [
            ("2026-11-30T12:00:00Z", "now"),
            ("2026-11-30T11:59:59Z", "1 second ago"),
            ("2026-11-29T11:00:00Z", "1 day ago"),
            ("2026-12-02T13:00:00Z", "in 2 days"),
        ] {
            assert_eq!(age(at.parse().unwrap(), now), text);
        }
    }
}
