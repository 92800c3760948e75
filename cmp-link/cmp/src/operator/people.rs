//! Users: what an operator does for those who can't do it themselves.

use super::links::{order_count, profile_rows};
use super::{Listed, Operator, Refusal, account, changes, id_text, place, time};
use crate::service::{fresh, is_pin, now};
use crate::store::Tx;
use crate::{names, password, views};
use aid_cmp_core::change::{Change, Lock, PortalChange};
use aid_cmp_core::decide::login::pin_mac;
use aid_cmp_core::decide::{Context, tries};
use aid_cmp_core::model::{Account, UserNotice};
use aid_id::{AccountRef, Secret};
use serde_json::{Value, json};

/// A new user.
#[derive(Debug)]
pub struct NewUser {
    /// Name to sign in with; upper and lower case are the same.
    pub name: String,
    /// What the car shows; none: the name.
    pub display_name: Option<String>,
    /// Password of the portal.
    pub password: Secret,
    /// PIN for cars; none: no login by PIN.
    pub pin: Option<Secret>,
}

/// The hash of a new password.
///
/// # Errors
/// It is too short or too long.
pub(crate) fn hash_of(text: &Secret) -> Result<Secret, Refusal> {
    let length = text.expose().len();
    if !password::LENGTH.contains(&length) {
        let (least, most) = (password::LENGTH.start(), password::LENGTH.end());
        return Err(Refusal::invalid(format!(
            "the password must have {least} to {most} bytes, got {length}"
        )));
    }
    password::hash(text.expose())
        .ok_or_else(|| Refusal::conflict("the password could not be hashed; try another"))
}

/// Judges a PIN.
fn check_pin(pin: &Secret) -> Result<(), Refusal> {
    match is_pin(pin.expose()) {
        true => Ok(()),
        false => Err(Refusal::invalid("the PIN must have 4 to 16 digits")),
    }
}

