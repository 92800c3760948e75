//! What a partner does otherwise than AID.02 has it, and is tolerated because a strict reading would lose a user's data.
//! Each is counted per partner, so that an operator can have it mended.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};

use crate::body::{Iccids, Members};
use crate::operation::CmpOperation;

macro_rules! deviations {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)+) => {
        /// A deviation that is tolerated.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Deviation { $($(#[$doc])* $name,)+ }

        impl Deviation {
            /// Every deviation.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// Its name for operators.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }
        }
    };
}

deviations! {
    /// A member is `""` where the text wants null or nothing.
    EmptyText = "empty-text",
    /// An optional member is null, which the schema does not have.
    Null = "null",
    /// A member is absent where the text wants null.
    Absent = "absent",
    /// The correlation-id of a Send Activation Code is not that of its request (§7.7.2.1).
    CorrelationId = "correlation-id",
    /// A `profileType` beside an activation code is not `personal`.
    ProfileType = "profile-type",
    /// Send Activation Code came before the 201 that announces it (§7.7.2).
    EarlyCode = "code-before-201",
    /// A synchronous activation code took longer than 3 s (§7.7.1).
    LateAnswer = "late-synchronous-answer",
    /// Success under another status than the operation's.
    Status = "status",
    /// A body with a success that has none (Annex B).
    Body = "body",
    /// A status report names an EID that is none (§7.8).
    Eid = "eid",
    /// An ICCID has 18 digits (§5.4), as was agreed with the partner.
    ShortIccid = "short-iccid",
}

impl fmt::Display for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The deviations of one partner since they were last taken. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Deviations(Arc<Mutex<BTreeMap<Deviation, u64>>>);

impl Deviations {
    /// Counts one.
    pub fn note(&self, deviation: Deviation) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(deviation).or_default();
        *count = count.saturating_add(1);
    }

    /// Counts several.
    pub fn note_all(&self, deviations: impl IntoIterator<Item = Deviation>) {
        deviations.into_iter().for_each(|one| self.note(one));
    }

    /// Gives back what was taken and could not be kept.
    pub fn put_back(&self, counts: impl IntoIterator<Item = (Deviation, u64)>) {
        let mut here = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (deviation, more) in counts {
            let count = here.entry(deviation).or_default();
            *count = count.saturating_add(more);
        }
    }

    /// What was counted; it begins at zero again.
    #[must_use]
    pub fn take(&self) -> BTreeMap<Deviation, u64> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// How a member says that it has no value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Void {
    /// It is null (§7.3, §7.5, §7.7).
    Null,
    /// It is absent: the member is optional, and its schema has no null.
    Absent,
}

fn void(members: &Map<String, Value>, name: &str, right: Void) -> Option<Deviation> {
    match (members.get(name), right) {
        (None, Void::Null) => Some(Deviation::Absent),
        (Some(Value::Null), Void::Absent) => Some(Deviation::Null),
        (Some(Value::String(text)), _) if text.is_empty() => Some(Deviation::EmptyText),
        _ => None,
    }
}

fn is_void(members: &Map<String, Value>, name: &str) -> bool {
    match members.get(name) {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(_) => false,
    }
}

/// Whether one of these members is an ICCID of fewer digits than §5.4 has.
fn has_short_iccid(members: &Map<String, Value>) -> bool {
    let iccids = ["iccid", "swappedIccid"].map(|name| members.get(name).and_then(Value::as_str));
    let mut iccids = iccids.into_iter().flatten();
    iccids.any(|text| !text.is_empty() && Iccids::Standard.read(text).is_none())
}

