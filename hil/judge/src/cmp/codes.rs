//! Send Activation Code (AID.02 §7.7.2.1).

use super::Cmp;
use super::rig::{Done, needs_link, needs_vehicle};
use crate::aid1::{accepted, refused, refused_as, seen, silent_success};
use crate::evidence::Evidence;
use crate::test::{Finding, Test};
use aid_wire::CodeOutcome;
use serde_json::{Value, json};

const CLAUSE: &str = "AID.02 §7.7.2.1";
/// Codes for a request that does not fit.
const NO_REQUEST: [u16; 3] = [30, 31, 39];

pub(super) const TESTS: &[Test<Cmp>] = &[
    Test::must(
        "R-7.7.2.1-2",
        &["R-7.7.2.1-2", "R-7.7.2.1-5"],
        CLAUSE,
        "a code for a request that nobody made is refused with 422",
        unknown_request,
    )
    .when(needs_link),
    Test::must(
        "R-7.7.2.1-5",
        &["R-7.7.2.1-5"],
        CLAUSE,
        "a code for an unknown token is refused with 404",
        unknown_token,
    ),
    Test::must(
        "R-7.7.2.1-1",
        &["R-7.7.2.1-1"],
        CLAUSE,
        "a body without activationCode, profileType or request id is refused",
        members,
    )
    .when(needs_vehicle),
    Test::must(
        "R-7.7.2.1-4",
        &["R-7.7.2.1-4"],
        CLAUSE,
        "neither a code nor an error is refused",
        neither,
    )
    .when(needs_vehicle),
    Test::must(
        "R-7.7.1.1-2",
        &["R-7.7.1.1-2"],
        "AID.02 §7.7.1.1",
        "a text that is no activation code is refused, and reaches no vehicle",
        bad_code,
    )
    .when(needs_vehicle),
    Test::must(
        "R-7.7.2-1",
        &["R-7.7.2-1", "R-7.7.2.1-5", "R-4.3-8", "R-4.3-9"],
        "AID.02 §7.7.2",
        "after 201 a code is taken with 200, and reaches the vehicle",
        asynchronous,
    )
    .when(needs_vehicle),
    Test::must(
        "R-7.7.2.1-6",
        &["R-7.7.2.1-6"],
        CLAUSE,
        "the same code again is harmless",
        again,
    )
    .should()
    .when(needs_vehicle),
    Test::must(
        "R-7.7.2-3",
        &["R-7.7.2-3", "R-7.7.2.1-3"],
        "AID.02 §7.7.2",
        "an error after 201 is taken with 200, and the vehicle gets no code",
        failure,
    )
    .when(needs_vehicle),
    Test::must(
        "R-7.7.2.1-7",
        &["R-7.7.2.1-7", "R-4.4.1-13"],
        CLAUSE,
        "a code for a token that was invalidated meanwhile is refused",
        too_late,
    )
    .should()
    .when(needs_vehicle),
    Test::must(
        "R-6-6",
        &["R-6-6"],
        "AID.02 §6",
        "the CMP calls no server with a certificate of a foreign CA",
        super::calls::foreign_server,
    )
    .when(needs_vehicle),
];

fn unknown_request(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let token = cmp.token(evidence)?;
    let call = cmp
        .send_code(&token)
        .json(&cmp.code_body(&cmp.link.uuid(), &cmp.iccid()));
    let answer = cmp.link.ask(&call, evidence)?;
    refused_as(&answer, "a request id that nobody has", &[422], &NO_REQUEST)
}

fn unknown_token(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let call = cmp
        .send_code(&cmp.link.uuid())
        .json(&cmp.code_body(&cmp.link.uuid(), &cmp.iccid()));
    let answer = cmp.link.ask(&call, evidence)?;
    refused_as(
        &answer,
        "a token that nobody has",
        &[404],
        &[20, 21, 65, 94],
    )
}

/// Sends a body for the open request; the good one is changed by `change`.
fn send(
    cmp: &mut Cmp,
    evidence: &mut Evidence,
    change: impl FnOnce(&mut Value),
) -> Result<crate::aid1::Answer, Finding> {
    let open = cmp.open_request(evidence)?;
    let mut body = cmp.code_body(&open.id, &cmp.iccid());
    change(&mut body);
    let call = cmp
        .send_code(&open.token)
        .set("correlation-id", open.correlation);
    cmp.link.ask(&call.json(&body), evidence)
}

