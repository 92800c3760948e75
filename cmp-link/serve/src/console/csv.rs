//! Lists as comma-separated values (RFC 4180) for spreadsheets, which take a cell that begins with certain characters for
//! a formula: such a cell gets an apostrophe in front, so that nobody's name or reason runs anything.

use super::cell::columns;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;

/// Rows of one file at most.
pub const MOST: usize = 10_000;

/// A cell that no spreadsheet calculates.
fn harmless(text: String) -> String {
    match text.chars().next() {
        Some('=' | '+' | '-' | '@' | '\t' | '\r' | '\n') => format!("'{text}"),
        _ => text,
    }
}

fn text(value: &Value) -> String {
    harmless(match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    })
}

fn written(first: &[&str], rows: &[Value]) -> Result<Vec<u8>, csv::Error> {
    let columns = columns(first, rows);
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(&columns)?;
    for row in rows {
        writer.write_record(columns.iter().map(|name| text(&row[*name])))?;
    }
    writer.into_inner().map_err(|e| e.into_error().into())
}

/// The rows as a file of this name.
///
/// # Errors
/// A sentence: the rows could not be written.
pub fn answer(name: &str, first: &[&str], rows: &[Value]) -> Result<Response, String> {
    let bytes = written(first, rows).map_err(|e| format!("the file could not be written: {e}"))?;
    let headers = [
        (CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
        (
            CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}.csv\""),
        ),
        (X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((headers, bytes).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn no_cell_is_a_formula_or_another_line() {
        let rows = [
            json!({"a": "=HYPERLINK(\"x\")", "b": "+1", "c": "-1", "d": "@SUM(1)"}),
            json!({"a": "\tx", "b": "x,\"y\"\nz", "c": null, "d": -5}),
        ];
        let bytes = written(&["d"], &rows).unwrap();
        let mut reader = csv::Reader::from_reader(bytes.as_slice());
        let heading: Vec<String> = reader.headers().unwrap().iter().map(Into::into).collect();
        assert_eq!(heading, ["d", "a", "b", "c"]);
        let records: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        assert_eq!(records.len(), 2);
        for cell in records.iter().flat_map(|r| r.iter()) {
            assert!(
                !cell.starts_with(['=', '+', '-', '@', '\t', '\r']),
                "{cell:?}"
            );
        }
        assert_eq!(&records[1][2], "x,\"y\"\nz");
    }
}
