//! Calls of MSPs and their answers to the CMP's calls (AID1), as bodies of Annex B.

use super::{Actor, Cmp, Committed};
use crate::ids;
use crate::sabotage::Sabotage;
use aid_aid1::body::{
    Body as _, NotifyTokenInvalid, ProfileState, SendActivationCode, SendMspToken,
    SendProfileInformation,
};
use aid_aid1::error_code::{ApiError, ErrorCode, split_error};
use aid_aid1::phone::PhoneKey;
use aid_cmp_core::change::Change;
use aid_cmp_core::decide::call::{pause, pause_after_silence};
use aid_cmp_core::decide::question::Question;
use aid_cmp_core::decide::sync::{self, Listing};
use aid_cmp_core::decide::{
    Context, Decision, code, deletion, onboarding, profiles, status, withdraw,
};
use aid_cmp_core::model::{
    Answered, Call, CallKind, CallState, CodeRequest, Federation, Profile, RequestState,
};
use aid_id::{AccountRef, Eid, Iccid, Id, MspToken};

/// A call of an MSP.
#[derive(Debug, Clone)]
pub struct FromMsp {
    /// The MSP, as its certificate says.
    pub msp: String,
    /// `CMP-request-id`.
    pub request_id: Id,
    /// `correlation-id`.
    pub correlation: Id,
    /// The token in the path.
    pub token: MspToken,
    /// Which operation.
    pub operation: Operation,
    /// The JSON body.
    pub body: Vec<u8>,
}

/// The operations that a simulated MSP calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Send Activation Code (§7.7.2.1).
    Code,
    /// Notify MSP Token Invalid (§7.4).
    Withdraw,
    /// Send Profile Information (§7.5).
    Profiles,
}

/// How a call of the CMP ended.
#[derive(Debug, Clone)]
pub enum CallEnd {
    /// The MSP answered a request for a code.
    Code(code::Answer),
    /// It listed its profiles.
    Listed(Listing),
    /// It has heard.
    Done,
    /// It refuses for good.
    Refused(ErrorCode),
    /// It can't be reached.
    Away,
    /// It did not answer in time.
    Silent,
}

impl Cmp {
    /// Carries out a call of an MSP; an error is what it hears.
    ///
    /// # Errors
    /// Code of §5.5.
    pub fn operate(&mut self, now: u64, call: &FromMsp) -> Result<Committed, ApiError> {
        let once = (call.msp.clone(), call.request_id);
        if self.store.answered.contains(&once) {
            return Ok(Committed::default());
        }
        let context = self.context(now);
        let alive = call.operation == Operation::Code;
        let mut found = self.store.token(&call.msp, call.token).cloned();
        if self.sabotage == Some(Sabotage::ForeignMsp) {
            let mut all = self.store.federations.iter();
            found = all.find(|f| f.token == call.token).cloned();
        }
        let federation = onboarding::known(found, alive)?;
        let mut decision = match call.operation {
            Operation::Code => self.code_from_msp(&context, call, &federation)?,
            Operation::Withdraw => {
                let body = NotifyTokenInvalid::parse(&call.body)?;
                self.withdrawal(&context, &federation, withdraw::By::Msp, body.reason)
            }
            Operation::Profiles => {
                let body = SendProfileInformation::parse(&call.body)?;
                let own = self.store.profiles_of(federation.id);
                let known = |i: &Iccid| {
                    let holders = self.store.profiles_with(i);
                    holders.iter().any(|p| {
                        self.store
                            .federation(p.federation)
                            .is_some_and(|f| f.msp == call.msp)
                    })
                };
                let known: Vec<bool> = body.profiles.iter().map(|p| known(&p.iccid)).collect();
                profiles::information(&context, &federation, &own, &known, body)?
            }
        };
        decision.belongs_to(call.correlation);
        decision.changes.push(Change::Remember(Answered {
            client: once.0,
            request_id: once.1,
            digest: String::new(),
            status: 204,
            body: String::new(),
            at: context.now,
        }));
        Ok(self.commit(now, Actor::Msp(call.msp.clone()), decision))
    }

    fn code_from_msp(
        &self,
        context: &Context,
        call: &FromMsp,
        federation: &Federation,
    ) -> Result<Decision, ApiError> {
        let (id, answer) = match SendActivationCode::parse(&call.body)? {
            SendActivationCode::Code {
                request_id,
                activation_code,
                iccid,
                swapped_iccid,
                ..
            } => {
                let answer = code::Answer::Code {
                    code: activation_code,
                    iccid: Some(iccid),
                    swapped: swapped_iccid,
                };
                (Some(request_id.into_bytes()), answer)
            }
            SendActivationCode::Failed { request_id, error } => {
                let (code, reason) = split_error(&error);
                let answer = code::Answer::Failed {
                    code: code.unwrap_or(ErrorCode::ActivationCodeOther.number()),
                    reason: reason.to_owned(),
                };
                (request_id.map(uuid::Uuid::into_bytes), answer)
            }
        };
        let request = id.and_then(|id| self.store.request(id));
        let own = request.filter(|r| r.federation == federation.id);
        let request = own.ok_or(ErrorCode::RequestNotFound)?;
        let mut decision = match request.state {
            RequestState::New | RequestState::Accepted => {
                let known = self.known(federation, &request, &answer);
                if let code::Answer::Code {
                    iccid: Some(iccid), ..
                } = &answer
                    && known.as_known().is_taken(iccid, request.eid)
                {
                    return Err(ErrorCode::ActivationCodeOther.into());
                }
                code::answered(context, &request, federation, known.as_known(), answer)
            }
            RequestState::Answered | RequestState::Used => Decision::default(),
            RequestState::Expired | RequestState::Failed => {
                return Err(ErrorCode::RequestExpired.into());
            }
        };
        if request.state == RequestState::New {
            let answered = Change::CloseCall(request.id, CallState::Done, context.now);
            decision.changes.push(answered);
        }
        Ok(decision)
    }

