//! Misbehaviours of an answer to a CMP: instead of the work, or on the finished answer.

use std::time::Duration;

use aid_aid1::error_code::{ErrorBody, ErrorCode};
use aid_aid1::trace::summary;
use aid_cli::cli::TRACE;
use aid_serve::http::Cut;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::rules::Fired;
use super::{Name, Place, Stage, code};

/// More than any body that AID1 takes, bytes.
const OVERSIZED: usize = 70_000;

/// An answer before it is HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    /// HTTP status.
    pub(crate) status: StatusCode,
    /// Body; no `content-type` if it is empty.
    pub(crate) body: String,
    /// `content-type` of the body.
    pub(crate) content_type: &'static str,
    /// Seconds of `retry-after`.
    pub(crate) retry_after: Option<u32>,
    /// To wait before it is sent.
    pub(crate) delay: Duration,
    /// The connection is closed instead.
    pub(crate) cut: bool,
}

impl Reply {
    /// A JSON answer, or one without a body.
    pub(crate) fn new(status: StatusCode, body: String) -> Self {
        Self {
            status,
            body,
            content_type: "application/json",
            retry_after: None,
            delay: Duration::ZERO,
            cut: false,
        }
    }

    /// No answer at all, after a while.
    pub(crate) fn cut(delay: Duration) -> Self {
        Self {
            delay,
            cut: true,
            ..Self::new(StatusCode::NO_CONTENT, String::new())
        }
    }

