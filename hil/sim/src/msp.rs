//! A simulated MSP: subscriptions, profiles, codes at once or later, and what it hears (AID.02 §7).

use crate::cmp::{CallEnd, FromMsp};
use crate::random::Random;
use crate::smdp::Smdp;
use aid_aid1::body::{
    Body as _, CsimStatus, Iccids, NotifyTokenInvalid, ProfileInformation, ProfileState,
    ProfileType, ProfileValidity, RequestActivationCode, SendActivationCode, SendCsimStatus,
    SendProfileInformation,
};
use aid_aid1::error_code::ErrorCode;
use aid_cmp_core::decide::code::Answer;
use aid_cmp_core::decide::question::Question;
use aid_cmp_core::decide::sync::Listing;
use aid_cmp_core::model::{Call, CallKind};
use aid_id::{ActivationCode, Eid, Iccid, Id, MspToken};
use std::collections::{BTreeMap, VecDeque};

/// A customer's subscription.
#[derive(Debug, Clone)]
pub struct Subscription {
    /// Its token.
    pub token: MspToken,
    /// The user, by number.
    pub user: usize,
    /// The token is not valid any more.
    pub ended: bool,
    /// Profiles that it may have at once; the next one swaps.
    pub limit: usize,
    /// Profiles that it has.
    pub profiles: Vec<(Iccid, Eid)>,
    /// Profiles whose deletion it heard of: they may be given again.
    pub free: Vec<Iccid>,
}

/// The MSP.
#[derive(Debug)]
pub struct Msp {
    /// Its name at the CMP.
    pub name: String,
    /// Subscriptions, ended ones too.
    pub subscriptions: Vec<Subscription>,
    /// It can't be reached.
    pub is_away: bool,
    /// It says 201 and sends the code later.
    pub is_late: bool,
    /// What it heard of each profile, in order.
    pub heard: BTreeMap<Iccid, Vec<CsimStatus>>,
    /// Calls to the CMP that wait for their success, oldest first.
    pub outbox: VecDeque<FromMsp>,
    /// Codes that it gave for tokens that had ended; always none.
    pub codes_after_end: u32,
    answers: BTreeMap<Id, CallEnd>,
    next_iccid: u64,
}

impl Msp {
    /// An MSP without customers; its profiles are numbered from `first` on.
    #[must_use]
    pub fn new(name: &str, first: u64) -> Self {
        Self {
            name: name.to_owned(),
            subscriptions: Vec::new(),
            is_away: false,
            is_late: false,
            heard: BTreeMap::new(),
            outbox: VecDeque::new(),
            codes_after_end: 0,
            answers: BTreeMap::new(),
            next_iccid: first,
        }
    }

    /// The subscription with this token.
    #[must_use]
    pub fn subscription(&self, token: MspToken) -> Option<&Subscription> {
        self.subscriptions.iter().find(|s| s.token == token)
    }

    /// The subscription that has this profile now.
    #[must_use]
    pub fn holder(&self, iccid: &Iccid) -> Option<&Subscription> {
        let mut all = self.subscriptions.iter();
        all.find(|s| s.profiles.iter().any(|(i, _)| i == iccid))
    }

    /// Answers a call of the CMP. The same call gets the same answer.
    pub fn call(&mut self, call: &Call, smdp: &mut Smdp, random: &mut Random) -> CallEnd {
        if self.is_away {
            return match random.percent(50) {
                true => CallEnd::Away,
                false => CallEnd::Silent,
            };
        }
        if let Some(before) = self.answers.get(&call.id)
            && call.kind != CallKind::Query
        {
            return before.clone();
        }
        let known = self
            .subscriptions
            .iter()
            .position(|s| s.token == call.token);
        let Some(at) = known else {
            return match call.kind {
                CallKind::Code => failed(ErrorCode::TokenNotFound),
                CallKind::Query => CallEnd::Listed(Listing::NoSuchUser),
                CallKind::Status | CallKind::Invalidate => {
                    CallEnd::Refused(ErrorCode::TokenNotFound)
                }
            };
        };
        let end = match call.kind {
            CallKind::Code => self.code(at, call, smdp, random),
            CallKind::Status => self.status(at, call),
            CallKind::Invalidate => {
                self.subscriptions[at].ended = true;
                CallEnd::Done
            }
            CallKind::Query => self.list(at, call),
        };
        self.answers.insert(call.id, end.clone());
        end
    }

    fn list(&self, at: usize, call: &Call) -> CallEnd {
        let own = &self.subscriptions[at].profiles;
        CallEnd::Listed(match Question::from_text(&call.body) {
            Some(Question::Candidate(i) | Question::One(i)) if !own.iter().any(|o| o.0 == i) => {
                Listing::NoSuchProfile
            }
            _ => {
                let state = |(iccid, _): &(Iccid, Eid)| (iccid.clone(), ProfileState::Installed);
                Listing::Profiles(own.iter().map(state).collect())
            }
        })
    }

