//! Each change as SQL statements. One match names every change, without an arm for the rest: a new change does not
//! compile before it is stored.

use super::work::{self, of_call, of_order};
use super::{certificate, desk, remove};
use aid_cmp_core::change::{Change, FleetChange, LinkChange, PortalChange};
use aid_cmp_core::model::{Audit, CallState, CodeRequest, Federation, Profile, Vehicle};
use aid_id::{AccountRef, Eid};
use aid_store::{Statement, Value};
use serde_json::json;

/// A statement; values are converted by `Value::from`.
macro_rules! statement {
    ($sql:expr $(, $value:expr)* $(,)?) => {
        aid_store::Statement { sql: $sql, values: vec![$(aid_store::Value::from($value)),*] }
    };
}
pub(super) use statement;

/// The text of an EID. That of a choice for all other cars is empty.
pub(super) fn eid_text(eid: Option<Eid>) -> String {
    eid.map(String::from).unwrap_or_default()
}

pub(super) fn account_id(account: Option<AccountRef>) -> Value<'static> {
    Value::from(account.map(|account| account.0))
}

/// The statements of a change, in their order.
pub(super) fn statements(change: Change) -> Vec<Statement> {
    match change {
        Change::AddVehicle(vehicle) => vec![add_vehicle(vehicle)],
        Change::Seen {
            eid,
            at,
            software,
            card,
        } => vec![statement!(
            "UPDATE vehicle SET last_seen = $1, software = $2, card = $3 WHERE eid = $4",
            at,
            software,
            card,
            String::from(eid),
        )],
        Change::Fleet(change) => vec![fleet(change)],
        Change::Portal(change) => vec![portal(change)],
        Change::RetireVehicle(eid, at, reason, replaced_by) => vec![
            statement!(
                "UPDATE vehicle SET retired_at = $1, retired_reason = $2, replaced_by = $3 WHERE eid = $4",
                at,
                reason,
                replaced_by.map(String::from),
                String::from(eid),
            ),
            // Nobody waits for it to come back.
            statement!("DELETE FROM presence WHERE eid = $1", String::from(eid)),
        ],
        Change::ForgetLogins(eid) => vec![statement!(
            "DELETE FROM vehicle_login WHERE eid = $1",
            String::from(eid)
        )],
        Change::AddAccount(a) => vec![statement!(
            "INSERT INTO account (id, name, display_name, password, pin_mac, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6)",
            a.id.0,
            a.name,
            a.display_name,
            a.password.expose().to_owned(),
            a.pin_mac,
            a.created_at,
        )],
        Change::EraseAccount(account) => remove::erase_account(account),
        Change::RemoveAccount(account) => remove::remove_account(account),
        Change::Prefer(account, eid, Some(federation)) => vec![statement!(
            "INSERT INTO preference (account, eid, federation) VALUES ($1, $2, $3) \
             ON CONFLICT (account, eid) DO UPDATE SET federation = excluded.federation",
            account.0,
            eid_text(eid),
            federation,
        )],
        Change::Prefer(account, eid, None) => vec![statement!(
            "DELETE FROM preference WHERE account = $1 AND eid = $2",
            account.0,
            eid_text(eid),
        )],
        Change::AddNotice(n) => vec![statement!(
            "INSERT INTO notice (id, account, at, kind, detail) VALUES ($1, $2, $3, $4, $5)",
            n.id,
            n.account.0,
            n.at,
            n.kind.as_str(),
            n.detail,
        )],
        Change::RemoveNotice(account, id) => vec![statement!(
            "DELETE FROM notice WHERE account = $1 AND id = $2",
            account.0,
            id
        )],
        Change::ForgetAttempts(prefix) => forget_attempts(prefix),
        Change::SetAttempts(key, None) => {
            vec![statement!("DELETE FROM attempt WHERE key = $1", key)]
        }
        Change::SetAttempts(key, Some(a)) => vec![statement!(
            "INSERT INTO attempt (key, count, since, last) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (key) DO UPDATE SET count = excluded.count, since = excluded.since, \
             last = excluded.last",
            key,
            a.count,
            a.since,
            a.last,
        )],
        Change::LoggedIn(eid, account, at) => vec![statement!(
            "INSERT INTO vehicle_login (eid, account, first_at) VALUES ($1, $2, $3) \
             ON CONFLICT (eid, account) DO NOTHING",
            String::from(eid),
            account.0,
            at,
        )],
        Change::AddSession(s) => vec![statement!(
            "INSERT INTO portal_session (token_hash, account, expires_at) VALUES ($1, $2, $3)",
            s.token_hash,
            s.account.0,
            s.expires_at,
        )],
        Change::RemoveSession(hash) => vec![statement!(
            "DELETE FROM portal_session WHERE token_hash = $1",
            hash
        )],
        Change::AddOnboarding(o) => vec![statement!(
            "INSERT INTO onboarding (sid, msp, account, state, return_state, token, error, created_at, \
             expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            o.sid,
            o.msp,
            o.account.0,
            o.state.as_str(),
            o.return_state,
            o.token.map(|token| *token.as_bytes()),
            o.error,
            o.created_at,
            o.expires_at,
        )],
        Change::CloseOnboarding(sid, state, token, error) => vec![statement!(
            "UPDATE onboarding SET state = $1, token = $2, error = $3 WHERE sid = $4",
            state.as_str(),
            token.map(|token| *token.as_bytes()),
            error,
            sid,
        )],
        Change::AddFederation(federation) => vec![add_federation(federation)],
        Change::UpdateFederation(f) => vec![statement!(
            "UPDATE federation SET phone_number = $1, iv = $2, subscription_type = $3, \
             customer_group = $4, ended_at = $5, ended_reason = $6 WHERE id = $7",
            f.phone.phone_number,
            f.phone.iv,
            f.kind.as_str(),
            f.customer_group,
            f.ended_at,
            f.ended_reason,
            f.id,
        )],
        Change::PurgeFederation(federation) => remove::purge_federation(federation),
        Change::SetHold(h) => vec![statement!(
            "INSERT INTO hold (federation, eid, since) VALUES ($1, $2, $3) \
             ON CONFLICT (federation, eid) DO UPDATE SET since = excluded.since",
            h.federation,
            String::from(h.eid),
            h.since,
        )],
        Change::ClearHold(federation, eid) => vec![statement!(
            "DELETE FROM hold WHERE federation = $1 AND eid = $2",
            federation,
            String::from(eid),
        )],
        Change::AddSyncRun(r) => vec![statement!(
            "INSERT INTO sync_run (id, federation, at, outcome, findings) VALUES ($1, $2, $3, $4, $5)",
            r.id,
            r.federation,
            r.at,
            r.outcome,
            r.findings,
        )],
        Change::AddProfile(profile) => vec![add_profile(profile)],
        Change::PutProfile(profile) => vec![put_profile(profile)],
        Change::PutRequest(request) => vec![put_request(request)],
        Change::AddReport(report) => vec![work::add_report(report)],
        Change::AddOrder(order) => {
            let given = of_order(order.id, order.created_at, "given", order.reason.clone());
            let heard = desk::order_given(&order);
            vec![work::add_order(order), given, heard]
        }
        Change::OrderSent(id, at) => vec![
            statement!(
                "UPDATE vehicle_order SET sent_at = $1, attempts = attempts + 1 WHERE id = $2",
                at,
                id,
            ),
            of_order(id, at, "sent", String::new()),
        ],
        Change::CloseOrder(id, state, code, at) => {
            let detail = code.map(|code| format!("code {code}"));
            vec![
                statement!(
                    "UPDATE vehicle_order SET state = $1, code = $2, closed_at = $3 WHERE id = $4 \
                     AND state = 'open'",
                    state.as_str(),
                    code,
                    at,
                    id,
                ),
                of_order(id, at, state.as_str(), detail.unwrap_or_default()),
                desk::order_closed(id, state, code, at),
            ]
        }
        Change::AddCall(call) => work::add_call(call),
        Change::RetryCall {
            id,
            attempts,
            at,
            next_at,
            error,
        } => {
            let failed = of_call(id, at, "failed", format!("try {attempts}: {error}"));
            let retry = statement!(
                "UPDATE outbox SET attempts = $1, next_at = $2, last_error = $3, claimed_until = 0 \
                 WHERE id = $4 AND state = 'due'",
                attempts,
                next_at,
                error,
                id,
            );
            vec![retry, work::put_off_lane(id, next_at), failed]
        }
        Change::GiveUpCall(id, at, error) => {
            let dead = of_call(id, at, "dead", error.clone());
            let give_up = statement!(
                "UPDATE outbox SET state = 'dead', last_error = $1, claimed_until = 0 WHERE id = $2 \
                 AND state = 'due'",
                error,
                id,
            );
            let heard = desk::alarm(
                "call.dead",
                &json!({"call": uuid::Uuid::from_bytes(id)}),
                at,
            );
            vec![give_up, work::let_lane_go(id), dead, heard]
        }
        Change::ReviveCall(id, at) => vec![
            statement!(
                "UPDATE outbox SET state = 'due', attempts = 0, next_at = $1, claimed_until = 0 \
                 WHERE id = $2 AND state IN ('due', 'dead')",
                at,
                id,
            ),
            work::let_lane_go(id),
            of_call(id, at, "revived", String::new()),
        ],
        Change::CloseCall(id, state, at) => {
            let state = match state {
                CallState::Done => CallState::Done,
                CallState::Due | CallState::Dead | CallState::Dropped => CallState::Dropped,
            };
            let close = statement!(
                "UPDATE outbox SET state = $1, closed_at = $2 WHERE id = $3 \
                 AND state IN ('due', 'dead')",
                state.as_str(),
                at,
                id,
            );
            vec![close, work::let_lane_go(id)]
        }
        Change::Happened(h) => vec![
            of_order(h.work, h.at, h.event.clone(), h.detail.clone()),
            of_call(h.work, h.at, h.event, h.detail),
        ],
        Change::UseIv {
            msp,
            key_id,
            iv,
            digest,
            at,
        } => vec![statement!(
            "INSERT INTO phone_iv (msp, key_id, iv, digest, at) VALUES ($1, $2, $3, $4, $5)",
            msp,
            key_id,
            iv,
            digest,
            at,
        )],
        Change::Remember(a) => vec![statement!(
            "INSERT INTO idempotency (client, request_id, digest, status, body, at) \
             VALUES ($1, $2, $3, $4, $5, $6)",
            a.client,
            a.request_id,
            a.digest,
            a.status,
            a.body,
            a.at,
        )],
        Change::Link(change) => vec![link(change)],
        Change::Desk(change) => desk::statements(change),
        Change::Audit(a) => {
            let locked = a.action == "account locked";
            let heard =
                locked.then(|| desk::alarm("account.locked", &json!({"about": a.detail}), a.at));
            std::iter::once(add_audit(a)).chain(heard).collect()
        }
    }
}

