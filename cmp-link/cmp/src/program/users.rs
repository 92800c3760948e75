//! What an operator does for users who can't do it themselves: another password or PIN, their preferences.

use super::admin::{Admin, UserAdd, account, changes, id_text, show};
use crate::password;
use crate::service::{is_pin, is_preference, is_preference_name};
use crate::store::Tx;
use aid_cli::cli::Failure;
use aid_cli::hidden;
use aid_cmp_core::change::{Change, FleetChange, Lock, PortalChange};
use aid_cmp_core::decide::login::pin_mac;
use aid_cmp_core::decide::{Context, tries};
use aid_cmp_core::model::Account;
use aid_id::Secret;
use aid_wire::MAX_ENTRIES;
use clap::Subcommand;
use serde_json::json;

/// `user preference`
#[derive(Debug, Subcommand)]
pub(super) enum PreferenceCommand {
    /// List them.
    List {
        /// Name of the user.
        user: String,
    },
    /// Set one.
    Set {
        /// Name of the user.
        user: String,
        /// Name of the preference, such as seat.position.
        name: String,
        /// Its value.
        value: String,
    },
    /// Remove one.
    Remove {
        /// Name of the user.
        user: String,
        /// Name of the preference.
        name: String,
    },
}

/// What is typed at the terminal, or piped into standard input.
fn from_stdin(what: &str) -> Result<Secret, Failure> {
    let text = hidden::secret(&format!("{what}: "));
    let text = text.map_err(|e| Failure::new(format!("cannot read the {what} from stdin: {e}")))?;
    Ok(Secret::new(text))
}

/// What a new user proves themselves with: the hash of the password, and the PIN where one is given.
pub(super) fn secrets_of(user: &UserAdd) -> Result<(Secret, Option<Secret>), Failure> {
    let text = from_stdin("password")?;
    let (password, pin) = if user.pin_stdin && hidden::is_asked() {
        (text, Some(from_stdin("PIN")?))
    } else if user.pin_stdin {
        let lines = text.expose().split_once('\n');
        let (password, pin) = lines.ok_or_else(|| {
            Failure::usage("give the password and the PIN on stdin, each on a line of its own")
        })?;
        let line = |text: &str| Secret::new(text.trim_end_matches('\r').to_owned());
        (line(password), Some(line(pin)))
    } else {
        (text, None)
    };
    let pin = match &user.pin_file {
        Some(file) => {
            let text = std::fs::read_to_string(file)
                .map_err(|e| Failure::new(format!("cannot read {}: {e}", file.display())))?;
            Some(Secret::new(text.trim_end_matches(['\r', '\n']).to_owned()))
        }
        None => pin,
    };
    if pin.as_ref().is_some_and(|pin| !is_pin(pin.expose())) {
        return Err(Failure::usage("the PIN must have 4 to 16 digits"));
    }
    Ok((hash_of(&password)?, pin))
}

/// The hash of the password on standard input.
pub(super) fn hash_of_stdin() -> Result<Secret, Failure> {
    hash_of(&from_stdin("password")?)
}

fn hash_of(text: &Secret) -> Result<Secret, Failure> {
    let length = text.expose().len();
    if !password::LENGTH.contains(&length) {
        let (least, most) = (password::LENGTH.start(), password::LENGTH.end());
        return Err(Failure::usage(format!(
            "the password on stdin must have {least} to {most} bytes, got {length}"
        )));
    }
    password::hash(text.expose())
        .ok_or_else(|| Failure::new("the password could not be hashed; try another"))
}

