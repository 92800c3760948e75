//! Misbehaviours on demand: what this MSP can do wrong, by name, and when it does it (docs/msp-control.md).
//!
//! A rule names a misbehaviour and how often it acts; rules are rows of the database, so that the command line, the control
//! API and the server see the same. They act in a [`layer`](crate::layer) around calls and answers, and by the rules of
//! the ordering step; without `[control]` in the configuration there is no such layer.

mod answer;
mod call;
mod code;
mod layer;
mod rules;
mod token;
mod wire;

use aid_aid1::headers::PartyId;
use serde::{Deserialize, Serialize};

use crate::core::model::words;

pub(crate) use call::Outgoing;
pub(crate) use layer::Misbehaving;
pub(crate) use rules::{Event, NewEvent, Rule, RuleChange, add, clear};
pub(crate) use wire::Wire;

words! {
    /// Where a misbehaviour acts: an operation of AID1, or the way back of a browser.
    Place {
        /// AID.02 §7.7, answered here.
        RequestActivationCode = "request-activation-code",
        /// AID.02 §7.8, answered here.
        SendCsimStatus = "send-csim-status",
        /// AID.02 §7.9, answered here.
        RequestInvalidate = "request-invalidate",
        /// AID.02 §7.10, answered here.
        RequestProfileStatus = "request-profile-status",
        /// AID.02 §7.3, called by us.
        SendMspToken = "send-msp-token",
        /// AID.02 §7.4, called by us.
        NotifyTokenInvalid = "notify-token-invalid",
        /// AID.02 §7.5, called by us.
        SendProfileInformation = "send-profile-information",
        /// AID.02 §7.6, called by us.
        UpdateSubscriptionInfo = "update-subscription-info",
        /// AID.02 §7.7.2.1, called by us.
        SendActivationCode = "send-activation-code",
        /// The redirect back to the CMP after onboarding (§7.1).
        TouchpointReturn = "touchpoint-return",
    }
}

/// The operations that are answered here.
const ANSWERS: &[Place] = &[
    Place::RequestActivationCode,
    Place::SendCsimStatus,
    Place::RequestInvalidate,
    Place::RequestProfileStatus,
];
/// The operations that we call.
const CALLS: &[Place] = &[
    Place::SendMspToken,
    Place::NotifyTokenInvalid,
    Place::SendProfileInformation,
    Place::UpdateSubscriptionInfo,
    Place::SendActivationCode,
];
const BOTH: &[Place] = &[
    Place::RequestActivationCode,
    Place::SendCsimStatus,
    Place::RequestInvalidate,
    Place::RequestProfileStatus,
    Place::SendMspToken,
    Place::NotifyTokenInvalid,
    Place::SendProfileInformation,
    Place::UpdateSubscriptionInfo,
    Place::SendActivationCode,
];
const CODE: &[Place] = &[Place::RequestActivationCode];
const CODES: &[Place] = &[Place::RequestActivationCode, Place::SendActivationCode];
const LATER: &[Place] = &[Place::SendActivationCode];
const TOKEN: &[Place] = &[Place::SendMspToken];
const PHONE: &[Place] = &[Place::SendMspToken, Place::UpdateSubscriptionInfo];
const STATES: &[Place] = &[Place::RequestProfileStatus];
const STATUS: &[Place] = &[Place::SendCsimStatus];
const DEAD: &[Place] = &[Place::RequestInvalidate, Place::NotifyTokenInvalid];
const NOTIFY: &[Place] = &[Place::NotifyTokenInvalid];
const INFORM: &[Place] = &[Place::SendProfileInformation];
const BACK: &[Place] = &[Place::TouchpointReturn];

/// At which moment a misbehaviour of an answer acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Instead of the work.
    Instead,
    /// While the work is done.
    Work,
    /// On the finished answer, whatever it is.
    Answer,
    /// On a finished answer that has a JSON body.
    Body,
    /// On an activation code, in an answer or in a call of ours.
    Code,
    /// On a call of ours, or on a redirect.
    Call,
}

