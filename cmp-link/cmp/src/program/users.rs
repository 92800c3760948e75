//! Users on the command line: what is asked for without an echo, and their preferences.

use super::admin::Admin;
use crate::operator::{self, NewUser, Refusal, changes};
use crate::service::{is_preference, is_preference_name};
use crate::store::Tx;
use aid_cli::cli::Failure;
use aid_cli::hidden;
use aid_cli::list::show_all;
use aid_cmp_core::change::{Change, FleetChange, Lock};
use aid_id::Secret;
use aid_wire::MAX_ENTRIES;
use clap::{Args, Subcommand};
use serde_json::json;
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
pub(super) fn from_stdin(what: &str) -> Result<Secret, Failure> {
    let text = hidden::secret(&format!("{what}: "));
    let text = text.map_err(|e| Failure::new(format!("cannot read the {what} from stdin: {e}")))?;
    Ok(Secret::new(text))
}

/// A new user with password, and PIN where one is given.
pub(super) fn new_user(user: UserAdd) -> Result<NewUser, Failure> {
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
    Ok(NewUser {
        name: user.name,
        display_name: user.display_name,
        password,
        pin,
    })
}

impl Admin<'_> {
    pub(super) async fn preference(&self, command: PreferenceCommand) -> Result<(), Failure> {
        let (user, name, value) = match command {
            PreferenceCommand::List { user } => (user, None, None),
            PreferenceCommand::Set { user, name, value } => (user, Some(name), Some(value)),
            PreferenceCommand::Remove { user, name } => (user, Some(name), None),
        };
        let id = self.operator.user(&user).await?.id;
        if let Some(name) = name {
            if !is_preference_name(&name) || value.as_deref().is_some_and(|v| !is_preference(v)) {
                return Err(Failure::usage(
                    "a preference has a name of 1 to 64 lower-case letters, digits and . - _, and a printable value of at most 128 bytes",
                ));
            }
            self.operator.decide(async move |tx, context| {
                tx.lock(Lock::Account(id)).await?;
                let now = tx.preferences(id).await?;
                let known = now.iter().any(|(n, _)| *n == name);
                if value.is_none() && !known {
                    return Err(Refusal::conflict(format!(
                        "{user} has no preference {name:?}; `user preference list {user}` shows all"
                    )));
                }
                if !known && now.len() >= MAX_ENTRIES {
                    return Err(Refusal::conflict(format!(
                        "{user} has {MAX_ENTRIES} preferences already; remove one first"
                    )));
                }
                let change = FleetChange::SetPreference(id, name.clone(), value.clone());
                let audit = operator::about(context, id.0, "preference changed");
                Ok((changes(vec![Change::Fleet(change), audit]), ()))
            })
            .await?;
        }
        let preferences = async move |tx: &Tx<'_>| tx.preferences(id).await;
        let rows = self.store().read(preferences).await?;
        let rows = rows.iter().map(|(n, v)| json!({"name": n, "value": v}));
        show_all(&["name", "value"], rows.collect(), self.json)
    }
}
