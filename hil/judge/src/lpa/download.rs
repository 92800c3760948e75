//! A download that goes well, and what the LPA carries in it: SGP.22 §3.1.2, §3.1.3, §5.6, §5.7, §6.2.

use super::certificates::Shown;
use super::events::Event;
use super::outcome::Run;
use super::rig::{CODE, Order, Rig};
use super::server::Script;
use super::with_code;
use crate::rsp::findings::{Checked, hexed, must, same};
use crate::rsp::table;
use crate::test::{Finding, always};
use aid_rsp::crypto::hash_confirmation_code;
use aid_rsp::es8::segments;
use aid_rsp::es10::{
    AuthenticateServerRequest, DataObject, GetEuiccChallengeResponse, PrepareDownloadRequest,
};

table! { Rig;
    "SGP22-3.1.3/installs" ["R-4.3-10"] [] "SGP.22 §3.1.3" Must, always, installs,
        "The profile of an activation code is installed, and the command ends with 0.";
    "SGP22-3.1.3/order" [] [] "SGP.22 §3.1.2, §3.1.3" Must, always, order,
        "The functions of ES9+ and ES10b come in the order of the procedures.";
    "SGP22-5.6.1/request" [] [] "SGP.22 §5.6.1" Must, always, initiate,
        "initiateAuthentication has the card's challenge and EUICCInfo1 byte for byte, and the address of the activation code.";
    "SGP22-5.7.13/relays" [] [] "SGP.22 §5.6.3, §5.7.13" Must, always, authenticate,
        "AuthenticateServer has the server's objects byte for byte, and the MatchingID of the activation code.";
    "SGP22-5.6.3/relays" [] [] "SGP.22 §5.6.3" Must, always, client,
        "authenticateClient has the card's response byte for byte, and the transactionId.";
    "SGP22-5.7.5/relays" [] [] "SGP.22 §5.6.2, §5.7.5" Must, always, prepare,
        "PrepareDownload has the server's objects byte for byte, and no hashCc where no Confirmation Code is needed.";
    "SGP22-5.6.2/relays" [] [] "SGP.22 §5.6.2" Must, always, package,
        "getBoundProfilePackage has the card's response byte for byte, and the transactionId.";
    "SGP22-2.5.5/segments" [] [] "SGP.22 §2.5.5, §5.7.6" Must, always, pieces,
        "The package reaches the card whole, cut up as SGP.22 has it.";
    "SGP22-4.2/device-info" [] [] "SGP.22 §4.2" Must, always, device,
        "deviceInfo has a TAC, and the IMEI begins with it where there is one.";
    "SGP22-6.2/headers" [] [] "SGP.22 §6.2" Must, always, headers,
        "Requests have X-Admin-Protocol with a version of SGP.22 v2, and Content-Type application/json.";
    "SGP22-6.2/user-agent" [] [] "SGP.22 §6.2" Should, always, user_agent,
        "Requests have the User-Agent gsma-rsp-lpad.";
    "SGP22-6.5/more-members" [] [] "SGP.22 §6.5" Should, always, more_members,
        "Members that the LPA does not know, and white space in an answer, don't matter.";
    "SGP22-4.7/confirmation-code" [] [] "SGP.22 §4.7, §5.7.5" Must, with_code, confirmation_code,
        "A Confirmation Code reaches the card as hashCc: SHA-256 of its SHA-256 and the transactionId.";
    "SGP22-5.7.1/channel" [] [] "SGP.22 §5.7.1" Must, always, channel,
        "The ISD-R is reached over a logical channel of its own, not over the basic channel.";
}

/// A download that must succeed.
fn good(rig: &mut Rig) -> Checked<Run> {
    let run = rig.download()?;
    rig.must_have(true, &run)?;
    Ok(run)
}

fn installs(rig: &mut Rig) -> Checked {
    let run = good(rig)?;
    must(
        run.ended.code == Some(0),
        "a download that ends with exit code 0",
        || run.end(),
    )
}

/// The functions of a download, in their order.
const ORDER: [&str; 9] = [
    "ES10b.GetEUICCInfo1",
    "ES10b.GetEUICCChallenge",
    "initiateAuthentication",
    "ES10b.AuthenticateServer",
    "authenticateClient",
    "ES10b.PrepareDownload",
    "getBoundProfilePackage",
    "ES10b.LoadBoundProfilePackage",
    "ES10b.RetrieveNotificationsList",
];

