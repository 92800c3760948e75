//! The judge of vehicles: agent, LPA and eUICC as one black box behind AID2 (docs/wire/aid2.md), between a CMP and an
//! SM-DP+ that the judge plays. AID.02 §4.3 to §4.5, A.4.

mod book;
mod gateway;
mod hello;
mod links;
mod login;
mod observe;
mod orders;
mod power;
mod provisioning;
mod reports;
mod rig;
mod shared;
mod target;
mod user;
mod variants;
mod void;

pub(crate) use rig::Rig;

use crate::subject::{Setting, Subject};
use crate::test::Test;
use aid_cli::cli::Failure;
use target::{Switch, Target};

/// Defines `tests()`, as [`crate::rsp::table`] does for rigs whose tests need no conditions of their own.
macro_rules! table {
    ($($name:literal [$($id:literal),*] $clause:literal $level:ident, $applies:expr, $run:expr, $about:literal;)+) => {
        /// The tests of this module.
        pub(super) fn tests() -> Vec<$crate::Test<super::Rig>> {
            vec![$($crate::Test {
                name: $name,
                requirements: &[$($id),*],
                clause: $clause,
                about: $about,
                level: $crate::Level::$level,
                sgp23: &[],
                applies: $applies,
                run: |rig, evidence| rig.case(evidence, $run),
            }),+]
        }
    };
}
use table;

/// The target file says how the power is cut.
fn with_power(rig: &Rig) -> Result<(), String> {
    match rig.has_power_switch() {
        true => Ok(()),
        false => Err("the target file has no [vehicle.power]".to_owned()),
    }
}

/// The target file names the vehicle's API.
fn with_api(rig: &Rig) -> Result<(), String> {
    match rig.target.user.api.is_some() {
        true => Ok(()),
        false => Err("the target file has no api in [vehicle.user]".to_owned()),
    }
}

/// A user can delete a profile at the HMI.
fn with_deletion(rig: &Rig) -> Result<(), String> {
    match rig.target.user.delete.is_some() || rig.target.user.api.is_some() {
        true => Ok(()),
        false => Err("the target file has no delete in [vehicle.user]".to_owned()),
    }
}

/// A user can log in by a code.
fn with_login_by_code(rig: &Rig) -> Result<(), String> {
    match rig.target.user.login_by_code.is_some() || rig.target.user.api.is_some() {
        true => Ok(()),
        false => Err("the target file has no login_by_code in [vehicle.user]".to_owned()),
    }
}

/// Longest time after ignition off that the judge waits for, seconds.
const LONGEST_GRACE: u64 = 120;

/// The ignition can be switched, and the session ends soon after.
fn with_ignition(rig: &Rig) -> Result<(), String> {
    match (&rig.target.ignition, rig.target.grace_s) {
        (Switch::None, _) => Err("the target file has no [vehicle.ignition]".to_owned()),
        (_, None) => Err("the target file has no grace_s in [vehicle]".to_owned()),
        (_, Some(grace)) if grace > LONGEST_GRACE => Err(format!(
            "grace_s is over {LONGEST_GRACE} s; set a shorter one in the vehicle and in the target file"
        )),
        _ => Ok(()),
    }
}

impl Subject for Rig {
    const KIND: &'static str = "vehicle";
    type Target = Target;

    fn tests() -> Vec<Test<Self>> {
        [
            hello::declared(),
            hello::tests(),
            login::tests(),
            provisioning::tests(),
            reports::tests(),
            orders::tests(),
            void::tests(),
            links::tests(),
            power::tests(),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn open(target: Target, setting: &Setting) -> Result<Self, Failure> {
        Self::at(target, setting)
    }

    fn variants() -> Vec<(&'static str, &'static str, &'static str)> {
        let all = variants::ALL.iter();
        all.map(|(_, name, finds, about)| (*name, *finds, *about))
            .collect()
    }

    fn disguise(&mut self, variant: Option<usize>) {
        let variant = variant.and_then(|n| variants::ALL.get(n));
        self.shared.state().variant = variant.map(|(variant, ..)| *variant);
        // What the last variant swallowed is said again over a new link, or by a vehicle that was started anew.
        self.break_link();
        self.lost_links = rig::LOST_LINKS;
    }
}

#[cfg(test)]
mod tests {
    use super::Rig;
    use crate::subject::Subject as _;

    #[test]
    fn a_test_proves_the_requirement_that_it_is_named_after() {
        for test in Rig::tests() {
            let id = test.name.split('/').next().unwrap_or_default();
            assert!(test.requirements.contains(&id), "{}", test.name);
        }
    }
}
