//! Links a customer's account at a CMP with a subscription: the last step of onboarding (AID.02 §4.1 [8]-[15], §7.3).

use std::time::Duration;

use aid_aid1::account_id::{AccountIdError, Claims, verify};
use aid_aid1::body::SendMspToken;
use aid_aid1::error_code::ErrorCode;
use uuid::Uuid;

use super::session::Visit;
use crate::config::CmpParty;
use crate::core::model::{Job, Kind, Onboarding, OnboardingState, Subscription};
use crate::core::onboarding;
use crate::core::outbox::Attempt;
use crate::msp::Msp;
use crate::outbox::{self, token_job_body};

/// How often Send MSP Token is tried while the customer waits.
const TRIES: u32 = 3;
/// Fewest digits of a phone number that prove something: one is guessed by every tenth stranger.
const LEAST_VER: usize = 4;
/// The pause between two of them.
const PAUSE: Duration = Duration::from_millis(500);

/// What an account id says, if this CMP has issued it and it still lives. `now` in ms since 1970.
pub(super) fn claims(cmp: &CmpParty, id: &str, now: i64) -> Result<Claims, AccountIdError> {
    let seconds = u64::try_from(now / 1000).unwrap_or_default();
    verify(id, &cmp.secrets, &cmp.policy, seconds)
}

/// How far a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Linked {
    /// The CMP has the token.
    Done,
    /// The CMP has not answered yet; it gets the token again until it does, or until the account id has expired.
    Pending,
}

/// Links the accounts: verifies the account id once more, stores a new token, and gives it to the CMP (§4.1 [8]-[14]).
pub(super) async fn link(
    msp: &Msp,
    visit: &Visit,
    subscription: &Subscription,
    now: i64,
) -> Result<Linked, ErrorCode> {
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
    let information = subscription.information(&cmp).map_err(|e| internal(&e))?;
    let new = Onboarding {
        msp_token: aid_id::MspToken::from_bytes(*Uuid::new_v4().as_bytes()),
        client_id: cmp.client_id.clone(),
        user: subscription.user.clone(),
        subscription: subscription.id.clone(),
        sid: claims.sid,
        state: OnboardingState::Pending,
        created_at: now,
        changed_at: now,
    };
    let token = new.msp_token;
    let body = SendMspToken::Token {
        msp_token: token,
        phone: information.phone,
        subscription_type: information.subscription_type,
        customer_group: information.customer_group,
    };
    let job = Job {
        client_id: cmp.client_id.clone(),
        kind: Kind::SendMspToken,
        msp_token: token,
        request_id: Uuid::new_v4(),
        correlation_id: Uuid::new_v4(),
        body: token_job_body(&visit.account_id, &body),
    };
    let of_job = job.clone();
    let begun = msp.store.decide(async move |tx| {
        let used = tx.sid_is_used(&new.client_id, new.sid).await?;
        Ok(onboarding::begin(used, &new, &of_job))
    });
    if !begun.await.map_err(|e| internal(&e))? {
        return Err(ErrorCode::AccountIdExpired);
    }
    for attempt in 1..=TRIES {
        let sent = outbox::attempt(msp, &job).await;
        let outcome = match &sent {
            Attempt::Sent => Ok(Linked::Done),
            Attempt::Later { reason, .. } if attempt < TRIES => {
                tracing::warn!(reason, attempt, "Send MSP Token");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            // The outbox goes on.
            Attempt::Later { reason, .. } => {
                tracing::warn!(reason, attempt, "Send MSP Token");
                Ok(Linked::Pending)
            }
            Attempt::Refused { reason, code } => {
                tracing::warn!(reason, "Send MSP Token");
                Err(code.unwrap_or(ErrorCode::Internal))
            }
        };
        let stored = outbox::store(msp, job.request_id, sent).await;
        stored.map_err(|e| internal(&e))?;
        if outcome == Ok(Linked::Done) {
            tracing::info!(user = subscription.user, client = %cmp.client_id, "accounts are linked");
        }
        return outcome;
    }
    Ok(Linked::Pending)
}
