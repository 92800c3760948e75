//! Reports to the CMP: AID.02 §4.3 step 11, §4.4.1 step 11, docs/wire/aid2.md rule 3.

use super::rig::Rig;
use super::table;
use super::user::Deed;
use crate::rsp::findings::{Checked, must, same};
use crate::test::always;
use aid_wire::{Status, Up};
use std::collections::BTreeSet;

table! {
    "R-4.3-12" ["R-4.3-12"] "AID.02 §4.3 [11]" Must, always, reports,
        "Installation or enabling, and then disabling, are reported in their order, with the profile's account.";
    "R-4.3-12/repeated" ["R-4.3-12"] "docs/wire/aid2.md" Must, always, repeated,
        "A report that was not acknowledged comes again with the next connection: the same number, the same content; once acknowledged it does not.";
    "R-4.3-12/numbers" ["R-4.3-12"] "docs/wire/aid2.md, rule 3" Must, always, numbers,
        "Reports are numbered without a gap, and no number means two things.";
    "R-4.3-12/offline" ["R-4.3-12"] "AID.02 §4.3 [11]" Must, always, offline,
        "What happens without a link is reported afterwards, once and in order.";
}

fn reports(rig: &mut Rig) -> Checked {
    let person = rig.person()?;
    let mark = rig.shared.mark();
    rig.provision(&person)?;
    rig.user(Deed::Logout)?;
    rig.reported(mark, &person.iccid, Status::Disabled)?;
    let mut order = Vec::new();
    for up in rig.ups(mark) {
        let Up::Status {
            iccid: Some(iccid),
            account,
            status,
            ..
        } = up
        else {
            continue;
        };
        if iccid == person.iccid && !order.contains(&status) {
            same("the account of the report", &Some(person.account), &account)?;
            order.push(status);
        }
    }
    order.retain(|status| *status != Status::Installed);
    same(
        "the order of the reports",
        &vec![Status::Enabled, Status::Disabled],
        &order,
    )
}

fn repeated(rig: &mut Rig) -> Checked {
    let home = rig.home_enabled()?;
    let mark = rig.shared.mark();
    rig.shared.state().book.unanswered.insert("Status");
    rig.user(Deed::Logout)?;
    let first = rig.reported(mark, &home.iccid, Status::Disabled)?;
    let again = rig.shared.mark();
    rig.shared.state().book.unanswered.clear();
    rig.break_link();
    let what = format!("the report again under its number, {first}");
    let (account, iccid, status) = rig.expect(again, &what, |up| match up {
        Up::Status {
            report_seq,
            account,
            iccid,
            status,
            ..
        } if *report_seq == first => Some((*account, iccid.clone(), *status)),
        _ => None,
    })?;
    same("its account", &Some(home.account), &account)?;
    same("its profile", &Some(home.iccid), &iccid)?;
    same("its status", &Status::Disabled, &status)?;
    rig.settled()?;
    let last = rig.shared.mark();
    rig.break_link();
    rig.hello(last)?;
    rig.settled()?;
    rig.nothing_again(
        last,
        "no report that was acknowledged",
        |up| matches!(up, Up::Status { report_seq, .. } if *report_seq == first),
    )
}

/// Numbers and contents since a mark.
fn numbered(rig: &Rig, mark: usize) -> BTreeSet<(u64, String)> {
    let ups = rig.ups(mark).into_iter();
    ups.filter_map(|up| match up {
        Up::Status { report_seq, .. } => {
            let content = format!("{up:?}");
            Some((report_seq, content))
        }
        _ => None,
    })
    .collect()
}

fn numbers(rig: &mut Rig) -> Checked {
    let home = rig.home()?;
    let mark = rig.shared.mark();
    for _ in 0..2 {
        let turn = rig.shared.mark();
        rig.login(&home)?;
        rig.reported(turn, &home.iccid, Status::Enabled)?;
        rig.user(Deed::Logout)?;
        rig.reported(turn, &home.iccid, Status::Disabled)?;
    }
    let all = numbered(rig, mark);
    let numbers: Vec<u64> = all.iter().map(|(number, _)| *number).collect();
    let gapless = numbers.windows(2).all(|pair| pair[1] == pair[0] + 1);
    must(
        gapless,
        "numbers without a gap, each for one report",
        || format!("{numbers:?}"),
    )
}

fn offline(rig: &mut Rig) -> Checked {
    let home = rig.home_enabled()?;
    let mark = rig.shared.mark();
    rig.go_away();
    rig.user(Deed::Logout)?;
    rig.come_back();
    rig.reported(mark, &home.iccid, Status::Disabled)?;
    rig.settled()?;
    let count = rig.reports(mark, &home.iccid, Status::Disabled).len();
    must(count == 1, "one report", || format!("{count}"))
}
