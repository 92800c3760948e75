//! Account ids as the CMP makes them, and what it accepts of them (AID.02 §5.2).

use super::Cmp;
use super::rig::{Done, needs_onboarding, needs_portal, needs_second, needs_secret};
use crate::aid1::{HEADER, Token, now, refused, refused_as, sign};
use crate::evidence::Evidence;
use crate::test::{Finding, Test};
use serde_json::{Value, json};

const CLAUSE: &str = "AID.02 §5.2";

/// How far two clocks may be apart, seconds.
const SKEW: u64 = 300;
/// Statuses and codes for an account id that is not accepted.
const NOT_VALID: [u16; 2] = [422, 404];
const CODES: [u16; 5] = [10, 11, 12, 19, 94];

pub(super) const TESTS: &[Test<Cmp>] = &[
    Test::must(
        "R-5.2-2",
        &["R-5.2-2"],
        CLAUSE,
        "the header is {\"alg\":\"HS256\",\"typ\":\"JWT\"}",
        header,
    )
    .when(needs_portal),
    Test::must(
        "R-5.2-3",
        &["R-5.2-3"],
        CLAUSE,
        "exp is a time in seconds after iat",
        expiry,
    )
    .when(needs_portal),
    Test::must(
        "R-5.2-5",
        &["R-5.2-5", "R-4.1-4"],
        CLAUSE,
        "sid is a UUID, another one each time",
        session,
    )
    .when(needs_portal),
    Test::must(
        "R-5.2-6",
        &["R-5.2-6"],
        CLAUSE,
        "iat is the present time in seconds",
        issued,
    )
    .when(needs_portal),
    Test::must(
        "R-5.2-7",
        &["R-5.2-7", "R-5.2-1"],
        CLAUSE,
        "the signature is HMAC-SHA256 with the agreed secret",
        signature,
    )
    .when(needs_signed),
    Test::must(
        "R-5.2-12",
        &["R-5.2-12"],
        CLAUSE,
        "an account id has URL-safe characters only",
        safe,
    )
    .when(needs_portal),
    Test::must(
        "R-4.1-5",
        &["R-4.1-5"],
        "AID.02 §4.1",
        "an account id says nothing else about the user",
        nothing_else,
    )
    .should()
    .when(needs_portal),
    Test::must(
        "R-5.2-13",
        &["R-5.2-13"],
        CLAUSE,
        "an account id is taken once",
        once,
    )
    .when(needs_onboarding),
    Test::must(
        "R-5.2-8",
        &["R-5.2-8", "R-5.2-13"],
        CLAUSE,
        "an account id of one MSP is refused when another one presents it",
        cross,
    )
    .when(needs_second),
    Test::must(
        "R-7.3-2",
        &["R-7.3-2"],
        "AID.02 §7.3",
        "an account id with a wrong signature is refused",
        forged,
    )
    .when(needs_onboarding),
    Test::must(
        "R-7.3-2/expired",
        &["R-7.3-2"],
        "AID.02 §7.3",
        "an account id that has expired is refused",
        expired,
    )
    .when(needs_both),
    Test::must(
        "R-7.3-2/none",
        &["R-7.3-2", "R-5.2-2"],
        "AID.02 §7.3",
        "an account id without a signature, or under another algorithm, is refused",
        algorithms,
    )
    .when(needs_onboarding),
    Test::must(
        "R-7.3-2/unknown",
        &["R-7.3-2"],
        "AID.02 §7.3",
        "an account id of an onboarding that nobody began is refused",
        unknown,
    )
    .when(needs_both),
];

fn needs_signed(cmp: &Cmp) -> Result<(), String> {
    needs_portal(cmp)?;
    needs_secret(cmp)
}

fn needs_both(cmp: &Cmp) -> Result<(), String> {
    super::rig::needs_key(cmp)?;
    needs_secret(cmp)
}

