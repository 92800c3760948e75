//! What customers see of their subscriptions and links, and how they end one (AID.02 §4.4.2).

use aid_id::MspToken;
use aid_serve::page;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use uuid::Uuid;

use super::{
    Shared, expired, front, incomplete, message, pages, sender, unavailable, under, visitor,
};
use crate::core::model::{Onboarding, OnboardingState};
use crate::core::withdrawal;
use crate::core::{Change, Decision};
use crate::msp::now_ms;
use crate::store::Stored;

/// The customer's onboardings that have not failed.
async fn links(shared: &Shared, user: &str) -> Stored<Vec<Onboarding>> {
    let user = user.to_owned();
    let read = shared
        .msp
        .store
        .read(async move |tx| tx.onboardings_of(&user).await);
    let all = read.await?;
    let linked = |o: &Onboarding| o.state != OnboardingState::Refused;
    Ok(all.into_iter().filter(linked).collect())
}

pub(super) async fn overview(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    let Some((name, session, user)) = visitor(&shared, &headers) else {
        return page::see_other("/login");
    };
    match overview_of(&shared, &headers, &session, &user).await {
        Ok((html, targets)) => under(&name, StatusCode::OK, html, &targets),
        Err(error) => unavailable(&error),
    }
}

async fn overview_of(
    shared: &Shared,
    headers: &HeaderMap,
    session: &super::Session,
    user: &str,
) -> Stored<(String, Vec<String>)> {
    let msp = &shared.msp;
    let links = links(shared, user).await?;
    let (of_read, name) = (msp.clone(), user.to_owned());
    let read = msp.store.read(async move |tx| {
        let mut cards = Vec::new();
        for subscription in tx.subscriptions_of(&name).await? {
            let mut connections = Vec::new();
            for link in &links {
                let of = tx.subscription_of(link).await?;
                if of.is_some_and(|s| s.id == subscription.id) {
                    let cmp = of_read.cmp(&link.client_id);
                    connections.push(pages::Connection {
                        cmp: cmp.map_or_else(|| link.client_id.to_string(), |c| c.name.clone()),
                        token: link.msp_token,
                        state: link.state,
                        profiles: tx.profiles_of(link.msp_token).await?,
                    });
                }
            }
            cards.push((subscription, connections));
        }
        Ok(cards)
    });
    let cards = read.await?;
    let agreed = msp.agreed();
    let offered = agreed.cmps.iter().filter(|_| msp.base_url.is_some());
    let offered: Vec<_> = offered
        .filter_map(|c| Some((c, c.touchpoint.as_deref()?)))
        .collect();
    let targets = offered.iter().map(|(_, url)| page::origin(url)).collect();
    let overview = pages::Overview {
        user,
        cards: &cards,
        cmps: &offered
            .iter()
            .map(|(c, _)| (c.client_id.as_str(), c.name.as_str()))
            .collect::<Vec<_>>(),
        done: session.done,
    };
    let front = front(msp, headers, Some(&session.csrf));
    Ok((pages::overview(&front, &overview), targets))
}

/// The link that is meant.
#[derive(Deserialize)]
pub(super) struct Which {
    token: MspTokenText,
}

/// A token in a query or a form.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct MspTokenText(MspToken);

impl TryFrom<String> for MspTokenText {
    type Error = aid_id::MspTokenError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

/// A link of this customer that lives.
async fn own_link(shared: &Shared, user: &str, token: MspToken) -> Stored<Option<Onboarding>> {
    let links = links(shared, user).await?;
    let lives = |o: &Onboarding| o.msp_token == token && o.state != OnboardingState::Invalidated;
    Ok(links.into_iter().find(lives))
}

fn no_such_link() -> Response {
    message(StatusCode::NOT_FOUND, "refused-link")
}

/// Asks before a link is ended.
pub(super) async fn ask_end(
    State(shared): State<Shared>,
    headers: HeaderMap,
    query: Result<Query<Which>, QueryRejection>,
) -> Response {
    let Some((name, session, user)) = visitor(&shared, &headers) else {
        return page::see_other("/login");
    };
    let Ok(Query(Which { token })) = query else {
        return no_such_link();
    };
    match own_link(&shared, &user, token.0).await {
        Ok(Some(link)) => {
            let cmp = shared.msp.cmp(&link.client_id);
            let cmp = cmp.map_or_else(|| link.client_id.to_string(), |c| c.name.clone());
            let front = front(&shared.msp, &headers, Some(&session.csrf));
            let html = pages::ask_end(&front, &cmp, link.msp_token);
            under(&name, StatusCode::OK, html, &[])
        }
        Ok(None) => no_such_link(),
        Err(error) => unavailable(&error),
    }
}

/// The form that ends a link.
#[derive(Deserialize)]
pub(super) struct End {
    csrf: String,
    token: MspTokenText,
}

pub(super) async fn end(
    State(shared): State<Shared>,
    headers: HeaderMap,
    form: Result<Form<End>, FormRejection>,
) -> Response {
    let Ok(Form(form)) = form else {
        return incomplete();
    };
    let Some((name, _, user)) = sender(&shared, &headers, &form.csrf) else {
        return expired();
    };
    match own_link(&shared, &user, form.token.0).await {
        Ok(None) => no_such_link(),
        Err(error) => unavailable(&error),
        Ok(Some(link)) => {
            if let Err(error) = end_link(&shared, &user, &link).await {
                return unavailable(&error);
            }
            shared
                .sessions
                .change(&name, |s| s.done = Some("done-ended"));
            page::see_other("/")
        }
    }
}

async fn end_link(shared: &Shared, user: &str, link: &Onboarding) -> Stored<()> {
    let (user, link) = (user.to_owned(), link.clone());
    let ended = shared.msp.store.decide(async move |tx| {
        // As it is now: it may have ended since the page was shown.
        let (client, token) = (&link.client_id, link.msp_token);
        let Some(onboarding) = tx.onboarding(client, token).await? else {
            return Ok(Decision::nothing(()));
        };
        let profiles = tx.profiles_of(token).await?;
        let (ids, now) = (&mut Uuid::new_v4, now_ms());
        let reason = Some("ended by the customer at the MSP");
        let mut changes = withdrawal::withdraw(&onboarding, &profiles, reason, ids, now);
        changes.push(Change::audit(
            &user,
            "connection ended",
            client.as_str(),
            now,
        ));
        Ok(Decision::of(changes, ()))
    });
    ended.await?;
    shared.msp.outbox.notify_one();
    Ok(())
}
