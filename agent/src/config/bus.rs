//! `dbus` of the configuration: the D-Bus on which the agent offers its calls.

use serde::Deserialize;

/// A message bus.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Bus {
    /// No D-Bus service.
    #[default]
    Off,
    /// The system bus.
    System,
    /// The bus of the login session that the agent runs in, for a bench.
    Session,
    /// A bus at a D-Bus server address such as `unix:path=/run/test/bus`.
    Address(String),
}

impl std::fmt::Display for Bus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Off => "",
            Self::System => "system",
            Self::Session => "session",
            Self::Address(address) => address,
        })
    }
}

impl TryFrom<String> for Bus {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let is_address = text
            .split_once(':')
            .is_some_and(|(transport, rest)| !transport.is_empty() && rest.contains('='));
        let bus = match text.as_str() {
            "" => return Ok(Self::Off),
            "system" => Self::System,
            "session" => Self::Session,
            _ if is_address => Self::Address(text),
            _ => {
                return Err(format!(
                    "dbus must be \"system\", \"session\", a D-Bus address such as \
                     \"unix:path=/run/test/bus\", or empty, got {text:?}"
                ));
            }
        };
        if cfg!(feature = "dbus") {
            return Ok(bus);
        }
        Err("this aid-agent was built without D-Bus (feature dbus); leave dbus out".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bus_is_named_or_addressed_and_needs_the_feature() {
        let bus = |text: &str| Bus::try_from(text.to_owned());
        assert_eq!(bus(""), Ok(Bus::Off));
        for (text, expected) in [
            ("system", Bus::System),
            ("session", Bus::Session),
            ("unix:path=/a", Bus::Address("unix:path=/a".into())),
        ] {
            match bus(text) {
                Ok(bus) => assert!(cfg!(feature = "dbus") && bus == expected),
                Err(error) => assert!(!cfg!(feature = "dbus") && error.contains("feature dbus")),
            }
        }
        for text in [
            "System",
            "/run/dbus/system_bus_socket",
            ":a=b",
            "unix:",
            " ",
        ] {
            assert!(bus(text).is_err(), "{text}");
        }
    }
}
