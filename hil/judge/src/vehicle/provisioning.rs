//! From the code to the enabled profile: AID.02 §4.3 steps 6 to 11, SGP.22 §3.1.3.

use super::book::no_code;
use super::observe::{prepared, request};
use super::orders::listed;
use super::rig::{Person, Rig};
use super::table;
use super::user::Deed;
use crate::lpa::events::Event;
use crate::lpa::server::Script;
use crate::rsp::dp::Fault;
use crate::rsp::findings::{Checked, must, same};
use crate::test::{Finding, always};
use aid_id::Id;
use aid_rsp::es10::{NotificationEvent, PendingNotification};
use aid_wire::{CodeOutcome, OrderKind, Status, Up};
use std::time::Duration;

table! {
    "R-4.3-10" ["R-4.3-10", "R-4.3-11", "R-3.2-3", "R-A.2-1"] "AID.02 §4.3 [7-10]" Must, always, installs,
        "The profile of an activation code is installed and enabled, one download each.";
    "R-4.3-10/notification" ["R-4.3-10"] "AID.02 §4.3 [9], SGP.22 §3.5" Must, always, notifies,
        "The result of the installation reaches the SM-DP+.";
    "R-3.2-5" ["R-3.2-5"] "AID.02 §3.2, SGP.22 §5.5" Must, always, changed,
        "A profile that was changed on its way to the eUICC is not installed.";
    "R-4.3-9/later" ["R-4.3-9"] "AID.02 §4.3 [6]" Must, always, later,
        "A code that comes later is used.";
    "R-4.3-9/offline" ["R-4.3-9"] "AID.02 §4.3 [6]" Must, always, offline,
        "A code that comes with the next connection is used.";
    "R-4.3-9/repeated" ["R-4.3-9"] "docs/wire/aid2.md" Must, always, repeated,
        "A request that was not answered is repeated under its id.";
    "R-4.3-9/twice" ["R-4.3-9"] "docs/wire/aid2.md" Must, always, twice,
        "A code that comes twice is used once.";
    "R-4.3-10/outage" ["R-4.3-10"] "AID.02 §4.3 [7]" Must, always, outage,
        "An SM-DP+ that is out of order for a moment ends nothing: the profile comes afterwards.";
    "R-4.3-11/left" ["R-4.3-11"] "AID.02 §4.3 [10]" Must, always, left,
        "The profile of a user who logged out before it was there is not enabled.";
    "R-4.3-12/failure" ["R-4.3-12"] "AID.02 §4.3 [11]" Must, always, failure,
        "A profile that the SM-DP+ refuses for good is reported as InstallationFailed, once.";
    "R-4.4.1-13/failed" ["R-4.4.1-13"] "AID.02 §4.4.1" Must, always, failed,
        "A request that the CMP ended leads to no download.";
    "R-4.4.1-13/erased" ["R-4.4.1-13"] "AID.02 §4.4.1" Must, always, erased,
        "A user who is erased between code and download gets no profile.";
}

/// Calls of a function of ES9+ since the test began.
fn calls(rig: &Rig, function: &str) -> usize {
    let all = rig.events.all();
    let named = |event: &&Event| matches!(event, Event::Http(http) if http.function == function);
    all.iter().filter(named).count()
}

/// Waits for a call of the SM-DP+.
fn called(rig: &Rig, function: &str) -> Checked {
    let seen = rig
        .shared
        .until(rig.patience(), |_| calls(rig, function) > 0);
    must(seen, &format!("a call of {function}"), || {
        "none came to the SM-DP+".to_owned()
    })
}

fn installs(rig: &mut Rig) -> Checked {
    let person = rig.person()?;
    let mark = rig.shared.mark();
    rig.provision(&person)?;
    rig.settled()?;
    let packages = calls(rig, "getBoundProfilePackage");
    must(packages == 1, "one package fetched", || {
        format!("{packages}")
    })?;
    let enabled = rig.reports(mark, &person.iccid, Status::Enabled).len();
    must(enabled == 1, "one report that it is enabled", || {
        format!("{enabled}")
    })
}

/// Notifications of this event that the SM-DP+ has.
pub(super) fn notified(rig: &Rig, person: &Person, event: NotificationEvent) -> bool {
    let iccid = person.iccid.to_bcd();
    rig.events.all().iter().any(|seen| match seen {
        Event::Http(http) if http.function == "handleNotification" => {
            let bytes = http.bytes("pendingNotification");
            PendingNotification::from_slice(&bytes).is_ok_and(|pending| {
                let metadata = pending.metadata();
                metadata.iccid == iccid && metadata.event == event
            })
        }
        _ => false,
    })
}

