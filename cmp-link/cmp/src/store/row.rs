//! The tables' columns and their readers. Rows are read by position, so a list of columns and its reader are one text:
//! neither can change without the other. Whatever is in the database is checked again.

use super::{SessionRow, StoreError, Stored};
use aid_aid1::phone::EncryptedPhone;
use aid_cmp_core::model::{
    Account, Answered, ApiKey, Attempts, Audit, Call, CallKind, CallState, CodeRequest, Deviated,
    Doubt, Federation, Happening, Hold, Identity, Issued, Judgement, LoginCode, LoginCodeState,
    Member, MspVerdict, NoticeKind, Onboarding, OnboardingState, Order, OrderState, PortalSession,
    Profile, ProfileStatus, RequestState, Role, SessionMark, SyncRun, UserNotice, Vehicle,
    VehicleCertificate, Verifier, Webhook,
};
use aid_id::{AccountRef, Iccid, MspToken, Secret};
use aid_store::Fields;
use aid_wire::OrderKind;

/// Makes the reader of a table, and a macro for its statements: `select!(columns)` is the list of the columns,
/// `select!("WHERE ...")` a whole SELECT. The first parameter is `$` itself, which a macro inside a macro needs.
macro_rules! table {
    ($d:tt $select:ident $table:literal, $reader:ident($row:ident) -> $made:ty {
        $first:ident = $first_value:expr; $($column:ident = $value:expr;)* => $built:expr
    }) => {
        macro_rules! $select {
            (columns) => { concat!(stringify!($first) $(, ", ", stringify!($column))*) };
            ($d rest:literal) => {
                concat!(
                    "SELECT ", stringify!($first) $(, ", ", stringify!($column))*,
                    " FROM ", $table, " ", $d rest
                )
            };
        }
        pub(super) use $select;

        pub(super) fn $reader($row: &mut Fields<'_>) -> Stored<$made> {
            let $first = $first_value;
            $(let $column = $value;)*
            Ok($built)
        }
    };
}

fn account_ref(row: &mut Fields<'_>) -> Stored<AccountRef> {
    row.id().map(AccountRef)
}

fn maybe_account_ref(row: &mut Fields<'_>) -> Stored<Option<AccountRef>> {
    Ok(row.maybe_id()?.map(AccountRef))
}

fn token(row: &mut Fields<'_>) -> Stored<MspToken> {
    row.id().map(MspToken::from_bytes)
}

fn odd(column: &str) -> StoreError {
    StoreError::Unreadable(format!("an odd value in the column {column}"))
}

table!($ select_vehicle "vehicle", vehicle(row) -> Vehicle {
    eid = row.parsed()?;
    added_at = row.number()?;
    last_seen = row.maybe_number()?;
    software = row.maybe_text()?;
    card = row.maybe_text()?;
    certificate = row.maybe_text()?;
    next_certificate = row.maybe_text()?;
    session = maybe_account_ref(row)?;
    session_number = row.maybe_number()?;
    session_before = maybe_account_ref(row)?;
    session_hello = row.maybe_id()?;
    vin = row.maybe_text()?;
    retired_at = row.maybe_number()?;
    retired_reason = row.maybe_text()?;
    replaced_by = row.maybe_parsed()?;
    => Vehicle {
        eid,
        added_at,
        last_seen,
        software,
        card,
        certificate,
        next_certificate,
        session,
        mark: SessionMark {
            number: session_number,
            before: session_before,
            hello: session_hello,
        },
        vin,
        retired_at,
        retired_reason,
        replaced_by,
    }
});

table!($ select_vehicle_certificate "vehicle_certificate", vehicle_certificate(row) -> VehicleCertificate {
    eid = row.parsed()?;
    request_id = row.id()?;
    request = row.bytes()?;
    asked_at = row.number()?;
    bootstrap = row.number::<u8>()? != 0;
    chain = row.maybe_text()?;
    certificate = row.maybe_text()?;
    not_after = row.maybe_number()?;
    issued_at = row.maybe_number()?;
    used_at = row.maybe_number()?;
    => VehicleCertificate {
        eid,
        request_id,
        request,
        asked_at,
        bootstrap,
        issued: match (chain, certificate, not_after, issued_at) {
            (Some(chain), Some(certificate), Some(not_after), Some(at)) => Some(Issued {
                chain,
                certificate,
                not_after,
                at,
            }),
            _ => None,
        },
        used_at,
    }
});

table!($ select_account "account", account(row) -> Account {
    id = account_ref(row)?;
    name = row.text()?;
    display_name = row.text()?;
    password = row.text()?;
    pin_mac = row.maybe_text()?;
    created_at = row.number()?;
    => Account {
        id,
        name,
        display_name,
        password: Secret::new(password),
        pin_mac,
        created_at,
    }
});

table!($ select_attempts "attempt", attempts(row) -> Attempts {
    count = row.number()?;
    since = row.number()?;
    last = row.maybe_id()?;
    => Attempts { count, since, last }
});

