//! Subscriptions: which are linked and since when, which one serves, the end of a link, and links that have ended
//! (§4.4.1, R-4.3-5).

use super::frame::{Inside, Tab, Visit, not_found};
use super::{Cmp, Done, Page, Refusal, done_line, login_first, see_other, sender, visitor};
use crate::service::{Overview, Subscription};
use aid_id::Id;
use aid_serve::page::hidden;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Form, Query, State};
use axum::http::HeaderMap;
use maud::{Markup, html};
use serde::Deserialize;
use uuid::Uuid;

pub(super) async fn list(State(service): Cmp, headers: HeaderMap, done: Done) -> Page {
    let Some(visit) = visitor(&service, &headers).await? else {
        return login_first("/subscriptions");
    };
    let content = content(&visit).await?;
    Ok(visit.show(&Inside {
        done: done_line(done),
        live: Some("subscriptions"),
        ..Inside::new(Tab::Subscriptions, &visit.say("nav-subscriptions"), content)
    }))
}

/// What the page says.
pub(super) async fn content(visit: &Visit<'_>) -> Result<Markup, Refusal> {
    let id = visit.account.id;
    let overview = visit.service.overview(&visit.account).await?;
    let chosen: Option<Id> = visit
        .service
        .look(async move |_, tx| tx.preference(id, None).await)
        .await?;
    let (active, ended): (Vec<&Subscription>, Vec<&Subscription>) = overview
        .subscriptions
        .iter()
        .partition(|s| s.federation.ended_at.is_none());
    // The choice if it lives, else the oldest (R-4.3-5).
    let serving = active
        .iter()
        .find(|s| Some(s.federation.id) == chosen)
        .or(active.first())
        .map(|s| s.federation.id);
    let several = active.len() > 1;
    Ok(html! {
        @if active.is_empty() { p { (visit.say("subscriptions-none")) } }
        ul.cards {
            @for one in &active {
                li { (card(visit, one, several, Some(one.federation.id) == serving)) }
            }
        }
        h2 { (visit.say("link-title")) }
        @if !active.is_empty() { p.quiet { (visit.say("link-another")) } }
        (link_forms(visit, &overview))
        @if !ended.is_empty() {
            details id="ended" {
                summary { (visit.words.with("links-ended", &[("count", ended.len().into())])) }
                ul.plain { @for one in ended { li { (ended_link(visit, one)) } } }
            }
        }
    })
}

/// The choice of operators.
pub(super) fn link_forms(visit: &Visit<'_>, overview: &Overview) -> Markup {
    html! {
        @if overview.msps.is_empty() { p { (visit.say("link-none")) } }
        div.actions {
            @for msp in &overview.msps {
                form method="get" action="/link" {
                    (hidden("msp", msp))
                    button.main { (visit.words.with("link-operator", &[("operator", msp.as_str().into())])) }
                }
            }
        }
    }
}

fn kind(visit: &Visit<'_>, one: &Subscription) -> String {
    visit.say(match one.federation.kind {
        aid_aid1::body::SubscriptionType::Private => "kind-private",
        aid_aid1::body::SubscriptionType::Business => "kind-business",
        aid_aid1::body::SubscriptionType::Unknown => "kind-unknown",
    })
}

fn card(visit: &Visit<'_>, one: &Subscription, several: bool, serves: bool) -> Markup {
    let federation = &one.federation;
    let id = Uuid::from_bytes(federation.id).to_string();
    let operator = [("operator", federation.msp.as_str().into())];
    let cars = one
        .profiles
        .iter()
        .filter(|p| p.status.may_be_on_card())
        .count();
    html! {
        article.card {
            header {
                h3 { (federation.msp) }
                @if several && serves { span.chip.good { (visit.say("serves")) } }
            }
            dl {
                dt { (visit.say("number")) } dd { (one.masked) }
                dt { (visit.say("kind")) } dd { (kind(visit, one)) }
                dt { (visit.say("linked-since")) } dd { (visit.words.date(federation.since)) }
                dt { (visit.say("in-cars")) }
                dd {
                    @if cars == 0 { (visit.say("in-no-car")) }
                    @else { (visit.words.with("in-cars-count", &[("count", cars.into())])) }
                }
            }
            p.quiet { (visit.say("contract-goes-on")) }
            div.actions {
                @if several && !serves {
                    form method="post" action="/serve" {
                        (visit.token()) (hidden("federation", &id))
                        button { (visit.words.with("use-this", &operator)) }
                    }
                }
                a.button.danger href={ "/unlink?federation=" (id) } { (visit.words.with("unlink-operator", &operator)) }
            }
        }
    }
}