    fn status(&mut self, at: usize, call: &Call) -> CallEnd {
        let Ok(body) = SendCsimStatus::parse_with(call.body.as_bytes(), Iccids::Short) else {
            return CallEnd::Refused(ErrorCode::Syntax);
        };
        let heard = self.heard.entry(body.iccid.clone()).or_default();
        heard.push(body.status);
        let own = &mut self.subscriptions[at];
        let gone = matches!(
            body.status,
            CsimStatus::Deleted | CsimStatus::InstallationFailed
        );
        if gone && own.profiles.iter().any(|(i, _)| *i == body.iccid) {
            own.profiles.retain(|(i, _)| *i != body.iccid);
            own.free.push(body.iccid);
        }
        CallEnd::Done
    }

    fn code(&mut self, at: usize, call: &Call, smdp: &mut Smdp, random: &mut Random) -> CallEnd {
        let Ok(body) = RequestActivationCode::parse_with(call.body.as_bytes(), Iccids::Short)
        else {
            return CallEnd::Refused(ErrorCode::Syntax);
        };
        if self.subscriptions[at].ended {
            return failed(ErrorCode::TokenInvalidated);
        }
        let own = &mut self.subscriptions[at];
        let mut swapped = None;
        if own.profiles.len() >= own.limit {
            let asked = body.replace_iccid.as_ref();
            let position = own.profiles.iter().position(|(i, _)| Some(i) == asked);
            // Where the CMP names none, the oldest one of another car goes.
            let position = position.or_else(|| own.profiles.iter().position(|p| p.1 != body.eid));
            swapped = position.map(|n| own.profiles.remove(n).0);
        }
        // What the car lost is given again; else a profile that is free, or a new one.
        own.profiles.retain(|(_, eid)| *eid != body.eid);
        let iccid = match own.free.pop().filter(|_| random.percent(50)) {
            Some(free) => free,
            None => {
                self.next_iccid += 1;
                number(self.next_iccid)
            }
        };
        let own = &mut self.subscriptions[at];
        own.profiles.push((iccid.clone(), body.eid));
        let matching = smdp.order(iccid.clone(), body.eid);
        let Ok(code) = ActivationCode::new("smdp.example", &matching, None, false) else {
            return failed(ErrorCode::ActivationCodeOther);
        };
        if !self.is_late {
            return CallEnd::Code(Answer::Code {
                code,
                iccid: Some(iccid),
                swapped,
            });
        }
        let later = SendActivationCode::Code {
            request_id: body.request_id,
            activation_code: code,
            profile_type: ProfileType::Personal,
            iccid,
            swapped_iccid: swapped,
        };
        let body = later.to_json().to_string();
        let operation = crate::cmp::Operation::Code;
        self.say(random, call.token, operation, body, call.correlation);
        CallEnd::Code(Answer::Later)
    }

    fn say(
        &mut self,
        random: &mut Random,
        token: MspToken,
        operation: crate::cmp::Operation,
        body: String,
        correlation: Id,
    ) {
        self.outbox.push_back(FromMsp {
            msp: self.name.clone(),
            request_id: random.id(),
            correlation,
            token,
            operation,
            body: body.into_bytes(),
        });
    }

    /// Ends the user's subscription.
    pub fn withdraw(&mut self, user: usize, random: &mut Random) {
        let alive = |s: &&mut Subscription| s.user == user && !s.ended;
        let Some(own) = self.subscriptions.iter_mut().find(alive) else {
            return;
        };
        own.ended = true;
        let token = own.token;
        let reason = Some("cancelled".to_owned());
        let body = NotifyTokenInvalid { reason }.to_json().to_string();
        let correlation = random.id();
        let operation = crate::cmp::Operation::Withdraw;
        self.say(random, token, operation, body, correlation);
    }

    /// Says of a profile that it is dead, suspended or valid; `token` may be somebody else's.
    pub fn judge(
        &mut self,
        token: MspToken,
        iccid: Iccid,
        status: ProfileValidity,
        random: &mut Random,
    ) {
        let item = ProfileInformation {
            iccid,
            status,
            reason: None,
        };
        let profiles = vec![item];
        let body = SendProfileInformation { profiles }.to_json().to_string();
        let correlation = random.id();
        let operation = crate::cmp::Operation::Profiles;
        self.say(random, token, operation, body, correlation);
    }
}

fn failed(code: ErrorCode) -> CallEnd {
    CallEnd::Code(Answer::Failed {
        code: code.number(),
        reason: code.description().to_owned(),
    })
}

/// The ICCID with this number, its check digit included.
///
/// # Panics
/// Never: 18 digits and their check digit are an ICCID.
#[must_use]
#[allow(clippy::expect_used, reason = "19 digits are an ICCID")]
pub fn number(n: u64) -> Iccid {
    let digits = format!("8988{n:014}");
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(at, digit)| {
            let value = u32::from(digit - b'0');
            match at % 2 {
                0 if value > 4 => value * 2 - 9,
                0 => value * 2,
                _ => value,
            }
        })
        .sum();
    let check = (10 - sum % 10) % 10;
    format!("{digits}{check}").parse().expect("19 digits")
}
