//! Who is let in, and what is enabled meanwhile: AID.02 §2, §4.3 steps 1, 2, 10 and 12.

use super::observe::request;
use super::rig::Rig;
use super::user::Deed;
use super::{table, with_api, with_ignition, with_login_by_code};
use crate::rsp::findings::{Checked, must, same};
use crate::test::{Finding, always};
use aid_wire::{Aup, Down, LoginOutcome, LoginWay, OrderKind, OrderOutcome, Status, Up};
use serde_json::Value;
use std::time::Duration;

table! {
    "R-4.3-3" ["R-4.3-3"] "AID.02 §4.3 [1]" Must, always, typed,
        "A login has the user name and the PIN as the user typed them.";
    "R-2-10/refused" ["R-2-10"] "AID.02 §2" Must, always, refused,
        "A user whom the CMP refuses gets nothing: no code is requested, no profile enabled.";
    "R-2-10/stray" ["R-2-10"] "AID.02 §2" Must, always, stray,
        "The result of a login that nobody began lets nobody in.";
    "R-4.3-4" ["R-4.3-4"] "AID.02 §4.3 [2]" Must, always, asks,
        "A user without a profile in this vehicle: one code is requested, for their account.";
    "R-4.3-4/present" ["R-4.3-4", "R-4.3-16"] "AID.02 §4.3 [2]" Must, always, present,
        "A user whose profile is there: it is enabled, and no code is requested.";
    "R-4.3-14" ["R-4.3-14", "R-4.3-15"] "AID.02 §4.3 [12-13]" Must, always, logout,
        "At logout the profile is disabled, and the session ends.";
    "R-4.3-14/offline" ["R-4.3-14"] "AID.02 §4.3 [12-13]" Must, always, logout_offline,
        "Without any connectivity, too.";
    "R-4.3-15/ordered" ["R-4.3-15"] "AID.02 §4.3" Must, always, logout_ordered,
        "A logout that the CMP orders disables the profile, and is reported as done.";
    "R-4.3-14/parked" ["R-4.3-14"] "AID.02 §4.3 [12]" Declared, with_ignition, parked,
        "The session ends within the declared time after the ignition went off.";
    "R-2-11" ["R-2-11", "R-4.3-15"] "AID.02 §2" Must, always, two_users,
        "When another user logs in, the first user's profile is disabled and the other's enabled.";
    "R-2-9" ["R-2-9", "R-3.2-2"] "AID.02 §2" Must, with_api, user_profile,
        "The AID User Profile is there while its user is logged in, and gone afterwards.";
    "R-2-10/by-code" ["R-2-10"] "docs/wire/aid2.md, rule 5" Must, with_login_by_code, by_code,
        "A login by code begins a session once the user approved it, and not before.";
}

fn typed(rig: &mut Rig) -> Checked {
    let person = rig.person()?;
    let mark = rig.shared.mark();
    rig.login(&person)?;
    let (user, pin) = rig.expect(mark, "Login", |up| match up {
        Up::Login { user, pin, .. }
        | Up::NumberedLogin {
            way: LoginWay::Pin { user, pin },
            ..
        } => Some((user.clone(), pin.clone())),
        _ => None,
    })?;
    same("the user name", person.user.as_str(), user.as_str())?;
    must(
        pin.expose() == person.pin,
        "the PIN as it was typed",
        || "another PIN".to_owned(),
    )
}

fn is_use(up: &Up) -> bool {
    let enabled = matches!(
        up,
        Up::Status {
            status: Status::Enabled,
            ..
        }
    );
    request(up).is_some() || enabled
}

fn refused(rig: &mut Rig) -> Checked {
    rig.home()?;
    let person = rig.person()?;
    let mark = rig.shared.mark();
    rig.user(Deed::Login {
        user: &person.user,
        pin: "000000000",
    })?;
    rig.expect(mark, "Login", |up| {
        (super::shared::name(up) == "Login").then_some(())
    })?;
    rig.settled()?;
    // A command that reports the refusal by its exit code is right.
    rig.complaints();
    rig.nothing(mark, "nothing after a refused login", is_use)
}

fn stray(rig: &mut Rig) -> Checked {
    let home = rig.home()?;
    let mark = rig.shared.mark();
    let login_id = [0x5A; 16];
    let letter = rig.shared.letter(Down::LoginResult {
        login_id,
        outcome: LoginOutcome::Accepted {
            account: home.account,
            aup: Aup {
                display_name: home.user,
                msp_name: String::new(),
                masked_number: String::new(),
            },
            profiles: vec![home.iccid],
        },
    });
    rig.shared.send(letter);
    rig.settled()?;
    rig.nothing(mark, "nothing after a result that nobody asked for", is_use)
}

fn asks(rig: &mut Rig) -> Checked {
    rig.home()?;
    let person = rig.person()?;
    let mark = rig.shared.mark();
    rig.shared.state().book.next_code = aid_wire::CodeOutcome::Pending;
    rig.login(&person)?;
    let (_, account) = rig.expect(mark, "RequestActivationCode", request)?;
    same("the account of the request", &person.account, &account)?;
    rig.settled()?;
    rig.nothing(mark, "no profile of another user enabled", |up| {
        matches!(
            up,
            Up::Status {
                status: Status::Enabled,
                ..
            }
        )
    })?;
    let count = rig.requests(mark, person.account).len();
    must(count == 1, "one request", || format!("{count} requests"))
}

