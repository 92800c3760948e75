//! Requests for activation codes and what became of them (AID.02 §7.7), with the swap of §4.3.1.

use aid_aid1::body::{
    ActivationCodeResponse, Body as _, ProfileType, RequestActivationCode, SendActivationCode,
};
use aid_aid1::headers::PartyId;
use aid_id::{ActivationCode, Eid, Iccid, MspToken};
use aid_store::writer::Transaction;
use sqlx::any::AnyRow;
use uuid::Uuid;

use super::outbox::{Job, Kind, add_job};
use super::profile::{Profile, read as read_profile};
use super::{Store, Stored, Subscription, SwapPolicy, number, optional, parsed, text, words};
use crate::misbehave::Order;

words! {
    /// How an answer travels.
    Delivery {
        /// In the answer to the request.
        Sync = "sync",
        /// By Send Activation Code.
        Async = "async",
    }
}

/// A request that is being worked on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AcRequest {
    /// Who asks.
    pub(crate) client_id: PartyId,
    /// `activationCodeRequestID`
    pub(crate) request_id: Uuid,
    /// For whom.
    pub(crate) msp_token: MspToken,
    /// The transaction.
    pub(crate) correlation_id: Uuid,
    /// For which eUICC.
    pub(crate) eid: Eid,
    /// What the CMP offers for a swap.
    pub(crate) replace_iccid: Option<Iccid>,
}

fn read(row: &AnyRow) -> Stored<AcRequest> {
    Ok(AcRequest {
        client_id: parsed(row, "client_id")?,
        request_id: parsed(row, "request_id")?,
        msp_token: parsed(row, "msp_token")?,
        correlation_id: parsed(row, "correlation_id")?,
        eid: parsed(row, "eid")?,
        replace_iccid: optional(row, "replace_iccid")?.and_then(|t| t.parse().ok()),
    })
}

/// A request with what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OrderRow {
    /// What was asked.
    pub(crate) request: AcRequest,
    /// sync or async
    pub(crate) delivery: String,
    /// open, done or failed
    pub(crate) state: String,
    /// The profile.
    pub(crate) iccid: Option<String>,
    /// The profile that was given up for it.
    pub(crate) swapped: Option<String>,
    /// Why there is no code.
    pub(crate) error: Option<String>,
    /// When it came.
    pub(crate) created_at: i64,
}

/// What a request finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Begun {
    /// Work on it.
    New(AcRequest),
    /// It is being worked on for an earlier call.
    Running,
    /// It was answered; this is the answer.
    Done(ActivationCodeResponse),
    /// The id belongs to another token or eUICC.
    Conflict,
}

/// A profile that was ordered at the SM-DP+.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ordered {
    /// The profile.
    pub(crate) iccid: Iccid,
    /// Where to download it.
    pub(crate) activation_code: ActivationCode,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Finished {
    /// The answer; it is in the outbox already if it travels by Send Activation Code.
    Code(ActivationCodeResponse),
    /// The token was invalidated meanwhile: cancel the order.
    Withdrawn,
    /// All profiles of the subscription are in use, and none can be swapped: cancel the order.
    Full,
}

