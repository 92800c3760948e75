//! What an argument of a step may be: checked while a scenario is read, written into its JSON Schema and into its
//! documentation from the same table.

use serde_json::{Value, json};
use std::time::Duration;

/// A kind of argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Any text.
    Text,
    /// One text, or a list of them.
    Texts,
    /// A number in a range, both ends included.
    Whole(i64, i64),
    /// true or false.
    Flag,
    /// One of these words.
    Word(&'static [&'static str]),
    /// `"300 ms"`, `"3.1 s"`, `"5 min"`, `"2 h"`, `"60 d"`; with a minus sign: backwards.
    Time,
    /// The number of a car, from 1.
    Car,
    /// A user: one of [`USERS`].
    User,
    /// Members to look at: a table of paths (`session/profile`) and values.
    Members,
    /// A table that is handed on as JSON.
    Table,
}

/// The users, in the order in which `users = N` in `[given]` makes them.
pub(super) const USERS: [&str; 3] = ["ada", "bob", "cyd"];

/// Operators of [`Kind::Members`], beside a plain value.
pub(super) const OPERATORS: [&str; 5] = ["not", "absent", "contains", "lacks", "at-least"];

/// An argument of a step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Param {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) required: bool,
    pub(super) about: &'static str,
}

/// An argument that must be given.
pub(super) const fn must(name: &'static str, kind: Kind, about: &'static str) -> Param {
    Param {
        name,
        kind,
        required: true,
        about,
    }
}

/// An argument that may be left out.
pub(super) const fn may(name: &'static str, kind: Kind, about: &'static str) -> Param {
    Param {
        name,
        kind,
        required: false,
        about,
    }
}

impl Kind {
    /// In words, for a mistake and for the documentation.
    pub(super) fn words(self) -> String {
        match self {
            Self::Text => "text in quotation marks".into(),
            Self::Texts => "text in quotation marks, or a list of texts".into(),
            Self::Whole(least, most) => format!("a whole number from {least} to {most}"),
            Self::Flag => "true or false".into(),
            Self::Word(words) => format!("one of {}", quoted(words)),
            Self::Time => {
                "a time such as \"300 ms\", \"3.1 s\", \"5 min\", \"2 h\" or \"60 d\"".into()
            }
            Self::Car => "the number of a car, from 1".into(),
            Self::User => format!("a user, one of {}", quoted(&USERS)),
            Self::Members => "a table of members and values, e.g. { status = \"enabled\" }".into(),
            Self::Table => "a table".into(),
        }
    }

    /// Whether a value fits; text with `${…}` in it is judged when it is filled in.
    pub(super) fn fits(self, value: &Value) -> bool {
        if let Some(text) = value.as_str()
            && text.contains("${")
            && !matches!(self, Self::Members | Self::Table)
        {
            return true;
        }
        match self {
            Self::Text => value.is_string(),
            Self::Texts => match value {
                Value::Array(list) => list.iter().all(Value::is_string),
                other => other.is_string(),
            },
            Self::Whole(least, most) => value.as_i64().is_some_and(|n| (least..=most).contains(&n)),
            Self::Flag => value.is_boolean(),
            Self::Word(words) => value.as_str().is_some_and(|text| words.contains(&text)),
            Self::Time => value
                .as_str()
                .is_some_and(|text| milliseconds(text).is_some()),
            Self::Car => value.as_i64().is_some_and(|n| (1..=9).contains(&n)),
            Self::User => value.as_str().is_some_and(|text| USERS.contains(&text)),
            Self::Members => value.as_object().is_some_and(|table| {
                table.values().all(|wanted| match wanted {
                    Value::Object(operator) => {
                        operator.len() == 1
                            && operator.keys().all(|k| OPERATORS.contains(&k.as_str()))
                    }
                    Value::Array(_) | Value::Null => false,
                    _ => true,
                })
            }),
            Self::Table => value.is_object(),
        }
    }

