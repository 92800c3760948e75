//! What the LPA does where the SM-DP+, the card or the rules refuse: SGP.22 §3.1.2, §3.1.3, §5.6.5.

use super::certificates::Shown;
use super::outcome::Run;
use super::rig::{Order, Rig};
use super::server::Script;
use super::with_exit_codes;
use crate::rsp::dp::Fault;
use crate::rsp::findings::{Checked, must, one_of};
use crate::rsp::table;
use crate::test::{Finding, always};
use aid_rsp::es10::{
    CancelSessionReason as Reason, CancelSessionResponse, DataObject, GetRatResponse, ppr,
};

table! { Rig;
    "SGP22-3.1.2/other-address" [] [] "SGP.22 §3.1.2" Must, always, other_address,
        "A serverSigned1 with another server's address ends the procedure.";
    "SGP22-3.1.2/card-refuses" [] [] "SGP.22 §3.1.2" Must, always, card_refuses,
        "Where the card refuses the server, no package is asked for.";
    "SGP22-3.1.2/other-transaction" [] [] "SGP.22 §3.1.3" Should, always, other_transaction,
        "An answer of another transactionId ends the procedure.";
    "SGP22-5.6.1/refused" [] [] "SGP.22 §5.6.1" Must, always, initiate_refused,
        "Where the SM-DP+ refuses initiateAuthentication, the card is asked nothing more.";
    "SGP22-5.6.3/refused" [] [] "SGP.22 §5.6.3" Must, always, client_refused,
        "Where the SM-DP+ refuses authenticateClient (8.2.6/3.8), no package is asked for.";
    "SGP22-5.6.2/refused" [] [] "SGP.22 §5.6.2" Must, always, package_refused,
        "Where the SM-DP+ refuses getBoundProfilePackage, nothing is loaded.";
    "SGP22-3.1.3/exit-code" [] [] "declared" Declared, with_exit_codes, exit_code,
        "A download that fails ends with another exit code than 0.";
    "SGP22-5.6.5/metadata-mismatch" [] [] "SGP.22 §3.1.3, §5.6.5" Must, always, metadata_mismatch,
        "A package with other metadata than were announced is not installed, and the session is cancelled with metadataMismatch.";
    "SGP22-5.6.5/ppr" [] [] "SGP.22 §2.9.2, §3.1.3, §5.6.5" Must, always, policy_rule,
        "A profile with a rule that the card's table does not allow is not installed, and the session is cancelled with pprNotAllowed.";
    "SGP22-5.6.5/code-missing" [] [] "SGP.22 §3.1.3, §4.7" Must, always, code_missing,
        "Without the Confirmation Code that is needed nothing is installed, and the session is cancelled.";
    "SGP22-2.5.6/stops" [] [] "SGP.22 §2.5.6, §5.7.6" Must, always, stops,
        "Once the card has answered with its result, no further piece of the package is sent.";
}

/// Nothing is installed, and no package was asked for.
fn ended_early(rig: &mut Rig, run: &Run) -> Checked {
    rig.must_have(false, run)?;
    must(
        run.http("getBoundProfilePackage").is_empty(),
        "no getBoundProfilePackage",
        || run.did(),
    )
}

fn other_address(rig: &mut Rig) -> Checked {
    let script = Script {
        address: Some("other.smdp.example"),
        ..Script::default()
    };
    let run = rig.play(script, Shown::Right, Order::Download)?;
    ended_early(rig, &run)
}

fn card_refuses(rig: &mut Rig) -> Checked {
    let script = Script {
        wrong_challenge: true,
        ..Script::default()
    };
    let run = rig.play(script, Shown::Right, Order::Download)?;
    ended_early(rig, &run)
}

fn other_transaction(rig: &mut Rig) -> Checked {
    let script = Script {
        wrong_transaction: true,
        ..Script::default()
    };
    let run = rig.play(script, Shown::Right, Order::Download)?;
    ended_early(rig, &run)
}

