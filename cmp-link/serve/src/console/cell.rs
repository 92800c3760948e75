//! A row's members as cells of a page: links to what they name, times in the reader's zone, words for yes, no and nothing.

use crate::page::Words;
use jiff::Timestamp;
use maud::{Markup, html};
use serde_json::Value;

/// How cells of a console are shown.
#[derive(Debug, Clone, Copy)]
pub struct Cells<'a> {
    /// Texts, and the time that ages are told of.
    pub words: Words<'a>,
    /// Where a member of a row leads, by its name and text; none where it names nothing that has a page.
    pub target: fn(&str, &str) -> Option<String>,
}

/// What a member is called.
#[must_use]
pub fn label(name: &str) -> String {
    let text = name.replace('_', " ");
    match text.as_str() {
        "eid" | "vin" | "iccid" | "msp" | "id" => text.to_uppercase(),
        _ => {
            let mut letters = text.chars();
            let first = letters.next().map(|c| c.to_uppercase().to_string());
            first.unwrap_or_default() + letters.as_str()
        }
    }
}

/// The columns of a table: those that come first, and then what else any row has.
#[must_use]
pub fn columns<'a>(first: &[&'a str], rows: &'a [Value]) -> Vec<&'a str> {
    let mut columns: Vec<&str> = first.to_vec();
    for name in rows
        .iter()
        .filter_map(Value::as_object)
        .flat_map(|r| r.keys())
    {
        if !columns.contains(&name.as_str()) {
            columns.push(name);
        }
    }
    columns
}

impl Cells<'_> {
    /// A time, RFC 3339.
    #[must_use]
    pub fn time(&self, text: &str) -> Option<Markup> {
        let at = text.parse::<Timestamp>().ok()?.as_millisecond();
        let at = u64::try_from(at).ok()?;
        let words = self.words;
        Some(html! { (words.date(at)) " " span.quiet { "(" (words.ago(at)) ")" } })
    }

    /// The value of a member.
    #[must_use]
    pub fn cell(&self, name: &str, value: &Value) -> Markup {
        match value {
            Value::Null => html! { span.quiet { "none" } },
            Value::Bool(on) if name == "online" => html! {
                @if *on { span.chip.good.dot.on { "online" } } @else { span.chip.dot { "offline" } }
            },
            Value::Bool(true) => html! { "yes" },
            Value::Bool(false) => html! { "no" },
            Value::Number(number) => html! { (number) },
            Value::String(text) => match ((self.target)(name, text), self.time(text)) {
                (Some(target), _) => html! { a href=(target) { (text) } },
                (None, Some(time)) => time,
                (None, None) if name == "state" || name == "status" => {
                    html! { span.chip { (text) } }
                }
                (None, None) => html! { (text) },
            },
            Value::Array(list) if list.is_empty() => html! { span.quiet { "none" } },
            Value::Array(list) => html! {
                ul.plain { @for value in list { li { (self.cell(name, value)) } } }
            },
            Value::Object(members) => html! {
                @for (name, value) in members { div { (label(name)) ": " (self.cell(name, value)) } }
            },
        }
    }

    /// Rows as a table with these columns only.
    #[must_use]
    pub fn table(&self, caption: &str, columns: &[&str], rows: &[Value]) -> Markup {
        html! {
            @if rows.is_empty() { p.quiet { "None." } }
            @else {
                div.scroll tabindex="0" role="region" aria-label=(caption) {
                    table {
                        thead { tr { @for name in columns { th scope="col" { (label(name)) } } } }
                        tbody {
                            @for row in rows {
                                tr { @for name in columns { td { (self.cell(name, &row[*name])) } } }
                            }
                        }
                    }
                }
            }
        }
    }

    /// A row with a line for each of its members; lists of objects follow as tables.
    #[must_use]
    pub fn card(&self, row: &Value, first: &[&str]) -> Markup {
        let Some(members) = row.as_object() else {
            return html! {};
        };
        let is_table = |value: &Value| {
            let list = value.as_array();
            list.is_some_and(|list| list.first().is_some_and(Value::is_object))
        };
        let mut names: Vec<&str> = first
            .iter()
            .copied()
            .filter(|n| members.contains_key(*n))
            .collect();
        names.extend(
            members
                .keys()
                .map(String::as_str)
                .filter(|n| !first.contains(n)),
        );
        let (tables, plain): (Vec<&str>, Vec<&str>) =
            names.into_iter().partition(|name| is_table(&row[*name]));
        html! {
            section.card {
                dl { @for name in &plain { dt { (label(name)) } dd { (self.cell(name, &row[*name])) } } }
            }
            @for name in &tables {
                h2 { (label(name)) }
                @let rows = row[*name].as_array().map(Vec::as_slice).unwrap_or_default();
                (self.table(&label(name), &columns(&["at", "party", "event"], rows).into_iter()
                    .filter(|c| rows.iter().any(|r| r.get(*c).is_some())).collect::<Vec<_>>(), rows))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::{Language, Texts};
    use serde_json::json;

    #[test]
    fn what_others_wrote_is_text_wherever_it_stands() {
        let attack = "\"'><script>alert(1)</script>";
        let row = json!({
            "eid": attack, "reason": attack, "users": [attack], "card": {"iccid": attack},
            "history": [{"at": attack, "event": attack, "detail": attack}], "online": true,
        });
        let texts = Texts::new(["", ""]);
        let cells = Cells {
            words: texts.words(Language::English, 0),
            target: |name, text| (name == "eid").then(|| format!("/{text}")),
        };
        let card = cells.card(&row, &["eid"]).into_string();
        let html = card + &cells.cell(attack, &Value::Null).into_string();
        assert!(
            !html.contains("<script") && !html.contains("\"'>"),
            "{html}"
        );
        let table = cells
            .table(attack, &["eid", "reason"], &[row])
            .into_string();
        assert!(
            !table.contains("<script") && !table.contains("\"'>"),
            "{table}"
        );
    }
}
