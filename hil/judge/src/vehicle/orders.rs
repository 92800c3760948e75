//! Orders to delete: AID.02 §4.4.1, §4.5, §4.7, A.3, A.4.

use super::login::ended;
use super::observe::{prepared, request};
use super::provisioning::notified;
use super::rig::{Person, Rig};
use super::user::Deed;
use super::{table, with_deletion};
use crate::rsp::findings::{Checked, must, same};
use crate::test::{Finding, always};
use aid_rsp::es10::NotificationEvent;
use aid_wire::{CodeOutcome, DELETED_BY_USER, Down, OrderKind, OrderOutcome, Status, Up};

table! {
    "R-4.5-4" ["R-4.5-4", "R-4.5-5", "R-4.5-7", "R-A.4-1"] "AID.02 §4.5 [4-7]" Must, always, deletes,
        "An order deletes that profile and no other; the deletion is reported.";
    "R-4.4.1-10" ["R-4.4.1-10"] "AID.02 §4.4.1 [9]" Must, always, enabled,
        "A profile that is enabled is deleted, too.";
    "R-4.4.1-9/repeated" ["R-4.4.1-9", "R-4.4.1-12"] "AID.02 §4.4.1 [8]" Must, always, repeated,
        "An order that comes again is carried out once: one report, and the same result.";
    "R-4.4.1-9/unknown" ["R-4.4.1-9"] "AID.02 §4.4.1 [8]" Must, always, unknown,
        "An order about a profile that is not there has the result NotFound, and changes nothing.";
    "R-4.4.1-12" ["R-4.4.1-12"] "AID.02 §4.4.1 [11]" Must, always, result_repeated,
        "A result that was not acknowledged comes again with the next connection.";
    "R-4.4.1-11" ["R-4.4.1-11", "R-4.5-6"] "AID.02 §4.4.1 [10], SGP.22 §3.5" Must, always, notification,
        "The card's notification of the deletion reaches the SM-DP+.";
    "R-4.4.1-15" ["R-4.4.1-15"] "AID.02 §4.4.1" Must, always, offline,
        "An order that was given while the vehicle was out of reach is carried out when it comes back.";
    "R-A.3-2" ["R-A.3-2"] "AID.02 A.3" Must, always, erase,
        "Erasing one user deletes their profiles and ends their session; those of others stay.";
    "R-A.4-4" ["R-A.4-4", "R-A.4-5"] "AID.02 A.4" Must, always, delete_all,
        "At the end of a rental every profile goes, and the session ends.";
    "R-3.2-6/delete" ["R-3.2-6"] "AID.02 §3.2" Must, with_deletion, by_user,
        "A profile that the user deletes at the HMI is reported as deleted by the user.";
    "R-4.5-10" ["R-4.5-10"] "AID.02 §4.5" Must, with_deletion, after_user,
        "After the user deleted their profile, their next login in this vehicle requests a code again.";
}

/// A user with a profile, who is logged in.
fn provisioned(rig: &mut Rig) -> Checked<Person> {
    let person = rig.person()?;
    prepared(rig.provision(&person))?;
    Ok(person)
}

/// The same, logged out.
fn parked(rig: &mut Rig) -> Checked<Person> {
    let person = provisioned(rig)?;
    let mark = rig.shared.mark();
    rig.user(Deed::Logout)?;
    prepared(rig.reported(mark, &person.iccid, Status::Disabled))?;
    Ok(person)
}

/// What a vehicle lists that connects again.
pub(super) fn listed(rig: &mut Rig) -> Checked<Vec<aid_id::Iccid>> {
    let mark = rig.shared.mark();
    rig.break_link();
    let all = rig.hello(mark)?;
    Ok(all.into_iter().map(|profile| profile.iccid).collect())
}

fn deletes(rig: &mut Rig) -> Checked {
    let home = rig.home()?;
    let person = parked(rig)?;
    let mark = rig.shared.mark();
    let kind = rig.deletion(&person.iccid, person.account);
    let outcome = rig.ordered(kind)?;
    same("the result", &OrderOutcome::Done, &outcome)?;
    rig.reported(mark, &person.iccid, Status::Deleted)?;
    let left = listed(rig)?;
    must(
        left.contains(&home.iccid) && !left.contains(&person.iccid),
        "only the other profiles left",
        || format!("{left:?}"),
    )
}

fn enabled(rig: &mut Rig) -> Checked {
    let person = provisioned(rig)?;
    let mark = rig.shared.mark();
    let kind = rig.deletion(&person.iccid, person.account);
    let outcome = rig.ordered(kind)?;
    same("the result", &OrderOutcome::Done, &outcome)?;
    rig.reported(mark, &person.iccid, Status::Deleted).map(drop)
}

fn repeated(rig: &mut Rig) -> Checked {
    let person = parked(rig)?;
    let mark = rig.shared.mark();
    let kind = rig.deletion(&person.iccid, person.account);
    let id = rig.shared.order(kind.clone());
    let first = rig.result(mark, id)?;
    same("the result", &OrderOutcome::Done, &first)?;
    rig.reported(mark, &person.iccid, Status::Deleted)?;
    let again = rig.shared.mark();
    let letter = super::book::Letter::new(id, Down::Order { order_id: id, kind });
    rig.shared.send(letter);
    let second = rig.result(again, id)?;
    must(
        matches!(second, OrderOutcome::Done | OrderOutcome::NotFound),
        "Done again, or NotFound",
        || format!("{second:?}"),
    )?;
    rig.settled()?;
    let count = rig.reports(mark, &person.iccid, Status::Deleted).len();
    must(count == 1, "one report of the deletion", || {
        format!("{count} under different numbers")
    })
}

