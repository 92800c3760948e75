//! The link is lost, or taken over, at each step: docs/wire/aid2.md rule 12, AID.02 §4.3.

use super::rig::Rig;
use super::shared::{Out, Seen};
use super::table;
use crate::rsp::findings::{Checked, must};
use crate::test::always;
use aid_wire::Status;

table! {
    "R-4.3-3/link-lost" ["R-4.3-3"] "AID.02 §4.3 [1]" Must, always, at_login,
        "The link is lost before the answer to a login: the login ends well with the next connection.";
    "R-4.3-9/link-lost" ["R-4.3-9"] "AID.02 §4.3 [6]" Must, always, at_code,
        "The link is lost when the code has come: the profile comes all the same, once.";
    "R-4.3-12/link-lost" ["R-4.3-12"] "AID.02 §4.3 [11]" Must, always, at_report,
        "The link is lost at the first report: every report arrives, under one number each.";
    "R-4.3-15/taken-over" ["R-4.3-15"] "docs/wire/aid2.md" Must, always, taken_over,
        "A connection that the CMP ends because another took its place (0x8E) is made again, and a session goes on.";
}

fn through(rig: &mut Rig, cut_at: &'static str) -> Checked {
    let person = rig.person()?;
    let mark = rig.shared.mark();
    rig.cut_at(cut_at);
    rig.provision(&person)?;
    rig.settled()?;
    let requests = rig.requests(mark, person.account).len();
    must(requests == 1, "one request for a code", || {
        format!("{requests}")
    })?;
    let enabled = rig.reports(mark, &person.iccid, Status::Enabled).len();
    must(enabled == 1, "one report that it is enabled", || {
        format!("{enabled} under different numbers")
    })
}

fn at_login(rig: &mut Rig) -> Checked {
    through(rig, "Login")
}

fn at_code(rig: &mut Rig) -> Checked {
    through(rig, "Ack")
}

fn at_report(rig: &mut Rig) -> Checked {
    through(rig, "Status")
}

fn taken_over(rig: &mut Rig) -> Checked {
    let home = rig.home_enabled()?;
    let mark = rig.shared.mark();
    rig.shared.disturb(Out::TakeOver);
    rig.lost_links += 1;
    let back = rig.hello(mark)?;
    let own = back.iter().find(|p| p.iccid == home.iccid);
    must(
        own.is_some_and(|p| p.state == Status::Enabled),
        "the profile of the session still enabled",
        || format!("{back:?}"),
    )?;
    let ends = rig.shared.since(mark).into_iter();
    let ends = ends
        .filter(|seen| matches!(seen, Seen::Connected(_)))
        .count();
    // One that connects without a pause fights the other connection for ever.
    must(ends == 1, "one new connection", || format!("{ends}"))
}