impl Store {
    /// Stores a request before anything is done for it. The same request again finds what became of the first; one that
    /// failed is tried again.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn begin_order(
        &self,
        client: &PartyId,
        token: MspToken,
        body: &RequestActivationCode,
        correlation: Uuid,
        delivery: Delivery,
        now: i64,
    ) -> Stored<Begun> {
        let mut tx = self.write().await?;
        let row = sqlx::query("SELECT * FROM ac_request WHERE client_id = $1 AND request_id = $2")
            .bind(client.as_str())
            .bind(body.request_id.to_string())
            .fetch_optional(&mut tx)
            .await?;
        let request = AcRequest {
            client_id: client.clone(),
            request_id: body.request_id,
            msp_token: token,
            correlation_id: correlation,
            eid: body.eid,
            replace_iccid: body.replace_iccid.clone(),
        };
        if let Some(row) = row {
            let earlier = read(&row)?;
            if earlier.msp_token != token || earlier.eid != body.eid {
                return Ok(Begun::Conflict);
            }
            match text(&row, "state")?.as_str() {
                "done" => return answer(&row).map(Begun::Done),
                "open" => return Ok(Begun::Running),
                _ => {}
            }
            sqlx::query("DELETE FROM ac_request WHERE client_id = $1 AND request_id = $2")
                .bind(client.as_str())
                .bind(body.request_id.to_string())
                .execute(&mut tx)
                .await?;
        }
        sqlx::query(
            "INSERT INTO ac_request (client_id, request_id, msp_token, correlation_id, eid, replace_iccid, delivery, state, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, 'open', $8)",
        )
        .bind(client.as_str())
        .bind(body.request_id.to_string())
        .bind(token.to_string())
        .bind(correlation.to_string())
        .bind(body.eid.as_str())
        .bind(body.replace_iccid.as_ref().map(|i| i.as_str().to_owned()))
        .bind(delivery.as_str())
        .bind(now)
        .execute(&mut tx)
        .await?;
        tx.commit().await?;
        Ok(Begun::New(request))
    }

    /// Notes which profile the SM-DP+ reserved, so that a second attempt asks for the same.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn note_reserved(&self, request: &AcRequest, iccid: &Iccid) -> Stored<()> {
        sqlx::query("UPDATE ac_request SET iccid = $1 WHERE client_id = $2 AND request_id = $3")
            .bind(iccid.as_str())
            .bind(request.client_id.as_str())
            .bind(request.request_id.to_string())
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// Lets an open request be answered by Send Activation Code. `false` if it has been answered meanwhile.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn make_async(&self, client: &PartyId, request_id: Uuid) -> Stored<bool> {
        let done = sqlx::query("UPDATE ac_request SET delivery = 'async' WHERE client_id = $1 AND request_id = $2 AND state = 'open'")
            .bind(client.as_str())
            .bind(request_id.to_string())
            .execute(&self.writer)
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Whether a request is open whose answer travels by Send Activation Code.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn is_owed(&self, request: &AcRequest) -> Stored<bool> {
        let row = sqlx::query(
            "SELECT state FROM ac_request WHERE client_id = $1 AND request_id = $2 AND state = 'open' AND delivery = 'async'",
        )
        .bind(request.client_id.as_str())
        .bind(request.request_id.to_string())
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.is_some())
    }

    /// The answer to a request that is done, or the text of its error.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn order_answer(
        &self,
        client: &PartyId,
        request_id: Uuid,
    ) -> Stored<Option<Result<ActivationCodeResponse, String>>> {
        let row = sqlx::query(
            "SELECT * FROM ac_request WHERE client_id = $1 AND request_id = $2 AND state <> 'open'",
        )
        .bind(client.as_str())
        .bind(request_id.to_string())
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| match optional(&row, "error")? {
            Some(error) => Ok(Err(error)),
            None => answer(&row).map(Ok),
        })
        .transpose()
    }

    /// Completes a request in one step: a swap if the customer has no slot left (§4.3.1), the new profile, the answer,
    /// and the outbox where the answer travels that way.
    ///
    /// # Errors
    /// The database fails; nothing of it has happened then.
    pub(crate) async fn finish_order(
        &self,
        request: &AcRequest,
        ordered: &Ordered,
        subscription: &Subscription,
        wrong: &Order,
        now: i64,
    ) -> Stored<Finished> {
        let mut tx = self.write().await?;
        let token = request.msp_token.to_string();
        let alive = sqlx::query(
            "SELECT state FROM onboarding WHERE msp_token = $1 AND state IN ('pending', 'active')",
        )
        .bind(&token)
        .fetch_optional(&mut tx)
        .await?;
        if alive.is_none() && !wrong.dead_token {
            return Ok(Finished::Withdrawn);
        }
        // That the CMP uses a token shows that it has it, even if its 201 was lost.
        sqlx::query("UPDATE onboarding SET state = 'active', changed_at = $1 WHERE msp_token = $2 AND state = 'pending'")
            .bind(now)
            .bind(&token)
            .execute(&mut tx)
            .await?;
        // The subscription may be linked to several CMPs; what they have together counts, what this one has can be swapped.
        let rows = sqlx::query(
            "SELECT * FROM profile WHERE state IN ('prepared', 'installed') AND (msp_token = $1 OR msp_token IN
             (SELECT msp_token FROM onboarding WHERE subscription = $2 AND state IN ('pending', 'active')))",
        )
        .bind(&token)
        .bind(&subscription.id)
        .fetch_all(&mut tx)
        .await?;
        let profiles = rows.iter().map(read_profile).collect::<Stored<Vec<_>>>()?;
        let candidate = request.replace_iccid.as_ref();
        let Ok(swapped) = to_swap(&profiles, request.msp_token, candidate, subscription, wrong)
        else {
            return Ok(Finished::Full);
        };
        if let Some(old) = swapped {
            sqlx::query("UPDATE profile SET state = 'swapped', network = 0 WHERE msp_token = $1 AND iccid = $2 AND created_at = $3")
                .bind(&token)
                .bind(old.iccid.as_str())
                .bind(old.created_at)
                .execute(&mut tx)
                .await?;
            if old.phase == super::ProfilePhase::Prepared {
                let iccid = old.iccid.as_str().to_owned();
                let job = Job::new(
                    &request.client_id,
                    Kind::CancelOrder,
                    request.msp_token,
                    request.correlation_id,
                    iccid,
                );
                add_job(&mut tx, &job, now, now).await?;
            }
        }
        sqlx::query(
            "INSERT INTO profile (iccid, msp_token, eid, matching_id, state, network, created_at, used_at)
             VALUES ($1, $2, $3, $4, 'prepared', 1, $5, $5)",
        )
        .bind(ordered.iccid.as_str())
        .bind(&token)
        .bind(request.eid.as_str())
        .bind(ordered.activation_code.matching_id())
        .bind(now)
        .execute(&mut tx)
        .await?;
        let swapped = swapped.map(|old| old.iccid.clone());
        let response = ActivationCodeResponse {
            iccid: Some(ordered.iccid.clone()),
            activation_code: ordered.activation_code.clone(),
            profile_type: ProfileType::Personal,
            swapped_iccid: swapped.clone(),
        };
        let body = SendActivationCode::Code {
            request_id: request.request_id,
            activation_code: ordered.activation_code.clone(),
            profile_type: ProfileType::Personal,
            iccid: ordered.iccid.clone(),
            swapped_iccid: swapped.clone(),
        };
        let done = [
            Some(ordered.activation_code.to_string()),
            swapped.map(String::from),
            None,
        ];
        close(&mut tx, request, Some(&ordered.iccid), done, &body, now).await?;
        tx.commit().await?;
        Ok(Finished::Code(response))
    }

    /// Completes a request without a code; the CMP learns why.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn fail_order(
        &self,
        request: &AcRequest,
        error: &str,
        now: i64,
    ) -> Stored<()> {
        let mut tx = self.write().await?;
        let body = SendActivationCode::Failed {
            request_id: Some(request.request_id),
            error: error.to_owned(),
        };
        close(
            &mut tx,
            request,
            None,
            [None, None, Some(error.to_owned())],
            &body,
            now,
        )
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// All requests, oldest first.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn orders(&self) -> Stored<Vec<OrderRow>> {
        let rows = sqlx::query("SELECT * FROM ac_request ORDER BY created_at, request_id")
            .fetch_all(&self.pool)
            .await?;
        let row = |row: &AnyRow| {
            Ok(OrderRow {
                request: read(row)?,
                delivery: text(row, "delivery")?,
                state: text(row, "state")?,
                iccid: optional(row, "iccid")?,
                swapped: optional(row, "swapped_iccid")?,
                error: optional(row, "error")?,
                created_at: number(row, "created_at")?,
            })
        };
        rows.iter().map(row).collect()
    }

    /// The newest request of a token.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn newest_request(&self, token: MspToken) -> Stored<Option<Uuid>> {
        let row = sqlx::query(
            "SELECT request_id FROM ac_request WHERE msp_token = $1 ORDER BY created_at DESC LIMIT 1",
        )
        .bind(token.to_string())
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| parsed(&row, "request_id")).transpose()
    }

    /// Requests that were accepted with 201 and not answered when the program stopped.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn unanswered_orders(&self) -> Stored<Vec<AcRequest>> {
        // Nobody waits for the synchronous ones any more; the CMP asks again.
        sqlx::query("DELETE FROM ac_request WHERE state = 'open' AND delivery = 'sync'")
            .execute(&self.writer)
            .await?;
        let rows = sqlx::query("SELECT * FROM ac_request WHERE state = 'open' ORDER BY created_at")
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(read).collect()
    }
}

