//! Delivery of notifications: SGP.22 §3.1.3.3, §3.5, §5.6.4.

use super::certificates::Shown;
use super::outcome::Run;
use super::rig::{Order, Rig};
use super::server::Script;
use super::{with_delivery, with_notifications};
use crate::rsp::dp::Fault;
use crate::rsp::findings::{Checked, must, same};
use crate::rsp::table;
use crate::test::{Finding, always};
use aid_rsp::es10::{FinalResult, PendingNotification};

table! { Rig;
    "SGP22-3.5/delivers" [] [] "SGP.22 §3.1.3.3, §3.5" Must, with_delivery, delivers,
        "The result of an installation reaches the SM-DP+ as the card signed it.";
    "SGP22-3.5/removes" [] [] "SGP.22 §3.5" Must, with_delivery, removes,
        "A notification that was acknowledged is removed from the card.";
    "SGP22-3.5/keeps" [] [] "SGP.22 §3.5" Must, always, keeps,
        "A notification that the SM-DP+ did not acknowledge (500) stays on the card.";
    "SGP22-3.5/repeats" [] [] "SGP.22 §3.5" Must, with_notifications, repeats,
        "A notification that stayed is delivered by the next command, the same bytes, and removed then.";
    "SGP22-3.5/failed-installation" [] [] "SGP.22 §2.5.6, §3.5" Must, with_delivery, failed,
        "The result of an installation that failed reaches the SM-DP+, too.";
}

fn notified(run: &Run) -> Checked<Vec<Vec<u8>>> {
    run.called("handleNotification")?;
    let calls = run.http("handleNotification");
    Ok(calls
        .iter()
        .map(|call| call.bytes("pendingNotification"))
        .collect())
}

fn delivers(rig: &mut Rig) -> Checked {
    let run = rig.download()?;
    rig.must_have(true, &run)?;
    let sent = notified(&run)?;
    let first = sent.first().cloned().unwrap_or_default();
    let Ok(PendingNotification::Installation(result)) = PendingNotification::from_slice(&first)
    else {
        return Err(Finding::broken(
            "handleNotification: the ProfileInstallationResult",
            crate::rsp::findings::hexed(&first),
        ));
    };
    let iccid = rig.profile()?.iccid;
    same(
        "the ICCID of the result",
        &Some(iccid),
        &result.data.value().notification.iccid,
    )?;
    let is_success = matches!(result.data.value().result, FinalResult::Success { .. });
    same("a result of success", &true, &is_success)
}

fn removes(rig: &mut Rig) -> Checked {
    let run = rig.download()?;
    rig.must_have(true, &run)?;
    notified(&run)?;
    let left = rig.waiting()?;
    must(
        left.is_empty(),
        "no notification on the card after it was acknowledged",
        || format!("{} left; the LPA did {}", left.len(), run.did()),
    )
}

fn refused_once(rig: &mut Rig) -> Checked<Run> {
    let script = Script {
        notified: 500,
        ..Script::default()
    };
    let run = rig.play(script, Shown::Right, Order::Download)?;
    rig.must_have(true, &run)?;
    Ok(run)
}

fn keeps(rig: &mut Rig) -> Checked {
    let run = refused_once(rig)?;
    let left = rig.waiting()?;
    must(
        left.len() == 1,
        "the notification on the card, as it was not acknowledged",
        || format!("{} left; the LPA did {}", left.len(), run.did()),
    )
}

fn repeats(rig: &mut Rig) -> Checked {
    let first = refused_once(rig)?;
    let again = rig.play(Script::default(), Shown::Right, Order::Notifications)?;
    let sent = notified(&again)?;
    if let Some(before) = first.http("handleNotification").first() {
        let before = before.bytes("pendingNotification");
        must(
            sent.contains(&before),
            "the same notification again",
            || "another one".to_owned(),
        )?;
    }
    let left = rig.waiting()?;
    must(
        left.is_empty(),
        "no notification on the card after it was acknowledged",
        || format!("{} left; the LPA did {}", left.len(), again.did()),
    )
}

fn failed(rig: &mut Rig) -> Checked {
    let script = Script {
        fault: Fault::ElementMac,
        ..Script::default()
    };
    let run = rig.play(script, Shown::Right, Order::Download)?;
    rig.must_have(false, &run)?;
    let sent = notified(&run)?;
    let is_error = sent
        .iter()
        .any(|bytes| match PendingNotification::from_slice(bytes) {
            Ok(PendingNotification::Installation(result)) => {
                matches!(result.data.value().result, FinalResult::Error { .. })
            }
            _ => false,
        });
    must(
        is_error,
        "handleNotification with the errorResult of the card",
        || run.did(),
    )
}
