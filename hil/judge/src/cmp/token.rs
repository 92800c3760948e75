//! Send MSP Token (AID.02 §7.3).

use super::Cmp;
use super::rig::{Done, needs_onboarding, needs_update};
use crate::aid1::{Answer, accepted, refused, refused_as, seen, silent_success};
use crate::evidence::Evidence;
use crate::test::{Finding, Test};
use serde_json::{Value, json};

const CLAUSE: &str = "AID.02 §7.3";

pub(super) const TESTS: &[Test<Cmp>] = &[
    Test::must(
        "R-7.3-1",
        &["R-7.3-1", "R-7.3-14", "R-4.1-15", "R-4.1-16"],
        CLAUSE,
        "a token for an account id is taken with 201",
        taken,
    )
    .when(needs_onboarding),
    Test::must(
        "R-7.3-3",
        &["R-7.3-3"],
        CLAUSE,
        "a body without msp_token, phoneNumber, subscriptionType or iv is refused",
        members,
    )
    .when(needs_onboarding),
    Test::must(
        "R-7.3-4",
        &["R-7.3-4"],
        CLAUSE,
        "where error is set, the other members are ignored and nothing is linked",
        failure,
    )
    .when(needs_onboarding),
    Test::must(
        "R-7.3-5",
        &["R-7.3-5"],
        CLAUSE,
        "neither token nor error is refused",
        neither,
    )
    .when(needs_onboarding),
    Test::must(
        "R-7.3-6",
        &["R-7.3-6"],
        CLAUSE,
        "an error of 512 characters is taken",
        long_error,
    )
    .when(needs_onboarding),
    Test::must(
        "R-7.3-8",
        &["R-7.3-8"],
        CLAUSE,
        "a number with a plus or letters in it is refused",
        plus,
    )
    .should()
    .when(needs_update),
    Test::must(
        "R-7.3-9",
        &["R-7.3-9"],
        CLAUSE,
        "a number in plain text is refused",
        plain,
    )
    .when(needs_update),
    Test::must(
        "R-7.3-11",
        &["R-7.3-11", "R-7.3-10"],
        CLAUSE,
        "a number that can't be decrypted is refused with 422",
        wrong_cipher,
    )
    .when(needs_update),
    Test::must(
        "R-7.3-12",
        &["R-7.3-12"],
        CLAUSE,
        "subscriptionType is private, business or unknown, and nothing else",
        kinds,
    )
    .when(needs_update),
    Test::must(
        "R-7.3-13",
        &["R-7.3-13"],
        CLAUSE,
        "customerGroup may be there",
        group,
    )
    .when(needs_update),
    Test::must(
        "R-7.3-15",
        &["R-7.3-15", "R-5.3-1"],
        CLAUSE,
        "a token that is no UUID is refused with 422",
        malformed,
    )
    .when(needs_onboarding),
    Test::must(
        "R-7.3-15/duplicate",
        &["R-7.3-15"],
        CLAUSE,
        "a token that is linked already is refused with 422",
        duplicate,
    )
    .when(needs_onboarding),
    Test::must(
        "R-5.3-3",
        &["R-5.3-3"],
        "AID.02 §5.3",
        "a second token for the same account id is refused with 422",
        second,
    )
    .when(needs_onboarding),
    Test::must(
        "R-7.3-16",
        &["R-7.3-16"],
        CLAUSE,
        "the same call again, as after a lost answer, has the same answer",
        repeated,
    )
    .should()
    .when(needs_onboarding),
    Test::must(
        "R-7.3-16/changed",
        &["R-7.3-16"],
        CLAUSE,
        "another body under the same CMP-request-id links nothing",
        changed,
    )
    .should()
    .when(needs_onboarding),
];

/// Sends this body for a new account id.
fn send(cmp: &mut Cmp, body: &Value, evidence: &mut Evidence) -> Result<Answer, Finding> {
    let id = cmp.account_id(evidence)?;
    let call = cmp.send_token(&id).json(body);
    cmp.link.ask(&call, evidence)
}

/// Whether this token is linked, as far as an update shows it.
fn is_linked(cmp: &mut Cmp, token: &str, evidence: &mut Evidence) -> Result<bool, Finding> {
    let call = cmp.update(token).json(&cmp.update_body());
    Ok(cmp.link.ask(&call, evidence)?.status < 300)
}