    /// The same as JSON Schema.
    pub(super) fn schema(self) -> Value {
        let filled = json!({"type": "string", "pattern": FILLED});
        let or_filled = |schema: Value| json!({"anyOf": [schema, filled]});
        match self {
            Self::Text => json!({"type": "string"}),
            Self::Texts => json!({"anyOf": [
                {"type": "string"}, {"type": "array", "items": {"type": "string"}},
            ]}),
            Self::Whole(least, most) => {
                or_filled(json!({"type": "integer", "minimum": least, "maximum": most}))
            }
            Self::Flag => or_filled(json!({"type": "boolean"})),
            Self::Word(words) => or_filled(json!({"enum": words})),
            Self::Time => or_filled(json!({"type": "string", "pattern": TIME})),
            Self::Car => or_filled(json!({"type": "integer", "minimum": 1, "maximum": 9})),
            Self::User => or_filled(json!({"enum": USERS})),
            Self::Members => json!({"type": "object", "additionalProperties": {"anyOf": [
                {"type": ["string", "number", "boolean"]},
                {"type": "object", "minProperties": 1, "maxProperties": 1,
                 "propertyNames": {"enum": OPERATORS}},
            ]}}),
            Self::Table => json!({"type": "object"}),
        }
    }
}

/// Text that is filled in, as JSON Schema says it.
const FILLED: &str = r"\$\{";
/// A time, as JSON Schema says it.
pub(super) const TIME: &str = r"^-?[0-9]+(\.[0-9]+)? (ms|s|min|h|d)$";

/// Words for people: `"a", "b"`.
pub(super) fn quoted(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|w| format!("{w:?}")).collect();
    words.join(", ")
}

/// A time in milliseconds; at most a hundred years either way.
pub(super) fn milliseconds(text: &str) -> Option<i64> {
    let (number, unit) = text.split_once(' ')?;
    let digits = number.strip_prefix('-').unwrap_or(number);
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_number = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    if !is_number(whole) || !is_number(part) || part.len() > 3 {
        return None;
    }
    let factor: i64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    let thousandths = format!("{part:0<3}").parse::<i64>().ok()?;
    let value = whole.parse::<i64>().ok()?.checked_mul(factor)? + thousandths * factor / 1000;
    let sign = if number.starts_with('-') { -1 } else { 1 };
    (value <= 36_525 * 86_400_000).then_some(sign * value)
}

/// A time that is waited for; none where it goes backwards.
pub(super) fn duration(text: &str) -> Option<Duration> {
    u64::try_from(milliseconds(text)?)
        .ok()
        .map(Duration::from_millis)
}

/// The word of a list that somebody may have meant.
pub(super) fn nearest<'a>(
    given: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let distance = |a: &str, b: &str| {
        let b: Vec<char> = b.chars().collect();
        let mut row: Vec<usize> = (0..=b.len()).collect();
        for (n, from) in a.chars().enumerate() {
            let mut last = row[0];
            row[0] = n + 1;
            for (m, to) in b.iter().enumerate() {
                let cost = last + usize::from(from != *to);
                last = row[m + 1];
                row[m + 1] = cost.min(row[m] + 1).min(last + 1);
            }
        }
        row[b.len()]
    };
    let given: String = given.chars().take(64).collect();
    let best = known
        .into_iter()
        .map(|word| (distance(&given, word), word))
        .min()?;
    (best.0 <= 1 + given.len() / 3).then_some(best.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        for (text, expected) in [
            ("300 ms", Some(300)),
            ("3.1 s", Some(3100)),
            ("60 d", Some(5_184_000_000)),
            ("-1 h", Some(-3_600_000)),
            ("0.25 min", Some(15_000)),
            ("5", None),
            ("5s", None),
            ("x s", None),
            ("1.0001 s", None),
            ("99999999999999 d", None),
        ] {
            assert_eq!(milliseconds(text), expected, "{text}");
        }
        assert_eq!(duration("-1 s"), None);
    }

    #[test]
    fn a_slip_of_the_pen_is_understood() {
        let words = ["car.login", "car.logout", "msp.act"];
        assert_eq!(nearest("car.logn", words), Some("car.login"));
        assert_eq!(nearest("card.login", words), Some("car.login"));
        assert_eq!(nearest("something else", words), None);
    }
}
