//! One line about a body for `--trace`: its members, secrets as lengths.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

use crate::error_code::clean;
use crate::strict_json;

/// Members that no log may hold: who has them can act, or knows something about a person.
const SECRET: [&str; 8] = [
    "activationCode",
    "msp_token",
    "mspToken",
    "hashCc",
    "phoneNumber",
    "iv",
    "matchingId",
    "confirmationCode",
];

/// Longest line, in characters.
const MAX_LINE: usize = 400;

/// The body in one line. What is no JSON is shown as its length.
#[must_use]
pub fn summary(body: &[u8]) -> String {
    if body.is_empty() {
        return "no body".into();
    }
    match strict_json::value(body) {
        Ok(value) => {
            let mut line = String::new();
            write_value(&mut line, "", &value);
            clean(&line, MAX_LINE)
        }
        Err(_) => format!("{} bytes", body.len()),
    }
}

fn write_value(line: &mut String, name: &str, value: &Value) {
    // Writing into a String does not fail.
    let _ = match value {
        Value::String(text) if SECRET.contains(&name) => {
            write!(line, "({} characters)", text.chars().count())
        }
        Value::String(text) => write!(line, "{text}"),
        Value::Array(items) => {
            line.push('[');
            for (i, item) in items.iter().enumerate() {
                line.push_str(if i == 0 { "" } else { ", " });
                write_value(line, name, item);
            }
            write!(line, "]")
        }
        Value::Object(members) => {
            line.push('{');
            // By name: whether a JSON library keeps the order of the wire is its own business.
            let members: BTreeMap<_, _> = members.iter().collect();
            for (i, (name, value)) in members.into_iter().enumerate() {
                let _ = write!(line, "{}{name}=", if i == 0 { "" } else { " " });
                write_value(line, name, value);
            }
            write!(line, "}}")
        }
        other => write!(line, "{other}"),
    };
}

#[cfg(test)]
mod tests {
    use super::summary;

    #[test]
    fn secrets_are_lengths_and_the_rest_is_one_line() {
        let body = br#"{"activationCode":"1$a$SECRET","iccid":"8944500805172032953","error":null,"a":[{"iv":"SECRET"},1]}"#;
        let line = summary(body);
        assert_eq!(
            line,
            "{a=[{iv=(6 characters)}, 1] activationCode=(10 characters) error=null iccid=8944500805172032953}"
        );
        assert_eq!(summary(b""), "no body");
        assert_eq!(summary(b"<html>"), "6 bytes");
        assert!(!summary(br#"{"reason":"a\nb"}"#).contains('\n'));
    }
}
