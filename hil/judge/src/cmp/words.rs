//! The words of refusals and bodies (AID.02 §5.5, Annex B).

use super::Cmp;
use super::rig::{Done, SUBSCRIPTIONS, USERS, needs_update};
use crate::aid1::{
    Answer, accepted, agreed_body, code_of, first_words, known_code, masked, refused, refused_as,
    seen, silent_success,
};
use crate::evidence::Evidence;
use crate::test::{Finding, Test};
use serde_json::json;

const CODES: &str = "AID.02 §5.5";
const ANNEX: &str = "AID.02 Annex B.1";

pub(super) const TESTS: &[Test<Cmp>] = &[
    Test::must(
        "R-5.5-1",
        &["R-5.5-1", "R-5.5-2"],
        CODES,
        "every answer that is not 2xx has a JSON body with code and error",
        bodies,
    )
    .when(needs_update),
    Test::must(
        "R-5.5-1/routes",
        &["R-5.5-1"],
        CODES,
        "paths and methods that do not exist are refused with a body, too",
        routes,
    ),
    Test::must(
        "R-5.5-4",
        &["R-5.5-4", "R-5.5-8"],
        CODES,
        "codes are those of the tables, or from 200 to 300",
        codes,
    )
    .when(needs_update),
    Test::must(
        "R-5.5-6",
        &["R-5.5-6"],
        CODES,
        "placeholders are filled in, and no markup of the request comes back",
        placeholders,
    )
    .when(needs_update),
    Test::must(
        "R-5.5-9",
        &["R-5.5-9"],
        CODES,
        "error begins with the description of its code",
        descriptions,
    )
    .should()
    .when(needs_update),
    Test::must(
        "R-B-1",
        &["R-B-1", "R-B-5"],
        ANNEX,
        "members that the contract does not have are ignored",
        unknown_members,
    )
    .when(needs_update),
    Test::must(
        "R-B-3",
        &["R-B-3"],
        ANNEX,
        "a body that is no JSON object is refused",
        no_object,
    )
    .when(needs_update),
    Test::must(
        "R-B-5/twice",
        &["R-B-5"],
        ANNEX,
        "a member that is there twice is refused",
        twice,
    )
    .should()
    .when(needs_update),
    Test::must(
        "R-B-6",
        &["R-B-6"],
        ANNEX,
        "bodies and paths without measure are refused with a body",
        sizes,
    )
    .should()
    .when(needs_update),
    Test::must("R-B-8", &["R-B-8"], ANNEX, "a success has no body", no_body).when(needs_update),
];

/// Refusals of many kinds.
fn refusals(
    cmp: &mut Cmp,
    evidence: &mut Evidence,
) -> Result<Vec<(&'static str, Answer)>, Finding> {
    let unknown = cmp.link.uuid();
    let body = cmp.update_body();
    let mut list = Vec::new();
    for (what, path, bytes) in [
        ("an unknown token", unknown.as_str(), body.to_string()),
        ("a token that is no UUID", "abc", body.to_string()),
        ("a body that is no JSON", unknown.as_str(), "{".to_owned()),
        ("no body", unknown.as_str(), String::new()),
        ("an empty object", unknown.as_str(), "{}".to_owned()),
    ] {
        let call = cmp.link.call("PATCH", &format!("{SUBSCRIPTIONS}/{path}"));
        list.push((what, cmp.link.ask(&call.bytes(bytes), evidence)?));
    }
    let (name, _) = cmp.link.auth.header();
    list.push((
        "no credentials",
        cmp.updated(evidence, |call| call.without(name))?,
    ));
    list.push((
        "no CMP-request-id",
        cmp.updated(evidence, |call| call.without("cmp-request-id"))?,
    ));
    list.push((
        "another type",
        cmp.updated(evidence, |call| call.set("content-type", "text/plain"))?,
    ));
    let call = cmp.invalidate(&unknown).json(&json!({}));
    list.push((
        "an unknown token to invalidate",
        cmp.link.ask(&call, evidence)?,
    ));
    let call = cmp
        .profiles(&unknown)
        .json(&Cmp::profiles_body(&cmp.iccid(), "valid"));
    list.push((
        "profiles of an unknown token",
        cmp.link.ask(&call, evidence)?,
    ));
    let call = cmp
        .send_code(&unknown)
        .json(&cmp.code_body(&cmp.link.uuid(), &cmp.iccid()));
    list.push((
        "a code for an unknown token",
        cmp.link.ask(&call, evidence)?,
    ));
    Ok(list)
}

fn bodies(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    for (what, answer) in refusals(cmp, evidence)? {
        refused(&answer, what)?;
        evidence.step(format!("{what}: {}", answer.status), &[]);
    }
    Ok(())
}