fn add_audit(a: Audit) -> Statement {
    statement!(
        "INSERT INTO audit (at, actor, action, detail, reason) VALUES ($1, $2, $3, $4, $5)",
        a.at,
        a.actor,
        a.action.into_owned(),
        a.detail,
        a.reason,
    )
}

fn link(change: LinkChange) -> Statement {
    match change {
        LinkChange::Doubt(doubt) => statement!(
            "INSERT INTO doubt (federation, since, code) VALUES ($1, $2, $3) \
             ON CONFLICT (federation) DO NOTHING",
            doubt.federation,
            doubt.since,
            doubt.code,
        ),
        LinkChange::Settle(federation) => {
            statement!("DELETE FROM doubt WHERE federation = $1", federation)
        }
        LinkChange::Judge {
            federation,
            iccid,
            since,
            reason,
        } => statement!(
            "INSERT INTO judgement (iccid, federation, since, reason) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (federation, iccid) DO UPDATE SET since = excluded.since, \
             reason = excluded.reason",
            String::from(iccid),
            federation,
            since,
            reason,
        ),
        LinkChange::Told(federation, iccid, status) => statement!(
            "INSERT INTO status_told (iccid, federation, status) VALUES ($1, $2, $3) \
             ON CONFLICT (federation, iccid, status) DO NOTHING",
            String::from(iccid),
            federation,
            status.as_str(),
        ),
        LinkChange::Deviated {
            msp,
            kind,
            count,
            at,
        } => statement!(
            "INSERT INTO deviation (msp, kind, count, first_at, last_at) VALUES ($1, $2, $3, $4, $4) \
             ON CONFLICT (msp, kind) DO UPDATE SET count = deviation.count + excluded.count, \
             last_at = excluded.last_at",
            msp,
            kind.as_str(),
            count,
            at,
        ),
    }
}