fn order(rig: &mut Rig) -> Checked {
    let run = good(rig)?;
    let mut last = None;
    // Whether the result is retrieved or kept from the installation is the LPA's choice; so is the order of the first two.
    for name in &ORDER[1..8] {
        let at = run.position(name);
        must(
            at.is_some() && at > last,
            &format!("{} in this order", ORDER[..8].join(", ")),
            || run.did(),
        )?;
        last = at;
    }
    must(
        run.position(ORDER[0])
            .is_some_and(|at| Some(at) < run.position(ORDER[2])),
        "GetEUICCInfo1 before initiateAuthentication",
        || run.did(),
    )
}

fn initiate(rig: &mut Rig) -> Checked {
    let run = good(rig)?;
    let call = run.called("initiateAuthentication")?;
    let challenge = GetEuiccChallengeResponse::from_slice(&run.asked(0xBF2E)?.answer)
        .map_err(|e| Finding::Hidden(e.to_string()))?;
    same(
        "euiccChallenge: the card's",
        &challenge.challenge[..],
        &call.bytes("euiccChallenge")[..],
    )?;
    let info = &run.asked(0xBF20)?.answer;
    same(
        "euiccInfo1: as the card answered it",
        info,
        &call.bytes("euiccInfo1"),
    )?;
    let address = call.request["smdpAddress"].as_str().unwrap_or_default();
    let host = address.split(':').next().unwrap_or_default();
    same(
        "smdpAddress: the host of the activation code",
        rig.target.host.as_str(),
        host,
    )
}

fn authenticate(rig: &mut Rig) -> Checked {
    let run = good(rig)?;
    let call = run.called("initiateAuthentication")?;
    let asked = &run.asked(0xBF38)?.request;
    let request = AuthenticateServerRequest::from_slice(asked).map_err(|e| {
        Finding::broken(
            "an AuthenticateServerRequest as RSPDefinitions has it",
            e.to_string(),
        )
    })?;
    same(
        "serverSigned1",
        &call.answered("serverSigned1")[..],
        request.server_signed1.bytes(),
    )?;
    same(
        "serverSignature1",
        &call.answered("serverSignature1"),
        &request.server_signature1.to_tlv(),
    )?;
    same(
        "serverCertificate",
        &call.answered("serverCertificate"),
        &request.server_certificate,
    )?;
    let key = &call.answered("euiccCiPKIdToBeUsed");
    same(
        "euiccCiPKIdToBeUsed",
        key.get(2..).unwrap_or_default(),
        &request.euicc_ci_pkid[..],
    )?;
    let matching_id = request.ctx_params1.value().matching_id.as_deref();
    same(
        "matchingId of the activation code",
        &Some("JUDGE-1"),
        &matching_id,
    )
}

fn relayed(run: &Run, function: &str, field: &str, tag: u32) -> Checked {
    let call = run.called(function)?;
    let answer = &run.asked(tag)?.answer;
    same(
        &format!("{function}: {field}, as the card answered it"),
        answer,
        &call.bytes(field),
    )?;
    let given = run.called("initiateAuthentication")?;
    let upper = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_uppercase();
    same(
        &format!("{function}: transactionId"),
        &upper(&given.answer["transactionId"]),
        &upper(&call.request["transactionId"]),
    )
}

fn client(rig: &mut Rig) -> Checked {
    let run = good(rig)?;
    relayed(
        &run,
        "authenticateClient",
        "authenticateServerResponse",
        0xBF38,
    )
}

fn prepare(rig: &mut Rig) -> Checked {
    let run = good(rig)?;
    let call = run.called("authenticateClient")?;
    let request = prepared(&run)?;
    same(
        "smdpSigned2",
        &call.answered("smdpSigned2")[..],
        request.smdp_signed2.bytes(),
    )?;
    same(
        "smdpSignature2",
        &call.answered("smdpSignature2"),
        &request.smdp_signature2.to_tlv(),
    )?;
    same(
        "smdpCertificate",
        &call.answered("smdpCertificate"),
        &request.smdp_certificate,
    )?;
    same(
        "hashCc without a Confirmation Code",
        &None,
        &request.hash_cc,
    )
}

fn prepared(run: &Run) -> Checked<PrepareDownloadRequest> {
    PrepareDownloadRequest::from_slice(&run.asked(0xBF21)?.request).map_err(|e| {
        Finding::broken(
            "a PrepareDownloadRequest as RSPDefinitions has it",
            e.to_string(),
        )
    })
}

