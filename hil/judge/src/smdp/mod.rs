//! The judge of SM-DP+ servers: ES9+ of SGP.22 v2.x, and ES2+ where the target file has an operator's certificate. The
//! judge plays the LPA with an eUICC, and the operator.
//!
//! A test cancels what it has ordered. An order that a card reported as installed is followed by the report of its
//! deletion, so that the profile can be ordered again where the server lets it.

mod authenticate;
mod bindings;
mod cancel;
mod initiate;
mod notify;
mod orders;
mod package;
mod rig;
mod said;
mod steps;
mod target;

pub use rig::Rig;
pub use target::Target;

use crate::subject::{Setting, Subject};
use crate::test::Test;
use aid_cli::cli::Failure;

/// The judge can get orders: over ES2+, or out of the target file.
fn with_order(rig: &Rig) -> Result<(), String> {
    rig.can_order()
}

/// The judge is an operator.
fn with_es2(rig: &Rig) -> Result<(), String> {
    rig.es2().map(drop)
}

/// The judge is an operator, and can make other eUICCs.
fn with_other_card(rig: &Rig) -> Result<(), String> {
    with_es2(rig)?;
    rig.other_card().map(drop)
}

impl Subject for Rig {
    const KIND: &'static str = "smdp";
    type Target = Target;

    fn tests() -> Vec<Test<Self>> {
        [
            initiate::tests(),
            bindings::tests(),
            authenticate::tests(),
            package::tests(),
            cancel::tests(),
            notify::tests(),
            orders::tests(),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn open(target: Target, setting: &Setting) -> Result<Self, Failure> {
        Self::at(target, setting)
    }

    fn secrets(&mut self) -> Option<aid_report::Mask> {
        Some(self.take_mask())
    }
}
