//! Users who sign in with another identity provider (OpenID Connect): the account of an identity, made at the first time
//! where that is allowed, and the identities of an account. Accounts are found by issuer and subject only: names and
//! addresses at a provider change hands.

use super::attempts::count;
use super::web::{SESSION_MS, cookie_hash};
use super::{Changed, Service, fresh, random};
use crate::names;
use crate::openid::Claims;
use crate::password;
use crate::store::{StoreError, Stored, Tx};
use aid_cmp_core::change::{Change, Lock, PortalChange};
use aid_cmp_core::decide::{Context, Decision, removal};
use aid_cmp_core::model::{Account, Identity, PortalSession};
use aid_id::{AccountRef, Secret};
use std::sync::Arc;

/// Most identities of an account.
const MAX_IDENTITIES: usize = 8;

/// How a sign-in with an identity ended.
#[derive(Debug)]
pub enum Entered {
    /// The cookie's value.
    Welcome(Secret),
    /// Nobody has this identity, and no account is made for it.
    Unknown,
    /// Enough accounts were made in this hour.
    Full,
}

impl Service {
    /// Signs in who has this identity; makes the account where nobody has it and `register` allows that.
    ///
    /// # Errors
    /// The store failed.
    pub async fn enter(self: &Arc<Self>, claims: &Claims, register: bool) -> Stored<Entered> {
        let (issuer, subject) = (claims.issuer.clone(), claims.subject.clone());
        let known = self.look(async move |_, tx| tx.identity(&issuer, &subject).await);
        if known.await?.is_none() {
            if !register {
                count("openid", "unknown");
                tracing::warn!("sign-in by OpenID Connect refused: nobody has this identity");
                return Ok(Entered::Unknown);
            }
            if self.charge_provided().await?.is_err() {
                return Ok(Entered::Full);
            }
        }
        let cookie = hex::encode([random(), random()].concat());
        let (claims, hash) = (claims.clone(), cookie_hash(&cookie));
        let id = AccountRef(fresh());
        let decide = async move |_: &Self, tx: &Tx<'_>, context: &Context| {
            let mut decision = Decision::default();
            let account = match tx.identity(&claims.issuer, &claims.subject).await? {
                Some(identity) => identity.account,
                None => {
                    let account = new_account(tx, &claims, id, context.now).await?;
                    decision.changes.extend([
                        Change::AddAccount(account),
                        Change::Portal(PortalChange::AddIdentity(identity(&claims, id, context))),
                        audit(context, id, "registered by OpenID Connect"),
                    ]);
                    id
                }
            };
            decision.changes.push(Change::AddSession(PortalSession {
                token_hash: hash.clone(),
                account,
                expires_at: context.now + SESSION_MS,
            }));
            Ok::<_, StoreError>((decision, ()))
        };
        self.decide(decide).await?;
        count("openid", "accepted");
        Ok(Entered::Welcome(Secret::new(cookie)))
    }

    /// The identities with which a user signs in.
    ///
    /// # Errors
    /// The store failed.
    pub async fn identities(self: &Arc<Self>, account: AccountRef) -> Stored<Vec<Identity>> {
        self.look(async move |_, tx| tx.identities(account).await)
            .await
    }

    /// The user signs in with this identity, too.
    ///
    /// # Errors
    /// The store failed.
    pub async fn add_identity(
        self: &Arc<Self>,
        account: AccountRef,
        claims: &Claims,
    ) -> Stored<Changed> {
        let claims = claims.clone();
        let decide = async move |_: &Self, tx: &Tx<'_>, context: &Context| {
            let user = tx.locked_account(account).await?;
            if user.is_none_or(|user| removal::is_erased(&user)) {
                return Ok((Decision::default(), Changed::Wrong));
            }
            let mut decision = Decision::default();
            match tx.identity(&claims.issuer, &claims.subject).await? {
                Some(known) if known.account == account => return Ok((decision, Changed::Done)),
                Some(_) => return Ok((decision, Changed::Unusable("wrong-identity-taken"))),
                None => {}
            }
            if tx.identities(account).await?.len() >= MAX_IDENTITIES {
                return Ok((decision, Changed::Unusable("wrong-identities")));
            }
            decision.changes.extend([
                Change::Portal(PortalChange::AddIdentity(identity(
                    &claims, account, context,
                ))),
                audit(context, account, "identity added"),
            ]);
            Ok::<_, StoreError>((decision, Changed::Done))
        };
        self.decide(decide).await
    }

    /// The user signs in with this identity no longer. The last way in stays.
    ///
    /// # Errors
    /// The store failed.
    pub async fn remove_identity(
        self: &Arc<Self>,
        account: AccountRef,
        issuer: &str,
        subject: &str,
    ) -> Stored<Changed> {
        let (issuer, subject) = (issuer.to_owned(), subject.to_owned());
        let decide = async move |_: &Self, tx: &Tx<'_>, context: &Context| {
            let user = tx.locked_account(account).await?;
            let mut decision = Decision::default();
            let Some(user) = user.filter(|user| !removal::is_erased(user)) else {
                return Ok((decision, Changed::Wrong));
            };
            let all = tx.identities(account).await?;
            if password::is_none(&user.password) && all.len() < 2 {
                return Ok((decision, Changed::Unusable("wrong-last-way-in")));
            }
            let removed = PortalChange::RemoveIdentity(account, issuer.clone(), subject.clone());
            decision.changes.extend([
                Change::Portal(removed),
                audit(context, account, "identity removed"),
            ]);
            Ok::<_, StoreError>((decision, Changed::Done))
        };
        self.decide(decide).await
    }
}

fn identity(claims: &Claims, account: AccountRef, context: &Context) -> Identity {
    Identity {
        issuer: claims.issuer.clone(),
        subject: claims.subject.clone(),
        account,
        since: context.now,
    }
}

fn audit(context: &Context, account: AccountRef, action: &'static str) -> Change {
    let who = format!("account {}", hex::encode(account.0));
    context.audit(who, action, String::new())
}

/// An account for an identity, under a name that nobody has: the one that the provider says, or that with a number, or the
/// account's own id.
async fn new_account(tx: &Tx<'_>, claims: &Claims, id: AccountRef, now: u64) -> Stored<Account> {
    tx.lock(Lock::Account(id)).await?;
    let wanted = claims.name.as_deref().and_then(names::sign_in_name);
    let mut name = format!("user-{}", uuid::Uuid::from_bytes(id.0).simple());
    if let Some(wanted) = wanted {
        for at in 1..=20 {
            let candidate = match at {
                1 => wanted.clone(),
                _ => format!("{wanted}-{at}"),
            };
            if tx.account_named(&candidate).await?.is_none() {
                name = candidate;
                break;
            }
        }
    }
    let shown = claims.shown.as_deref().and_then(names::shown_name);
    let shown = shown
        .or_else(|| names::shown_name(&name))
        .unwrap_or("Driver");
    Ok(Account {
        id,
        display_name: shown.to_owned(),
        name,
        password: password::none(),
        pin_mac: None,
        created_at: now,
    })
}
