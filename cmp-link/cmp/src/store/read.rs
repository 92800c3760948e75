//! The store's reads.
//! Called by the service before it decides, and by the command line.

use super::changes::eid_text;
use super::row::{Columns, id_text, status_text};
use super::{AuditFilter, CodeKey, CodeRows, SqlStore, Store, Stored, Turn, Work};
use aid_cmp_core::change::Change;
use aid_cmp_core::decide::code;
use aid_cmp_core::model::{
    Account, Answered, Attempts, Audit, Call, CallState, CodeRequest, Federation, Happening, Hold,
    LoginCode, Onboarding, Order, PortalSession, Profile, Report, SyncRun, UserNotice, Vehicle,
};
use aid_id::{AccountRef, Eid, Iccid, Id, MspToken};
use aid_serve::metrics::Counter;
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use std::sync::atomic::Ordering;

pub(super) type Statement<'q> = Query<'q, sqlx::Any, AnyArguments>;

/// Rows that one read may yield; more is for a report, not for a program's memory.
pub(super) const MAX_ROWS: i64 = 100_000;

static LOOKS: Counter = Counter::new("aid_cmp_store_reads", "Reads of the database");

impl SqlStore {
    pub(super) async fn one<T>(
        &self,
        statement: Statement<'_>,
        read: fn(&Columns) -> Stored<T>,
    ) -> Stored<Option<T>> {
        self.looked();
        let row: Option<AnyRow> = statement
            .fetch_optional(&self.pool)
            .await
            .map_err(|e| self.error(&e))?;
        row.map(|row| read(&Columns(row))).transpose()
    }

    pub(super) async fn many<T>(
        &self,
        statement: Statement<'_>,
        read: fn(&Columns) -> Stored<T>,
    ) -> Stored<Vec<T>> {
        self.looked();
        let rows: Vec<AnyRow> = statement
            .fetch_all(&self.pool)
            .await
            .map_err(|e| self.error(&e))?;
        rows.into_iter().map(|row| read(&Columns(row))).collect()
    }

    pub(super) async fn exists(&self, statement: Statement<'_>) -> Stored<bool> {
        self.looked();
        let row = statement
            .fetch_optional(&self.pool)
            .await
            .map_err(|e| self.error(&e))?;
        Ok(row.is_some())
    }

    fn looked(&self) {
        self.looks.fetch_add(1, Ordering::Relaxed);
        LOOKS.add(&[]);
    }

    /// Reads since the store was opened. What a caller may not tell apart must cost the same number.
    #[must_use]
    pub fn looks(&self) -> u64 {
        self.looks.load(Ordering::Relaxed)
    }
}

/// Requests of a federation that matter: those that are open, and the last of each car.
const MAX_REQUESTS: i64 = 500;

pub(super) fn at(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}

impl Store for SqlStore {
    fn shared(&self) -> bool {
        self.is_shared()
    }

    async fn check(&self) -> Stored<()> {
        self.writer.check().await.map_err(|e| self.error(&e))
    }

    async fn turn(&self) -> Stored<Turn> {
        self.take_turn().await
    }

    async fn commit_in(&self, turn: Turn, changes: Vec<Change>) -> Stored<()> {
        self.apply_in(turn, changes).await
    }

    async fn known_to(&self, msp: &str, iccid: &Iccid) -> Stored<bool> {
        let q = sqlx::query(
            "SELECT p.iccid FROM profile p JOIN federation f ON f.id = p.federation \
             WHERE p.iccid = $1 AND f.msp = $2 LIMIT 1",
        );
        self.exists(q.bind(iccid.to_string()).bind(msp.to_owned()))
            .await
    }

    async fn iv_used(&self, msp: &str, key_id: &str, iv: &str) -> Stored<Option<String>> {
        let q =
            sqlx::query("SELECT digest FROM phone_iv WHERE msp = $1 AND key_id = $2 AND iv = $3");
        let q = q
            .bind(msp.to_owned())
            .bind(key_id.to_owned())
            .bind(iv.to_owned());
        self.one(q, |row| row.text("digest")).await
    }

    async fn commit(&self, changes: Vec<Change>) -> Stored<()> {
        self.apply(changes).await
    }

    async fn vehicle(&self, eid: Eid) -> Stored<Option<Vehicle>> {
        let q = sqlx::query("SELECT * FROM vehicle WHERE eid = $1").bind(eid.to_string());
        self.one(q, Columns::vehicle).await
    }

