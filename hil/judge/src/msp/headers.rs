//! Who may call, and how (AID.02 §5.1, §6).

use super::Msp;
use super::rig::{Done, LIST, STATUSES, USERS, needs_link, needs_second};
use crate::aid1::{Answer, Trouble, accepted, refused, refused_as, seen};
use crate::evidence::Evidence;
use crate::test::{Finding, Test};
use serde_json::json;
use std::io::{Read as _, Write as _};

const HEADERS: &str = "AID.02 §5.1";
const GENERAL: &str = "AID.02 §6";

/// Statuses for a caller who is not who they say.
const WHO: [u16; 2] = [401, 403];

pub(super) const TESTS: &[Test<Msp>] = &[
    Test::must(
        "R-5.1-1",
        &["R-5.1-1"],
        HEADERS,
        "a call without a valid CMP-request-id is refused",
        |msp, e| bad_uuids(msp, e, "CMP-request-id"),
    )
    .when(needs_link),
    Test::must(
        "R-5.1-2",
        &["R-5.1-2"],
        HEADERS,
        "a call without a valid correlation-id is refused",
        |msp, e| bad_uuids(msp, e, "correlation-id"),
    )
    .when(needs_link),
    Test::must(
        "R-5.1-5",
        &["R-5.1-5"],
        HEADERS,
        "a caller whom the MSP does not know is refused",
        unknown_client,
    )
    .when(needs_link),
    Test::must(
        "R-5.1-6",
        &["R-5.1-6"],
        HEADERS,
        "a call without client-id or target-id is refused",
        no_parties,
    )
    .when(needs_link),
    Test::must(
        "R-5.1-6/other",
        &["R-5.1-6"],
        HEADERS,
        "a call to somebody else is refused",
        other_target,
    )
    .should()
    .when(needs_link),
    Test::must(
        "R-5.1-7",
        &["R-5.1-7"],
        HEADERS,
        "a client-id with other characters than letters and digits is refused",
        characters,
    )
    .when(needs_link),
    Test::must(
        "R-5.1-8",
        &["R-5.1-8"],
        HEADERS,
        "names of headers are read in any case and order",
        any_case,
    )
    .when(needs_link),
    Test::must(
        "R-6-1",
        &["R-6-1"],
        GENERAL,
        "a body of another content type is refused",
        content_type,
    )
    .when(needs_link),
    Test::must(
        "R-6-3",
        &["R-6-3"],
        GENERAL,
        "a call without, or with wrong, credentials is refused with 401",
        credentials,
    )
    .when(needs_link),
    Test::must(
        "R-6-4",
        &["R-6-4"],
        GENERAL,
        "a client without a certificate is not served",
        no_certificate,
    )
    .when(needs_link),
    Test::must(
        "R-6-6",
        &["R-6-6", "R-6-5"],
        GENERAL,
        "a certificate of a foreign CA is not accepted",
        foreign_certificate,
    )
    .when(needs_link),
    Test::must(
        "R-6-7",
        &["R-6-7"],
        GENERAL,
        "the port of AID1 speaks nothing unencrypted",
        plain_http,
    ),
    Test::must(
        "R-5.3-2",
        &["R-5.3-2"],
        "AID.02 §5.3",
        "another CMP's token is as unknown as one of nobody",
        isolation,
    )
    .when(needs_second),
];

fn bad_uuids(msp: &mut Msp, evidence: &mut Evidence, name: &str) -> Done {
    let uuid = msp.link.uuid();
    let answer = msp.listed(evidence, |call| call.without(name))?;
    refused(&answer, &format!("no {name}"))?;
    evidence.step(format!("refused without {name}"), &[]);
    for value in ["", "1", "not-a-uuid", &format!("{uuid}x")] {
        let answer = msp.listed(evidence, |call| call.set(name, value))?;
        refused(&answer, &format!("the {name} {value:?}"))?;
    }
    let answer = msp.listed(evidence, |call| call.and(name, uuid))?;
    refused(&answer, &format!("two lines of {name}"))
}

fn unknown_client(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let nobody = format!("nobody{}", msp.link.digits(8));
    let answer = msp.listed(evidence, |call| call.set("client-id", nobody))?;
    refused_as(&answer, "an unknown client-id", &WHO, &[])
}

