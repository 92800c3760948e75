//! The admin bearers: `[bearer]` for one, `[[bearer]]` for several, best first (R-2-12).

use aid_lpa::{Bearer, Bearers};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

/// Most bearers of a car.
const MOST: usize = 8;

/// One bearer; empty strings mean no restriction.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct One {
    /// Interface that sockets are bound to.
    interface: String,
    /// Source address that sockets are bound to.
    source: String,
    /// The OP's own interface, where it was named before it had a key of its own.
    op_interface: String,
}

/// The bearers of AID traffic, best first; none leaves the choice to the operating system.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BearerList(Vec<One>);

impl<'de> Deserialize<'de> for BearerList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMore;

        impl<'de> Visitor<'de> for OneOrMore {
            type Value = BearerList;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table [bearer] or several [[bearer]]")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<BearerList, A::Error> {
                One::deserialize(MapAccessDeserializer::new(map)).map(|one| BearerList(vec![one]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<BearerList, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(BearerList)
            }
        }

        deserializer.deserialize_any(OneOrMore)
    }
}

impl BearerList {
    /// Checks each bearer against the others and against the OP's own interface.
    pub(super) fn check(&self, op_interface: &str) -> Result<(), String> {
        if self.0.len() > MOST {
            return Err(format!("a car has at most {MOST} [[bearer]]"));
        }
        let named = self.0.iter().map(|one| one.op_interface.as_str());
        let ops: BTreeSet<&str> = named
            .chain([op_interface])
            .filter(|name| !name.is_empty())
            .collect();
        let mut seen = BTreeSet::new();
        for One {
            interface, source, ..
        } in &self.0
        {
            if !source.is_empty() && source.parse::<IpAddr>().is_err() {
                return Err(format!(
                    "bearer.source must be an IP address, got {source:?}"
                ));
            }
            if ops.contains(interface.as_str()) {
                return Err(format!(
                    "bearer.interface {interface:?} is the OP's own interface; AID traffic needs another one"
                ));
            }
            let free = interface.is_empty() && source.is_empty();
            if free && !ops.is_empty() {
                return Err(
                    "op_interface is set, but a bearer leaves the choice to the operating system, which may \
                     choose it: set bearer.interface"
                        .into(),
                );
            }
            if free && self.0.len() > 1 {
                return Err("each [[bearer]] needs an interface or a source".into());
            }
            if !seen.insert((interface, source)) {
                return Err(format!(
                    "there are two [[bearer]] with interface {interface:?} and source {source:?}"
                ));
            }
        }
        if self.0.is_empty() && !ops.is_empty() {
            return Err("op_interface is set, but no admin bearer: set bearer.interface".into());
        }
        Ok(())
    }

    /// For one kind of connection.
    #[must_use]
    pub fn bearers(&self) -> Bearers {
        let named = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let all = self.0.iter().map(|one| Bearer {
            interface: named(&one.interface),
            source: one.source.parse().ok(),
        });
        Bearers::new(all.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        #[serde(default)]
        bearer: BearerList,
        #[serde(default)]
        op_interface: String,
    }

    fn load(text: &str) -> Result<Vec<String>, String> {
        let file: File = toml::from_str(text).map_err(|e| e.to_string())?;
        file.bearer.check(&file.op_interface)?;
        let bearers = file.bearer.bearers();
        let order = bearers.order(std::time::Instant::now());
        Ok(order.into_iter().map(|(_, bearer)| bearer.name()).collect())
    }

    #[test]
    fn one_or_several_are_read_in_their_order() {
        for (text, names) in [
            ("", &["default"][..]),
            ("[bearer]", &["default"]),
            ("[bearer]\ninterface = \"wwan0\"", &["wwan0"]),
            (
                "[[bearer]]\ninterface = \"wwan0\"\n[[bearer]]\nsource = \"10.0.0.7\"",
                &["wwan0", "10.0.0.7"],
            ),
        ] {
            assert_eq!(load(text).expect(text), names, "{text}");
        }
    }

    // R-2-12
    #[test]
    fn the_ops_own_interface_is_refused_by_name_wherever_it_stands() {
        for text in [
            "[bearer]\ninterface = \"rmnet1\"\nop_interface = \"rmnet1\"",
            "op_interface = \"rmnet1\"\n[bearer]\ninterface = \"rmnet1\"",
            "op_interface = \"rmnet1\"\n[[bearer]]\ninterface = \"rmnet0\"\n[[bearer]]\ninterface = \"rmnet1\"",
            "[[bearer]]\ninterface = \"rmnet1\"\n[[bearer]]\ninterface = \"a\"\nop_interface = \"rmnet1\"",
        ] {
            let error = load(text).expect_err(text);
            assert!(error.contains("\"rmnet1\" is the OP's own"), "{error}");
        }
        for text in [
            "op_interface = \"rmnet1\"",
            "op_interface = \"rmnet1\"\n[bearer]",
            "[bearer]\nop_interface = \"rmnet1\"",
        ] {
            let error = load(text).expect_err(text);
            assert!(error.contains("op_interface is set"), "{error}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (text, says) in [
            ("[bearer]\ncolour = 1", "colour"),
            ("[[bearer]]\ncolour = 1", "colour"),
            ("bearer = 7", "[bearer]"),
            ("[bearer]\nsource = \"x\"", "IP address"),
            (
                "[[bearer]]\n[[bearer]]\ninterface = \"a\"",
                "needs an interface",
            ),
            (
                "[[bearer]]\ninterface = \"a\"\n[[bearer]]\ninterface = \"a\"",
                "two [[bearer]]",
            ),
            (&"[[bearer]]\ninterface = \"a\"\n".repeat(9), "at most 8"),
        ] {
            let error = load(text).expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
