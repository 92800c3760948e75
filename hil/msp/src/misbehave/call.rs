//! Misbehaviours of our own calls: what is sent, with which headers, how often. They bypass the typed client, because that
//! could not send such things.

use std::time::Duration;

use aid_aid1::body::{NotifyTokenInvalid, SendActivationCode, SendProfileInformation};
use aid_aid1::client::Call;
use aid_aid1::contract::Variable;
use aid_aid1::error_code::ErrorCode;
use aid_aid1::headers::{API_KEY, CLIENT_ID, REQUEST_ID, TARGET_ID};
use aid_aid1::operation::{Api as _, CmpOperation, Operation as _};
use axum::http::{HeaderName, Method};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::answer::twist_text;
use super::code::{code_body, twist_code};
use super::layer::place_of_call;
use super::rules::Fired;
use super::rules::{NewEvent, RuleChange};
use super::token::{Customer, twist_token};
use super::wire::Wire;
use super::{Name, Place, Stage};
use crate::config::CmpParty;
use crate::core::Decision;
use crate::core::model::Job;
use crate::core::outbox::Attempt;
use crate::msp::{Msp, now_ms};
use crate::outbox::{call_of, token_job, unauthorized};
use crate::store::Stored;

/// A call before it is sent.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    /// The operation.
    pub(crate) place: Place,
    /// HTTP method.
    pub(crate) method: Method,
    /// Path, below the CMP's base URL.
    pub(crate) path: String,
    /// The two ids.
    pub(crate) call: Call,
    /// Headers that replace the right ones; an empty value removes one.
    pub(crate) headers: Vec<(HeaderName, String)>,
    /// Body.
    pub(crate) body: Option<String>,
    /// `content-type` of the body.
    pub(crate) content_type: String,
    /// To wait before.
    pub(crate) delay: Duration,
    /// It is not sent.
    pub(crate) dropped: bool,
    /// Calls that follow it.
    pub(crate) then: Vec<Outgoing>,
}

impl Outgoing {
    /// A call as it should be.
    pub(crate) fn new(
        place: Place,
        method: Method,
        path: String,
        call: Call,
        body: String,
    ) -> Self {
        Self {
            place,
            method,
            path,
            call,
            headers: Vec::new(),
            body: Some(body),
            content_type: "application/json".into(),
            delay: Duration::ZERO,
            dropped: false,
            then: Vec::new(),
        }
    }

    /// The same once more, as a call of its own.
    fn again(&self) -> Self {
        let mut next = self.clone();
        next.then.clear();
        next.delay = Duration::ZERO;
        next.call.request_id = Uuid::new_v4();
        next
    }

    /// The token of a Notify MSP Token Invalid.
    fn token(&self) -> &str {
        let token = NotifyTokenInvalid::CONTRACT.path.variable_of(&self.path);
        token.unwrap_or_default()
    }

    fn members(&self) -> Map<String, Value> {
        let text = self.body.as_deref().unwrap_or_default();
        serde_json::from_str(text).unwrap_or_default()
    }

    fn set_members(&mut self, members: Map<String, Value>) {
        self.body = Some(Value::Object(members).to_string());
    }
}

/// The call of a job outside the typed client, and the status of its success.
fn outgoing(job: &Job, operation: CmpOperation) -> (Outgoing, u16) {
    let contract = operation.contract();
    let token = job.msp_token.to_string();
    let (variable, body) = match contract.path.variable {
        Variable::AccountId => token_job(job).unwrap_or_default(),
        Variable::MspToken => (token.as_str(), job.body.as_str()),
    };
    let place = place_of_call(operation);
    let (method, path) = (contract.method.clone(), contract.path.with(variable));
    let call = Outgoing::new(place, method, path, call_of(job), body.to_owned());
    (call, contract.success().as_u16())
}

