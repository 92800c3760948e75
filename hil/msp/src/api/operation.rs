//! The four operations: which of them a request is, and what is done for it (AID.02 §7.7 to §7.10).
//! Called by `api` and `once`.

use aid_aid1::body::{
    Body as _, ProfileState, ProfileStatus, ProfileStatuses, RequestActivationCode, SendCsimStatus,
};
use aid_aid1::error_code::{ApiError, ErrorCode};
use aid_aid1::server::{method_not_allowed, not_found, query_iccid};
use aid_aid1::strict_json;
use axum::extract::Query;
use axum::http::{Method, StatusCode};

use super::{Answer, Asked};
use crate::misbehave::{Name, Order, Place};
use crate::msp::{Msp, now_ms};
use crate::orders::{self, Outcome, internal};
use crate::store::{Noted, Onboarding, OnboardingState, ProfilePhase};

/// The operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    RequestActivationCode,
    SendCsimStatus,
    RequestInvalidate,
    RequestProfileStatus,
}

impl Operation {
    /// Its name for misbehaviours.
    pub(super) fn place(self) -> Place {
        match self {
            Self::RequestActivationCode => Place::RequestActivationCode,
            Self::SendCsimStatus => Place::SendCsimStatus,
            Self::RequestInvalidate => Place::RequestInvalidate,
            Self::RequestProfileStatus => Place::RequestProfileStatus,
        }
    }
}

/// The operation at a path, its method, and the text where the token is.
pub(super) fn operation_at(path: &str) -> Option<(Operation, Method, &str)> {
    let (folder, token) = path.strip_prefix("/v1/")?.rsplit_once('/')?;
    let (operation, method) = match folder {
        "activation-code-requests" => (Operation::RequestActivationCode, Method::POST),
        "statuses" => (Operation::SendCsimStatus, Method::POST),
        "users" => (Operation::RequestInvalidate, Method::DELETE),
        "profiles/status" => (Operation::RequestProfileStatus, Method::GET),
        _ => return None,
    };
    (!token.is_empty()).then_some((operation, method, token))
}

/// Which operation a path and a method are, and the text where the token is.
pub(super) fn route<'a>(method: &Method, path: &'a str) -> Result<(Operation, &'a str), ApiError> {
    let (operation, wanted, token) = operation_at(path).ok_or_else(not_found)?;
    if method == wanted {
        Ok((operation, token))
    } else {
        Err(method_not_allowed())
    }
}

/// Does what a request wants that was not answered before.
///
/// # Errors
/// What the CMP is told.
pub(super) async fn perform(
    msp: &Msp,
    asked: &Asked<'_>,
    onboarding: &Onboarding,
    body: &[u8],
) -> Result<Answer, ApiError> {
    let token = onboarding.msp_token;
    let caller = asked.caller;
    match asked.operation {
        Operation::RequestActivationCode => {
            let body = parse_request(body, asked.wrong)?;
            // A withdrawn token never yields another code (§4.4, §7.9).
            if onboarding.state == OnboardingState::Invalidated && !asked.wrong.dead_token {
                return Err(ApiError::new(ErrorCode::TokenInvalidated));
            }
            match orders::request(msp, caller, onboarding, &body, asked.wrong).await? {
                Outcome::Code(code) => Ok((StatusCode::OK, code.to_json().to_string())),
                Outcome::Accepted => Ok((StatusCode::CREATED, String::new())),
            }
        }
        Operation::SendCsimStatus => {
            // Also for a withdrawn token: the deletions that follow are reported with it (§4.4.1 [5]).
            let body = SendCsimStatus::parse(body)?;
            let wrong = |name| asked.fired.iter().any(|fired| fired.name == name);
            let dead = onboarding.state == OnboardingState::Invalidated;
            if dead && wrong(Name::ForgetsDeadToken) {
                return Err(ApiError::new(ErrorCode::TokenInvalidated));
            }
            let correlation = caller.headers.correlation_id;
            let client = &caller.headers.client_id;
            let noted = msp
                .store
                .note_status(client, token, &body, correlation, now_ms())
                .await
                .map_err(internal)?;
            if noted == Noted::UnknownProfile {
                return Err(ApiError::because(ErrorCode::ProfileNotFound, &body.iccid));
            }
            tracing::info!(iccid = %body.iccid, status = %body.status, "status from {client}");
            if wrong(Name::InformOnStatus) {
                orders::inform_about(msp, client, token, &body).await?;
            }
            Ok((StatusCode::CREATED, String::new()))
        }
        Operation::RequestInvalidate => {
            let client = &caller.headers.client_id;
            if msp
                .store
                .invalidate(client, token, None, now_ms())
                .await
                .map_err(internal)?
            {
                tracing::info!(
                    user = onboarding.user,
                    "{client} has withdrawn the onboarding"
                );
                msp.outbox.notify_one();
            }
            Ok((StatusCode::NO_CONTENT, String::new()))
        }
        Operation::RequestProfileStatus => Err(not_found()),
    }
}