/// Stores the outcome of an open request, and puts it into the outbox if nobody waits for it.
async fn close(
    tx: &mut Transaction,
    request: &AcRequest,
    iccid: Option<&Iccid>,
    [code, swapped, error]: [Option<String>; 3],
    body: &SendActivationCode,
    now: i64,
) -> Stored<()> {
    let delivery = sqlx::query("SELECT delivery FROM ac_request WHERE client_id = $1 AND request_id = $2 AND state = 'open'")
        .bind(request.client_id.as_str())
        .bind(request.request_id.to_string())
        .fetch_optional(&mut *tx)
        .await?;
    let Some(delivery) = delivery else {
        return Ok(());
    };
    sqlx::query(
        "UPDATE ac_request SET state = $1, iccid = $2, activation_code = $3, swapped_iccid = $4, error = $5
         WHERE client_id = $6 AND request_id = $7",
    )
    .bind(if error.is_none() { "done" } else { "failed" })
    .bind(iccid.map(|i| i.as_str().to_owned()))
    .bind(code)
    .bind(swapped)
    .bind(error)
    .bind(request.client_id.as_str())
    .bind(request.request_id.to_string())
    .execute(&mut *tx)
    .await?;
    if text(&delivery, "delivery")? == Delivery::Async.as_str() {
        let body = body.to_json().to_string();
        let job = Job::new(
            &request.client_id,
            Kind::SendActivationCode,
            request.msp_token,
            request.correlation_id,
            body,
        );
        add_job(tx, &job, now, now).await?;
    }
    Ok(())
}

