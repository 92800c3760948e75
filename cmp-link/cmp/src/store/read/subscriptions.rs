//! Subscriptions: onboardings, federations, their profiles and their requests for codes.

use crate::store::row::{
    self, select_federation, select_hold, select_onboarding, select_profile, select_request,
    select_sync_run,
};
use crate::store::{Stored, Tx};
use aid_cmp_core::decide::code;
use aid_cmp_core::model::{CallKind, CodeRequest, Federation, Hold, Onboarding, Profile, SyncRun};
use aid_id::{AccountRef, Eid, Iccid, Id, MspToken};
use aid_store::{Fields, Value, params};
use std::ops::RangeInclusive;

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

    /// The federations of a user, oldest first.
    ///
    /// # Errors
    /// The database failed.
    pub async fn federations(&self, of: AccountRef) -> Stored<Vec<Federation>> {
        let sql = select_federation!("WHERE account = $1 ORDER BY since, id");
        let list = self.tx.all(sql, params![of.0], row::federation).await?;
        self.own(&list);
        Ok(list)
    }

    /// Federations of all users by id, which is about their age: those behind `after`, at most `limit`.
    ///
    /// # Errors
    /// The database failed.
    pub async fn all_federations(&self, after: Option<Id>, limit: u32) -> Stored<Vec<Federation>> {
        let list = match after {
            Some(id) => {
                let sql = select_federation!("WHERE id > $1 ORDER BY id LIMIT $2");
                self.tx.all(sql, params![id, limit], row::federation).await
            }
            None => {
                let sql = select_federation!("ORDER BY id LIMIT $1");
                self.tx.all(sql, params![limit], row::federation).await
            }
        };
        let list = list?;
        self.own(&list);
        Ok(list)
    }

    /// Federations with this MSP that last for now and whose profiles it was last asked about within this time (0: never),
    /// with that time. Oldest first, those behind `after` only, at most `limit`.
    ///
    /// # Errors
    /// The database failed.
    pub async fn synced(
        &self,
        msp: &str,
        within: RangeInclusive<u64>,
        after: Option<(u64, Id)>,
        limit: u32,
    ) -> Stored<Vec<(u64, Federation)>> {
        let sql = concat!(
            "SELECT synced_at, ",
            select_federation!(columns),
            " FROM federation WHERE ended_at IS NULL AND msp = $1 AND synced_at <= $2 \
             AND (synced_at, id) > ($3, $4) ORDER BY synced_at, id LIMIT $5"
        );
        let read = |row: &mut Fields<'_>| Ok((row.number()?, row::federation(row)?));
        let (at, id) = behind(within.start().checked_sub(1), after);
        let values = params![msp, *within.end(), at, id, limit];
        let list = self.tx.all(sql, values, read).await?;
        for (_, federation) in &list {
            self.owned(federation.id, federation.account);
        }
        Ok(list)
    }

    /// How many questions about profiles this MSP has not answered yet; `limit` stands for that many or more.
    ///
    /// # Errors
    /// The database failed.
    pub async fn open_questions(&self, msp: &str, limit: u32) -> Stored<u32> {
        let sql = "SELECT COUNT(*) FROM (SELECT 1 FROM outbox WHERE state = 'due' AND msp = $1 \
             AND kind = $2 LIMIT $3) AS questions";
        let values = params![msp, CallKind::Query.as_str(), limit];
        let count = self.tx.first(sql, values, |row| row.number()).await?;
        Ok(count.unwrap_or_default())
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
        let (at, id) = behind(None, after);
        let values = params![ended_before, at, id, limit];
        let list = self.tx.all(sql, values, row::federation).await?;
        self.own(&list);
        Ok(list)
    }

    /// The synchronisations of a federation, newest first.
    ///
    /// # Errors
    /// The database failed.
    pub async fn sync_runs(&self, of: Id) -> Stored<Vec<SyncRun>> {
        let sql = select_sync_run!("WHERE federation = $1 ORDER BY at DESC, id");
        self.tx.all(sql, params![of], row::sync_run).await
    }

    /// The newest synchronisation of a federation.
    ///
    /// # Errors
    /// The database failed.
    pub async fn newest_sync_run(&self, of: Id) -> Stored<Option<SyncRun>> {
        let sql = select_sync_run!("WHERE federation = $1 ORDER BY at DESC, id LIMIT 1");
        self.tx.first(sql, params![of], row::sync_run).await
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

    /// The profiles of a federation, least recently used first.
    ///
    /// # Errors
    /// The database failed.
    pub async fn profiles(&self, of: Id) -> Stored<Vec<Profile>> {
        let sql = select_profile!("WHERE federation = $1 ORDER BY last_used, iccid");
        self.tx.all(sql, params![of], row::profile).await
    }

    /// Profiles of all federations by ICCID: those behind `after`, at most `limit`.
    ///
    /// # Errors
    /// The database failed.
    pub async fn all_profiles(
        &self,
        after: Option<(&Iccid, Id)>,
        limit: u32,
    ) -> Stored<Vec<Profile>> {
        match after {
            Some((iccid, federation)) => {
                let sql = select_profile!(
                    "WHERE (iccid, federation) > ($1, $2) ORDER BY iccid, federation LIMIT $3"
                );
                let values = params![iccid.as_str(), federation, limit];
                self.tx.all(sql, values, row::profile).await
            }
            None => {
                let sql = select_profile!("ORDER BY iccid, federation LIMIT $1");
                self.tx.all(sql, params![limit], row::profile).await
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

    /// The open requests whose time is over: those behind `after` (the end and the id), at most `limit`.
    ///
    /// # Errors
    /// The database failed.
    pub async fn overdue(
        &self,
        now: u64,
        after: Option<(u64, Id)>,
        limit: u32,
    ) -> Stored<Vec<CodeRequest>> {
        let sql = select_request!(
            "WHERE state IN ('new', 'accepted') AND expires_at <= $1 AND (expires_at, id) > ($2, $3) \
             ORDER BY expires_at, id LIMIT $4"
        );
        let (at, id) = behind(None, after);
        let values = params![now, at, id, limit];
        self.tx.all(sql, values, row::request).await
    }

    /// The open requests that end later than any request does, which were made under a wrong clock; at most `limit`.
    ///
    /// # Errors
    /// The database failed.
    pub async fn overlong(&self, now: u64, limit: u32) -> Stored<Vec<CodeRequest>> {
        let sql = select_request!(
            "WHERE state IN ('new', 'accepted') AND expires_at > $1 ORDER BY expires_at, id LIMIT $2"
        );
        let latest = now.saturating_add(code::WAIT_MS + 3600 * 1000);
        self.tx.all(sql, params![latest, limit], row::request).await
    }

    /// Results that no car has journalled and that were decided since this time: those behind `after` (the time and the
    /// id), at most `limit`.
    ///
    /// # Errors
    /// The database failed.
    pub async fn news(
        &self,
        since: u64,
        after: Option<(u64, Id)>,
        limit: u32,
    ) -> Stored<Vec<CodeRequest>> {
        let sql = select_request!(
            "WHERE (changed_at, id) > ($1, $2) AND delivered_at IS NULL \
             AND state IN ('answered', 'failed', 'expired') ORDER BY changed_at, id LIMIT $3"
        );
        let (at, id) = behind(since.checked_sub(1), after);
        self.tx.all(sql, params![at, id, limit], row::request).await
    }
}

/// Where a list goes on: behind `after`, or from the beginning, which is behind `before`. No time is below zero.
fn behind(before: Option<u64>, after: Option<(u64, Id)>) -> (Value<'static>, Id) {
    match (after, before) {
        (Some((at, id)), _) => (Value::from(at), id),
        (None, Some(before)) => (Value::from(before), [0xFF; 16]),
        (None, None) => (Value::Int(-1), [0; 16]),
    }
}