fn unknown(rig: &mut Rig) -> Checked {
    let home = rig.home()?;
    let stranger = rig.person()?;
    let mark = rig.shared.mark();
    let kind = rig.deletion(&stranger.iccid, stranger.account);
    let outcome = rig.ordered(kind)?;
    same("the result", &OrderOutcome::NotFound, &outcome)?;
    rig.nothing(mark, "no report", |up| matches!(up, Up::Status { .. }))?;
    let left = listed(rig)?;
    must(
        left.contains(&home.iccid),
        "the other profiles left",
        || format!("{left:?}"),
    )
}

fn result_repeated(rig: &mut Rig) -> Checked {
    let person = parked(rig)?;
    let mark = rig.shared.mark();
    rig.cut_at("OrderResult");
    let kind = rig.deletion(&person.iccid, person.account);
    let id = rig.shared.order(kind);
    let first = rig.result(mark, id)?;
    let again = rig.expect(mark, "Hello of a new connection", |up| {
        matches!(up, Up::Hello { .. }).then_some(())
    });
    again?;
    let results = |rig: &Rig| {
        rig.ups(mark)
            .into_iter()
            .filter_map(|up| match up {
                Up::OrderResult { order_id, outcome } if order_id == id => Some(outcome),
                _ => None,
            })
            .collect::<Vec<_>>()
    };
    let came = rig.shared.wait(mark, rig.patience(), |_| {
        (results(rig).len() > 1).then_some(())
    });
    if came.is_none() {
        return Err(Finding::broken(
            "the result again after the next connection",
            rig.heard(mark),
        ));
    }
    let all = results(rig);
    must(
        all.iter().all(|outcome| *outcome == first),
        "the same result",
        || format!("{all:?}"),
    )?;
    rig.settled()?;
    let count = rig.reports(mark, &person.iccid, Status::Deleted).len();
    must(count == 1, "one report of the deletion", || {
        format!("{count}")
    })
}

fn notification(rig: &mut Rig) -> Checked {
    let person = parked(rig)?;
    let kind = rig.deletion(&person.iccid, person.account);
    rig.ordered(kind)?;
    let seen = rig.shared.until(rig.patience(), |_| {
        notified(rig, &person, NotificationEvent::Delete)
    });
    must(seen, "handleNotification of the deletion", || {
        "it did not come".to_owned()
    })
}

fn offline(rig: &mut Rig) -> Checked {
    let person = parked(rig)?;
    let mark = rig.shared.mark();
    rig.go_away();
    let kind = rig.deletion(&person.iccid, person.account);
    let id = rig.shared.order(kind);
    rig.come_back();
    let outcome = rig.result(mark, id)?;
    same("the result", &OrderOutcome::Done, &outcome)?;
    rig.reported(mark, &person.iccid, Status::Deleted).map(drop)
}

fn erase(rig: &mut Rig) -> Checked {
    let home = rig.home()?;
    let person = provisioned(rig)?;
    let mark = rig.shared.mark();
    let outcome = rig.ordered(OrderKind::Erase {
        account: person.account,
    })?;
    same("the result", &OrderOutcome::Done, &outcome)?;
    rig.reported(mark, &person.iccid, Status::Deleted)?;
    let left = listed(rig)?;
    must(
        left.contains(&home.iccid) && !left.contains(&person.iccid),
        "only the other users' profiles left",
        || format!("{left:?}"),
    )
}

fn delete_all(rig: &mut Rig) -> Checked {
    let home = rig.home()?;
    let person = provisioned(rig)?;
    let outcome = rig.ordered(OrderKind::DeleteAll)?;
    same("the result", &OrderOutcome::Done, &outcome)?;
    let left = listed(rig)?;
    must(
        !left.contains(&home.iccid) && !left.contains(&person.iccid),
        "no profile left",
        || format!("{left:?}"),
    )?;
    let mark = rig.shared.mark();
    rig.settled()?;
    rig.nothing(mark, "nobody logged in", |up| {
        matches!(
            up,
            Up::Session {
                account: Some(_),
                ..
            }
        )
    })
}

fn by_user(rig: &mut Rig) -> Checked {
    let person = provisioned(rig)?;
    let mark = rig.shared.mark();
    rig.user(Deed::Delete {
        iccid: person.iccid.as_str(),
    })?;
    let code = rig.expect(mark, "a report that it is deleted", |up| match up {
        Up::Status {
            iccid: Some(iccid),
            status: Status::Deleted,
            code,
            ..
        } if *iccid == person.iccid => Some(*code),
        _ => None,
    })?;
    same("its code: deleted by the user", &DELETED_BY_USER, &code)
}

fn after_user(rig: &mut Rig) -> Checked {
    let person = provisioned(rig)?;
    let mark = rig.shared.mark();
    rig.user(Deed::Delete {
        iccid: person.iccid.as_str(),
    })?;
    prepared(rig.reported(mark, &person.iccid, Status::Deleted))?;
    let mark = rig.shared.mark();
    rig.user(Deed::Logout)?;
    prepared(rig.expect(mark, "the end of the session", ended))?;
    let mark = rig.shared.mark();
    rig.shared.state().book.next_code = CodeOutcome::Pending;
    rig.login(&person)?;
    let (_, account) = rig.expect(mark, "a request for a code", request)?;
    same("the account of the request", &person.account, &account)
}