/// Removes all attempts whose keys begin with this: those from it to the next text that does not.
fn forget_attempts(prefix: String) -> Vec<Statement> {
    let mut next = prefix.clone();
    let last = next
        .pop()
        .and_then(|last| char::from_u32(u32::from(last) + 1));
    let Some(last) = last else {
        return Vec::new();
    };
    next.push(last);
    let sql = "DELETE FROM attempt WHERE key >= $1 AND key < $2";
    vec![statement!(sql, prefix, next)]
}

fn fleet(change: FleetChange) -> Statement {
    match change {
        FleetChange::Enrol {
            eid,
            vin,
            certificate,
            at,
        } => statement!(
            "UPDATE vehicle SET certificate = $1, next_certificate = NULL, vin = COALESCE($2, vin), bound_at = $3 \
             WHERE eid = $4",
            certificate,
            vin,
            at,
            String::from(eid),
        ),
        FleetChange::Certificate(change) => certificate::statement(change),
        FleetChange::Session(eid, book) => statement!(
            "UPDATE vehicle SET session = $1, session_number = $2, session_before = $3, session_hello = $4 \
             WHERE eid = $5",
            account_id(book.account),
            book.mark.number,
            account_id(book.mark.before),
            book.mark.hello,
            String::from(eid),
        ),
        FleetChange::Leave(eid, account) => statement!(
            "UPDATE vehicle SET session = NULL, session_before = NULL WHERE eid = $1 AND session = $2",
            String::from(eid),
            account.0,
        ),
        FleetChange::PutLoginCode(c) => statement!(
            "INSERT INTO login_code (eid, code, login_id, state, account, created_at, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (eid) DO UPDATE SET \
             code = excluded.code, login_id = excluded.login_id, state = excluded.state, \
             account = excluded.account, created_at = excluded.created_at, \
             expires_at = excluded.expires_at",
            String::from(c.eid),
            c.code,
            c.login_id,
            c.state.as_str(),
            account_id(c.account),
            c.created_at,
            c.expires_at,
        ),
        FleetChange::PutVerifier(v) => statement!(
            "INSERT INTO verifier (eid, account, id, expires_at, revoked_at) VALUES ($1, $2, $3, $4, NULL) \
             ON CONFLICT (eid, account) DO UPDATE SET id = excluded.id, expires_at = excluded.expires_at, \
             revoked_at = NULL",
            String::from(v.eid),
            v.account.0,
            v.id,
            v.expires_at,
        ),
        FleetChange::RevokeVerifiers { eid, account, at } => revoke_verifiers(eid, account, at),
        FleetChange::RemoveVerifier(eid, id) => statement!(
            "DELETE FROM verifier WHERE eid = $1 AND id = $2 AND revoked_at IS NOT NULL",
            String::from(eid),
            id,
        ),
        FleetChange::SetPreference(account, name, Some(value)) => statement!(
            "INSERT INTO user_preference (account, name, value) VALUES ($1, $2, $3) \
             ON CONFLICT (account, name) DO UPDATE SET value = excluded.value",
            account.0,
            name,
            value,
        ),
        FleetChange::SetPreference(account, name, None) => statement!(
            "DELETE FROM user_preference WHERE account = $1 AND name = $2",
            account.0,
            name,
        ),
    }
}

