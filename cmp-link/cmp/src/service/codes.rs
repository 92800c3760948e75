//! Send Activation Code (§7.7.2.1).

use super::Service;
use super::aid1::{Call, Refusal, federated, is_foreign};
use crate::store::Tx;
use aid_aid1::body::{Body as _, Members, SendActivationCode};
use aid_aid1::error_code::{ApiError, ErrorCode, split_error};
use aid_cmp_core::change::Change;
use aid_cmp_core::decide::{Context, Decision, code};
use aid_cmp_core::model::{CallState, CodeRequest, Federation, RequestState};
use aid_id::Id;
use std::sync::Arc;

impl Service {
    /// Takes a call.
    pub(super) async fn activation_code(
        self: &Arc<Self>,
        call: Call,
        token: String,
        members: &Members,
    ) -> Result<(), Refusal> {
        let mut body = SendActivationCode::from_members(members);
        if let Ok(SendActivationCode::Code {
            activation_code, ..
        }) = &body
            && let Err(error) = self.check_smdp(activation_code).await
        {
            let error = ApiError::because(ErrorCode::ActivationCodeFormat, error);
            body = Err(error);
        }
        self.decide(async move |_, tx, context| {
            if call.is_repetition(tx).await? {
                return Ok((Decision::default(), ()));
            }
            let decided = async {
                // Whose the members are is judged before what they say.
                let federation = federated(tx, &call.msp, &token, true).await?;
                let (id, answer) = answer(body.clone()?);
                decide(tx, context, &call, &federation, id, answer).await
            };
            match call.unless_repeated(tx, decided.await).await? {
                Some(decision) => Ok((call.finished(context, decision), ())),
                None => Ok((Decision::default(), ())),
            }
        })
        .await
    }
}

/// Decides about an answer of the MSP to the request `id`. The user is locked.
async fn decide(
    tx: &Tx<'_>,
    context: &Context,
    call: &Call,
    federation: &Federation,
    id: Option<Id>,
    answer: code::Answer,
) -> Result<Decision, Refusal> {
    // An error may come without the request's id: then token and correlation-id must do.
    let request = match id {
        Some(id) => tx.request(id).await?,
        None => {
            let mut own = tx.requests(federation.id).await?.into_iter();
            own.find(|r| r.correlation == call.correlation)
        }
    };
    let own = request.filter(|r| r.federation == federation.id);
    let request = own.ok_or(ErrorCode::RequestNotFound)?;
    if request.correlation != call.correlation {
        return Err(ErrorCode::CorrelationMismatch.into());
    }
    let mut decision = match standing(&request, &answer)? {
        Standing::Said => Decision::default(),
        Standing::Open => {
            let profiles = tx.profiles(Some(federation.id)).await?;
            if let code::Answer::Code {
                iccid: Some(iccid), ..
            } = &answer
                && is_foreign(tx, federation, iccid).await?
            {
                // Accepted, the code would be lost: no car may have it. Rejected, the MSP can send a right one.
                let text = "the profile can't be used for this subscription";
                return Err(ApiError::because(ErrorCode::ActivationCodeOther, text).into());
            }
            code::answered(context, &request, federation, &profiles, false, answer)
        }
    };
    if request.state == RequestState::New {
        // The code overtook the 201 (R-7.7.2-2): nothing is left to ask.
        let detail = format!("request {}", uuid::Uuid::from_bytes(request.id));
        let early = context.audit(call.msp.name.clone(), "code before the 201", detail);
        let answered = Change::CloseCall(request.id, CallState::Done, context.now);
        decision.changes.extend([early, answered]);
    }
    Ok(decision)
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