fn no_parties(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    for name in ["client-id", "target-id"] {
        let answer = msp.listed(evidence, |call| call.without(name))?;
        refused(&answer, &format!("no {name}"))?;
    }
    Ok(())
}

fn other_target(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let answer = msp.listed(evidence, |call| call.set("target-id", "SomebodyElse"))?;
    refused(&answer, "a target-id that is not the MSP's")
}

fn characters(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let id = msp.link.client_id.clone();
    for value in [format!("{id} x"), format!("{id}-"), "a".repeat(5_000)] {
        let shown: String = value.chars().take(20).collect();
        let answer = msp.listed(evidence, |call| call.set("client-id", value))?;
        if !(400..500).contains(&answer.status) {
            return Err(Finding::broken(
                format!("a refusal (4xx) of the client-id {shown:?}"),
                seen(&answer),
            ));
        }
    }
    Ok(())
}

fn any_case(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    for upper in [true, false] {
        let answer = msp.listed(evidence, |mut call| {
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
            200,
            "header names in upper or lower case, in another order",
        )?;
    }
    Ok(())
}

fn content_type(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let token = msp.token(evidence)?;
    let body = json!({"iccid": "89880000000000000000", "eid": msp.eid(), "status": "disabled"});
    for value in ["text/plain", "application/x-www-form-urlencoded"] {
        let call = msp.status(&token).json(&body).set("content-type", value);
        let answer = msp.link.ask(&call, evidence)?;
        // 404 would be a verdict on what the body says.
        refused_as(
            &answer,
            &format!("a body of the type {value}"),
            &[400, 406, 415, 422],
            &[],
        )?;
    }
    Ok(())
}

fn credentials(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let (name, value) = msp.link.auth.header();
    let answer = msp.listed(evidence, |call| call.without(name))?;
    refused_as(&answer, "no credentials", &[401], &[])?;
    let mut wrong = vec![String::new(), "wrong".to_owned(), format!("{value}0")];
    wrong.extend(
        value
            .get(..value.len().saturating_sub(1))
            .map(str::to_owned),
    );
    for value in wrong {
        let answer = msp.listed(evidence, |call| call.set(name, value))?;
        refused_as(&answer, "wrong credentials", &[401], &[])?;
    }
    Ok(())
}

/// A call that a certificate must have kept out: a failed handshake, or a refusal for the caller's sake. Proxies that end
/// TLS answer 400 to a client without a certificate.
fn kept_out(done: Result<Answer, Trouble>, what: &str) -> Done {
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

fn no_certificate(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let token = msp.token(evidence)?;
    let call = msp.link.call("GET", &format!("{LIST}/{token}"));
    let nobody = msp.stranger.nobody.clone();
    kept_out(msp.link.send_as(&nobody, &call, evidence), "no certificate")
}

fn foreign_certificate(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let token = msp.token(evidence)?;
    let call = msp.link.call("GET", &format!("{LIST}/{token}"));
    let foreign = msp.stranger.client.clone();
    let done = msp.link.send_as(&foreign, &call, evidence);
    kept_out(done, "a certificate of a CA that nobody knows")
}

fn plain_http(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let hidden = |e: &dyn std::fmt::Display| Finding::Hidden(format!("no connection: {e}"));
    let mut socket = msp.link.tcp().map_err(|e| hidden(&e))?;
    let _ = socket.set_read_timeout(Some(msp.link.patience()));
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

fn isolation(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let token = msp.token(evidence)?;
    let body = msp.request_body();
    let status = json!({"iccid": "89880000000000000000", "eid": msp.eid(), "status": "deleted"});
    let Some(second) = &msp.second else {
        return Err(Finding::Lacking("no second CMP is declared".to_owned()));
    };
    for call in [
        second.call("GET", &format!("{LIST}/{token}")),
        second
            .call("POST", &format!("{}/{token}", super::rig::REQUESTS))
            .json(&body),
        second
            .call("POST", &format!("{STATUSES}/{token}"))
            .json(&status),
        second.call("DELETE", &format!("{USERS}/{token}")),
    ] {
        let answer = second.ask(&call, evidence)?;
        refused_as(&answer, "another CMP's token", &[401, 403, 404, 422], &[])?;
    }
    let answer = msp.listed(evidence, |call| call)?;
    accepted(&answer, 200, "the token's own CMP afterwards")
}
