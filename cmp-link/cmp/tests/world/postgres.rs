//! A throw-away PostgreSQL.
#![allow(unused_imports, unreachable_pub, reason = "not every test uses it")]

pub use aid_needs::postgres::Postgres;
