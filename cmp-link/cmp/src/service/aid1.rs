//! The five operations of the CMP's API on the store, and answers of MSPs to our calls (AID.02 §7).
//! Called by the API's handlers and by the outbox.

use super::Service;
use crate::config::Msp;
use crate::store::{Store, StoreError, Stored};
use crate::views;
use aid_aid1::account_id::{Policy, verify};
use aid_aid1::body::{
    Body as _, NotifyTokenInvalid, SendMspToken, SendProfileInformation, UpdateSubscriptionInfo,
};
use aid_aid1::error_code::{ApiError, ErrorCode};
use aid_aid1::operation::{Api as _, CmpOperation};
use aid_aid1::phone::EncryptedPhone;
use aid_aid1::server::{Caller, path_token};
use aid_cmp_core::change::Change;
use aid_cmp_core::decide::{Context, Decision, code, onboarding, profiles, removal, withdraw};
use aid_cmp_core::model::{Answered, CallState, CodeRequest, Federation, Profile};
use aid_id::Id;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

/// A refusal for whatever the store says; the detail stays in our log.
pub(super) fn internal(error: &StoreError) -> ApiError {
    tracing::error!(%error, "an AID1 call failed");
    ApiError::new(ErrorCode::Internal)
}

/// What a repetition of a request must have the same.
pub(super) fn digest_of(operation: CmpOperation, variable: &str, body: &[u8]) -> String {
    let mut digest = Sha256::new();
    let resource = operation.contract().path.resource();
    for part in [resource.as_bytes(), variable.as_bytes(), body] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    hex::encode(digest.finalize())
}

