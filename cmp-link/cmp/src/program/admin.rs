//! What an operator does: adds users and vehicles, gives orders, looks at everything.
//! Called by the command line; works on the database, also while the server runs.

use super::users;
use crate::config::File;
use crate::names;
use crate::service::{fresh, now};
use crate::store::{SqlStore, Store as _, StoreError, Turn};
use aid_cli::cli::{Failure, print};
use aid_cli::printable::printable;
use aid_cmp_core::change::Change;
use aid_cmp_core::decide::Context;
use aid_cmp_core::decide::login::pin_mac;
use aid_cmp_core::model::Account;
use aid_id::{AccountRef, Eid, Iccid, Id};
use clap::Args;
use serde_json::{Value, json};
use std::path::PathBuf;

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
    pub(super) store: &'a SqlStore,
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

/// Prints rows: JSON as one array, text as one line each.
pub(super) fn show(rows: Vec<Value>, json: bool) -> Result<(), Failure> {
    if json {
        return print(&format!("{}\n", Value::from(rows)));
    }
    let mut out = String::new();
    for row in rows {
        let fields = row.as_object().into_iter().flatten();
        let fields: Vec<String> = fields
            .filter(|(_, v)| !v.is_null())
            .map(|(k, v)| {
                let text = v.as_str().map_or_else(|| v.to_string(), str::to_owned);
                format!("{k}={text}")
            })
            .collect();
        out.push_str(&printable(&fields.join("  ")));
        out.push('\n');
    }
    print(&out)
}

/// The configured MSPs.
pub(super) fn msps(file: &File, json: bool) -> Result<(), Failure> {
    let row = |m: &crate::config::MspFile| json!({"name": m.name, "client_id": m.client_id.as_str(), "url": m.url, "touchpoint": m.touchpoint});
    show(file.msp.iter().map(row).collect(), json)
}

impl Admin<'_> {
    pub(super) fn context(&self) -> Context {
        Context {
            now: now(),
            fresh,
            policy: self.file.policy,
        }
    }

    /// The changes with the name of who made them.
    fn signed(&self, mut changes: Vec<Change>) -> Vec<Change> {
        for change in &mut changes {
            if let Change::Audit(audit) = change
                && audit.actor == "operator"
            {
                audit.actor.clone_from(&self.who);
            }
        }
        changes
    }

    pub(super) async fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        self.store.commit(self.signed(changes)).await
    }

    pub(super) async fn commit_in(
        &self,
        turn: Turn,
        changes: Vec<Change>,
    ) -> Result<(), StoreError> {
        self.store.commit_in(turn, self.signed(changes)).await
    }

    pub(super) async fn key_rotated(&self, what: String, finish: bool) -> Result<(), Failure> {
        let action = if finish {
            "old key removed"
        } else {
            "key added"
        };
        let audit = self.context().audit("operator", action, what);
        Ok(self.commit(vec![audit]).await?)
    }

    pub(super) async fn account(&self, name: &str) -> Result<Account, Failure> {
        let name = name.trim().to_lowercase();
        let found = self.store.account_named(&name).await?;
        found.ok_or_else(|| {
            Failure::new(format!("there is no user {name:?}; `user list` shows all"))
        })
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
        let detail = format!("account {}", hex::encode(id.0));
        let audit = self.context().audit("operator", "user added", detail);
        match self.commit(vec![Change::AddAccount(account), audit]).await {
            Ok(()) => show(
                vec![json!({"name": name, "account": id_text(id.0)})],
                self.json,
            ),
            Err(StoreError::Taken) => Err(Failure::new(format!(
                "there is a user {name:?} already; choose another name"
            ))),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn users(&self) -> Result<(), Failure> {
        let rows = self.store.accounts().await?;
        let row = |a: Account| {
            json!({
                "name": a.name, "account": id_text(a.id.0), "display_name": a.display_name,
                "has_pin": a.pin_mac.is_some(), "created_at": a.created_at,
            })
        };
        show(rows.into_iter().map(row).collect(), self.json)
    }

    pub(super) async fn federations(&self) -> Result<(), Failure> {
        let mut rows = Vec::new();
        for f in self.store.federations(None).await? {
            let user = self.store.account(f.account).await?.map(|a| a.name);
            rows.push(json!({
                "federation": id_text(f.id), "msp": f.msp, "user": user,
                "msp_token": f.token.to_string(), "subscription_type": f.kind.as_str(),
                "customer_group": f.customer_group, "since": f.since, "ended_at": f.ended_at,
                "ended_reason": f.ended_reason,
            }));
        }
        show(rows, self.json)
    }
}
