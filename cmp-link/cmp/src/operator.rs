//! What an operator asks and does, whichever way they come: by the command line, which works on the database beside the
//! running server, by the admin API, or by the console. Every deed is one decision, as the server makes them, with the
//! operator's name in the audit trail. Messages to vehicles are not sent here: the server sends the orders that it finds.

mod calls;
mod certificates;
mod desk;
mod enrolment;
mod fleet;
mod import;
mod links;
mod orders;
mod people;
mod problems;
mod trail;

use crate::config::{self, File};
use crate::service::{fresh, now, random};
use crate::store::{Store, StoreError, Stored, Tx};
use crate::views;
use aid_cli::cli::Failure;
pub use aid_cli::list::Listed;
use aid_cli::time::rfc3339;
use aid_cmp_core::change::Change;
use aid_cmp_core::decide::{Context, Decision, Policy};
use aid_cmp_core::model::{Account, Answered};
use aid_id::{Eid, Iccid, Id};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::str::FromStr;

pub use calls::Calls;
pub use desk::hash_of_key;
pub use enrolment::{Binding, issue, judge};
pub use fleet::Because;
pub use import::{MOST_LINES, WrongLine};
pub use orders::{OrderWhat, Orders};
pub use people::NewUser;
pub use problems::MOST;
pub use trail::Trail;

pub(crate) use desk::member_lock;
pub(crate) use fleet::vin;
pub(crate) use links::{TOKEN, federation, locked_federation};
pub(crate) use people::about;

/// Why an operator's question or deed was refused; the texts say what to do.
#[derive(Debug)]
pub enum Refusal {
    /// What was asked for does not exist.
    Unknown(String),
    /// It is not in a state that allows this.
    Conflict(String),
    /// It needs another role.
    Forbidden(String),
    /// What was said is malformed.
    Invalid(String),
    /// These lines of a file are wrong.
    Lines(Vec<WrongLine>),
    /// The database failed.
    Store(StoreError),
}

impl Refusal {
    pub(crate) fn unknown(text: impl Into<String>) -> Self {
        Self::Unknown(text.into())
    }

    pub(crate) fn conflict(text: impl Into<String>) -> Self {
        Self::Conflict(text.into())
    }

    pub(crate) fn forbidden(text: impl Into<String>) -> Self {
        Self::Forbidden(text.into())
    }

    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self::Invalid(text.into())
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unknown(text) | Refusal::Conflict(text) | Refusal::Forbidden(text) => {
                Self::new(text)
            }
            Refusal::Invalid(text) => Self::usage(text),
            Refusal::Lines(lines) => {
                let lines: Vec<String> = lines
                    .iter()
                    .map(|wrong| format!("line {}: {}", wrong.line, wrong.text))
                    .collect();
                Self::new(format!("nothing was stored: {}", lines.join("; ")))
            }
            Refusal::Store(error) => Self::from(error),
        }
    }
}

/// An operator at work.
#[derive(Debug, Clone)]
pub struct Operator<'a> {
    /// The database.
    pub store: &'a Store,
    /// The configuration.
    pub file: &'a File,
    /// Who acts, for the audit trail.
    pub who: String,
    /// What makes a deed that is asked for again the same one: it is not done twice, and what came of it is said again.
    pub once: Option<Once>,
}

/// The name of a deed, by whoever asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Once {
    /// Who asks.
    pub client: String,
    /// Their name for the deed.
    pub id: Id,
    /// Of all that was asked, so that another deed under this name is refused.
    pub digest: String,
}

/// An id as people and scripts write it.
#[must_use]
pub fn id_text(id: Id) -> String {
    uuid::Uuid::from_bytes(id).to_string()
}

/// A time, Unix milliseconds, as RFC 3339 has it; null for none.
#[must_use]
pub fn time(at: impl Into<Option<u64>>) -> Value {
    at.into().map_or(Value::Null, |at| rfc3339(at).into())
}

pub(crate) fn eid(text: &str) -> Result<Eid, Refusal> {
    text.parse()
        .map_err(|e| Refusal::invalid(format!("{text:?} is no EID: {e}")))
}

pub(crate) fn iccid(text: &str) -> Result<Iccid, Refusal> {
    text.parse()
        .map_err(|e| Refusal::invalid(format!("{text:?} is no ICCID: {e}")))
}

