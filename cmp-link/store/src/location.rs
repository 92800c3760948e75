//! Where the database is: a SQLite file, or a PostgreSQL server, by one line of the configuration.

use crate::postgres::Server;
use aid_id::Secret;
use serde::Deserialize;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Database {
    /// A file; made when it is not there.
    Sqlite(PathBuf),
    /// `postgres://USER[:PASSWORD]@HOST[:PORT]/NAME[?OPTION=VALUE...]`, options as libpq names them.
    Postgres(Secret),
}

/// Why a text names no database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    /// Neither of the two kinds.
    #[error("database {0:?}: use a file for SQLite, or postgres://USER@HOST/NAME")]
    Scheme(String),
    /// A PostgreSQL URL that can't be read; its text is not shown, it may have a password.
    #[error("database: the postgres:// URL can't be read: {0}")]
    Url(String),
    /// A server elsewhere, reached without certain encryption (AID.02 §6).
    #[error(
        "database: the server {0} is not on this machine; add ?sslmode=verify-full (and \
         sslrootcert=FILE for a private CA), AID.02 §6 wants every line encrypted"
    )]
    Plain(String),
}

impl FromStr for Database {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            let server = Server::parse(text)?;
            if let (Some(host), false) = (server.elsewhere(), server.is_verified()) {
                return Err(LocationError::Plain(host.to_owned()));
            }
            return Ok(Self::Postgres(Secret::new(text.to_owned())));
        }
        match text.split_once("://") {
            Some((scheme, _)) => Err(LocationError::Scheme(format!("{scheme}://..."))),
            None if text.is_empty() => Err(LocationError::Scheme(String::new())),
            None => Ok(Self::Sqlite(text.into())),
        }
    }
}

impl<'de> Deserialize<'de> for Database {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl From<&Path> for Database {
    fn from(path: &Path) -> Self {
        Self::Sqlite(path.to_owned())
    }
}

impl From<&PathBuf> for Database {
    fn from(path: &PathBuf) -> Self {
        Self::Sqlite(path.clone())
    }
}

impl From<&Database> for Database {
    fn from(database: &Database) -> Self {
        database.clone()
    }
}

/// The file, or the server without its credentials.
impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => path.display().fmt(f),
            Self::Postgres(url) => {
                let rest = url.expose().split_once("://").map_or("", |(_, rest)| rest);
                let rest = rest.split('?').next().unwrap_or_default();
                let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
                write!(f, "postgres://{host}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_the_database() {
        let parse = |text: &str| text.parse::<Database>();
        assert_eq!(
            parse("a b.sqlite"),
            Ok(Database::Sqlite("a b.sqlite".into()))
        );
        let url = "postgres://cmp:s3cret@localhost:5433/aid";
        let database = parse(url).unwrap();
        assert_eq!(database.to_string(), "postgres://localhost:5433/aid");
        assert!(!format!("{database:?}").contains("s3cret"));
        assert!(parse("postgresql:///aid?host=/run/postgresql").is_ok());
        assert!(matches!(parse(""), Err(LocationError::Scheme(_))));
        for nameless in [
            "postgres://",
            "postgres://cmp@localhost",
            "postgres://cmp@localhost/",
        ] {
            assert!(
                matches!(parse(nameless), Err(LocationError::Url(_))),
                "{nameless}"
            );
        }
        assert!(parse("postgres:///aid?host=/run/postgresql&isolation=serializable").is_ok());
        let odd = parse("postgres:///aid?host=/run/postgresql&isolation=none").unwrap_err();
        assert!(odd.to_string().contains("isolation=none"), "{odd}");
        let odd = parse("mysql://root:pw@h/x").unwrap_err().to_string();
        assert!(odd.contains("mysql://") && !odd.contains("pw"), "{odd}");
    }

    // R-6-7
    #[test]
    fn a_server_elsewhere_is_reached_encrypted_only() {
        let parse = |text: &str| text.parse::<Database>();
        let error = parse("postgres://cmp:s3cret@db.example/aid").unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("db.example") && text.contains("verify-full"),
            "{text}"
        );
        assert!(!text.contains("s3cret"), "{text}");
        for mode in ["disable", "allow", "prefer", "require"] {
            assert!(parse(&format!("postgres://db.example/aid?sslmode={mode}")).is_err());
        }
        for mode in ["verify-ca", "verify-full"] {
            assert!(parse(&format!("postgres://db.example/aid?sslmode={mode}")).is_ok());
        }
    }
}
