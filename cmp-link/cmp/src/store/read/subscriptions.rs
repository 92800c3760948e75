//! Subscriptions: onboardings, federations, their profiles and their requests for codes.

use crate::store::row::{
    self, select_federation, select_hold, select_onboarding, select_profile, select_request,
    select_sync_run,
};
use crate::store::{Stored, Tx};
use aid_cmp_core::decide::code;
use aid_cmp_core::model::{CodeRequest, Federation, Hold, Onboarding, Profile, SyncRun};
use aid_id::{AccountRef, Eid, Iccid, Id, MspToken};
use aid_store::{Fields, Value, params};

impl Tx<'_> {
    /// What was encrypted under this initialisation vector and key of this MSP: the digest.
    ///
    /// # Errors
    /// The database failed.
    pub async fn iv_used(&self, msp: &str, key_id: &str, iv: &str) -> Stored<Option<String>> {
        let sql = "SELECT digest FROM phone_iv WHERE msp = $1 AND key_id = $2 AND iv = $3";
        let values = params![msp, key_id, iv];
        self.tx.first(sql, values, |row| row.text()).await
    }

    /// An onboarding by its `sid`.
    ///
    /// # Errors
    /// The database failed.
    pub async fn onboarding(&self, sid: Id) -> Stored<Option<Onboarding>> {
        let sql = select_onboarding!("WHERE sid = $1");
        self.one_onboarding(sql, params![sid]).await
    }

    /// An onboarding by the value in its return URL.
    ///
    /// # Errors
    /// The database failed.
    pub async fn onboarding_returning(&self, state: &str) -> Stored<Option<Onboarding>> {
        let sql = select_onboarding!("WHERE return_state = $1");
        self.one_onboarding(sql, params![state]).await
    }

    async fn one_onboarding(
        &self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Stored<Option<Onboarding>> {
        let found = self.tx.first(sql, values, row::onboarding).await?;
        if let Some(onboarding) = &found {
            self.owned(onboarding.sid, onboarding.account);
        }
        Ok(found)
    }

    /// A federation by MSP and token.
    ///
    /// # Errors
    /// The database failed.
    pub async fn federation(&self, msp: &str, token: MspToken) -> Stored<Option<Federation>> {
        let sql = select_federation!("WHERE msp = $1 AND token = $2");
        self.one_federation(sql, params![msp, *token.as_bytes()])
            .await
    }

    /// A federation.
    ///
    /// # Errors
    /// The database failed.
    pub async fn federation_by_id(&self, id: Id) -> Stored<Option<Federation>> {
        let sql = select_federation!("WHERE id = $1");
        self.one_federation(sql, params![id]).await
    }

    async fn one_federation(
        &self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Stored<Option<Federation>> {
        let found = self.tx.first(sql, values, row::federation).await?;
        self.own(found.as_slice());
        Ok(found)
    }

    /// Notes whose federations these are.
    fn own(&self, list: &[Federation]) {
        for federation in list {
            self.owned(federation.id, federation.account);
        }
    }

    /// The federations of a user, or all; oldest first.
    ///
    /// # Errors
    /// The database failed.
    pub async fn federations(&self, of: Option<AccountRef>) -> Stored<Vec<Federation>> {
        let list = match of {
            Some(account) => {
                let sql = select_federation!("WHERE account = $1 ORDER BY since, id");
                let values = params![account.0];
                self.tx.all(sql, values, row::federation).await?
            }
            None => {
                let sql = select_federation!("ORDER BY since, id");
                self.tx.all(sql, &[], row::federation).await?
            }
        };
        self.own(&list);
        Ok(list)
    }

    /// Federations that last for now and whose profiles the MSP was last asked about at `before` or earlier, or after
    /// `latest`, which only a wrong clock can have noted, with that
    /// time (0: never). Oldest first, those behind `after` only, at most `limit`.
    ///
    /// # Errors
    /// The database failed.
    pub async fn sync_due(
        &self,
        before: u64,
        latest: u64,
        after: Option<(u64, Id)>,
        limit: u32,
    ) -> Stored<Vec<(u64, Federation)>> {
        let sql = concat!(
            "SELECT synced_at, ",
            select_federation!(columns),
            " FROM federation WHERE ended_at IS NULL AND (synced_at <= $1 OR synced_at > $5) \
             AND (synced_at, id) > ($2, $3) ORDER BY synced_at, id LIMIT $4"
        );
        let read = |row: &mut Fields<'_>| Ok((row.number()?, row::federation(row)?));
        let (at, id) = behind(after);
        let list = self
            .tx
            .all(sql, params![before, at, id, limit, latest], read)
            .await?;
        for (_, federation) in &list {
            self.owned(federation.id, federation.account);
        }
        Ok(list)
    }

    /// Federations that ended at `ended_before` or earlier. Oldest end first, those behind `after` (the end and the id)
    /// only, at most `limit`.
    ///
    /// # Errors
    /// The database failed.
    pub async fn purge_due(
        &self,
        ended_before: u64,
        after: Option<(u64, Id)>,
        limit: u32,
    ) -> Stored<Vec<Federation>> {
        let sql = select_federation!(
            "WHERE ended_at IS NOT NULL AND ended_at <= $1 AND (ended_at, id) > ($2, $3) \
             ORDER BY ended_at, id LIMIT $4"
        );
        let (at, id) = behind(after);
        let values = params![ended_before, at, id, limit];
        let list = self.tx.all(sql, values, row::federation).await?;
        self.own(&list);
        Ok(list)
    }

    /// The newest synchronisation of each federation, or of this one all; newest first.
    ///
    /// # Errors
    /// The database failed.
    pub async fn sync_runs(&self, of: Option<Id>) -> Stored<Vec<SyncRun>> {
        match of {
            Some(federation) => {
                let sql = select_sync_run!("WHERE federation = $1 ORDER BY at DESC, id");
                self.tx.all(sql, params![federation], row::sync_run).await
            }
            None => {
                let sql = select_sync_run!(
                    "r WHERE NOT EXISTS (SELECT 1 FROM sync_run n WHERE n.federation = r.federation \
                     AND n.at > r.at) ORDER BY at DESC, id"
                );
                self.tx.all(sql, &[], row::sync_run).await
            }
        }
    }

    /// Whether the user deleted their profile in this car and did not ask for another since.
    ///
    /// # Errors
    /// The database failed.
    pub async fn hold(&self, federation: Id, eid: Eid) -> Stored<Option<Hold>> {
        let sql = select_hold!("WHERE federation = $1 AND eid = $2");
        let values = params![federation, eid.as_str()];
        self.tx.first(sql, values, row::hold).await
    }

    /// Whether a profile belongs, or belonged, to some token of this MSP. One look, whatever the answer.
    ///
    /// # Errors
    /// The database failed.
    pub async fn known_to(&self, msp: &str, iccid: &Iccid) -> Stored<bool> {
        let sql = "SELECT 1 FROM profile p JOIN federation f ON f.id = p.federation \
             WHERE p.iccid = $1 AND f.msp = $2 LIMIT 1";
        self.tx.exists(sql, params![iccid.as_str(), msp]).await
    }

    /// The profiles of a federation, or all; least recently used first.
    ///
    /// # Errors
    /// The database failed.
    pub async fn profiles(&self, of: Option<Id>) -> Stored<Vec<Profile>> {
        match of {
            Some(federation) => {
                let sql = select_profile!("WHERE federation = $1 ORDER BY last_used, iccid");
                self.tx.all(sql, params![federation], row::profile).await
            }
            None => {
                let sql = select_profile!("ORDER BY last_used, iccid");
                self.tx.all(sql, &[], row::profile).await
            }
        }
    }

    /// The profiles in a car, of all federations; least recently used first.
    ///
    /// # Errors
    /// The database failed.
    pub async fn profiles_in(&self, eid: Eid) -> Stored<Vec<Profile>> {
        let sql = select_profile!("WHERE eid = $1 ORDER BY last_used, iccid");
        self.tx.all(sql, params![eid.as_str()], row::profile).await
    }

    /// The profiles with this ICCID in whatever federation.
    ///
    /// # Errors
    /// The database failed.
    pub async fn profiles_with(&self, iccid: &Iccid) -> Stored<Vec<Profile>> {
        let sql = select_profile!("WHERE iccid = $1 ORDER BY created_at DESC");
        self.tx
            .all(sql, params![iccid.as_str()], row::profile)
            .await
    }

    /// A request by our id.
    ///
    /// # Errors
    /// The database failed.
    pub async fn request(&self, id: Id) -> Stored<Option<CodeRequest>> {
        let sql = select_request!("WHERE id = $1");
        self.tx.first(sql, params![id], row::request).await
    }

    /// The requests of a federation, newest first: all open ones, and the newest 500.
    ///
    /// # Errors
    /// The database failed.
    pub async fn requests(&self, federation: Id) -> Stored<Vec<CodeRequest>> {
        let sql = select_request!(
            "WHERE id IN (SELECT id FROM code_request WHERE federation = $1 \
             AND state IN ('new', 'accepted') UNION ALL SELECT id FROM (SELECT id FROM code_request \
             WHERE federation = $1 ORDER BY created_at DESC LIMIT 500) AS newest) \
             ORDER BY created_at DESC, id"
        );
        self.tx.all(sql, params![federation], row::request).await
    }

    /// A request by the car's id.
    ///
    /// # Errors
    /// The database failed.
    pub async fn request_of_car(&self, eid: Eid, car_request: Id) -> Stored<Option<CodeRequest>> {
        let sql = select_request!("WHERE eid = $1 AND car_request = $2");
        let values = params![eid.as_str(), car_request];
        self.tx.first(sql, values, row::request).await
    }

    /// The requests whose result the car has not journalled.
    ///
    /// # Errors
    /// The database failed.
    pub async fn undelivered(&self, eid: Eid) -> Stored<Vec<CodeRequest>> {
        let sql = select_request!(
            "WHERE eid = $1 AND delivered_at IS NULL AND state IN ('answered', 'failed', 'expired') \
             ORDER BY created_at"
        );
        self.tx.all(sql, params![eid.as_str()], row::request).await
    }

    /// The open requests whose time is over, at most `limit`.
    ///
    /// # Errors
    /// The database failed.
    pub async fn overdue(&self, now: u64, limit: u32) -> Stored<Vec<CodeRequest>> {
        let sql = select_request!(
            "WHERE state IN ('new', 'accepted') AND (expires_at <= $1 OR expires_at > $2) \
             ORDER BY expires_at LIMIT $3"
        );
        // Later than any request ends: made under a wrong clock.
        let latest = now.saturating_add(code::WAIT_MS + 3600 * 1000);
        let values = params![now, latest, limit];
        self.tx.all(sql, values, row::request).await
    }

    /// Results that no car has journalled and that were decided since this time.
    ///
    /// # Errors
    /// The database failed.
    pub async fn news(&self, since: u64) -> Stored<Vec<CodeRequest>> {
        let sql = select_request!(
            "WHERE changed_at >= $1 AND delivered_at IS NULL \
             AND state IN ('answered', 'failed', 'expired') ORDER BY changed_at"
        );
        self.tx.all(sql, params![since], row::request).await
    }
}

/// Where a list goes on. No time is below zero.
fn behind(after: Option<(u64, Id)>) -> (Value<'static>, Id) {
    match after {
        Some((at, id)) => (Value::from(at), id),
        None => (Value::Int(-1), [0; 16]),
    }
}