/// The place in a list behind which it goes on.
pub(crate) fn place<K: FromStr>(after: Option<String>) -> Result<Option<K>, Refusal> {
    let parsed = |text: String| {
        let place = text.parse();
        place.map_err(|_| Refusal::invalid(format!("{text:?} is no place in this list")))
    };
    after.map(parsed).transpose()
}

/// The user of this name.
pub(crate) async fn account(tx: &Tx<'_>, name: &str) -> Result<Account, Refusal> {
    let name = name.trim().to_lowercase();
    let found = tx.account_named(&name).await?;
    found.ok_or_else(|| {
        Refusal::unknown(format!("there is no user {name:?}; `user list` shows all"))
    })
}

/// A decision without a message to a vehicle.
pub(crate) fn changes(changes: Vec<Change>) -> Decision {
    Decision {
        changes,
        ..Decision::default()
    }
}

impl Operator<'_> {
    pub(crate) fn context(&self) -> Context {
        context(self.file.policy)
    }

    /// Key of the car PINs.
    pub(crate) fn pin_key(&self) -> [u8; 32] {
        config::pin_key(&self.file.account_pin_key).unwrap_or_default()
    }

    /// Loads, decides and stores in one transaction, with the operator's name in the audit trail.
    ///
    /// `decide` may be run several times; see [`Store::decide`].
    ///
    /// # Errors
    /// That of `decide`, or the database failed; nothing is stored then.
    pub(crate) async fn decide<T: Serialize + DeserializeOwned + Send + 'static>(
        &self,
        decide: impl for<'t> AsyncFn(&'t Tx<'t>, &'t Context) -> Result<(Decision, T), Refusal>
        + Send
        + 'static,
    ) -> Result<T, Refusal> {
        let (who, policy, once) = (self.who.clone(), self.file.policy, self.once.clone());
        let signed = async move |tx: &Tx<'_>| {
            let context = context(policy);
            if let Some(once) = &once
                && let Some(before) = tx.answered(&once.client, once.id).await?
            {
                return Ok((Vec::new(), repeated(once, &before)?));
            }
            let (decision, value) = decide(tx, &context).await?;
            let decision = views::without_repeated_deletions(tx, decision).await?;
            let mut changes = signed(decision.changes, &who);
            if let Some(once) = &once {
                changes.push(remember(once, &value, context.now)?);
            }
            Ok((changes, value))
        };
        self.store.decide(signed).await
    }

    /// Reads one state of the database.
    ///
    /// # Errors
    /// That of `look`, or the database failed.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        look: impl for<'t> AsyncFnOnce(&'t Tx<'t>) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let looked = async move |tx: &Tx<'_>| Stored::Ok(look(tx).await);
        self.store.read(looked).await?
    }

    /// Notes that a key of the configuration was replaced.
    ///
    /// # Errors
    /// The database failed.
    pub async fn key_rotated(&self, what: String, finish: bool) -> Result<(), Refusal> {
        let action = if finish {
            "old key removed"
        } else {
            "key added"
        };
        self.decide(async move |_, context| {
            let audit = context.audit("operator", action, what.clone());
            Ok((changes(vec![audit]), ()))
        })
        .await
    }
}

/// What came of a deed that was done before.
fn repeated<T: DeserializeOwned>(once: &Once, before: &Answered) -> Result<T, Refusal> {
    if before.digest != once.digest {
        return Err(Refusal::conflict(
            "another request had this Idempotency-Key; each has its own",
        ));
    }
    serde_json::from_str(&before.body)
        .map_err(|e| StoreError::Unreadable(format!("a remembered answer: {e}")).into())
}

fn remember<T: Serialize>(once: &Once, value: &T, at: u64) -> Result<Change, Refusal> {
    let body = serde_json::to_string(value)
        .map_err(|e| StoreError::Failed(format!("an answer can't be remembered: {e}")))?;
    Ok(Change::Remember(Answered {
        client: once.client.clone(),
        request_id: once.id,
        digest: once.digest.clone(),
        status: 200,
        body,
        at,
    }))
}

fn context(policy: Policy) -> Context {
    Context {
        now: now(),
        fresh,
        random,
        policy,
    }
}

/// The changes with the name of who made them.
fn signed(mut changes: Vec<Change>, who: &str) -> Vec<Change> {
    for change in &mut changes {
        if let Change::Audit(audit) = change
            && audit.actor == "operator"
        {
            who.clone_into(&mut audit.actor);
        }
    }
    changes
}