/// Makes the call of a job with misbehaviours; each answer is an event.
///
/// # Errors
/// The database fails.
pub(super) async fn send_wrongly(
    msp: &Msp,
    cmp: &CmpParty,
    job: &Job,
    operation: CmpOperation,
    fired: &[Fired],
) -> Stored<Attempt> {
    let (mut call, success) = outgoing(job, operation);
    let (token, client) = (job.msp_token, job.client_id.clone());
    let read = msp.store.read(async move |tx| {
        let subscription = match tx.onboarding_with(token).await? {
            Some(ours) => tx.subscription_of(&ours).await?,
            None => None,
        };
        let earlier = tx.onboarding_besides(&client, token).await?;
        let profiles = tx.profiles_of(token).await?;
        let newest_request = tx.newest_request(token).await?;
        Ok((earlier, subscription, profiles, newest_request))
    });
    let (earlier, subscription, profiles, newest_request) = read.await?;
    let customer = Customer {
        phone_key: &cmp.raw_phone_key,
        number: subscription.as_ref().map_or("", |s| s.msisdn.as_str()),
        earlier_token: earlier.map(|o| o.msp_token.to_string()),
        iccids: profiles.iter().map(|p| p.iccid.to_string()).collect(),
        newest_request,
    };
    for one in fired {
        twist_call(one, &mut call, &customer);
    }
    if call.dropped {
        return Ok(Attempt::Sent);
    }
    let wire = match Wire::new(&cmp.settings) {
        Ok(wire) => wire,
        Err(error) => return Ok(Attempt::later(error.to_string())),
    };
    let mut first = None;
    for call in std::iter::once(&call).chain(&call.then) {
        let said = wire.send(call).await;
        let event = |one: &Fired| RuleChange::Event {
            event: NewEvent {
                rule: Some(one.rule),
                name: one.name,
                operation: call.place,
                client_id: job.client_id.clone(),
                status: Some(said.status),
                code: said.code.clone(),
                note: said.note.clone(),
            },
            at: now_ms(),
        };
        let events = fired.iter().map(event).collect();
        msp.store.put(Decision::of(events, ())).await?;
        first.get_or_insert(said);
    }
    let Some(said) = first else {
        return Ok(Attempt::Sent);
    };
    let no_token = fired.iter().any(|f| f.name.sends_no_token());
    Ok(if said.status == success && no_token {
        Attempt::Refused {
            reason: "an error was sent instead of a token".into(),
            code: Some(ErrorCode::AccountIdOther),
        }
    } else if said.status == success {
        Attempt::Sent
    } else if unauthorized(&cmp.client_id, said.status)
        || matches!(said.status, 0 | 408 | 429 | 500..)
    {
        Attempt::later(said.note)
    } else {
        let code = said.code.as_deref().and_then(|c| c.parse().ok());
        let code_text = said.code.unwrap_or_default();
        Attempt::Refused {
            reason: format!(
                "refused with {}, code {code_text}: {}",
                said.status, said.note
            ),
            code: code.and_then(ErrorCode::from_number),
        }
    })
}

/// Changes a call.
fn twist_call(fired: &Fired, call: &mut Outgoing, customer: &Customer<'_>) {
    let parameters = &fired.parameters;
    let text = |default: &str| parameters.text_or(default).to_owned();
    match fired.name {
        Name::WrongCorrelationId => call.call.correlation_id = Uuid::new_v4(),
        Name::BadRequestId => call.headers.push((REQUEST_ID, text("not-a-uuid"))),
        Name::WrongTargetId => call.headers.push((TARGET_ID, text("SomebodyElse"))),
        Name::WrongClientId => call.headers.push((CLIENT_ID, text("SomebodyElse"))),
        Name::WrongApiKey => call.headers.push((API_KEY, text("wrongkey"))),
        Name::NoApiKey => call.headers.push((API_KEY, String::new())),
        Name::WrongContentType => call.content_type = "text/plain".into(),
        Name::LateCall => call.delay = parameters.delay(5_000),
        Name::NoCall => call.dropped = true,
        Name::EmptyBody => call.body = None,
        Name::SendTwice | Name::DoubleCode => call.then.push(call.again()),
        Name::Repeat => {
            let mut next = call.again();
            next.call = call.call;
            call.then.push(next);
        }
        Name::ReusedRequestId => {
            let mut next = call.again();
            next.call = call.call;
            let mut members = next.members();
            members.insert("x-other".into(), json!(true));
            next.set_members(members);
            call.then.push(next);
        }
        _ => twist_members(fired, call, customer),
    }
}