fn members(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    for name in ["activationCode", "profileType", "activationCodeRequestID"] {
        let answer = send(cmp, evidence, |body| {
            if let Some(members) = body.as_object_mut() {
                members.remove(name);
            }
        })?;
        if answer.status < 300 {
            cmp.requested = None;
        }
        refused(&answer, &format!("a body without {name}"))?;
    }
    Ok(())
}

fn neither(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let answer = send(cmp, evidence, |body| {
        for name in [
            "activationCode",
            "profileType",
            "iccid",
            "swappedIccid",
            "error",
        ] {
            body[name] = Value::Null;
        }
    })?;
    if answer.status < 300 {
        cmp.requested = None;
    }
    refused(&answer, "activationCode null and error null")
}

fn bad_code(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    for code in ["not-a-code", "7$smdp.example.com$X", "1$", ""] {
        let answer = send(cmp, evidence, |body| body["activationCode"] = json!(code))?;
        if answer.status < 300 {
            cmp.requested = None;
        }
        refused(&answer, &format!("the activation code {code:?}"))?;
    }
    Ok(())
}

fn asynchronous(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let open = cmp.open_request(evidence)?;
    let body = cmp.code_body(&open.id, &cmp.iccid());
    let answer = send(cmp, evidence, |sent| sent.clone_from(&body))?;
    cmp.requested = None;
    cmp.answered = Some((open.clone(), body));
    silent_success(&answer, 200, "the code of an open request")?;
    evidence.step("the code was taken", &[]);
    match cmp.car_code(open.car_request, evidence) {
        Ok(CodeOutcome::Code { .. }) => Ok(()),
        Ok(_) => Err(Finding::broken(
            "the vehicle gets the code",
            "it gets a failure",
        )),
        Err(why) => Err(Finding::broken("the vehicle gets the code", why)),
    }
}

fn again(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let (open, body) = match cmp.answered.take() {
        Some(answered) => answered,
        None => {
            let open = cmp.open_request(evidence)?;
            let body = cmp.code_body(&open.id, &cmp.iccid());
            (open, body)
        }
    };
    cmp.requested = None;
    for what in ["the code", "the same code in another call"] {
        let call = cmp
            .send_code(&open.token)
            .set("correlation-id", open.correlation.clone())
            .json(&body);
        let answer = cmp.link.ask(&call, evidence)?;
        accepted(&answer, 200, what)?;
    }
    let mut other = body;
    other["activationCode"] = json!("1$smdp.example.com$JUDGE-OTHER");
    let call = cmp
        .send_code(&open.token)
        .set("correlation-id", open.correlation)
        .json(&other);
    let answer = cmp.link.ask(&call, evidence)?;
    refused(&answer, "another code for a request that was answered")
}

fn failure(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let open = cmp.open_request(evidence)?;
    let answer = send(cmp, evidence, |body| {
        for name in ["activationCode", "profileType", "iccid", "swappedIccid"] {
            body[name] = Value::Null;
        }
        body["error"] = json!("49: Other activation code error");
    })?;
    cmp.requested = None;
    accepted(&answer, 200, "an error for an open request")?;
    match cmp.car_code(open.car_request, evidence) {
        Ok(CodeOutcome::Failed { .. }) => Ok(()),
        Ok(CodeOutcome::Code { .. }) => Err(Finding::broken(
            "the vehicle hears of the failure",
            "it gets a code that nobody sent",
        )),
        Ok(_) => Ok(()),
        Err(why) => Err(Finding::broken("the vehicle hears of the failure", why)),
    }
}

fn too_late(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let open = cmp.open_request(evidence)?;
    let call = cmp.invalidate(&open.token).json(&json!({}));
    let answer = cmp.link.ask(&call, evidence)?;
    if answer.status != 204 {
        return Err(Finding::Hidden(format!(
            "the end of the token was answered {}",
            seen(&answer)
        )));
    }
    let body = cmp.code_body(&open.id, &cmp.iccid());
    let call = cmp
        .send_code(&open.token)
        .set("correlation-id", open.correlation)
        .json(&body);
    cmp.forget();
    let answer = cmp.link.ask(&call, evidence)?;
    refused_as(
        &answer,
        "a code for a token that has ended",
        &[404, 422],
        &[],
    )
}
