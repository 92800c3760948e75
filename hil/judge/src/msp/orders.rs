//! Request Activation Code and what comes of it (AID.02 §4.3.1, §7.7).

use super::rig::{Done, Order, needs_code, needs_link};
use super::{Mode, Msp};
use crate::aid1::{refused, refused_as, seen};
use crate::evidence::Evidence;
use crate::test::{Finding, Test};
use serde_json::{Value, json};
use std::time::Duration;

const CLAUSE: &str = "AID.02 §7.7";
const SWAP: &str = "AID.02 §4.3.1";

/// The synchronous answer's limit (§7.7.1), and what the line may take beside it.
const SYNC: Duration = Duration::from_millis(3_000);
const LINE: Duration = Duration::from_millis(500);

pub(super) const TESTS: &[Test<Msp>] = &[
    Test::must(
        "R-7.7-1",
        &["R-7.7-1", "R-4.3-8"],
        CLAUSE,
        "a request for an activation code is answered with 200 and a code, or 201",
        ordered,
    )
    .when(needs_code),
    Test::must(
        "R-7.7-2",
        &["R-7.7-2"],
        CLAUSE,
        "the MSP answers as it declares: at once, or later",
        mode,
    )
    .declared()
    .when(needs_code),
    Test::must(
        "R-7.7.1-3",
        &["R-7.7.1-3"],
        "AID.02 §7.7.1",
        "a code comes in the answer within 3 seconds, or later with 201",
        in_time,
    )
    .when(needs_code),
    Test::must(
        "R-7.7.1.1-1",
        &["R-7.7.1.1-1", "R-7.7.1-1"],
        "AID.02 §7.7.1.1",
        "the code comes with profileType and swappedIccid",
        members,
    )
    .when(needs_code),
    Test::must(
        "R-7.7.1.1-2",
        &["R-7.7.1.1-2"],
        "AID.02 §7.7.1.1",
        "the activation code is one of SGP.22",
        code_form,
    )
    .when(needs_code),
    Test::must(
        "R-5.4-1",
        &["R-5.4-1"],
        "AID.02 §5.4",
        "iccid has 19 to 22 digits",
        iccid_form,
    )
    .when(needs_code),
    Test::must(
        "R-4.3.1-11",
        &["R-4.3.1-11"],
        SWAP,
        "below the maximum swappedIccid is null",
        no_swap,
    )
    .when(needs_code),
    Test::must(
        "R-7.7-7",
        &["R-7.7-7"],
        CLAUSE,
        "the very same request again is the same order",
        repeated,
    )
    .should()
    .when(needs_code),
    Test::must(
        "R-4.3.1-20",
        &["R-4.3.1-20", "R-4.3.1-10"],
        SWAP,
        "where no swap is needed, content and presence of replaceIccid do not matter",
        candidates,
    )
    .when(needs_many),
    Test::must(
        "R-7.7-6",
        &["R-7.7-6"],
        CLAUSE,
        "an eid that is none is refused with 422 or 423",
        bad_eid,
    )
    .when(needs_link),
    Test::must(
        "R-7.7-3",
        &["R-7.7-3"],
        CLAUSE,
        "a profile type that nobody knows is refused",
        bad_type,
    )
    .when(needs_link),
    Test::must(
        "R-7.7-7/missing",
        &["R-7.7-7", "R-B-3"],
        CLAUSE,
        "a request without eid or activationCodeRequestID is refused",
        missing,
    )
    .when(needs_link),
    Test::must(
        "R-7.7.2.1-1",
        &["R-7.7.2.1-1", "R-7.7.2-1", "R-5.1-2"],
        "AID.02 §7.7.2.1",
        "a code that comes later names its request, and its transaction",
        later,
    )
    .when(needs_async),
    Test::must(
        "R-7.7.2.1-4",
        &["R-7.7.2.1-4"],
        "AID.02 §7.7.2.1",
        "error is null where a code comes later",
        later_error,
    )
    .when(needs_async),
    Test::must(
        "R-7.7.2-2",
        &["R-7.7.2-2"],
        "AID.02 §7.7.2",
        "a code does not overtake the 201",
        after_201,
    )
    .when(needs_async),
];

fn needs_many(msp: &Msp) -> Result<(), String> {
    needs_link(msp)?;
    match msp.codes >= 4 {
        true => Ok(()),
        false => {
            Err("codes declares fewer than 4 activation codes that the run may still order".into())
        }
    }
}

