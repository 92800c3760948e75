//! The five operations of the CMP's API on the store, and answers of MSPs to our calls (AID.02 §7).

use super::Service;
use crate::config::Msp;
use crate::store::{StoreError, Stored, Tx};
use crate::views;
use aid_aid1::account_id::{AccountIdError, Policy, verify};
use aid_aid1::body::{
    Body as _, Members, NotifyTokenInvalid, SendMspToken, SendProfileInformation,
    UpdateSubscriptionInfo,
};
use aid_aid1::deviation;
use aid_aid1::error_code::{ApiError, ErrorCode};
use aid_aid1::operation::{Api as _, CmpOperation};
use aid_aid1::phone::{EncryptedPhone, PhoneError};
use aid_aid1::server::{Caller, path_token};
use aid_cmp_core::change::{Change, LinkChange, Lock};
use aid_cmp_core::decide::{Context, Decision, code, onboarding, profiles, removal, withdraw};
use aid_cmp_core::model::{Answered, CallState, CodeRequest, Federation, Order, Profile};
use aid_id::{AccountRef, Eid, Iccid, Id};
use axum::http::StatusCode;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

/// Why a call was not carried out. Nothing of it is stored.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It can't be: status and code of §5.5.
    Call(ApiError),
    /// Another number came under the same initialisation vector before.
    ReusedVector {
        /// The MSP's configured name.
        msp: String,
        /// The key's id.
        key_id: String,
    },
    /// The store failed.
    Store(StoreError),
}

/// What has a status and a code of §5.5.
macro_rules! refusals {
    ($($error:ty),*) => { $(
        impl From<$error> for Refusal {
            fn from(error: $error) -> Self {
                Self::Call(error.into())
            }
        }
    )* };
}

refusals!(ApiError, ErrorCode, AccountIdError, PhoneError);

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Refusal> for ApiError {
    /// What the caller hears. What the store says stays in our log.
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Call(error) => error,
            Refusal::ReusedVector { msp, key_id } => {
                tracing::warn!(msp, key_id, "an initialisation vector came twice");
                let text = "iv was used before under this key; take a new one for each number";
                Self::because(ErrorCode::Syntax, text)
            }
            // Nothing is wrong: the same call succeeds a little later.
            Refusal::Store(StoreError::Busy) => {
                tracing::warn!("an AID1 call was put off: others changed the same for too long");
                let text = "the server is busy with the same user; see Retry-After";
                Self::because(ErrorCode::Internal, text)
                    .with_status(StatusCode::SERVICE_UNAVAILABLE)
            }
            Refusal::Store(error) => {
                tracing::error!(%error, "an AID1 call failed");
                Self::new(ErrorCode::Internal)
            }
        }
    }
}

/// A call that was let in.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) msp: Arc<Msp>,
    pub(super) correlation: Id,
    /// What a repetition of it gets.
    pub(super) answer: Answered,
}

impl Call {
    fn new(
        msp: Arc<Msp>,
        caller: &Caller,
        operation: CmpOperation,
        variable: &str,
        body: &[u8],
    ) -> Self {
        let answer = Answered {
            client: msp.client_id.to_string(),
            request_id: caller.headers.request_id.into_bytes(),
            digest: digest_of(operation, variable, body),
            status: operation.contract().success().as_u16(),
            body: String::new(),
            at: 0,
        };
        Self {
            msp,
            correlation: caller.headers.correlation_id.into_bytes(),
            answer,
        }
    }

    /// Whether it succeeded before: then it gets the same answer and changes nothing (R-7.3-16).
    pub(super) async fn is_repetition(&self, tx: &Tx<'_>) -> Result<bool, Refusal> {
        let (client, request_id) = (&self.answer.client, self.answer.request_id);
        match tx.answered(client, request_id).await? {
            None => Ok(false),
            Some(before) if before.digest == self.answer.digest => Ok(true),
            Some(_) => {
                let text = "this CMP-request-id was used for another request";
                Err(ApiError::because(ErrorCode::Syntax, text).into())
            }
        }
    }

