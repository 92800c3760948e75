//! The words of refusals and bodies (AID.02 §5.5, Annex B).

use super::Msp;
use super::rig::{Done, LIST, REQUESTS, STATUSES, USERS, needs_link};
use crate::aid1::{
    Answer, agreed_body, first_words, known_code, masked, refused, refused_as, seen,
};
use crate::evidence::Evidence;
use crate::test::{Finding, Test};
use serde_json::json;

const CODES: &str = "AID.02 §5.5";
const ANNEX: &str = "AID.02 Annex B.2";

pub(super) const TESTS: &[Test<Msp>] = &[
    Test::must(
        "R-5.5-1",
        &["R-5.5-1", "R-5.5-2"],
        CODES,
        "every answer that is not 2xx has a JSON body with code and error",
        bodies,
    )
    .when(needs_link),
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
    .when(needs_link),
    Test::must(
        "R-5.5-9",
        &["R-5.5-9"],
        CODES,
        "error begins with the description of its code",
        descriptions,
    )
    .should()
    .when(needs_link),
    Test::must(
        "R-B-3",
        &["R-B-3"],
        ANNEX,
        "a body that is no JSON object is refused",
        no_object,
    )
    .when(needs_link),
    Test::must(
        "R-B-6",
        &["R-B-6"],
        ANNEX,
        "bodies and paths without measure are refused with a body",
        sizes,
    )
    .should()
    .when(needs_link),
    Test::must(
        "R-7.7-9",
        &["R-7.7-9"],
        "AID.02 §7.7",
        "a request for an unknown token is refused with 404",
        unknown_request,
    ),
    Test::must(
        "R-7.8-5",
        &["R-7.8-5"],
        "AID.02 §7.8",
        "a status for an unknown token is refused with 404",
        unknown_status,
    ),
    Test::must(
        "R-7.9-4",
        &["R-7.9-4"],
        "AID.02 §7.9",
        "the end of an unknown token is refused with 404",
        unknown_end,
    ),
    Test::must(
        "R-7.10-6",
        &["R-7.10-6"],
        "AID.02 §7.10",
        "the profiles of an unknown token are refused with 404",
        unknown_list,
    ),
];

/// Codes for a token that is not known.
const NO_TOKEN: [u16; 4] = [20, 21, 65, 94];

fn refusals(
    msp: &mut Msp,
    evidence: &mut Evidence,
) -> Result<Vec<(&'static str, Answer)>, Finding> {
    let unknown = msp.link.uuid();
    let body = msp.request_body();
    let mut list = Vec::new();
    for (what, token, bytes) in [
        ("an unknown token", unknown.as_str(), body.to_string()),
        ("a token that is no UUID", "abc", body.to_string()),
        ("a body that is no JSON", unknown.as_str(), "{".to_owned()),
        ("no body", unknown.as_str(), String::new()),
        ("an empty object", unknown.as_str(), "{}".to_owned()),
    ] {
        let call = msp.request(token).bytes(bytes);
        list.push((what, msp.link.ask(&call, evidence)?));
    }
    let (name, _) = msp.link.auth.header();
    list.push((
        "no credentials",
        msp.listed(evidence, |call| call.without(name))?,
    ));
    list.push((
        "no CMP-request-id",
        msp.listed(evidence, |call| call.without("cmp-request-id"))?,
    ));
    for call in [
        msp.link.call("GET", &format!("{LIST}/{unknown}")),
        msp.link.call("DELETE", &format!("{USERS}/{unknown}")),
        msp.status(&unknown)
            .json(&json!({"iccid": "89880000000000000000", "eid": msp.eid(), "status": "deleted"})),
    ] {
        list.push(("an unknown token", msp.link.ask(&call, evidence)?));
    }
    Ok(list)
}

fn bodies(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    for (what, answer) in refusals(msp, evidence)? {
        refused(&answer, what)?;
        evidence.step(format!("{what}: {}", answer.status), &[]);
    }
    Ok(())
}

fn routes(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let token = msp.link.uuid();
    for (method, path) in [
        ("POST", "/v1/nothing".to_owned()),
        ("GET", format!("{REQUESTS}/{token}")),
        ("PUT", format!("{STATUSES}/{token}")),
        ("POST", format!("{USERS}/{token}")),
    ] {
        let answer = msp.link.ask(&msp.link.call(method, &path), evidence)?;
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

fn codes(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    for (what, answer) in refusals(msp, evidence)? {
        refused(&answer, what)?;
        known_code(&answer)?;
    }
    Ok(())
}

fn descriptions(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    for (what, answer) in refusals(msp, evidence)? {
        refused(&answer, what)?;
        first_words(&answer)?;
    }
    Ok(())
}

fn no_object(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let token = msp.token(evidence)?;
    let whole = msp.request_body().to_string();
    let half = whole.get(..whole.len() / 2).unwrap_or_default().to_owned();
    for bytes in [
        String::new(),
        "null".to_owned(),
        "[]".to_owned(),
        "{\"a\":}".to_owned(),
        half,
        format!("{whole}x"),
    ] {
        let what = format!("the body {:?}", bytes.chars().take(20).collect::<String>());
        let answer = msp.link.ask(&msp.request(&token).bytes(bytes), evidence)?;
        refused(&answer, &what)?;
    }
    Ok(())
}

fn sizes(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let token = msp.token(evidence)?;
    let mut body = msp.request_body();
    body["filler"] = json!("x".repeat(1 << 20));
    refused(
        &msp.link.ask(&msp.request(&token).json(&body), evidence)?,
        "a body of 1 MiB",
    )?;
    let deep = format!("{{\"a\":{}", "[".repeat(10_000));
    refused(
        &msp.link.ask(&msp.request(&token).bytes(deep), evidence)?,
        "10,000 brackets",
    )?;
    let call = msp
        .link
        .call("GET", &format!("{LIST}/{}", "a".repeat(9_000)));
    refused(
        &msp.link.ask(&call, evidence)?,
        "a path of 9,000 characters",
    )
}

fn unknown_request(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let call = msp.request(&msp.link.uuid()).json(&msp.request_body());
    let answer = msp.link.ask(&call, evidence)?;
    refused_as(&answer, "a token that nobody has", &[404, 422], &NO_TOKEN)
}

fn unknown_status(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let body = json!({"iccid": "89880000000000000000", "eid": msp.eid(), "status": "deleted"});
    let answer = msp
        .link
        .ask(&msp.status(&msp.link.uuid()).json(&body), evidence)?;
    refused_as(&answer, "a token that nobody has", &[404], &NO_TOKEN)
}

fn unknown_end(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let call = msp
        .link
        .call("DELETE", &format!("{USERS}/{}", msp.link.uuid()));
    let answer = msp.link.ask(&call, evidence)?;
    refused_as(&answer, "a token that nobody has", &[404], &NO_TOKEN)
}

fn unknown_list(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let call = msp.link.call("GET", &format!("{LIST}/{}", msp.link.uuid()));
    let answer = msp.link.ask(&call, evidence)?;
    refused_as(&answer, "a token that nobody has", &[404], &NO_TOKEN)
}
