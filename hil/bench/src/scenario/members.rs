//! Looking at members of what a party says: paths with slashes, and what should be there.

use serde_json::{Map, Value};

/// The member at a path such as `session/profile/subscriptions/0/suspended`; null where it is absent.
pub(super) fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    path.split('/')
        .filter(|p| !p.is_empty())
        .fold(value, |value, part| match value {
            Value::Array(list) => part
                .parse()
                .ok()
                .and_then(|n: usize| list.get(n))
                .unwrap_or(&Value::Null),
            other => other.get(part).unwrap_or(&Value::Null),
        })
}

/// A member as text: what stands in it, without quotation marks.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn is(value: &Value, wanted: &Value) -> bool {
    match wanted {
        Value::Object(operator) => operator.iter().all(|(name, wanted)| match name.as_str() {
            "not" => !is(value, wanted),
            "absent" => value.is_null() == wanted.as_bool().unwrap_or(true),
            "contains" => text(value).contains(&text(wanted)),
            "lacks" => !text(value).contains(&text(wanted)),
            "at-least" => value.as_f64() >= wanted.as_f64() && value.is_number(),
            _ => false,
        }),
        // What was filled in is text.
        Value::String(wanted) => match value {
            Value::String(value) => value == wanted,
            Value::Number(_) | Value::Bool(_) => text(value) == *wanted,
            _ => false,
        },
        Value::Number(wanted) => value.as_f64() == wanted.as_f64() && value.is_number(),
        other => value == other,
    }
}

/// Whether all members are as they should be.
pub(super) fn fit(value: &Value, wanted: &Map<String, Value>) -> bool {
    wanted
        .iter()
        .all(|(path, wanted)| is(at(value, path), wanted))
}

/// The members that were looked at, as they are.
pub(super) fn excerpt(value: &Value, wanted: &Map<String, Value>) -> String {
    let members = wanted
        .keys()
        .map(|path| format!("{path} = {}", at(value, path)));
    short(&members.collect::<Vec<_>>().join(", "))
}

/// What was wanted, in words.
pub(super) fn words(wanted: &Map<String, Value>) -> String {
    let members = wanted.iter().map(|(path, wanted)| match wanted {
        Value::Object(operator) => {
            let operator = operator
                .iter()
                .map(|(name, value)| format!("{name} {value}"));
            format!("{path} {}", operator.collect::<Vec<_>>().join(" and "))
        }
        value => format!("{path} = {value}"),
    });
    members.collect::<Vec<_>>().join(", ")
}

/// At most 600 characters of a text.
pub(super) fn short(text: &str) -> String {
    match text.char_indices().nth(600) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn members_are_found_and_compared() {
        let value = json!({"a": {"b": [{"c": 4}, {"c": null}]}, "s": "one two", "t": true});
        let fits = |wanted: Value| fit(&value, wanted.as_object().unwrap());
        assert!(fits(
            json!({"a/b/0/c": 4, "s": {"contains": "two"}, "t": true})
        ));
        assert!(fits(
            json!({"a/b/0/c": {"at-least": 4}, "a/b/1/c": {"absent": true}})
        ));
        assert!(fits(
            json!({"a/b/0/c": "4", "t": "true", "s": {"not": "one"}, "x": {"absent": true}})
        ));
        assert!(!fits(json!({"a/b/0/c": 5})));
        assert!(!fits(json!({"a/b/1/c": {"at-least": 1}})));
        assert!(!fits(json!({"s": {"lacks": "one"}})));
        assert!(!fits(json!({"x": "null"})));
    }
}