fn needs_async(msp: &Msp) -> Result<(), String> {
    needs_code(msp)?;
    match msp.mode {
        Mode::Async => Ok(()),
        Mode::Sync | Mode::Mixed => Err("mode does not declare async".into()),
    }
}

fn broken(expected: &str, seen: impl Into<String>) -> Done {
    Err(Finding::broken(expected, seen))
}

fn order(msp: &mut Msp, evidence: &mut Evidence) -> Result<Order, Finding> {
    let order = msp.ordered(evidence)?;
    if evidence.is_empty() {
        let call = &order.call;
        let body = call.body.clone().unwrap_or_default();
        let head = call.head("msp");
        evidence.message(crate::aid1::shown(
            ("cmp", "msp"),
            evidence.now_us(),
            "POST activation-code-requests".to_owned(),
            (&head, &body),
        ));
        let answer = &order.answer;
        evidence.message(crate::aid1::shown(
            ("msp", "cmp"),
            evidence.now_us(),
            answer.status.to_string(),
            (&answer.head, &answer.body),
        ));
        if let Some(sent) = &order.sent {
            evidence.message(sent.message(("msp", "cmp")));
        }
    }
    Ok(order)
}

fn ordered(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    if msp.order.is_some() {
        return Ok(());
    }
    let body = msp.request_body();
    let order = msp.order_with(&body, evidence)?;
    msp.order = Some(order);
    Ok(())
}

fn mode(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let order = order(msp, evidence)?;
    match (msp.mode, order.answer.status) {
        (Mode::Sync, 200) | (Mode::Async, 201) | (Mode::Mixed, _) => Ok(()),
        // Slow once is no false declaration: §7.7.1 wants 201 then.
        (Mode::Sync, 201) if order.answer.took > Duration::from_secs(2) => Ok(()),
        (Mode::Sync, _) => broken(
            "200, as the target file declares (sync)",
            seen(&order.answer),
        ),
        (Mode::Async, _) => broken(
            "201, as the target file declares (async)",
            seen(&order.answer),
        ),
    }
}

fn in_time(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let order = order(msp, evidence)?;
    let took = order.answer.took;
    match order.answer.status == 200 && took > SYNC + LINE {
        false => Ok(()),
        true => broken(
            "a code in the answer within 3 s",
            format!("200 after {:.1} s", took.as_secs_f64()),
        ),
    }
}

fn members(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let order = order(msp, evidence)?;
    if !order.code["activationCode"].is_string() {
        return broken(
            "activationCode, a text",
            order.code["activationCode"].to_string(),
        );
    }
    if order.code["profileType"] != "personal" {
        return broken(
            "profileType: personal",
            order.code["profileType"].to_string(),
        );
    }
    match order.code.get("swappedIccid") {
        Some(Value::Null | Value::String(_)) => Ok(()),
        Some(other) => broken("swappedIccid, a text or null", other.to_string()),
        None => broken("the member swappedIccid", "no such member"),
    }
}

fn code_form(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let order = order(msp, evidence)?;
    let code = order.code["activationCode"].as_str().unwrap_or_default();
    let text = code.strip_prefix("LPA:").unwrap_or(code);
    let parts: Vec<_> = text.split('$').collect();
    // SGP.22 §4.1: format 1, SM-DP+ address, matching id (which may be empty), then OID and confirmation code flag.
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ':' | '_');
    let fits = matches!(parts.as_slice(), ["1", address, id, ..]
        if parts.len() <= 5 && !address.is_empty() && address.chars().all(plain)
        && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'));
    match fits {
        true => Ok(()),
        false => broken("1$SM-DP+ address$matching id", crate::aid1::masked(code)),
    }
}

fn iccid_form(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let (iccid, _) = msp.iccid(evidence)?;
    match (19..=22).contains(&iccid.len()) && iccid.bytes().all(|b| b.is_ascii_digit()) {
        true => Ok(()),
        false => broken("19 to 22 digits", iccid),
    }
}

fn no_swap(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let order = order(msp, evidence)?;
    match order.code.get("swappedIccid") {
        Some(Value::Null) => Ok(()),
        other => broken(
            "swappedIccid: null for the first profile",
            other.map_or_else(|| "no such member".to_owned(), Value::to_string),
        ),
    }
}

fn repeated(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let order = order(msp, evidence)?;
    let again = msp.link.ask(&order.call, evidence)?;
    let code =
        |answer: &crate::aid1::Answer| answer.json().map(|body| body["activationCode"].clone());
    match again.status == order.answer.status && code(&again) == code(&order.answer) {
        true => Ok(()),
        false => broken("the answer that the request had", seen(&again)),
    }
}

