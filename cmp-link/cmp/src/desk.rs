//! The operator's desk on the admin listener: the REST API under `/v1` for programs with a key, and the console under
//! `/console` for people. Both ask and do by [`crate::operator`], as the command line does.

mod api;
mod body;
mod console;
mod operation;

use crate::operator::Operator;
use crate::service::Service;
use aid_serve::console::Once;
use aid_serve::limit::Limiter;
use axum::Router;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

pub use operation::{OPERATIONS, Operation};

/// The API's description (OpenAPI 3.1), as it is served at `/v1/openapi.json`.
pub const OPENAPI: &str = include_str!("desk/openapi.json");

/// What the desk works with.
struct Desk {
    service: Arc<Service>,
    /// Files whose certificates are judged.
    certificates: Vec<PathBuf>,
    /// Requests of one key.
    keys: Limiter<aid_id::Id>,
    /// Wrong keys from one address.
    wrong: Limiter<IpAddr>,
    /// Forms of the console that were sent.
    once: Once,
}

impl Desk {
    /// An operator of this name.
    fn operator(&self, who: String) -> Operator<'_> {
        Operator {
            store: &self.service.store,
            file: &self.service.config.file,
            who,
            once: None,
        }
    }
}

/// The desk's paths.
pub fn router(service: Arc<Service>, certificates: Vec<PathBuf>) -> Router {
    let limits = service.config.file.limits;
    let desk = Arc::new(Desk {
        service,
        certificates,
        keys: Limiter::new(limits.api),
        wrong: Limiter::new(limits.login),
        once: Once::default(),
    });
    api::router(Arc::clone(&desk)).merge(console::router(desk))
}
