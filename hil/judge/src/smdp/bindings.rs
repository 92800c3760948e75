//! HTTP and JSON of ES9+: SGP.22 §6.2, §6.5.

use super::Rig;
use crate::rsp::findings::{Checked, must};
use crate::rsp::http::{Answer, Request};
use crate::rsp::table;
use crate::test::{Finding, always};
use aid_rsp::es9::{Function as _, InitiateAuthenticationRequest};
use serde_json::{Value, json};

table! { Rig;
    "SGP22-6.2/admin-protocol" [] [] "SGP.22 §6.2" Must, always, admin_protocol,
        "An answer has the header X-Admin-Protocol with a version of SGP.22 v2.";
    "SGP22-6.2/content-type" [] [] "SGP.22 §6.2" Must, always, content_type,
        "An answer with a body is application/json.";
    "SGP22-6.2/header-case" [] [] "SGP.22 §6.2, RFC 9110 §5.1" Must, always, header_case,
        "Names of headers count in any case and order, with more headers between them.";
    "SGP22-6.2/unknown-function" [] [] "SGP.22 §6.2" Should, always, unknown_function,
        "A function that SGP.22 does not have is answered with an HTTP status 4xx.";
    "SGP22-6.5/status" [] [] "SGP.22 §6.5.1.4" Must, always, status,
        "functionExecutionStatus is spelled as in SGP.22, and a refusal has subjectCode and reasonCode.";
    "SGP22-6.5/hex" [] [] "SGP.22 §6.5.2.6" Must, always, hex,
        "transactionId is written in hexadecimal digits, capital letters.";
    "SGP22-6.5/base64" [] [] "SGP.22 §6.5.2" Must, always, base64_fields,
        "Data objects are written in base64 with padding, without line breaks.";
    "SGP22-6.5/more-members" [] [] "SGP.22 §6.5" Should, always, more_members,
        "Members that this version does not know, and white space, don't matter.";
    "SGP22-6.5/not-json" [] [] "SGP.22 §6.5" Must, always, not_json,
        "A body that is no JSON is not executed, and the server goes on.";
}

fn body(rig: &mut Rig) -> Checked<Value> {
    let (address, info) = (rig.address(), rig.euicc.info1());
    let (request, _) = rig.initiate_request(&address, &info)?;
    serde_json::to_value(request).map_err(|e| Finding::Hidden(e.to_string()))
}

fn initiated(rig: &mut Rig) -> Checked<Answer> {
    let body = body(rig)?;
    rig.es9_post(InitiateAuthenticationRequest::PATH, &body)
}

fn admin_protocol(rig: &mut Rig) -> Checked {
    let answer = initiated(rig)?;
    let value = answer.header("x-admin-protocol").unwrap_or_default();
    must(
        value.starts_with("gsma/rsp/v2."),
        "the header X-Admin-Protocol: gsma/rsp/v2.x.y in an answer",
        || match value {
            "" => "no such header".to_owned(),
            other => other.to_owned(),
        },
    )
}

fn content_type(rig: &mut Rig) -> Checked {
    let answer = initiated(rig)?;
    let value = answer.header("content-type").unwrap_or_default();
    let kind = value.split(';').next().unwrap_or_default().trim();
    must(
        kind.eq_ignore_ascii_case("application/json"),
        "the header Content-Type: application/json",
        || value.to_owned(),
    )
}

fn is_executed(answer: &Answer) -> bool {
    let json = answer.json().unwrap_or_default();
    json["header"]["functionExecutionStatus"]["status"] == "Executed-Success"
}

fn header_case(rig: &mut Rig) -> Checked {
    let body = body(rig)?;
    let mut headers = Rig::headers();
    headers.reverse();
    let lower = |name: &str| match name {
        "User-Agent" => "user-agent",
        "X-Admin-Protocol" => "x-admin-protocol",
        _ => "content-type",
    };
    let mut changed: Vec<_> = headers.into_iter().map(|(n, v)| (lower(n), v)).collect();
    changed.insert(1, ("Accept-Language", "en".to_owned()));
    let request = Request {
        path: InitiateAuthenticationRequest::PATH.to_owned(),
        headers: changed,
        body: body.to_string().into_bytes(),
    };
    let answer = rig.es9_raw(&request)?;
    must(
        is_executed(&answer),
        "Executed-Success with headers in small letters and another order",
        || format!("HTTP status {}", answer.status),
    )
}

