//! Who works at the operator's desk: people at the console, programs with API keys, and whom the CMP calls back. Stored by
//! `store`; times are Unix milliseconds.

use aid_id::{Id, Secret};

text_enum! {
    /// What somebody may do at the desk; each role may do what those before it may.
    Role {
        /// Look at everything.
        Viewer = "viewer",
        /// Do what can be undone or repeated.
        Operator = "operator",
        /// Do everything.
        Admin = "admin",
    }
}

/// A key of the admin API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Names it.
    pub id: Id,
    /// Whose, for people and the audit trail.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// SHA-256 of the key, hexadecimal; the key itself is nowhere.
    pub hash: String,
    /// When it was made.
    pub created_at: u64,
    /// When it was revoked.
    pub revoked_at: Option<u64>,
}

/// Somebody who signs in at the console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// What they type, and what the audit trail says.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Argon2 hash of the password in PHC form; none: by certificate only.
    pub password: Option<Secret>,
    /// SHA-256 of their client certificate, hexadecimal; none: by password only.
    pub certificate: Option<String>,
    /// When they were added.
    pub created_at: u64,
}

/// An address that hears of orders and alarms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Names it.
    pub id: Id,
    /// `https://...`
    pub url: String,
    /// Key of the signatures.
    pub secret: Secret,
    /// When it was added.
    pub created_at: u64,
}