fn notifies(rig: &mut Rig) -> Checked {
    let person = rig.person()?;
    rig.provision(&person)?;
    let seen = rig.shared.until(rig.patience(), |_| {
        notified(rig, &person, NotificationEvent::Install)
    });
    must(
        seen,
        "handleNotification with the result of the installation",
        || "it did not come".to_owned(),
    )
}

fn changed(rig: &mut Rig) -> Checked {
    let person = rig.person()?;
    let mark = rig.shared.mark();
    rig.script(Script {
        fault: Fault::ElementMac,
        ..Script::default()
    });
    let code = rig.code(&person);
    asked(rig, &person, code)?;
    rig.shared.state().book.next_code = no_code();
    called(rig, "getBoundProfilePackage")?;
    // The card's result goes to the SM-DP+ (SGP.22 §3.1.3.3): the installation is over then.
    let is_over = rig
        .shared
        .until(rig.patience(), |_| calls(rig, "handleNotification") > 0);
    if !is_over {
        return Err(Finding::Hidden(
            "no notification came to the SM-DP+: whether the installation is over is not known"
                .to_owned(),
        ));
    }
    rig.settled()?;
    rig.nothing(
        mark,
        "no installation of a changed profile",
        |up| match up {
            Up::Status {
                iccid,
                status: Status::Enabled | Status::Installed,
                ..
            } => iccid.as_ref() == Some(&person.iccid),
            _ => false,
        },
    )?;
    // What is tried again ends with the user.
    prepared(rig.ordered(OrderKind::Erase {
        account: person.account,
    }))
    .map(drop)
}

/// Time for the next try of a download that has failed once or twice: 1 or 2 s later (docs/wire/aid2.md, rule 2).
const NEXT_TRY: Duration = Duration::from_secs(3);

/// Waits until a package was fetched, for so long as a next try takes; there may be none.
fn tried_again(rig: &Rig) {
    let fetched = |_: &super::shared::State| calls(rig, "getBoundProfilePackage") > 0;
    if rig.shared.until(NEXT_TRY, fetched) {
        rig.shared
            .until(NEXT_TRY, |_| calls(rig, "handleNotification") > 0);
    }
}

/// The user logs in, and their request is answered with this.
fn asked(rig: &mut Rig, person: &Person, outcome: CodeOutcome) -> Checked<Id> {
    let mark = rig.shared.mark();
    rig.shared.state().book.next_code = outcome;
    rig.login(person)?;
    let (id, _) = rig.expect(mark, "RequestActivationCode", request)?;
    Ok(id)
}

fn later(rig: &mut Rig) -> Checked {
    let person = rig.person()?;
    let mark = rig.shared.mark();
    let id = asked(rig, &person, CodeOutcome::Pending)?;
    rig.settled()?;
    let code = rig.code(&person);
    rig.shared.answer(id, code);
    rig.reported(mark, &person.iccid, Status::Enabled)?;
    let count = rig.requests(mark, person.account).len();
    must(count == 1, "one request", || format!("{count}"))
}

fn offline(rig: &mut Rig) -> Checked {
    let person = rig.person()?;
    let mark = rig.shared.mark();
    let id = asked(rig, &person, CodeOutcome::Pending)?;
    rig.settled()?;
    rig.go_away();
    let code = rig.code(&person);
    rig.shared.answer(id, code);
    rig.come_back();
    rig.reported(mark, &person.iccid, Status::Enabled).map(drop)
}

fn repeated(rig: &mut Rig) -> Checked {
    let person = rig.person()?;
    let mark = rig.shared.mark();
    rig.cut_at("RequestActivationCode");
    let code = rig.code(&person);
    asked(rig, &person, code)?;
    rig.reported(mark, &person.iccid, Status::Enabled)?;
    let requests = rig.requests(mark, person.account);
    must(requests.len() == 1, "one id for all repetitions", || {
        format!("{} ids", requests.len())
    })
}

fn twice(rig: &mut Rig) -> Checked {
    let person = rig.person()?;
    let mark = rig.shared.mark();
    let id = asked(rig, &person, CodeOutcome::Pending)?;
    let code = rig.code(&person);
    rig.shared.answer(id, code.clone());
    rig.shared.answer(id, code.clone());
    rig.reported(mark, &person.iccid, Status::Enabled)?;
    rig.shared.answer(id, code);
    rig.settled()?;
    rig.nothing(mark, "no failed installation", |up| {
        matches!(
            up,
            Up::Status {
                status: Status::InstallationFailed,
                ..
            }
        )
    })?;
    let packages = calls(rig, "getBoundProfilePackage");
    must(packages == 1, "one package fetched", || {
        format!("{packages}")
    })
}

