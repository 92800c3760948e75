//! The statements that write the changes of a decision: one match without a wildcard arm, so that a change which is not
//! stored does not compile.

use aid_id::Iccid;
use aid_store::{Statement, Value};

use crate::core::Change;
use crate::core::call::{Answer, Key};
use crate::core::model::{
    Job, Onboarding, Order, OutboxRow, Profile, Progress, StatusRow, Subscription,
};

/// A change that can be written.
pub(crate) trait Write: Send {
    /// Adds the statements that write it.
    fn write(self, to: &mut Vec<Statement>);
}

/// A statement with its values, each converted by `Value::from`.
macro_rules! statement {
    ($sql:expr $(, $value:expr)* $(,)?) => {
        Statement { sql: $sql, values: vec![$(Value::from($value)),*] }
    };
}
pub(super) use statement;

/// Signs a member out everywhere.
fn end_sessions(member: String) -> Statement {
    statement!("DELETE FROM desk_session WHERE member = $1", member)
}

/// An ICCID, or NULL.
fn maybe_iccid(iccid: Option<&Iccid>) -> Option<String> {
    iccid.map(|iccid| iccid.as_str().to_owned())
}

impl Write for Change {
    fn write(self, to: &mut Vec<Statement>) {
        match self {
            Self::CustomerPut { user, password, at } => to.push(statement!(
                "INSERT INTO customer (user_name, password, created_at) VALUES ($1, $2, $3)
                 ON CONFLICT (user_name) DO UPDATE SET password = excluded.password",
                user,
                password,
                at,
            )),
            Self::SubscriptionAdded {
                subscription,
                iccids,
                at,
            } => add_subscription(to, subscription, &iccids, at),
            Self::SubscriptionSet(subscription) => to.push(set_subscription(subscription)),
            Self::ApiKeyAdded { client, key, at } => to.push(statement!(
                "INSERT INTO api_key (client_id, api_key, created_at) VALUES ($1, $2, $3)",
                client.as_str().to_owned(),
                key,
                at,
            )),
            Self::ApiKeyEnded { client, key } => to.push(statement!(
                "DELETE FROM api_key WHERE client_id = $1 AND api_key = $2",
                client.as_str().to_owned(),
                key,
            )),
            Self::Audited {
                actor,
                action,
                detail,
                reason,
                at,
            } => to.push(statement!(
                "INSERT INTO audit (at, actor, action, detail, reason) VALUES ($1, $2, $3, $4, $5)",
                at,
                actor,
                action,
                detail,
                reason,
            )),
            Self::MemberPut(member) => {
                to.push(statement!(
                    "INSERT INTO member (name, role, password, created_at) VALUES ($1, $2, $3, $4)
                     ON CONFLICT (name) DO UPDATE SET role = excluded.role, password = excluded.password",
                    member.name.clone(),
                    member.role.as_str(),
                    member.password,
                    member.created_at,
                ));
                to.push(end_sessions(member.name));
            }
            Self::MemberRemoved { name } => {
                to.push(statement!("DELETE FROM member WHERE name = $1", name.clone()));
                to.push(end_sessions(name));
            }
            Self::SessionBegun {
                cookie,
                member,
                expires_at,
                at,
            } => {
                to.push(statement!("DELETE FROM desk_session WHERE expires_at <= $1", at));
                to.push(statement!(
                    "INSERT INTO desk_session (cookie, member, expires_at) VALUES ($1, $2, $3)",
                    cookie,
                    member,
                    expires_at,
                ));
            }
            Self::SessionEnded { cookie } => to.push(statement!(
                "DELETE FROM desk_session WHERE cookie = $1",
                cookie,
            )),
            Self::OnboardingAdded(new) => to.push(add_onboarding(new)),
            Self::OnboardingSet { token, state, at } => to.push(statement!(
                "UPDATE onboarding SET state = $1, changed_at = $2 WHERE msp_token = $3",
                state.as_str(),
                at,
                token.to_string(),
            )),
            Self::ProfileAdded(new) => to.push(add_profile(new)),
            Self::ProfileSet(profile) => to.push(set_profile(&profile)),
            Self::StatusAdded(row) => to.push(add_status(&row)),
            Self::ProgressAdded { progress, at } => to.push(add_progress(progress, at)),
            Self::OrderPut(order) => to.push(put_order(order)),
            Self::OrderForgotten(request) => to.push(statement!(
                "DELETE FROM ac_request WHERE client_id = $1 AND request_id = $2",
                request.client_id.as_str().to_owned(),
                request.request_id.to_string(),
            )),
            Self::CallClaimed { key, until, at } => {
                let nothing = Answer {
                    status: 0,
                    body: String::new(),
                };
                to.push(put_call(key, nothing, until, at));
            }
            Self::CallAnswered { key, answer, at } => to.push(put_call(key, answer, 0, at)),
            Self::CallForgotten(key) => to.push(statement!(
                "DELETE FROM answered WHERE client_id = $1 AND request_id = $2",
                key.client.as_str().to_owned(),
                key.id.to_string(),
            )),
            // The newest ten thousand stay unless their time was over within the last day: under a clock that is wrong by
            // years everything is old.
            Self::AnswersForgotten { before } => to.push(statement!(
                "DELETE FROM answered WHERE (client_id, request_id) IN
                 (SELECT client_id, request_id FROM answered WHERE at < $1 AND (at >= $1 - 86400000 OR at <
                 (SELECT at FROM answered ORDER BY at DESC LIMIT 1 OFFSET 9999)) ORDER BY at LIMIT 5000)",
                before,
            )),
            Self::LeasesEnded => to.extend([
                statement!("/* reads all: by their index, at a start */
                     UPDATE answered SET leased_until = 0 WHERE status = 0"),
                statement!("/* reads all: by their index, at a start */
                     UPDATE ac_request SET leased_until = 0 WHERE state = 'open'"),
            ]),
            Self::JobAdded { job, next_at, at } => to.push(add_job(job, next_at, at)),
            Self::JobSet(row) => to.push(set_job(row)),
            Self::JobsWithdrawn { token, reason } => to.push(statement!(
                "UPDATE outbox SET state = 'dead', last_error = $1
                 WHERE msp_token = $2 AND state = 'waiting' AND kind <> 'cancel-order'",
                reason,
                token.to_string(),
            )),
        }
    }
}

fn add_subscription(to: &mut Vec<Statement>, new: Subscription, iccids: &[Iccid], at: i64) {
    let pool = (0_i64..).zip(iccids).map(|(position, iccid)| {
        statement!(
            "INSERT INTO pool (iccid, subscription, position) VALUES ($1, $2, $3) ON CONFLICT (iccid) DO NOTHING",
            iccid.as_str().to_owned(),
            new.id.clone(),
            position,
        )
    });
    let pool: Vec<_> = pool.collect();
    to.push(statement!(
        "INSERT INTO subscription (id, user_name, label, msisdn, kind, customer_group, max_profiles, swap, fee, eligible, state, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT (id) DO NOTHING",
        new.id,
        new.user,
        new.label,
        new.msisdn,
        new.kind.as_str(),
        new.customer_group,
        new.max_profiles,
        new.swap.as_str(),
        new.fee,
        new.eligible,
        new.state.as_str(),
        at,
    ));
    to.extend(pool);
}

fn set_subscription(s: Subscription) -> Statement {
    statement!(
        "UPDATE subscription SET msisdn = $1, kind = $2, customer_group = $3, max_profiles = $4, swap = $5, fee = $6,
         eligible = $7, state = $8 WHERE id = $9",
        s.msisdn,
        s.kind.as_str(),
        s.customer_group,
        s.max_profiles,
        s.swap.as_str(),
        s.fee,
        s.eligible,
        s.state.as_str(),
        s.id,
    )
}

fn add_onboarding(new: Onboarding) -> Statement {
    statement!(
        "INSERT INTO onboarding (msp_token, client_id, user_name, sid, state, created_at, changed_at, subscription)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        new.msp_token.to_string(),
        new.client_id.as_str().to_owned(),
        new.user,
        new.sid.to_string(),
        new.state.as_str(),
        new.created_at,
        new.changed_at,
        new.subscription,
    )
}

fn add_profile(new: Profile) -> Statement {
    statement!(
        "INSERT INTO profile (iccid, msp_token, eid, matching_id, state, network, created_at, used_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        new.iccid.as_str().to_owned(),
        new.msp_token.to_string(),
        new.eid.as_str().to_owned(),
        new.matching_id,
        new.phase.as_str(),
        new.network,
        new.created_at,
        new.used_at,
    )
}

fn set_profile(profile: &Profile) -> Statement {
    statement!(
        "UPDATE profile SET state = $1, network = $2, used_at = $3
         WHERE msp_token = $4 AND iccid = $5 AND created_at = $6",
        profile.phase.as_str(),
        profile.network,
        profile.used_at,
        profile.msp_token.to_string(),
        profile.iccid.as_str().to_owned(),
        profile.created_at,
    )
}

fn add_status(row: &StatusRow) -> Statement {
    statement!(
        "INSERT INTO status (at, client_id, msp_token, iccid, eid, status, correlation_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        row.at,
        row.client_id.as_str().to_owned(),
        row.msp_token.to_string(),
        row.iccid.as_str().to_owned(),
        row.eid.as_str().to_owned(),
        row.status.as_str(),
        row.correlation_id.to_string(),
    )
}

fn add_progress(progress: Progress, at: i64) -> Statement {
    statement!(
        "INSERT INTO progress (at, iccid, eid, point, status, message) VALUES ($1, $2, $3, $4, $5, $6)",
        at,
        progress.iccid.as_str().to_owned(),
        progress.eid,
        progress.point,
        progress.status,
        progress.message,
    )
}

fn put_order(order: Order) -> Statement {
    let request = &order.request;
    statement!(
        "INSERT INTO ac_request (client_id, request_id, msp_token, correlation_id, eid, replace_iccid, delivery, state,
         iccid, activation_code, swapped_iccid, error, created_at, leased_until)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
         ON CONFLICT (client_id, request_id) DO UPDATE SET msp_token = excluded.msp_token,
         correlation_id = excluded.correlation_id, eid = excluded.eid, replace_iccid = excluded.replace_iccid,
         delivery = excluded.delivery, state = excluded.state, iccid = excluded.iccid,
         activation_code = excluded.activation_code, swapped_iccid = excluded.swapped_iccid, error = excluded.error,
         created_at = excluded.created_at, leased_until = excluded.leased_until",
        request.client_id.as_str().to_owned(),
        request.request_id.to_string(),
        request.msp_token.to_string(),
        request.correlation_id.to_string(),
        request.eid.as_str().to_owned(),
        maybe_iccid(request.replace_iccid.as_ref()),
        order.delivery.as_str(),
        order.state.as_str(),
        maybe_iccid(order.iccid.as_ref()),
        order.activation_code.as_ref().map(ToString::to_string),
        maybe_iccid(order.swapped.as_ref()),
        order.error,
        order.created_at,
        order.leased_until,
    )
}

/// Status 0 is a claim.
fn put_call(key: Key, answer: Answer, leased_until: i64, at: i64) -> Statement {
    statement!(
        "INSERT INTO answered (client_id, request_id, digest, status, body, at, leased_until)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (client_id, request_id) DO UPDATE SET digest = excluded.digest, status = excluded.status,
         body = excluded.body, at = excluded.at, leased_until = excluded.leased_until",
        key.client.as_str().to_owned(),
        key.id.to_string(),
        key.digest,
        answer.status,
        answer.body,
        at,
        leased_until,
    )
}

fn add_job(job: Job, next_at: i64, at: i64) -> Statement {
    statement!(
        "INSERT INTO outbox (client_id, kind, msp_token, request_id, correlation_id, body, state, attempts, next_at, created_at, last_error)
         VALUES ($1, $2, $3, $4, $5, $6, 'waiting', 0, $7, $8, '')",
        job.client_id.as_str().to_owned(),
        job.kind.as_str(),
        job.msp_token.to_string(),
        job.request_id.to_string(),
        job.correlation_id.to_string(),
        job.body,
        next_at,
        at,
    )
}

fn set_job(row: OutboxRow) -> Statement {
    statement!(
        "UPDATE outbox SET state = $1, attempts = $2, next_at = $3, last_error = $4 WHERE id = $5",
        row.state.as_str(),
        row.attempts,
        row.next_at,
        row.last_error,
        row.id,
    )
}
