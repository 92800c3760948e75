//! The target file of an LPA.

use crate::rsp::keys::TestCurve;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// An LPA under test: a command that downloads a profile, and how it reaches the judge's card. Paths are relative to the
/// file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The command that downloads a profile, word by word. Replaced in each word: `{code}` (an activation code,
    /// `LPA:1$…`), `{server}` and `{matching_id}` (its parts), `{confirmation_code}`, `{card}` (HOST:PORT of the judge's
    /// card), `{ci}` (file of the CI certificate, DER), `{ci_pem}` (the same, PEM).
    pub download: Vec<String>,
    /// The same with a Confirmation Code.
    #[serde(default)]
    pub download_with_code: Vec<String>,
    /// The command that delivers the notifications that wait on the card.
    #[serde(default)]
    pub notifications: Vec<String>,
    /// How the LPA reaches the card.
    #[serde(default)]
    pub card: Way,
    /// Variables of the commands' environment; names in braces are replaced as in `download`.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// A folder in the layout of SGP.26, for LPAs that trust its CI only; the judge mints a PKI without it.
    #[serde(default)]
    pub pki: Option<PathBuf>,
    /// Whose files of that folder.
    #[serde(default)]
    pub curve: TestCurve,
    /// Where the judge's SM-DP+ listens.
    #[serde(default = "listen")]
    pub listen: String,
    /// Its host name, which the TLS certificate has; the LPA must find it.
    #[serde(default = "host")]
    pub host: String,
    /// An activation code names the host without the port (LPAs that take no port; `listen` is on port 443 then).
    #[serde(default)]
    pub without_port: bool,
    /// A download that fails ends with another exit code than 0.
    #[serde(default = "yes")]
    pub exit_codes: bool,
    /// The download delivers its own notification.
    #[serde(default = "yes")]
    pub delivers: bool,
    /// Longest time of one command, seconds.
    #[serde(default = "timeout")]
    pub timeout_s: u64,
}

/// How an LPA reaches the judge's card.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// Over a socket: two bytes of length before each APDU (docs/wire/apdu-socket.md).
    #[default]
    Socket,
    /// By JSON lines on its standard streams, as lpac with `LPAC_APDU=stdio` (docs/wire/lpac-stdio.md).
    LpacStdio,
}

fn listen() -> String {
    "127.0.0.1:0".to_owned()
}

fn host() -> String {
    "localhost".to_owned()
}

const fn yes() -> bool {
    true
}

const fn timeout() -> u64 {
    60
}
