//! Messages for `--trace`: one line of JSON, secrets and what is long as lengths.

use aid_cli::printable::printable;
use serde::Serialize;
use serde_json::Value;

/// Members with which anybody could take a profile that was ordered for somebody else (SGP.22 §4.1, §5.3.2).
const SECRET: [&str; 3] = ["matchingId", "confirmationCode", "hashCc"];
/// Longest text that is shown, characters.
const MAX_TEXT: usize = 64;

/// A message in one line. Its values are formatted only where somebody traces.
pub(crate) fn shown(message: &impl Serialize) -> String {
    let mut value = serde_json::to_value(message).unwrap_or_default();
    hide("", &mut value);
    printable(&value.to_string()).into_owned()
}

fn hide(name: &str, value: &mut Value) {
    match value {
        Value::String(text) => {
            let length = text.chars().count();
            if SECRET.contains(&name) || length > MAX_TEXT {
                *text = format!("<{length} characters>");
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| hide(name, item)),
        Value::Object(members) => members.iter_mut().for_each(|(name, item)| hide(name, item)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_are_lengths_wherever_they_are() {
        let message = json!({
            "iccid": "8944500805172032953", "matchingId": "A-SECRET",
            "nested": [{"confirmationCode": "A-SECRET", "long": "x".repeat(500)}],
        });
        let line = shown(&message);
        assert!(!line.contains("SECRET") && line.len() < 200, "{line}");
        assert!(line.contains("8944500805172032953") && line.contains("<8 characters>"));
    }
}
