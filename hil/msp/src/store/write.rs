//! Writes the changes of a decision: one match without a wildcard arm, so that a change which is not stored does not
//! compile.

use sqlx::query;

use super::{Stored, Tx};
use crate::core::Change;
use crate::core::call::{Answer, Key};
use crate::core::model::{
    AcRequest, Job, Onboarding, Order, OutboxRow, Profile, Progress, StatusRow, Subscription,
};
use aid_id::Iccid;

/// A change that can be written.
pub(crate) trait Write: Send {
    /// Writes it inside a transaction.
    ///
    /// # Errors
    /// The database fails.
    fn write(self, tx: &mut Tx) -> impl Future<Output = Stored<()>> + Send;
}

impl Write for Change {
    async fn write(self, tx: &mut Tx) -> Stored<()> {
        match self {
            Self::CustomerPut { user, password, at } => {
                let sql = query(
                    "INSERT INTO customer (user_name, password, created_at) VALUES ($1, $2, $3)
                     ON CONFLICT (user_name) DO UPDATE SET password = excluded.password",
                );
                tx.run(sql.bind(user).bind(password).bind(at)).await
            }
            Self::SubscriptionAdded {
                subscription,
                iccids,
                at,
            } => tx.add_subscription(&subscription, &iccids, at).await,
            Self::SubscriptionSet(subscription) => tx.set_subscription(&subscription).await,
            Self::ApiKeyAdded { client, key, at } => {
                let sql = query(
                    "INSERT INTO api_key (client_id, api_key, created_at) VALUES ($1, $2, $3)",
                );
                tx.run(sql.bind(client.as_str()).bind(key).bind(at)).await
            }
            Self::ApiKeyEnded { client, key } => {
                let sql = query("DELETE FROM api_key WHERE client_id = $1 AND api_key = $2");
                tx.run(sql.bind(client.as_str()).bind(key)).await
            }
            Self::Audited {
                actor,
                action,
                detail,
                at,
            } => {
                let sql =
                    query("INSERT INTO audit (at, actor, action, detail) VALUES ($1, $2, $3, $4)");
                tx.run(sql.bind(at).bind(actor).bind(action).bind(detail))
                    .await
            }
            Self::OnboardingAdded(new) => tx.add_onboarding(&new).await,
            Self::OnboardingSet { token, state, at } => {
                let sql =
                    query("UPDATE onboarding SET state = $1, changed_at = $2 WHERE msp_token = $3");
                let sql = sql.bind(state.as_str()).bind(at).bind(token.to_string());
                tx.run(sql).await
            }
            Self::ProfileAdded(new) => tx.add_profile(&new).await,
            Self::ProfileSet(profile) => tx.set_profile(&profile).await,
            Self::StatusAdded(row) => tx.add_status(&row).await,
            Self::ProgressAdded { progress, at } => tx.add_progress(&progress, at).await,
            Self::OrderPut(order) => tx.put_order(&order).await,
            Self::OrderForgotten(request) => tx.forget_order(&request).await,
            Self::CallClaimed { key, until, at } => {
                let nothing = Answer {
                    status: 0,
                    body: String::new(),
                };
                tx.put_call(&key, &nothing, until, at).await
            }
            Self::CallAnswered { key, answer, at } => tx.put_call(&key, &answer, 0, at).await,
            Self::CallForgotten(key) => {
                let sql = query("DELETE FROM answered WHERE client_id = $1 AND request_id = $2");
                tx.run(sql.bind(key.client.as_str()).bind(key.id.to_string()))
                    .await
            }
            // The newest ten thousand stay unless their time was over within the last day: under a clock that is wrong by
            // years everything is old.
            Self::AnswersForgotten { before } => {
                let sql = query(
                    "DELETE FROM answered WHERE at < $1 AND (at >= $1 - 86400000 OR at <
                     (SELECT at FROM answered ORDER BY at DESC LIMIT 1 OFFSET 9999))",
                );
                tx.run(sql.bind(before)).await
            }
            Self::LeasesEnded => {
                tx.run(query(
                    "UPDATE answered SET leased_until = 0 WHERE status = 0",
                ))
                .await?;
                tx.run(query(
                    "UPDATE ac_request SET leased_until = 0 WHERE state = 'open'",
                ))
                .await
            }
            Self::JobAdded { job, next_at, at } => tx.add_job(&job, next_at, at).await,
            Self::JobSet(row) => tx.set_job(&row).await,
            Self::JobsWithdrawn { token, reason } => {
                let sql = query(
                    "UPDATE outbox SET state = 'dead', last_error = $1
                     WHERE msp_token = $2 AND state = 'waiting' AND kind <> 'cancel-order'",
                );
                tx.run(sql.bind(reason).bind(token.to_string())).await
            }
        }
    }
}