fn routes(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let token = cmp.link.uuid();
    for (method, path) in [
        ("POST", "/cesim/msp/v1/nothing".to_owned()),
        ("POST", format!("{USERS}/{token}/nothing")),
        ("GET", format!("{SUBSCRIPTIONS}/{token}")),
        ("DELETE", format!("{USERS}/{token}/invalidate")),
    ] {
        let answer = cmp.link.ask(&cmp.link.call(method, &path), evidence)?;
        if answer.status < 300 {
            return Err(Finding::broken(
                format!("a refusal of {method} {}", masked(&path)),
                seen(&answer),
            ));
        }
        agreed_body(&answer)?;
    }
    Ok(())
}

fn codes(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    for (what, answer) in refusals(cmp, evidence)? {
        refused(&answer, what)?;
        known_code(&answer)?;
    }
    let unknown = cmp.link.uuid();
    let call = cmp.update(&unknown).json(&cmp.update_body());
    let answer = cmp.link.ask(&call, evidence)?;
    refused_as(
        &answer,
        "an unknown msp_token",
        &[404, 422],
        &[20, 21, 65, 94],
    )?;
    let (name, _) = cmp.link.auth.header();
    let answer = cmp.updated(evidence, |call| call.without(name))?;
    match code_of(&answer) {
        // 93 is about the caller, too; the reserved ones are anybody's.
        Some(93 | 104 | 200..=300) => Ok(()),
        _ => Err(Finding::broken(
            "code 104 (or 93) where the caller has no credentials, as Annex B has it",
            seen(&answer),
        )),
    }
}

fn placeholders(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let token = cmp.token(evidence)?;
    let markup = "<script>alert(1)</script>";
    let body = json!({"profiles": [{"iccid": markup, "status": markup, "reason": markup}]});
    let mut answers = vec![cmp.link.ask(&cmp.profiles(&token).json(&body), evidence)?];
    let call = cmp
        .profiles(&token)
        .json(&Cmp::profiles_body(&cmp.iccid(), "suspended"));
    answers.push(cmp.link.ask(&call, evidence)?);
    answers.push(cmp.updated(evidence, |call| call.set("client-id", "nobodyHere"))?);
    for answer in &answers {
        refused(answer, "an unknown profile or caller")?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        if text.contains("%s") || text.contains("<script") {
            return Err(Finding::broken(
                "a text without %s and without markup",
                seen(answer),
            ));
        }
    }
    Ok(())
}

fn descriptions(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    for (what, answer) in refusals(cmp, evidence)? {
        refused(&answer, what)?;
        first_words(&answer)?;
    }
    Ok(())
}

fn unknown_members(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let mut body = cmp.update_body();
    body["x-judge"] = json!({"nested": [1, 2.5, true, null, "\u{e9}"]});
    let answer = cmp.updated(evidence, |call| call.json(&body))?;
    accepted(
        &answer,
        201,
        "a body with a member that the contract does not have",
    )
}

fn no_object(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let whole = cmp.update_body().to_string();
    let half = whole.get(..whole.len() / 2).unwrap_or_default().to_owned();
    for bytes in [
        String::new(),
        "null".to_owned(),
        "[]".to_owned(),
        "\"text\"".to_owned(),
        "{\"a\":}".to_owned(),
        half,
        format!("{whole}x"),
        "\u{0}".to_owned(),
    ] {
        let what = format!("the body {:?}", bytes.chars().take(20).collect::<String>());
        let answer = cmp.updated(evidence, |call| call.bytes(bytes))?;
        refused(&answer, &what)?;
    }
    Ok(())
}

fn twice(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let body = cmp.update_body().to_string();
    let body = body.replacen('{', "{\"subscriptionType\":\"business\",", 1);
    let answer = cmp.updated(evidence, |call| call.bytes(body))?;
    refused(&answer, "subscriptionType twice")
}

fn sizes(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let mut body = cmp.update_body();
    body["filler"] = json!("x".repeat(1 << 20));
    let answer = cmp.updated(evidence, |call| call.json(&body))?;
    refused(&answer, "a body of 1 MiB")?;
    let deep = "[".repeat(10_000);
    let answer = cmp.updated(evidence, |call| call.bytes(format!("{{\"a\":{deep}")))?;
    refused(&answer, "10,000 brackets")?;
    let path = format!("{SUBSCRIPTIONS}/{}", "a".repeat(9_000));
    let call = cmp.link.call("PATCH", &path).json(&cmp.update_body());
    refused(
        &cmp.link.ask(&call, evidence)?,
        "a path of 9,000 characters",
    )
}

fn no_body(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let answer = cmp.updated(evidence, |call| call)?;
    silent_success(&answer, 201, "Update Subscription Info")
}
