//! What an operator does: adds users and vehicles, gives orders, looks at everything. Works on the database, also while
//! the server runs: it makes its decisions as the server does, and the server sends the orders.

use super::users;
use crate::config::File;
use crate::names;
use crate::service::{fresh, now, random};
use crate::store::{Store, Stored, Tx};
use crate::views;
use aid_cli::cli::{Failure, line_to_stderr, print};
use aid_cli::printable::printable;
use aid_cmp_core::change::Change;
use aid_cmp_core::decide::login::pin_mac;
use aid_cmp_core::decide::{Context, Decision, Policy};
use aid_cmp_core::model::Account;
use aid_id::{AccountRef, Eid, Iccid, Id};
use clap::Args;
use serde_json::{Value, json};
use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;
use uuid::Uuid;

/// A new user.
#[derive(Debug, Args)]
pub struct UserAdd {
    /// Name to sign in with; upper and lower case are the same.
    pub name: String,
    /// What the car shows; absent: the name.
    #[arg(long)]
    pub display_name: Option<String>,
    /// Read the PIN for cars, 4 to 16 digits, from the second line of standard input; without it and --pin-file no login in
    /// cars. A PIN is no argument: every user of the machine sees those.
    #[arg(long)]
    pub pin_stdin: bool,
    /// Read the PIN for cars from this file.
    #[arg(long, value_name = "FILE", conflicts_with = "pin_stdin")]
    pub pin_file: Option<PathBuf>,
    /// Read the portal's password from the first line of standard input.
    #[arg(long, required = true)]
    pub password_stdin: bool,
}

pub(super) struct Admin<'a> {
    pub(super) store: &'a Store,
    pub(super) file: &'a File,
    /// Who acts, for the audit trail.
    pub(super) who: String,
    pub(super) json: bool,
}

pub(super) fn id_text(id: Id) -> String {
    uuid::Uuid::from_bytes(id).to_string()
}

pub(super) fn eid(text: &str) -> Result<Eid, Failure> {
    text.parse()
        .map_err(|e| Failure::usage(format!("{text:?} is no EID: {e}")))
}

pub(super) fn iccid(text: &str) -> Result<Iccid, Failure> {
    text.parse()
        .map_err(|e| Failure::usage(format!("{text:?} is no ICCID: {e}")))
}

/// A row as one line of text.
fn line(row: &Value) -> String {
    let fields = row.as_object().into_iter().flatten();
    let fields: Vec<String> = fields
        .filter(|(_, v)| !v.is_null())
        .map(|(k, v)| {
            let text = v.as_str().map_or_else(|| v.to_string(), str::to_owned);
            format!("{k}={text}")
        })
        .collect();
    printable(&fields.join("  ")).into_owned()
}

/// Prints rows: JSON as one array, text as one line each.
pub(super) fn show(rows: Vec<Value>, json: bool) -> Result<(), Failure> {
    let mut list = List::new(json);
    list.print(rows)?;
    list.end()
}

/// A list on stdout whose rows come in parts: JSON as one array, text as one line each.
pub(super) struct List {
    json: bool,
    is_empty: bool,
}

impl List {
    pub(super) fn new(json: bool) -> Self {
        Self {
            json,
            is_empty: true,
        }
    }

    pub(super) fn print(&mut self, rows: Vec<Value>) -> Result<(), Failure> {
        let mut out = String::new();
        for row in rows {
            if self.json {
                out.push_str(if self.is_empty { "[" } else { ",\n" });
                out.push_str(&row.to_string());
            } else {
                out.push_str(&line(&row));
                out.push('\n');
            }
            self.is_empty = false;
        }
        print(&out)
    }

    /// The end of the list. Where nothing was printed, JSON is an empty array.
    pub(super) fn end(self) -> Result<(), Failure> {
        match (self.json, self.is_empty) {
            (true, true) => print("[]\n"),
            (true, false) => print("]\n"),
            (false, _) => Ok(()),
        }
    }
}

