//! A login that a car shows a code for: the user types the code, or comes with it from the car's QR code, sees which car it
//! is, and says yes or no (the shape of RFC 8628 §3.3; AID7). Nothing is approved before the car was named (§5.4).

use super::frame::{Inside, Tab, Visit};
use super::{Cmp, Page, Refusal, login_first, see_other, sender, shell_page, visitor};
use crate::service::{CarLogin, Judged};
use aid_serve::page::{Field, hidden};
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, StatusCode};
use maud::{Markup, html};
use serde::Deserialize;

/// Cookie of the code that was looked up last.
const CODE: &str = "__Host-aid-code";
/// Longest code.
const MAX_CODE: usize = 20;

/// The code that a car's QR code has in its address.
#[derive(Debug, Default, Deserialize)]
pub(super) struct CodeQuery {
    #[serde(default)]
    code: String,
}

/// Letters, digits and dashes, at most as many as a code has; empty for anything else.
fn plain(code: &str) -> &str {
    let fits =
        code.len() <= MAX_CODE && code.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if fits { code } else { "" }
}

fn code_page(visit: &Visit<'_>, code: &str, error: Option<&str>) -> Markup {
    let (label, hint) = (visit.say("code"), visit.say("code-hint"));
    let field = Field {
        hint: &hint,
        error,
        value: code,
        class: "code",
        autocomplete: "one-time-code",
        max: MAX_CODE,
        ..Field::new("code", &label)
    };
    html! {
        p { (visit.say("code-only-yours")) }
        form method="post" action="/car" {
            (visit.token())
            (field.render())
            p.actions {
                button.main { (visit.say("code-go-on")) }
                a.button href="/" { (visit.say("cancel")) }
            }
        }
    }
}

pub(super) async fn form(
    State(service): Cmp,
    headers: HeaderMap,
    query: Result<Query<CodeQuery>, QueryRejection>,
) -> Page {
    let query = query.map(|Query(query)| query).unwrap_or_default();
    let code = plain(&query.code);
    let Some(visit) = visitor(&service, &headers).await? else {
        return login_first(&match code {
            "" => "/car".to_owned(),
            code => format!("/car?code={code}"),
        });
    };
    let content = code_page(&visit, code, None);
    Ok(visit.show(&Inside::form(Tab::Cars, &visit.say("code-title"), content)))
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
    let visit = sender(&service, &headers, &form.csrf).await?;
    let (account, approves) = (&visit.account, form.decision == "approve");
    let judged = match form.decision.as_str() {
        "" => service.look_up_login(account, &form.code).await?,
        "approve" | "deny" => service.approve_login(account, &form.code, approves).await?,
        _ => return Err(Refusal(StatusCode::BAD_REQUEST, "refused-decision")),
    };
    let (status, error) = match judged {
        Judged::Open(car) => {
            let mut answer = see_other("/car/confirm")?;
            let code = hex::encode(car.code.as_bytes());
            shell_page::set_cookie(&mut answer, CODE, Some(&code), Some(600));
            return Ok(answer);
        }
        Judged::Done(_) => {
            let mut answer = see_other(if approves {
                "/car/done?in=yes"
            } else {
                "/car/done"
            })?;
            shell_page::set_cookie(&mut answer, CODE, None, None);
            return Ok(answer);
        }
        Judged::Unknown => (StatusCode::UNPROCESSABLE_ENTITY, visit.say("wrong-code")),
        Judged::Locked(minutes) => (
            StatusCode::UNPROCESSABLE_ENTITY,
            visit
                .words
                .with("code-locked", &[("minutes", minutes.into())]),
        ),
    };
    let content = code_page(&visit, plain(form.code.trim()), Some(&error));
    Ok(visit.show(&Inside {
        status,
        ..Inside::form(Tab::Cars, &visit.say("code-title"), content)
    }))
}

/// Names the car before the login is approved. The code is in a cookie of this browser, where only the form put it.
pub(super) async fn confirm(State(service): Cmp, headers: HeaderMap) -> Page {
    let Some(visit) = visitor(&service, &headers).await? else {
        return login_first("/car");
    };
    let code = shell_page::cookie(&headers, CODE).and_then(|value| {
        let text = String::from_utf8(hex::decode(value).ok()?).ok()?;
        Some(plain(&text).to_owned()).filter(|code| !code.is_empty())
    });
    let Some(code) = code else {
        return see_other("/car");
    };
    match service.look_up_login(&visit.account, &code).await? {
        Judged::Open(car) => {
            let content = ask(&visit, &car).await?;
            Ok(visit.show(&Inside::form(
                Tab::Cars,
                &visit.say("confirm-title"),
                content,
            )))
        }
        // It has ended since, or was used: the page with the code says so.
        _ => {
            let mut answer = see_other("/car")?;
            shell_page::set_cookie(&mut answer, CODE, None, None);
            Ok(answer)
        }
    }
}

async fn ask(visit: &Visit<'_>, car: &CarLogin) -> Result<Markup, Refusal> {
    let garage = visit.service.garage(&visit.account).await?;
    let own = garage
        .into_iter()
        .find(|c| c.eid == car.eid)
        .and_then(|c| c.name);
    let name = [("name", visit.account.display_name.as_str().into())];
    Ok(html! {
        p { (visit.words.with("confirm-question", &name)) }
        section.card {
            dl {
                @if let Some(own) = own { dt { (visit.say("car")) } dd { strong { (own) } } }
                @match &car.vin {
                    Some(vin) => { dt { (visit.say("vin")) } dd { strong { (vin) } } }
                    None => { dt { "EID" } dd { strong { (car.eid) } } }
                }
                dt { (visit.say("code")) } dd.code { (car.code) }
                dt { (visit.say("confirm-asked")) } dd { (visit.words.ago(car.since)) }
            }
        }
        p { (visit.say("confirm-warning")) }
        form method="post" action="/car" {
            (visit.token()) (hidden("code", &car.code))
            p.actions {
                button.main name="decision" value="approve" { (visit.say("confirm-yes")) }
                button name="decision" value="deny" { (visit.say("confirm-no")) }
            }
        }
    })
}

/// How it ended.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Ended {
    #[serde(default)]
    r#in: String,
}

pub(super) async fn done(
    State(service): Cmp,
    headers: HeaderMap,
    query: Result<Query<Ended>, QueryRejection>,
) -> Page {
    let Some(visit) = visitor(&service, &headers).await? else {
        return login_first("/");
    };
    let approved = query.is_ok_and(|Query(ended)| ended.r#in == "yes");
    let (title, text) = match approved {
        true => ("approved-title", "approved"),
        false => ("denied-title", "denied"),
    };
    visit.message(Tab::Cars, title, &visit.say(text))
}