fn revoke_verifiers(eid: Option<Eid>, account: Option<AccountRef>, at: u64) -> Statement {
    match (eid.map(String::from), account) {
        (Some(eid), Some(account)) => statement!(
            "UPDATE verifier SET revoked_at = $1 WHERE eid = $2 AND account = $3 AND revoked_at IS NULL",
            at,
            eid,
            account.0,
        ),
        (Some(eid), None) => statement!(
            "UPDATE verifier SET revoked_at = $1 WHERE eid = $2 AND revoked_at IS NULL",
            at,
            eid,
        ),
        (None, account) => statement!(
            "UPDATE verifier SET revoked_at = $1 WHERE account = $2 AND revoked_at IS NULL",
            at,
            account_id(account),
        ),
    }
}

fn portal(change: PortalChange) -> Statement {
    match change {
        PortalChange::Password(account, hash) => statement!(
            "UPDATE account SET password = $1 WHERE id = $2",
            hash.expose().to_owned(),
            account.0,
        ),
        PortalChange::Pin(account, mac) => statement!(
            "UPDATE account SET pin_mac = $1 WHERE id = $2",
            mac,
            account.0
        ),
        PortalChange::Began(hash, at, browser) => statement!(
            "UPDATE portal_session SET created_at = $1, browser = $2 WHERE token_hash = $3",
            at,
            browser,
            hash,
        ),
        PortalChange::EndSessions(account, but) => statement!(
            "DELETE FROM portal_session WHERE account = $1 AND token_hash <> $2",
            account.0,
            but,
        ),
        PortalChange::EndSession(account, hash) => statement!(
            "DELETE FROM portal_session WHERE account = $1 AND token_hash = $2",
            account.0,
            hash,
        ),
        PortalChange::DisplayName(account, name) => statement!(
            "UPDATE account SET display_name = $1 WHERE id = $2",
            name,
            account.0,
        ),
        PortalChange::NameCar(account, eid, Some(name)) => statement!(
            "INSERT INTO car_name (account, eid, name) VALUES ($1, $2, $3) \
             ON CONFLICT (account, eid) DO UPDATE SET name = excluded.name",
            account.0,
            String::from(eid),
            name,
        ),
        PortalChange::NameCar(account, eid, None) => statement!(
            "DELETE FROM car_name WHERE account = $1 AND eid = $2",
            account.0,
            String::from(eid),
        ),
        PortalChange::AddIdentity(identity) => statement!(
            "INSERT INTO openid_identity (issuer, subject, account, since) VALUES ($1, $2, $3, $4)",
            identity.issuer,
            identity.subject,
            identity.account.0,
            identity.since,
        ),
        PortalChange::RemoveIdentity(account, issuer, subject) => statement!(
            "DELETE FROM openid_identity WHERE issuer = $1 AND subject = $2 AND account = $3",
            issuer,
            subject,
            account.0,
        ),
    }
}