    /// As HTTP, once its time has come.
    pub(super) async fn response(self) -> Response {
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        tracing::trace!(target: TRACE, "-> AID1 {} {}", self.status, summary(self.body.as_bytes()));
        let empty = self.body.is_empty();
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        if self.cut {
            response.extensions_mut().insert(Cut);
        }
        let headers = response.headers_mut();
        if !empty {
            let kind = HeaderValue::from_static(self.content_type);
            headers.insert(header::CONTENT_TYPE, kind);
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

fn status(fired: &Fired, default: u16) -> StatusCode {
    StatusCode::from_u16(fired.parameters.status.unwrap_or(default))
        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// The body of §5.5 that a rule asks for.
pub(super) fn error_body(fired: &Fired, default: ErrorCode) -> ErrorBody {
    let number = fired.parameters.code.unwrap_or(default.number());
    let known = ErrorCode::from_number(number).map_or("on purpose", ErrorCode::description);
    ErrorBody {
        code: number.to_string(),
        error: fired.parameters.text_or(known).to_owned(),
    }
}

/// What is answered instead of any work.
pub(crate) fn instead(fired: &Fired) -> Option<Reply> {
    let error = |default: u16, code: ErrorCode| {
        let body = json!(error_body(fired, code)).to_string();
        Reply::new(status(fired, default), body)
    };
    Some(match fired.name {
        Name::ServerError => error(500, ErrorCode::Internal),
        Name::Refuse => error(422, ErrorCode::ActivationCodeOther),
        Name::RateLimit => Reply {
            retry_after: Some(1),
            ..error(429, ErrorCode::Internal)
        },
        Name::ProxyError => Reply {
            content_type: "text/html",
            ..Reply::new(
                status(fired, 502),
                "<html><h1>Bad Gateway</h1></html>".into(),
            )
        },
        Name::BareError => Reply::new(status(fired, 500), String::new()),
        Name::NumericCode => {
            let body = error_body(fired, ErrorCode::ActivationCodeOther);
            let code = body.code.parse::<u16>().unwrap_or(49);
            Reply::new(
                status(fired, 422),
                json!({"code": code, "error": body.error}).to_string(),
            )
        }
        Name::CutConnection => Reply::cut(Duration::ZERO),
        Name::NoAnswer => Reply::cut(fired.parameters.delay(30_000)),
        _ => return None,
    })
}

/// Whether a rule can act on a finished answer.
#[must_use]
pub(crate) fn fits(name: Name, place: Place, reply: &Reply) -> bool {
    match name.stage() {
        Stage::Answer => true,
        Stage::Body => {
            !reply.body.is_empty() && (name.places().len() > 1 || reply.status == StatusCode::OK)
        }
        Stage::Code => place == Place::RequestActivationCode && reply.status == StatusCode::OK,
        Stage::Instead | Stage::Work | Stage::Call => false,
    }
}

/// Changes a finished answer.
pub(crate) fn twist(fired: &Fired, reply: &mut Reply) {
    let parameters = &fired.parameters;
    match fired.name {
        Name::SlowAnswer => reply.delay = parameters.delay(3_100),
        Name::LostAnswer => reply.cut = true,
        Name::WrongStatus => reply.status = status(fired, 202),
        Name::WrongContentType => reply.content_type = "text/plain",
        Name::EmptyProfileStatus => reply.body = json!({"profiles": []}).to_string(),
        Name::HiddenProfile => profiles(reply, |list| {
            if !list.is_empty() {
                list.remove(0);
            }
        }),
        Name::StrangeProfile => profiles(reply, |list| {
            list.push(json!({"iccid": parameters.iccid_or_nobodys(), "status": "installed"}));
        }),
        Name::EchoedStatus => profiles(reply, |list| set_status(list, "enabled")),
        Name::UnknownStatus => {
            profiles(reply, |list| {
                set_status(list, parameters.text_or("suspended"));
            });
        }
        name if name.stage() == Stage::Code => {
            if let Ok(Value::Object(mut members)) = serde_json::from_str(&reply.body) {
                code::twist_code(fired, &mut members);
                reply.body = Value::Object(members).to_string();
            }
        }
        _ => {
            if let Some(body) = twist_text(fired, &reply.body) {
                reply.body = body;
            }
        }
    }
}

fn profiles(reply: &mut Reply, change: impl FnOnce(&mut Vec<Value>)) {
    if let Ok(mut body) = serde_json::from_str::<Value>(&reply.body)
        && let Some(list) = body.get_mut("profiles").and_then(Value::as_array_mut)
    {
        change(list);
        reply.body = body.to_string();
    }
}

fn set_status(list: &mut [Value], status: &str) {
    for profile in list {
        profile["status"] = json!(status);
    }
}

/// What a JSON text becomes under the misbehaviours that answers and calls share.
pub(super) fn twist_text(fired: &Fired, text: &str) -> Option<String> {
    let members: Map<String, Value> = serde_json::from_str(text).unwrap_or_default();
    let chosen = fired.parameters.text.clone();
    let first = || members.iter().find(|(_, value)| !value.is_null());
    let chosen = chosen.or_else(|| first().map(|(name, _)| name.clone()));
    Some(match fired.name {
        Name::OversizedBody => {
            let mut members = members;
            members.insert("filler".into(), json!("x".repeat(OVERSIZED)));
            Value::Object(members).to_string()
        }
        Name::UnknownMembers => {
            let mut members = members;
            members.insert(
                "x-unknown".into(),
                json!({"deep": [1, 2.5, null, {"er": true}]}),
            );
            members.insert("version".into(), json!(99));
            Value::Object(members).to_string()
        }
        Name::DuplicateMembers => {
            let name = chosen?;
            let first = format!("{{{}:\"twice\",", json!(name));
            format!("{first}{}", text.strip_prefix('{')?)
        }
        Name::MissingMember => {
            let mut members = members;
            members.remove(&chosen?);
            Value::Object(members).to_string()
        }
        Name::NullMember => {
            let mut members = members;
            members.insert(chosen?, Value::Null);
            Value::Object(members).to_string()
        }
        Name::NotJson => text.chars().take(text.chars().count() / 2).collect(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::misbehave::Parameters;

    fn fired(name: Name) -> Fired {
        Fired {
            rule: 1,
            name,
            parameters: Parameters::default(),
        }
    }

    #[test]
    fn each_name_that_acts_instead_of_the_work_has_an_answer() {
        for name in Name::ALL {
            assert_eq!(
                instead(&fired(*name)).is_some(),
                name.stage() == Stage::Instead,
                "{name:?}"
            );
        }
    }

    #[test]
    fn bodies_are_changed_as_their_names_say() {
        let text = r#"{"a":1,"b":"two"}"#;
        let twisted = |name| twist_text(&fired(name), text).unwrap();
        assert!(twisted(Name::OversizedBody).len() > 64 * 1024);
        assert_eq!(
            twisted(Name::DuplicateMembers),
            r#"{"a":"twice","a":1,"b":"two"}"#
        );
        assert_eq!(twisted(Name::MissingMember), r#"{"b":"two"}"#);
        assert_eq!(twisted(Name::NullMember), r#"{"a":null,"b":"two"}"#);
        assert!(serde_json::from_str::<Value>(&twisted(Name::NotJson)).is_err());
        assert!(twisted(Name::UnknownMembers).contains("x-unknown"));
    }

    #[test]
    fn profile_lists_are_changed_as_their_names_say() {
        let twisted = |name| {
            let body =
                json!({"profiles": [{"iccid": "8944500805172032953", "status": "installed"}]});
            let mut reply = Reply::new(StatusCode::OK, body.to_string());
            assert!(fits(name, Place::RequestProfileStatus, &reply));
            twist(&fired(name), &mut reply);
            serde_json::from_str::<Value>(&reply.body).unwrap()["profiles"].clone()
        };
        assert_eq!(twisted(Name::EmptyProfileStatus), json!([]));
        assert_eq!(twisted(Name::HiddenProfile), json!([]));
        assert_eq!(twisted(Name::StrangeProfile).as_array().unwrap().len(), 2);
        assert_eq!(twisted(Name::EchoedStatus)[0]["status"], "enabled");
        assert_eq!(twisted(Name::UnknownStatus)[0]["status"], "suspended");
    }
}
