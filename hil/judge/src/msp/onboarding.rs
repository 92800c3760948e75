//! Onboarding at the MSP's touchpoint, and the token that comes of it (AID.02 §4.1, §5.2, §7.1, §7.3).

use super::Msp;
use super::rig::{Done, is_token, needs_portal, taken};
use crate::aid1::{Auth, Got, HEADER, Outcome, Reply, masked, now, sign};
use crate::evidence::Evidence;
use crate::test::{Finding, Test};
use serde_json::{Value, json};
use std::time::Duration;

const FLOW: &str = "AID.02 §4.1";
const ACCOUNT: &str = "AID.02 §5.2";
const TOKEN: &str = "AID.02 §7.3";

/// How long a call is waited for that must not come: the browser has its answer already.
const QUIET: Duration = Duration::from_millis(500);

pub(super) const TESTS: &[Test<Msp>] = &[
    Test::must(
        "R-7.3-1",
        &["R-7.3-1", "R-4.1-14", "R-4.1-15"],
        TOKEN,
        "a customer who agrees makes the MSP send a token for the account id",
        sent,
    )
    .when(needs_portal),
    Test::must(
        "R-4.1-18",
        &["R-4.1-18"],
        FLOW,
        "the browser returns to redirect_uri as it was",
        returned,
    )
    .when(needs_portal),
    Test::must(
        "R-4.1-12",
        &["R-4.1-12"],
        FLOW,
        "a customer who says no is not linked",
        declined,
    )
    .when(needs_decline),
    Test::must(
        "R-5.2-9",
        &["R-5.2-9", "R-4.1-10", "R-5.2-7"],
        ACCOUNT,
        "an account id with a wrong signature links nobody",
        forged,
    )
    .when(needs_portal),
    Test::must(
        "R-5.2-10",
        &["R-5.2-10", "R-5.2-3"],
        ACCOUNT,
        "an account id that has expired links nobody",
        expired,
    )
    .when(needs_portal),
    Test::must(
        "R-5.2-2",
        &["R-5.2-2"],
        ACCOUNT,
        "an account id under another algorithm links nobody",
        algorithm,
    )
    .when(needs_portal),
    Test::must(
        "R-5.2-6",
        &["R-5.2-6"],
        ACCOUNT,
        "an account id from the future links nobody",
        future,
    )
    .should()
    .when(needs_portal),
    Test::must(
        "R-7.1a-4",
        &["R-7.1a-4", "R-7.2.2-3"],
        "AID.02 §7.1",
        "nobody is redirected to a URL that was not agreed",
        not_agreed,
    )
    .when(needs_portal),
    Test::must(
        "R-5.3-1",
        &["R-5.3-1"],
        "AID.02 §5.3",
        "msp_token is a UUID",
        token_form,
    )
    .when(needs_portal),
    Test::must(
        "R-5.3-2/again",
        &["R-5.3-2", "R-4.1-14"],
        "AID.02 §5.3",
        "a customer who is linked anew has another token",
        another_token,
    )
    .when(needs_portal),
    Test::must(
        "R-7.3-3",
        &["R-7.3-3"],
        TOKEN,
        "the body has msp_token, phoneNumber, subscriptionType, error and iv",
        members,
    )
    .when(needs_portal),
    Test::must(
        "R-7.3-5",
        &["R-7.3-5"],
        TOKEN,
        "error is null where a token is sent",
        no_error,
    )
    .when(needs_portal),
    Test::must(
        "R-7.3-8",
        &["R-7.3-8", "R-7.3-9", "R-7.3-10"],
        TOKEN,
        "phoneNumber is an encrypted number without a plus",
        number,
    )
    .when(needs_number),
    Test::must(
        "R-7.3-10",
        &["R-7.3-10"],
        TOKEN,
        "iv is another one each time",
        fresh_iv,
    )
    .when(needs_number),
    Test::must(
        "R-7.3-12",
        &["R-7.3-12"],
        TOKEN,
        "subscriptionType is private, business or unknown",
        kind,
    )
    .when(needs_portal),
    Test::must(
        "R-5.1-1/sent",
        &["R-5.1-1", "R-5.1-2"],
        "AID.02 §5.1",
        "the MSP's calls have CMP-request-id and correlation-id, each a UUID",
        sent_ids,
    )
    .when(needs_portal),
    Test::must(
        "R-5.1-5/sent",
        &["R-5.1-5", "R-5.1-6"],
        "AID.02 §5.1",
        "the MSP's calls have the agreed client-id and target-id",
        sent_parties,
    )
    .when(needs_portal),
    Test::must(
        "R-6-2",
        &["R-6-2", "R-5.1-3"],
        "AID.02 §6",
        "the MSP's calls have the credentials that the CMP gave, and no others",
        sent_credentials,
    )
    .declared()
    .when(needs_portal),
    Test::must(
        "R-6-1/sent",
        &["R-6-1"],
        "AID.02 §6",
        "bodies of the MSP's calls are application/json",
        sent_type,
    )
    .when(needs_portal),
    Test::must(
        "R-6-4/sent",
        &["R-6-4", "R-6-5"],
        "AID.02 §6",
        "the MSP presents its certificate",
        sent_certificate,
    )
    .when(needs_portal),
    Test::must(
        "R-4.1-16",
        &["R-4.1-16", "R-7.3-16"],
        FLOW,
        "a token whose answer was a failure of the CMP is sent again as it was",
        again,
    )
    .should()
    .when(needs_portal),
];

