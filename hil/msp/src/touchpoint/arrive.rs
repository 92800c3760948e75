//! How a browser comes with an account id: sent by a CMP (AID.02 §4.1 [5], §7.1), or back from one to which it was sent
//! from here (§4.2 [3]-[7], §7.1 second, §7.2).

use aid_aid1::account_id::{AccountIdError, Claims};
use aid_aid1::error_code::ErrorCode;
use aid_aid1::headers::PartyId;
use aid_aid1::redirect::{RedirectUri, percent_encode};
use aid_serve::http::Peer;
use aid_serve::page;
use axum::Extension;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use subtle::ConstantTimeEq as _;

use super::link::claims;
use super::session::{Session, Visit, secret};
use super::{
    Shared, expired, front, incomplete, keep, message, pages, reach, sender, under, visitor,
};
use crate::msp::{Msp, now_ms};

type Members = Result<Query<Vec<(String, String)>>, QueryRejection>;

/// A member of a query that is there at most once; `Err` if it is there twice.
fn once<'a>(members: &'a [(String, String)], name: &str) -> Result<Option<&'a str>, ()> {
    let mut values = members.iter().filter(|(n, _)| n == name);
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(()),
        (found, None) => Ok(found.map(|(_, value)| value.as_str())),
    }
}

/// Where a visitor comes in who was sent by a CMP.
pub(super) async fn authorize(
    State(shared): State<Shared>,
    Extension(peer): Extension<Peer>,
    query: Members,
) -> Response {
    let Ok(Query(members)) = query else {
        return message(StatusCode::BAD_REQUEST, "refused-address");
    };
    let (Ok(Some(id)), Ok(Some(uri))) = (once(&members, "id"), once(&members, "redirect_uri"))
    else {
        return message(StatusCode::BAD_REQUEST, "refused-missing");
    };
    let now = now_ms();
    match find_cmp(&shared.msp, id, uri, now) {
        // Without an agreed address there is no redirect at all (R-7.2.2-3).
        None => message(StatusCode::BAD_REQUEST, "refused-sender"),
        Some((_, back, Err(error))) => {
            tracing::info!(%error, "an account id was refused");
            page::see_other(&back.with_error(error.code()))
        }
        Some((cmp, back, Ok(claims))) => {
            let visit = Visit {
                cmp,
                account_id: id.to_owned(),
                sid: claims.sid,
                back: Some(back.clone()),
            };
            let session = Session {
                visit: Some(visit),
                ..Session::default()
            };
            // Always a new login: whoever has one here already may not be who was sent.
            match shared.sessions.begin(session, peer.addr.ip(), now) {
                // The account id leaves the address bar, and the history of the browser, with this.
                Some((name, _)) => {
                    let mut response = page::see_other("/login");
                    keep(&mut response, &name);
                    response
                }
                None => page::see_other(&back.with_error(ErrorCode::Internal)),
            }
        }
    }
}

/// The CMP by its allow-list and its secret, and what the account id says. Where several lists have the address the
/// secret decides.
fn find_cmp(
    msp: &Msp,
    id: &str,
    uri: &str,
    now: i64,
) -> Option<(PartyId, RedirectUri, Result<Claims, AccountIdError>)> {
    let agreed = msp.agreed();
    let candidates = agreed
        .cmps
        .iter()
        .filter_map(|cmp| Some((cmp, cmp.redirects.check(uri).ok()?)));
    let mut checked = candidates
        .map(|(cmp, back)| (cmp.client_id.clone(), back, claims(cmp, id, now)))
        .collect::<Vec<_>>();
    let best = checked
        .iter()
        .position(|(_, _, claims)| *claims != Err(AccountIdError::Signature))
        .unwrap_or(0);
    (best < checked.len()).then(|| checked.swap_remove(best))
}

/// The form that begins an onboarding here.
#[derive(Deserialize)]
pub(super) struct Connect {
    csrf: String,
    cmp: PartyId,
}

