//! What an operator sees and does on the command line, over the control API or at the console; works on the database while
//! `serve` runs.
//!
//! `list` has the lists, `subject` one customer, link, order or profile with what belongs to it; `act` changes things,
//! `member` says who works at the console, `misbehave` asks for what goes wrong. Times are milliseconds since 1970.

mod act;
mod list;
mod member;
mod misbehave;
mod subject;

use std::sync::Arc;

use aid_cli::cli::Failure;
use serde_json::{Value, json};

use crate::msp::Msp;
use crate::store::StoreError;

pub(crate) use act::{
    add_customer, add_subscription, block, end_subscription, fate, hash_password, inform,
    put_outbox, rotate_key, update, update_subscription, withdraw,
};
pub(crate) use list::List;
pub(crate) use member::{add_member, members, remove_member};
pub(crate) use misbehave::{add_rule, clear_rules, events, misbehaviours, rules};
pub(crate) use subject::{customer, found, job, link, order, profile, subscription, transaction};

/// Why a question or a deed came to nothing.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It can't be done: a sentence that says why.
    Said(Failure),
    /// The database failed, which is no error of whoever asked, and may pass.
    Store(StoreError),
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Said(failure)
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// A command ends with either.
impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Said(failure) => failure,
            Refusal::Store(error) => error.into(),
        }
    }
}

/// The configured CMPs.
pub(crate) fn cmps(msp: &Msp) -> Value {
    let row = |c: &Arc<crate::config::CmpParty>| {
        json!({
            "client_id": c.client_id.as_str(), "name": c.name, "touchpoint": c.touchpoint,
            "mode": format!("{:?}", c.mode).to_lowercase(), "former_account_id_secrets": c.secrets.len() - 1,
        })
    };
    msp.agreed().cmps.iter().map(row).collect()
}
