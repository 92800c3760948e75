//! Misbehaviours about activation codes: when they come, which profile is swapped, what they say (AID.02 §4.3.1, §7.7).

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Fired, Name};

/// How a request for an activation code is worked on. The default is to behave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Order {
    /// The answer is 201 in any case.
    pub(crate) later: bool,
    /// To wait before the work.
    pub(crate) delay: Duration,
    /// No code ever follows.
    pub(crate) never: bool,
    /// The code is sent before the 201.
    pub(crate) before_the_answer: bool,
    /// The connection is closed after a while; the code follows.
    pub(crate) cut_after: Option<Duration>,
    /// The error that follows the 201: code and text.
    pub(crate) fails: Option<(u16, String)>,
    /// An invalidated token gets a code.
    pub(crate) dead_token: bool,
    /// A strange `replaceIccid` is refused.
    pub(crate) minds_candidate: bool,
    /// The candidate is not taken.
    pub(crate) own_swap: bool,
    /// A profile is swapped although a slot is free.
    pub(crate) early_swap: bool,
}

/// What the rules make of a request.
#[must_use]
pub(crate) fn order(fired: &[Fired]) -> Order {
    let mut order = Order::default();
    for one in fired {
        let parameters = &one.parameters;
        match one.name {
            Name::Asynchronous => order.later = true,
            Name::LateCode => {
                order.later = true;
                order.delay = parameters.delay(5_000);
            }
            Name::NeverCode => order.never = true,
            Name::CodeBefore201 => order.before_the_answer = true,
            Name::CodeAfterTimeout => order.cut_after = Some(parameters.delay(0)),
            Name::FailLater => {
                let code = parameters.code.unwrap_or(49);
                let text = parameters.text_or("on purpose").to_owned();
                order.fails = Some((code, text));
                order.later = true;
            }
            Name::TakesDeadToken => order.dead_token = true,
            Name::MindsCandidate => order.minds_candidate = true,
            Name::OwnSwap => order.own_swap = true,
            Name::EarlySwap => order.early_swap = true,
            _ => {}
        }
    }
    order
}

/// Changes the members of an activation code, in an answer or in Send Activation Code.
pub(super) fn twist_code(fired: &Fired, members: &mut Map<String, Value>) {
    let parameters = &fired.parameters;
    let mut set = |name: &str, value: Value| {
        members.insert(name.into(), value);
    };
    match fired.name {
        Name::HiddenSwap => set("swappedIccid", Value::Null),
        Name::StrangeSwap => set("swappedIccid", json!(parameters.iccid_or_nobodys())),
        Name::SelfSwap => {
            let iccid = members.get("iccid").cloned().unwrap_or_default();
            members.insert("swappedIccid".into(), iccid);
        }
        Name::ForeignIccid => set("iccid", json!(parameters.iccid_or_nobodys())),
        Name::NoIccid => {
            members.remove("iccid");
        }
        Name::BadActivationCode => set("activationCode", json!(parameters.text_or("not-a-code"))),
        Name::WrongProfileType => set("profileType", json!(parameters.text_or("commercial"))),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::misbehave::{Parameters, Stage};

    fn fired(name: Name) -> Fired {
        Fired {
            rule: 1,
            name,
            parameters: Parameters::default(),
        }
    }

    #[test]
    fn each_name_about_codes_changes_something() {
        let members = json!({
            "activationCode": "1$smdp.example$M", "iccid": "8944500805172032953", "profileType": "personal",
            "swappedIccid": "8944500805172032961",
        });
        let Value::Object(members) = members else {
            panic!()
        };
        for name in Name::ALL.iter().filter(|n| n.stage() == Stage::Code) {
            let mut changed = members.clone();
            twist_code(&fired(*name), &mut changed);
            assert_ne!(changed, members, "{name:?}");
        }
    }

    #[test]
    fn rules_add_up() {
        let both = order(&[fired(Name::LateCode), fired(Name::OwnSwap)]);
        assert!(both.later && both.own_swap && both.delay == Duration::from_secs(5));
        assert_eq!(order(&[]), Order::default());
    }
}
