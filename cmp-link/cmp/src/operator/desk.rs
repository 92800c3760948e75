//! Who works at the desk: API keys, people at the console, addresses that hear of orders and alarms.

use super::{Operator, Refusal, changes, id_text, time};
use crate::names;
use crate::service::{fresh, random};
use crate::store::Tx;
use aid_cmp_core::change::{Change, DeskChange, Lock};
use aid_cmp_core::model::{ApiKey, Member, Role, Webhook};
use aid_id::Secret;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// What a key begins with, so that a scanner finds one that was committed somewhere.
const MARK: &str = "aidcmp_";

/// A new secret of 244 random bits.
fn secret() -> String {
    format!("{}{}", hex::encode(random()), hex::encode(random()))
}

/// What is stored of a key or cookie. They are random, so that a plain hash says nothing of them.
#[must_use]
pub fn hash_of_key(key: &str) -> String {
    hex::encode(Sha256::digest(key.as_bytes()))
}

fn key_row(k: &ApiKey) -> Value {
    json!({
        "id": id_text(k.id), "name": k.name, "role": k.role.as_str(),
        "created_at": time(k.created_at), "revoked_at": time(k.revoked_at),
    })
}

fn member_row(m: &Member) -> Value {
    json!({
        "name": m.name, "role": m.role.as_str(), "password": m.password.is_some(),
        "certificate": m.certificate, "created_at": time(m.created_at),
    })
}

fn webhook_row(w: &Webhook) -> Value {
    json!({"id": id_text(w.id), "url": w.url, "created_at": time(w.created_at)})
}

/// A member is changed and let in one after the other. A row of attempts without an attempt is a lock for whatever its key
/// names.
pub(crate) fn member_lock(name: &str) -> Lock {
    Lock::Attempts(format!("member:{name}"))
}

/// A name for the audit trail: what others write there is not forged by it.
fn desk_name(text: &str) -> Result<String, Refusal> {
    const TAKEN: [&str; 6] = ["operator", "cmp", "car", "console", "portal", "user"];
    let name = text.trim();
    let is_free = !TAKEN.contains(&name.to_lowercase().as_str()) && !name.contains('/');
    if names::is_plain(name) && name.chars().count() <= 64 && is_free {
        return Ok(name.to_owned());
    }
    Err(Refusal::invalid(format!(
        "a name at the desk has 1 to 64 printable characters without a slash, and is none of {}",
        TAKEN.join(", ")
    )))
}

