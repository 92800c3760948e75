//! JSON objects that are read into structures.

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// A structure that is read from an object only: what serde derives takes an array of the members' values, too, in the order of
/// their declaration, which no document promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members)).map(Object)
            }
        }

        deserializer.deserialize_map(Members(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Pair {
        a: u8,
        #[serde(default)]
        b: u8,
    }

    #[test]
    fn nothing_but_an_object_with_known_members_once_each_is_read() {
        let read = |text: &str| serde_json::from_str::<Object<Pair>>(text).ok();
        assert_eq!(read(r#"{"b":2,"a":1}"#), Some(Object(Pair { a: 1, b: 2 })));
        assert_eq!(read(r#"{"a":1}"#), Some(Object(Pair { a: 1, b: 0 })));
        assert!(
            serde_json::from_str::<Pair>("[1,2]").is_ok(),
            "serde takes it"
        );
        for bad in [
            "[1,2]",
            "[[1,2]]",
            "[]",
            "null",
            "1",
            r#""a""#,
            "{}",
            r#"{"a":1,"c":2}"#,
            r#"{"a":1,"a":1}"#,
            r#"{"a":[1]}"#,
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