fn read(cmp: &mut Cmp, evidence: &mut Evidence) -> Result<(String, Token), Finding> {
    let id = cmp.account_id(evidence)?;
    let token = Token::read(&id)
        .map_err(|why| Finding::broken("an account id that is a JSON web token", why))?;
    Ok((id, token))
}

fn number(claims: &Value, name: &str) -> Result<u64, Finding> {
    claims[name].as_u64().ok_or_else(|| {
        Finding::broken(
            format!("{name} as a number of seconds"),
            format!("{name} = {}", claims[name]),
        )
    })
}

fn header(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let (_, token) = read(cmp, evidence)?;
    match token.header == json!({"alg": "HS256", "typ": "JWT"}) {
        true => Ok(()),
        false => Err(Finding::broken(HEADER, token.header.to_string())),
    }
}

fn expiry(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let (_, token) = read(cmp, evidence)?;
    let (exp, iat) = (number(&token.claims, "exp")?, number(&token.claims, "iat")?);
    match exp > iat && exp > now().saturating_sub(SKEW) {
        true => Ok(()),
        false => Err(Finding::broken(
            "an exp after iat, in the future",
            format!("exp {exp}, iat {iat}, now {}", now()),
        )),
    }
}

fn session(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let mut seen = Vec::new();
    for _ in 0..2 {
        let (_, token) = read(cmp, evidence)?;
        let sid = token.claims["sid"].as_str().unwrap_or_default().to_owned();
        if uuid::Uuid::try_parse(&sid).is_err() || sid.len() != 36 {
            return Err(Finding::broken(
                "a sid that is a UUID",
                token.claims["sid"].to_string(),
            ));
        }
        seen.push(sid);
    }
    match seen[0] != seen[1] {
        true => Ok(()),
        false => Err(Finding::broken(
            "two onboardings with two sids",
            format!("{} twice", seen[0]),
        )),
    }
}

fn issued(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let (_, token) = read(cmp, evidence)?;
    let (iat, now) = (number(&token.claims, "iat")?, now());
    match iat.abs_diff(now) <= SKEW {
        true => Ok(()),
        false => Err(Finding::broken(
            format!("an iat within {SKEW} s of the present time {now}"),
            format!("iat {iat}"),
        )),
    }
}

fn signature(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let (_, token) = read(cmp, evidence)?;
    let secret = cmp.secret.clone().unwrap_or_default();
    match token.is_signed_with(&secret) {
        true => Ok(()),
        false => Err(Finding::broken(
            "HMAC-SHA256 of header and payload with the agreed secret",
            "another signature",
        )),
    }
}

fn safe(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let id = cmp.account_id(evidence)?;
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let parts = id.split('.').filter(|part| !part.is_empty()).count();
    match id.chars().all(safe) && parts == 3 {
        true => Ok(()),
        false => Err(Finding::broken(
            "three parts of base64url without padding",
            crate::aid1::masked(&id),
        )),
    }
}

fn nothing_else(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let (_, token) = read(cmp, evidence)?;
    let members = token.claims.as_object().cloned().unwrap_or_default();
    let others: Vec<_> = members
        .keys()
        .filter(|name| !["exp", "ver", "sid", "iat"].contains(&name.as_str()))
        .cloned()
        .collect();
    match others.is_empty() {
        true => Ok(()),
        false => Err(Finding::broken(
            "the claims exp, ver, sid and iat only",
            format!("also {}", others.join(", ")),
        )),
    }
}

fn once(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let id = cmp.account_id(evidence)?;
    let token = cmp.link.uuid();
    let call = cmp.send_token(&id).json(&cmp.token_body(&token));
    let answer = cmp.link.ask(&call, evidence)?;
    if answer.status != 201 {
        return Err(Finding::Hidden(format!(
            "the first use was answered {}",
            crate::aid1::seen(&answer)
        )));
    }
    cmp.token = Some(token);
    let call = cmp.send_token(&id).json(&cmp.token_body(&cmp.link.uuid()));
    let answer = cmp.link.ask(&call, evidence)?;
    refused(&answer, "an account id that was used")
}

