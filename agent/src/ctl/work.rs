//! `aidctl work`: a table of what the agent does and waits for.

use super::{open, value_of};
use aid_cli::cli::{Failure, print};
use aid_cli::printable::printable;
use serde_json::Value;
use std::path::Path;

/// The columns: member of a task, heading.
const COLUMNS: [(&str, &str); 6] = [
    ("what", "WHAT"),
    ("iccid", "PROFILE"),
    ("state", "STATE"),
    ("next_try", "NEXT TRY"),
    ("tries", "TRIES"),
    ("cause", "CAUSE"),
];

/// Prints it.
pub(super) fn show(api: &Path, json: bool) -> Result<(), Failure> {
    let answer = open(api, "GET", "/v1/work", "");
    let answer = answer.and_then(|(status, answer)| value_of(&status, answer));
    let value = answer.map_err(Failure::new)?;
    if json {
        return print(&format!("{}\n", printable(&value.to_string())));
    }
    print(&table(value.as_array().map_or(&[], Vec::as_slice)))
}

fn cell(task: &Value, member: &str) -> String {
    let text = match &task[member] {
        Value::String(text) => printable(text).into_owned(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    };
    match (member, task["detail"].as_str()) {
        ("what", Some(detail)) => format!("{text} ({})", printable(detail)),
        _ => text,
    }
}

fn table(tasks: &[Value]) -> String {
    if tasks.is_empty() {
        return "nothing to do\n".to_owned();
    }
    let heading: Vec<String> = COLUMNS.iter().map(|(_, name)| (*name).to_owned()).collect();
    let rows = tasks.iter().map(|task| {
        COLUMNS
            .iter()
            .map(|(member, _)| cell(task, member))
            .collect()
    });
    let rows: Vec<Vec<String>> = std::iter::once(heading).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..COLUMNS.len())
        .map(|c| width(c).unwrap_or_default())
        .collect();
    let mut out = String::new();
    for row in &rows {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tasks_are_rows_under_headings() {
        let tasks = [
            json!({"what": "order", "detail": "delete", "iccid": null, "state": "waiting", "next_try": null, "tries": 0, "cause": null}),
            json!({"what": "download", "detail": null, "iccid": "89", "state": "retry", "next_try": "2026-05-04T09:12:44Z", "tries": 3, "cause": "no\u{1b}[2J"}),
        ];
        let text = table(&tasks);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            "WHAT            PROFILE  STATE    NEXT TRY              TRIES  CAUSE"
        );
        assert_eq!(
            lines[1],
            "order (delete)  -        waiting  -                     0      -"
        );
        assert!(
            lines[2].starts_with(
                "download        89       retry    2026-05-04T09:12:44Z  3      no\\u001b"
            ),
            "{text}"
        );
        assert_eq!(table(&[]), "nothing to do\n");
    }
}
