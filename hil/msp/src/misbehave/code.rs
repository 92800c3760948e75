//! Misbehaviours about activation codes: when they come, which profile is swapped, what they say (AID.02 §4.3.1, §7.7).

use std::time::Duration;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::Name;
use super::rules::Fired;
use crate::core::model::{Delivery, OnboardingState, Profile};
use crate::core::order::{Full, Ordering, Slots};

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
    /// The candidate is not taken.
    pub(crate) own_swap: bool,
    /// A profile is swapped although a slot is free.
    pub(crate) early_swap: bool,
}

impl Ordering for Order {
    fn admits(&self, state: OnboardingState) -> bool {
        state.is_live() || (self.dead_token && state == OnboardingState::Invalidated)
    }

    fn is_begun(&self) -> bool {
        !self.never
    }

    fn delivery(&self, agreed: Delivery) -> Delivery {
        if self.later || self.before_the_answer || self.cut_after.is_some() {
            Delivery::Async
        } else {
            agreed
        }
    }

    fn pause(&self, usual: Duration) -> Duration {
        if self.before_the_answer {
            Duration::ZERO
        } else {
            usual + self.delay + self.cut_after.unwrap_or_default()
        }
    }

    fn refusal(&self) -> Option<String> {
        let (code, text) = self.fails.as_ref()?;
        Some(format!("{code}: {text}"))
    }

    fn to_swap<'a>(&self, slots: &Slots<'a>) -> Result<Option<&'a Profile>, Full> {
        if !slots.is_full() && !self.early_swap {
            return Ok(None);
        }
        let chosen = if self.own_swap {
            slots.oldest()
        } else {
            slots.by_policy()
        };
        if slots.is_full() && chosen.is_none() {
            return Err(Full);
        }
        Ok(chosen)
    }
}

/// A Send Activation Code for a profile that was never ordered.
pub(super) fn code_body(request_id: Uuid) -> String {
    json!({
        "activationCode": "1$smdp.invalid$LATE", "profileType": "personal", "error": null,
        "activationCodeRequestID": request_id.to_string(), "iccid": "8999999999999999995", "swappedIccid": null,
    })
    .to_string()
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