    /// A decision; none where it was rejected only because this very call was carried out while this one waited for the
    /// lock of its user.
    pub(super) async fn unless_repeated<T>(
        &self,
        tx: &Tx<'_>,
        decided: Result<T, Refusal>,
    ) -> Result<Option<T>, Refusal> {
        match decided {
            Ok(value) => Ok(Some(value)),
            Err(refusal @ Refusal::Store(_)) => Err(refusal),
            Err(_) if self.is_repetition(tx).await? => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }

    /// The decision with what it belongs to, and what a repetition is to get.
    pub(super) fn finished(&self, context: &Context, mut decision: Decision) -> Decision {
        decision.belongs_to(self.correlation);
        decision.changes.push(Change::Remember(Answered {
            at: context.now,
            ..self.answer.clone()
        }));
        decision
    }
}

/// What a repetition of a request must have the same.
fn digest_of(operation: CmpOperation, variable: &str, body: &[u8]) -> String {
    let mut digest = Sha256::new();
    let resource = operation.contract().path.resource();
    for part in [resource.as_bytes(), variable.as_bytes(), body] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    hex::encode(digest.finalize())
}

impl Service {
    /// Carries out an operation of a caller that was let in. A repetition of a request that
    /// succeeded gets the same answer and changes nothing (R-7.3-16).
    ///
    /// # Errors
    /// Status and code of §5.5.
    pub async fn operate(
        self: &Arc<Self>,
        caller: &Caller,
        operation: CmpOperation,
        variable: &str,
        body: &[u8],
    ) -> Result<u16, ApiError> {
        // By its name, which is proven: another agreement may have another order of parties.
        let agreed = self.agreed();
        let own = |m: &&Arc<Msp>| m.client_id == caller.headers.client_id;
        let msp = agreed.msps.iter().find(own).ok_or_else(|| {
            ApiError::naming(ErrorCode::PartyNotFound, &[&caller.headers.client_id])
        })?;
        let members = operation.contract().check_form(variable, body)?;
        let members = members.with_iccids(msp.iccids);
        let tolerated = deviation::of_body(operation, &members);
        let deviations = msp.deviations.clone();
        let call = Call::new(Arc::clone(msp), caller, operation, variable, body);
        let variable = variable.to_owned();
        let status = call.answer.status;
        if operation == CmpOperation::SendActivationCode {
            let more = self.activation_code(call, variable, &members).await?;
            deviations.note_all(tolerated.into_iter().chain(more));
            return Ok(status);
        }
        let decide = async move |_: &Self, tx: &Tx<'_>, context: &Context| {
            if call.is_repetition(tx).await? {
                return Ok((Decision::default(), None));
            }
            let (msp, variable, body) = (&call.msp, &variable, &members);
            let decided: Decided = match operation {
                // Decided above.
                CmpOperation::SendActivationCode => Err(ErrorCode::Internal.into()),
                CmpOperation::UpdateSubscriptionInfo => {
                    subscription(tx, context, msp, variable, body).await
                }
                CmpOperation::SendMspToken => token(tx, context, msp, variable, body).await,
                CmpOperation::NotifyTokenInvalid => {
                    invalidate(tx, context, msp, variable, body).await
                }
                CmpOperation::SendProfileInformation => {
                    profile_information(tx, context, msp, variable, body).await
                }
            };
            match call.unless_repeated(tx, decided).await? {
                Some((decision, about)) => {
                    Ok::<_, Refusal>((call.finished(context, decision), about))
                }
                None => Ok((Decision::default(), None)),
            }
        };
        let about = self.decide(decide).await?;
        deviations.note_all(tolerated);
        // A block shows in the car where its user is (R-4.7-4).
        let refreshed = self.refresh_profiles(about.into_iter().collect()).await;
        if let Err(error) = refreshed {
            tracing::error!(%error, "cars were not told of a user's profiles");
        }
        Ok(status)
    }

