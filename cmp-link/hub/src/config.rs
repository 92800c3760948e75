//! Configuration of `aid-hub`: read, checked as a whole. `aid-hub.example.toml` explains every key.

use std::path::{Path, PathBuf};
use std::time::Duration;

use aid_cli::cli::Failure;
use aid_cli::config::{beside, load};
use aid_serve::limit::Rate;
use aid_serve::peer::{Certificate, Several};
use aid_serve::{admin, door, http, slots, telemetry};
use aid_store::Database;
use serde::Deserialize;

use crate::core::delivery::Patience;

/// The commented example.
pub(crate) const EXAMPLE: &str = include_str!("../aid-hub.example.toml");

/// The file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// SQLite file, or PostgreSQL.
    pub(crate) database: Database,
    /// Where the parties call.
    pub(crate) aid1: Listener,
    /// How the hub calls them.
    pub(crate) client: Client,
    /// Pages and API for operators; none if absent.
    pub(crate) console: Option<Console>,
    /// Metrics and health.
    #[serde(default)]
    pub(crate) admin: admin::Config,
    /// Export of traces; absent: none.
    pub(crate) telemetry: Option<telemetry::Config>,
    /// How many connections one client may have.
    #[serde(default)]
    pub(crate) connections: slots::Config,
    /// How often parties may call, and how long an answer may take.
    #[serde(default)]
    pub(crate) limits: Limits,
    /// Calls that were accepted for a target that is away.
    #[serde(default)]
    pub(crate) delivery: Delivery,
    /// How long things are kept.
    #[serde(default)]
    pub(crate) retention: Retention,
    /// The files among it that TLS needs.
    #[serde(skip)]
    pub(crate) certificates_and_keys: Vec<PathBuf>,
}

/// `[aid1]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listener {
    /// HOST:PORT
    pub(crate) listen: String,
    /// Server certificate.
    pub(crate) cert: PathBuf,
    /// Its key.
    pub(crate) key: PathBuf,
    /// CA of the parties' client certificates.
    pub(crate) client_ca: PathBuf,
}

/// `[client]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Client {
    /// Client certificate.
    pub(crate) cert: PathBuf,
    /// Its key.
    pub(crate) key: PathBuf,
    /// CA of the parties' server certificates.
    pub(crate) ca: PathBuf,
}

/// `[console]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Console {
    /// HOST:PORT
    pub(crate) listen: String,
    /// Server certificate.
    pub(crate) cert: PathBuf,
    /// Its key.
    pub(crate) key: PathBuf,
    /// CA of the operators' client certificates.
    pub(crate) client_ca: PathBuf,
    /// Common names of the operators' certificates.
    #[serde(default)]
    pub(crate) common_name: Several,
    /// SHA-256 of the operators' certificates.
    #[serde(default)]
    pub(crate) certificate_sha256: Several,
}

impl Console {
    /// The certificates of operators; an empty list admits no one.
    ///
    /// # Errors
    /// A value that no certificate can have.
    pub(crate) fn admitted(&self) -> Result<Vec<Certificate>, Failure> {
        door::named("console", &self.common_name, &self.certificate_sha256)
    }
}

/// `[limits]`
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    /// Calls of a pair without a rate of its own.
    pub(crate) pair: Rate,
    /// Calls of a pair that may be under way at once, towards each side.
    pub(crate) at_once: u16,
    /// Calls with a certificate that proved nothing more.
    pub(crate) certificate: Rate,
    /// Longest time for a synchronous activation code, ms.
    pub(crate) synchronous_ms: u32,
    /// Longest time for any other answer, ms.
    pub(crate) answer_ms: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pair: Rate::new(500.0, 1000),
            at_once: 200,
            certificate: Rate::new(10.0, 100),
            synchronous_ms: 3000,
            answer_ms: 8000,
        }
    }
}

/// `[delivery]`
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Delivery {
    /// The first pause, ms.
    pub(crate) first_pause_ms: u32,
    /// The longest pause, seconds.
    pub(crate) longest_pause_s: u32,
    /// How long a call is tried, hours.
    pub(crate) give_up_h: u32,
    /// Deliveries to one target at once.
    pub(crate) places: u16,
    /// Undelivered calls of a pair, dead letters among them.
    pub(crate) kept_calls: u32,
    /// Bytes of their bodies, 1,000,000 each.
    pub(crate) kept_mb: u32,
}

impl Default for Delivery {
    fn default() -> Self {
        Self {
            first_pause_ms: 1000,
            longest_pause_s: 300,
            give_up_h: 72,
            places: 8,
            kept_calls: 10_000,
            kept_mb: 100,
        }
    }
}

impl Delivery {
    /// The same as durations.
    #[must_use]
    pub(crate) fn patience(&self) -> Patience {
        Patience {
            first: Duration::from_millis(u64::from(self.first_pause_ms)),
            longest: Duration::from_secs(u64::from(self.longest_pause_s)),
            give_up: Duration::from_secs(u64::from(self.give_up_h) * 3600),
        }
    }
}

/// `[retention]`, days.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Retention {
    /// Answers for repetitions.
    pub(crate) answers_days: u16,
    /// Dead letters and dropped calls.
    pub(crate) letters_days: u16,
    /// Tokens whose onboarding has ended.
    pub(crate) ended_tokens_days: u16,
    /// The audit trail.
    pub(crate) audit_days: u16,
    /// The meter.
    pub(crate) meter_days: u16,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            answers_days: 7,
            letters_days: 90,
            ended_tokens_days: 30,
            audit_days: 730,
            meter_days: 730,
        }
    }
}

