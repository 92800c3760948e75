//! Onboardings.

use aid_aid1::headers::PartyId;
use aid_id::MspToken;
use sqlx::any::AnyRow;
use sqlx::query;
use uuid::Uuid;

use crate::core::model::Onboarding;
use crate::store::tx::{number, parsed, text};
use crate::store::{Stored, Tx};

fn read(row: &AnyRow) -> Stored<Onboarding> {
    Ok(Onboarding {
        msp_token: parsed(row, "msp_token")?,
        client_id: parsed(row, "client_id")?,
        user: text(row, "user_name")?,
        subscription: text(row, "subscription")?,
        sid: parsed(row, "sid")?,
        state: parsed(row, "state")?,
        created_at: number(row, "created_at")?,
        changed_at: number(row, "changed_at")?,
    })
}

impl Tx {
    /// The onboarding behind a token of this CMP. A refused one does not count.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn onboarding(
        &mut self,
        client: &PartyId,
        token: MspToken,
    ) -> Stored<Option<Onboarding>> {
        let sql = query(
            "SELECT * FROM onboarding WHERE msp_token = $1 AND client_id = $2 AND state <> 'refused'",
        )
        .bind(token.to_string())
        .bind(client.as_str());
        self.one(sql).await?.as_ref().map(read).transpose()
    }

    /// All onboardings, oldest first.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn onboardings(&mut self) -> Stored<Vec<Onboarding>> {
        let sql = query("SELECT * FROM onboarding ORDER BY created_at, msp_token");
        self.all(sql).await?.iter().map(read).collect()
    }

    /// The onboardings of a customer, oldest first.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn onboardings_of(&mut self, user: &str) -> Stored<Vec<Onboarding>> {
        let sql =
            query("SELECT * FROM onboarding WHERE user_name = $1 ORDER BY created_at, msp_token")
                .bind(user);
        self.all(sql).await?.iter().map(read).collect()
    }

    /// Whether this account id was used before and not refused.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn sid_is_used(&mut self, client: &PartyId, sid: Uuid) -> Stored<bool> {
        let sql = query(
            "SELECT sid FROM onboarding WHERE sid = $1 AND client_id = $2 AND state <> 'refused'",
        )
        .bind(sid.to_string())
        .bind(client.as_str());
        Ok(self.one(sql).await?.is_some())
    }
}