impl Operator<'_> {
    /// Makes an API key, which is in this answer and never shown again.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn add_key(&self, name: &str, role: Role) -> Result<Value, Refusal> {
        let name = desk_name(name)?;
        let key = format!("{MARK}{}", secret());
        let (id, hash) = (fresh(), hash_of_key(&key));
        let row = self
            .decide(async move |_, context| {
                let added = ApiKey {
                    id,
                    name: name.clone(),
                    role,
                    hash: hash.clone(),
                    created_at: context.now,
                    revoked_at: None,
                };
                let detail = format!("key {} of {name}, {}", id_text(id), role.as_str());
                let row = key_row(&added);
                let audit = context.audit("operator", "API key added", detail);
                let added = Change::Desk(DeskChange::AddKey(added));
                Ok((changes(vec![added, audit]), row))
            })
            .await?;
        let mut row = row;
        row["key"] = key.into();
        Ok(row)
    }

    /// All API keys.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn keys(&self) -> Result<Vec<Value>, Refusal> {
        let keys = self.store.read(async |tx| tx.api_keys().await).await?;
        Ok(keys.iter().map(key_row).collect())
    }

    /// Lets a key open nothing any more.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn revoke_key(&self, id: Uuid) -> Result<Value, Refusal> {
        self.decide(async move |tx: &Tx<'_>, context| {
            let keys = tx.api_keys().await?;
            let found = keys.into_iter().find(|k| k.id == id.into_bytes());
            let mut key = found.ok_or_else(|| {
                Refusal::unknown(format!("there is no key {id}; `key list` shows all"))
            })?;
            if key.revoked_at.is_some() {
                return Err(Refusal::conflict(format!("key {id} is revoked already")));
            }
            key.revoked_at = Some(context.now);
            let detail = format!("key {id} of {}", key.name);
            let revoked = vec![
                Change::Desk(DeskChange::RevokeKey(key.id, context.now)),
                context.audit("operator", "API key revoked", detail),
            ];
            Ok((changes(revoked), key_row(&key)))
        })
        .await
    }

    /// Lets somebody sign in at the console, or changes how; all their sessions end. `certificate` is the SHA-256 of their
    /// client certificate, hexadecimal.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn put_member(
        &self,
        name: &str,
        role: Role,
        password: Option<&Secret>,
        certificate: Option<String>,
    ) -> Result<Value, Refusal> {
        let name = desk_name(name)?.to_lowercase();
        let password = password.map(super::people::hash_of).transpose()?;
        if password.is_none() && certificate.is_none() {
            return Err(Refusal::invalid("give a password, a certificate or both"));
        }
        self.decide(async move |tx: &Tx<'_>, context| {
            tx.lock(member_lock(&name)).await?;
            if let Some(certificate) = &certificate
                && let Some(other) = tx.member_with(certificate).await?
                && other.name != name
            {
                return Err(Refusal::conflict(format!(
                    "this certificate is that of {}; each has their own",
                    other.name
                )));
            }
            let member = Member {
                name: name.clone(),
                role,
                password: password.clone(),
                certificate: certificate.clone(),
                created_at: context.now,
            };
            let row = member_row(&member);
            let detail = format!("{name}, {}", role.as_str());
            let put = vec![
                Change::Desk(DeskChange::PutMember(member)),
                context.audit("operator", "console access given", detail),
            ];
            Ok((changes(put), row))
        })
        .await
    }

    /// Everybody who signs in at the console.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn members(&self) -> Result<Vec<Value>, Refusal> {
        let members = self.store.read(async |tx| tx.members().await).await?;
        Ok(members.iter().map(member_row).collect())
    }

    /// Lets nobody of this name sign in at the console any more.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn remove_member(&self, name: &str) -> Result<Value, Refusal> {
        let name = name.trim().to_lowercase();
        self.decide(async move |tx: &Tx<'_>, context| {
            tx.lock(member_lock(&name)).await?;
            let member = tx.member(&name).await?.ok_or_else(|| {
                Refusal::unknown(format!(
                    "nobody at the console is called {name:?}; `member list` shows all"
                ))
            })?;
            let removed = vec![
                Change::Desk(DeskChange::RemoveMember(name.clone())),
                context.audit("operator", "console access taken", name.clone()),
            ];
            Ok((changes(removed), member_row(&member)))
        })
        .await
    }

    /// Lets an address hear of orders and alarms. The key of the signatures is in this answer and never shown again.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn add_webhook(&self, url: &str) -> Result<Value, Refusal> {
        aid_aid1::agreed::page("url", url).map_err(Refusal::Invalid)?;
        if self.file.webhooks.is_none() {
            return Err(Refusal::conflict(
                "nobody is called: the configuration has no [webhooks]",
            ));
        }
        let (id, key, url) = (fresh(), secret(), url.to_owned());
        let webhook = Webhook {
            id,
            url,
            secret: Secret::new(key.clone()),
            created_at: crate::service::now(),
        };
        let mut row = webhook_row(&webhook);
        self.decide(async move |_, context| {
            let detail = format!("webhook {} at {}", id_text(id), webhook.url);
            let added = vec![
                Change::Desk(DeskChange::AddWebhook(webhook.clone())),
                context.audit("operator", "webhook added", detail),
            ];
            Ok((changes(added), ()))
        })
        .await?;
        row["secret"] = key.into();
        Ok(row)
    }

    /// All addresses that hear of orders and alarms.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn webhooks(&self) -> Result<Vec<Value>, Refusal> {
        let webhooks = self.store.read(async |tx| tx.webhooks().await).await?;
        Ok(webhooks.iter().map(webhook_row).collect())
    }

    /// Lets an address hear nothing any more; what it has not heard is dropped.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn remove_webhook(&self, id: Uuid) -> Result<Value, Refusal> {
        self.decide(async move |tx: &Tx<'_>, context| {
            let all = tx.webhooks().await?;
            let found = all.iter().find(|w| w.id == id.into_bytes());
            let webhook = found.ok_or_else(|| {
                Refusal::unknown(format!(
                    "there is no webhook {id}; `webhook list` shows all"
                ))
            })?;
            let detail = format!("webhook {id} at {}", webhook.url);
            let removed = vec![
                Change::Desk(DeskChange::RemoveWebhook(webhook.id)),
                context.audit("operator", "webhook removed", detail),
            ];
            Ok((changes(removed), webhook_row(webhook)))
        })
        .await
    }
}