fn add_vehicle(v: Vehicle) -> Statement {
    statement!(
        "INSERT INTO vehicle (eid, added_at, last_seen, software, card, certificate, session, vin, \
         retired_at, retired_reason, replaced_by) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        String::from(v.eid),
        v.added_at,
        v.last_seen,
        v.software,
        v.card,
        v.certificate,
        account_id(v.session),
        v.vin,
        v.retired_at,
        v.retired_reason,
        v.replaced_by.map(String::from),
    )
}

fn add_federation(f: Federation) -> Statement {
    statement!(
        "INSERT INTO federation (id, msp, token, account, phone_number, iv, subscription_type, \
         customer_group, since, ended_at, ended_reason) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        f.id,
        f.msp,
        *f.token.as_bytes(),
        f.account.0,
        f.phone.phone_number,
        f.phone.iv,
        f.kind.as_str(),
        f.customer_group,
        f.since,
        f.ended_at,
        f.ended_reason,
    )
}

/// Without ON CONFLICT, which would make SQLite copy each page of the table and its index before it writes there.
fn add_profile(p: Profile) -> Statement {
    statement!(
        "INSERT INTO profile (iccid, federation, eid, state, msp_state, last_used, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        String::from(p.iccid),
        p.federation,
        String::from(p.eid),
        p.status.as_str(),
        p.verdict.as_str(),
        p.last_used,
        p.created_at,
    )
}

fn put_profile(p: Profile) -> Statement {
    statement!(
        "INSERT INTO profile (iccid, federation, eid, state, msp_state, last_used, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (iccid, federation) DO UPDATE SET \
         eid = excluded.eid, state = excluded.state, msp_state = excluded.msp_state, \
         last_used = excluded.last_used, created_at = excluded.created_at",
        String::from(p.iccid),
        p.federation,
        String::from(p.eid),
        p.status.as_str(),
        p.verdict.as_str(),
        p.last_used,
        p.created_at,
    )
}

fn put_request(r: CodeRequest) -> Statement {
    statement!(
        "INSERT INTO code_request (id, car_request, eid, account, federation, correlation, \
         replace_iccid, state, code, iccid, swapped, error_code, error, created_at, expires_at, \
         delivered_at, changed_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, \
         $14, $15, $16, $17) ON CONFLICT (id) DO UPDATE SET car_request = excluded.car_request, \
         state = excluded.state, code = excluded.code, iccid = excluded.iccid, \
         swapped = excluded.swapped, error_code = excluded.error_code, error = excluded.error, \
         expires_at = excluded.expires_at, delivered_at = excluded.delivered_at, \
         changed_at = excluded.changed_at",
        r.id,
        r.car_request,
        String::from(r.eid),
        r.account.0,
        r.federation,
        r.correlation,
        r.replace_iccid.map(String::from),
        r.state.as_str(),
        r.code.map(|code| code.expose().to_owned()),
        r.iccid.map(String::from),
        r.swapped.map(String::from),
        r.error_code,
        r.error,
        r.created_at,
        r.expires_at,
        r.delivered_at,
        r.changed_at,
    )
}
