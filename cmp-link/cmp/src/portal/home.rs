//! Home: a card for each car, one next step, and what the user should know.

use super::cars::{self, car_title, card};
use super::frame::{Inside, Tab, Visit};
use super::{Cmp, Done, Page, Refusal, done_line, see_other, sender, subscriptions, visitor};
use crate::service::{Car, Overview, Standing};
use aid_cmp_core::model::{NoticeKind, UserNotice};
use aid_id::Eid;
use aid_serve::http::{Peer, Stopping};
use aid_serve::page::{hidden, live};
use axum::Extension;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};
use serde::Deserialize;
use std::sync::Arc;
use uuid::Uuid;

pub(super) async fn home(State(service): Cmp, headers: HeaderMap, done: Done) -> Page {
    let Some(visit) = visitor(&service, &headers).await? else {
        return see_other("/login");
    };
    let name = visit.account.display_name.as_str();
    let title = visit.words.with("home-title", &[("name", name.into())]);
    let content = content(&visit).await?;
    Ok(visit.show(&Inside {
        done: done_line(done),
        live: Some("home"),
        ..Inside::new(Tab::Home, &title, content)
    }))
}

/// What Home says.
pub(super) async fn content(visit: &Visit<'_>) -> Result<Markup, Refusal> {
    let service = visit.service;
    let overview = service.overview(&visit.account).await?;
    let garage = service.garage(&visit.account).await?;
    let notices = service.notices(visit.account.id).await?;
    let current: Vec<&Car> = garage.iter().filter(|car| car.is_current()).collect();
    Ok(html! {
        @for one in &notices { (notice(visit, one)) }
        (next_step(visit, &overview, &current))
        @if !current.is_empty() {
            h2 { (visit.say("home-cars")) }
            ul.cards { @for car in &current { li { (card(visit, car)) } } }
            p.actions { a.button href="/car" { (visit.say("to-code")) } }
        }
    })
}

fn notice(visit: &Visit<'_>, notice: &UserNotice) -> Markup {
    let id = match notice.kind {
        NoticeKind::UnlinkedByMsp => "notice-unlinked",
        NoticeKind::Suspended => "notice-suspended",
        NoticeKind::Resumed => "notice-resumed",
        NoticeKind::Invalid => "notice-invalid",
        NoticeKind::CardFull => "notice-card-full",
        NoticeKind::CarCleared => "notice-car-cleared",
        NoticeKind::Doubtful => "notice-doubtful",
    };
    html! {
        div.note.warn {
            p { strong { (visit.say(id)) } }
            p.quiet { (visit.words.ago(notice.at)) @if !notice.detail.is_empty() { " · " (notice.detail) } }
            form.actions method="post" action="/dismiss" {
                (visit.token()) (hidden("notice", &Uuid::from_bytes(notice.id).to_string()))
                button { (visit.say("notice-read")) }
            }
        }
    }
}

/// What the user can do next: the first of link, log in, wait or mend, drive.
fn next_step(visit: &Visit<'_>, overview: &Overview, cars: &[&Car]) -> Markup {
    let linked = overview
        .subscriptions
        .iter()
        .any(|s| s.federation.ended_at.is_none());
    let having = |wanted: fn(Standing) -> bool| {
        cars.iter()
            .find(|car| car.profiles.iter().any(|p| !p.ended && wanted(p.standing)))
    };
    let failed = cars.iter().find(|car| car.failure.is_some());
    let loading = cars
        .iter()
        .find(|car| car.asked.is_some())
        .or_else(|| having(|s| s == Standing::Loading));
    let in_use = having(|s| s == Standing::InUse);
    let title = |car: &Car| [("car", car_title(visit, car).into())];
    html! {
        section.card.next aria-labelledby="next" {
            h2 id="next" { (visit.say("next-title")) }
            @if !linked {
                p { (visit.say("next-link")) }
                (subscriptions::link_forms(visit, overview))
            } @else if let Some(car) = failed {
                p { (visit.words.with("next-failed", &title(car))) }
                p.actions { a.button.main href={ "/cars/" (car.eid) } { (visit.say("next-see-why")) } }
            } @else if let Some(car) = loading {
                p { (visit.words.with("next-loading", &title(car))) }
            } @else if let Some(car) = in_use {
                p { (visit.words.with("next-drive", &title(car))) }
            } @else {
                p { (visit.say("next-log-in")) }
                p.actions { a.button.main href="/car" { (visit.say("to-code")) } }
            }
        }
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
    let visit = sender(&service, &headers, &form.csrf).await?;
    service
        .dismiss(visit.account.id, form.notice.into_bytes())
        .await?;
    see_other("/")
}

/// A page that a browser shows.
#[derive(Deserialize)]
pub(super) struct Seen {
    /// `home`, `cars`, `subscriptions`, or the EID of a car.
    page: String,
    /// Digest of its content.
    of: String,
}

/// Tells a browser when its page has changed.
pub(super) async fn events(
    State(service): Cmp,
    headers: HeaderMap,
    Extension(peer): Extension<Peer>,
    stopping: Option<Extension<Stopping>>,
    query: Result<Query<Seen>, QueryRejection>,
) -> Response {
    let Ok(Query(seen)) = query else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let reader = match visitor(&service, &headers).await {
        Ok(Some(visit)) => hex::encode(visit.account.id.0),
        Ok(None) => return StatusCode::UNAUTHORIZED.into_response(),
        Err(refusal) => return refusal.0.into_response(),
    };
    let page: Arc<str> = seen.page.into();
    live::events(
        (&reader, peer.addr.ip()),
        stopping.map(|s| s.0),
        seen.of,
        move || {
            let (service, headers, page) =
                (Arc::clone(&service), headers.clone(), Arc::clone(&page));
            async move {
                let visit = visitor(&service, &headers).await.ok()??;
                let content = match &*page {
                    "home" => content(&visit).await,
                    "cars" => cars::all(&visit).await,
                    "subscriptions" => subscriptions::content(&visit).await,
                    other => match other.parse::<Eid>() {
                        Ok(eid) => cars::content(&visit, eid).await.map(|(_, content)| content),
                        Err(_) => return None,
                    },
                };
                content.ok().map(|content| live::digest(&content.0))
            }
        },
    )
}
