//! `aid-lpa.toml` and the same things on the command line.

use crate::bearer::Bearer;
use crate::lpa::default_device;
use crate::trust::Trust;
use aid_cli::cli::Failure;
use aid_cli::config;
use aid_port::{DeviceTable, EuiccTable, TableError};
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
    pub(crate) euicc: EuiccTable,
    pub(crate) ci: Vec<PathBuf>,
    pub(crate) trust: Option<Trust>,
    pub(crate) ci_folder: Option<PathBuf>,
    pub(crate) private_smdp: bool,
    pub(crate) bearer: BearerConfig,
    pub(crate) device: DeviceTable,
    /// The key before `euicc.port`. Still read.
    socket: Option<String>,
    /// The key before `euicc.isdr_aid`. Still read.
    isdr_aid: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct BearerConfig {
    pub(crate) interface: Option<String>,
    pub(crate) source: Option<IpAddr>,
}

impl Config {
    /// Reads the file; paths become relative to its folder.
    pub(crate) fn load(file: &Path) -> Result<Self, Failure> {
        let mut config: Self = config::load(file)?;
        for path in &mut config.ci {
            *path = config::beside(file, path);
        }
        if let Some(Trust::File(path)) = &mut config.trust {
            *path = config::beside(file, path);
        }
        if let Some(folder) = &mut config.ci_folder {
            *folder = config::beside(file, folder);
        }
        // A wrong value shall not wait for the operation that needs it.
        let at = |what: String| Failure::new(format!("{}: {what}", file.display()));
        for (old, new, key) in [
            (config.socket.take(), &mut config.euicc.socket, "socket"),
            (
                config.isdr_aid.take(),
                &mut config.euicc.isdr_aid,
                "isdr_aid",
            ),
        ] {
            if old.is_some() && new.is_some() {
                let text = format!("{key} is the old place of a key of [euicc]; leave it out");
                return Err(at(text));
            }
            *new = old.or_else(|| new.take());
        }
        let folder = file.parent().unwrap_or(Path::new(""));
        config.euicc.check(folder).map_err(|e| at(e.to_string()))?;
        config.device().map_err(|e| at(e.to_string()))?;
        Ok(config)
    }

    pub(crate) fn bearer(&self) -> Bearer {
        Bearer {
            interface: self.bearer.interface.clone().filter(|i| !i.is_empty()),
            source: self.bearer.source,
        }
    }

    /// The device with its TAC and IMEI.
    pub(crate) fn device(&self) -> Result<DeviceInfo, Failure> {
        device_info(&self.device).map_err(|e| Failure::new(e.to_string()))
    }
}

/// The usual device with the TAC and IMEI of a configuration.
///
/// # Errors
/// A key of the table is malformed.
pub fn device_info(table: &DeviceTable) -> Result<DeviceInfo, TableError> {
    let own = table.device()?;
    let mut device = default_device();
    device.tac = own.tac.unwrap_or(device.tac);
    device.imei = own.imei;
    Ok(device)
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
        assert_eq!(
            config.euicc.isdr().expect("AID"),
            Some(crate::ISDR_AID.to_vec())
        );
        let device = config.device().expect("device");
        assert_eq!(device.tac, [0x00, 0x01, 0x01, 0x01]);
        assert_eq!(device.imei.expect("IMEI")[7], 0xF5);
        assert_eq!(config.bearer().interface.as_deref(), Some("wwan0"));
    }

    #[test]
    fn keys_of_older_files_are_read() {
        let old = load("socket = \"127.0.0.1:1\"\nisdr_aid = \"A000000559\"").expect("old");
        let settings = old.euicc.settings().expect("settings");
        assert_eq!(settings.address.to_string(), "socket:127.0.0.1:1");
        assert_eq!(old.euicc.isdr().expect("AID").expect("AID").len(), 5);
    }

    #[test]
    fn wrong_values_are_named() {
        for (text, expected) in [
            ("isdr_aid = \"A0\"", "isdr_aid"),
            ("socket = \"a:1\"\n[euicc]\nport = \"pcsc\"", "euicc.port"),
            ("socket = \"a:1\"\n[euicc]\nsocket = \"a:1\"", "old place"),
            ("[device]\nimei = \"1\"", "device.imei"),
            ("colour = 1", "colour"),
            ("[bearer]\nsource = \"x\"", "line 2"),
        ] {
            let error = load(text).expect_err(text);
            assert!(error.contains(expected), "{error}");
        }
    }
}
