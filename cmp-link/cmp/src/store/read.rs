//! What a decision, a page or a command reads. Of a subject that a decision changes it reads after [`Tx::lock`], which the
//! `locked_...` reads do themselves.

mod cars;
mod links;
mod people;
mod search;
mod subscriptions;
mod work;

use super::row::{self, select_federation, select_onboarding};
use super::{Stored, Tx};
use aid_cmp_core::change::Lock;
use aid_cmp_core::model::{Account, Federation, Onboarding, Vehicle};
use aid_id::{AccountRef, Eid, Id, MspToken};
use aid_store::{Engine, Statement, Value, params};

impl Tx<'_> {
    /// The federation of an MSP and token, with its user locked. As many reads whether there is one or not.
    ///
    /// # Errors
    /// The database failed.
    pub async fn locked_federation(
        &self,
        msp: &str,
        token: MspToken,
    ) -> Stored<Option<Federation>> {
        let owner = "SELECT id FROM account WHERE id = (SELECT account FROM federation \
             WHERE msp = $1 AND token = $2) FOR NO KEY UPDATE";
        let by = params![msp, *token.as_bytes()];
        self.lock_owner(owner, by).await?;
        self.owned_federation(select_federation!("WHERE msp = $1 AND token = $2"), by)
            .await
    }

    /// A federation, with its user locked.
    ///
    /// # Errors
    /// The database failed.
    pub async fn locked_federation_by_id(&self, id: Id) -> Stored<Option<Federation>> {
        let owner = "SELECT id FROM account WHERE id = (SELECT account FROM federation \
             WHERE id = $1) FOR NO KEY UPDATE";
        self.lock_owner(owner, params![id]).await?;
        self.owned_federation(select_federation!("WHERE id = $1"), params![id])
            .await
    }

    /// An onboarding by its `sid`, with its user locked.
    ///
    /// # Errors
    /// The database failed.
    pub async fn locked_onboarding(&self, sid: Id) -> Stored<Option<Onboarding>> {
        let owner = "SELECT id FROM account WHERE id = (SELECT account FROM onboarding \
             WHERE sid = $1) FOR NO KEY UPDATE";
        self.lock_owner(owner, params![sid]).await?;
        let sql = select_onboarding!("WHERE sid = $1");
        let found = self.tx.first(sql, params![sid], row::onboarding).await?;
        if let Some(onboarding) = &found {
            self.owned(onboarding.sid, onboarding.account);
            self.lock_on_sqlite(onboarding.account);
        }
        Ok(found)
    }

    /// A user, locked.
    ///
    /// # Errors
    /// The database failed.
    pub async fn locked_account(&self, id: AccountRef) -> Stored<Option<Account>> {
        self.lock(Lock::Account(id)).await?;
        self.account(id).await
    }

    /// A car, locked.
    ///
    /// # Errors
    /// The database failed.
    pub async fn locked_vehicle(&self, eid: Eid) -> Stored<Option<Vehicle>> {
        self.lock(Lock::Vehicle(eid)).await?;
        self.vehicle(eid).await
    }

    /// Locks the user whom this statement finds and locks. The owner never changes, and what it owns is read by the next
    /// statement, which sees what was committed while this one waited.
    async fn lock_owner(&self, sql: &'static str, values: &[Value<'_>]) -> Stored<()> {
        if self.tx.engine() == Engine::Sqlite {
            return Ok(());
        }
        let owner = self.tx.first(sql, values, |row| row.id()).await?;
        if let Some(id) = owner {
            let lock = Lock::Account(AccountRef(id));
            self.reserve(&lock).await;
            self.locks.borrow_mut().insert(lock);
        }
        Ok(())
    }

    async fn owned_federation(
        &self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Stored<Option<Federation>> {
        let found = self.tx.first(sql, values, row::federation).await?;
        if let Some(federation) = &found {
            self.owned(federation.id, federation.account);
            self.lock_on_sqlite(federation.account);
        }
        Ok(found)
    }

    /// SQLite makes one decision at a time: everything is locked already.
    fn lock_on_sqlite(&self, account: AccountRef) {
        if self.tx.engine() == Engine::Sqlite {
            self.locks.borrow_mut().insert(Lock::Account(account));
        }
    }
}

/// Locks a row until the end of the transaction. SQLite makes one decision at a time and has nothing to do.
pub(super) async fn lock(tx: &aid_store::Tx<'_>, lock: &Lock) -> Stored<()> {
    if tx.engine() == Engine::Sqlite {
        return Ok(());
    }
    match lock {
        Lock::Account(id) => {
            let sql = "SELECT 1 FROM account WHERE id = $1 FOR NO KEY UPDATE";
            tx.exists(sql, params![id.0]).await?;
        }
        Lock::Vehicle(eid) => {
            let sql = "SELECT 1 FROM vehicle WHERE eid = $1 FOR NO KEY UPDATE";
            tx.exists(sql, params![eid.as_str()]).await?;
        }
        // The profile may have no row yet. Whoever inserts the same key waits for the end of this transaction, and then
        // finds none: nothing stays behind.
        Lock::Profile(iccid) => {
            let keys = [
                "INSERT INTO profile_lock (iccid) VALUES ($1)",
                "DELETE FROM profile_lock WHERE iccid = $1",
            ];
            let values = vec![Value::from(iccid.to_string())];
            tx.lock(&keys.map(|sql| Statement {
                sql,
                values: values.clone(),
            }))
            .await?;
        }
        // There may be no row yet; one without attempts is the same as none.
        Lock::Attempts(key) => {
            let sql = "INSERT INTO attempt (key, count, since) VALUES ($1, 0, 0) \
                 ON CONFLICT (key) DO UPDATE SET count = attempt.count";
            let values = vec![Value::from(key.clone())];
            tx.lock(&[Statement { sql, values }]).await?;
        }
    }
    Ok(())
}