fn refusing(function: &'static str, subject: &'static str, reason: &'static str) -> Script {
    Script {
        refuse: Some((function, subject, reason)),
        ..Script::default()
    }
}

fn initiate_refused(rig: &mut Rig) -> Checked {
    let script = refusing("initiateAuthentication", "8.8.1", "3.8");
    let run = rig.play(script, Shown::Right, Order::Download)?;
    run.called("initiateAuthentication")?;
    ended_early(rig, &run)?;
    must(run.es10(0xBF38).is_empty(), "no AuthenticateServer", || {
        run.did()
    })
}

fn client_refused(rig: &mut Rig) -> Checked {
    let script = refusing("authenticateClient", "8.2.6", "3.8");
    let run = rig.play(script, Shown::Right, Order::Download)?;
    run.called("authenticateClient")?;
    ended_early(rig, &run)
}

fn package_refused(rig: &mut Rig) -> Checked {
    let script = refusing("getBoundProfilePackage", "8.2", "3.7");
    let run = rig.play(script, Shown::Right, Order::Download)?;
    run.called("getBoundProfilePackage")?;
    rig.must_have(false, &run)?;
    must(
        run.es10(0xBF36).is_empty(),
        "no LoadBoundProfilePackage",
        || run.did(),
    )
}

fn exit_code(rig: &mut Rig) -> Checked {
    let script = refusing("authenticateClient", "8.2.6", "3.8");
    let run = rig.play(script, Shown::Right, Order::Download)?;
    must(
        !run.ended.timed_out && run.ended.code != Some(0),
        "a download that was refused ends, and not with exit code 0",
        || run.end(),
    )
}

/// The session was cancelled at card and server, with one of these reasons.
fn cancelled(run: &Run, allowed: &[Reason]) -> Checked {
    let call = run.called("cancelSession")?;
    let response = CancelSessionResponse::from_slice(&call.bytes("cancelSessionResponse"));
    let Ok(CancelSessionResponse::Ok { signed, .. }) = response else {
        return Err(Finding::broken(
            "cancelSession with the card's cancelSessionResponseOk",
            "none",
        ));
    };
    one_of(
        "the reason of cancelSession",
        allowed,
        &signed.value().reason,
    )
}

fn metadata_mismatch(rig: &mut Rig) -> Checked {
    let script = Script {
        other_metadata: true,
        ..Script::default()
    };
    let run = rig.play(script, Shown::Right, Order::Download)?;
    rig.must_have(false, &run)?;
    cancelled(&run, &[Reason::MetadataMismatch])
}

fn policy_rule(rig: &mut Rig) -> Checked {
    rig.options.rules = GetRatResponse::default();
    let script = Script {
        policy_rules: Some(ppr::PPR1),
        ..Script::default()
    };
    let run = rig.play(script, Shown::Right, Order::Download)?;
    ended_early(rig, &run)?;
    cancelled(&run, &[Reason::PprNotAllowed])
}

fn code_missing(rig: &mut Rig) -> Checked {
    let script = Script {
        needs_code: true,
        ..Script::default()
    };
    let run = rig.play(script, Shown::Right, Order::Download)?;
    rig.must_have(false, &run)?;
    cancelled(
        &run,
        &[
            Reason::EndUserRejection,
            Reason::Postponed,
            Reason::Timeout,
            Reason::UndefinedReason,
        ],
    )
}

fn stops(rig: &mut Rig) -> Checked {
    let script = Script {
        fault: Fault::Signature,
        ..Script::default()
    };
    let run = rig.play(script, Shown::Right, Order::Download)?;
    rig.must_have(false, &run)?;
    run.asked(0xBF36)?;
    // The first piece is answered with the result; what is sent after it begins with no function of ES10.
    let more = run
        .events()
        .iter()
        .filter(|event| event.name() == "ES10")
        .count();
    must(
        more == 0,
        "no further piece after the card's result",
        || format!("{more} more; the LPA did {}", run.did()),
    )
}
