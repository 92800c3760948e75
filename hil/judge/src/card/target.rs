//! The target file of a card.

use crate::rsp::keys::{CertifiedKey, TestCurve};
use aid_port::EuiccTable;
use serde::Deserialize;
use std::path::PathBuf;

/// A card under test: where it is, which keys it accepts, what it is declared to be, what may be done to it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// How the card is reached: the table of docs/euicc.md.
    pub euicc: EuiccTable,
    /// Keys of the SM-DP+ that the judge plays. Without them only what needs no SM-DP+ is judged.
    #[serde(default)]
    pub server: Server,
    /// EID, 32 digits, as printed on it.
    #[serde(default)]
    pub eid: Option<String>,
    /// SVN of EUICCInfo, as `2.4.0`.
    #[serde(default)]
    pub svn: Option<String>,
    /// The card may be emptied by eUICCMemoryReset, where it has no profile but the judge's.
    #[serde(default)]
    pub memory_reset: bool,
}

/// Keys of the SM-DP+ that the judge plays: a whole folder, or single files.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// A folder in the layout of SGP.26 (`CertificateIssuer`, `DPauth`, `DPpb`): the published one, or one that
    /// `euicc-sim mint-pki` or `aid-hil init` made.
    pub pki: Option<PathBuf>,
    /// Whose files of that folder.
    pub curve: TestCurve,
    /// CI certificate, DER or PEM; wins over that of the folder.
    pub ci: Option<PathBuf>,
    /// CERT.DPauth.ECDSA with its key; wins over that of the folder.
    pub dpauth: Option<CertifiedKey>,
    /// CERT.DPpb.ECDSA with its key; wins over that of the folder.
    pub dppb: Option<CertifiedKey>,
    /// FQDN that the SM-DP+ calls itself.
    pub address: Option<String>,
}