/// Sends a customer to the CMP that they have chosen, for their account id there.
pub(super) async fn connect(
    State(shared): State<Shared>,
    headers: HeaderMap,
    form: Result<Form<Connect>, FormRejection>,
) -> Response {
    let Ok(Form(form)) = form else {
        return incomplete();
    };
    let Some((name, session, _)) = sender(&shared, &headers, &form.csrf) else {
        return expired();
    };
    let cmp = shared.msp.cmp(&form.cmp);
    let touchpoint = cmp.as_ref().and_then(|cmp| cmp.touchpoint.as_deref());
    let (Some(touchpoint), Some(base)) = (touchpoint, &shared.msp.base_url) else {
        return message(StatusCode::NOT_FOUND, "refused-brand");
    };
    if reach::is_down(touchpoint).await {
        let brand = cmp.as_ref().map_or("", |cmp| &cmp.name);
        tracing::warn!(client = %form.cmp, "the CMP's touchpoint can't be reached; the customer was told");
        let front = front(&shared.msp, &headers, Some(&session.csrf));
        let html = pages::down(&front, (form.cmp.as_str(), brand));
        return under(
            &name,
            StatusCode::SERVICE_UNAVAILABLE,
            html,
            &[page::origin(touchpoint)],
        );
    }
    let Some(state) = secret() else {
        return message(StatusCode::SERVICE_UNAVAILABLE, "refused-minute");
    };
    shared
        .sessions
        .change(&name, |s| s.away = Some((form.cmp, state.clone())));
    let back = format!("{}/return?state={state}", base.trim_end_matches('/'));
    let separator = if touchpoint.contains('?') { '&' } else { '?' };
    page::see_other(&format!(
        "{touchpoint}{separator}redirect_uri={}",
        percent_encode(&back)
    ))
}

/// Where a customer comes back from the CMP, with an account id or with an error (§7.2.1, §7.2.2).
pub(super) async fn returned(
    State(shared): State<Shared>,
    headers: HeaderMap,
    query: Members,
) -> Response {
    let not_begun = "refused-not-begun";
    let Some((name, session, _)) = visitor(&shared, &headers) else {
        return expired();
    };
    let members = query.map(|Query(members)| members).unwrap_or_default();
    let (Ok(state), Ok(id), Ok(code)) = (
        once(&members, "state"),
        once(&members, "id"),
        once(&members, "code"),
    ) else {
        return message(StatusCode::BAD_REQUEST, not_begun);
    };
    // The value is in this browser's session: an account id that somebody else puts into a link is not taken (R-4.1-7).
    let fits = |(_, wanted): &(PartyId, String)| {
        bool::from(
            wanted
                .as_bytes()
                .ct_eq(state.unwrap_or_default().as_bytes()),
        )
    };
    let Some((cmp, _)) = session.away.filter(fits) else {
        return message(StatusCode::BAD_REQUEST, not_begun);
    };
    shared.sessions.change(&name, |s| s.away = None);
    let Some(id) = id.filter(|_| code.is_none()) else {
        let aborted = code == Some("102");
        return message(
            StatusCode::OK,
            if aborted {
                "returned-aborted"
            } else {
                "returned-failed"
            },
        );
    };
    let claims = match shared.msp.cmp(&cmp) {
        Some(party) => claims(&party, id, now_ms()),
        // It was taken out of the configuration meanwhile: nobody could have signed.
        None => Err(AccountIdError::Signature),
    };
    let sid = match claims {
        Ok(claims) => claims.sid,
        Err(error) => {
            tracing::info!(%error, "an account id was refused");
            return message(StatusCode::BAD_REQUEST, "refused-invalid");
        }
    };
    let visit = Visit {
        cmp,
        account_id: id.to_owned(),
        sid,
        back: None,
    };
    shared.sessions.change(&name, |s| s.visit = Some(visit));
    // The account id leaves the address bar with this.
    page::see_other("/consent")
}