table!($ select_doubt "doubt", doubt(row) -> Doubt {
    federation = row.id()?;
    since = row.number()?;
    code = row.number()?;
    => Doubt {
        federation,
        since,
        code,
    }
});

table!($ select_judgement "judgement", judgement(row) -> Judgement {
    iccid = row.parsed()?;
    federation = row.id()?;
    since = row.number()?;
    reason = row.maybe_text()?;
    => Judgement {
        iccid,
        federation,
        since,
        reason,
    }
});

table!($ select_deviation "deviation", deviated(row) -> Deviated {
    msp = row.text()?;
    kind = row.text()?;
    count = row.number()?;
    first_at = row.number()?;
    last_at = row.number()?;
    => Deviated {
        msp,
        kind,
        count,
        first_at,
        last_at,
    }
});

table!($ select_session "portal_session", session(row) -> PortalSession {
    token_hash = row.text()?;
    account = account_ref(row)?;
    expires_at = row.number()?;
    => PortalSession {
        token_hash,
        account,
        expires_at,
    }
});

table!($ select_session_row "portal_session", session_row(row) -> SessionRow {
    token_hash = row.text()?;
    created_at = row.number()?;
    expires_at = row.number()?;
    browser = row.maybe_text()?;
    => SessionRow {
        token_hash,
        created_at,
        expires_at,
        browser,
    }
});

table!($ select_verifier "verifier", verifier(row) -> Verifier {
    eid = row.parsed()?;
    account = account_ref(row)?;
    id = row.id()?;
    expires_at = row.number()?;
    revoked_at = row.maybe_number()?;
    => Verifier {
        eid,
        account,
        id,
        expires_at,
        revoked_at,
    }
});

table!($ select_login_code "login_code", login_code(row) -> LoginCode {
    code = row.text()?;
    eid = row.parsed()?;
    login_id = row.id()?;
    state = row.word(LoginCodeState::from_text)?;
    account = maybe_account_ref(row)?;
    created_at = row.number()?;
    expires_at = row.number()?;
    => LoginCode {
        code,
        eid,
        login_id,
        state,
        account,
        created_at,
        expires_at,
    }
});

table!($ select_preference "user_preference", preference(row) -> (String, String) {
    name = row.text()?;
    value = row.text()?;
    => (name, value)
});

table!($ select_identity "openid_identity", identity(row) -> Identity {
    issuer = row.text()?;
    subject = row.text()?;
    account = account_ref(row)?;
    since = row.number()?;
    => Identity {
        issuer,
        subject,
        account,
        since,
    }
});

table!($ select_notice "notice", notice(row) -> UserNotice {
    id = row.id()?;
    account = account_ref(row)?;
    at = row.number()?;
    kind = row.word(NoticeKind::from_text)?;
    detail = row.text()?;
    => UserNotice {
        id,
        account,
        at,
        kind,
        detail,
    }
});

table!($ select_onboarding "onboarding", onboarding(row) -> Onboarding {
    sid = row.id()?;
    msp = row.text()?;
    account = account_ref(row)?;
    state = row.word(OnboardingState::from_text)?;
    return_state = row.text()?;
    token = row.maybe_id()?;
    error = row.maybe_text()?;
    created_at = row.number()?;
    expires_at = row.number()?;
    => Onboarding {
        sid,
        msp,
        account,
        state,
        return_state,
        token: token.map(MspToken::from_bytes),
        error,
        created_at,
        expires_at,
    }
});

table!($ select_federation "federation", federation(row) -> Federation {
    id = row.id()?;
    msp = row.text()?;
    token = token(row)?;
    account = account_ref(row)?;
    phone_number = row.text()?;
    iv = row.text()?;
    subscription_type = row.parsed()?;
    customer_group = row.maybe_text()?;
    since = row.number()?;
    ended_at = row.maybe_number()?;
    ended_reason = row.maybe_text()?;
    => Federation {
        id,
        msp,
        token,
        account,
        phone: EncryptedPhone { phone_number, iv },
        kind: subscription_type,
        customer_group,
        since,
        ended_at,
        ended_reason,
    }
});

table!($ select_profile "profile", profile(row) -> Profile {
    iccid = row.parsed()?;
    federation = row.id()?;
    eid = row.parsed()?;
    state = row.word(ProfileStatus::from_text)?;
    msp_state = row.word(MspVerdict::from_text)?;
    last_used = row.number()?;
    created_at = row.number()?;
    => Profile {
        iccid,
        federation,
        eid,
        status: state,
        verdict: msp_state,
        last_used,
        created_at,
    }
});

