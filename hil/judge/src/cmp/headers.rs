//! Who may call, and how (AID.02 §5.1, §6).

use super::Cmp;
use super::rig::{Done, needs_second, needs_update};
use crate::aid1::{Auth, Trouble, accepted, refused, refused_as, seen};
use crate::evidence::Evidence;
use crate::test::{Finding, Test};
use std::io::{Read as _, Write as _};

const HEADERS: &str = "AID.02 §5.1";
const GENERAL: &str = "AID.02 §6";

/// Statuses for a caller who is not who they say.
const WHO: [u16; 2] = [401, 403];

pub(super) const TESTS: &[Test<Cmp>] = &[
    Test::must(
        "R-5.1-1",
        &["R-5.1-1"],
        HEADERS,
        "a call without a valid CMP-request-id is refused",
        request_id,
    )
    .when(needs_update),
    Test::must(
        "R-5.1-2",
        &["R-5.1-2"],
        HEADERS,
        "a call without a valid correlation-id is refused",
        correlation_id,
    )
    .when(needs_update),
    Test::must(
        "R-5.1-3",
        &["R-5.1-3"],
        HEADERS,
        "a call with an API key and basic authentication at once is refused",
        both_kinds,
    )
    .should()
    .when(needs_update),
    Test::must(
        "R-5.1-5",
        &["R-5.1-5"],
        HEADERS,
        "a caller whom the CMP does not know is refused",
        unknown_client,
    )
    .when(needs_update),
    Test::must(
        "R-5.1-5/other",
        &["R-5.1-5"],
        HEADERS,
        "an MSP can't call in the name of another one",
        other_client,
    )
    .when(needs_second),
    Test::must(
        "R-5.1-6",
        &["R-5.1-6"],
        HEADERS,
        "a call without a target-id is refused",
        no_target,
    )
    .when(needs_update),
    Test::must(
        "R-5.1-6/other",
        &["R-5.1-6"],
        HEADERS,
        "a call to somebody else is refused",
        other_target,
    )
    .should()
    .when(needs_update),
    Test::must(
        "R-5.1-7",
        &["R-5.1-7"],
        HEADERS,
        "a client-id with other characters than letters and digits is refused",
        characters,
    )
    .when(needs_update),
    Test::must(
        "R-5.1-8",
        &["R-5.1-8"],
        HEADERS,
        "names of headers are read in any case and order",
        any_case,
    )
    .when(needs_update),
    Test::must(
        "R-6-1",
        &["R-6-1"],
        GENERAL,
        "a body of another content type is refused",
        content_type,
    )
    .when(needs_update),
    Test::must(
        "R-6-1/charset",
        &["R-6-1"],
        GENERAL,
        "application/json with a charset is accepted",
        charset,
    )
    .when(needs_update),
    Test::must(
        "R-6-2",
        &["R-6-2"],
        GENERAL,
        "a call without, or with wrong, credentials is refused with 401",
        credentials,
    )
    .when(needs_update),
    Test::must(
        "R-6-4",
        &["R-6-4"],
        GENERAL,
        "a client without a certificate is not served",
        no_certificate,
    )
    .when(needs_update),
    Test::must(
        "R-6-5",
        &["R-6-5"],
        GENERAL,
        "a certificate of a foreign CA is not accepted",
        foreign_certificate,
    )
    .when(needs_update),
    Test::must(
        "R-6-5/other",
        &["R-6-5"],
        GENERAL,
        "another MSP's certificate does not serve for this MSP's credentials",
        other_certificate,
    )
    .when(needs_second),
    Test::must(
        "R-6-7",
        &["R-6-7"],
        GENERAL,
        "the port of AID1 speaks nothing unencrypted",
        plain_http,
    ),
];

fn bad_uuids(cmp: &mut Cmp, evidence: &mut Evidence, name: &str) -> Done {
    let uuid = cmp.link.uuid();
    let simple = uuid.replace('-', "");
    let answer = cmp.updated(evidence, |call| call.without(name))?;
    refused(&answer, &format!("no {name}"))?;
    evidence.step(format!("refused without {name}"), &[]);
    for value in [
        "",
        "1",
        "not-a-uuid",
        &format!("{simple}0"),
        &format!("{uuid}x"),
    ] {
        let answer = cmp.updated(evidence, |call| call.set(name, value))?;
        refused(&answer, &format!("the {name} {value:?}"))?;
    }
    evidence.step("refused with values that are no UUID", &[]);
    let answer = cmp.updated(evidence, |call| call.and(name, uuid))?;
    refused(&answer, &format!("two lines of {name}"))
}

fn request_id(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    bad_uuids(cmp, evidence, "CMP-request-id")
}

fn correlation_id(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    bad_uuids(cmp, evidence, "correlation-id")
}

fn both_kinds(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let other = match cmp.link.auth {
        Auth::ApiKey(_) => Auth::Basic("msp:password".to_owned()),
        Auth::Basic(_) => Auth::ApiKey("0123456789".to_owned()),
    };
    let (name, value) = other.header();
    let answer = cmp.updated(evidence, |call| call.and(name, value))?;
    refused(&answer, "both api-key and Authorization")
}

fn unknown_client(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let nobody = format!("nobody{}", cmp.link.digits(8));
    let answer = cmp.updated(evidence, |call| call.set("client-id", nobody))?;
    refused_as(&answer, "an unknown client-id", &WHO, &[])
}

