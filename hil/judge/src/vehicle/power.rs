//! The vehicle loses its power at each step: AID.02 §4.3 [12-13], §4.4.1.

use super::book::no_code;
use super::observe::request;
use super::rig::Rig;
use super::{table, with_power};
use crate::rsp::findings::{Checked, must};
use aid_wire::{CodeOutcome, OrderOutcome, Status, Up};

table! {
    "R-4.3-14/power" ["R-4.3-14", "R-4.3-15"] "AID.02 §4.3 [12-13]" Must, with_power, enabled,
        "After a power cut nobody is logged in, and the profile that was enabled is disabled.";
    "R-4.3-10/power-at-request" ["R-4.3-10"] "AID.02 §4.3 [2]" Must, with_power, at_request,
        "Power is lost when a code was requested: the user's next login ends with one profile.";
    "R-4.3-10/power-at-code" ["R-4.3-10"] "AID.02 §4.3 [6-9]" Must, with_power, at_code,
        "Power is lost when the code has come: the user's next login ends with one profile.";
    "R-4.3-12/power" ["R-4.3-12"] "AID.02 §4.3 [11]" Must, with_power, at_report,
        "Power is lost before the first report was acknowledged: it comes again under its number.";
    "R-4.4.1-10/power" ["R-4.4.1-10", "R-4.4.1-12"] "AID.02 §4.4.1 [9-11]" Must, with_power, at_deletion,
        "Power is lost in a deletion: it ends with the profile gone, one report, and a result.";
}

/// Cuts the power and gives it back; meanwhile the judge's parties are right again.
fn cycle(rig: &mut Rig) -> Checked {
    cycle_with(rig, no_code())
}

/// The same, with this answer to the next request for a code.
fn cycle_with(rig: &mut Rig, next_code: CodeOutcome) -> Checked {
    rig.cut_power()?;
    rig.obey();
    rig.shared.state().book.next_code = next_code;
    rig.restore_power()
}

fn enabled(rig: &mut Rig) -> Checked {
    let home = rig.home_enabled()?;
    let mark = rig.shared.mark();
    cycle(rig)?;
    let listed = rig.hello(mark)?;
    let own = listed.iter().find(|p| p.iccid == home.iccid);
    if own.is_none_or(|p| p.state == Status::Enabled) {
        rig.reported(mark, &home.iccid, Status::Disabled)?;
    }
    rig.settled()?;
    rig.nothing(mark, "nobody logged in, and nothing enabled", |up| {
        matches!(
            up,
            Up::Session {
                account: Some(_),
                ..
            } | Up::Status {
                status: Status::Enabled,
                ..
            }
        )
    })
}

/// Power is cut at a message of a provisioning; the user logs in once more.
fn provisioning(rig: &mut Rig, at: &'static str) -> Checked {
    let person = rig.person()?;
    let mark = rig.shared.mark();
    let code = rig.code(&person);
    rig.shared.state().book.next_code = code.clone();
    rig.silent_at(at);
    rig.login(&person)?;
    rig.expect(mark, at, |up| (super::shared::name(up) == at).then_some(()))?;
    let again = rig.shared.mark();
    cycle_with(rig, code)?;
    rig.hello(again)?;
    rig.login(&person)?;
    rig.reported(again, &person.iccid, Status::Enabled)?;
    rig.settled()?;
    let installed = rig.reports(mark, &person.iccid, Status::Installed).len();
    must(installed <= 1, "the profile installed once", || {
        format!("{installed} reports")
    })?;
    rig.nothing(mark, "no other profile", |up| match up {
        Up::Status {
            iccid,
            status: Status::Installed,
            ..
        } => iccid.as_ref() != Some(&person.iccid),
        _ => false,
    })
}

fn at_request(rig: &mut Rig) -> Checked {
    provisioning(rig, "RequestActivationCode")
}

fn at_code(rig: &mut Rig) -> Checked {
    provisioning(rig, "Ack")
}

fn at_report(rig: &mut Rig) -> Checked {
    let person = rig.person()?;
    let mark = rig.shared.mark();
    let code = rig.code(&person);
    rig.shared.state().book.next_code = code;
    rig.silent_at("Status");
    rig.login(&person)?;
    let (first, content) = rig.expect(mark, "a report", |up| match up {
        Up::Status { report_seq, .. } => Some((*report_seq, up.clone())),
        _ => None,
    })?;
    let again = rig.shared.mark();
    cycle(rig)?;
    let second = rig.expect(again, "the report again", |up| match up {
        Up::Status { report_seq, .. } if *report_seq == first => Some(up.clone()),
        _ => None,
    })?;
    must(content == second, "the same report", || {
        format!("{second:?} after {content:?}")
    })?;
    rig.settled()?;
    let asked = rig.ups(again).iter().filter_map(request).count();
    must(asked == 0, "no request for another code", || {
        format!("{asked}")
    })
}

fn at_deletion(rig: &mut Rig) -> Checked {
    let person = rig.person()?;
    rig.provision(&person)?;
    let mark = rig.shared.mark();
    rig.silent_at("Status");
    let kind = rig.deletion(&person.iccid, person.account);
    let id = rig.shared.order(kind);
    rig.expect(mark, "a report of the deletion's steps", |up| {
        matches!(up, Up::Status { .. }).then_some(())
    })?;
    cycle(rig)?;
    let outcome = rig.result(mark, id)?;
    must(
        matches!(outcome, OrderOutcome::Done | OrderOutcome::NotFound),
        "the result Done, or NotFound where the card had deleted it already",
        || format!("{outcome:?}"),
    )?;
    rig.reported(mark, &person.iccid, Status::Deleted)?;
    rig.settled()?;
    let count = rig.reports(mark, &person.iccid, Status::Deleted).len();
    must(count == 1, "one report of the deletion", || {
        format!("{count} under different numbers")
    })
}
