//! The tables `[euicc]` and `[device]` of `agent.toml` and `aid-lpa.toml`, read and checked in one place.

use crate::address::Address;
use serde::Deserialize;
use std::path::Path;
use std::time::Duration;

/// The table `[euicc]`: how the card is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EuiccTable {
    /// How the card is reached.
    pub port: Option<Address>,
    /// The key before `port`: HOST:PORT or path of an APDU socket. Still read.
    pub socket: Option<String>,
    /// AID of the ISD-R in hexadecimal digits, where a card has an odd one.
    pub isdr_aid: Option<String>,
    /// Reset the card after profiles were switched; without it the transport decides.
    pub reset_after_switch: Option<bool>,
    /// Ask the card for a proactive REFRESH when profiles are switched (refreshFlag, SGP.22 §5.7.16); default: true.
    pub refresh_flag: Option<bool>,
    /// Longest wait for the answer to an APDU, seconds.
    pub answer_s: Option<u32>,
    /// How long a busy modem, or one that restarts, is waited for, seconds.
    pub busy_s: Option<u32>,
}

/// The table `[device]`: what the device says about itself (SGP.22 §4.2).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeviceTable {
    /// IMEI, 15 digits.
    pub imei: Option<String>,
    /// TAC, eight digits; without it the first eight of the IMEI.
    pub tac: Option<String>,
}

/// IMEI and TAC in swapped BCD, as SGP.22 §4.2 has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    /// Type allocation code; none: the caller's default.
    pub tac: Option<[u8; 4]>,
    /// IMEI with filler.
    pub imei: Option<[u8; 8]>,
}

/// What a port is opened with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How the card is reached.
    pub address: Address,
    /// Reset the card after profiles were switched; none: the transport decides.
    pub reset_after_switch: Option<bool>,
    /// Time limits.
    pub timing: Timing,
}

/// Time limits of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// For the answer to an APDU: installing a large profile element takes a card seconds.
    pub answer: Duration,
    /// For a connection, for a modem's answer to a command that is no APDU, for a helper to start.
    pub connect: Duration,
    /// How long a busy modem is asked again, and one that restarts is waited for.
    pub busy: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(60),
            connect: Duration::from_secs(10),
            busy: Duration::from_secs(20),
        }
    }
}

impl Settings {
    /// A port with the usual time limits.
    #[must_use]
    pub fn new(address: Address) -> Self {
        Self {
            address,
            reset_after_switch: None,
            timing: Timing::default(),
        }
    }
}

/// Why a table is refused; the text names the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TableError(String);

impl EuiccTable {
    /// Checks everything, so that a wrong value does not wait for the operation that needs it. Paths are
    /// relative to `folder`, that of the configuration file.
    ///
    /// # Errors
    /// [`TableError`].
    pub fn check(&mut self, folder: &Path) -> Result<(), TableError> {
        if let Some(socket) = self.socket.take() {
            if self.port.is_some() {
                let text = "euicc.socket is the old name of euicc.port; give euicc.port alone";
                return Err(TableError(text.into()));
            }
            if socket.is_empty() {
                return Err(TableError(format!(
                    "euicc.socket is empty; give euicc.port = \"…\": {}",
                    crate::SYNTAX
                )));
            }
            self.port = Some(Address::Socket(socket));
        }
        self.port = self.port.take().map(|port| port.relative_to(folder));
        self.isdr()?;
        for (key, seconds) in [("answer_s", self.answer_s), ("busy_s", self.busy_s)] {
            if seconds.is_some_and(|s| !(1..=600).contains(&s)) {
                return Err(TableError(format!("euicc.{key} must be 1 to 600 seconds")));
            }
        }
        Ok(())
    }

    /// What the port is opened with.
    ///
    /// # Errors
    /// No port is named.
    pub fn settings(&self) -> Result<Settings, TableError> {
        let Some(address) = self.port.clone() else {
            return Err(TableError(format!(
                "no card is named; give euicc.port = \"…\": {}",
                crate::SYNTAX
            )));
        };
        let seconds =
            |given: Option<u32>, usual| given.map_or(usual, |s| Duration::from_secs(u64::from(s)));
        let usual = Timing::default();
        Ok(Settings {
            address,
            reset_after_switch: self.reset_after_switch,
            timing: Timing {
                answer: seconds(self.answer_s, usual.answer),
                busy: seconds(self.busy_s, usual.busy),
                ..usual
            },
        })
    }

    /// The address as text, for messages.
    #[must_use]
    pub fn name(&self) -> String {
        self.port
            .as_ref()
            .map_or_else(String::new, ToString::to_string)
    }

    /// AID of the ISD-R, 5 to 16 bytes; none: the usual one.
    ///
    /// # Errors
    /// Not an AID.
    pub fn isdr(&self) -> Result<Option<Vec<u8>>, TableError> {
        let Some(text) = &self.isdr_aid else {
            return Ok(None);
        };
        let digits: Option<Vec<u8>> = text
            .chars()
            .map(|c| c.to_digit(16).map(|d| d as u8))
            .collect();
        let aid = digits.filter(|d| d.len().is_multiple_of(2) && (10..=32).contains(&d.len()));
        let aid = aid.ok_or_else(|| {
            TableError(format!(
                "isdr_aid {text:?} is not an AID; give 10 to 32 hexadecimal digits"
            ))
        })?;
        Ok(Some(
            aid.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect(),
        ))
    }
}

