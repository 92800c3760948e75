//! A JSON value that keeps the order of its members and those that occur twice: what a peer sent is evidence.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// A JSON value, its members in the order of the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    /// `null`, a truth value or a number, as JSON writes it.
    Plain(String),
    /// A string.
    Text(String),
    /// An array.
    List(Vec<Self>),
    /// An object.
    Members(Vec<(String, Self)>),
}

impl Node {
    /// Reads one JSON document; `None` for anything else. Nesting is bounded by serde_json (128).
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// Writes it as compact JSON.
    pub(crate) fn write(&self, out: &mut String) {
        match self {
            Self::Plain(text) => out.push_str(text),
            Self::Text(text) => quote(text, out),
            Self::List(items) => {
                out.push('[');
                for (n, item) in items.iter().enumerate() {
                    if n > 0 {
                        out.push(',');
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Self::Members(members) => {
                out.push('{');
                for (n, (name, value)) in members.iter().enumerate() {
                    if n > 0 {
                        out.push(',');
                    }
                    quote(name, out);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }

    /// The bytes of a list of numbers up to 255: how serde writes an array of bytes.
    pub(crate) fn byte_array(&self) -> Option<Vec<u8>> {
        let Self::List(items) = self else {
            return None;
        };
        let byte = |item: &Self| match item {
            Self::Plain(text) => text.parse().ok(),
            _ => None,
        };
        items.iter().map(byte).collect()
    }
}

fn quote(text: &str, out: &mut String) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Node;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON value")
            }

            fn visit_unit<E>(self) -> Result<Node, E> {
                Ok(Node::Plain("null".to_owned()))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
                Ok(Node::Plain(value.to_string()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
                Ok(Node::Plain(value.to_string()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
                Ok(Node::Plain(value.to_string()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
                Ok(Node::Plain(serde_json::Value::from(value).to_string()))
            }

            fn visit_str<E>(self, value: &str) -> Result<Node, E> {
                Ok(Node::Text(value.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Node::List(list))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Node::Members(members))
            }
        }

        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_repetitions_stay() {
        let text = r#"{"z":1,"a":[null,true,-2.5,"x\n"],"z":{"b":"\u0022"}}"#;
        let node = Node::parse(text.as_bytes()).unwrap();
        let mut back = String::new();
        node.write(&mut back);
        assert_eq!(back, r#"{"z":1,"a":[null,true,-2.5,"x\n"],"z":{"b":"\""}}"#);
        assert_eq!(Node::parse(b"{} x"), None);
        let deep = "[".repeat(100_000);
        assert_eq!(Node::parse(deep.as_bytes()), None);
    }

    #[test]
    fn arrays_of_bytes_are_recognized() {
        let bytes = |text: &str| Node::parse(text.as_bytes()).unwrap().byte_array();
        assert_eq!(bytes("[0,255]"), Some(vec![0, 255]));
        assert_eq!(bytes("[256]"), None);
        assert_eq!(bytes(r#"["1"]"#), None);
        assert_eq!(bytes("1"), None);
    }
}