/// The profile to give up, if all slots are taken: the CMP's candidate if it is one of ours that takes a slot, otherwise
/// the least recently used (AID.02 §4.3.1 2b, 2c). `profiles` are those that take a slot.
///
/// # Errors
/// One has to be given up, and none can be.
fn to_swap<'a>(
    profiles: &'a [Profile],
    token: MspToken,
    candidate: Option<&Iccid>,
    subscription: &Subscription,
    wrong: &Order,
) -> Result<Option<&'a Profile>, ()> {
    let full = profiles.len() >= subscription.max_profiles as usize;
    if !full && !wrong.early_swap {
        return Ok(None);
    }
    let own = || profiles.iter().filter(|p| p.msp_token == token);
    let wanted = own().find(|p| Some(&p.iccid) == candidate);
    let oldest = own().min_by_key(|p| p.used_at);
    let chosen = match subscription.swap {
        _ if wrong.own_swap => oldest,
        SwapPolicy::Candidate => wanted.or(oldest),
        SwapPolicy::Own => oldest,
        SwapPolicy::Refuse => wanted,
    };
    if full && chosen.is_none() {
        return Err(());
    }
    Ok(chosen)
}

fn answer(row: &AnyRow) -> Stored<ActivationCodeResponse> {
    Ok(ActivationCodeResponse {
        iccid: Some(parsed(row, "iccid")?),
        activation_code: parsed(row, "activation_code")?,
        profile_type: ProfileType::Personal,
        swapped_iccid: optional(row, "swapped_iccid")?.and_then(|t| t.parse().ok()),
    })
}
