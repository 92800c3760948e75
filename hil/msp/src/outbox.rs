//! Works off the outbox: one attempt at a time per job, again with growing pauses while the other side is away, dead
//! once it has refused.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use aid_aid1::account_id::verify;
use aid_aid1::body::{
    Body as _, NotifyTokenInvalid, SendActivationCode, SendMspToken, SendProfileInformation,
    UpdateSubscriptionInfo,
};
use aid_aid1::client::{Call, CallError};
use aid_aid1::contract::Variable;
use aid_aid1::error_code::{ApiError, ErrorCode};
use aid_aid1::operation::{Api as _, CmpOperation};
use aid_cli::clock::Steadiness;
use aid_cli::signal::Stop;
use tokio::task::JoinSet;
use tokio::time::timeout;
use uuid::Uuid;

use crate::config::CmpParty;
use crate::es2::Es2Error;
use crate::misbehave::{Customer, Fired, Outgoing, twist_call};
use crate::msp::{Msp, now_ms};
use crate::store::{Job, Kind, NewEvent, OnboardingState, OutboxRow, StoreError};

/// How often the database is looked at, for what the command line has put there.
const POLL: Duration = Duration::from_secs(1);
/// How long answers are kept for repeated requests, ms: a day. Looked at every so many rounds.
const KEEP_ANSWERS: i64 = 24 * 3600 * 1000;
const TIDY: u32 = 600;
/// Jobs of one round.
const BATCH: i64 = 32;
/// Longest pause between two attempts, ms.
const MAX_PAUSE: i64 = 300_000;

/// Why a job is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failed {
    /// Again later; not before the CMP wants it, where it said when.
    Later(String, Option<Duration>),
    /// Never; with the CMP's code of §5.5, if it said one.
    Dead(String, Option<ErrorCode>),
}

impl Failed {
    fn later(reason: impl Into<String>) -> Self {
        Self::Later(reason.into(), None)
    }

    fn dead(reason: impl Into<String>) -> Self {
        Self::Dead(reason.into(), None)
    }
}

impl From<CallError> for Failed {
    fn from(error: CallError) -> Self {
        if error.is_transient() {
            let longest = Duration::from_millis(MAX_PAUSE.unsigned_abs());
            return Self::Later(error.to_string(), error.retry_after(longest));
        }
        let code = error.refusal().and_then(|(_, body)| body?.known());
        Self::Dead(error.to_string(), code)
    }
}

impl From<ApiError> for Failed {
    fn from(error: ApiError) -> Self {
        Self::dead(error.to_string())
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::later(error.to_string())
    }
}

/// Runs until stopped.
pub(crate) async fn run(msp: Msp, stop: Stop) {
    let work = async {
        let start = Instant::now();
        let wall = || now_ms().unsigned_abs();
        let mut clock = Steadiness::new(wall(), start.elapsed());
        for turn in 0_u32.. {
            let steady = clock.look(wall(), start.elapsed());
            if turn % TIDY == 0
                && steady
                && let Err(error) = msp.store.forget_answers(now_ms() - KEEP_ANSWERS).await
            {
                tracing::error!(%error, "old answers");
            }
            if let Err(error) = round(&msp).await {
                tracing::error!(%error, "outbox");
            }
            // Either somebody says that there is work, or it is time to look.
            let _ = timeout(POLL, msp.outbox.notified()).await;
        }
    };
    tokio::select! {
        () = work => {}
        () = stop.wait() => {}
    }
}

/// One round: the CMPs side by side, because one that is slow must not hold up another; the jobs of each in their order.
async fn round(msp: &Msp) -> Result<(), StoreError> {
    let mut lanes = BTreeMap::<String, Vec<OutboxRow>>::new();
    let now = now_ms();
    let latest = now.saturating_add(2 * MAX_PAUSE);
    for row in msp.store.due_jobs(now, latest, BATCH).await? {
        lanes
            .entry(row.job.client_id.to_string())
            .or_default()
            .push(row);
    }
    let mut running = JoinSet::new();
    for (_, rows) in lanes {
        running.spawn(lane(msp.clone(), rows));
    }
    while let Some(result) = running.join_next().await {
        match result {
            Ok(Ok(())) => {}
            // The lanes of the other CMPs go on.
            Ok(Err(error)) => tracing::error!(%error, "outbox"),
            Err(error) => tracing::error!(%error, "outbox"),
        }
    }
    Ok(())
}