macro_rules! catalogue {
    ($($variant:ident = $word:literal, $stage:ident, $places:ident, $text:literal;)+) => {
        /// What can be done wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Name { $(#[doc = $text] $variant,)+ }

        impl Name {
            /// All of them, in the order of the documentation.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word.
            #[must_use]
            pub(crate) fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// When it acts.
            #[must_use]
            pub(crate) fn stage(self) -> Stage {
                match self { $(Self::$variant => Stage::$stage,)+ }
            }

            /// Where it can act.
            #[must_use]
            pub(crate) fn places(self) -> &'static [Place] {
                match self { $(Self::$variant => $places,)+ }
            }

            /// What it does, in one line.
            #[must_use]
            pub(crate) fn text(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl std::str::FromStr for Name {
            type Err = ();

            fn from_str(text: &str) -> Result<Self, ()> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(()),
                }
            }
        }
    };
}

catalogue! {
    // Any operation that is answered here.
    SlowAnswer = "slow-answer", Answer, ANSWERS, "answers after delay_ms (3100: later than the 3 s of §7.7.1)";
    ServerError = "server-error", Instead, ANSWERS, "answers status (500) with code (90) and does nothing";
    Refuse = "refuse", Instead, ANSWERS, "answers status (422) with code (49) and text, and does nothing";
    RateLimit = "rate-limit", Instead, ANSWERS, "answers 429 with Retry-After and does nothing";
    ProxyError = "proxy-error", Instead, ANSWERS, "answers status (502) with an HTML page, as a proxy in front would";
    BareError = "bare-error", Instead, ANSWERS, "answers status (500) without a body";
    NumericCode = "numeric-code", Instead, ANSWERS, "answers status (422) with code as a number instead of a string";
    CutConnection = "cut-connection", Instead, ANSWERS, "closes the connection without working on the request";
    NoAnswer = "no-answer", Instead, ANSWERS, "does nothing and holds the connection for delay_ms (30000)";
    LostAnswer = "lost-answer", Answer, ANSWERS, "does the work, then closes the connection without an answer";
    WrongStatus = "wrong-status", Answer, ANSWERS, "answers with status (202) instead of the right one";
    // Bodies, in answers and in calls.
    OversizedBody = "oversized-body", Answer, BOTH, "a JSON body of more than 64 kB";
    UnknownMembers = "unknown-members", Body, BOTH, "members that the contract does not have";
    DuplicateMembers = "duplicate-members", Body, BOTH, "the first member twice, with different values";
    MissingMember = "missing-member", Body, BOTH, "without the member text (the first one)";
    NullMember = "null-member", Body, BOTH, "with null in the member text (the first one)";
    NotJson = "not-json", Body, BOTH, "a body that is cut off in the middle";
    WrongContentType = "wrong-content-type", Body, BOTH, "a body that says that it is text/plain";
    // Activation codes: when.
    Asynchronous = "asynchronous", Work, CODE, "answers 201 and sends the code when it is there (no misbehaviour)";
    LateCode = "late-code", Work, CODE, "answers 201 and begins to work after delay_ms (5000)";
    NeverCode = "never-code", Work, CODE, "answers 201 and never sends a code";
    CodeBefore201 = "code-before-201", Work, CODE, "sends the code, and answers 201 only after it was taken";
    CodeAfterTimeout = "code-after-timeout", Work, CODE, "closes the connection after delay_ms (0), then sends the code";
    FailLater = "fail-later", Work, CODE, "answers 201, then sends an error with code (49) and text";
    TakesDeadToken = "takes-dead-token", Work, CODE, "gives a code for a token that was invalidated";
    MindsCandidate = "minds-candidate", Work, CODE, "refuses with 422/91 where replaceIccid is no ICCID, against §4.3.1";
    CodeAfterInvalidation = "code-after-invalidation", Answer, DEAD, "after an invalidation sends a code for the token's newest request";
    // Activation codes: which.
    OwnSwap = "own-swap", Work, CODE, "swaps the least recently used profile although the candidate is usable";
    EarlySwap = "early-swap", Work, CODE, "swaps although a slot is free";
    HiddenSwap = "hidden-swap", Code, CODES, "says swappedIccid null, whatever was swapped";
    StrangeSwap = "strange-swap", Code, CODES, "names in swappedIccid a profile (iccid) that the CMP does not know";
    SelfSwap = "self-swap", Code, CODES, "names in swappedIccid the new profile itself";
    ForeignIccid = "foreign-iccid", Code, CODES, "names another profile (iccid) than the code will load";
    NoIccid = "no-iccid", Code, CODES, "leaves iccid out";
    BadActivationCode = "bad-activation-code", Code, CODES, "sends text (not-a-code) as the activation code";
    WrongProfileType = "wrong-profile-type", Code, CODES, "says the profile type text (commercial)";
    // Send Activation Code.
    DoubleCode = "double-code", Call, LATER, "sends the same code twice, with another CMP-request-id";
    SecondCode = "second-code", Call, LATER, "sends another code for the same request afterwards";
    WrongRequestId = "wrong-request-id", Call, LATER, "sends the code for a request that does not exist";
    NullRequestId = "null-request-id", Call, LATER, "sends null as activationCodeRequestID";
    CodeAndError = "code-and-error", Call, LATER, "sends a code together with an error";
    NeitherCodeNorError = "neither-code-nor-error", Call, LATER, "sends null in all members";
    // Any call of ours.
    WrongCorrelationId = "wrong-correlation-id", Call, CALLS, "sends another correlation-id than the transaction has";
    BadRequestId = "bad-request-id", Call, CALLS, "sends text (not-a-uuid) as CMP-request-id";
    ReusedRequestId = "reused-request-id", Call, CALLS, "sends once more with the same CMP-request-id and another body";
    WrongTargetId = "wrong-target-id", Call, CALLS, "sends text (SomebodyElse) as target-id";
    WrongClientId = "wrong-client-id", Call, CALLS, "sends text (SomebodyElse) as client-id";
    WrongApiKey = "wrong-api-key", Call, CALLS, "sends text (wrongkey) as api-key";
    NoApiKey = "no-api-key", Call, CALLS, "sends no api-key";
    SendTwice = "send-twice", Call, CALLS, "sends the same body twice, with another CMP-request-id";
    Repeat = "repeat", Call, CALLS, "sends the very same request twice, as after a lost answer";
    LateCall = "late-call", Call, CALLS, "sends after delay_ms (5000)";
    NoCall = "no-call", Call, CALLS, "does not send, and believes that it did";
    // Onboarding.
    OnboardingError = "onboarding-error", Call, TOKEN, "sends an error (text) instead of a token";
    LongError = "long-error", Call, TOKEN, "sends an error of 513 characters instead of a token";
    TokenAndError = "token-and-error", Call, TOKEN, "sends a token together with an error";
    NeitherTokenNorError = "neither-token-nor-error", Call, TOKEN, "sends null in all members";
    BadToken = "bad-token", Call, TOKEN, "sends text (not-a-uuid) as msp_token";
    SecondToken = "second-token", Call, TOKEN, "sends another token for the same account id afterwards";
    DuplicateToken = "duplicate-token", Call, TOKEN, "sends the token of an earlier onboarding";
    WrongSubscriptionType = "wrong-subscription-type", Call, PHONE, "says the subscription type text (platinum)";
    PlainPhone = "plain-phone", Call, PHONE, "sends the number unencrypted";
    PlusPhone = "plus-phone", Call, PHONE, "encrypts the number with a plus before it";
    WrongIv = "wrong-iv", Call, PHONE, "sends another iv than it used";
    ShortIv = "short-iv", Call, PHONE, "sends an iv of 8 bytes";
    FixedIv = "fixed-iv", Call, PHONE, "uses the same iv each time";
    WrongPhoneKey = "wrong-phone-key", Call, PHONE, "encrypts the number under another key";
    WrongReturn = "wrong-return", Call, BACK, "sends the browser to text (https://elsewhere.invalid/) instead";
    ReturnError = "return-error", Call, BACK, "says code (100) although the accounts are linked";
    ReturnSuccess = "return-success", Call, BACK, "sends the browser back as after success, whatever happened";
    QuotedError = "quoted-error", Call, BACK, "says code (100) with its text in quotes, as the example of §7.2.2";
    // Profiles.
    EmptyProfileStatus = "empty-profile-status", Body, STATES, "says that there are no profiles";
    HiddenProfile = "hidden-profile", Body, STATES, "leaves the oldest profile out";
    StrangeProfile = "strange-profile", Body, STATES, "lists a profile (iccid) that the CMP does not know";
    EchoedStatus = "echoed-status", Body, STATES, "says enabled for all, which only the CMP can know (§7.10)";
    UnknownStatus = "unknown-status", Body, STATES, "says the status text (suspended) for all";
    ForgetsDeadToken = "forgets-dead-token", Work, STATUS, "answers 404/21 to a status of an invalidated token";
    InformOnStatus = "inform-on-status", Work, STATUS, "sends Send Profile Information at each status, against §7.5";
    ForeignProfile = "foreign-profile", Call, INFORM, "adds a profile (iccid) of nobody to the list";
    EmptyProfiles = "empty-profiles", Call, INFORM, "sends an empty list";
    ValidAfterInvalid = "valid-after-invalid", Call, INFORM, "sends valid for the same profiles afterwards";
    EmptyBody = "empty-body", Call, CALLS, "sends no body at all";
    InformWithInvalidation = "inform-with-invalidation", Call, NOTIFY, "sends Send Profile Information for all profiles afterwards";
}