fn package(rig: &mut Rig) -> Checked {
    let run = good(rig)?;
    relayed(
        &run,
        "getBoundProfilePackage",
        "prepareDownloadResponse",
        0xBF21,
    )
}

fn pieces(rig: &mut Rig) -> Checked {
    let run = good(rig)?;
    let bpp = run
        .called("getBoundProfilePackage")?
        .answered("boundProfilePackage");
    let begin = run.position("ES10b.LoadBoundProfilePackage").unwrap_or(0);
    let mut sent: Vec<&[u8]> = Vec::new();
    for event in &run.events()[begin..] {
        let Event::Es10(es10) = event else { break };
        sent.push(&es10.request);
        if !es10.answer.is_empty() {
            break;
        }
    }
    let whole = sent.concat();
    must(whole == bpp, "the package, byte for byte", || {
        format!(
            "{} bytes instead of {}: {}",
            whole.len(),
            bpp.len(),
            hexed(&whole)
        )
    })?;
    let expected = segments(&bpp).map_err(|e| Finding::Hidden(e.to_string()))?;
    let lengths = |pieces: &[&[u8]]| pieces.iter().map(|p| p.len()).collect::<Vec<_>>();
    same(
        "lengths of the pieces (SGP.22 §2.5.5), each a chain of STORE DATA",
        &lengths(&expected),
        &lengths(&sent),
    )
}

fn device(rig: &mut Rig) -> Checked {
    let run = good(rig)?;
    let request = AuthenticateServerRequest::from_slice(&run.asked(0xBF38)?.request)
        .map_err(|e| Finding::broken("an AuthenticateServerRequest", e.to_string()))?;
    let info = &request.ctx_params1.value().device_info;
    must(info.tac != [0xFF; 4], "deviceInfo: a TAC", || {
        hexed(&info.tac)
    })?;
    match info.imei {
        Some(imei) => same(
            "deviceInfo: the IMEI begins with the TAC",
            &info.tac[..],
            &imei[..4],
        ),
        None => Ok(()),
    }
}

fn all_calls(run: &Run) -> impl Iterator<Item = &super::events::Http> {
    run.events().iter().filter_map(|event| match event {
        Event::Http(http) => Some(http),
        Event::Es10(_) => None,
    })
}

fn headers(rig: &mut Rig) -> Checked {
    let run = good(rig)?;
    for call in all_calls(&run) {
        let version = call.header("x-admin-protocol");
        must(
            version.starts_with("gsma/rsp/v2."),
            &format!(
                "{}: the header X-Admin-Protocol: gsma/rsp/v2.x.y",
                call.function
            ),
            || format!("{version:?}"),
        )?;
        let kind = call.header("content-type");
        must(
            kind.starts_with("application/json"),
            &format!(
                "{}: the header Content-Type: application/json",
                call.function
            ),
            || format!("{kind:?}"),
        )?;
    }
    Ok(())
}

fn user_agent(rig: &mut Rig) -> Checked {
    let run = good(rig)?;
    for call in all_calls(&run) {
        let agent = call.header("user-agent");
        must(
            agent.starts_with("gsma-rsp-lpad"),
            "the header User-Agent: gsma-rsp-lpad",
            || format!("{agent:?}"),
        )?;
    }
    Ok(())
}

fn more_members(rig: &mut Rig) -> Checked {
    let script = Script {
        with_more: true,
        ..Script::default()
    };
    let run = rig.play(script, Shown::Right, Order::Download)?;
    rig.must_have(true, &run)
}

fn confirmation_code(rig: &mut Rig) -> Checked {
    let script = Script {
        needs_code: true,
        ..Script::default()
    };
    let run = rig.play(script, Shown::Right, Order::DownloadWithCode)?;
    let request = prepared(&run)?;
    let id = request.smdp_signed2.value().transaction_id;
    let expected = hash_confirmation_code(CODE, id.as_bytes());
    same("hashCc", &Some(expected), &request.hash_cc)?;
    rig.must_have(true, &run)
}

fn channel(rig: &mut Rig) -> Checked {
    let run = good(rig)?;
    let basic = rig.events.basic_store_data();
    must(basic == 0, "no STORE DATA on the basic channel", || {
        format!("{basic} of them; the LPA did {}", run.did())
    })
}