fn outage(rig: &mut Rig) -> Checked {
    let person = rig.person()?;
    let mark = rig.shared.mark();
    rig.script(Script {
        down: true,
        ..Script::default()
    });
    let code = rig.code(&person);
    asked(rig, &person, code)?;
    called(rig, "initiateAuthentication")?;
    rig.script(Script::default());
    rig.reported(mark, &person.iccid, Status::Enabled).map(drop)
}

fn left(rig: &mut Rig) -> Checked {
    let person = rig.person()?;
    let mark = rig.shared.mark();
    rig.script(Script {
        down: true,
        ..Script::default()
    });
    let code = rig.code(&person);
    asked(rig, &person, code)?;
    called(rig, "initiateAuthentication")?;
    rig.user(Deed::Logout)?;
    rig.expect(mark, "the end of the session", |up| {
        matches!(up, Up::Session { account: None, .. } | Up::Logout { .. }).then_some(())
    })?;
    rig.script(Script::default());
    // The vehicle may go on with the download, or call it off.
    tried_again(rig);
    rig.settled()?;
    rig.nothing(mark, "nothing enabled after the logout", |up| {
        matches!(
            up,
            Up::Status {
                status: Status::Enabled,
                ..
            }
        )
    })?;
    // What is still under way ends with the user.
    rig.ordered(OrderKind::Erase {
        account: person.account,
    })
    .map(drop)
}

fn failure(rig: &mut Rig) -> Checked {
    let person = rig.person()?;
    let mark = rig.shared.mark();
    rig.script(Script {
        refuse: Some(("authenticateClient", "8.2.6", "3.8")),
        ..Script::default()
    });
    let code = rig.code(&person);
    asked(rig, &person, code)?;
    rig.shared.state().book.next_code = no_code();
    rig.expect(mark, "a report of InstallationFailed", |up| match up {
        Up::Status {
            status: Status::InstallationFailed,
            account,
            ..
        } => Some(*account),
        _ => None,
    })
    .and_then(|account| same("its account", &Some(person.account), &account))?;
    rig.settled()?;
    rig.nothing(mark, "nothing enabled", |up| {
        matches!(
            up,
            Up::Status {
                status: Status::Enabled,
                ..
            }
        )
    })?;
    let mut numbers: Vec<u64> = rig
        .ups(mark)
        .into_iter()
        .filter_map(|up| match up {
            Up::Status {
                status: Status::InstallationFailed,
                report_seq,
                ..
            } => Some(report_seq),
            _ => None,
        })
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    must(numbers.len() == 1, "one such report", || {
        format!("{} of them", numbers.len())
    })
}

fn failed(rig: &mut Rig) -> Checked {
    let person = rig.person()?;
    let mark = rig.shared.mark();
    let id = asked(rig, &person, CodeOutcome::Pending)?;
    // No subscription any more: a code that stays.
    let refusal = CodeOutcome::Failed {
        code: 21,
        reason: "the subscription was unlinked".to_owned(),
    };
    rig.shared.answer(id, refusal);
    rig.settled()?;
    rig.nothing(mark, "nothing enabled", |up| {
        matches!(
            up,
            Up::Status {
                status: Status::Enabled | Status::Installed,
                ..
            }
        )
    })?;
    let begun = calls(rig, "initiateAuthentication");
    must(begun == 0, "no download", || format!("{begun} begun"))
}

fn erased(rig: &mut Rig) -> Checked {
    let person = rig.person()?;
    let mark = rig.shared.mark();
    rig.script(Script {
        down: true,
        ..Script::default()
    });
    let code = rig.code(&person);
    asked(rig, &person, code)?;
    called(rig, "initiateAuthentication")?;
    let before = rig.shared.mark();
    let id = rig.shared.order(OrderKind::Erase {
        account: person.account,
    });
    rig.result(before, id)?;
    rig.script(Script::default());
    tried_again(rig);
    rig.settled()?;
    rig.nothing(mark, "no profile of the erased user enabled", |up| {
        matches!(
            up,
            Up::Status {
                status: Status::Enabled,
                ..
            }
        )
    })?;
    // A profile that was under way may have been installed, and deleted at once.
    let left = listed(rig)?;
    must(
        !left.contains(&person.iccid),
        "no profile of the erased user on the card",
        || format!("{left:?}"),
    )
}
