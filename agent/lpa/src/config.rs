//! `aid-lpa.toml` and the same things on the command line. Called by `program`.

use crate::lpa::default_device;
use crate::tcp::Bearer;
use aid_cli::cli::Failure;
use aid_cli::config;
use aid_rsp::es10::DeviceInfo;
use serde::Deserialize;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// The commented example, also committed beside the crate.
pub(crate) const EXAMPLE: &str = include_str!("../aid-lpa.example.toml");

/// The file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    pub(crate) socket: Option<String>,
    pub(crate) ci: Vec<PathBuf>,
    pub(crate) isdr_aid: Option<String>,
    pub(crate) private_smdp: bool,
    pub(crate) bearer: BearerConfig,
    pub(crate) device: DeviceConfig,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct BearerConfig {
    pub(crate) interface: Option<String>,
    pub(crate) source: Option<IpAddr>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DeviceConfig {
    pub(crate) imei: Option<String>,
}

impl Config {
    /// Reads the file; paths become relative to its folder.
    pub(crate) fn load(file: &Path) -> Result<Self, Failure> {
        let mut config: Self = config::load(file)?;
        for path in &mut config.ci {
            *path = config::beside(file, path);
        }
        // A wrong value shall not wait for the operation that needs it.
        let at = |f: Failure| Failure::new(format!("{}: {f}", file.display()));
        config.isdr().map_err(at)?;
        config.device().map_err(at)?;
        Ok(config)
    }

    pub(crate) fn bearer(&self) -> Bearer {
        Bearer {
            interface: self.bearer.interface.clone().filter(|i| !i.is_empty()),
            source: self.bearer.source,
        }
    }

    pub(crate) fn isdr(&self) -> Result<Option<Vec<u8>>, Failure> {
        let Some(text) = &self.isdr_aid else {
            return Ok(None);
        };
        let digits: Option<Vec<u8>> = text
            .chars()
            .map(|c| c.to_digit(16).map(|d| d as u8))
            .collect();
        let aid = digits.filter(|d| d.len().is_multiple_of(2) && (10..=32).contains(&d.len()));
        let aid = aid.ok_or_else(|| {
            Failure::new(format!(
                "isdr_aid {text:?} is no AID; give 10 to 32 hexadecimal digits"
            ))
        })?;
        Ok(Some(
            aid.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect(),
        ))
    }

    /// The device with its IMEI, swapped BCD as SGP.22 §4.2 has it.
    pub(crate) fn device(&self) -> Result<DeviceInfo, Failure> {
        let mut device = default_device();
        let Some(imei) = &self.device.imei else {
            return Ok(device);
        };
        let digits: Option<Vec<u8>> = imei
            .chars()
            .map(|c| c.to_digit(10).map(|d| d as u8))
            .collect();
        let digits = digits.filter(|d| d.len() == 15).ok_or_else(|| {
            Failure::new(format!(
                "device.imei {imei:?} is no IMEI; give its 15 digits"
            ))
        })?;
        let mut bytes = [0xFF; 8];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
            *byte = pair.get(1).unwrap_or(&0xF) << 4 | pair[0];
        }
        device.tac.copy_from_slice(&bytes[..4]);
        device.imei = Some(bytes);
        Ok(device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, String> {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("lpa.toml");
        std::fs::write(&file, text).expect("write");
        Config::load(&file).map_err(|f| f.text)
    }

    #[test]
    fn the_example_is_valid_with_and_without_its_options() {
        let config = load(EXAMPLE).expect("example");
        assert!(config.ci[0].is_absolute());
        let all: String = EXAMPLE
            .lines()
            .map(|line| match line.strip_prefix("# ") {
                Some(option) if option.contains(" = ") => format!("{option}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        let config = load(&all).expect("all options");
        assert_eq!(config.isdr().expect("AID"), Some(crate::ISDR_AID.to_vec()));
        let device = config.device().expect("device");
        assert_eq!(device.tac, [0x00, 0x01, 0x01, 0x01]);
        assert_eq!(device.imei.expect("IMEI")[7], 0xF5);
        assert_eq!(config.bearer().interface.as_deref(), Some("wwan0"));
    }

    #[test]
    fn wrong_values_are_named() {
        for (text, expected) in [
            ("isdr_aid = \"A0\"", "isdr_aid"),
            ("isdr_aid = \"A00000055910é\"", "isdr_aid"),
            ("[device]\nimei = \"1\"", "device.imei"),
            ("colour = 1", "colour"),
            ("[bearer]\nsource = \"x\"", "line 2"),
        ] {
            let error = load(text).expect_err(text);
            assert!(error.contains(expected), "{error}");
        }
    }
}