    fn known(
        &self,
        federation: &Federation,
        request: &CodeRequest,
        answer: &code::Answer,
    ) -> KnownRows {
        let profiles = self.store.profiles_of(federation.id);
        let (mut orders, mut foreign) = (Vec::new(), false);
        if let code::Answer::Code {
            iccid: Some(iccid), ..
        } = answer
        {
            if profiles.iter().any(|p| p.iccid == *iccid) {
                orders = self.store.open_orders(request.eid);
            }
            let others = self.store.profiles_with(iccid);
            foreign = others
                .iter()
                .any(|p| p.federation != federation.id && p.status.may_be_on_card());
        }
        KnownRows {
            profiles,
            orders,
            foreign,
        }
    }

    /// Takes the end of a call of the outbox.
    pub fn called(&mut self, now: u64, call: &Call, end: CallEnd, draw: u64) -> Committed {
        self.busy.remove(&call.id);
        let context = self.context(now);
        let mut decision = Decision::default();
        let closed = Change::CloseCall(call.id, CallState::Done, context.now);
        match end {
            CallEnd::Code(answer) => {
                let request = self.store.request(call.id);
                let federation = request
                    .as_ref()
                    .and_then(|r| self.store.federation(r.federation).cloned());
                if let (Some(request), Some(federation)) = (request, federation) {
                    if let code::Answer::Failed { code, .. } = &answer {
                        let doubt = self.store.doubts.get(&federation.id).copied();
                        decision = code::doubted(&context, &federation, doubt, *code);
                    }
                    let known = self.known(&federation, &request, &answer);
                    let answered =
                        code::answered(&context, &request, &federation, known.as_known(), answer);
                    decision.merge(answered);
                    decision.belongs_to(request.correlation);
                }
                decision.changes.push(closed);
            }
            CallEnd::Listed(listing) => {
                let found = self.store.token(&call.msp, call.token).cloned();
                if let (Some(question), Some(federation)) = (Question::from_text(&call.body), found)
                {
                    decision = self.compared(&context, call.id, federation, &question, listing);
                }
                decision.changes.push(closed);
            }
            CallEnd::Done => decision.changes.push(closed),
            // R-7.9-4: a token that the MSP does not have any more is as good as ended.
            CallEnd::Refused(_) if call.kind == CallKind::Invalidate => {
                decision.changes.push(closed);
            }
            CallEnd::Refused(code) => {
                let text = code.description().to_owned();
                decision
                    .changes
                    .push(Change::GiveUpCall(call.id, context.now, text));
            }
            CallEnd::Away | CallEnd::Silent if self.sabotage == Some(Sabotage::FinalAnswer) => {
                let text = "gives up on purpose".to_owned();
                decision
                    .changes
                    .push(Change::GiveUpCall(call.id, context.now, text));
            }
            CallEnd::Away | CallEnd::Silent => {
                let attempts = call.attempts.saturating_add(1);
                let pause = match end {
                    CallEnd::Silent => pause_after_silence(attempts, draw),
                    _ => pause(attempts, draw),
                };
                decision.changes.push(Change::RetryCall {
                    id: call.id,
                    attempts,
                    at: context.now,
                    next_at: context.now.saturating_add(pause),
                    error: "the MSP can't be reached".into(),
                });
                if call.kind == CallKind::Code
                    && attempts == 1
                    && let Some(request) = self.store.request(call.id)
                    && request.state.is_open()
                {
                    decision.down.push(code::message(&request, ids::fresh));
                }
            }
        }
        self.commit(now, Actor::Msp(call.msp.clone()), decision)
    }