    /// Takes the MSP's answer to a call of the outbox: the call is done. `late` is how long a synchronous code took that came
    /// later than it may, ms (R-7.7.1-3): the code is used, and the audit trail says so.
    ///
    /// # Errors
    /// The store failed; the call is made again.
    pub async fn called(
        self: &Arc<Self>,
        request_id: Id,
        answer: code::Answer,
        late: Option<u64>,
    ) -> Stored<()> {
        self.decide(async move |_, tx, context| {
            let mut decision = Decision::default();
            if let Some(found) = tx.request(request_id).await?
                && let Some(federation) = tx.locked_federation_by_id(found.federation).await?
                && let Some(request) = tx.request(request_id).await?
            {
                let answer = answer.clone();
                if let code::Answer::Failed { code, .. } = &answer {
                    let doubt = tx.doubt(federation.id).await?;
                    decision = code::doubted(context, &federation, doubt, *code);
                }
                decision.merge(answered(tx, context, &request, &federation, answer).await?);
                decision.belongs_to(request.correlation);
                if let Some(took) = late {
                    let id = uuid::Uuid::from_bytes(request_id);
                    let detail = format!("request {id} after {took} ms, not within 3 s");
                    let (who, what) = (federation.msp.clone(), "late synchronous answer");
                    decision.changes.push(context.audit(who, what, detail));
                }
            }
            let closed = Change::CloseCall(request_id, CallState::Done, context.now);
            decision.changes.push(closed);
            Ok::<_, StoreError>((decision, ()))
        })
        .await
    }

    /// Tells a car that its code comes later, because the MSP can't be reached now.
    ///
    /// # Errors
    /// The store failed.
    pub async fn delayed(self: &Arc<Self>, request_id: Id) -> Stored<()> {
        let look = async move |_: &Self, tx: &Tx<'_>| tx.request(request_id).await;
        let request = self.look(look).await?;
        if let Some(request) = request.filter(|r| r.state.is_open()) {
            self.tell(&code::message(&request, super::fresh));
        }
        Ok(())
    }
}

/// A decision, and the user whose cars are told of their profiles.
type Decided = Result<(Decision, Option<AccountRef>), Refusal>;

/// The federation that a token of this MSP names, with its user locked.
pub(super) async fn federated(
    tx: &Tx<'_>,
    msp: &Msp,
    token: &str,
    alive: bool,
) -> Result<Federation, Refusal> {
    let token = path_token(token)?;
    let found = tx.locked_federation(&msp.name, token).await?;
    Ok(onboarding::known(found, alive)?)
}

async fn token(tx: &Tx<'_>, context: &Context, msp: &Msp, id: &str, body: &Members) -> Decided {
    let claims = verify(id, &msp.secrets, &Policy::default(), context.now / 1000)?;
    let body = SendMspToken::from_members(body)?;
    let onboarding = tx.locked_onboarding(claims.sid.into_bytes()).await?;
    let (holder, phone) = match &body {
        SendMspToken::Token {
            msp_token, phone, ..
        } => {
            let holder = tx.federation(&msp.name, *msp_token).await?;
            (holder, Some(phone.clone()))
        }
        SendMspToken::Failed { .. } => (None, None),
    };
    let own = onboarding.filter(|o| o.msp == msp.name);
    if let Some(onboarding) = &own {
        let account = tx.account(onboarding.account).await?;
        if account.is_none_or(|account| removal::is_erased(&account)) {
            return Err(ErrorCode::UserNotFound.into());
        }
    }
    let mut decision = onboarding::token(context, own, holder.as_ref(), &msp.phone_key, body)?;
    if let Some(phone) = phone {
        fresh_iv(tx, context, msp, &phone, &mut decision).await?;
    }
    Ok((decision, None))
}

async fn subscription(
    tx: &Tx<'_>,
    context: &Context,
    msp: &Msp,
    token: &str,
    body: &Members,
) -> Decided {
    let federation = federated(tx, msp, token, true).await?;
    let body = UpdateSubscriptionInfo::from_members(body)?;
    let phone = body.phone.clone();
    let settled = settled(tx, &federation).await?;
    let mut decision = onboarding::update(federation, &msp.phone_key, body)?;
    decision.changes.extend(settled);
    fresh_iv(tx, context, msp, &phone, &mut decision).await?;
    Ok((decision, None))
}