fn unknown_function(rig: &mut Rig) -> Checked {
    let answer = rig.es9_post("/gsma/rsp2/es9plus/judgeNoSuchFunction", &json!({}))?;
    must(
        (400..500).contains(&answer.status),
        "HTTP status 4xx for an unknown function",
        || format!("HTTP status {}", answer.status),
    )
}

fn status(rig: &mut Rig) -> Checked {
    let answer = initiated(rig)?;
    let json = answer.json().unwrap_or_default();
    let word = &json["header"]["functionExecutionStatus"]["status"];
    must(
        word == "Executed-Success",
        "status \"Executed-Success\"",
        || word.to_string(),
    )?;
    let mut body = body(rig)?;
    body["smdpAddress"] = json!("other.smdp.example");
    let answer = rig.es9_post(InitiateAuthenticationRequest::PATH, &body)?;
    let json = answer.json().unwrap_or_default();
    let status = &json["header"]["functionExecutionStatus"];
    must(
        status["status"] == "Failed",
        "status \"Failed\" of a refusal",
        || status.to_string(),
    )?;
    for name in ["subjectCode", "reasonCode"] {
        let code = status["statusCodeData"][name].as_str().unwrap_or_default();
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        must(
            code.split('.').all(digits),
            &format!("statusCodeData.{name}: numbers with dots"),
            || status.to_string(),
        )?;
    }
    Ok(())
}

fn hex(rig: &mut Rig) -> Checked {
    let json = initiated(rig)?.json().unwrap_or_default();
    let id = json["transactionId"].as_str().unwrap_or_default();
    let digit = |b: u8| b.is_ascii_digit() || (b'A'..=b'F').contains(&b);
    must(
        (2..=32).contains(&id.len()) && id.len().is_multiple_of(2) && id.bytes().all(digit),
        "transactionId of 2 to 32 digits 0-9 A-F",
        || json["transactionId"].to_string(),
    )
}

fn base64_fields(rig: &mut Rig) -> Checked {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let json = initiated(rig)?.json().unwrap_or_default();
    for name in [
        "serverSigned1",
        "serverSignature1",
        "euiccCiPKIdToBeUsed",
        "serverCertificate",
    ] {
        let text = json[name].as_str().unwrap_or_default();
        must(
            !text.is_empty() && STANDARD.decode(text).is_ok(),
            &format!("{name} in base64 (RFC 4648 §4)"),
            || json[name].to_string(),
        )?;
    }
    Ok(())
}

fn more_members(rig: &mut Rig) -> Checked {
    let mut body = body(rig)?;
    body["judgeUnknown"] = json!({"deep": [1, {"er": null}]});
    let text = serde_json::to_string_pretty(&body).map_err(|e| Finding::Hidden(e.to_string()))?;
    let request = Request {
        path: InitiateAuthenticationRequest::PATH.to_owned(),
        headers: Rig::headers(),
        body: format!("\r\n{text}\n").into_bytes(),
    };
    let answer = rig.es9_raw(&request)?;
    must(
        is_executed(&answer),
        "Executed-Success with an unknown member and white space",
        || format!("HTTP status {}", answer.status),
    )
}

fn not_json(rig: &mut Rig) -> Checked {
    for text in ["", "{", "null", "[]", "<xml/>", "{\"euiccChallenge\": 7}"] {
        let request = Request {
            path: InitiateAuthenticationRequest::PATH.to_owned(),
            headers: Rig::headers(),
            body: text.as_bytes().to_vec(),
        };
        let answer = rig.es9_raw(&request)?;
        must(
            !is_executed(&answer),
            "a body that is no request: not executed",
            || format!("Executed-Success to {text:?}"),
        )?;
    }
    rig.initiate().map(drop)
}