impl Tx {
    async fn add_subscription(
        &mut self,
        new: &Subscription,
        iccids: &[Iccid],
        at: i64,
    ) -> Stored<()> {
        let sql = query(
            "INSERT INTO subscription (id, user_name, label, msisdn, kind, customer_group, max_profiles, swap, fee, eligible, state, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT (id) DO NOTHING",
        )
        .bind(new.id.as_str())
        .bind(new.user.as_str())
        .bind(new.label.clone())
        .bind(new.msisdn.as_str())
        .bind(new.kind.as_str())
        .bind(new.customer_group.clone())
        .bind(i64::from(new.max_profiles))
        .bind(new.swap.as_str())
        .bind(new.fee.clone())
        .bind(i64::from(new.eligible))
        .bind(new.state.as_str())
        .bind(at);
        self.run(sql).await?;
        for (position, iccid) in (0_i64..).zip(iccids) {
            let sql = query(
                "INSERT INTO pool (iccid, subscription, position) VALUES ($1, $2, $3) ON CONFLICT (iccid) DO NOTHING",
            )
            .bind(iccid.as_str())
            .bind(new.id.as_str())
            .bind(position);
            self.run(sql).await?;
        }
        Ok(())
    }

    async fn set_subscription(&mut self, s: &Subscription) -> Stored<()> {
        let sql = query(
            "UPDATE subscription SET msisdn = $1, kind = $2, customer_group = $3, max_profiles = $4, swap = $5, fee = $6,
             eligible = $7, state = $8 WHERE id = $9",
        )
        .bind(s.msisdn.as_str())
        .bind(s.kind.as_str())
        .bind(s.customer_group.clone())
        .bind(i64::from(s.max_profiles))
        .bind(s.swap.as_str())
        .bind(s.fee.clone())
        .bind(i64::from(s.eligible))
        .bind(s.state.as_str())
        .bind(s.id.as_str());
        self.run(sql).await
    }