fn ended_link(visit: &Visit<'_>, one: &Subscription) -> Markup {
    let ended = one.federation.ended_at.unwrap_or_default();
    let present = one
        .profiles
        .iter()
        .filter(|p| p.status.may_be_on_card())
        .count();
    html! {
        p { strong { (one.federation.msp) } " " (one.masked) }
        p.quiet { (visit.words.rich("link-ended-at", &[("when", visit.words.ago(ended))])) }
        @if present > 0 {
            p.waits { span { (visit.words.with("link-ended-rest", &[("count", present.into())])) } }
        }
    }
}

/// The link that is meant.
#[derive(Deserialize)]
pub(super) struct Which {
    federation: Uuid,
}

const NONE: Refusal = not_found("refused-subscription");

/// Asks before a link ends.
pub(super) async fn ask_unlink(
    State(service): Cmp,
    headers: HeaderMap,
    query: Result<Query<Which>, QueryRejection>,
) -> Page {
    let Query(which) = query?;
    let Some(visit) = visitor(&service, &headers).await? else {
        return login_first("/subscriptions");
    };
    let one = own(&visit, which.federation).await?;
    let text = [
        ("operator", one.federation.msp.as_str().into()),
        ("number", one.masked.as_str().into()),
    ];
    let content = html! {
        p { (visit.words.with("unlink-question", &text)) }
        p { (visit.say("unlink-effect")) }
        p { (visit.say("contract-goes-on")) }
        form method="post" action="/unlink" {
            (visit.token()) (hidden("federation", &which.federation.to_string())) (hidden("confirmed", "yes"))
            p.actions {
                button.danger { (visit.say("unlink-yes")) }
                a.button href="/subscriptions" { (visit.say("keep")) }
            }
        }
    };
    let title = visit.say("unlink-title");
    Ok(visit.show(&Inside::form(Tab::Subscriptions, &title, content)))
}

/// A link of this user that lives.
async fn own(visit: &Visit<'_>, federation: Uuid) -> Result<Subscription, Refusal> {
    let overview = visit.service.overview(&visit.account).await?;
    let id = federation.into_bytes();
    let mut all = overview.subscriptions.into_iter();
    all.find(|s| s.federation.id == id && s.federation.ended_at.is_none())
        .ok_or(NONE)
}

#[derive(Deserialize)]
pub(super) struct UnlinkForm {
    csrf: String,
    federation: Uuid,
    /// `yes` on the page that asks.
    #[serde(default)]
    confirmed: String,
}

pub(super) async fn unlink(
    State(service): Cmp,
    headers: HeaderMap,
    form: Result<Form<UnlinkForm>, FormRejection>,
) -> Page {
    let Form(form) = form?;
    let visit = sender(&service, &headers, &form.csrf).await?;
    if form.confirmed != "yes" {
        own(&visit, form.federation).await?;
        return see_other(&format!("/unlink?federation={}", form.federation));
    }
    match service
        .unlink(&visit.account, form.federation.into_bytes())
        .await?
    {
        true => see_other("/subscriptions?done=unlinked"),
        false => Err(NONE),
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
    let visit = sender(&service, &headers, &form.csrf).await?;
    let choice = Some(form.federation.into_bytes());
    let chosen = service.choose_subscription(visit.account.id, None, choice);
    match chosen.await? {
        true => see_other("/subscriptions?done=serves"),
        false => Err(NONE),
    }
}