fn taken(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let token = cmp.link.uuid();
    let answer = send(cmp, &cmp.token_body(&token), evidence)?;
    silent_success(&answer, 201, "a token for a new account id")?;
    cmp.token = Some(token.clone());
    evidence.step("the token was taken", &["R-7.3-1"]);
    match is_linked(cmp, &token, evidence)? {
        true => Ok(()),
        false => Err(Finding::broken(
            "a token that was taken is known from then on",
            "Update Subscription Info of it is refused",
        )),
    }
}

fn members(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let id = cmp.account_id(evidence)?;
    for name in ["msp_token", "phoneNumber", "subscriptionType", "iv"] {
        let mut body = cmp.token_body(&cmp.link.uuid());
        if let Some(members) = body.as_object_mut() {
            members.remove(name);
        }
        let call = cmp.send_token(&id).json(&body);
        let answer = cmp.link.ask(&call, evidence)?;
        refused(&answer, &format!("a body without {name}"))?;
        evidence.step(format!("refused without {name}"), &[]);
    }
    Ok(())
}

fn failure(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let token = cmp.link.uuid();
    for body in [
        json!({"msp_token": null, "phoneNumber": null, "subscriptionType": null, "iv": null,
            "error": "1000: Customer not eligible"}),
        json!({"msp_token": token, "phoneNumber": "?", "subscriptionType": "?", "iv": "?",
            "error": "19: Other account ID error"}),
    ] {
        let answer = send(cmp, &body, evidence)?;
        if !(200..300).contains(&answer.status) {
            return Err(Finding::broken(
                "a report of a failure is taken (201)",
                seen(&answer),
            ));
        }
        evidence.step(format!("taken: {body}").replace(&token, "(a token)"), &[]);
    }
    match is_linked(cmp, &token, evidence)? {
        false => Ok(()),
        true => {
            cmp.token = Some(token);
            Err(Finding::broken(
                "no token is stored where error is set",
                "the token beside the error is linked",
            ))
        }
    }
}

fn neither(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let mut body = cmp.token_body("x");
    body["msp_token"] = Value::Null;
    let answer = send(cmp, &body, evidence)?;
    refused(&answer, "msp_token null and error null")
}

fn long_error(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let error = format!("1000: {}", "x".repeat(506));
    let body = json!({"msp_token": null, "phoneNumber": null, "subscriptionType": null, "iv": null,
        "error": error});
    let answer = send(cmp, &body, evidence)?;
    match (200..300).contains(&answer.status) {
        true => Ok(()),
        false => Err(Finding::broken(
            "an error of 512 characters is taken",
            seen(&answer),
        )),
    }
}

/// Updates the number to this one.
fn number(
    cmp: &mut Cmp,
    (number, iv): (String, String),
    evidence: &mut Evidence,
) -> Result<Answer, Finding> {
    let body = json!({"phoneNumber": number, "subscriptionType": "private", "iv": iv});
    cmp.updated(evidence, |call| call.json(&body))
}

fn plus(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    for text in ["+491700000001", "49170 0000001", "49170abc0001", ""] {
        let answer = number(cmp, cmp.encrypted(text), evidence)?;
        refused(&answer, &format!("the number {text:?}"))?;
    }
    Ok(())
}

fn plain(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    for text in ["491700000001", "4917000000012345"] {
        let (_, iv) = cmp.encrypted("491700000001");
        let answer = number(cmp, (text.to_owned(), iv), evidence)?;
        refused_as(&answer, "a number that is not encrypted", &[422], &[])?;
    }
    Ok(())
}

fn wrong_cipher(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let text = "491700000001";
    let (good, iv) = cmp.encrypted(text);
    let (_, other_iv) = cmp.encrypted(text);
    let random = cmp.link.bytes16();
    let foreign = cmp
        .number_key
        .as_ref()
        .map(|key| key.other().encrypt(text, random));
    let tampered: String = good
        .char_indices()
        .map(|(at, c)| match (at, c) {
            (4, 'A') => 'B',
            (4, _) => 'A',
            (_, c) => c,
        })
        .collect();
    let short = good.get(..8).unwrap_or_default().to_owned();
    for (sent, what) in [
        ((good.clone(), other_iv), "another iv than the number's"),
        (foreign.unwrap_or_default(), "a number under another key"),
        ((tampered, iv.clone()), "a number that was changed"),
        ((short, iv.clone()), "a number without its tag"),
        ((good.clone(), "AAAA".to_owned()), "an iv of three bytes"),
        ((good, "!".to_owned()), "an iv that is not Base64"),
        (("!".to_owned(), iv), "a number that is not Base64"),
    ] {
        let answer = number(cmp, sent, evidence)?;
        refused_as(&answer, what, &[422], &[])?;
        evidence.step(format!("refused: {what}"), &[]);
    }
    Ok(())
}