    async fn add_onboarding(&mut self, new: &Onboarding) -> Stored<()> {
        let sql = query(
            "INSERT INTO onboarding (msp_token, client_id, user_name, sid, state, created_at, changed_at, subscription)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(new.msp_token.to_string())
        .bind(new.client_id.as_str())
        .bind(new.user.as_str())
        .bind(new.sid.to_string())
        .bind(new.state.as_str())
        .bind(new.created_at)
        .bind(new.changed_at)
        .bind(new.subscription.as_str());
        self.run(sql).await
    }

    async fn add_profile(&mut self, new: &Profile) -> Stored<()> {
        let sql = query(
            "INSERT INTO profile (iccid, msp_token, eid, matching_id, state, network, created_at, used_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(new.iccid.as_str())
        .bind(new.msp_token.to_string())
        .bind(new.eid.as_str())
        .bind(new.matching_id.as_str())
        .bind(new.phase.as_str())
        .bind(i64::from(new.network))
        .bind(new.created_at)
        .bind(new.used_at);
        self.run(sql).await
    }

    async fn set_profile(&mut self, profile: &Profile) -> Stored<()> {
        let sql = query(
            "UPDATE profile SET state = $1, network = $2, used_at = $3
             WHERE msp_token = $4 AND iccid = $5 AND created_at = $6",
        )
        .bind(profile.phase.as_str())
        .bind(i64::from(profile.network))
        .bind(profile.used_at)
        .bind(profile.msp_token.to_string())
        .bind(profile.iccid.as_str())
        .bind(profile.created_at);
        self.run(sql).await
    }

    async fn add_status(&mut self, row: &StatusRow) -> Stored<()> {
        let sql = query(
            "INSERT INTO status (at, client_id, msp_token, iccid, eid, status, correlation_id)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(row.at)
        .bind(row.client_id.as_str())
        .bind(row.msp_token.to_string())
        .bind(row.iccid.as_str())
        .bind(row.eid.as_str())
        .bind(row.status.as_str())
        .bind(row.correlation_id.to_string());
        self.run(sql).await
    }

    async fn add_progress(&mut self, progress: &Progress, at: i64) -> Stored<()> {
        let sql = query(
            "INSERT INTO progress (at, iccid, eid, point, status, message) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(at)
        .bind(progress.iccid.as_str())
        .bind(progress.eid.clone())
        .bind(progress.point)
        .bind(progress.status.as_str())
        .bind(progress.message.clone());
        self.run(sql).await
    }

    async fn put_order(&mut self, order: &Order) -> Stored<()> {
        let request = &order.request;
        let sql = query(
            "INSERT INTO ac_request (client_id, request_id, msp_token, correlation_id, eid, replace_iccid, delivery, state,
             iccid, activation_code, swapped_iccid, error, created_at, leased_until)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
             ON CONFLICT (client_id, request_id) DO UPDATE SET msp_token = excluded.msp_token,
             correlation_id = excluded.correlation_id, eid = excluded.eid, replace_iccid = excluded.replace_iccid,
             delivery = excluded.delivery, state = excluded.state, iccid = excluded.iccid,
             activation_code = excluded.activation_code, swapped_iccid = excluded.swapped_iccid, error = excluded.error,
             created_at = excluded.created_at, leased_until = excluded.leased_until",
        )
        .bind(request.client_id.as_str())
        .bind(request.request_id.to_string())
        .bind(request.msp_token.to_string())
        .bind(request.correlation_id.to_string())
        .bind(request.eid.as_str())
        .bind(request.replace_iccid.as_ref().map(|i| i.as_str().to_owned()))
        .bind(order.delivery.as_str())
        .bind(order.state.as_str())
        .bind(order.iccid.as_ref().map(|i| i.as_str().to_owned()))
        .bind(order.activation_code.as_ref().map(ToString::to_string))
        .bind(order.swapped.as_ref().map(|i| i.as_str().to_owned()))
        .bind(order.error.clone())
        .bind(order.created_at)
        .bind(order.leased_until);
        self.run(sql).await
    }

    async fn forget_order(&mut self, request: &AcRequest) -> Stored<()> {
        let sql = query("DELETE FROM ac_request WHERE client_id = $1 AND request_id = $2")
            .bind(request.client_id.as_str())
            .bind(request.request_id.to_string());
        self.run(sql).await
    }

    /// Status 0 is a claim.
    async fn put_call(
        &mut self,
        key: &Key,
        answer: &Answer,
        leased_until: i64,
        at: i64,
    ) -> Stored<()> {
        let sql = query(
            "INSERT INTO answered (client_id, request_id, digest, status, body, at, leased_until)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (client_id, request_id) DO UPDATE SET digest = excluded.digest, status = excluded.status,
             body = excluded.body, at = excluded.at, leased_until = excluded.leased_until",
        )
        .bind(key.client.as_str())
        .bind(key.id.to_string())
        .bind(key.digest.as_str())
        .bind(i64::from(answer.status))
        .bind(answer.body.as_str())
        .bind(at)
        .bind(leased_until);
        self.run(sql).await
    }

    async fn add_job(&mut self, job: &Job, next_at: i64, at: i64) -> Stored<()> {
        let sql = query(
            "INSERT INTO outbox (client_id, kind, msp_token, request_id, correlation_id, body, state, attempts, next_at, created_at, last_error)
             VALUES ($1, $2, $3, $4, $5, $6, 'waiting', 0, $7, $8, '')",
        )
        .bind(job.client_id.as_str())
        .bind(job.kind.as_str())
        .bind(job.msp_token.to_string())
        .bind(job.request_id.to_string())
        .bind(job.correlation_id.to_string())
        .bind(job.body.as_str())
        .bind(next_at)
        .bind(at);
        self.run(sql).await
    }

    async fn set_job(&mut self, row: &OutboxRow) -> Stored<()> {
        let sql = query(
            "UPDATE outbox SET state = $1, attempts = $2, next_at = $3, last_error = $4 WHERE id = $5",
        )
        .bind(row.state.as_str())
        .bind(row.attempts)
        .bind(row.next_at)
        .bind(row.last_error.as_str())
        .bind(row.id);
        self.run(sql).await
    }
}
