//! The target file of a vehicle.

use crate::aid1::{Hook, StartTarget};
use crate::rsp::keys::TestCurve;
use serde::Deserialize;
use std::path::PathBuf;

/// `[vehicle]`: a vehicle under test, and where it finds the judge's CMP and SM-DP+. Paths are relative to the file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Target {
    /// `HOST:PORT` where the judge's CMP listens for the vehicle.
    pub(super) listen: String,
    /// Its TLS certificate, which the vehicle accepts.
    pub(super) cert: PathBuf,
    /// The certificate's key.
    pub(super) key: PathBuf,
    /// CA of the vehicle's certificate.
    pub(super) client_ca: PathBuf,
    /// EID, 32 digits. Declared: a false one is found.
    pub(super) eid: String,
    /// Newest revision of AID2 that the vehicle announces (docs/wire/aid2.md). Declared: a false one is found.
    #[serde(default = "revision")]
    pub(super) revision: u8,
    /// How the judge's SM-DP+ is reached.
    pub(super) smdp: SmdpTarget,
    /// How the judge does what a user does.
    pub(super) user: UserTarget,
    /// What cuts the vehicle's power. Without it the tests that cut power are skipped.
    #[serde(default)]
    pub(super) power: Switch,
    /// What switches the ignition. Without it the test of parking is skipped.
    #[serde(default)]
    pub(super) ignition: Switch,
    /// Seconds from ignition off to the end of the session. Declared: a later end is found.
    #[serde(default)]
    pub(super) grace_s: Option<u64>,
    /// Longest wait for something that has to come, seconds.
    #[serde(default = "patience")]
    pub(super) patience: u64,
    /// How long the judge listens where nothing may come, milliseconds.
    #[serde(default = "quiet")]
    pub(super) quiet_ms: u64,
    /// Programs to start before the tests.
    #[serde(default)]
    pub(super) start: Vec<StartTarget>,
}

/// `[vehicle.smdp]`: the SM-DP+ that the judge plays.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SmdpTarget {
    /// `HOST:PORT` where it listens.
    pub(super) listen: String,
    /// Its host name, which its TLS certificate has.
    #[serde(default = "host")]
    pub(super) host: String,
    /// A folder in the layout of SGP.26 with the certificates that the vehicle's eUICC trusts.
    pub(super) pki: PathBuf,
    /// Whose files of that folder.
    #[serde(default)]
    pub(super) curve: TestCurve,
}

/// `[vehicle.user]`: the vehicle's API (docs/wire/aid4.md), or a command for each deed. A command is preferred.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UserTarget {
    /// Unix socket of the API.
    #[serde(default)]
    pub(super) api: Option<PathBuf>,
    /// A user logs in: `{user}` and `{pin}` are filled in.
    #[serde(default)]
    pub(super) login: Option<Hook>,
    /// The user logs out.
    #[serde(default)]
    pub(super) logout: Option<Hook>,
    /// The user deletes the profile `{iccid}`.
    #[serde(default)]
    pub(super) delete: Option<Hook>,
    /// The user asks for a login by a code.
    #[serde(default)]
    pub(super) login_by_code: Option<Hook>,
}

/// What switches a line of the vehicle.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, tag = "by", rename_all = "lowercase")]
pub(super) enum Switch {
    /// Nothing.
    #[default]
    None,
    /// Power: the programs that the judge has started are killed (SIGKILL) and started again. Ignition: a signal of the
    /// vehicle's API.
    Simulated,
    /// A command, e.g. of a USB relay or `gpioset`.
    Command {
        /// Switches on.
        on: Vec<String>,
        /// Switches off.
        off: Vec<String>,
    },
}

const fn revision() -> u8 {
    aid_wire::REVISION
}

const fn patience() -> u64 {
    60
}

const fn quiet() -> u64 {
    3_000
}

fn host() -> String {
    "localhost".to_owned()
}
