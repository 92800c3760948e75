//! JSON bodies of servers. What is derived by serde reads an array where a struct is expected, its members by their order;
//! no API of ours, nor SGP.22's, means that.

use serde::Serialize;
use serde::de::{DeserializeOwned, Error as _};
use serde_json::{Error, Value};

/// Reads a body whose members are objects wherever they are objects when they are written.
///
/// # Errors
/// No JSON, not the type, or an array in the place of an object.
pub fn read<T: DeserializeOwned + Serialize>(body: &[u8]) -> Result<T, Error> {
    let read: T = serde_json::from_slice(body)?;
    let given: Value = serde_json::from_slice(body)?;
    if has_shape(&given, &serde_json::to_value(&read)?) {
        Ok(read)
    } else {
        Err(Error::custom("an array is where an object must be"))
    }
}

/// Whether each object of `meant` is one in `given`. Members that only one of the two has say nothing.
fn has_shape(given: &Value, meant: &Value) -> bool {
    match (given, meant) {
        (Value::Object(given), Value::Object(meant)) => meant
            .iter()
            .all(|(name, meant)| given.get(name).is_none_or(|given| has_shape(given, meant))),
        (Value::Array(_), Value::Object(_)) => false,
        (Value::Array(given), Value::Array(meant)) => given
            .iter()
            .zip(meant)
            .all(|(given, meant)| has_shape(given, meant)),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Inner {
        a: u8,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Outer {
        one: Inner,
        many: Vec<Inner>,
        maybe: Option<Inner>,
    }

    #[test]
    fn an_array_is_no_object_anywhere() {
        let good = br#"{"one":{"a":1},"many":[{"a":2}],"maybe":{"a":3},"more":[1]}"#;
        assert_eq!(read::<Outer>(good).expect("read").many, [Inner { a: 2 }]);
        for bad in [
            r#"[{"a":1},[{"a":2}],null]"#,
            r#"{"one":[1],"many":[],"maybe":null}"#,
            r#"{"one":{"a":1},"many":[[2]],"maybe":null}"#,
            r#"{"one":{"a":1},"many":[],"maybe":[3]}"#,
        ] {
            // As serde has it, it is one.
            assert!(serde_json::from_str::<Outer>(bad).is_ok(), "{bad}");
            assert!(read::<Outer>(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
