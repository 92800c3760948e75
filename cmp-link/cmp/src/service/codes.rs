//! Send Activation Code (§7.7.2.1): calls that wait together are decided together. What they are about is
//! loaded with four reads, each is decided as if it were alone, and one transaction stores all of them.
//! Called by `aid1`.
//!
//! Two calls share a batch only where neither touches what the other reads: other subscriptions, other
//! profiles, other ids. So the order among them does not matter, and one that is refused refuses no other.

use super::Service;
use super::aid1::{digest_of, internal};
use crate::config::Msp;
use crate::store::{CodeKey, CodeRows, Store, StoreError, Stored, Turn};
use aid_aid1::body::{Body as _, Members, SendActivationCode};
use aid_aid1::error_code::{ApiError, ErrorCode, split_error};
use aid_aid1::operation::{CmpOperation, Operation as _};
use aid_aid1::server::{Caller, path_token};
use aid_aid1::strict_json;
use aid_cmp_core::change::Change;
use aid_cmp_core::decide::{Context, Decision, code, onboarding};
use aid_cmp_core::model::{Answered, CallState, CodeRequest, Profile, RequestState};
use aid_id::Id;
use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

/// Calls that are decided together, at most.
const BATCH: usize = 32;
/// Status of a success.
const OK: u16 = SendActivationCode::CONTRACT.success().as_u16();

/// A call that was read and waits for its decision.
#[derive(Debug)]
struct Job {
    key: CodeKey,
    /// The MSP's configured name.
    msp: String,
    client: String,
    correlation: Id,
    digest: String,
    /// The body, or what its members say that can't be; whose they are is looked at first.
    body: Result<SendActivationCode, ApiError>,
    answer: oneshot::Sender<Result<u16, ApiError>>,
}

/// Calls that wait, and whether somebody works on them.
#[derive(Debug, Default)]
pub(super) struct Waiting(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    jobs: VecDeque<Job>,
    running: bool,
}

impl Waiting {
    fn queue(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a call; true: nobody works on them yet.
    fn push(&self, job: Job) -> bool {
        let mut queue = self.queue();
        queue.jobs.push_back(job);
        !std::mem::replace(&mut queue.running, true)
    }

    /// Whether anything waits; if not, the work is over.
    fn goes_on(&self) -> bool {
        let mut queue = self.queue();
        queue.running = !queue.jobs.is_empty();
        queue.running
    }

    /// The next calls that have nothing to do with each other, all of one MSP.
    fn batch(&self) -> Vec<Job> {
        let mut queue = self.queue();
        let (mut batch, mut rest) = (Vec::<Job>::new(), VecDeque::new());
        let mut touched = BTreeSet::new();
        while let Some(job) = queue.jobs.pop_front() {
            let own = batch.first().is_none_or(|first| first.msp == job.msp);
            // A call behind one that has to wait waits too where it touches the same.
            let keys: Vec<String> = job.touches().collect();
            let alone = keys.iter().all(|key| !touched.contains(key));
            touched.extend(keys);
            if own && alone && batch.len() < BATCH {
                batch.push(job);
            } else {
                rest.push_back(job);
            }
        }
        queue.jobs = rest;
        batch
    }
}

impl Job {
    /// What no other call of a batch may touch.
    fn touches(&self) -> impl Iterator<Item = String> {
        let CodeKey {
            request_id,
            token,
            iccid,
            ..
        } = &self.key;
        let id = uuid::Uuid::from_bytes(*request_id);
        let keys = [format!("id {id}"), format!("token {token}")];
        keys.into_iter()
            .chain(iccid.iter().map(|iccid| format!("iccid {iccid}")))
    }
}

/// Lets the next call begin anew, however the work on these ended.
struct Work<'a>(&'a Waiting);

impl Drop for Work<'_> {
    fn drop(&mut self) {
        // Otherwise the queue was empty, and somebody else may work on what came since.
        if std::thread::panicking() {
            // Those who wait for an answer hear that there is none.
            let mut queue = self.0.queue();
            queue.running = false;
            queue.jobs.clear();
        }
    }
}