    async fn vehicles(&self) -> Stored<Vec<Vehicle>> {
        let q = sqlx::query("SELECT * FROM vehicle ORDER BY eid LIMIT $1").bind(MAX_ROWS);
        self.many(q, Columns::vehicle).await
    }

    async fn portal_sessions(&self, of: AccountRef) -> Stored<Vec<super::SessionRow>> {
        self.list_portal_sessions(of).await
    }

    async fn barred_since(&self, since: u64) -> Stored<Vec<Eid>> {
        self.list_barred(since).await
    }

    async fn sessions(&self, of: AccountRef) -> Stored<Vec<Eid>> {
        self.list_sessions(of).await
    }

    async fn profiles_in(&self, eid: Eid) -> Stored<Vec<Profile>> {
        self.list_profiles_in(eid).await
    }

    async fn login_code(&self, code: &str) -> Stored<Option<LoginCode>> {
        self.find_login_code(code).await
    }

    async fn login_code_of(&self, eid: Eid) -> Stored<Option<LoginCode>> {
        self.find_login_code_of(eid).await
    }

    async fn preferences(&self, of: AccountRef) -> Stored<Vec<(String, String)>> {
        self.list_preferences(of).await
    }

    async fn account_named(&self, name: &str) -> Stored<Option<Account>> {
        let q = sqlx::query("SELECT * FROM account WHERE name = $1").bind(name.to_owned());
        self.one(q, Columns::account).await
    }

    async fn account(&self, id: AccountRef) -> Stored<Option<Account>> {
        let q = sqlx::query("SELECT * FROM account WHERE id = $1").bind(id_text(id.0));
        self.one(q, Columns::account).await
    }

    async fn accounts(&self) -> Stored<Vec<Account>> {
        let q = sqlx::query("SELECT * FROM account ORDER BY name LIMIT $1").bind(MAX_ROWS);
        self.many(q, Columns::account).await
    }

    async fn attempts(&self, key: &str) -> Stored<Option<Attempts>> {
        let q = sqlx::query("SELECT * FROM attempt WHERE key = $1").bind(key.to_owned());
        self.one(q, Columns::attempts).await
    }

    async fn has_logged_in(&self, eid: Eid, account: AccountRef) -> Stored<bool> {
        let q = sqlx::query("SELECT first_at FROM vehicle_login WHERE eid = $1 AND account = $2")
            .bind(eid.to_string())
            .bind(id_text(account.0));
        self.exists(q).await
    }

    async fn session(&self, hash: &str) -> Stored<Option<PortalSession>> {
        let q = sqlx::query("SELECT * FROM portal_session WHERE token_hash = $1");
        self.one(q.bind(hash.to_owned()), Columns::session).await
    }

    async fn onboarding(&self, sid: Id) -> Stored<Option<Onboarding>> {
        let q = sqlx::query("SELECT * FROM onboarding WHERE sid = $1").bind(id_text(sid));
        self.one(q, Columns::onboarding).await
    }

    async fn onboarding_returning(&self, state: &str) -> Stored<Option<Onboarding>> {
        let q = sqlx::query("SELECT * FROM onboarding WHERE return_state = $1");
        self.one(q.bind(state.to_owned()), Columns::onboarding)
            .await
    }

    async fn federation(&self, msp: &str, token: MspToken) -> Stored<Option<Federation>> {
        let q = sqlx::query("SELECT * FROM federation WHERE msp = $1 AND token = $2")
            .bind(msp.to_owned())
            .bind(token.to_string());
        self.one(q, Columns::federation).await
    }

    async fn federation_by_id(&self, id: Id) -> Stored<Option<Federation>> {
        let q = sqlx::query("SELECT * FROM federation WHERE id = $1").bind(id_text(id));
        self.one(q, Columns::federation).await
    }

    async fn federations(&self, of: Option<AccountRef>) -> Stored<Vec<Federation>> {
        let q = match of {
            Some(account) => sqlx::query(
                "SELECT * FROM federation WHERE account = $1 ORDER BY since, id LIMIT $2",
            )
            .bind(id_text(account.0)),
            None => sqlx::query("SELECT * FROM federation ORDER BY since, id LIMIT $1"),
        };
        self.many(q.bind(MAX_ROWS), Columns::federation).await
    }