fn kinds(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    for kind in ["business", "unknown", "private"] {
        let mut body = cmp.update_body();
        body["subscriptionType"] = json!(kind);
        let answer = cmp.updated(evidence, |call| call.json(&body))?;
        accepted(&answer, 201, &format!("subscriptionType {kind}"))?;
    }
    for kind in [
        json!("platinum"),
        json!("Private"),
        json!(""),
        json!(1),
        Value::Null,
    ] {
        let mut body = cmp.update_body();
        body["subscriptionType"] = kind.clone();
        let answer = cmp.updated(evidence, |call| call.json(&body))?;
        refused(&answer, &format!("subscriptionType {kind}"))?;
    }
    Ok(())
}

fn group(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let mut body = cmp.update_body();
    body["customerGroup"] = json!("Market_Germany");
    let answer = cmp.updated(evidence, |call| call.json(&body))?;
    accepted(&answer, 201, "a customerGroup")
}

fn malformed(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let id = cmp.account_id(evidence)?;
    for token in [
        "not-a-uuid",
        "",
        "12345",
        "d534080b97944351-88e7-8af9e079ca1e00",
    ] {
        let call = cmp.send_token(&id).json(&cmp.token_body(token));
        let answer = cmp.link.ask(&call, evidence)?;
        refused_as(&answer, &format!("the msp_token {token:?}"), &[422], &[])?;
    }
    Ok(())
}

fn duplicate(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let token = cmp.link_account(evidence)?;
    // The link stays while the user begins another onboarding.
    let way = cmp.way(evidence)?;
    let call = cmp.send_token(&way.id).json(&cmp.token_body(&token));
    let answer = cmp.link.ask(&call, evidence)?;
    refused_as(&answer, "a token that is linked already", &[422], &[])
}

fn second(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let id = cmp.account_id(evidence)?;
    let token = cmp.link.uuid();
    let call = cmp.send_token(&id).json(&cmp.token_body(&token));
    let answer = cmp.link.ask(&call, evidence)?;
    if answer.status != 201 {
        return Err(Finding::Hidden(format!(
            "the first token was answered {}",
            seen(&answer)
        )));
    }
    cmp.token = Some(token);
    let call = cmp.send_token(&id).json(&cmp.token_body(&cmp.link.uuid()));
    let answer = cmp.link.ask(&call, evidence)?;
    refused_as(
        &answer,
        "a second token for the same account id",
        &[422],
        &[],
    )
}

fn repeated(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let id = cmp.account_id(evidence)?;
    let token = cmp.link.uuid();
    let call = cmp.send_token(&id).json(&cmp.token_body(&token));
    let first = cmp.link.ask(&call, evidence)?;
    if first.status != 201 {
        return Err(Finding::Hidden(format!(
            "the first call was answered {}",
            seen(&first)
        )));
    }
    cmp.token = Some(token);
    let again = cmp.link.ask(&call, evidence)?;
    accepted(&again, 201, "the very same call again")
}

fn changed(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let id = cmp.account_id(evidence)?;
    let token = cmp.link.uuid();
    let call = cmp.send_token(&id).json(&cmp.token_body(&token));
    let first = cmp.link.ask(&call, evidence)?;
    if first.status != 201 {
        return Err(Finding::Hidden(format!(
            "the first call was answered {}",
            seen(&first)
        )));
    }
    cmp.token = Some(token);
    let other = cmp.link.uuid();
    let call = call.json(&cmp.token_body(&other));
    let answer = cmp.link.ask(&call, evidence)?;
    refused(&answer, "another body under the same CMP-request-id")?;
    match is_linked(cmp, &other, evidence)? {
        false => Ok(()),
        true => Err(Finding::broken("the other token is not linked", "it is")),
    }
}
