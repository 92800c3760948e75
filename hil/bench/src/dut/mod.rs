//! The device under test as a file (docs/scenarios.md): where its agent is, where its eUICC is, what drives its power, which
//! network is its admin bearer.

mod doctor;
mod pin;

pub(crate) use doctor::{DoctorArgs, doctor};

use aid_cli::cli::Failure;
use aid_report::Laboratory;
use pin::{Driver, Line};
use serde::Deserialize;
use std::path::Path;

/// The device that every machine has: all of it is started here.
pub(crate) const SIMULATED: &str = include_str!("../../../../dut/simulated.toml");

/// A device under test.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Dut {
    /// What reports call it.
    pub(crate) name: String,
    /// Where its agent is.
    #[serde(default)]
    pub(crate) agent: Agent,
    /// Where its eUICC is.
    #[serde(default)]
    pub(crate) euicc: Euicc,
    /// What drives its power.
    #[serde(default)]
    pub(crate) power: Driver,
    /// What drives its ignition; absent: the bench logs out and parks by the local API.
    pub(crate) ignition: Option<Driver>,
    /// What drives its reset line; absent: power is cut in its place.
    pub(crate) reset: Option<Driver>,
    /// The network of AID traffic.
    #[serde(default)]
    pub(crate) bearer: Bearer,
    /// For the cover of reports.
    #[serde(default)]
    pub(crate) laboratory: Laboratory,
}

/// Where the agent is.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, tag = "where", rename_all = "lowercase")]
pub(crate) enum Agent {
    /// Started on this machine.
    #[default]
    Here,
    /// On another machine, by ssh.
    Ssh {
        /// As `ssh` takes it: `root@tcu.local`.
        host: String,
    },
    /// Behind a serial console.
    Console {
        /// `/dev/ttyUSB0`.
        device: String,
    },
}

/// Where the eUICC is.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Euicc {
    /// `simulated`, or what `--euicc` takes (docs/euicc.md).
    #[serde(default = "simulated")]
    pub(crate) port: String,
}

fn simulated() -> String {
    "simulated".into()
}

impl Default for Euicc {
    fn default() -> Self {
        Self { port: simulated() }
    }
}

/// The network of AID traffic, as the agent's `[bearer]` has it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Bearer {
    /// Interface that the agent's sockets are bound to; empty: any.
    pub(crate) interface: String,
}

impl Dut {
    /// Reads the file; without one, the simulated device.
    ///
    /// # Errors
    /// It can't be read or has a mistake, with its line.
    pub(crate) fn load(file: Option<&Path>) -> Result<Self, Failure> {
        let (name, text) = match file {
            None => ("dut/simulated.toml".to_owned(), SIMULATED.to_owned()),
            Some(file) => {
                let name = file.display().to_string();
                let text = std::fs::read_to_string(file).map_err(|e| {
                    Failure::usage(format!(
                        "cannot read {name}: {e}; dut/ of the checkout has examples"
                    ))
                })?;
                (name, text)
            }
        };
        Self::parse(&name, &text)
    }

    fn parse(name: &str, text: &str) -> Result<Self, Failure> {
        let dut: Self = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |s| s.start);
            let line = 1 + text.get(..at).unwrap_or_default().matches('\n').count();
            let what = error.message();
            Failure::usage(format!("{name}:{line}: {what}"))
        })?;
        if !dut.is_simulated_card() {
            dut.euicc
                .port
                .parse::<aid_port::Address>()
                .map_err(|e| Failure::usage(format!("{name}: euicc.port: {e}")))?;
        }
        Ok(dut)
    }

    /// Whether the card is ours.
    pub(crate) fn is_simulated_card(&self) -> bool {
        self.euicc.port == "simulated"
    }

    /// Why scenarios can't run on this device, if they can't.
    pub(crate) fn missing(&self) -> Option<String> {
        match &self.agent {
            Agent::Here => {}
            Agent::Ssh { host } => {
                return Some(format!(
                    "the agent on {host} is reached by ssh; scenarios drive agents that this bench starts (docs/GAPS.md)"
                ));
            }
            Agent::Console { device } => {
                return Some(format!(
                    "the agent is behind the console {device}; scenarios drive agents that this bench starts (docs/GAPS.md)"
                ));
            }
        }
        if !self.is_simulated_card() {
            return Some(format!(
                "the card at {} is not ours; scenarios need certificates that it trusts (docs/GAPS.md)",
                self.euicc.port
            ));
        }
        None
    }

    /// Whether power can be cut.
    pub(crate) fn has_power(&self) -> bool {
        self.power.is_there()
    }

    /// Power for the unit.
    ///
    /// # Errors
    /// The pin can't be driven.
    pub(crate) fn power_on(&self) -> Result<(), Failure> {
        Line::open(&self.power, None)?.set(true)
    }

    /// No power for the unit, whose agent is this process where it runs here.
    ///
    /// # Errors
    /// The pin can't be driven.
    pub(crate) fn power_off(&self, process: Option<u32>) -> Result<(), Failure> {
        Line::open(&self.power, process)?.set(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shipped_devices_are_read_and_mistakes_have_their_line() {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../dut"));
        let mut count = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let file = entry.unwrap().path();
            let dut = Dut::load(Some(&file)).unwrap_or_else(|e| panic!("{e}"));
            assert!(!dut.name.is_empty(), "{}", file.display());
            count += 1;
        }
        assert!(count >= 4, "{count}");
        for (text, expected) in [
            ("name = \"a\"\ncolour = 1\n", "x.toml:2"),
            ("name = \"a\"\n[agent]\nwhere = \"boat\"\n", "boat"),
            ("name = \"a\"\n[power]\nby = \"gpio\"\n", "chip"),
            (
                "name = \"a\"\n[euicc]\nport = \"/dev/ttyUSB2\"\n",
                "at:/dev/ttyUSB2",
            ),
        ] {
            let error = Dut::parse("x.toml", text).unwrap_err();
            assert!(error.text.contains(expected), "{error}");
        }
    }
}
