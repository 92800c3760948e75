//! The directory, as a party sees it: whom it may call, by which name, and where browsers find them (AID.02 §7.1, §7.2).
//!
//! Browsers go from one party's touchpoint to the other's without the hub: the account id in the address is a secret of
//! the two. What a party needs for that, the touchpoint and the domains that it may send browsers back to, is here.

use std::time::Instant;

use aid_aid1::headers::Headers;
use aid_aid1::server::method_not_allowed;
use aid_serve::http::Peer;
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Refused, limited, shown};
use crate::core::answer::Answer;
use crate::core::directory::Caller;
use crate::hub::Hub;

/// Where it is; no path of AID1.
pub(super) const PATH: &str = "/hub/v1/directory";

/// Answers a request for it. Certificate and key say who asks, as for every call; a `target-id` is needed as everywhere,
/// and means nothing.
///
/// # Errors
/// 401, 403, 405, 422, 429
pub(super) fn answer(hub: &Hub, request: &Request) -> Result<Answer, Refused> {
    let network = hub.network();
    let peer = request.extensions().get::<Peer>();
    let print = peer.map(|peer| peer.fingerprint).unwrap_or_default();
    let judged = hub.certificates.attempt(&print, Instant::now(), || {
        network.directory.admit(request.headers(), shown(peer))
    });
    let Caller { party, headers } = judged.map_err(limited)??;
    if *request.method() != Method::GET {
        return Err(method_not_allowed().into());
    }
    let Headers { client_id, .. } = headers;
    let partners = network
        .directory
        .partners(party)
        .map(|(name, other, pair)| {
            let record = &other.record;
            json!({
                "id": name,
                "role": record.role,
                "name": record.name,
                "logo": record.logo,
                "touchpoint": record.touchpoint,
                "redirect_domains": record.redirect_domains,
                "state": pair.state,
            })
        });
    let partners: Vec<Value> = partners.collect();
    let body = json!({"client_id": client_id, "partners": partners});
    Ok(Answer {
        status: StatusCode::OK,
        kind: "application/json".into(),
        retry_after: None,
        body: body.to_string().into_bytes(),
    })
}
