//! A login that a car shows a code for: the user types the code, sees which car it is, and says yes or no (the shape of
//! RFC 8628 §3.3; AID7).

use super::{
    Cmp, Page, Refusal, csrf, inside, login_first, page, see_other, sender, shown, visitor,
};
use crate::service::Judged;
use aid_id::Eid;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, State};
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;

pub(super) async fn form(State(service): Cmp, headers: HeaderMap) -> Page {
    let Some((_, value)) = visitor(&service, &headers).await? else {
        return login_first("/car");
    };
    let csrf = csrf(&service, &value);
    let content = page::ask_code(&csrf, None);
    Ok(shown(inside("Log in to a car", &csrf, &content)))
}

#[derive(Deserialize)]
pub(super) struct CodeForm {
    csrf: String,
    code: String,
    /// Absent on the first page; `approve` or `deny` on the second, which names the car.
    #[serde(default)]
    decision: String,
}

pub(super) async fn judge(
    State(service): Cmp,
    headers: HeaderMap,
    form: Result<Form<CodeForm>, FormRejection>,
) -> Page {
    let Form(form) = form?;
    let (account, value) = sender(&service, &headers, &form.csrf).await?;
    let csrf = csrf(&service, &value);
    let judged = match form.decision.as_str() {
        "" => service.look_up_login(&account, &form.code).await?,
        "approve" => service.approve_login(&account, &form.code, true).await?,
        "deny" => service.approve_login(&account, &form.code, false).await?,
        _ => {
            return Err(Refusal(
                StatusCode::BAD_REQUEST,
                "Please choose one of the two buttons.",
            ));
        }
    };
    let wrong = match judged {
        Judged::Open(car) => {
            let content = page::ask_car(&account, &car, &csrf);
            return Ok(shown(inside("Confirm the login", &csrf, &content)));
        }
        Judged::Done(_) if form.decision == "approve" => {
            let text = "The car was told. You are logged in there in a moment.";
            return Ok(shown(page::message("Logged in", text)));
        }
        Judged::Done(_) => {
            let text = "The car was told no. If you did not stand before it, somebody else had typed your code.";
            return Ok(shown(page::message("Not logged in", text)));
        }
        Judged::Unknown => {
            "No car shows this code now. Please look again, or let the car show a new one."
                .to_owned()
        }
        Judged::Locked(minutes) => format!("Too many wrong codes. Try again in {minutes} minutes."),
    };
    let content = page::ask_code(&csrf, Some(&wrong));
    let html = inside("Log in to a car", &csrf, &content);
    Ok(super::with_status(StatusCode::UNPROCESSABLE_ENTITY, html))
}

#[derive(Deserialize)]
pub(super) struct LogoutForm {
    csrf: String,
    eid: Eid,
}

/// Ends the user's session in a car.
pub(super) async fn log_out(
    State(service): Cmp,
    headers: HeaderMap,
    form: Result<Form<LogoutForm>, FormRejection>,
) -> Page {
    let Form(form) = form?;
    let (account, _) = sender(&service, &headers, &form.csrf).await?;
    if service.log_out_of_car(account.id, form.eid).await? {
        see_other("/?done=logged-out")
    } else {
        Err(Refusal(
            StatusCode::NOT_FOUND,
            "You are not logged in to that car.",
        ))
    }
}