impl Operator<'_> {
    /// A user with links, vehicles and notices.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn show_user(&self, name: &str) -> Result<Value, Refusal> {
        let name = name.to_owned();
        let read = async move |tx: &Tx<'_>| {
            let account = account(tx, &name).await?;
            let mut links = Vec::new();
            for federation in tx.federations(account.id).await? {
                let profiles = tx.profiles(federation.id).await?;
                let doubt = tx.doubt(federation.id).await?;
                links.push(json!({
                    "doubtful_since": time(doubt.map(|d| d.since)),
                    "federation": id_text(federation.id), "msp": federation.msp,
                    "subscription_type": federation.kind.as_str(), "since": time(federation.since),
                    "ended_at": time(federation.ended_at), "ended_reason": federation.ended_reason,
                    "profiles": profile_rows(tx, &profiles).await?,
                }));
            }
            let cars = tx.cars_of(account.id).await?;
            let notices = tx.notices(account.id).await?;
            let notice = |n: &UserNotice| json!({"at": time(n.at), "kind": n.kind.as_str(), "detail": n.detail});
            Ok(json!({
                "name": account.name, "account": id_text(account.id.0),
                "display_name": account.display_name, "has_pin": account.pin_mac.is_some(),
                "created_at": time(account.created_at), "federations": links,
                "vehicles": cars.iter().map(|e| e.as_str()).collect::<Vec<_>>(),
                "notices": notices.iter().map(notice).collect::<Vec<_>>(),
            }))
        };
        self.look(read).await
    }

    /// Forgets a user: links end, profiles are deleted.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn erase_user(&self, name: &str, reason: String) -> Result<Value, Refusal> {
        let (name, key) = (name.to_owned(), self.pin_key());
        let erase = async move |tx: &Tx<'_>, context: &Context| {
            // The cars first, as their own messages do: the sessions there end.
            let id = account(tx, &name).await?.id;
            for eid in tx.sessions(id).await? {
                tx.lock(Lock::Vehicle(eid)).await?;
            }
            tx.lock(Lock::Account(id)).await?;
            let account = account(tx, &name).await?;
            let mut decision = views::erasure(tx, context, &account, Some(reason.clone())).await?;
            let wrong_pins = tries::prefix(&key, &account.name);
            tx.lock(Lock::Attempts(tries::everywhere(&wrong_pins)))
                .await?;
            decision.changes.push(Change::ForgetAttempts(wrong_pins));
            let orders = order_count(&decision);
            let row = json!({"account": id_text(account.id.0), "erased": true, "orders": orders});
            Ok((decision, row))
        };
        let row = self.decide(erase).await?;
        // The name is gone from the tables; it must not stay in the log of the file either.
        if !self.store.empty_log().await? {
            tracing::warn!(
                "the log of the database still holds what was erased; run the command `migrate` when the server is idle"
            );
        }
        Ok(row)
    }

    /// Another password: who had the old one is signed out everywhere, and may try at once. The identities of the user at
    /// other providers are removed, unless `keep_identities` is set: whoever had the account may have added their own.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn set_password(
        &self,
        name: &str,
        password: &Secret,
        keep_identities: bool,
    ) -> Result<Value, Refusal> {
        let account = self.user(name).await?;
        let hash = hash_of(password)?;
        let id = account.id;
        let removed = self
            .decide(async move |tx, context| {
                let attempts = format!("password:{}", hex::encode(id.0));
                tx.lock(Lock::Account(id)).await?;
                tx.lock(Lock::Attempts(attempts.clone())).await?;
                // Whoever had the account meanwhile may have added an identity of their own.
                let identities = match keep_identities {
                    true => Vec::new(),
                    false => tx.identities(id).await?,
                };
                let removed = identities.len();
                let mut set = vec![
                    Change::Portal(PortalChange::Password(id, hash.clone())),
                    context.revoke_verifiers(id),
                    // No cookie has an empty hash: all sessions end.
                    Change::Portal(PortalChange::EndSessions(id, String::new())),
                    Change::SetAttempts(attempts, None),
                    about(context, id.0, "password set"),
                ];
                for one in identities {
                    let removed = PortalChange::RemoveIdentity(id, one.issuer, one.subject);
                    set.push(Change::Portal(removed));
                    set.push(about(context, id.0, "identity removed"));
                }
                Ok((changes(set), removed))
            })
            .await?;
        Ok(json!({
            "name": account.name, "account": id_text(id.0), "password": "set", "identities_removed": removed,
        }))
    }

    /// Another PIN for cars, or none.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn set_pin(&self, name: &str, pin: Option<&Secret>) -> Result<Value, Refusal> {
        let account = self.user(name).await?;
        let (id, key) = (account.id, &self.pin_key());
        pin.map_or(Ok(()), check_pin)?;
        let mac = pin.map(|pin| pin_mac(key, id, pin.expose()));
        let has_pin = mac.is_some();
        let wrong_pins = tries::prefix(key, &account.name);
        self.decide(async move |tx, context| {
            tx.lock(Lock::Account(id)).await?;
            tx.lock(Lock::Attempts(tries::everywhere(&wrong_pins)))
                .await?;
            let set = vec![
                Change::Portal(PortalChange::Pin(id, mac.clone())),
                context.revoke_verifiers(id),
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
        Ok(row)
    }

    /// Takes back the attempts at a user's secrets: at the portal, in all cars, and at login codes.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn unlock_user(&self, name: &str, reason: String) -> Result<Value, Refusal> {
        let key = &self.pin_key();
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
        Ok(row)
    }
    /// The user of this name.
    pub(crate) async fn user(&self, name: &str) -> Result<Account, Refusal> {
        let name = name.to_owned();
        self.look(async move |tx| account(tx, &name).await).await
    }

    /// Adds a user.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn add_user(&self, user: NewUser) -> Result<Value, Refusal> {
        let key = &self.pin_key();
        let Some(name) = names::sign_in_name(&user.name) else {
            return Err(Refusal::invalid(
                "a user's name has 1 to 128 printable characters, and does not begin with erased/",
            ));
        };
        let shown = user.display_name.as_deref().unwrap_or(&user.name);
        let shown = shown.chars().take(names::MAX_SHOWN).collect::<String>();
        let Some(display_name) = names::shown_name(&shown) else {
            return Err(Refusal::invalid("the display name must be printable"));
        };
        user.pin.as_ref().map_or(Ok(()), check_pin)?;
        let (hash, pin) = (hash_of(&user.password)?, user.pin);
        let id = AccountRef(fresh());
        let account = Account {
            id,
            name,
            display_name: display_name.to_owned(),
            password: hash,
            pin_mac: pin.map(|pin| pin_mac(key, id, pin.expose())),
            created_at: now(),
        };
        self.decide(async move |tx, context| {
            if tx.account_named(&account.name).await?.is_some() {
                return Err(Refusal::conflict(format!(
                    "there is a user {:?} already; choose another name",
                    account.name
                )));
            }
            let detail = format!("account {}", hex::encode(id.0));
            let audit = context.audit("operator", "user added", detail);
            let added = Change::AddAccount(account.clone());
            let row = json!({"name": account.name, "account": id_text(id.0)});
            Ok((changes(vec![added, audit]), row))
        })
        .await
    }
    /// Users by name.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn users(&self, after: Option<String>, limit: u32) -> Result<Vec<Listed>, Refusal> {
        let row = |a: Account| {
            let row = json!({
                "name": a.name, "account": id_text(a.id.0), "display_name": a.display_name,
                "has_pin": a.pin_mac.is_some(), "created_at": time(a.created_at),
            });
            (a.name, Some(row))
        };
        let after: Option<String> = place(after)?;
        let read = async move |tx: &Tx<'_>| tx.accounts(after.as_deref(), limit).await;
        let users = self.store.read(read).await?;
        Ok(users.into_iter().map(row).collect())
    }
}
/// An entry of the audit trail about a user.
pub(crate) fn about(context: &Context, account: aid_id::Id, action: &'static str) -> Change {
    let detail = format!("account {}", hex::encode(account));
    context.audit("operator", action, detail)
}
