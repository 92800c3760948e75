//! Vehicles, login codes, preferences: their changes as SQL, and their reads.
//! Called by `changes` and `read`, which belong to the store as a whole.

use super::changes::{Statement, maybe_id, number};
use super::read::MAX_ROWS;
use super::row::{Columns, id_text};
use super::{SqlStore, Stored};
use aid_cmp_core::change::FleetChange;
use aid_cmp_core::model::{LoginCode, LoginCodeState, Profile};
use aid_id::{AccountRef, Eid};

/// The statement of a change.
pub(super) fn statement(change: FleetChange) -> Statement<'static> {
    match change {
        FleetChange::Enrol {
            eid,
            vin,
            certificate,
            at,
        } => sqlx::query(
            "UPDATE vehicle SET certificate = $1, vin = COALESCE($2, vin), bound_at = $3 WHERE eid = $4",
        )
        .bind(certificate)
        .bind(vin)
        .bind(number(at))
        .bind(eid.to_string()),
        FleetChange::Session(eid, account) => {
            sqlx::query("UPDATE vehicle SET session = $1 WHERE eid = $2")
                .bind(maybe_id(account))
                .bind(eid.to_string())
        }
        FleetChange::Leave(eid, account) => {
            sqlx::query("UPDATE vehicle SET session = NULL WHERE eid = $1 AND session = $2")
                .bind(eid.to_string())
                .bind(id_text(account.0))
        }
        FleetChange::PutLoginCode(c) => sqlx::query(
            "INSERT INTO login_code (eid, code, login_id, state, account, created_at, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (eid) DO UPDATE SET \
             code = excluded.code, login_id = excluded.login_id, state = excluded.state, \
             account = excluded.account, created_at = excluded.created_at, \
             expires_at = excluded.expires_at",
        )
        .bind(c.eid.to_string())
        .bind(c.code)
        .bind(id_text(c.login_id))
        .bind(c.state.as_str())
        .bind(maybe_id(c.account))
        .bind(number(c.created_at))
        .bind(number(c.expires_at)),
        FleetChange::SetPreference(account, name, Some(value)) => sqlx::query(
            "INSERT INTO user_preference (account, name, value) VALUES ($1, $2, $3) \
             ON CONFLICT (account, name) DO UPDATE SET value = excluded.value",
        )
        .bind(id_text(account.0))
        .bind(name)
        .bind(value),
        FleetChange::SetPreference(account, name, None) => {
            sqlx::query("DELETE FROM user_preference WHERE account = $1 AND name = $2")
                .bind(id_text(account.0))
                .bind(name)
        }
    }
}

impl Columns {
    fn eid(&self) -> Stored<Eid> {
        self.parsed("eid")
    }

    fn login_code(&self) -> Stored<LoginCode> {
        Ok(LoginCode {
            code: self.text("code")?,
            eid: self.parsed("eid")?,
            login_id: self.id("login_id")?,
            state: self.word("state", LoginCodeState::from_text)?,
            account: self.maybe_account("account")?,
            created_at: self.number("created_at")?,
            expires_at: self.number("expires_at")?,
        })
    }

    fn preference(&self) -> Stored<(String, String)> {
        Ok((self.text("name")?, self.text("value")?))
    }
}

impl SqlStore {
    pub(super) async fn list_barred(&self, since: u64) -> Stored<Vec<Eid>> {
        let q = sqlx::query(
            "SELECT eid FROM vehicle WHERE retired_at >= $1 OR bound_at >= $1 LIMIT $2",
        );
        self.many(q.bind(number(since)).bind(MAX_ROWS), Columns::eid)
            .await
    }

    pub(super) async fn list_sessions(&self, of: AccountRef) -> Stored<Vec<Eid>> {
        let q = sqlx::query("SELECT eid FROM vehicle WHERE session = $1 LIMIT $2");
        self.many(q.bind(id_text(of.0)).bind(MAX_ROWS), Columns::eid)
            .await
    }

    pub(super) async fn list_profiles_in(&self, eid: Eid) -> Stored<Vec<Profile>> {
        let q =
            sqlx::query("SELECT * FROM profile WHERE eid = $1 ORDER BY last_used, iccid LIMIT $2");
        self.many(q.bind(eid.to_string()).bind(MAX_ROWS), Columns::profile)
            .await
    }

    pub(super) async fn find_login_code(&self, code: &str) -> Stored<Option<LoginCode>> {
        let q = sqlx::query("SELECT * FROM login_code WHERE code = $1").bind(code.to_owned());
        self.one(q, Columns::login_code).await
    }

    pub(super) async fn find_login_code_of(&self, eid: Eid) -> Stored<Option<LoginCode>> {
        let q = sqlx::query("SELECT * FROM login_code WHERE eid = $1").bind(eid.to_string());
        self.one(q, Columns::login_code).await
    }

    pub(super) async fn list_preferences(&self, of: AccountRef) -> Stored<Vec<(String, String)>> {
        let q =
            sqlx::query("SELECT * FROM user_preference WHERE account = $1 ORDER BY name LIMIT $2");
        self.many(q.bind(id_text(of.0)).bind(MAX_ROWS), Columns::preference)
            .await
    }
}
