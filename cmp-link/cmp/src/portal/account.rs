//! The account page and what is done on it: choose a subscription, unlink one, delete a profile (§4.4.1, §4.5, R-4.3-5).

use super::{
    Cmp, DoneQuery, Page, Refusal, csrf, done_line, inside, page, see_other, sender, shown, visitor,
};
use aid_id::{Eid, Iccid};
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use uuid::Uuid;

pub(super) async fn account(
    State(service): Cmp,
    headers: HeaderMap,
    query: Result<Query<DoneQuery>, QueryRejection>,
) -> Page {
    let Some((account, value)) = visitor(&service, &headers).await? else {
        return see_other("/login");
    };
    let id = account.id;
    let chosen = service
        .look(async move |_, tx| tx.preference(id, None).await)
        .await?;
    let view = page::AccountView {
        overview: &service.overview(&account).await?,
        chosen,
        held: &service.held(account.id).await?,
        notices: &service.notices(account.id).await?,
        done: query.ok().and_then(|Query(q)| done_line(&q.done)),
        account: &account,
        csrf: &csrf(&service, &value),
    };
    Ok(shown(page::account(&view)))
}

#[derive(Deserialize)]
pub(super) struct UnlinkForm {
    csrf: String,
    federation: Uuid,
    /// `yes` on the page that asks again.
    #[serde(default)]
    confirmed: String,
}

fn no_such_subscription() -> Refusal {
    Refusal(StatusCode::NOT_FOUND, "You have no such subscription.")
}

pub(super) async fn unlink(
    State(service): Cmp,
    headers: HeaderMap,
    form: Result<Form<UnlinkForm>, FormRejection>,
) -> Page {
    let Form(form) = form?;
    let (account, value) = sender(&service, &headers, &form.csrf).await?;
    let id = form.federation.into_bytes();
    if form.confirmed != "yes" {
        let overview = service.overview(&account).await?;
        let mut subscriptions = overview.subscriptions.iter();
        let own = subscriptions.find(|s| s.federation.id == id && s.federation.ended_at.is_none());
        let own = own.ok_or_else(no_such_subscription)?;
        let csrf = csrf(&service, &value);
        let content = page::ask_unlink(own, &csrf);
        return Ok(shown(inside("Confirm: unlink", &csrf, &content)));
    }
    if service.unlink(&account, id).await? {
        see_other("/?done=unlinked")
    } else {
        Err(no_such_subscription())
    }
}

#[derive(Deserialize)]
pub(super) struct DeleteForm {
    csrf: String,
    iccid: Iccid,
    /// The car that the page named; a form that was put together otherwise is refused (R-4.5-3).
    eid: Option<Eid>,
    #[serde(default)]
    confirmed: String,
}

pub(super) async fn delete(
    State(service): Cmp,
    headers: HeaderMap,
    form: Result<Form<DeleteForm>, FormRejection>,
) -> Page {
    let Form(form) = form?;
    let (account, value) = sender(&service, &headers, &form.csrf).await?;
    let overview = service.overview(&account).await?;
    let mut profiles = overview.subscriptions.iter().flat_map(|s| &s.profiles);
    let fits = |p: &&aid_cmp_core::model::Profile| {
        p.iccid == form.iccid && form.eid.is_none_or(|eid| eid == p.eid)
    };
    let none = || Refusal(StatusCode::NOT_FOUND, "You have no such profile.");
    let own = profiles.find(fits).ok_or_else(none)?;
    if form.confirmed != "yes" {
        let csrf = csrf(&service, &value);
        let content = page::ask_delete(own, &csrf);
        return Ok(shown(inside("Confirm: remove a profile", &csrf, &content)));
    }
    if service.delete_profile(&account, &form.iccid).await? {
        see_other("/?done=deleted")
    } else {
        Err(none())
    }
}

#[derive(Deserialize)]
pub(super) struct ServeForm {
    csrf: String,
    federation: Uuid,
}

/// Which of several subscriptions serves in cars (R-4.3-5).
pub(super) async fn serve(
    State(service): Cmp,
    headers: HeaderMap,
    form: Result<Form<ServeForm>, FormRejection>,
) -> Page {
    let Form(form) = form?;
    let (account, _) = sender(&service, &headers, &form.csrf).await?;
    let choice = Some(form.federation.into_bytes());
    if service
        .choose_subscription(account.id, None, choice)
        .await?
    {
        see_other("/?done=serves")
    } else {
        Err(no_such_subscription())
    }
}

#[derive(Deserialize)]
pub(super) struct AgainForm {
    csrf: String,
    eid: Eid,
}

/// A profile may be loaded again in a car where it was removed (R-4.5-10).
pub(super) async fn again(
    State(service): Cmp,
    headers: HeaderMap,
    form: Result<Form<AgainForm>, FormRejection>,
) -> Page {
    let Form(form) = form?;
    let (account, _) = sender(&service, &headers, &form.csrf).await?;
    if service.allow_again(account.id, form.eid).await? {
        see_other("/?done=again")
    } else {
        Err(Refusal(
            StatusCode::NOT_FOUND,
            "You removed nothing in that car.",
        ))
    }
}

#[derive(Deserialize)]
pub(super) struct DismissForm {
    csrf: String,
    notice: Uuid,
}

pub(super) async fn dismiss(
    State(service): Cmp,
    headers: HeaderMap,
    form: Result<Form<DismissForm>, FormRejection>,
) -> Page {
    let Form(form) = form?;
    let (account, _) = sender(&service, &headers, &form.csrf).await?;
    service
        .dismiss(account.id, form.notice.into_bytes())
        .await?;
    see_other("/")
}