async fn lane(msp: Msp, rows: Vec<OutboxRow>) -> Result<(), StoreError> {
    for row in rows {
        if !msp.store.is_waiting(row.id).await? {
            continue;
        }
        let kind = row.job.kind.as_str();
        match attempt(&msp, &row.job).await {
            Ok(()) => {
                tracing::info!(kind, client = %row.job.client_id, "sent");
                msp.store.close_job(row.id, None).await?;
            }
            Err(Failed::Later(reason, wait)) => {
                tracing::warn!(
                    kind,
                    attempts = row.attempts + 1,
                    "will be sent again: {reason}"
                );
                let wait = wait.map_or(0, |wait| {
                    i64::try_from(wait.as_millis()).unwrap_or(MAX_PAUSE)
                });
                msp.store
                    .put_off(row.id, now_ms() + pause(&row).max(wait), &reason)
                    .await?;
            }
            Err(Failed::Dead(reason, _)) => {
                tracing::error!(kind, "cannot be sent: {reason}");
                msp.store.close_job(row.id, Some(&reason)).await?;
            }
        }
    }
    Ok(())
}

/// One, two, four... seconds, each with up to a quarter more, so that many jobs do not come back together.
fn pause(row: &OutboxRow) -> i64 {
    let base = 1000_i64
        .checked_shl(u32::try_from(row.attempts).unwrap_or(u32::MAX))
        .unwrap_or(MAX_PAUSE);
    let base = base.clamp(1000, MAX_PAUSE);
    let random = i64::from(Uuid::new_v4().as_bytes()[0]);
    base + base * random / 1024
}

async fn attempt(msp: &Msp, job: &Job) -> Result<(), Failed> {
    match job.kind {
        Kind::CancelOrder => {
            let done = msp
                .agreed()
                .es2
                .cancel_order(job.request_id, &job.body)
                .await;
            done.map_err(|error| match error {
                Es2Error::Unreachable { .. } => Failed::later(error.to_string()),
                Es2Error::Refused { .. } => Failed::dead(error.to_string()),
            })?;
            Ok(msp.store.note_cancelled(job.msp_token, &job.body).await?)
        }
        Kind::SendMspToken => send_msp_token(msp, job).await,
        _ => deliver(msp, job).await,
    }
}

/// Makes the call of a job once, right or, where that was asked for, wrong.
///
/// # Errors
/// What the CMP or the line says.
pub(crate) async fn deliver(msp: &Msp, job: &Job) -> Result<(), Failed> {
    let cmp = msp.cmp(&job.client_id).ok_or_else(|| {
        Failed::dead(format!(
            "{} is not in the configuration any more",
            job.client_id
        ))
    })?;
    let place = job
        .kind
        .place()
        .ok_or_else(|| Failed::dead("no call to a CMP"))?;
    let fired = msp.fire(place, &job.client_id, |_| true).await;
    if !fired.is_empty() {
        return deliver_wrongly(msp, &cmp, job, &fired).await;
    }
    let call = call_of(job);
    let (client, token, body) = (&cmp.client, job.msp_token, job.body.as_bytes());
    match job.kind {
        Kind::SendMspToken => {
            let (id, body) = token_job(job)?;
            let body = SendMspToken::parse(body.as_bytes())?;
            client.send_msp_token(call, id, &body).await?;
        }
        Kind::NotifyTokenInvalid => {
            let body = NotifyTokenInvalid::parse(body)?;
            client.call(call, &token, &body).await?;
        }
        Kind::SendProfileInformation => {
            let body = SendProfileInformation::parse(body)?;
            client.call(call, &token, &body).await?;
        }
        Kind::UpdateSubscriptionInfo => {
            let body = UpdateSubscriptionInfo::parse(body)?;
            client.call(call, &token, &body).await?;
        }
        Kind::SendActivationCode => {
            let body = SendActivationCode::parse(body)?;
            client.call(call, &token, &body).await?;
        }
        Kind::CancelOrder => {}
    }
    Ok(())
}

fn call_of(job: &Job) -> Call {
    Call {
        request_id: job.request_id,
        correlation_id: job.correlation_id,
    }
}

/// Account id and body of a Send MSP Token job.
fn token_job(job: &Job) -> Result<(&str, &str), Failed> {
    job.body
        .split_once('\n')
        .ok_or_else(|| Failed::dead("the job has no account id"))
}

