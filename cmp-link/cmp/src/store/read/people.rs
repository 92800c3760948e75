//! Users: accounts, attempts, sessions, what they prefer and what they are told.

use crate::store::row::{
    self, select_account, select_attempts, select_identity, select_notice, select_preference,
    select_session, select_session_row,
};
use crate::store::write::eid_text;
use crate::store::{Erased, SessionRow, Stored, Tx};
use aid_cmp_core::decide::removal::ERASED;
use aid_cmp_core::model::{Account, Attempts, Identity, PortalSession, UserNotice};
use aid_id::{AccountRef, Eid, Id};
use aid_store::{Engine, params};

impl Tx<'_> {
    /// A user.
    ///
    /// # Errors
    /// The database failed.
    pub async fn account(&self, id: AccountRef) -> Stored<Option<Account>> {
        let sql = select_account!("WHERE id = $1");
        self.tx.first(sql, params![id.0], row::account).await
    }

    /// A user by name.
    ///
    /// # Errors
    /// The database failed.
    pub async fn account_named(&self, name: &str) -> Stored<Option<Account>> {
        let sql = select_account!("WHERE name = $1");
        self.tx.first(sql, params![name], row::account).await
    }

    /// Users by name: those behind `after`, at most `limit`.
    ///
    /// # Errors
    /// The database failed.
    pub async fn accounts(&self, after: Option<&str>, limit: u32) -> Stored<Vec<Account>> {
        let sql = select_account!("WHERE name > $1 ORDER BY name LIMIT $2");
        let values = params![after.unwrap_or_default(), limit];
        self.tx.all(sql, values, row::account).await
    }

    /// Erased users behind the name `after`, at most `limit`.
    ///
    /// # Errors
    /// The database failed.
    pub async fn erased(&self, after: Option<&str>, limit: u32) -> Stored<Vec<Erased>> {
        // Erased names begin with "erased/"; '0' follows '/'.
        macro_rules! erased {
            ($name:literal) => {
                concat!(
                    "SELECT name, id, CASE WHEN EXISTS (SELECT 1 FROM federation f WHERE f.account = a.id) \
                     THEN 1 ELSE 0 END FROM account a WHERE ", $name, " > $1 AND ", $name, " < 'erased0' \
                     ORDER BY ", $name, " LIMIT $2"
                )
            };
        }
        // SQLite compares bytes; PostgreSQL as the database's language does, if it is not told otherwise.
        let sql = match self.tx.engine() {
            Engine::Sqlite => erased!("name"),
            Engine::Postgres => erased!("name COLLATE \"C\""),
        };
        let read = |row: &mut aid_store::Fields<'_>| {
            Ok(Erased {
                name: row.text()?,
                account: row.id().map(AccountRef)?,
                linked: row.number::<i64>()? != 0,
            })
        };
        let values = params![after.unwrap_or(ERASED), limit];
        self.tx.all(sql, values, read).await
    }

    /// Failed attempts at a key.
    ///
    /// # Errors
    /// The database failed.
    pub async fn attempts(&self, key: &str) -> Stored<Option<Attempts>> {
        // A row without attempts is there to be locked.
        let sql = select_attempts!("WHERE key = $1 AND count > 0");
        self.tx.first(sql, params![key], row::attempts).await
    }

    /// A portal session by the hash of its cookie.
    ///
    /// # Errors
    /// The database failed.
    pub async fn session(&self, hash: &str) -> Stored<Option<PortalSession>> {
        let sql = select_session!("WHERE token_hash = $1");
        self.tx.first(sql, params![hash], row::session).await
    }

    /// The portal sessions of a user, newest first, ended ones among them.
    ///
    /// # Errors
    /// The database failed.
    pub async fn portal_sessions(&self, of: AccountRef) -> Stored<Vec<SessionRow>> {
        let sql = select_session_row!("WHERE account = $1 ORDER BY created_at DESC, token_hash");
        self.tx.all(sql, params![of.0], row::session_row).await
    }

    /// A user's preferences by name.
    ///
    /// # Errors
    /// The database failed.
    pub async fn preferences(&self, of: AccountRef) -> Stored<Vec<(String, String)>> {
        let sql = select_preference!("WHERE account = $1 ORDER BY name");
        self.tx.all(sql, params![of.0], row::preference).await
    }

    /// What a user calls their cars.
    ///
    /// # Errors
    /// The database failed.
    pub async fn car_names(&self, of: AccountRef) -> Stored<Vec<(Eid, String)>> {
        let sql = "SELECT eid, name FROM car_name WHERE account = $1 ORDER BY eid";
        let read = |row: &mut aid_store::Fields<'_>| Ok((row.parsed()?, row.text()?));
        self.tx.all(sql, params![of.0], read).await
    }

    /// Whose identity this is at an identity provider.
    ///
    /// # Errors
    /// The database failed.
    pub async fn identity(&self, issuer: &str, subject: &str) -> Stored<Option<Identity>> {
        let sql = select_identity!("WHERE issuer = $1 AND subject = $2");
        self.tx
            .first(sql, params![issuer, subject], row::identity)
            .await
    }

    /// With which identities a user signs in.
    ///
    /// # Errors
    /// The database failed.
    pub async fn identities(&self, of: AccountRef) -> Stored<Vec<Identity>> {
        let sql = select_identity!("WHERE account = $1 ORDER BY since, issuer, subject");
        self.tx.all(sql, params![of.0], row::identity).await
    }

    /// The subscription that the user chose for this car, or for all others.
    ///
    /// # Errors
    /// The database failed.
    pub async fn preference(&self, account: AccountRef, eid: Option<Eid>) -> Stored<Option<Id>> {
        let sql = "SELECT federation FROM preference WHERE account = $1 AND eid = $2";
        let values = params![account.0, eid_text(eid)];
        self.tx.first(sql, values, |row| row.id()).await
    }

    /// What a user should know, newest first; the newest hundred.
    ///
    /// # Errors
    /// The database failed.
    pub async fn notices(&self, account: AccountRef) -> Stored<Vec<UserNotice>> {
        let sql = select_notice!("WHERE account = $1 ORDER BY at DESC, id DESC LIMIT 100");
        self.tx.all(sql, params![account.0], row::notice).await
    }
}