fn present(rig: &mut Rig) -> Checked {
    let home = rig.home()?;
    let mark = rig.shared.mark();
    rig.login(&home)?;
    rig.reported(mark, &home.iccid, Status::Enabled)?;
    rig.settled()?;
    rig.nothing(mark, "no request for a code", |up| request(up).is_some())
}

/// Time after the end of a session for card and link to say that the profile is disabled.
const LATE: Duration = Duration::from_secs(10);

/// The end of a session.
pub(super) fn ended(up: &Up) -> Option<()> {
    matches!(up, Up::Session { account: None, .. } | Up::Logout { .. }).then_some(())
}

fn logout(rig: &mut Rig) -> Checked {
    let home = rig.home_enabled()?;
    let mark = rig.shared.mark();
    rig.user(Deed::Logout)?;
    rig.expect(mark, "the end of the session", ended)?;
    rig.reported(mark, &home.iccid, Status::Disabled).map(drop)
}

fn logout_offline(rig: &mut Rig) -> Checked {
    let home = rig.home_enabled()?;
    let mark = rig.shared.mark();
    rig.go_away();
    rig.user(Deed::Logout)?;
    // At least one try to connect later the logout is over.
    let tried = rig.shared.wait(mark, rig.patience(), |seen| {
        matches!(seen, super::shared::Seen::Lost(_)).then_some(())
    });
    must(tried.is_some(), "a lost link", || rig.heard(mark))?;
    rig.come_back();
    let listed = rig.hello(mark)?;
    let own = listed.iter().find(|p| p.iccid == home.iccid);
    let still = own.is_none_or(|p| p.state == Status::Enabled);
    if still {
        // The card may have been at work when the link came back.
        rig.reported(mark, &home.iccid, Status::Disabled)?;
    }
    rig.settled()?;
    rig.nothing(mark, "the profile disabled", |up| {
        matches!(
            up,
            Up::Status {
                status: Status::Enabled,
                ..
            }
        )
    })?;
    let reports = rig.reports(mark, &home.iccid, Status::Disabled).len();
    must(reports == 1, "one report that it is disabled", || {
        format!("{reports}")
    })
}

fn logout_ordered(rig: &mut Rig) -> Checked {
    let home = rig.home_enabled()?;
    let mark = rig.shared.mark();
    let outcome = rig.ordered(OrderKind::Logout {
        account: home.account,
    })?;
    same("the result", &OrderOutcome::Done, &outcome)?;
    rig.reported(mark, &home.iccid, Status::Disabled).map(drop)
}

fn parked(rig: &mut Rig) -> Checked {
    let home = rig.home_enabled()?;
    let mark = rig.shared.mark();
    let limit = Duration::from_secs(rig.target.grace_s.unwrap_or_default()) + LATE;
    rig.ignition(false)?;
    let found = rig.shared.wait(mark, limit, |seen| match seen {
        super::shared::Seen::Up(envelope) => match &envelope.body {
            Up::Status {
                iccid: Some(iccid),
                status: Status::Disabled,
                ..
            } if *iccid == home.iccid => Some(()),
            _ => None,
        },
        _ => None,
    });
    rig.ignition(true)?;
    found.ok_or_else(|| {
        Finding::broken(
            format!(
                "the profile disabled {} s after the ignition went off",
                rig.target.grace_s.unwrap_or_default()
            ),
            rig.heard(mark),
        )
    })
}

fn two_users(rig: &mut Rig) -> Checked {
    let home = rig.home_enabled()?;
    let other = rig.person()?;
    let mark = rig.shared.mark();
    rig.provision(&other)?;
    rig.reported(mark, &home.iccid, Status::Disabled)?;
    rig.nothing(
        mark,
        "only the other user's profile enabled",
        |up| match up {
            Up::Status {
                iccid,
                status: Status::Enabled,
                ..
            } => iccid.as_ref() != Some(&other.iccid),
            _ => false,
        },
    )
}

/// Does any text of this value contain the word?
fn has(value: &Value, word: &str) -> bool {
    match value {
        Value::String(text) => text.contains(word),
        Value::Array(list) => list.iter().any(|v| has(v, word)),
        Value::Object(members) => members.values().any(|v| has(v, word)),
        _ => false,
    }
}

fn user_profile(rig: &mut Rig) -> Checked {
    let home = rig.home_enabled()?;
    let shown = rig.api("GET", "/v1/status", &Value::Null)?;
    must(
        has(&shown["session"], &home.user),
        "the user's name in the session of the status",
        || shown["session"].to_string(),
    )?;
    let mark = rig.shared.mark();
    rig.user(Deed::Logout)?;
    rig.reported(mark, &home.iccid, Status::Disabled)?;
    let shown = rig.api("GET", "/v1/status", &Value::Null)?;
    must(
        !has(&shown["session"], &home.user),
        "nothing of the user after logout",
        || shown["session"].to_string(),
    )
}

fn by_code(rig: &mut Rig) -> Checked {
    let home = rig.home()?;
    let mark = rig.shared.mark();
    rig.user(Deed::LoginByCode)?;
    rig.expect(mark, "LoginByCode", |up| {
        (super::shared::name(up) == "LoginByCode").then_some(())
    })?;
    rig.settled()?;
    rig.nothing(mark, "nothing before the user approved", is_use)?;
    rig.shared.approve(&home.user);
    rig.reported(mark, &home.iccid, Status::Enabled).map(drop)
}