impl Name {
    /// Whether the CMP has no token after it, although it took the call.
    #[must_use]
    pub(crate) fn sends_no_token(self) -> bool {
        matches!(self, Self::OnboardingError | Self::LongError)
    }
}

/// What a rule may say besides its name. Each misbehaviour has its own default for what is absent.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// Milliseconds to wait, at most 3600000.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) delay_ms: Option<u64>,
    /// HTTP status, 200 to 599.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<u16>,
    /// Code of AID.02 §5.5.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<u16>,
    /// A text, whose meaning the name has.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
    /// A profile.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) iccid: Option<String>,
}

impl Parameters {
    /// The wait.
    pub(crate) fn delay(&self, default_ms: u64) -> std::time::Duration {
        std::time::Duration::from_millis(self.delay_ms.unwrap_or(default_ms))
    }

    /// The text.
    pub(crate) fn text_or<'a>(&'a self, default: &'a str) -> &'a str {
        self.text.as_deref().unwrap_or(default)
    }

    /// The profile; one of nobody by default.
    pub(crate) fn iccid_or_nobodys(&self) -> &str {
        self.iccid.as_deref().unwrap_or("8999999999999999995")
    }
}

/// What somebody asks for.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wish {
    /// Of the catalogue.
    pub(crate) name: String,
    /// Only in this operation.
    #[serde(default)]
    pub(crate) operation: Option<String>,
    /// Only towards this CMP.
    #[serde(default)]
    pub(crate) cmp: Option<PartyId>,
    /// How often: a number, absent once, `null` until it is cleared.
    #[serde(default = "once")]
    pub(crate) times: Option<u32>,
    /// Opportunities to leave out first.
    #[serde(default)]
    pub(crate) skip: u32,
    /// How likely at each opportunity, 0 to 1.
    #[serde(default = "always")]
    pub(crate) probability: f64,
    /// Where the chance begins; the same seed acts at the same opportunities.
    #[serde(default)]
    pub(crate) seed: u32,
    /// The rest.
    #[serde(flatten)]
    pub(crate) parameters: Parameters,
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "the default of an optional member"
)]
fn once() -> Option<u32> {
    Some(1)
}