fn needs_decline(msp: &Msp) -> Result<(), String> {
    needs_portal(msp)?;
    match msp.portal.as_ref().is_some_and(|p| !p.decline.is_empty()) {
        true => Ok(()),
        false => Err("portal.decline is not declared".into()),
    }
}

fn needs_number(msp: &Msp) -> Result<(), String> {
    needs_portal(msp)?;
    match msp.number_key {
        Some(_) => Ok(()),
        None => Err("phone_key is not declared: the judge can't decrypt a phone number".into()),
    }
}

fn broken(expected: &str, seen: impl Into<String>) -> Done {
    Err(Finding::broken(expected, seen))
}

fn sent(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    msp.unlink();
    let (id, back) = (msp.account_id(), msp.back());
    let server = msp.server()?;
    server.answer(taken);
    let mark = server.mark();
    msp.visit(&id, &back, true, evidence)?;
    let patience = msp.link.patience();
    let got = msp.server()?.wait(mark, patience, evidence, is_token);
    let got = got.map_err(|why| Finding::broken("POST /cesim/msp/v1/users/{account_id}", why))?;
    if got.request.method != "POST" || got.path() != format!("/cesim/msp/v1/users/{id}") {
        return broken(
            "POST /cesim/msp/v1/users/ with the account id as it was",
            got.title(),
        );
    }
    msp.token = got.json()["msp_token"].as_str().map(str::to_owned);
    msp.onboarded = Some(got);
    msp.has_linked = true;
    Ok(())
}

fn returned(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    msp.unlink();
    let (id, back) = (msp.account_id(), msp.back());
    let server = msp.server()?;
    server.answer(taken);
    let mark = server.mark();
    let outcome = msp.visit(&id, &back, true, evidence)?;
    let calls = msp.server()?.since(mark, evidence);
    let token = calls.iter().find(|got| is_token(got));
    let token = token.and_then(|got| got.json()["msp_token"].as_str().map(str::to_owned));
    // It is ended with the next one.
    msp.token = token;
    match outcome {
        Outcome::Away { url, .. } if url == back => Ok(()),
        Outcome::Away { url, .. } => broken(
            "the browser returns to redirect_uri, byte for byte",
            format!("it is sent to {}", masked(&url)),
        ),
        // The redirect back is a "may".
        Outcome::Page { status: 200, .. } => Ok(()),
        Outcome::Page { status, .. } => {
            broken("the way back, or a page", format!("a page with {status}"))
        }
    }
}

/// A visit that must not end with a token.
fn links_nobody(
    msp: &mut Msp,
    evidence: &mut Evidence,
    (id, back, yes): (&str, &str, bool),
    what: &str,
) -> Result<Option<String>, Finding> {
    // Where nobody can be linked at all, it says nothing that this visit links nobody.
    if !msp.has_linked {
        msp.link_customer(evidence)?;
        msp.unlink();
    }
    let server = msp.server()?;
    server.answer(taken);
    let mark = server.mark();
    // Where the MSP refuses at once, the page of the next step does not come.
    let outcome = match msp.visit(id, back, yes, evidence) {
        Ok(outcome) => Some(outcome),
        Err(Finding::Hidden(_)) => None,
        Err(other) => return Err(other),
    };
    let with_token = |got: &Got| is_token(got) && got.json()["msp_token"].is_string();
    if let Ok(got) = msp.server()?.wait(mark, QUIET, evidence, with_token) {
        return Err(Finding::broken(format!("no token for {what}"), got.title()));
    }
    Ok(match outcome {
        Some(Outcome::Away { url, .. }) => Some(url),
        _ => None,
    })
}

fn declined(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let (id, back) = (msp.account_id(), msp.back());
    links_nobody(msp, evidence, (&id, &back, false), "a customer who said no").map(drop)
}

