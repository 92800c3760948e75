//! The target file of an SM-DP+.

use crate::rsp::keys::{CertifiedKey, TestCurve};
use serde::Deserialize;
use std::path::PathBuf;

/// An SM-DP+ under test: where it is, the eUICC that it accepts, and how the judge gets orders. Paths are relative to the
/// file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// ES9+: HOST or HOST:PORT, as LPAs have it in activation codes.
    pub address: String,
    /// smdpAddress of InitiateAuthentication, where that is not `address` (a server behind a forwarded port).
    #[serde(default)]
    pub smdp_address: Option<String>,
    /// CI certificate that the TLS certificate is under, DER or PEM; the eUICC's CI without it.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// Certificates and key of the eUICC that the judge plays.
    pub euicc: Card,
    /// The operator that the judge plays; without it, ES2+ is not judged.
    #[serde(default)]
    pub es2: Option<Operator>,
    /// Released orders that the judge may use up, without Confirmation Code; for servers without [smdp.es2].
    #[serde(default)]
    pub matching_ids: Vec<String>,
}

/// The eUICC that the judge plays.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Card {
    /// A folder in the layout of SGP.26 (`CertificateIssuer`, `EUM`, `eUICC`).
    pub pki: Option<PathBuf>,
    /// Whose files of that folder.
    pub curve: TestCurve,
    /// CI certificate; wins over that of the folder.
    pub ci: Option<PathBuf>,
    /// EUM certificate; wins over that of the folder.
    pub eum: Option<PathBuf>,
    /// CERT.EUICC.ECDSA with its key; wins over that of the folder.
    pub euicc: Option<CertifiedKey>,
}

/// The operator that the judge plays on ES2+.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operator {
    /// HOST or HOST:PORT.
    pub address: String,
    /// Issuer of the server's certificate, PEM.
    pub ca: PathBuf,
    /// The operator's client certificate, PEM.
    pub cert: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// functionRequesterIdentifier.
    #[serde(default = "requester")]
    pub requester: String,
    /// Profile that the judge orders; or
    #[serde(default)]
    pub iccid: Option<String>,
    /// type of the profiles that it orders. Without either the server chooses.
    #[serde(default)]
    pub profile_type: Option<String>,
}

fn requester() -> String {
    "2.999.1".to_owned()
}
