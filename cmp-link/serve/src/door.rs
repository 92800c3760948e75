//! A listener with mutual TLS that admits named peers only: TLS has verified that the CA issued the certificate of a
//! peer, and the list of the configuration says whether that peer may come in.

use crate::http::Peer;
use crate::live::Live;
use crate::peer::{Certificate, Several, admits, certificates};
use aid_cli::cli::Failure;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use std::sync::Arc;

/// The certificates that a section of the configuration names; `section` is its name in errors. Where there are none,
/// nobody is admitted, and the log says so.
///
/// # Errors
/// A value that no certificate can have.
pub fn named(
    section: &str,
    common_name: &Several,
    certificate_sha256: &Several,
) -> Result<Vec<Certificate>, Failure> {
    let list = certificates(common_name, certificate_sha256)
        .map_err(|e| Failure::new(format!("{section}.{e}")))?;
    if list.is_empty() {
        tracing::warn!(
            "[{section}] names no client: give common_name or certificate_sha256; until then nobody is admitted"
        );
    }
    Ok(list)
}

/// A door and who may pass.
#[derive(Clone)]
struct Door {
    name: &'static str,
    admitted: Live<Vec<Certificate>>,
}

/// The router behind a door: a request of a peer that the list does not admit is answered with 403, whatever it asks
/// for. The list is read for each request, so that a connection that is open already does not outlive its admission.
pub fn guard(router: Router, name: &'static str, admitted: Live<Vec<Certificate>>) -> Router {
    router.layer(from_fn_with_state(Door { name, admitted }, judge))
}

async fn judge(State(door): State<Door>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>();
    if peer.is_some_and(|peer| peer.is_certified() && admits(&door.admitted.now(), peer.shown())) {
        return next.run(request).await;
    }
    let name = peer.and_then(|peer| peer.common_name.as_deref());
    tracing::warn!(
        door = door.name,
        common_name = name,
        "a client whose certificate is not named was refused"
    );
    let text = "this client certificate is not admitted here\n";
    (StatusCode::FORBIDDEN, text).into_response()
}

/// A list that a running program replaces.
#[must_use]
pub fn live(list: Vec<Certificate>) -> Live<Vec<Certificate>> {
    Live::new(Arc::new(list))
}
