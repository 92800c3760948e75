//! The judge of LPAs: a command that downloads a profile, between a card and an SM-DP+ that the judge plays. SGP.22 v2.x.

mod card;
pub(crate) mod certificates;
mod command;
mod download;
pub(crate) mod events;
mod notifications;
mod outcome;
mod refusals;
mod rig;
pub(crate) mod server;
mod target;
mod trust;

pub use rig::Rig;
pub use target::{Target, Way};

use crate::subject::{Setting, Subject};
use crate::test::Test;
use aid_cli::cli::Failure;

/// The target file has a command with a Confirmation Code.
fn with_code(rig: &Rig) -> Result<(), String> {
    match rig.target.download_with_code.is_empty() {
        true => Err("the target file has no command download_with_code".to_owned()),
        false => Ok(()),
    }
}

/// The download delivers its notification by itself.
fn with_delivery(rig: &Rig) -> Result<(), String> {
    match rig.target.delivers {
        true => Ok(()),
        false => Err("the target file says that a download delivers no notification".to_owned()),
    }
}

/// The target file has a command that delivers notifications.
fn with_notifications(rig: &Rig) -> Result<(), String> {
    match rig.target.notifications.is_empty() {
        true => Err("the target file has no command notifications".to_owned()),
        false => Ok(()),
    }
}

/// Failures show in the exit code.
fn with_exit_codes(rig: &Rig) -> Result<(), String> {
    match rig.target.exit_codes {
        true => Ok(()),
        false => Err("the target file says that exit codes tell nothing".to_owned()),
    }
}

/// The judge has the CI's key, so that it can make TLS certificates.
fn with_ci_key(rig: &Rig) -> Result<(), String> {
    rig.can_certify()
}

impl Subject for Rig {
    const KIND: &'static str = "lpa";
    type Target = Target;

    fn tests() -> Vec<Test<Self>> {
        [
            download::tests(),
            notifications::tests(),
            refusals::tests(),
            trust::tests(),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn open(target: Target, setting: &Setting) -> Result<Self, Failure> {
        Self::at(target, setting)
    }
}