impl DeviceTable {
    /// IMEI and TAC.
    ///
    /// # Errors
    /// A wrong number of digits, or a TAC that is not the IMEI's.
    pub fn device(&self) -> Result<Device, TableError> {
        let imei = digits::<8>("imei", self.imei.as_deref(), 15)?;
        let tac = digits::<4>("tac", self.tac.as_deref(), 8)?;
        let of_imei = imei.map(|i| [i[0], i[1], i[2], i[3]]);
        if let (Some(own), Some(of_imei)) = (tac, of_imei)
            && own != of_imei
        {
            let text = "device.tac is not the first eight digits of device.imei; leave it out";
            return Err(TableError(text.into()));
        }
        Ok(Device {
            tac: tac.or(of_imei),
            imei,
        })
    }
}

/// Decimal digits as swapped BCD; an odd last one gets the filler F.
fn digits<const N: usize>(
    key: &str,
    text: Option<&str>,
    count: usize,
) -> Result<Option<[u8; N]>, TableError> {
    let Some(text) = text else {
        return Ok(None);
    };
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|c| c.to_digit(10).map(|d| d as u8))
        .collect();
    let digits = digits.filter(|d| d.len() == count).ok_or_else(|| {
        TableError(format!(
            "device.{key} {text:?} is malformed; give its {count} digits"
        ))
    })?;
    let mut bytes = [0xFF; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        *byte = pair.get(1).unwrap_or(&0xF) << 4 | pair[0];
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn euicc(text: &str) -> Result<Settings, String> {
        let mut table: EuiccTable = toml::from_str(text).map_err(|e| e.to_string())?;
        let checked = table.check(Path::new("/etc/aid"));
        checked.map_err(|e| e.to_string())?;
        table.settings().map_err(|e| e.to_string())
    }

    fn device(text: &str) -> Result<Device, String> {
        let table: DeviceTable = toml::from_str(text).map_err(|e| e.to_string())?;
        table.device().map_err(|e| e.to_string())
    }

    #[test]
    fn the_old_key_means_a_socket() {
        let old = euicc("socket = \"127.0.0.1:7816\"").expect("old");
        assert_eq!(old, euicc("port = \"socket:127.0.0.1:7816\"").expect("new"));
        let path = euicc("socket = \"card.sock\"").expect("path");
        assert_eq!(path.address.to_string(), "socket:/etc/aid/card.sock");
    }

    #[test]
    fn settings_take_what_was_given() {
        let all = "port = \"at:/dev/ttyUSB2\"\nreset_after_switch = true\nanswer_s = 5\nbusy_s = 7";
        let settings = euicc(all).expect("settings");
        assert_eq!(settings.reset_after_switch, Some(true));
        assert_eq!(settings.timing.answer, Duration::from_secs(5));
        assert_eq!(settings.timing.busy, Duration::from_secs(7));
        assert_eq!(settings.timing.connect, Timing::default().connect);
    }

    #[test]
    fn wrong_tables_are_refused_with_the_name_of_the_key() {
        for (text, expected) in [
            ("", "euicc.port"),
            (
                "port = \"socket:a:1\"\nsocket = \"a:1\"",
                "old name of euicc.port",
            ),
            ("socket = \"\"", "euicc.port"),
            ("port = \"a:1\"", "did you mean socket:a:1?"),
            ("port = \"pcsc\"\nisdr_aid = \"A0\"", "isdr_aid"),
            ("port = \"pcsc\"\nisdr_aid = \"A00000055910é\"", "isdr_aid"),
            ("port = \"pcsc\"\nanswer_s = 0", "answer_s"),
            ("port = \"pcsc\"\nbusy_s = 601", "busy_s"),
            ("colour = 1", "colour"),
        ] {
            let error = euicc(text).expect_err(text);
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn imei_and_tac_are_swapped_bcd() {
        let imei = device("imei = \"001010101234565\"").expect("IMEI");
        assert_eq!(imei.tac, Some([0x00, 0x01, 0x01, 0x01]));
        assert_eq!(imei.imei.expect("IMEI")[7], 0xF5);
        let tac = device("tac = \"12345678\"").expect("TAC");
        assert_eq!((tac.tac, tac.imei), (Some([0x21, 0x43, 0x65, 0x87]), None));
        assert_eq!(device("").expect("none").tac, None);
        for (text, expected) in [
            ("imei = \"1\"", "device.imei"),
            ("tac = \"1234567x\"", "device.tac"),
            (
                "tac = \"12345678\"\nimei = \"001010101234565\"",
                "device.tac",
            ),
        ] {
            let error = device(text).expect_err(text);
            assert!(error.contains(expected), "{error}");
        }
    }
}
