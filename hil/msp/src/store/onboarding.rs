//! Onboardings: which customer an msp_token stands for, and towards which CMP (AID.02 §4.1, §5.3).

use aid_aid1::headers::PartyId;
use aid_id::MspToken;
use sqlx::any::AnyRow;
use uuid::Uuid;

use super::outbox::{Job, Kind, add_job};
use super::{Store, Stored, number, parsed, text, words};

words! {
    /// Where an onboarding stands.
    OnboardingState {
        /// Send MSP Token was not confirmed yet. If the CMP uses the token all the same, it has it.
        Pending = "pending",
        /// The CMP has confirmed.
        Active = "active",
        /// The CMP has refused.
        Refused = "refused",
        /// Withdrawn by one of the two sides; kept because statuses still use the token (§4.4).
        Invalidated = "invalidated",
    }
}

/// An onboarding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Onboarding {
    /// Names the customer towards this CMP.
    pub(crate) msp_token: MspToken,
    /// The CMP.
    pub(crate) client_id: PartyId,
    /// Our customer.
    pub(crate) user: String,
    /// His subscription; empty in old rows: the first.
    pub(crate) subscription: String,
    /// `sid` of the account id.
    pub(crate) sid: Uuid,
    /// Where it stands.
    pub(crate) state: OnboardingState,
    /// When it began.
    pub(crate) created_at: i64,
    /// When the state last changed.
    pub(crate) changed_at: i64,
}

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

impl Store {
    /// Stores a new onboarding, and the call that has to tell the CMP: before anything is sent. The outbox makes the call
    /// from `send_at` on; the touchpoint tries at once and closes the job if that succeeds.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn add_onboarding(
        &self,
        new: &Onboarding,
        job: &Job,
        send_at: i64,
    ) -> Stored<i64> {
        let mut tx = self.write().await?;
        sqlx::query(
            "INSERT INTO onboarding (msp_token, client_id, user_name, sid, state, created_at, changed_at, subscription)
             VALUES ($1, $2, $3, $4, $5, $6, $6, $7)",
        )
        .bind(new.msp_token.to_string())
        .bind(new.client_id.as_str())
        .bind(&new.user)
        .bind(new.sid.to_string())
        .bind(new.state.as_str())
        .bind(new.created_at)
        .bind(&new.subscription)
        .execute(&mut tx)
        .await?;
        let id = add_job(&mut tx, job, new.created_at, send_at).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// Notes what the CMP said about a token.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn settle_onboarding(
        &self,
        token: MspToken,
        state: OnboardingState,
        now: i64,
    ) -> Stored<()> {
        sqlx::query("UPDATE onboarding SET state = $1, changed_at = $2 WHERE msp_token = $3 AND state = 'pending'")
            .bind(state.as_str())
            .bind(now)
            .bind(token.to_string())
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// The onboarding behind a token of this CMP. A refused one is none.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn onboarding(
        &self,
        client: &PartyId,
        token: MspToken,
    ) -> Stored<Option<Onboarding>> {
        let row = sqlx::query("SELECT * FROM onboarding WHERE msp_token = $1 AND client_id = $2 AND state <> 'refused'")
            .bind(token.to_string())
            .bind(client.as_str())
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// All onboardings, oldest first.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn onboardings(&self) -> Stored<Vec<Onboarding>> {
        let rows = sqlx::query("SELECT * FROM onboarding ORDER BY created_at, msp_token")
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(read).collect()
    }

    /// Whether this account id was used before and not refused.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn sid_is_used(&self, client: &PartyId, sid: Uuid) -> Stored<bool> {
        let row = sqlx::query(
            "SELECT sid FROM onboarding WHERE sid = $1 AND client_id = $2 AND state <> 'refused'",
        )
        .bind(sid.to_string())
        .bind(client.as_str())
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.is_some())
    }

    /// Invalidates a token: no new activation codes, all profiles off the network at once, prepared orders cancelled
    /// (AID.02 §4.4, §7.9 NOTE). `notify` tells the CMP where the MSP began it. Repeating it changes nothing; yields
    /// whether anything changed.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn invalidate(
        &self,
        client: &PartyId,
        token: MspToken,
        notify: Option<Job>,
        now: i64,
    ) -> Stored<bool> {
        let mut tx = self.write().await?;
        let token_text = token.to_string();
        let changed = sqlx::query(
            "UPDATE onboarding SET state = 'invalidated', changed_at = $1
             WHERE msp_token = $2 AND client_id = $3 AND state IN ('pending', 'active')",
        )
        .bind(now)
        .bind(&token_text)
        .bind(client.as_str())
        .execute(&mut tx)
        .await?
        .rows_affected()
            > 0;
        if changed {
            sqlx::query("UPDATE outbox SET state = 'dead', last_error = 'the token was withdrawn' WHERE msp_token = $1 AND state = 'waiting' AND kind <> 'cancel-order'")
                .bind(&token_text)
                .execute(&mut tx)
                .await?;
            let prepared = sqlx::query(
                "SELECT iccid FROM profile WHERE msp_token = $1 AND state = 'prepared'",
            )
            .bind(&token_text)
            .fetch_all(&mut tx)
            .await?;
            sqlx::query("UPDATE profile SET network = 0 WHERE msp_token = $1")
                .bind(&token_text)
                .execute(&mut tx)
                .await?;
            for row in &prepared {
                let job = Job::new(
                    client,
                    Kind::CancelOrder,
                    token,
                    Uuid::new_v4(),
                    text(row, "iccid")?,
                );
                add_job(&mut tx, &job, now, now).await?;
            }
            if let Some(job) = notify {
                add_job(&mut tx, &job, now, now).await?;
            }
        }
        tx.commit().await?;
        Ok(changed)
    }
}
