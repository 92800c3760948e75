//! What users change about themselves on the portal: password, PIN, sessions; as SQL, and the reads for it.
//! Called by `changes` and `read`, which belong to the store as a whole.

use super::changes::{Statement, number};
use super::read::MAX_ROWS;
use super::row::{Columns, id_text};
use super::{SqlStore, Stored};
use aid_cmp_core::change::PortalChange;
use aid_id::AccountRef;

/// A session as its user sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// Hash of its cookie.
    pub token_hash: String,
    /// Since when.
    pub created_at: u64,
    /// Until when.
    pub expires_at: u64,
    /// What the browser calls itself.
    pub browser: Option<String>,
}

/// The statement of a change.
pub(super) fn statement(change: PortalChange) -> Statement<'static> {
    match change {
        PortalChange::Password(account, hash) => {
            sqlx::query("UPDATE account SET password = $1 WHERE id = $2")
                .bind(hash.expose().to_owned())
                .bind(id_text(account.0))
        }
        PortalChange::Pin(account, mac) => {
            sqlx::query("UPDATE account SET pin_mac = $1 WHERE id = $2")
                .bind(mac)
                .bind(id_text(account.0))
        }
        PortalChange::Began(hash, at, browser) => sqlx::query(
            "UPDATE portal_session SET created_at = $1, browser = $2 WHERE token_hash = $3",
        )
        .bind(number(at))
        .bind(browser)
        .bind(hash),
        PortalChange::EndSessions(account, but) => {
            sqlx::query("DELETE FROM portal_session WHERE account = $1 AND token_hash <> $2")
                .bind(id_text(account.0))
                .bind(but)
        }
    }
}

impl Columns {
    fn session_row(&self) -> Stored<SessionRow> {
        Ok(SessionRow {
            token_hash: self.text("token_hash")?,
            created_at: self.number("created_at")?,
            expires_at: self.number("expires_at")?,
            browser: self.maybe("browser")?,
        })
    }
}

impl SqlStore {
    pub(super) async fn list_portal_sessions(&self, of: AccountRef) -> Stored<Vec<SessionRow>> {
        let q = sqlx::query(
            "SELECT * FROM portal_session WHERE account = $1 ORDER BY created_at DESC, token_hash LIMIT $2",
        );
        let q = q.bind(id_text(of.0)).bind(MAX_ROWS);
        self.many(q, Columns::session_row).await
    }
}
