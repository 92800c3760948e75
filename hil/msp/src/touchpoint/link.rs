//! Links a customer's account at a CMP with his subscription: the last step of onboarding (AID.02 §4.1 [8]-[15], §7.3).

use std::time::Duration;

use aid_aid1::account_id::{AccountIdError, Claims, verify};
use aid_aid1::body::SendMspToken;
use aid_aid1::error_code::ErrorCode;
use uuid::Uuid;

use super::session::Visit;
use crate::config::CmpParty;
use crate::msp::{Msp, now_ms};
use crate::outbox::{Failed, deliver, token_job_body};
use crate::store::{Job, Kind, Onboarding, OnboardingState, Subscription};

/// How often Send MSP Token is tried while the customer waits.
const TRIES: u32 = 3;
/// Fewest digits of a phone number that prove something: one is guessed by every tenth stranger.
const LEAST_VER: usize = 4;
/// How long the outbox leaves Send MSP Token to the touchpoint, ms.
const OURS: i64 = 45_000;

/// What an account id says, if this CMP has issued it and it still lives. `now` in ms since 1970.
pub(super) fn claims(cmp: &CmpParty, id: &str, now: i64) -> Result<Claims, AccountIdError> {
    let seconds = u64::try_from(now / 1000).unwrap_or_default();
    verify(id, &cmp.secrets, &cmp.policy, seconds)
}

/// Links the accounts: verifies the account id once more, stores a new token, and gives it to the CMP (§4.1 [8]-[14]).
pub(super) async fn link(
    msp: &Msp,
    visit: &Visit,
    subscription: &Subscription,
    now: i64,
) -> Result<(), ErrorCode> {
    let cmp = msp.cmp(&visit.cmp).ok_or(ErrorCode::AccountIdOther)?;
    let claims = claims(&cmp, &visit.account_id, now).map_err(AccountIdError::code)?;
    // The secret knowledge is the end of the phone number (§5.2), and enough of it.
    let known = claims.ver.as_ref().is_none_or(|ver| {
        if ver.len() < LEAST_VER {
            return false;
        }
        let digits = subscription.msisdn.len().checked_sub(ver.len());
        digits
            .and_then(|at| subscription.msisdn.get(at..))
            .is_some_and(|end| claims.ver_matches(end))
    });
    if !known {
        tracing::warn!(user = subscription.user, "ver does not fit the customer");
        return Err(ErrorCode::AccountIdOther);
    }
    let internal = |error: &dyn std::fmt::Display| {
        tracing::error!(%error, "onboarding");
        ErrorCode::Internal
    };
    if msp
        .store
        .sid_is_used(&cmp.client_id, claims.sid)
        .await
        .map_err(|e| internal(&e))?
    {
        return Err(ErrorCode::AccountIdExpired);
    }
    let information = subscription.information(&cmp).map_err(|e| internal(&e))?;
    let onboarding = Onboarding {
        msp_token: aid_id::MspToken::from_bytes(*Uuid::new_v4().as_bytes()),
        client_id: cmp.client_id.clone(),
        user: subscription.user.clone(),
        subscription: subscription.id.clone(),
        sid: claims.sid,
        state: OnboardingState::Pending,
        created_at: now,
        changed_at: now,
    };
    let token = onboarding.msp_token;
    let body = SendMspToken::Token {
        msp_token: token,
        phone: information.phone,
        subscription_type: information.subscription_type,
        customer_group: information.customer_group,
    };
    let text = token_job_body(&visit.account_id, &body);
    let job = Job::new(
        &cmp.client_id,
        Kind::SendMspToken,
        token,
        Uuid::new_v4(),
        text,
    );
    let id = msp
        .store
        .add_onboarding(&onboarding, &job, now + OURS)
        .await
        .map_err(|e| internal(&e))?;
    for attempt in 1..=TRIES {
        let outcome = match deliver(msp, &job).await {
            Ok(()) => Ok(()),
            Err(Failed::Later(reason, _)) => {
                tracing::warn!(reason, attempt, "Send MSP Token");
                tokio::time::sleep(Duration::from_millis(500)).await;
                continue;
            }
            Err(Failed::Dead(reason, code)) => {
                tracing::warn!(reason, "Send MSP Token");
                Err(code.unwrap_or(ErrorCode::Internal))
            }
        };
        let state = match outcome {
            Ok(()) => OnboardingState::Active,
            Err(_) => OnboardingState::Refused,
        };
        let error = outcome
            .as_ref()
            .err()
            .map(|code| format!("refused with code {code}"));
        msp.store
            .settle_onboarding(token, state, now_ms())
            .await
            .map_err(|e| internal(&e))?;
        msp.store
            .close_job(id, error.as_deref())
            .await
            .map_err(|e| internal(&e))?;
        if outcome.is_ok() {
            tracing::info!(user = subscription.user, client = %cmp.client_id, "accounts are linked");
        }
        return outcome;
    }
    // The outbox goes on; the CMP shows the link when it has the token.
    Err(ErrorCode::Internal)
}
