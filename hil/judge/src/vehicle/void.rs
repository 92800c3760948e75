//! Messages without effect: expired, retained, malformed, on another topic, twice. docs/wire/aid2.md rules 4, 10 and 11.

use super::book::Letter;
use super::rig::{Person, Rig};
use super::table;
use crate::aid1::now;
use crate::rsp::findings::{Checked, must, same};
use crate::test::always;
use aid_wire::{Down, OrderOutcome, Status, Up};

table! {
    "R-3.2-4/expired" ["R-3.2-4"] "docs/wire/aid2.md, rule 10" Must, always, expired,
        "An order whose time is over is not carried out and has no result; the same order with time left is.";
    "R-3.2-4/retained" ["R-3.2-4"] "docs/wire/aid2.md, rule 11" Must, always, retained,
        "A retained order is not carried out.";
    "R-3.2-4/topic" ["R-3.2-4"] "docs/wire/aid2.md, rule 11" Must, always, other_topic,
        "An order on another topic is not carried out.";
    "R-3.2-4/malformed" ["R-3.2-4"] "docs/wire/aid2.md, Revisions" Must, always, malformed,
        "Malformed messages, another version and bytes behind a message have no effect, and don't end the connection.";
    "R-3.2-4/twice" ["R-3.2-4"] "docs/wire/aid2.md, rule 4" Must, always, twice,
        "An order that is delivered twice at once is carried out once.";
}

/// An order to delete the home user's profile that the book does not know.
fn deletion(rig: &mut Rig) -> Checked<(Person, Letter)> {
    let home = rig.home()?;
    let kind = rig.deletion(&home.iccid, home.account);
    let order_id = rig.shared.state().book.random.bytes16();
    let letter = Letter::new(order_id, Down::Order { order_id, kind });
    Ok((home, letter))
}

/// Neither a result of this order nor a deletion.
fn untouched(rig: &mut Rig, mark: usize, letter: &Letter, expected: &str) -> Checked {
    rig.settled()?;
    let id = letter.message_id;
    rig.nothing(mark, expected, |up| match up {
        Up::OrderResult { order_id, .. } => *order_id == id,
        Up::Status { status, .. } => *status == Status::Deleted,
        _ => false,
    })
}

fn expired(rig: &mut Rig) -> Checked {
    let (home, letter) = deletion(rig)?;
    let mark = rig.shared.mark();
    let void = Letter {
        expires_at: Some(now().saturating_sub(60)),
        ..letter.clone()
    };
    rig.shared.send(void);
    untouched(
        rig,
        mark,
        &letter,
        "nothing for an order whose time is over",
    )?;
    let valid = Letter {
        expires_at: Some(now() + 3_600),
        ..letter.clone()
    };
    let mark = rig.shared.mark();
    rig.shared.send(valid);
    let outcome = rig.result(mark, letter.message_id)?;
    same("the result", &OrderOutcome::Done, &outcome)?;
    rig.reported(mark, &home.iccid, Status::Deleted).map(drop)
}

fn retained(rig: &mut Rig) -> Checked {
    let (_, letter) = deletion(rig)?;
    let mark = rig.shared.mark();
    rig.shared.send_retained(letter.clone());
    untouched(rig, mark, &letter, "nothing for a retained order")
}

fn other_topic(rig: &mut Rig) -> Checked {
    let (_, letter) = deletion(rig)?;
    let mark = rig.shared.mark();
    let payload = letter.clone().envelope(0).encode();
    let payload = payload.map_err(|e| crate::Finding::Hidden(e.to_string()))?;
    let topic = format!("aid/v1/{}/other", rig.shared.eid);
    rig.shared.send_raw(payload, Some(topic));
    untouched(rig, mark, &letter, "nothing for an order on another topic")
}

fn malformed(rig: &mut Rig) -> Checked {
    let (_, letter) = deletion(rig)?;
    let mark = rig.shared.mark();
    let good = letter.clone().envelope(0).encode();
    let good = good.map_err(|e| crate::Finding::Hidden(e.to_string()))?;
    let mut version = good.clone();
    version[0] = 2;
    let longer = [&good[..], &[0]].concat();
    let shorter = good[..good.len() - 1].to_vec();
    for payload in [Vec::new(), vec![0xFF; 300], version, longer, shorter] {
        rig.shared.send_raw(payload, None);
    }
    untouched(rig, mark, &letter, "nothing for malformed messages")?;
    let lost = rig
        .shared
        .since(mark)
        .into_iter()
        .any(|seen| matches!(seen, super::shared::Seen::Lost(_)));
    must(!lost, "a connection that stands", || rig.heard(mark))
}

fn twice(rig: &mut Rig) -> Checked {
    let (home, letter) = deletion(rig)?;
    let mark = rig.shared.mark();
    rig.shared.send(letter.clone());
    rig.shared.send(letter.clone());
    rig.result(mark, letter.message_id)?;
    rig.reported(mark, &home.iccid, Status::Deleted)?;
    rig.settled()?;
    let count = rig.reports(mark, &home.iccid, Status::Deleted).len();
    must(count == 1, "one report of the deletion", || {
        format!("{count} under different numbers")
    })
}
