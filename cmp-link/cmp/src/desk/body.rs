//! JSON bodies and queries of the admin API, member by member: what is not known is refused, so that a misspelt member is
//! not taken for an absent one.

use crate::operator::Refusal;
use aid_aid1::body::MAX_TEXT;
use aid_cli::printable::is_unprintable;
use aid_id::Secret;
use serde_json::{Map, Value};

/// The members that are left of a body or a query.
#[derive(Debug)]
pub(super) struct Members(Map<String, Value>);

impl Members {
    /// The members of a JSON object.
    pub(super) fn of_body(body: &[u8]) -> Result<Self, Refusal> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(members)) => Ok(Self(members)),
            Ok(_) => Err(Refusal::invalid("the body must be a JSON object")),
            Err(error) => Err(Refusal::invalid(format!("the body is no JSON: {error}"))),
        }
    }

    /// The members of a query, each at most once.
    pub(super) fn of_query(query: &str) -> Result<Self, Refusal> {
        let mut members = Map::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = value.replace('+', " ");
            let decoded = (
                super::operation::decoded(name),
                super::operation::decoded(&value),
            );
            let (Some(name), Some(value)) = decoded else {
                return Err(Refusal::invalid("the query is malformed"));
            };
            if members.insert(name.clone(), value.into()).is_some() {
                return Err(Refusal::invalid(format!("{name} is there twice")));
            }
        }
        Ok(Self(members))
    }

    /// A text, where it is there.
    pub(super) fn maybe(&mut self, name: &str) -> Result<Option<String>, Refusal> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Refusal::invalid(format!("{name} must be a text"))),
        }
    }

    /// A text.
    pub(super) fn text(&mut self, name: &str) -> Result<String, Refusal> {
        self.maybe(name)?
            .ok_or_else(|| Refusal::invalid(format!("{name} is missing")))
    }

    /// A secret, where it is there.
    pub(super) fn maybe_secret(&mut self, name: &str) -> Result<Option<Secret>, Refusal> {
        Ok(self.maybe(name)?.map(Secret::new))
    }

    /// Why something is done.
    pub(super) fn reason(&mut self) -> Result<String, Refusal> {
        checked_reason(&self.text("reason")?)
    }

    /// `true` or `false`, in a query or a body; absent is false.
    pub(super) fn flag(&mut self, name: &str) -> Result<bool, Refusal> {
        match self.0.remove(name) {
            None | Some(Value::Null | Value::Bool(false)) => Ok(false),
            Some(Value::Bool(true)) => Ok(true),
            Some(Value::String(text)) if text == "true" => Ok(true),
            Some(Value::String(text)) if text == "false" => Ok(false),
            Some(_) => Err(Refusal::invalid(format!("{name} must be true or false"))),
        }
    }

    /// A number of a query within a range, where it is there.
    pub(super) fn number(&mut self, name: &str, most: u32) -> Result<Option<u32>, Refusal> {
        let Some(text) = self.maybe(name)? else {
            return Ok(None);
        };
        match text.parse() {
            Ok(number) if (1..=most).contains(&number) => Ok(Some(number)),
            _ => Err(Refusal::invalid(format!("{name} must be 1 to {most}"))),
        }
    }

    /// A value of a fixed list, by the words that the command line has for it, too.
    pub(super) fn word<T>(
        &mut self,
        name: &str,
        known: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, Refusal> {
        let Some(text) = self.maybe(name)? else {
            return Ok(None);
        };
        known(&text)
            .map(Some)
            .ok_or_else(|| Refusal::invalid(format!("{name} can't be {text:?}")))
    }

    /// Nothing may be left.
    pub(super) fn end(self) -> Result<(), Refusal> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(name) => Err(Refusal::invalid(format!("{name:?} is unknown here"))),
        }
    }
}

/// A reason for the audit trail: a text that says something, in one line.
pub(super) fn checked_reason(text: &str) -> Result<String, Refusal> {
    let text = text.trim();
    let long = text.chars().count() > MAX_TEXT;
    if text.is_empty() || long || text.contains(is_unprintable) {
        return Err(Refusal::invalid(format!(
            "reason must be 1 to {MAX_TEXT} printable characters"
        )));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_unknown_is_taken_for_nothing() {
        let mut body = Members::of_body(br#"{"reason": " why ", "x": null, "y": 1}"#).unwrap();
        assert_eq!(body.reason().unwrap(), "why");
        assert_eq!(body.maybe("x").unwrap(), None);
        assert!(body.maybe("y").is_err());
        assert!(body.end().is_ok());
        for bad in ["[]", "1", "{", "", r#""text""#] {
            assert!(Members::of_body(bad.as_bytes()).is_err(), "{bad}");
        }
        let body = Members::of_body(br#"{"raeson": "x"}"#).unwrap();
        assert!(body.end().is_err());
        for bad in [
            r#"{"reason": ""}"#,
            r#"{"reason": "a\nb"}"#,
            r#"{"reason": 1}"#,
            "{}",
        ] {
            assert!(
                Members::of_body(bad.as_bytes()).unwrap().reason().is_err(),
                "{bad}"
            );
        }
    }

    #[test]
    fn queries_are_read_as_browsers_write_them() {
        let mut query = Members::of_query("about=a+b%26c&limit=5&open=true").unwrap();
        assert_eq!(query.text("about").unwrap(), "a b&c");
        assert_eq!(query.number("limit", 10).unwrap(), Some(5));
        assert!(query.flag("open").unwrap());
        assert!(query.end().is_ok());
        for bad in ["a=1&a=2", "a=%", "%00=1", "a=%ff"] {
            assert!(Members::of_query(bad).is_err(), "{bad}");
        }
        for bad in ["limit=0", "limit=11", "limit=x", "limit=-1"] {
            let mut query = Members::of_query(bad).unwrap();
            assert!(query.number("limit", 10).is_err(), "{bad}");
        }
    }
}