async fn invalidate(
    tx: &Tx<'_>,
    context: &Context,
    msp: &Msp,
    token: &str,
    body: &Members,
) -> Decided {
    let federation = federated(tx, msp, token, false).await?;
    let body = NotifyTokenInvalid::from_members(body)?;
    let (by, reason) = (withdraw::By::Msp, body.reason);
    let decision = views::withdrawal(tx, context, &federation, by, reason).await?;
    Ok((decision, None))
}

async fn profile_information(
    tx: &Tx<'_>,
    context: &Context,
    msp: &Msp,
    token: &str,
    body: &Members,
) -> Decided {
    let federation = federated(tx, msp, token, false).await?;
    let body = SendProfileInformation::from_members(body)?;
    let own = tx.profiles(federation.id).await?;
    let mut known = Vec::new();
    for item in &body.profiles {
        known.push(tx.known_to(&msp.name, &item.iccid).await?);
    }
    let mut decision = profiles::information(context, &federation, &own, &known, body)?;
    decision.changes.extend(settled(tx, &federation).await?);
    Ok((decision, Some(federation.account)))
}

/// An MSP that names a token knows it: a doubt about the link ends.
async fn settled(tx: &Tx<'_>, federation: &Federation) -> Stored<Option<Change>> {
    let doubt = tx.doubt(federation.id).await?;
    Ok(doubt.map(|doubt| Change::Link(LinkChange::Settle(doubt.federation))))
}

/// Refuses a number under an initialisation vector that was used for another number with the same
/// key: AES-GCM protects neither then (R-7.3-10). Notes the vector otherwise.
async fn fresh_iv(
    tx: &Tx<'_>,
    context: &Context,
    msp: &Msp,
    phone: &EncryptedPhone,
    decision: &mut Decision,
) -> Result<(), Refusal> {
    let (key_id, _) = msp.phone_key.open(phone)?;
    let digest = hex::encode(Sha256::digest(phone.phone_number.as_bytes()));
    match tx.iv_used(&msp.name, key_id, &phone.iv).await? {
        Some(before) if before == digest => return Ok(()),
        Some(_) => {
            let (msp, key_id) = (msp.name.clone(), key_id.to_owned());
            return Err(Refusal::ReusedVector { msp, key_id });
        }
        None => {}
    }
    decision.changes.push(Change::UseIv {
        msp: msp.name.clone(),
        key_id: key_id.to_owned(),
        iv: phone.iv.clone(),
        digest,
        at: context.now,
    });
    Ok(())
}

/// Decides about an answer, whichever way it came. The user is locked.
async fn answered(
    tx: &Tx<'_>,
    context: &Context,
    request: &CodeRequest,
    federation: &Federation,
    answer: code::Answer,
) -> Stored<Decision> {
    let profiles = tx.profiles(federation.id).await?;
    let (mut orders, mut foreign) = (Vec::new(), false);
    if let code::Answer::Code {
        iccid: Some(iccid), ..
    } = &answer
    {
        orders = orders_about(tx, &profiles, iccid, request.eid).await?;
        foreign = is_foreign(tx, federation, iccid).await?;
    }
    let known = code::Known {
        profiles: &profiles,
        orders: &orders,
        foreign,
    };
    Ok(code::answered(context, request, federation, known, answer))
}

/// The open orders of a car, where a profile is given again: of one that nobody had, no order says anything.
pub(super) async fn orders_about(
    tx: &Tx<'_>,
    profiles: &[Profile],
    iccid: &Iccid,
    eid: Eid,
) -> Stored<Vec<Order>> {
    match profiles.iter().any(|p| p.iccid == *iccid) {
        true => tx.open_orders(eid).await,
        false => Ok(Vec::new()),
    }
}

/// Whether another subscription may have this profile on a card.
pub(super) async fn is_foreign(
    tx: &Tx<'_>,
    federation: &Federation,
    iccid: &Iccid,
) -> Stored<bool> {
    tx.lock(Lock::Profile(iccid.clone())).await?;
    let others = tx.profiles_with(iccid).await?;
    let other = |p: &Profile| p.federation != federation.id && p.status.may_be_on_card();
    Ok(others.iter().any(other))
}