fn always() -> f64 {
    1.0
}

/// A rule before it is stored.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NewRule {
    pub(crate) name: Name,
    pub(crate) operation: Option<Place>,
    pub(crate) cmp: Option<PartyId>,
    pub(crate) times: Option<u32>,
    pub(crate) skip: u32,
    /// Millionths.
    pub(crate) probability: i64,
    pub(crate) seed: u32,
    pub(crate) parameters: Parameters,
}

/// Millionths of certainty.
const CERTAIN: i64 = 1_000_000;

impl Wish {
    /// Checks a wish.
    ///
    /// # Errors
    /// One sentence about what is wrong.
    pub(crate) fn check(self) -> Result<NewRule, String> {
        let name: Name = self.name.parse().map_err(|()| {
            let name = aid_aid1::error_code::clean(&self.name, 60);
            format!("there is no misbehaviour {name:?}; `aid-msp misbehave names` prints all")
        })?;
        let operation = match &self.operation {
            None => None,
            Some(text) => {
                let words: Vec<_> = name.places().iter().map(|p| p.as_str()).collect();
                let place = text.parse().ok().filter(|p| name.places().contains(p));
                Some(place.ok_or_else(|| {
                    format!("{} acts only at {}", name.as_str(), words.join(", "))
                })?)
            }
        };
        if !(0.0..=1.0).contains(&self.probability) {
            return Err("probability is 0 to 1".into());
        }
        let p = &self.parameters;
        if p.delay_ms.is_some_and(|ms| ms > 3_600_000) {
            return Err("delay_ms is at most 3600000".into());
        }
        if p.status.is_some_and(|s| !(200..=599).contains(&s)) {
            return Err("status is 200 to 599".into());
        }
        if p.text.as_ref().is_some_and(|t| t.len() > 4096)
            || p.iccid.as_ref().is_some_and(|t| t.len() > 64)
        {
            return Err("text is at most 4096 bytes, iccid at most 64".into());
        }
        #[expect(clippy::cast_possible_truncation, reason = "0 to 1,000,000")]
        let probability = (self.probability * 1e6).round() as i64;
        Ok(NewRule {
            name,
            operation,
            cmp: self.cmp,
            times: self.times,
            skip: self.skip,
            probability,
            seed: self.seed,
            parameters: self.parameters,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn wish(json: &str) -> Result<NewRule, String> {
        serde_json::from_str::<Wish>(json)
            .map_err(|e| e.to_string())?
            .check()
    }

    #[test]
    fn every_name_is_found_again_and_says_where_it_acts() {
        for name in Name::ALL {
            assert_eq!(name.as_str().parse(), Ok(*name));
            assert!(!name.places().is_empty() && !name.text().is_empty());
        }
    }

    #[test]
    fn every_name_is_documented() {
        let text = include_str!("../../../docs/msp-control.md");
        for name in Name::ALL {
            assert!(
                text.contains(&format!("| `{}` |", name.as_str())),
                "{name:?}"
            );
        }
    }

    #[test]
    fn wishes_are_checked() {
        let rule = wish(r#"{"name":"slow-answer"}"#).unwrap();
        assert_eq!(
            (rule.times, rule.probability, rule.skip),
            (Some(1), CERTAIN, 0)
        );
        assert_eq!(
            wish(r#"{"name":"server-error","times":null,"probability":0.25}"#)
                .unwrap()
                .times,
            None
        );
        for bad in [
            r#"{"name":"nonsense"}"#,
            r#"{"name":"slow-answer","operation":"send-msp-token"}"#,
            r#"{"name":"slow-answer","probability":1.5}"#,
            r#"{"name":"slow-answer","status":99}"#,
            r#"{"name":"slow-answer","delay_ms":3600001}"#,
            r#"{"name":"slow-answer","colour":"red"}"#,
            r#"{"name":"slow-answer","cmp":"not a name"}"#,
        ] {
            assert!(wish(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_production_code_knows_of_misbehaviours() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut seen = 0;
        for name in [
            "api",
            "core",
            "outbox",
            "touchpoint",
            "orders",
            "layer",
            "es2",
            "config",
        ] {
            let mut todo = vec![source.join(format!("{name}.rs")), source.join(name)];
            while let Some(path) = todo.pop() {
                if path.is_dir() {
                    let entries = std::fs::read_dir(&path).unwrap();
                    todo.extend(entries.map(|entry| entry.unwrap().path()));
                } else if path.exists() {
                    let text = std::fs::read_to_string(&path).unwrap();
                    assert!(!text.contains("misbehave"), "{}", path.display());
                    seen += 1;
                }
            }
        }
        assert!(seen > 40, "{seen} files");
    }
}