    fn compared(
        &self,
        context: &Context,
        run: Id,
        federation: Federation,
        question: &Question,
        listing: Listing,
    ) -> Decision {
        let profiles = self.store.profiles_of(federation.id);
        if let Question::Candidate(iccid) = question {
            let profile = profiles.iter().find(|p| p.iccid == *iccid);
            return sync::candidate(context, &federation, profile, &listing);
        }
        let newest = |p: &&Profile| {
            let lane = status::lane(&p.iccid);
            let mut calls = self.store.calls.iter().rev();
            let newest = calls.find(|c| c.msp == federation.msp && c.lane == lane);
            newest.is_some_and(|c| {
                matches!(c.state, CallState::Due | CallState::Dead)
                    || c.created_at.saturating_add(24 * 3_600_000) > context.now
            })
        };
        let told = profiles.iter().filter(newest);
        let told = told.map(|p| p.iccid.clone()).collect();
        let elsewhere = match &listing {
            Listing::Profiles(list) => {
                let other = |(iccid, _): &&(Iccid, ProfileState)| {
                    let holders = self.store.profiles_with(iccid);
                    holders.iter().any(|p| p.federation != federation.id)
                };
                list.iter().filter(other).map(|(i, _)| i.clone()).collect()
            }
            _ => Vec::new(),
        };
        let doubt = self.store.doubts.get(&federation.id);
        let unknown = ErrorCode::TokenNotFound.number();
        let view = sync::View {
            doubtful: doubt.is_some_and(|d| d.code == unknown),
            federation,
            profiles,
            listing,
            asked: question.iccid().cloned(),
            told,
            elsewhere,
            wanted: true,
        };
        sync::compare(context, &view, run)
    }

    fn withdrawal(
        &self,
        context: &Context,
        federation: &Federation,
        by: withdraw::By,
        reason: Option<String>,
    ) -> Decision {
        let profiles = self.store.profiles_of(federation.id);
        let requests = self.store.requests_of(federation.id);
        let mut decision =
            withdraw::withdraw(context, federation, &profiles, &requests, by, reason);
        if self.sabotage == Some(Sabotage::CodeAfterEnd) {
            let given = requests.iter().filter(|r| r.code.is_some());
            decision.down = given.map(|r| code::message(r, ids::fresh)).collect();
        }
        decision
    }

    /// The user unlinks their subscription in the portal.
    pub fn unlink(&mut self, now: u64, account: AccountRef) -> Committed {
        let context = self.context(now);
        let mut active = self.store.federations_of(account).into_iter();
        let Some(federation) = active.find(|f| f.ended_at.is_none()) else {
            return Committed::default();
        };
        let by = withdraw::By::User;
        let decision = self.withdrawal(&context, &federation, by, None);
        self.commit(now, Actor::Inside, decision)
    }

    /// A user begins to link a subscription; yields the `sid` for the MSP.
    pub fn begin_link(&mut self, now: u64, msp: &str, account: AccountRef) -> (Id, Committed) {
        let begun = onboarding::begin(&self.context(now), msp, account, String::new());
        let sid = begun.sid;
        let decision = Decision {
            changes: vec![Change::AddOnboarding(begun)],
            ..Decision::default()
        };
        (sid, self.commit(now, Actor::Inside, decision))
    }

    /// The MSP sends the token of an onboarding (§7.3).
    ///
    /// # Errors
    /// Code of §5.5.
    pub fn link(
        &mut self,
        now: u64,
        msp: &str,
        sid: Id,
        key: &PhoneKey,
        body: SendMspToken,
    ) -> Result<Committed, ApiError> {
        let found = self.store.onboardings.iter();
        let found = found.clone().find(|o| o.sid == sid && o.msp == msp);
        let holder = match &body {
            SendMspToken::Token { msp_token, .. } => self.store.token(msp, *msp_token),
            SendMspToken::Failed { .. } => None,
        };
        let context = self.context(now);
        let decision = onboarding::token(&context, found.cloned(), holder, key, body)?;
        Ok(self.commit(now, Actor::Msp(msp.to_owned()), decision))
    }

    /// A profile is deleted on somebody's order (§4.5).
    pub fn delete(
        &mut self,
        now: u64,
        eid: Eid,
        account: AccountRef,
        trigger: deletion::Trigger,
    ) -> Committed {
        let owner = |p: &&Profile| {
            let federation = self.store.federation(p.federation);
            federation.is_some_and(|f| f.account == account) && p.status.may_be_on_card()
        };
        let Some(profile) = self.store.profiles_in(eid).iter().find(owner).cloned() else {
            return Committed::default();
        };
        let open = self.store.open_orders(eid);
        let open = open.iter().any(|o| o.deletes(&profile.iccid));
        let decision = deletion::delete(&self.context(now), &profile, open, trigger, None);
        self.commit(now, Actor::Inside, decision)
    }

    /// The end of a rental, or a workshop: the car is cleared (A.4).
    pub fn clear(&mut self, now: u64, eid: Eid, trigger: deletion::Trigger) -> Committed {
        let Some(car) = self.car(eid) else {
            return Committed::default();
        };
        let decision = deletion::clear(&self.context(now), &car, trigger, None);
        self.commit(now, Actor::Inside, decision)
    }
}

/// What the rows say beside an answer.
struct KnownRows {
    profiles: Vec<Profile>,
    orders: Vec<aid_cmp_core::model::Order>,
    foreign: bool,
}

impl KnownRows {
    fn as_known(&self) -> code::Known<'_> {
        code::Known {
            profiles: &self.profiles,
            orders: &self.orders,
            foreign: self.foreign,
        }
    }
}