impl Admin<'_> {
    /// Another password: who had the old one is signed out everywhere, and may try at once.
    pub(super) async fn set_password(&self, name: &str) -> Result<(), Failure> {
        let account = self.user(name).await?;
        let hash = hash_of_stdin()?;
        let id = account.id;
        self.decide(async move |tx, context| {
            let attempts = format!("password:{}", hex::encode(id.0));
            tx.lock(Lock::Account(id)).await?;
            tx.lock(Lock::Attempts(attempts.clone())).await?;
            let set = vec![
                Change::Portal(PortalChange::Password(id, hash.clone())),
                // No cookie has an empty hash: all sessions end.
                Change::Portal(PortalChange::EndSessions(id, String::new())),
                Change::SetAttempts(attempts, None),
                about(context, id.0, "password set"),
            ];
            Ok((changes(set), ()))
        })
        .await?;
        let row = json!({"name": account.name, "account": id_text(id.0), "password": "set"});
        show(vec![row], self.json)
    }

    /// Another PIN for cars, or none.
    pub(super) async fn set_pin(
        &self,
        name: &str,
        none: bool,
        key: &[u8; 32],
    ) -> Result<(), Failure> {
        let account = self.user(name).await?;
        let id = account.id;
        let mac = if none {
            None
        } else {
            let pin = from_stdin("PIN")?;
            if !is_pin(pin.expose()) {
                return Err(Failure::usage("the PIN on stdin must have 4 to 16 digits"));
            }
            Some(pin_mac(key, id, pin.expose()))
        };
        let has_pin = mac.is_some();
        let wrong_pins = tries::prefix(key, &account.name);
        self.decide(async move |tx, context| {
            tx.lock(Lock::Account(id)).await?;
            tx.lock(Lock::Attempts(tries::everywhere(&wrong_pins)))
                .await?;
            let set = vec![
                Change::Portal(PortalChange::Pin(id, mac.clone())),
                Change::ForgetAttempts(wrong_pins.clone()),
                about(
                    context,
                    id.0,
                    if has_pin { "PIN set" } else { "PIN removed" },
                ),
            ];
            Ok((changes(set), ()))
        })
        .await?;
        let row = json!({"name": account.name, "account": id_text(id.0), "has_pin": has_pin});
        show(vec![row], self.json)
    }

    /// Takes back the attempts at a user's secrets: at the portal, in all cars, and at login codes.
    pub(super) async fn unlock_user(
        &self,
        name: &str,
        reason: String,
        key: &[u8; 32],
    ) -> Result<(), Failure> {
        let account = self.user(name).await?;
        let id = account.id;
        let wrong_pins = tries::prefix(key, &account.name);
        self.decide(async move |tx, context| {
            let own = ["password", "car-code"].map(|what| format!("{what}:{}", hex::encode(id.0)));
            let mut all = Vec::new();
            for key in own {
                tx.lock(Lock::Attempts(key.clone())).await?;
                all.push(Change::SetAttempts(key, None));
            }
            tx.lock(Lock::Attempts(tries::everywhere(&wrong_pins)))
                .await?;
            all.push(Change::ForgetAttempts(wrong_pins.clone()));
            let detail = format!("account {}", hex::encode(id.0));
            let why = Some(reason.clone());
            all.push(context.audit_because("operator", "user unlocked", detail, why));
            Ok((changes(all), ()))
        })
        .await?;
        let row = json!({"name": account.name, "account": id_text(id.0), "unlocked": true});
        show(vec![row], self.json)
    }

    pub(super) async fn preference(&self, command: PreferenceCommand) -> Result<(), Failure> {
        let (user, name, value) = match command {
            PreferenceCommand::List { user } => (user, None, None),
            PreferenceCommand::Set { user, name, value } => (user, Some(name), Some(value)),
            PreferenceCommand::Remove { user, name } => (user, Some(name), None),
        };
        let id = self.user(&user).await?.id;
        if let Some(name) = name {
            if !is_preference_name(&name) || value.as_deref().is_some_and(|v| !is_preference(v)) {
                return Err(Failure::usage(
                    "a preference has a name of 1 to 64 lower-case letters, digits and . - _, and a printable value of at most 128 bytes",
                ));
            }
            self.decide(async move |tx, context| {
                tx.lock(Lock::Account(id)).await?;
                let now = tx.preferences(id).await?;
                let known = now.iter().any(|(n, _)| *n == name);
                if value.is_none() && !known {
                    return Err(Failure::new(format!(
                        "{user} has no preference {name:?}; `user preference list {user}` shows all"
                    )));
                }
                if !known && now.len() >= MAX_ENTRIES {
                    return Err(Failure::new(format!(
                        "{user} has {MAX_ENTRIES} preferences already; remove one first"
                    )));
                }
                let change = FleetChange::SetPreference(id, name.clone(), value.clone());
                let audit = about(context, id.0, "preference changed");
                Ok((changes(vec![Change::Fleet(change), audit]), ()))
            })
            .await?;
        }
        let preferences = async move |tx: &Tx<'_>| tx.preferences(id).await;
        let rows = self.store.read(preferences).await?;
        let rows = rows.iter().map(|(n, v)| json!({"name": n, "value": v}));
        show(rows.collect(), self.json)
    }

    /// The user of this name.
    async fn user(&self, name: &str) -> Result<Account, Failure> {
        let name = name.to_owned();
        self.look(async move |tx| account(tx, &name).await).await
    }
}

fn about(context: &Context, account: aid_id::Id, action: &'static str) -> Change {
    let detail = format!("account {}", hex::encode(account));
    context.audit("operator", action, detail)
}