    async fn profiles(&self, of: Option<Id>) -> Stored<Vec<Profile>> {
        let q = match of {
            Some(federation) => sqlx::query(
                "SELECT * FROM profile WHERE federation = $1 ORDER BY last_used, iccid LIMIT $2",
            )
            .bind(id_text(federation)),
            None => sqlx::query("SELECT * FROM profile ORDER BY last_used, iccid LIMIT $1"),
        };
        self.many(q.bind(MAX_ROWS), Columns::profile).await
    }

    async fn profiles_with(&self, iccid: &Iccid) -> Stored<Vec<Profile>> {
        let q = sqlx::query("SELECT * FROM profile WHERE iccid = $1 ORDER BY created_at DESC");
        self.many(q.bind(iccid.to_string()), Columns::profile).await
    }

    async fn codes(&self, msp: &str, client: &str, keys: &[&CodeKey]) -> Stored<CodeRows> {
        self.load_codes(msp, client, keys).await
    }

    async fn request(&self, id: Id) -> Stored<Option<CodeRequest>> {
        let q = sqlx::query("SELECT * FROM code_request WHERE id = $1").bind(id_text(id));
        self.one(q, Columns::request).await
    }

    async fn requests(&self, federation: Id) -> Stored<Vec<CodeRequest>> {
        let q = sqlx::query(
            "SELECT * FROM code_request WHERE federation = $1 ORDER BY created_at DESC, id LIMIT $2",
        );
        self.many(
            q.bind(id_text(federation)).bind(MAX_REQUESTS),
            Columns::request,
        )
        .await
    }

    async fn request_of_car(&self, eid: Eid, car_request: Id) -> Stored<Option<CodeRequest>> {
        let q = sqlx::query("SELECT * FROM code_request WHERE eid = $1 AND car_request = $2")
            .bind(eid.to_string())
            .bind(id_text(car_request));
        self.one(q, Columns::request).await
    }

    async fn undelivered(&self, eid: Eid) -> Stored<Vec<CodeRequest>> {
        let q = sqlx::query(
            "SELECT * FROM code_request WHERE eid = $1 AND delivered_at IS NULL \
             AND state IN ('answered', 'failed', 'expired') ORDER BY created_at",
        );
        self.many(q.bind(eid.to_string()), Columns::request).await
    }

    async fn overdue(&self, now: u64) -> Stored<Vec<CodeRequest>> {
        let q = sqlx::query(
            "SELECT * FROM code_request WHERE state IN ('new', 'accepted') \
             AND (expires_at <= $1 OR expires_at > $2) ORDER BY expires_at LIMIT 100",
        );
        // Later than any request ends: made under a wrong clock.
        let latest = at(now.saturating_add(code::WAIT_MS + 3600 * 1000));
        self.many(q.bind(at(now)).bind(latest), Columns::request)
            .await
    }

    async fn has_report(&self, report: &Report) -> Stored<bool> {
        let q = sqlx::query("SELECT seq FROM report WHERE eid = $1 AND seq = $2 AND digest = $3")
            .bind(report.eid.to_string())
            .bind(at(report.seq))
            .bind(report_digest(report));
        self.exists(q).await
    }

    async fn order(&self, id: Id) -> Stored<Option<Order>> {
        let q = sqlx::query("SELECT * FROM vehicle_order WHERE id = $1").bind(id_text(id));
        self.one(q, Columns::order).await
    }

    async fn orders(&self, of: Option<Eid>, open: bool) -> Stored<Vec<Order>> {
        let (eid, any_eid) = (of.map(|e| e.to_string()).unwrap_or_default(), of.is_none());
        let q = sqlx::query(
            "SELECT * FROM vehicle_order WHERE (eid = $1 OR $2 = 1) AND (state = 'open' OR $3 = 0) \
             ORDER BY position LIMIT $4",
        );
        let q = q.bind(eid).bind(i64::from(any_eid)).bind(i64::from(open));
        self.many(q.bind(MAX_ROWS), Columns::order).await
    }

    async fn unsent(&self, since: u64) -> Stored<Vec<Order>> {
        let q = sqlx::query(
            "SELECT * FROM vehicle_order WHERE state = 'open' AND sent_at IS NULL \
             AND created_at >= $1 ORDER BY position LIMIT 1000",
        );
        self.many(q.bind(at(since)), Columns::order).await
    }

    async fn claim(&self, who: &str, now: u64, until: u64, limit: u32) -> Stored<Vec<Call>> {
        self.claim_calls(who, now, until, limit).await
    }

    async fn next_due(&self) -> Stored<Option<u64>> {
        self.next_call().await
    }

