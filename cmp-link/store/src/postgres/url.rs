//! The URL of a server, options as libpq names them.

use crate::LocationError;
use std::path::PathBuf;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

/// How sure the encryption of a connection is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Encryption {
    /// None, or whatever the server offers.
    Any(SslMode),
    /// Verified: the server's certificate is of a CA of this file, or of one that the system trusts.
    Verified {
        /// PEM; none: the system's.
        roots: Option<PathBuf>,
        /// Whether the certificate has to be that of the host (`verify-full`).
        host: bool,
    },
}

/// A server, as the configuration names it.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) config: Config,
    pub(crate) encryption: Encryption,
    /// Transactions are SERIALIZABLE (`isolation=serializable`).
    pub(crate) serializable: bool,
}

/// Percent-decoded; none where that is not UTF-8.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |b: Option<u8>| char::from(b?).to_digit(16);
        let (high, low) = (digit(rest.next())?, digit(rest.next())?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

impl Server {
    /// Reads `postgres://USER[:PASSWORD]@HOST[:PORT]/NAME[?OPTION=VALUE...]`. The modes of `sslmode` that verify,
    /// `sslrootcert`, and our own `isolation` are read here; the rest is the driver's.
    pub(crate) fn parse(url: &str) -> Result<Self, LocationError> {
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut rest, mut mode, mut roots) = (Vec::new(), String::from("prefer"), None);
        let mut serializable = false;
        for pair in query.split('&').filter(|p| !p.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decoded(value)
                .ok_or_else(|| LocationError::Url(format!("the value of {name} is not UTF-8")))?;
            match name {
                "sslmode" => mode = value,
                "isolation" if value == "serializable" => serializable = true,
                "isolation" if value == "read-committed" => serializable = false,
                "isolation" => {
                    let text = format!("isolation={value}: use read-committed or serializable");
                    return Err(LocationError::Url(text));
                }
                "sslrootcert" => roots = Some(PathBuf::from(value)),
                _ => rest.push(pair),
            }
        }
        let joined = match rest.is_empty() {
            true => base.to_owned(),
            false => format!("{base}?{}", rest.join("&")),
        };
        let mut config: Config = joined
            .parse()
            .map_err(|e: tokio_postgres::Error| LocationError::Url(chain(&e)))?;
        let encryption = match mode.as_str() {
            "disable" => Encryption::Any(SslMode::Disable),
            // The driver has no mode that prefers none.
            "allow" | "prefer" => Encryption::Any(SslMode::Prefer),
            "require" => Encryption::Any(SslMode::Require),
            "verify-ca" => Encryption::Verified { roots, host: false },
            "verify-full" => Encryption::Verified { roots, host: true },
            other => {
                let text = format!(
                    "sslmode={other}: use verify-full, verify-ca, require, prefer or disable"
                );
                return Err(LocationError::Url(text));
            }
        };
        config.ssl_mode(match &encryption {
            Encryption::Any(mode) => *mode,
            Encryption::Verified { .. } => SslMode::Require,
        });
        if config.get_dbname().is_none_or(str::is_empty) {
            let text = "no database is named; write postgres://USER@HOST/NAME";
            return Err(LocationError::Url(text.into()));
        }
        if config.get_hosts().is_empty() {
            let text = "no host is named; write postgres://USER@HOST/NAME";
            return Err(LocationError::Url(text.into()));
        }
        Ok(Self {
            config,
            encryption,
            serializable,
        })
    }

    /// The first host that is not on this machine.
    pub(crate) fn elsewhere(&self) -> Option<&str> {
        self.config.get_hosts().iter().find_map(|host| match host {
            Host::Tcp(name) => {
                let here = matches!(name.as_str(), "localhost" | "127.0.0.1" | "::1" | "[::1]");
                (!here).then_some(name.as_str())
            }
            Host::Unix(_) => None,
        })
    }

    /// Whether it is certain who is at the other end.
    pub(crate) fn is_verified(&self) -> bool {
        matches!(self.encryption, Encryption::Verified { .. })
    }
}

/// An error with its causes; the driver's own text leaves them out.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}