/// Which part of a list.
#[derive(Debug, Default, Args)]
pub struct PageArgs {
    /// At most so many; stderr says where to go on if there are more. Without it all.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Those behind this one: what stderr named when the last part ended.
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,
}

impl PageArgs {
    /// All behind this place.
    pub(super) fn after(after: Option<String>) -> Self {
        Self { limit: None, after }
    }
}

/// Rows that a list reads at once.
const PAGE: u32 = 500;

/// The user of this name.
pub(super) async fn account(tx: &Tx<'_>, name: &str) -> Result<Account, Failure> {
    let name = name.trim().to_lowercase();
    let found = tx.account_named(&name).await?;
    found.ok_or_else(|| Failure::new(format!("there is no user {name:?}; `user list` shows all")))
}

/// A decision without a message to a vehicle.
pub(super) fn changes(changes: Vec<Change>) -> Decision {
    Decision {
        changes,
        ..Decision::default()
    }
}

impl Admin<'_> {
    pub(super) fn context(&self) -> Context {
        context(self.file.policy)
    }

    /// Loads, decides and stores in one transaction, with the operator's name in the audit trail. Messages to vehicles
    /// are not sent here: the server sends the orders that it finds.
    ///
    /// `decide` may be run several times; see [`Store::decide`].
    pub(super) async fn decide<T: Send + 'static>(
        &self,
        decide: impl for<'t> AsyncFn(&'t Tx<'t>, &'t Context) -> Result<(Decision, T), Failure>
        + Send
        + 'static,
    ) -> Result<T, Failure> {
        let (who, policy) = (self.who.clone(), self.file.policy);
        let signed = async move |tx: &Tx<'_>| {
            let (decision, value) = decide(tx, &context(policy)).await?;
            let decision = views::without_repeated_deletions(tx, decision).await?;
            Ok((signed(decision.changes, &who), value))
        };
        self.store.decide(signed).await
    }

    /// Reads one state of the database.
    pub(super) async fn look<T: Send + 'static>(
        &self,
        look: impl for<'t> AsyncFnOnce(&'t Tx<'t>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let looked = async move |tx: &Tx<'_>| Stored::Ok(look(tx).await);
        self.store.read(looked).await?
    }

    pub(super) async fn key_rotated(&self, what: String, finish: bool) -> Result<(), Failure> {
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

    pub(super) async fn add_user(&self, user: UserAdd, key: &[u8; 32]) -> Result<(), Failure> {
        let Some(name) = names::sign_in_name(&user.name) else {
            return Err(Failure::usage(
                "a user's name has 1 to 128 printable characters, and does not begin with erased/",
            ));
        };
        let shown = user.display_name.as_deref().unwrap_or(&user.name);
        let shown = shown.chars().take(names::MAX_SHOWN).collect::<String>();
        let Some(display_name) = names::shown_name(&shown) else {
            return Err(Failure::usage("--display-name must be printable"));
        };
        let (hash, pin) = users::secrets_of(&user)?;
        let id = AccountRef(fresh());
        let account = Account {
            id,
            name: name.clone(),
            display_name: display_name.to_owned(),
            password: hash,
            pin_mac: pin.map(|pin| pin_mac(key, id, pin.expose())),
            created_at: now(),
        };
        self.decide(async move |tx, context| {
            if tx.account_named(&account.name).await?.is_some() {
                return Err(Failure::new(format!(
                    "there is a user {:?} already; choose another name",
                    account.name
                )));
            }
            let detail = format!("account {}", hex::encode(id.0));
            let audit = context.audit("operator", "user added", detail);
            let added = Change::AddAccount(account.clone());
            Ok((changes(vec![added, audit]), ()))
        })
        .await?;
        let row = json!({"name": name, "account": id_text(id.0)});
        show(vec![row], self.json)
    }

    /// Prints a list in pages, so that its length costs no memory. `read` yields at most so many rows behind a cursor, each
    /// with its own cursor; those without a row are passed over.
    pub(super) async fn list<K: FromStr + Display + Clone>(
        &self,
        page: &PageArgs,
        read: impl AsyncFn(Option<K>, u32) -> Result<Vec<(K, Option<Value>)>, Failure>,
    ) -> Result<(), Failure> {
        let cursor = |text: &String| {
            let parsed = text.parse::<K>();
            parsed.map_err(|_| Failure::usage(format!("--after {text:?} is no place in this list")))
        };
        let mut after = page.after.as_ref().map(cursor).transpose()?;
        let mut left = page.limit.unwrap_or(u64::MAX);
        let mut list = List::new(self.json);
        loop {
            let rows = read(after.clone(), PAGE).await?;
            let is_last = rows.len() < PAGE as usize;
            let mut printed = Vec::new();
            for (key, row) in rows {
                let Some(row) = row else {
                    after = Some(key);
                    continue;
                };
                if left == 0 {
                    list.print(printed)?;
                    list.end()?;
                    if let Some(after) = after {
                        line_to_stderr(&format!("there are more: --after {after}"));
                    }
                    return Ok(());
                }
                left -= 1;
                after = Some(key);
                printed.push(row);
            }
            list.print(printed)?;
            if is_last {
                return list.end();
            }
        }
    }

    /// The configured MSPs, with what each did otherwise than AID.02 has it and was tolerated.
    pub(super) async fn msps(&self) -> Result<(), Failure> {
        let deviations = self.store.read(async |tx| tx.deviations().await).await?;
        let row = |m: &crate::config::MspFile| {
            let own = deviations.iter().filter(|d| d.msp == m.name);
            let deviation = |d: &aid_cmp_core::model::Deviated| {
                json!({
                    "kind": d.kind, "count": d.count, "first_at": d.first_at, "last_at": d.last_at,
                })
            };
            json!({
                "name": m.name, "client_id": m.client_id.as_str(), "url": m.url,
                "touchpoint": m.touchpoint, "deviations": own.map(deviation).collect::<Vec<_>>(),
            })
        };
        show(self.file.msp.iter().map(row).collect(), self.json)
    }

    pub(super) async fn users(&self, page: &PageArgs) -> Result<(), Failure> {
        let row = |a: Account| {
            let row = json!({
                "name": a.name, "account": id_text(a.id.0), "display_name": a.display_name,
                "has_pin": a.pin_mac.is_some(), "created_at": a.created_at,
            });
            (a.name, Some(row))
        };
        self.list(page, async |after: Option<String>, limit| {
            let read = async move |tx: &Tx<'_>| tx.accounts(after.as_deref(), limit).await;
            let users = self.store.read(read).await?;
            Ok(users.into_iter().map(row).collect())
        })
        .await
    }

    pub(super) async fn federations(&self, page: &PageArgs) -> Result<(), Failure> {
        self.list(page, async |after: Option<Uuid>, limit| {
            let read = async move |tx: &Tx<'_>| {
                let mut rows = Vec::new();
                for f in tx.all_federations(after.map(Uuid::into_bytes), limit).await? {
                    let user = tx.account(f.account).await?.map(|a| a.name);
                    let doubt = tx.doubt(f.id).await?;
                    let row = json!({
                        "doubtful_since": doubt.map(|d| d.since),
                        "federation": id_text(f.id), "msp": f.msp, "user": user,
                        "msp_token": f.token.to_string(), "subscription_type": f.kind.as_str(),
                        "customer_group": f.customer_group, "since": f.since, "ended_at": f.ended_at,
                        "ended_reason": f.ended_reason,
                    });
                    rows.push((Uuid::from_bytes(f.id), Some(row)));
                }
                Ok(rows)
            };
            Ok(self.store.read(read).await?)
        })
        .await
    }
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