table!($ select_request "code_request", request(row) -> CodeRequest {
    id = row.id()?;
    car_request = row.id()?;
    eid = row.parsed()?;
    account = account_ref(row)?;
    federation = row.id()?;
    correlation = row.id()?;
    replace_iccid = row.maybe_parsed()?;
    state = row.word(RequestState::from_text)?;
    code = row.maybe_text()?;
    iccid = row.maybe_parsed()?;
    swapped = row.maybe_parsed()?;
    error_code = row.maybe_number()?;
    error = row.maybe_text()?;
    created_at = row.number()?;
    expires_at = row.number()?;
    delivered_at = row.maybe_number()?;
    changed_at = row.number()?;
    => CodeRequest {
        id,
        car_request,
        eid,
        account,
        federation,
        correlation,
        replace_iccid,
        state,
        code: code.map(Secret::new),
        iccid,
        swapped,
        error_code,
        error,
        created_at,
        expires_at,
        delivered_at,
        changed_at,
    }
});

table!($ select_hold "hold", hold(row) -> Hold {
    federation = row.id()?;
    eid = row.parsed()?;
    since = row.number()?;
    => Hold {
        federation,
        eid,
        since,
    }
});

table!($ select_sync_run "sync_run", sync_run(row) -> SyncRun {
    id = row.id()?;
    federation = row.id()?;
    at = row.number()?;
    outcome = row.text()?;
    findings = row.text()?;
    => SyncRun {
        id,
        federation,
        at,
        outcome,
        findings,
    }
});

table!($ select_order "vehicle_order", order(row) -> Order {
    id = row.id()?;
    eid = row.parsed()?;
    kind = row.text()?;
    iccid = row.maybe_parsed::<Iccid>()?;
    account = maybe_account_ref(row)?;
    reason = row.text()?;
    federation = row.maybe_id()?;
    correlation = row.id()?;
    state = row.word(OrderState::from_text)?;
    code = row.maybe_number()?;
    attempts = row.number()?;
    created_at = row.number()?;
    sent_at = row.maybe_number()?;
    closed_at = row.maybe_number()?;
    => Order {
        id,
        eid,
        kind: match (kind.as_str(), iccid, account) {
            ("delete", Some(iccid), _) => OrderKind::Delete { iccid },
            ("disable", Some(iccid), _) => OrderKind::Disable { iccid },
            ("logout", _, Some(account)) => OrderKind::Logout { account },
            ("delete-all", ..) => OrderKind::DeleteAll,
            ("factory-reset", ..) => OrderKind::FactoryReset,
            ("erase", _, Some(account)) => OrderKind::Erase { account },
            _ => return Err(odd("kind")),
        },
        reason,
        federation,
        correlation,
        state,
        code,
        attempts,
        created_at,
        sent_at,
        closed_at,
    }
});

table!($ select_call "outbox", call(row) -> Call {
    id = row.id()?;
    msp = row.text()?;
    lane = row.text()?;
    kind = row.word(CallKind::from_text)?;
    token = token(row)?;
    correlation = row.id()?;
    body = row.text()?;
    attempts = row.number()?;
    next_at = row.number()?;
    state = row.word(CallState::from_text)?;
    last_error = row.maybe_text()?;
    created_at = row.number()?;
    closed_at = row.maybe_number()?;
    => Call {
        id,
        msp,
        lane,
        kind,
        token,
        correlation,
        body,
        attempts,
        next_at,
        state,
        last_error,
        created_at,
        closed_at,
    }
});

table!($ select_happening "history", happening(row) -> Happening {
    work = row.id()?;
    at = row.number()?;
    event = row.text()?;
    detail = row.text()?;
    => Happening {
        work,
        at,
        event,
        detail,
    }
});

table!($ select_answered "idempotency", answered(row) -> Answered {
    client = row.text()?;
    request_id = row.id()?;
    digest = row.text()?;
    status = row.number()?;
    body = row.text()?;
    at = row.number()?;
    => Answered {
        client,
        request_id,
        digest,
        status,
        body,
        at,
    }
});

table!($ select_audit "audit", audit(row) -> Audit {
    at = row.number()?;
    actor = row.text()?;
    action = row.text()?;
    detail = row.text()?;
    reason = row.maybe_text()?;
    => Audit {
        at,
        actor,
        action: action.into(),
        detail,
        reason,
    }
});

table!($ select_key "api_key", key(row) -> ApiKey {
    id = row.id()?;
    name = row.text()?;
    role = row.word(Role::from_text)?;
    hash = row.text()?;
    created_at = row.number()?;
    revoked_at = row.maybe_number()?;
    => ApiKey {
        id,
        name,
        role,
        hash,
        created_at,
        revoked_at,
    }
});

table!($ select_member "member", member(row) -> Member {
    name = row.text()?;
    role = row.word(Role::from_text)?;
    password = row.maybe_text()?;
    certificate = row.maybe_text()?;
    created_at = row.number()?;
    => Member {
        name,
        role,
        password: password.map(Secret::new),
        certificate,
        created_at,
    }
});

table!($ select_webhook "webhook", webhook(row) -> Webhook {
    id = row.id()?;
    url = row.text()?;
    secret = row.text()?;
    created_at = row.number()?;
    => Webhook {
        id,
        url,
        secret: Secret::new(secret),
        created_at,
    }
});
