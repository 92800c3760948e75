//! The arguments of a step, filled in: `${name}` stands for what was saved, for a column of a row, or for a value of a
//! variant.

use super::kind::{Kind, duration, milliseconds};
use aid_cli::cli::Failure;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::time::Duration;

/// What `${…}` stands for.
pub(super) type Values = BTreeMap<String, String>;

/// The names that a text wants.
pub(super) fn wanted(text: &str) -> impl Iterator<Item = &str> {
    text.split("${")
        .skip(1)
        .filter_map(|rest| rest.split_once('}').map(|(name, _)| name))
}

/// A text with everything filled in.
///
/// # Errors
/// A name that nothing stands for.
pub(super) fn fill(text: &str, values: &Values) -> Result<String, Failure> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, after)) = after.split_once('}') else {
            return Err(Failure::new(format!("{text:?}: ${{ without }}")));
        };
        let value = values
            .get(name)
            .ok_or_else(|| Failure::new(format!("{text:?}: nothing was saved as {name}")))?;
        out.push_str(before);
        out.push_str(value);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

fn fill_value(value: &Value, values: &Values) -> Result<Value, Failure> {
    Ok(match value {
        Value::String(text) => Value::String(fill(text, values)?),
        Value::Array(list) => {
            let list = list.iter().map(|v| fill_value(v, values));
            Value::Array(list.collect::<Result<_, _>>()?)
        }
        Value::Object(table) => {
            let table = table
                .iter()
                .map(|(k, v)| Ok::<_, Failure>((fill(k, values)?, fill_value(v, values)?)));
            Value::Object(table.collect::<Result<_, _>>()?)
        }
        other => other.clone(),
    })
}

/// The arguments of one step.
#[derive(Debug, Clone, Default)]
pub(super) struct Args(Map<String, Value>);

impl Args {
    /// Fills in what a scenario says.
    ///
    /// # Errors
    /// A name that nothing stands for.
    pub(super) fn new(given: &Map<String, Value>, values: &Values) -> Result<Self, Failure> {
        match fill_value(&Value::Object(given.clone()), values)? {
            Value::Object(table) => Ok(Self(table)),
            _ => Ok(Self::default()),
        }
    }

    fn wrong(name: &str, kind: Kind, value: &Value) -> Failure {
        Failure::new(format!("{name} must be {}, it is {value}", kind.words()))
    }

    /// A text, empty where it is left out.
    pub(super) fn text(&self, name: &str) -> &str {
        self.0.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// A text, if it is given.
    pub(super) fn given(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    /// One or several texts; a text that was filled in may be a list with commas.
    pub(super) fn texts(&self, name: &str) -> Vec<String> {
        match self.0.get(name) {
            Some(Value::Array(list)) => list
                .iter()
                .filter_map(|v| v.as_str().map(str::to_owned))
                .collect(),
            Some(Value::String(text)) => text
                .split(", ")
                .filter(|t| !t.is_empty())
                .map(str::to_owned)
                .collect(),
            _ => Vec::new(),
        }
    }

    /// A number, if it is given.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Failure> {
        let kind = Kind::Whole(0, i64::MAX);
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => match text.parse() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(Self::wrong(name, kind, &Value::String(text.clone()))),
            },
            Some(value) => match value.as_u64() {
                Some(number) => Ok(Some(number)),
                None => Err(Self::wrong(name, kind, value)),
            },
        }
    }

    /// A flag, if it is given.
    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        match self.0.get(name)? {
            Value::String(text) => Some(text == "true"),
            value => value.as_bool(),
        }
    }

    /// The index of a car; the first where none is given.
    pub(super) fn car(&self) -> Result<usize, Failure> {
        let number = self.number("car")?.unwrap_or(1);
        usize::try_from(number.saturating_sub(1)).map_err(|_| Failure::new("car is too large"))
    }

    /// A time, if it is given.
    pub(super) fn time(&self, name: &str) -> Result<Option<Duration>, Failure> {
        let Some(text) = self.given(name) else {
            return Ok(None);
        };
        duration(text)
            .map(Some)
            .ok_or_else(|| Self::wrong(name, Kind::Time, &Value::String(text.to_owned())))
    }

    /// A time either way, milliseconds.
    pub(super) fn shift(&self, name: &str) -> Result<i64, Failure> {
        let text = self.text(name);
        milliseconds(text)
            .ok_or_else(|| Self::wrong(name, Kind::Time, &Value::String(text.to_owned())))
    }

    /// A table, empty where it is left out.
    pub(super) fn table(&self, name: &str) -> Map<String, Value> {
        match self.0.get(name) {
            Some(Value::Object(table)) => table.clone(),
            _ => Map::new(),
        }
    }

    /// All of them, for a call that takes what it knows.
    pub(super) fn all(&self) -> &Map<String, Value> {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_is_filled_in() {
        let values = Values::from([("iccid".to_owned(), "89".to_owned())]);
        assert_eq!(fill("a ${iccid} b ${iccid}", &values).unwrap(), "a 89 b 89");
        assert!(
            fill("${other}", &values)
                .unwrap_err()
                .text
                .contains("other")
        );
        assert!(fill("${iccid", &values).is_err());
        assert_eq!(wanted("${a} ${b").collect::<Vec<_>>(), ["a"]);
    }
}