/// The call of a job outside the typed client, and the status of its success.
pub(crate) fn outgoing(job: &Job) -> Result<(Outgoing, u16), Failed> {
    let operation = match job.kind {
        Kind::SendMspToken => CmpOperation::SendMspToken,
        Kind::NotifyTokenInvalid => CmpOperation::NotifyTokenInvalid,
        Kind::SendProfileInformation => CmpOperation::SendProfileInformation,
        Kind::UpdateSubscriptionInfo => CmpOperation::UpdateSubscriptionInfo,
        Kind::SendActivationCode => CmpOperation::SendActivationCode,
        Kind::CancelOrder => return Err(Failed::dead("no call to a CMP")),
    };
    let place = job
        .kind
        .place()
        .ok_or_else(|| Failed::dead("no call to a CMP"))?;
    let contract = operation.contract();
    let token = job.msp_token.to_string();
    let (variable, body) = match contract.path.variable {
        Variable::AccountId => token_job(job)?,
        Variable::MspToken => (token.as_str(), job.body.as_str()),
    };
    let (method, path) = (contract.method.clone(), contract.path.with(variable));
    let call = Outgoing::new(place, method, path, call_of(job), body.to_owned());
    Ok((call, contract.success().as_u16()))
}

/// Makes the call of a job with misbehaviours; each answer is an event.
async fn deliver_wrongly(
    msp: &Msp,
    cmp: &CmpParty,
    job: &Job,
    fired: &[Fired],
) -> Result<(), Failed> {
    let (mut call, success) = outgoing(job)?;
    let onboardings = msp.store.onboardings().await?;
    let ours = onboardings.iter().find(|o| o.msp_token == job.msp_token);
    let subscription = match ours {
        Some(ours) => msp.store.subscription_of(ours).await?,
        None => None,
    };
    let earlier = onboardings.iter().find(|o| {
        o.msp_token != job.msp_token
            && o.client_id == job.client_id
            && o.state != OnboardingState::Refused
    });
    let profiles = msp.store.profiles_of(job.msp_token).await?;
    let customer = Customer {
        phone_key: &cmp.raw_phone_key,
        number: subscription.as_ref().map_or("", |s| s.msisdn.as_str()),
        earlier_token: earlier.map(|o| o.msp_token.to_string()),
        iccids: profiles.iter().map(|p| p.iccid.to_string()).collect(),
        newest_request: msp.store.newest_request(job.msp_token).await?,
    };
    for one in fired {
        twist_call(one, &mut call, &customer);
    }
    if call.dropped {
        return Ok(());
    }
    let mut first = None;
    for call in std::iter::once(&call).chain(&call.then) {
        let said = cmp.wire.send(call).await;
        for one in fired {
            let event = NewEvent {
                rule: Some(one.rule),
                name: one.name.as_str(),
                operation: call.place,
                client_id: &job.client_id,
                status: Some(said.status),
                code: said.code.clone(),
                note: said.note.clone(),
            };
            msp.store.note_event(&event, now_ms()).await?;
        }
        first.get_or_insert(said);
    }
    match first {
        Some(said) if said.status == success && fired.iter().any(|f| f.name.sends_no_token()) => {
            let reason = "an error was sent instead of a token";
            Err(Failed::Dead(reason.into(), Some(ErrorCode::AccountIdOther)))
        }
        Some(said) if said.status == success => Ok(()),
        Some(said) if matches!(said.status, 0 | 408 | 429 | 500..) => Err(Failed::later(said.note)),
        Some(said) => {
            let code = said.code.as_deref().and_then(|c| c.parse().ok());
            let reason = format!(
                "refused with {}, code {}: {}",
                said.status,
                said.code.unwrap_or_default(),
                said.note
            );
            Err(Failed::Dead(reason, code.and_then(ErrorCode::from_number)))
        }
        None => Ok(()),
    }
}

/// A Send MSP Token that the touchpoint could not deliver. Worth repeating as long as the account id lives.
async fn send_msp_token(msp: &Msp, job: &Job) -> Result<(), Failed> {
    let cmp = msp
        .cmp(&job.client_id)
        .ok_or_else(|| Failed::dead("the CMP is not in the configuration any more"))?;
    let (id, _) = token_job(job)?;
    let settle = |state| msp.store.settle_onboarding(job.msp_token, state, now_ms());
    let now = u64::try_from(now_ms() / 1000).unwrap_or_default();
    if verify(id, &cmp.secrets, &cmp.policy, now).is_err() {
        settle(OnboardingState::Refused).await?;
        return Err(Failed::dead("the account id has expired"));
    }
    match deliver(msp, job).await {
        Ok(()) => Ok(settle(OnboardingState::Active).await?),
        Err(error @ Failed::Later(..)) => Err(error),
        Err(error) => {
            settle(OnboardingState::Refused).await?;
            Err(error)
        }
    }
}

/// A Send MSP Token job: the account id and the body.
#[must_use]
pub(crate) fn token_job_body(id: &str, body: &SendMspToken) -> String {
    format!("{id}\n{}", body.to_json())
}
