//! Onboarding: an account id for the MSP, the token that comes back, later changes of the subscription
//! (§4.1, §5.2, §7.3, §7.6).

use super::{Context, Decision};
use crate::change::Change;
use crate::model::{Federation, Onboarding, OnboardingState};
use aid_aid1::body::{SendMspToken, UpdateSubscriptionInfo};
use aid_aid1::error_code::{ApiError, ErrorCode};
use aid_aid1::phone::PhoneKey;
use aid_id::AccountRef;

/// Life of an account id, seconds: time to log in, choose and pay at the MSP (R-5.2-3).
pub const LIFETIME_S: u64 = 3600;

/// A user wants to link a subscription of this MSP. The account id gets the `sid`.
#[must_use]
pub fn begin(
    context: &Context,
    msp: &str,
    account: AccountRef,
    return_state: String,
) -> Onboarding {
    Onboarding {
        sid: (context.fresh)(),
        msp: msp.to_owned(),
        account,
        state: OnboardingState::Open,
        return_state,
        token: None,
        error: None,
        created_at: context.now,
        expires_at: context.now.saturating_add(LIFETIME_S * 1000),
    }
}

/// Takes Send MSP Token. The account id is verified already; `onboarding` is the one that its `sid`
/// names at this MSP, `holder` the federation that has the token.
///
/// # Errors
/// Codes 10, 11, 23, 24, 91 (R-7.3-2, R-7.3-11, R-7.3-15, R-5.3-3).
pub fn token(
    context: &Context,
    onboarding: Option<Onboarding>,
    holder: Option<&Federation>,
    key: &PhoneKey,
    body: SendMspToken,
) -> Result<Decision, ApiError> {
    let onboarding = onboarding.ok_or(ErrorCode::AccountIdNotFound)?;
    let mut decision = Decision::default();
    let (token, phone, kind, customer_group) = match body {
        SendMspToken::Failed { error } => {
            match onboarding.state {
                OnboardingState::Open => {
                    let failed = OnboardingState::Failed;
                    let change = Change::CloseOnboarding(onboarding.sid, failed, None, Some(error));
                    decision.changes.push(change);
                }
                // It has failed already: a repetition.
                OnboardingState::Failed => {}
                // The token stays, so the MSP must not believe that it went.
                OnboardingState::Done => return Err(ErrorCode::UserHasToken.into()),
            }
            return Ok(decision);
        }
        SendMspToken::Token {
            msp_token,
            phone,
            subscription_type,
            customer_group,
        } => (msp_token, phone, subscription_type, customer_group),
    };
    if onboarding.token == Some(token) || holder.is_some() {
        return Err(ErrorCode::TokenAssigned.into());
    }
    match onboarding.state {
        OnboardingState::Open => {}
        OnboardingState::Done => return Err(ErrorCode::UserHasToken.into()),
        OnboardingState::Failed => return Err(ErrorCode::AccountIdExpired.into()),
    }
    if onboarding.expires_at <= context.now {
        return Err(ErrorCode::AccountIdExpired.into());
    }
    key.decrypt(&phone)?;
    let done = OnboardingState::Done;
    let change = Change::CloseOnboarding(onboarding.sid, done, Some(token), None);
    decision.changes.push(change);
    decision.changes.push(context.audit(
        onboarding.msp.clone(),
        "federated",
        format!("account {}", hex::encode(onboarding.account.0)),
    ));
    decision.changes.push(Change::AddFederation(Federation {
        id: (context.fresh)(),
        msp: onboarding.msp,
        token,
        account: onboarding.account,
        phone,
        kind,
        customer_group,
        since: context.now,
        ended_at: None,
        ended_reason: None,
    }));
    Ok(decision)
}

/// The federation that a token of this MSP names.
///
/// # Errors
/// Code 20, and 21 once it ended, where `alive` is demanded.
pub fn known(federation: Option<Federation>, alive: bool) -> Result<Federation, ApiError> {
    let federation = federation.ok_or(ErrorCode::TokenNotFound)?;
    if alive && federation.ended_at.is_some() {
        return Err(ErrorCode::TokenInvalidated.into());
    }
    Ok(federation)
}

/// Takes Update Subscription Info (§7.6).
///
/// # Errors
/// Code 91.
pub fn update(
    federation: Federation,
    key: &PhoneKey,
    body: UpdateSubscriptionInfo,
) -> Result<Decision, ApiError> {
    key.decrypt(&body.phone)?;
    let updated = Federation {
        phone: body.phone,
        kind: body.subscription_type,
        // R-7.6-2: what is not given stays.
        customer_group: body.customer_group.or(federation.customer_group),
        ..federation
    };
    Ok(Decision {
        changes: vec![Change::UpdateFederation(updated)],
        ..Decision::default()
    })
}