fn candidates(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    msp.unlink();
    for candidate in [
        Some(json!(12345)),
        Some(json!("abc")),
        Some(json!({"a": []})),
        None,
    ] {
        let mut body = msp.request_body();
        if let Some(members) = body.as_object_mut() {
            match &candidate {
                Some(value) => members.insert("replaceIccid".to_owned(), value.clone()),
                None => members.remove("replaceIccid"),
            };
        }
        let what = candidate.map_or_else(|| "absent".to_owned(), |value| value.to_string());
        msp.order_with(&body, evidence)
            .map_err(|finding| match finding {
                Finding::Broken { seen, .. } => Finding::broken(
                    format!("an activation code where no swap is needed, with replaceIccid {what}"),
                    seen,
                ),
                other => other,
            })?;
        evidence.step(format!("a code with replaceIccid {what}"), &[]);
    }
    msp.unlink();
    Ok(())
}

/// A request that must not be taken.
fn refuse(
    msp: &mut Msp,
    evidence: &mut Evidence,
    change: impl FnOnce(&mut Value),
) -> Result<crate::aid1::Answer, Finding> {
    let token = msp.token(evidence)?;
    let mut body = msp.request_body();
    change(&mut body);
    msp.link.ask(&msp.request(&token).json(&body), evidence)
}

fn bad_eid(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    for eid in ["", "abc", "1234", "8904903200000000000000000000000X"] {
        let answer = refuse(msp, evidence, |body| body["eid"] = json!(eid))?;
        refused_as(&answer, &format!("the eid {eid:?}"), &[400, 422, 423], &[])?;
    }
    Ok(())
}

fn bad_type(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    for kind in [
        json!("commercial"),
        json!(""),
        json!("x".repeat(21)),
        Value::Null,
    ] {
        let answer = refuse(msp, evidence, |body| body["profileType"] = kind.clone())?;
        refused(&answer, &format!("the profileType {kind}"))?;
    }
    Ok(())
}

fn missing(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    for name in ["eid", "activationCodeRequestID"] {
        let answer = refuse(msp, evidence, |body| {
            if let Some(members) = body.as_object_mut() {
                members.remove(name);
            }
        })?;
        refused(&answer, &format!("a request without {name}"))?;
    }
    let answer = refuse(msp, evidence, |body| {
        body["activationCodeRequestID"] = json!("1");
    })?;
    refused(&answer, "an activationCodeRequestID that is no UUID")
}

fn later(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let order = order(msp, evidence)?;
    let Some(sent) = &order.sent else {
        return broken(
            "201, and the code by Send Activation Code",
            seen(&order.answer),
        );
    };
    for name in [
        "activationCode",
        "profileType",
        "activationCodeRequestID",
        "error",
        "iccid",
        "swappedIccid",
    ] {
        if order.code.get(name).is_none() {
            return broken(&format!("the member {name}"), "no such member");
        }
    }
    let correlation = order.call.header("correlation-id");
    if sent.request.headers.get("correlation-id") != correlation {
        return broken(
            &format!(
                "correlation-id {} of the request",
                correlation.unwrap_or_default()
            ),
            sent.request.headers.get("correlation-id").unwrap_or("none"),
        );
    }
    match order.code["activationCodeRequestID"].as_str() == Some(&order.id) {
        true => Ok(()),
        false => broken(
            "the request's activationCodeRequestID",
            order.code["activationCodeRequestID"].to_string(),
        ),
    }
}

fn later_error(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let order = order(msp, evidence)?;
    match &order.code["error"] {
        Value::Null => Ok(()),
        other => broken("error: null", other.to_string()),
    }
}

fn after_201(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    msp.link_customer(evidence)?;
    let body = msp.request_body();
    let begin = evidence.now_us();
    let order = msp.order_with(&body, evidence)?;
    let answered = begin + u64::try_from(order.answer.took.as_micros()).unwrap_or(u64::MAX);
    let sent = order.sent.as_ref().map(crate::aid1::Got::at_us);
    msp.order = Some(order);
    match sent {
        // The two travel on two connections: within this margin nobody can say which was first.
        Some(sent) if sent + 50_000 >= answered => Ok(()),
        Some(sent) => broken(
            "Send Activation Code after the 201",
            format!("it came {} ms before the 201", (answered - sent) / 1_000),
        ),
        None => broken("201 and Send Activation Code", "a synchronous answer"),
    }
}