/// Reads Request Activation Code. A strange candidate is ignored (§4.3.1), unless that is to go wrong.
fn parse_request(body: &[u8], wrong: &Order) -> Result<RequestActivationCode, ApiError> {
    let parsed = RequestActivationCode::parse(body)?;
    let members = strict_json::object(body)?;
    let named = members.get("replaceIccid").is_some_and(|v| !v.is_null());
    if wrong.minds_candidate && named && parsed.replace_iccid.is_none() {
        let detail = "the member replaceIccid is no ICCID";
        return Err(ApiError::because(ErrorCode::Syntax, detail));
    }
    Ok(parsed)
}

/// The members of a query, decoded: `%69ccid` is `iccid`.
fn members_of(query: &str) -> Option<Vec<(String, String)>> {
    let uri = format!("/?{query}").parse().ok()?;
    Query::try_from_uri(&uri).ok().map(|Query(members)| members)
}

/// Request Profile Status (§7.10), which changes nothing.
///
/// # Errors
/// What the CMP is told.
pub(super) async fn profile_status(
    msp: &Msp,
    onboarding: &Onboarding,
    query: &str,
) -> Result<Answer, ApiError> {
    let members = members_of(query)
        .ok_or_else(|| ApiError::because(ErrorCode::Syntax, "the query can't be read"))?;
    let mut values = members.iter().filter(|(name, _)| name == "iccid");
    let wanted = values.next();
    if values.next().is_some() {
        return Err(ApiError::because(ErrorCode::Syntax, "iccid is there twice"));
    }
    let wanted = wanted.map(|(_, value)| query_iccid(value)).transpose()?;
    let profiles = msp
        .store
        .profiles_of(onboarding.msp_token)
        .await
        .map_err(internal)?;
    let listed = profiles.into_iter().filter(|p| p.phase.is_listed());
    let profiles = listed
        .filter(|p| wanted.as_ref().is_none_or(|wanted| p.iccid == *wanted))
        // enabled and disabled would only be an echo of what the CMP reported itself (§7.10 remark).
        .map(|p| ProfileStatus {
            iccid: p.iccid,
            status: if p.phase == ProfilePhase::Prepared {
                ProfileState::Prepared
            } else {
                ProfileState::Installed
            },
        })
        .collect::<Vec<_>>();
    match wanted {
        Some(iccid) if profiles.is_empty() => {
            Err(ApiError::because(ErrorCode::ProfileNotFound, iccid))
        }
        _ => Ok((
            StatusCode::OK,
            ProfileStatuses { profiles }.to_json().to_string(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // R-5.5-1, R-7.6-5
    #[test]
    fn paths_are_operations_or_refusals_with_a_body() {
        let code = |method: Method, path: &'static str| {
            route(&method, path).map_err(|e| e.status.as_u16())
        };
        assert_eq!(
            code(Method::POST, "/v1/statuses/x"),
            Ok((Operation::SendCsimStatus, "x"))
        );
        assert_eq!(
            code(Method::GET, "/v1/profiles/status/x"),
            Ok((Operation::RequestProfileStatus, "x"))
        );
        assert_eq!(code(Method::GET, "/v1/statuses/x"), Err(405));
        for path in [
            "/",
            "/v1/",
            "/v1/x",
            "/v1/users/",
            "/v2/users/x",
            "/v1/statuses/a/b",
            "/V1/users/x",
        ] {
            assert_eq!(code(Method::POST, path), Err(404), "{path}");
        }
    }
}