/// Changes the body of a call.
fn twist_members(fired: &Fired, call: &mut Outgoing, customer: &Customer<'_>) {
    let parameters = &fired.parameters;
    let mut members = call.members();
    match fired.name {
        name if name.stage() == Stage::Code => twist_code(fired, &mut members),
        Name::SecondCode => {
            let mut next = call.again();
            let mut other = members.clone();
            let code = other.get("activationCode").and_then(Value::as_str);
            let code = code.map(|code| format!("{code}-2"));
            other.insert("activationCode".into(), json!(code));
            other.insert("iccid".into(), json!(parameters.iccid_or_nobodys()));
            next.set_members(other);
            call.then.push(next);
        }
        Name::WrongRequestId => {
            let id = Uuid::new_v4().to_string();
            members.insert("activationCodeRequestID".into(), json!(id));
        }
        Name::NullRequestId => {
            members.insert("activationCodeRequestID".into(), Value::Null);
        }
        Name::CodeAndError => {
            members.insert("error".into(), json!(parameters.text_or("49: on purpose")));
        }
        Name::NeitherCodeNorError | Name::NeitherTokenNorError => {
            for (_, value) in &mut members {
                *value = Value::Null;
            }
        }
        Name::ForeignProfile => {
            let foreign = json!({"iccid": parameters.iccid_or_nobodys(), "status": "invalid", "reason": null});
            if let Some(list) = members.get_mut("profiles").and_then(Value::as_array_mut) {
                list.push(foreign);
            }
        }
        Name::EmptyProfiles => {
            members.insert("profiles".into(), json!([]));
        }
        Name::ValidAfterInvalid => {
            let mut next = call.again();
            let mut other = members.clone();
            for profile in other
                .get_mut("profiles")
                .and_then(Value::as_array_mut)
                .into_iter()
                .flatten()
            {
                profile["status"] = json!("valid");
            }
            next.set_members(other);
            call.then.push(next);
        }
        Name::InformWithInvalidation => {
            let mut next = call.again();
            next.place = Place::SendProfileInformation;
            next.path = SendProfileInformation::CONTRACT.path.with(call.token());
            let list: Vec<_> = customer
                .iccids
                .iter()
                .map(|iccid| json!({"iccid": iccid, "status": "invalid", "reason": null}))
                .collect();
            next.body = Some(json!({"profiles": list}).to_string());
            call.then.push(next);
        }
        Name::CodeAfterInvalidation => {
            let mut next = call.again();
            next.place = Place::SendActivationCode;
            next.path = SendActivationCode::CONTRACT.path.with(call.token());
            let request = customer.newest_request.unwrap_or_else(Uuid::new_v4);
            next.body = Some(code_body(request));
            call.then.push(next);
        }
        Name::SecondToken => {
            let mut next = call.again();
            let mut other = members.clone();
            other.insert("msp_token".into(), json!(Uuid::new_v4().to_string()));
            next.set_members(other);
            call.then.push(next);
        }
        _ => {
            if twist_token(fired, &mut members, customer) {
                call.set_members(members);
            } else if let Some(body) = twist_text(fired, call.body.as_deref().unwrap_or_default()) {
                call.body = Some(body);
            }
            return;
        }
    }
    call.set_members(members);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::misbehave::{CALLS, Parameters};

    // Each name that can act on a call changes something about it.
    #[test]
    fn no_name_is_without_effect() {
        let body = |place| match place {
            Place::SendMspToken | Place::UpdateSubscriptionInfo => {
                json!({"msp_token": Uuid::new_v4().to_string(), "phoneNumber": "x", "iv": "AAAAAAAAAAAAAAAA",
                    "subscriptionType": "private", "error": null})
            }
            Place::SendProfileInformation => {
                json!({"profiles": [{"iccid": "1", "status": "invalid"}]})
            }
            Place::NotifyTokenInvalid => json!({"reason": "x"}),
            _ => {
                json!({"activationCode": "1$a$b", "iccid": "2", "error": null, "swappedIccid": "3",
                "profileType": "personal", "activationCodeRequestID": Uuid::new_v4().to_string()})
            }
        };
        let customer = Customer {
            phone_key: &[7; 32],
            number: "4915112345678",
            earlier_token: Some("b".into()),
            iccids: vec!["2".into()],
            newest_request: None,
        };
        for name in Name::ALL {
            for place in name.places().iter().filter(|p| CALLS.contains(p)) {
                let path = NotifyTokenInvalid::CONTRACT.path.with("t");
                let mut call = Outgoing::new(
                    *place,
                    Method::POST,
                    path,
                    Call::new(),
                    body(*place).to_string(),
                );
                let before = format!("{call:?}");
                let fired = Fired {
                    rule: 1,
                    name: *name,
                    parameters: Parameters::default(),
                };
                twist_call(&fired, &mut call, &customer);
                assert_ne!(format!("{call:?}"), before, "{name:?} at {place:?}");
            }
        }
    }
}