impl<S: Store> Service<S> {
    /// Takes a call and waits for its decision.
    pub(super) async fn activation_code(
        self: &Arc<Self>,
        msp: &Msp,
        caller: &Caller,
        token: &str,
        body: &[u8],
    ) -> Result<u16, ApiError> {
        let digest = digest_of(CmpOperation::SendActivationCode, token, body);
        let token = path_token(token)?;
        let members = Members::new(strict_json::object(body)?);
        let mut body = SendActivationCode::from_members(&members);
        if let Ok(SendActivationCode::Code {
            activation_code, ..
        }) = &body
            && let Err(error) = self.check_smdp(activation_code).await
        {
            let error = ApiError::because(ErrorCode::ActivationCodeFormat, error);
            body = Err(error);
        }
        let (request, iccid) = match &body {
            Ok(SendActivationCode::Code {
                request_id, iccid, ..
            }) => (Some(*request_id), Some(iccid.clone())),
            Ok(SendActivationCode::Failed { request_id, .. }) => (*request_id, None),
            Err(_) => (None, None),
        };
        let correlation = caller.headers.correlation_id.into_bytes();
        let (answer, answered) = oneshot::channel();
        let job = Job {
            key: CodeKey {
                request_id: caller.headers.request_id.into_bytes(),
                token,
                request: request.map(uuid::Uuid::into_bytes),
                correlation,
                iccid,
            },
            msp: msp.name.clone(),
            client: msp.client_id.to_string(),
            correlation,
            digest,
            body,
            answer,
        };
        if self.codes.push(job) {
            // Not in this call's own task: if its caller hangs up, the others' decisions go on.
            let service = Arc::clone(self);
            tokio::spawn(async move { service.decide_codes().await });
        }
        let internal = Err(ErrorCode::Internal.into());
        answered.await.unwrap_or(internal)
    }

    /// Decides about all that waits, batch by batch: while one is stored, the next gathers.
    async fn decide_codes(&self) {
        let _work = Work(&self.codes);
        while self.codes.goes_on() {
            let turn = self.store.turn().await;
            let jobs = self.codes.batch();
            let done = match turn {
                Ok(turn) => self.decide_batch(turn, &jobs).await,
                Err(error) => Err(error),
            };
            let results = match done {
                Ok(results) => results,
                Err(error) => self.one_by_one(&jobs, error).await,
            };
            for (job, result) in jobs.into_iter().zip(results) {
                // A caller that has hung up gets the same answer when he asks again.
                let _ = job.answer.send(result);
            }
        }
    }

    /// A batch was not stored, nothing of it: the one that can't be must not take the others along.
    async fn one_by_one(&self, jobs: &[Job], error: StoreError) -> Vec<Result<u16, ApiError>> {
        let mut results = Vec::new();
        for job in jobs {
            let done = if jobs.len() < 2 || matches!(error, StoreError::Full(_)) {
                Err(error.clone())
            } else {
                match self.store.turn().await {
                    Ok(turn) => self.decide_batch(turn, std::slice::from_ref(job)).await,
                    Err(error) => Err(error),
                }
            };
            let result = done.map(|mut results| results.pop());
            results.push(match result {
                Ok(Some(result)) => result,
                Ok(None) => Err(ErrorCode::Internal.into()),
                Err(error) => Err(internal(&error)),
            });
        }
        results
    }

    /// Loads, decides and stores; what is answered is on disk.
    async fn decide_batch(&self, turn: Turn, jobs: &[Job]) -> Stored<Vec<Result<u16, ApiError>>> {
        let Some(first) = jobs.first() else {
            return Ok(Vec::new());
        };
        let keys: Vec<&CodeKey> = jobs.iter().map(|job| &job.key).collect();
        let rows = self.store.codes(&first.msp, &first.client, &keys).await?;
        let context = self.context();
        let mut all = Decision::default();
        let mut results = Vec::new();
        for job in jobs {
            results.push(match decide(&context, job, &rows) {
                Ok(Some(decision)) => {
                    all.merge(decision);
                    Ok(OK)
                }
                Ok(None) => Ok(OK),
                Err(error) => Err(error),
            });
        }
        // Those of one kind become one statement; a batch has no two that touch the same row.
        all.changes.sort_by_key(|change| match change {
            Change::PutProfile(_) => 0,
            Change::PutRequest(_) => 1,
            Change::Remember(_) => 2,
            _ => 3,
        });
        self.carry_out(turn, all).await?;
        Ok(results)
    }
}

