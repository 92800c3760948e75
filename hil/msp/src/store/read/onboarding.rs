//! Onboardings.

use aid_aid1::headers::PartyId;
use aid_id::MspToken;
use aid_store::{Fields, params};
use uuid::Uuid;

use crate::core::model::Onboarding;
use crate::store::page::by_time;
use crate::store::{Page, Stored, Tx};

/// A SELECT of onboardings, to be followed by what it is to find.
macro_rules! onboardings {
    ($($rest:tt)*) => {
        concat!(
            "SELECT msp_token, client_id, user_name, subscription, sid, state, created_at, changed_at FROM onboarding ",
            $($rest)*
        )
    };
}

fn read(row: &mut Fields<'_>) -> Stored<Onboarding> {
    Ok(Onboarding {
        msp_token: row.parsed()?,
        client_id: row.parsed()?,
        user: row.text()?,
        subscription: row.text()?,
        sid: row.parsed()?,
        state: row.parsed()?,
        created_at: row.number()?,
        changed_at: row.number()?,
    })
}

impl Tx<'_> {
    /// The onboarding behind a token of this CMP. A refused one does not count.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn onboarding(
        self,
        client: &PartyId,
        token: MspToken,
    ) -> Stored<Option<Onboarding>> {
        let sql = onboardings!("WHERE msp_token = $1 AND client_id = $2 AND state <> 'refused'");
        let values = params![token.to_string(), client.as_str()];
        self.first(sql, values, read).await
    }

    /// A part of the onboardings by their time.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn onboardings(self, page: &Page) -> Stored<Vec<Onboarding>> {
        let sql = by_time!(onboardings, "created_at", "msp_token");
        self.part_by_time(sql, page, None, read).await
    }

    /// The onboarding with this token, whatever became of it.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn onboarding_with(self, token: MspToken) -> Stored<Option<Onboarding>> {
        let sql = onboardings!("WHERE msp_token = $1");
        self.first(sql, params![token.to_string()], read).await
    }

    /// The oldest onboarding with a CMP that is not this one, and was not refused.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn onboarding_besides(
        self,
        client: &PartyId,
        token: MspToken,
    ) -> Stored<Option<Onboarding>> {
        let sql = onboardings!(
            "WHERE client_id = $1 AND msp_token <> $2 AND state <> 'refused' ORDER BY created_at, msp_token LIMIT 1
             /* reads all: up to the first that fits, for a misbehaviour */"
        );
        let values = params![client.as_str(), token.to_string()];
        self.first(sql, values, read).await
    }

    /// The onboardings of a subscription, oldest first; not those from before there were subscriptions.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn onboardings_with(self, subscription: &str) -> Stored<Vec<Onboarding>> {
        let sql = onboardings!("WHERE subscription = $1 ORDER BY created_at, msp_token");
        self.all(sql, params![subscription], read).await
    }

    /// The onboardings of a customer, oldest first.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn onboardings_of(self, user: &str) -> Stored<Vec<Onboarding>> {
        let sql = onboardings!("WHERE user_name = $1 ORDER BY created_at, msp_token");
        self.all(sql, params![user], read).await
    }

    /// Whether this account id was used before and not refused.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn sid_is_used(self, client: &PartyId, sid: Uuid) -> Stored<bool> {
        let sql =
            "SELECT sid FROM onboarding WHERE sid = $1 AND client_id = $2 AND state <> 'refused'";
        let values = params![sid.to_string(), client.as_str()];
        self.exists(sql, values).await
    }
}