    async fn calls(&self, state: Option<CallState>) -> Stored<Vec<Call>> {
        self.list_calls(state).await
    }

    async fn call(&self, id: Id) -> Stored<Option<Call>> {
        let q = sqlx::query("SELECT * FROM outbox WHERE id = $1").bind(id_text(id));
        self.one(q, Columns::call).await
    }

    async fn newest_in_lane(&self, msp: &str, lane: &str) -> Stored<Option<Call>> {
        let q = sqlx::query(
            "SELECT * FROM outbox WHERE msp = $1 AND lane = $2 ORDER BY position DESC LIMIT 1",
        );
        self.one(q.bind(msp.to_owned()).bind(lane.to_owned()), Columns::call)
            .await
    }

    async fn has_calls(&self, msp: &str, token: MspToken) -> Stored<bool> {
        let q = sqlx::query(
            "SELECT id FROM outbox WHERE msp = $1 AND token = $2 AND state IN ('due', 'dead') LIMIT 1",
        );
        self.exists(q.bind(msp.to_owned()).bind(token.to_string()))
            .await
    }

    async fn history(&self, work: Id) -> Stored<Vec<Happening>> {
        let q = sqlx::query("SELECT * FROM history WHERE work = $1 ORDER BY position LIMIT $2");
        self.many(q.bind(id_text(work)).bind(MAX_ROWS), Columns::happening)
            .await
    }

    async fn audits(&self, filter: &AuditFilter) -> Stored<Vec<Audit>> {
        self.audit_trail(filter).await
    }

    async fn notices(&self, account: AccountRef) -> Stored<Vec<UserNotice>> {
        let q = sqlx::query(
            "SELECT * FROM notice WHERE account = $1 ORDER BY at DESC, id DESC LIMIT 100",
        );
        self.many(q.bind(id_text(account.0)), Columns::notice).await
    }

    async fn hold(&self, federation: Id, eid: Eid) -> Stored<Option<Hold>> {
        let q = sqlx::query("SELECT * FROM hold WHERE federation = $1 AND eid = $2");
        self.one(
            q.bind(id_text(federation)).bind(eid.to_string()),
            Columns::hold,
        )
        .await
    }

    async fn preference(&self, account: AccountRef, eid: Option<Eid>) -> Stored<Option<Id>> {
        let q = sqlx::query("SELECT federation FROM preference WHERE account = $1 AND eid = $2")
            .bind(id_text(account.0))
            .bind(eid_text(eid));
        self.one(q, |row| row.id("federation")).await
    }

    async fn users_of(&self, eid: Eid) -> Stored<Vec<AccountRef>> {
        let q = sqlx::query("SELECT account FROM vehicle_login WHERE eid = $1 ORDER BY account")
            .bind(eid.to_string());
        self.many(q, |row| Ok(AccountRef(row.id("account")?))).await
    }

    async fn cars_of(&self, account: AccountRef) -> Stored<Vec<Eid>> {
        let q = sqlx::query("SELECT eid FROM vehicle_login WHERE account = $1 ORDER BY eid")
            .bind(id_text(account.0));
        self.many(q, |row| row.parsed("eid")).await
    }

    async fn sync_runs(&self, of: Option<Id>) -> Stored<Vec<SyncRun>> {
        self.list_sync_runs(of).await
    }

    async fn news(&self, since: u64) -> Stored<Vec<CodeRequest>> {
        let q = sqlx::query(
            "SELECT * FROM code_request WHERE changed_at >= $1 AND delivered_at IS NULL \
             AND state IN ('answered', 'failed', 'expired') ORDER BY changed_at LIMIT 1000",
        );
        self.many(q.bind(at(since)), Columns::request).await
    }

    async fn work(&self) -> Stored<Work> {
        self.count_work().await
    }

    async fn answered(&self, client: &str, request_id: Id) -> Stored<Option<Answered>> {
        let q = sqlx::query("SELECT * FROM idempotency WHERE client = $1 AND request_id = $2")
            .bind(client.to_owned())
            .bind(id_text(request_id));
        self.one(q, Columns::answered).await
    }
}

/// What makes a report this one and no other with the same count.
pub(super) fn report_digest(report: &Report) -> String {
    let iccid = report.iccid.as_ref().map_or("", Iccid::as_str);
    let account = report.account.map(|a| id_text(a.0)).unwrap_or_default();
    format!(
        "{}|{iccid}|{account}|{}",
        status_text(report.status),
        report.code
    )
}