fn cross(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let id = cmp.account_id(evidence)?;
    let body = cmp.token_body(&cmp.link.uuid());
    let Some(second) = &cmp.second else {
        return Err(Finding::Lacking("no second MSP is declared".to_owned()));
    };
    let call = second
        .call("POST", &format!("{}/{id}", super::rig::USERS))
        .json(&body);
    let answer = second.ask(&call, evidence)?;
    refused(&answer, "an account id that was issued for another MSP")
}

/// Sends a token for this account id, and expects it to be refused.
fn try_id(cmp: &mut Cmp, id: &str, what: &str, codes: &[u16], evidence: &mut Evidence) -> Done {
    let call = cmp.send_token(id).json(&cmp.token_body(&cmp.link.uuid()));
    let answer = cmp.link.ask(&call, evidence)?;
    refused_as(&answer, what, &NOT_VALID, codes)
}

fn forged(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let id = cmp.account_id(evidence)?;
    let Some((signed, signature)) = id.rsplit_once('.') else {
        return Err(Finding::Hidden(
            "the account id is no JSON web token".to_owned(),
        ));
    };
    // The middle, whose bits all count.
    let middle = signature.len() / 2;
    let flipped: String = signature
        .char_indices()
        .map(|(at, c)| match (at == middle, c) {
            (false, c) => c,
            (true, 'A') => 'B',
            (true, _) => 'A',
        })
        .collect();
    let wrong = format!("{signed}.{flipped}");
    try_id(
        cmp,
        &wrong,
        "an account id whose signature was changed",
        &CODES,
        evidence,
    )?;
    let (header, _) = signed.split_once('.').unwrap_or_default();
    let token = Token::read(&id).map_err(Finding::Hidden)?;
    let mut claims = token.claims;
    claims["exp"] = json!(now() + 86_000);
    let other = sign(b"x", HEADER, &claims);
    let payload = other.split('.').nth(1).unwrap_or_default();
    let wrong = format!("{header}.{payload}.{signature}");
    try_id(
        cmp,
        &wrong,
        "an account id whose claims were changed",
        &CODES,
        evidence,
    )?;
    let wrong = sign(&[7; 32], HEADER, &claims);
    try_id(
        cmp,
        &wrong,
        "an account id that is signed with another secret",
        &CODES,
        evidence,
    )
}

fn claims(cmp: &Cmp, issued: u64) -> Value {
    json!({"exp": issued + 600, "sid": cmp.link.uuid(), "iat": issued})
}

fn expired(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let secret = cmp.secret.clone().unwrap_or_default();
    let id = sign(&secret, HEADER, &claims(cmp, now().saturating_sub(90_000)));
    try_id(
        cmp,
        &id,
        "an account id that expired a day ago",
        &CODES,
        evidence,
    )
}

fn algorithms(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let id = cmp.account_id(evidence)?;
    let token = Token::read(&id).map_err(Finding::Hidden)?;
    let none = sign(b"x", r#"{"alg":"none","typ":"JWT"}"#, &token.claims);
    let signed = none.rsplit_once('.').map_or("", |(signed, _)| signed);
    for (wrong, what) in [
        (format!("{signed}."), "alg none without a signature"),
        (none.clone(), "alg none with a signature"),
    ] {
        let call = cmp
            .send_token(&wrong)
            .json(&cmp.token_body(&cmp.link.uuid()));
        let answer = cmp.link.ask(&call, evidence)?;
        refused(&answer, &format!("an account id with {what}"))?;
    }
    Ok(())
}

fn unknown(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let secret = cmp.secret.clone().unwrap_or_default();
    let id = sign(&secret, HEADER, &claims(cmp, now()));
    try_id(
        cmp,
        &id,
        "an account id with a sid of nobody",
        &CODES,
        evidence,
    )
}