impl Config {
    /// Reads and checks a file; its paths become relative to it.
    ///
    /// # Errors
    /// One sentence with file, key and remedy.
    pub(crate) fn read(file: &Path) -> Result<Self, Failure> {
        let mut config: Self = load(file)?;
        config.resolve(file);
        let wrong = |what: String| Failure::new(format!("{}: {what}", file.display()));
        config.check().map_err(wrong)?;
        Ok(config)
    }

    /// The private keys that it names.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &Path> {
        let own = [&self.aid1.key, &self.client.key];
        let console = self.console.iter().map(|console| &console.key);
        let all = own.into_iter().chain(console).chain(&self.admin.key);
        all.map(PathBuf::as_path)
    }

    fn resolve(&mut self, file: &Path) {
        if let Database::Sqlite(path) = &self.database {
            self.database = Database::Sqlite(beside(file, path));
        }
        let (aid1, client) = (&mut self.aid1, &mut self.client);
        let own = [&mut aid1.cert, &mut aid1.key, &mut aid1.client_ca];
        let calls = [&mut client.cert, &mut client.key, &mut client.ca];
        let console = self.console.iter_mut();
        let console = console.flat_map(|c| [&mut c.cert, &mut c.key, &mut c.client_ca]);
        for path in own.into_iter().chain(calls).chain(console) {
            *path = beside(file, path);
            self.certificates_and_keys.push(path.clone());
        }
        self.admin.resolve(file);
        let admin = [&self.admin.cert, &self.admin.key, &self.admin.client_ca];
        let admin = admin.into_iter().flatten().cloned();
        self.certificates_and_keys.extend(admin);
        if let Some(telemetry) = &mut self.telemetry {
            telemetry.resolve(file);
        }
    }

    fn check(&self) -> Result<(), String> {
        let address = |key: &str, address: &str| {
            http::check_address(key, address).map_err(|failure| failure.text)
        };
        address("aid1.listen", &self.aid1.listen)?;
        if let Some(console) = &self.console {
            address("console.listen", &console.listen)?;
        }
        for (name, rate) in [
            ("pair", self.limits.pair),
            ("certificate", self.limits.certificate),
        ] {
            rate.check().map_err(|e| format!("limits.{name}: {e}"))?;
        }
        self.connections.check()?;
        for (name, value, most) in [
            ("limits.synchronous_ms", self.limits.synchronous_ms, 30_000),
            ("limits.answer_ms", self.limits.answer_ms, 50_000),
            (
                "delivery.first_pause_ms",
                self.delivery.first_pause_ms,
                3_600_000,
            ),
            (
                "delivery.longest_pause_s",
                self.delivery.longest_pause_s,
                86_400,
            ),
            ("delivery.give_up_h", self.delivery.give_up_h, 8760),
            ("delivery.places", self.delivery.places.into(), 1000),
            ("delivery.kept_calls", self.delivery.kept_calls, 1_000_000),
            ("delivery.kept_mb", self.delivery.kept_mb, 100_000),
            ("limits.at_once", self.limits.at_once.into(), 10_000),
        ] {
            if !(1..=most).contains(&value) {
                return Err(format!("{name} {value} must be 1 to {most}"));
            }
        }
        let kept = &self.retention;
        for (name, days) in [
            ("answers_days", kept.answers_days),
            ("letters_days", kept.letters_days),
            ("ended_tokens_days", kept.ended_tokens_days),
            ("audit_days", kept.audit_days),
            ("meter_days", kept.meter_days),
        ] {
            if days == 0 {
                return Err(format!("retention.{name} must be at least 1"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("hub.toml");
        std::fs::write(&file, text).unwrap();
        Config::read(&file).map_err(|f| f.text)
    }

    #[test]
    fn the_example_is_valid_and_says_the_defaults() {
        let config = read(EXAMPLE).unwrap();
        assert!(config.client.ca.is_absolute());
        let all: String = EXAMPLE
            .lines()
            .map(|line| match line.strip_prefix("# ") {
                Some(rest) if rest.starts_with('[') => format!("{rest}\n"),
                Some(rest)
                    if rest.split_once(" = ").is_some_and(|(key, _)| {
                        key.bytes()
                            .all(|b| b == b'_' || b.is_ascii_lowercase() || b.is_ascii_digit())
                    }) =>
                {
                    format!("{rest}\n")
                }
                _ => format!("{line}\n"),
            })
            .collect();
        let shown = read(&all).map_err(|e| format!("{e}\n{all}"));
        // The hash of a certificate is no hash.
        let shown = shown.unwrap();
        assert!(shown.console.is_some() && shown.telemetry.is_some());
        assert_eq!(
            format!("{:?}", shown.limits),
            format!("{:?}", config.limits)
        );
        assert_eq!(
            format!("{:?}", shown.delivery),
            format!("{:?}", config.delivery)
        );
        assert_eq!(
            format!("{:?}", shown.retention),
            format!("{:?}", config.retention)
        );
    }

    #[test]
    fn wrong_values_are_named() {
        for (from, to, says) in [
            ("database =", "data_base =", "data_base"),
            ("127.0.0.1:8643", "here", "aid1.listen"),
            ("# places = 8", "places = 0", "delivery.places"),
            ("# at_once = 200", "at_once = 0", "limits.at_once"),
            ("# kept_mb = 100", "kept_mb = 0", "delivery.kept_mb"),
            ("# answers_days = 7", "answers_days = 0", "answers_days"),
            ("# answer_ms = 8000", "answer_ms = 99999", "answer_ms"),
            (
                "# pair = { per_second = 500.0",
                "pair = { per_second = 0.0",
                "limits.pair",
            ),
        ] {
            let error = read(&EXAMPLE.replacen(from, to, 1)).unwrap_err();
            assert!(
                error.contains(says) && error.contains("hub.toml"),
                "{error}"
            );
        }
    }
}
