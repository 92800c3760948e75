//! Who signs in at the operator's console: by password, charged and judged as at the portal, or by a client certificate
//! that TLS has verified.

use super::attempts::count;
use super::{Service, now, random};
use crate::operator::{hash_of_key, member_lock};
use crate::password::{self, Busy};
use crate::store::{StoreError, Stored, Tx};
use aid_cmp_core::change::{Change, DeskChange, Lock};
use aid_cmp_core::decide::{Context, login};
use aid_cmp_core::model::Member;
use aid_id::Secret;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

/// How long a session of the console lasts, ms: a day's work.
pub const SESSION_MS: u64 = 10 * 3600 * 1000;

/// Why somebody was not let in at the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotIn {
    /// The password is wrong, or nobody has this name.
    Wrong,
    /// Too many attempts; minutes to wait.
    Locked(u64),
    /// Too many others wait; nothing was judged.
    Busy(Busy),
}

/// Where attempts at a name are counted: of names that nobody has only a hash is stored.
fn attempts_of(name: &str) -> String {
    format!("desk:{}", hex::encode(Sha256::digest(name.as_bytes())))
}

impl Service {
    /// Lets somebody in by name and password; yields the cookie of the new session.
    ///
    /// # Errors
    /// The store failed.
    pub async fn sign_in_member(
        self: &Arc<Self>,
        name: &str,
        secret: &Secret,
    ) -> Stored<Result<String, NotIn>> {
        let name = name.trim().to_lowercase();
        let key = attempts_of(&name);
        let look = key.clone();
        let attempts = self.look(async move |_, tx| tx.attempts(&look).await);
        if let Some(minutes) = login::locked(attempts.await?.as_ref(), now()) {
            return Ok(Err(self.kept_out(&name, NotIn::Locked(minutes)).await?));
        }
        let mut permit = match password::permit().await {
            Ok(permit) => permit,
            Err(busy) => return Ok(Err(self.kept_out(&name, NotIn::Busy(busy)).await?)),
        };
        if let Err(minutes) = self.charge(key.clone()).await? {
            return Ok(Err(self.kept_out(&name, NotIn::Locked(minutes)).await?));
        }
        let look = name.clone();
        let member = self.look(async move |_, tx| tx.member(&look).await).await?;
        let hash = member.as_ref().and_then(|m| m.password.clone());
        let hash = hash.map(|hash| hash.expose().to_owned());
        let fits = permit.verify(hash, secret.expose().to_owned()).await;
        if let Some(member) = member.filter(|_| fits)
            && let Some(cookie) = self.begin_desk_session(member, Some(key)).await?
        {
            return Ok(Ok(cookie));
        }
        Ok(Err(self.kept_out(&name, NotIn::Wrong).await?))
    }

    /// Lets in whoever has this client certificate (SHA-256, hexadecimal); none: nobody has.
    ///
    /// # Errors
    /// The store failed.
    pub async fn sign_in_certificate(self: &Arc<Self>, sha256: &str) -> Stored<Option<String>> {
        match self.member_with(sha256).await? {
            Some(member) => self.begin_desk_session(member, None).await,
            None => Ok(None),
        }
    }

    /// Who has this client certificate (SHA-256, hexadecimal).
    ///
    /// # Errors
    /// The store failed.
    pub async fn member_with(self: &Arc<Self>, sha256: &str) -> Stored<Option<Member>> {
        let sha256 = sha256.to_owned();
        self.look(async move |_, tx| tx.member_with(&sha256).await)
            .await
    }

    /// Begins a session, and yields its cookie; none where the member is not as they were when they were judged.
    async fn begin_desk_session(
        self: &Arc<Self>,
        member: Member,
        attempts: Option<String>,
    ) -> Stored<Option<String>> {
        let cookie = format!("{}{}", hex::encode(random()), hex::encode(random()));
        let hash = hash_of_key(&cookie);
        let who = member.name.clone();
        let begin = async move |tx: &Tx<'_>| {
            if let Some(key) = &attempts {
                tx.lock(Lock::Attempts(key.clone())).await?;
            }
            tx.lock(member_lock(&member.name)).await?;
            // Whoever has the old password or certificate is not let in once it was taken away.
            if tx.member(&member.name).await?.as_ref() != Some(&member) {
                return Ok::<_, StoreError>((Vec::new(), false));
            }
            let at = now();
            let session =
                DeskChange::AddSession(hash.clone(), member.name.clone(), at + SESSION_MS);
            let mut all = vec![Change::Desk(session)];
            if let Some(key) = &attempts {
                all.push(Change::SetAttempts(key.clone(), None));
            }
            Ok((all, true))
        };
        if !self.store.decide(begin).await? {
            tracing::warn!(
                member = who,
                "sign-in at the console refused: the member was changed meanwhile"
            );
            return Ok(None);
        }
        count("console", "accepted");
        tracing::info!(member = who, "sign-in at the console");
        Ok(Some(cookie))
    }

    /// Who is signed in with this cookie.
    ///
    /// # Errors
    /// The store failed.
    pub async fn at_desk(self: &Arc<Self>, cookie: &str) -> Stored<Option<Member>> {
        let hash = hash_of_key(cookie);
        self.look(async move |_, tx| tx.desk_session(&hash, now()).await)
            .await
    }

    /// Ends the session with this cookie.
    ///
    /// # Errors
    /// The store failed.
    pub async fn leave_desk(&self, cookie: &str) -> Stored<()> {
        let end = DeskChange::EndSession(hash_of_key(cookie));
        self.commit(vec![Change::Desk(end)]).await
    }

    /// Notes in log, metrics and, as far as attempts are counted, in the audit trail that somebody was not let in.
    async fn kept_out(self: &Arc<Self>, name: &str, why: NotIn) -> Stored<NotIn> {
        let known = name.to_owned();
        let known = self
            .look(async move |_, tx| tx.member(&known).await)
            .await?;
        // What somebody typed who is nobody here may be a password.
        let who = known.map_or_else(|| "a name that nobody has".to_owned(), |m| m.name);
        match why {
            NotIn::Wrong => {
                count("console", "wrong");
                tracing::warn!(%who, "sign-in at the console refused: wrong name or password");
                let context: Context = self.context();
                let reason = Some("wrong name or password".to_owned());
                let detail = format!("console: {who}");
                self.commit(vec![context.audit_because(
                    "console",
                    "login refused",
                    detail,
                    reason,
                )])
                .await?;
            }
            NotIn::Locked(minutes) => {
                count("console", "locked");
                tracing::warn!(%who, minutes, "sign-in at the console refused: too many attempts");
            }
            NotIn::Busy(_) => count("console", "busy"),
        }
        Ok(why)
    }
}
