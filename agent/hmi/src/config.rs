//! `hmi.toml`: where the agent is, where the page is served, how it looks.

use crate::language::Language;
use aid_cli::cli::Failure;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The commented example, also committed beside the crate.
pub(crate) const EXAMPLE: &str = include_str!("../aid-hmi.example.toml");

/// The configuration of the HMI.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Unix socket of the agent's local API.
    pub(crate) agent: PathBuf,
    /// Loopback address of the page.
    #[serde(default)]
    pub(crate) listen: Option<SocketAddr>,
    /// File with a page that leads a browser to the address with the token; for `listen` only.
    #[serde(default)]
    pub(crate) start_page: Option<PathBuf>,
    /// Unix socket of the page, in place of `listen`.
    #[serde(default)]
    pub(crate) socket: Option<PathBuf>,
    /// Users who may use the socket besides root and the HMI's own.
    #[serde(default)]
    pub(crate) socket_uids: Vec<u32>,
    /// Language of the page; `None`: the first one that the browser asks for.
    #[serde(default)]
    pub(crate) language: Option<Language>,
    /// Colours of the page.
    #[serde(default)]
    pub(crate) theme: Theme,
}

/// Colours of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Theme {
    /// As the browser wants them (`prefers-color-scheme`).
    #[default]
    Auto,
    /// Dark on light.
    Day,
    /// Light on dark, without large bright areas.
    Night,
}

impl Config {
    /// Reads and checks the file.
    ///
    /// # Errors
    /// Unreadable, not TOML, unknown keys, an address that others than this machine reach, or not exactly one of `listen`
    /// and `socket`.
    pub(crate) fn load(file: &Path) -> Result<Self, Failure> {
        let wrong = |what: &str| Failure::new(format!("{}: {what}", file.display()));
        let mut config: Self = aid_cli::config::load(file)?;
        match (config.listen, &config.socket) {
            (Some(address), None) if !address.ip().is_loopback() => {
                let text = "listen must be a loopback address, such as 127.0.0.1:8120: the page is for the screen of the car";
                return Err(wrong(text));
            }
            (Some(_), None) | (None, Some(_)) => {}
            _ => return Err(wrong("set either listen or socket")),
        }
        if config.socket.is_some() && config.start_page.is_some() {
            return Err(wrong("start_page is for listen; a socket needs no token"));
        }
        if config.listen.is_some() && !config.socket_uids.is_empty() {
            let text = "socket_uids is for socket; at listen whoever has the token is let in";
            return Err(wrong(text));
        }
        let paths = [&mut config.start_page, &mut config.socket];
        for path in paths.into_iter().flatten().chain([&mut config.agent]) {
            *path = aid_cli::config::beside(file, path);
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, String> {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("hmi.toml");
        std::fs::write(&file, text).expect("write");
        Config::load(&file).map_err(|e| e.to_string())
    }

    #[test]
    fn the_example_is_valid() {
        let config = load(EXAMPLE).expect("example");
        assert!(config.agent.is_absolute());
        assert!(config.start_page.expect("a start page").is_absolute());
    }

    #[test]
    fn nobody_outside_of_the_car_is_served() {
        for address in ["0.0.0.0:8120", "192.168.1.7:80", "[::]:8120", "[fe80::1]:1"] {
            let error = load(&format!("agent = \"a\"\nlisten = \"{address}\"")).expect_err(address);
            assert!(error.contains("loopback"), "{error}");
        }
        load("agent = \"a\"\nlisten = \"[::1]:0\"").expect("loopback");
    }

    #[test]
    fn there_is_one_door_and_its_settings_fit_it() {
        for (text, word) in [
            ("agent = \"a\"", "either"),
            (
                "agent = \"a\"\nlisten = \"127.0.0.1:1\"\nsocket = \"s\"",
                "either",
            ),
            (
                "agent = \"a\"\nsocket = \"s\"\nstart_page = \"p\"",
                "start_page",
            ),
            (
                "agent = \"a\"\nlisten = \"127.0.0.1:1\"\nsocket_uids = [1]",
                "socket_uids",
            ),
            ("agent = \"a\"\nsocket = \"s\"\nlanguage = \"fr\"", "fr"),
            ("socket = \"s\"", "agent"),
        ] {
            let error = load(text).expect_err(text);
            assert!(error.contains(word), "{error}");
        }
    }
}