fn forged(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let good = msp.account_id();
    let back = msp.back();
    let claims = json!({"exp": now() + 600, "sid": msp.link.uuid(), "iat": now()});
    let (signed, signature) = good.rsplit_once('.').unwrap_or_default();
    let middle = signature.len() / 2;
    let flip = |(at, c)| match (at == middle, c) {
        (false, c) => c,
        (true, 'A') => 'B',
        (true, _) => 'A',
    };
    let flipped: String = signature.char_indices().map(flip).collect();
    for (id, what) in [
        (
            format!("{signed}.{flipped}"),
            "an account id whose signature was changed",
        ),
        (
            sign(&[7; 32], HEADER, &claims),
            "an account id that is signed with another secret",
        ),
        (format!("{signed}."), "an account id without a signature"),
        ("nonsense".to_owned(), "a text that is no account id"),
    ] {
        links_nobody(msp, evidence, (&id, &back, true), what)?;
        evidence.step(format!("no token for {what}"), &[]);
    }
    Ok(())
}

fn expired(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let issued = now().saturating_sub(7_200);
    let id =
        msp.account_id_of(&json!({"exp": issued + 600, "sid": msp.link.uuid(), "iat": issued}));
    let back = msp.back();
    links_nobody(
        msp,
        evidence,
        (&id, &back, true),
        "an account id that expired",
    )
    .map(drop)
}

fn algorithm(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let claims = json!({"exp": now() + 600, "sid": msp.link.uuid(), "iat": now()});
    let secret = msp.secret.clone().unwrap_or_default();
    let none = sign(&secret, r#"{"alg":"none","typ":"JWT"}"#, &claims);
    let signed = none
        .rsplit_once('.')
        .map_or("", |(signed, _)| signed)
        .to_owned();
    let back = msp.back();
    for id in [format!("{signed}."), none] {
        links_nobody(
            msp,
            evidence,
            (&id, &back, true),
            "an account id with alg none",
        )?;
    }
    Ok(())
}

fn future(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let issued = now() + 86_400;
    let id =
        msp.account_id_of(&json!({"exp": issued + 600, "sid": msp.link.uuid(), "iat": issued}));
    let back = msp.back();
    links_nobody(
        msp,
        evidence,
        (&id, &back, true),
        "an account id of tomorrow",
    )
    .map(drop)
}

fn not_agreed(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let good = msp.cmp_return.clone().unwrap_or_default();
    let host = reqwest::Url::parse(&good).ok();
    let host = host
        .and_then(|url| url.host_str().map(str::to_owned))
        .unwrap_or_default();
    for bad in [
        "https://evil.example/".to_owned(),
        good.replacen("https://", "http://", 1),
        good.replacen(&host, &format!("{host}.evil.example"), 1),
        good.replacen("https://", &format!("https://{host}@evil.example/"), 1),
        "javascript:alert(1)".to_owned(),
        String::new(),
    ] {
        let id = msp.account_id();
        let away = links_nobody(
            msp,
            evidence,
            (&id, &bad, true),
            "a return URL that was not agreed",
        )?;
        if let Some(url) = away {
            return broken(
                &format!("no redirect for redirect_uri {bad:?}"),
                format!("a redirect to {}", masked(&url)),
            );
        }
        evidence.step(format!("no redirect to {bad:?}"), &[]);
    }
    Ok(())
}

fn body(msp: &mut Msp, evidence: &mut Evidence) -> Result<Value, Finding> {
    Ok(msp.onboarding(evidence)?.json())
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36 && uuid::Uuid::try_parse(text).is_ok()
}

fn token_form(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let body = body(msp, evidence)?;
    match body["msp_token"].as_str().is_some_and(is_uuid) {
        true => Ok(()),
        false => broken("msp_token, a UUID", masked(&body["msp_token"].to_string())),
    }
}

fn another_token(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let first = msp.link_customer(evidence)?;
    let second = msp.link_customer(evidence)?;
    match first.eq_ignore_ascii_case(&second) {
        false => Ok(()),
        true => broken("another msp_token for another onboarding", "the same one"),
    }
}

fn members(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let body = body(msp, evidence)?;
    for name in [
        "msp_token",
        "phoneNumber",
        "subscriptionType",
        "error",
        "iv",
    ] {
        if body.get(name).is_none() {
            return broken(&format!("the member {name}"), "no such member");
        }
    }
    Ok(())
}

fn no_error(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let body = body(msp, evidence)?;
    match &body["error"] {
        Value::Null => Ok(()),
        other => broken("error: null", other.to_string()),
    }
}

/// The number of a body.
pub(super) fn decrypted(msp: &Msp, body: &Value) -> Result<String, Finding> {
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let Some(key) = &msp.number_key else {
        return Err(Finding::Lacking("phone_key is not declared".to_owned()));
    };
    key.decrypt(&text("phoneNumber"), &text("iv"))
        .map_err(|why| Finding::broken("a number under the agreed key (AES-256-GCM)", why))
}

fn number(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let body = body(msp, evidence)?;
    let number = decrypted(msp, &body)?;
    match (5..=15).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit()) {
        true => Ok(()),
        false => broken(
            "country code and number in digits, without a plus",
            "other characters",
        ),
    }
}