impl<S: Store> Service<S> {
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
        if operation == CmpOperation::SendActivationCode {
            return self.activation_code(msp, caller, variable, body).await;
        }
        let contract = operation.contract();
        contract.check_form(variable, body)?;
        let turn = self.store.turn().await.map_err(|e| internal(&e))?;
        let request_id = caller.headers.request_id.into_bytes();
        let digest = digest_of(operation, variable, body);
        let client = msp.client_id.to_string();
        let before = self.store.answered(&client, request_id).await;
        if let Some(before) = before.map_err(|e| internal(&e))? {
            if before.digest == digest {
                return Ok(before.status);
            }
            let text = "this CMP-request-id was used for another request";
            return Err(ApiError::because(ErrorCode::Syntax, text));
        }
        let context = self.context();
        let mut decision = match operation {
            // Went its own way above.
            CmpOperation::SendActivationCode => return Err(ErrorCode::Internal.into()),
            CmpOperation::UpdateSubscriptionInfo => self.subscription(msp, variable, body).await?,
            CmpOperation::SendMspToken => self.token(&context, msp, variable, body).await?,
            CmpOperation::NotifyTokenInvalid => {
                self.invalidate(&context, msp, variable, body).await?
            }
            CmpOperation::SendProfileInformation => {
                self.profile_information(&context, msp, variable, body)
                    .await?
            }
        };
        decision.belongs_to(caller.headers.correlation_id.into_bytes());
        decision.changes.push(Change::Remember(Answered {
            client,
            request_id,
            digest,
            status: contract.success().as_u16(),
            body: String::new(),
            at: context.now,
        }));
        self.carry_out(turn, decision)
            .await
            .map_err(|e| internal(&e))?;
        if operation == CmpOperation::SendProfileInformation
            && let Some(federation) = self.federated(msp, variable).await?
        {
            // A block shows in the car where its user is (R-4.7-4).
            let users = vec![federation.account];
            let done = self.refresh_profiles(users).await;
            done.map_err(|e| internal(&e))?;
        }
        Ok(contract.success().as_u16())
    }

    async fn federated(&self, msp: &Msp, token: &str) -> Result<Option<Federation>, ApiError> {
        let token = path_token(token)?;
        let found = self.store.federation(&msp.name, token).await;
        found.map_err(|e| internal(&e))
    }

    async fn token(
        &self,
        context: &Context,
        msp: &Msp,
        id: &str,
        body: &[u8],
    ) -> Result<Decision, ApiError> {
        let claims = verify(id, &msp.secrets, &Policy::default(), context.now / 1000)?;
        let body = SendMspToken::parse(body)?;
        let onboarding = self.store.onboarding(claims.sid.into_bytes()).await;
        let onboarding = onboarding.map_err(|e| internal(&e))?;
        let holder = match &body {
            SendMspToken::Token { msp_token, .. } => {
                let found = self.store.federation(&msp.name, *msp_token).await;
                found.map_err(|e| internal(&e))?
            }
            SendMspToken::Failed { .. } => None,
        };
        let own = onboarding.filter(|o| o.msp == msp.name);
        if let Some(onboarding) = &own {
            let account = self.store.account(onboarding.account).await;
            let account = account.map_err(|e| internal(&e))?;
            if account.is_none_or(|account| removal::is_erased(&account)) {
                return Err(ErrorCode::UserNotFound.into());
            }
        }
        let phone = match &body {
            SendMspToken::Token { phone, .. } => Some(phone.clone()),
            SendMspToken::Failed { .. } => None,
        };
        let decided = onboarding::token(context, own, holder.as_ref(), &msp.phone_key, body);
        let mut decision = decided?;
        if let Some(phone) = phone {
            self.fresh_iv(context, msp, &phone, &mut decision).await?;
        }
        Ok(decision)
    }

    async fn subscription(
        &self,
        msp: &Msp,
        token: &str,
        body: &[u8],
    ) -> Result<Decision, ApiError> {
        let federation = self.federated(msp, token).await?;
        let federation = onboarding::known(federation, true)?;
        let body = UpdateSubscriptionInfo::parse(body)?;
        let phone = body.phone.clone();
        let mut decision = onboarding::update(federation, &msp.phone_key, body)?;
        let context = self.context();
        self.fresh_iv(&context, msp, &phone, &mut decision).await?;
        Ok(decision)
    }

    async fn invalidate(
        &self,
        context: &Context,
        msp: &Msp,
        token: &str,
        body: &[u8],
    ) -> Result<Decision, ApiError> {
        let federation = self.federated(msp, token).await?;
        let federation = onboarding::known(federation, false)?;
        let body = NotifyTokenInvalid::parse(body)?;
        let (by, reason) = (withdraw::By::Msp, body.reason);
        let ended = self.withdrawal(context, &federation, by, reason).await;
        ended.map_err(|e| internal(&e))
    }

    /// Ends a federation, whoever wants it.
    pub(super) async fn withdrawal(
        &self,
        context: &Context,
        federation: &Federation,
        by: withdraw::By,
        reason: Option<String>,
    ) -> Stored<Decision> {
        views::withdrawal(&self.store, context, federation, by, reason).await
    }

    async fn profile_information(
        &self,
        context: &Context,
        msp: &Msp,
        token: &str,
        body: &[u8],
    ) -> Result<Decision, ApiError> {
        let federation = self.federated(msp, token).await?;
        let federation = onboarding::known(federation, false)?;
        let body = SendProfileInformation::parse(body)?;
        let own = self.store.profiles(Some(federation.id)).await;
        let own = own.map_err(|e| internal(&e))?;
        let mut known = Vec::new();
        for item in &body.profiles {
            let found = self.store.known_to(&msp.name, &item.iccid).await;
            known.push(found.map_err(|e| internal(&e))?);
        }
        profiles::information(context, &federation, &own, &known, body)
    }

    /// Refuses a number under an initialisation vector that was used for another number with the same
    /// key: AES-GCM protects neither then (R-7.3-10). Notes the vector otherwise.
    async fn fresh_iv(
        &self,
        context: &Context,
        msp: &Msp,
        phone: &EncryptedPhone,
        decision: &mut Decision,
    ) -> Result<(), ApiError> {
        let (key_id, _) = msp.phone_key.open(phone)?;
        let digest = hex::encode(Sha256::digest(phone.phone_number.as_bytes()));
        let used = self.store.iv_used(&msp.name, key_id, &phone.iv).await;
        match used.map_err(|e| internal(&e))? {
            Some(before) if before == digest => return Ok(()),
            Some(_) => {
                tracing::warn!(
                    msp = msp.name,
                    key_id,
                    "an initialisation vector came twice"
                );
                let text = "iv was used before under this key; take a new one for each number";
                return Err(ApiError::because(ErrorCode::Syntax, text));
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

    /// Decides about an answer, whichever way it came.
    pub(super) async fn answer(
        &self,
        context: &Context,
        request: &CodeRequest,
        federation: &Federation,
        answer: code::Answer,
    ) -> Stored<Decision> {
        let profiles = self.store.profiles(Some(federation.id)).await?;
        let mut foreign = false;
        if let code::Answer::Code {
            iccid: Some(iccid), ..
        } = &answer
        {
            let others = self.store.profiles_with(iccid).await?;
            let other = |p: &Profile| p.federation != federation.id && p.status.may_be_on_card();
            foreign = others.iter().any(other);
        }
        Ok(code::answered(
            context, request, federation, &profiles, foreign, answer,
        ))
    }

    /// Takes the MSP's answer to a call of the outbox: the call is done.
    ///
    /// # Errors
    /// The store failed; the call is made again.
    pub async fn called(&self, request_id: Id, answer: code::Answer) -> Stored<()> {
        let turn = self.store.turn().await?;
        let context = self.context();
        let mut decision = Decision::default();
        if let Some(request) = self.store.request(request_id).await?
            && let Some(federation) = self.store.federation_by_id(request.federation).await?
        {
            decision = self.answer(&context, &request, &federation, answer).await?;
            decision.belongs_to(request.correlation);
        }
        let answered = Change::CloseCall(request_id, CallState::Done, context.now);
        decision.changes.push(answered);
        self.carry_out(turn, decision).await
    }

    /// Tells a car that its code comes later, because the MSP can't be reached now.
    ///
    /// # Errors
    /// The store failed.
    pub async fn delayed(&self, request_id: Id) -> Stored<()> {
        if let Some(request) = self.store.request(request_id).await?
            && request.state.is_open()
        {
            self.tell(&code::message(&request, super::fresh));
        }
        Ok(())
    }
}