fn other_client(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let other = second(cmp)?.client_id.clone();
    let answer = cmp.updated(evidence, |call| call.set("client-id", other))?;
    refused_as(&answer, "another MSP's client-id", &WHO, &[])
}

fn second(cmp: &Cmp) -> Result<&crate::aid1::Link, Finding> {
    let second = cmp.second.as_ref();
    second.ok_or_else(|| Finding::Lacking("no second MSP is declared".to_owned()))
}

fn no_target(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let answer = cmp.updated(evidence, |call| call.without("target-id"))?;
    refused(&answer, "no target-id")?;
    let answer = cmp.updated(evidence, |call| call.without("client-id"))?;
    refused(&answer, "no client-id")
}

fn other_target(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let answer = cmp.updated(evidence, |call| call.set("target-id", "SomebodyElse"))?;
    refused(&answer, "a target-id that is not the CMP's")
}

fn characters(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let id = cmp.link.client_id.clone();
    for value in [
        format!("{id} x"),
        format!("{id}-"),
        format!("{id}\u{e9}"),
        "a".repeat(5_000),
    ] {
        let shown: String = value.chars().take(20).collect();
        let answer = cmp.updated(evidence, |call| call.set("client-id", value))?;
        if !(400..500).contains(&answer.status) {
            return Err(Finding::broken(
                format!("a refusal (4xx) of the client-id {shown:?}"),
                seen(&answer),
            ));
        }
    }
    Ok(())
}

fn any_case(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    for upper in [true, false] {
        let answer = cmp.updated(evidence, |mut call| {
            for (name, _) in &mut call.headers {
                *name = match upper {
                    true => name.to_ascii_uppercase(),
                    false => name.to_ascii_lowercase(),
                };
            }
            call.headers.reverse();
            call
        })?;
        accepted(
            &answer,
            201,
            "header names in upper or lower case, in another order",
        )?;
    }
    Ok(())
}

fn content_type(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    for value in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "text/html",
    ] {
        let answer = cmp.updated(evidence, |call| call.set("content-type", value))?;
        refused(&answer, &format!("a body of the type {value}"))?;
    }
    Ok(())
}

fn charset(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    for value in ["application/json; charset=utf-8", "Application/JSON"] {
        let answer = cmp.updated(evidence, |call| call.set("content-type", value))?;
        accepted(&answer, 201, &format!("a body of the type {value}"))?;
    }
    Ok(())
}

fn credentials(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let (name, value) = cmp.link.auth.header();
    let answer = cmp.updated(evidence, |call| call.without(name))?;
    refused_as(&answer, "no credentials", &[401], &[])?;
    evidence.step("refused without credentials", &[]);
    let mut wrong = vec![String::new(), "wrong".to_owned(), format!("{value}0")];
    wrong.extend(
        value
            .get(..value.len().saturating_sub(1))
            .map(str::to_owned),
    );
    for value in wrong {
        let answer = cmp.updated(evidence, |call| call.set(name, value))?;
        refused_as(&answer, "wrong credentials", &[401], &[])?;
    }
    Ok(())
}

/// A call that a certificate must have kept out: a failed handshake, or a refusal for the caller's sake. Proxies that end
/// TLS answer 400 to a client without a certificate.
fn kept_out(done: Result<crate::aid1::Answer, Trouble>, what: &str) -> Done {
    match done {
        Ok(answer) if matches!(answer.status, 400 | 401 | 403 | 421 | 495 | 496) => Ok(()),
        Ok(answer) => Err(Finding::broken(
            format!("a failed handshake, or a refusal, of a client with {what}"),
            seen(&answer),
        )),
        Err(Trouble::Connect(why)) => Err(Finding::Hidden(format!("no connection: {why}"))),
        Err(_) => Ok(()),
    }
}

fn no_certificate(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let token = cmp.token(evidence)?;
    let call = cmp.update(&token).json(&cmp.update_body());
    let nobody = cmp.stranger.nobody.clone();
    kept_out(cmp.link.send_as(&nobody, &call, evidence), "no certificate")
}

fn foreign_certificate(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let token = cmp.token(evidence)?;
    let call = cmp.update(&token).json(&cmp.update_body());
    let foreign = cmp.stranger.client.clone();
    let done = cmp.link.send_as(&foreign, &call, evidence);
    kept_out(done, "a certificate of a CA that nobody knows")
}

fn other_certificate(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let token = cmp.token(evidence)?;
    let call = cmp.update(&token).json(&cmp.update_body());
    let other = second(cmp)?.tls.clone();
    let done = cmp.link.send_as(&other, &call, evidence);
    kept_out(done, "another MSP's certificate")
}

fn plain_http(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let hidden = |e: &dyn std::fmt::Display| Finding::Hidden(format!("no connection: {e}"));
    let mut socket = cmp.link.tcp().map_err(|e| hidden(&e))?;
    let _ = socket.set_read_timeout(Some(cmp.link.patience()));
    let sent = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let mut got = Vec::new();
    let _ = socket
        .write_all(sent)
        .map(|()| socket.take(4_096).read_to_end(&mut got));
    evidence.step("asked for a page without TLS", &[]);
    let text = String::from_utf8_lossy(&got);
    let status = text.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5));
    match status {
        // Proxies say in clear that TLS is wanted, or where.
        None | Some("301" | "308" | "400" | "426" | "497") => Ok(()),
        Some(status) => Err(Finding::broken(
            "no service without TLS",
            format!("HTTP {status} on a connection without TLS"),
        )),
    }
}