fn fresh_iv(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let mut seen = Vec::new();
    for _ in 0..2 {
        msp.link_customer(evidence)?;
        seen.push(body(msp, evidence)?["iv"].to_string());
    }
    match seen[0] != seen[1] {
        true => Ok(()),
        false => broken(
            "another iv for another message",
            "the same iv twice under one key",
        ),
    }
}

fn kind(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let body = body(msp, evidence)?;
    match body["subscriptionType"].as_str() {
        Some("private" | "business" | "unknown") => Ok(()),
        _ => broken(
            "private, business or unknown",
            body["subscriptionType"].to_string(),
        ),
    }
}

fn header<'a>(got: &'a Got, name: &str) -> Result<&'a str, Finding> {
    let value = got.request.headers.get(name);
    value.ok_or_else(|| Finding::broken(format!("the header {name}"), "no such header"))
}

fn sent_ids(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let got = msp.onboarding(evidence)?;
    for name in ["CMP-request-id", "correlation-id"] {
        let value = header(&got, name)?;
        if !is_uuid(value) {
            return broken(&format!("{name}, a UUID"), value);
        }
    }
    Ok(())
}

fn sent_parties(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let got = msp.onboarding(evidence)?;
    for (name, agreed) in [
        ("client-id", &msp.link.target_id),
        ("target-id", &msp.link.client_id),
    ] {
        let value = header(&got, name)?;
        if value != agreed {
            return broken(&format!("{name}: {agreed}"), value);
        }
    }
    Ok(())
}

fn sent_credentials(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let got = msp.onboarding(evidence)?;
    let auth = msp.server()?.auth.clone();
    let (name, value) = auth.header();
    if header(&got, name)? != value {
        return broken(&format!("{name} with the agreed value"), "another value");
    }
    let other = match auth {
        Auth::ApiKey(_) => "authorization",
        Auth::Basic(_) => "api-key",
    };
    match got.request.headers.get(other) {
        None => Ok(()),
        Some(_) => broken(&format!("{name} alone"), format!("{other}, too")),
    }
}

fn sent_type(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let got = msp.onboarding(evidence)?;
    let value = header(&got, "content-type")?;
    let essence = value.split(';').next().unwrap_or_default().trim();
    match essence.eq_ignore_ascii_case("application/json") {
        true => Ok(()),
        false => broken("content-type: application/json", value),
    }
}

fn sent_certificate(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let got = msp.onboarding(evidence)?;
    let agreed = msp.server()?.common_name.clone();
    match (&got.certificate, agreed) {
        (None, _) => broken("a client certificate", "none"),
        (Some(name), Some(agreed)) if *name != agreed => broken(
            &format!("a client certificate with the common name {agreed:?}"),
            format!("{name:?}"),
        ),
        _ => Ok(()),
    }
}

fn again(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    msp.unlink();
    let (id, back) = (msp.account_id(), msp.back());
    let mut failed = false;
    let server = msp.server()?;
    server.answer(move |request| match std::mem::replace(&mut failed, true) {
        false => Reply::refusal(500, "90", "Internal Server Error"),
        true => taken(request),
    });
    let mark = server.mark();
    msp.visit(&id, &back, true, evidence)?;
    let (patience, repeats) = (msp.link.patience(), msp.repeats_within);
    let server = msp.server()?;
    let first = server.wait(mark, patience, evidence, is_token);
    let first = first.map_err(|why| Finding::broken("Send MSP Token", why))?;
    let from = server.position(&first);
    let again = server.wait(from, repeats, evidence, is_token);
    let again = again.map_err(|why| Finding::broken("Send MSP Token again after 500", why))?;
    let id = |got: &Got| got.request.headers.get("cmp-request-id").map(str::to_owned);
    msp.token = again.json()["msp_token"].as_str().map(str::to_owned);
    msp.onboarded = None;
    match id(&first) == id(&again) && first.request.body == again.request.body {
        true => Ok(()),
        false => broken(
            "the same CMP-request-id and the same body",
            "another id, or another body",
        ),
    }
}