/// The deviations in a body that an operation of the CMP has accepted. Each kind is there once.
#[must_use]
pub fn of_body(operation: CmpOperation, body: &Members) -> Vec<Deviation> {
    let members = body.all();
    let mut found = Vec::new();
    let mut look = |members: &Map<String, Value>, name: &str, right| {
        found.extend(void(members, name, right));
    };
    match operation {
        CmpOperation::SendActivationCode => {
            look(members, "error", Void::Null);
            look(members, "swappedIccid", Void::Null);
            if is_void(members, "error") {
                let personal = members.get("profileType").and_then(Value::as_str);
                if personal != Some("personal") {
                    found.push(Deviation::ProfileType);
                }
            } else {
                for name in ["activationCode", "profileType", "iccid"] {
                    look(members, name, Void::Null);
                }
            }
        }
        CmpOperation::SendMspToken => {
            look(members, "error", Void::Null);
            look(members, "customerGroup", Void::Absent);
            if !is_void(members, "error") {
                for name in ["msp_token", "phoneNumber", "subscriptionType", "iv"] {
                    look(members, name, Void::Null);
                }
            }
        }
        CmpOperation::NotifyTokenInvalid => look(members, "reason", Void::Absent),
        CmpOperation::UpdateSubscriptionInfo => look(members, "customerGroup", Void::Absent),
        CmpOperation::SendProfileInformation => {
            let profiles = members.get("profiles").and_then(Value::as_array);
            let profiles = profiles.into_iter().flatten().filter_map(Value::as_object);
            for profile in profiles.clone() {
                look(profile, "reason", Void::Null);
            }
            if profiles.clone().any(has_short_iccid) {
                found.push(Deviation::ShortIccid);
            }
        }
    }
    if has_short_iccid(members) {
        found.push(Deviation::ShortIccid);
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// The deviations in a synchronous activation code that was accepted (§7.7.1.1).
#[must_use]
pub fn of_response(body: &[u8]) -> Vec<Deviation> {
    let Ok(members) = serde_json::from_slice::<Map<String, Value>>(body) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    found.extend(void(&members, "swappedIccid", Void::Null));
    found.extend(void(&members, "iccid", Void::Absent));
    if members.get("profileType").and_then(Value::as_str) != Some("personal") {
        found.push(Deviation::ProfileType);
    }
    if has_short_iccid(&members) {
        found.push(Deviation::ShortIccid);
    }
    found.sort_unstable();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(operation: CmpOperation, body: Value) -> Vec<Deviation> {
        let Value::Object(members) = body else {
            panic!("an object")
        };
        of_body(operation, &Members::new(members))
    }

    #[test]
    fn every_way_to_say_nothing_is_told_from_the_right_one() {
        let code = |name: &str, value: Option<Value>| {
            let mut body = json!({
                "activationCode": "1$smdp.example$M", "profileType": "personal",
                "activationCodeRequestID": "d534080b-9794-4351-88e7-8af9e079ca1e",
                "error": null, "iccid": "8944500805172032953", "swappedIccid": null,
            });
            let members = body.as_object_mut().unwrap();
            match value {
                Some(value) => members.insert(name.into(), value),
                None => members.remove(name),
            };
            of(CmpOperation::SendActivationCode, body)
        };
        for name in ["error", "swappedIccid"] {
            assert_eq!(code(name, Some(Value::Null)), [], "{name}");
            assert_eq!(
                code(name, Some(json!(""))),
                [Deviation::EmptyText],
                "{name}"
            );
            assert_eq!(code(name, None), [Deviation::Absent], "{name}");
        }
        assert_eq!(
            code("profileType", Some(json!("operational"))),
            [Deviation::ProfileType]
        );
        let optional = [
            (CmpOperation::NotifyTokenInvalid, "reason"),
            (CmpOperation::UpdateSubscriptionInfo, "customerGroup"),
        ];
        for (operation, name) in optional {
            let of = |body: Value| of(operation, body);
            assert_eq!(of(json!({})), []);
            assert_eq!(of(json!({ name: "x" })), []);
            assert_eq!(of(json!({ name: null })), [Deviation::Null]);
            assert_eq!(of(json!({ name: "" })), [Deviation::EmptyText]);
        }
        let both = json!({"profiles": [{"reason": null}, {"reason": ""}, {}, {"reason": "x"}]});
        let both = of(CmpOperation::SendProfileInformation, both);
        assert_eq!(both, [Deviation::EmptyText, Deviation::Absent]);
    }

    #[test]
    fn clones_count_together_and_what_was_taken_can_go_back() {
        let here = Deviations::default();
        let there = here.clone();
        here.note(Deviation::Body);
        there.note_all([Deviation::Body, Deviation::Status]);
        let taken = here.take();
        assert_eq!(taken.get(&Deviation::Body), Some(&2));
        assert!(there.take().is_empty());
        there.note(Deviation::Body);
        here.put_back(taken);
        assert_eq!(there.take().get(&Deviation::Body), Some(&3));
    }
}