/// Decides about one call; none: it is a repetition of one that succeeded.
fn decide(context: &Context, job: &Job, rows: &CodeRows) -> Result<Option<Decision>, ApiError> {
    let before = |a: &&Answered| a.request_id == job.key.request_id;
    if let Some(before) = rows.answered.iter().find(before) {
        if before.digest == job.digest {
            return Ok(None);
        }
        let text = "this CMP-request-id was used for another request";
        return Err(ApiError::because(ErrorCode::Syntax, text));
    }
    let federation = rows.federations.iter().find(|f| f.token == job.key.token);
    let federation = onboarding::known(federation.cloned(), true)?;
    let body = job.body.clone()?;
    let (id, answer) = answer(body);
    let mut own = rows
        .requests
        .iter()
        .filter(|r| r.federation == federation.id);
    // An error may come without the request's id: then token and correlation-id must do.
    let request = match id {
        Some(id) => own.find(|r| r.id == id),
        None => own.find(|r| r.correlation == job.correlation),
    };
    let request = request.ok_or(ErrorCode::RequestNotFound)?;
    if request.correlation != job.correlation {
        return Err(ErrorCode::CorrelationMismatch.into());
    }
    let mut decision = match standing(request, &answer)? {
        Standing::Said => Decision::default(),
        Standing::Open => {
            let profiles: Vec<Profile> = rows.profiles_of(federation.id).cloned().collect();
            let foreign = job.key.iccid.as_ref().is_some_and(|iccid| {
                let mut others = rows.profiles.iter().filter(|p| p.iccid == *iccid);
                others.any(|p| p.federation != federation.id && p.status.may_be_on_card())
            });
            if foreign {
                // Taken, the code would be lost: no car may have it. Refused, the MSP can send a right one.
                let text = "the profile can't be used for this subscription";
                return Err(ApiError::because(ErrorCode::ActivationCodeOther, text));
            }
            code::answered(context, request, &federation, &profiles, false, answer)
        }
    };
    if request.state == RequestState::New {
        // The code overtook the 201 (R-7.7.2-2): nothing is left to ask.
        let detail = format!("request {}", uuid::Uuid::from_bytes(request.id));
        let early = context.audit(job.msp.clone(), "code before the 201", detail);
        let answered = Change::CloseCall(request.id, CallState::Done, context.now);
        decision.changes.extend([early, answered]);
    }
    decision.belongs_to(job.correlation);
    decision.changes.push(Change::Remember(Answered {
        client: job.client.clone(),
        request_id: job.key.request_id,
        digest: job.digest.clone(),
        status: OK,
        body: String::new(),
        at: context.now,
    }));
    Ok(Some(decision))
}

/// What the MSP says, and of which request.
fn answer(body: SendActivationCode) -> (Option<Id>, code::Answer) {
    match body {
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
    }
}

/// Where a request stands when an answer to it comes.
enum Standing {
    /// It waits for one.
    Open,
    /// It has this very answer.
    Said,
}

fn standing(request: &CodeRequest, answer: &code::Answer) -> Result<Standing, ApiError> {
    match request.state {
        RequestState::New | RequestState::Accepted => Ok(Standing::Open),
        RequestState::Expired => Err(ErrorCode::RequestExpired.into()),
        RequestState::Answered | RequestState::Used if same_code(request, answer) => {
            Ok(Standing::Said) // R-7.7.2.1-6
        }
        RequestState::Answered | RequestState::Used => {
            Err(ErrorCode::ActivationCodeAssigned.into())
        }
        RequestState::Failed if matches!(answer, code::Answer::Failed { .. }) => Ok(Standing::Said),
        RequestState::Failed => Err(ErrorCode::RequestExpired.into()),
    }
}

fn same_code(request: &CodeRequest, answer: &code::Answer) -> bool {
    match answer {
        code::Answer::Code {
            code,
            iccid,
            swapped,
        } => {
            let text = code.to_string();
            request.code.as_ref().is_some_and(|c| c.expose() == text)
                && request.iccid == *iccid
                && request.swapped == *swapped
        }
        _ => false,
    }
}
