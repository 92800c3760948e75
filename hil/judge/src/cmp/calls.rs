//! What the CMP calls at its MSP (AID.02 §7.7 to §7.10): the judge's server looks at every byte.

use super::Cmp;
use super::rig::{Done, Requested, needs_vehicle};
use crate::aid1::{Auth, Got, Reply, masked_token};
use crate::evidence::Evidence;
use crate::test::{Finding, Test};
use aid_wire::{CodeOutcome, Status};
use serde_json::{Value, json};
use std::time::Duration;

const ASK: &str = "AID.02 §7.7";
const STATUS: &str = "AID.02 §7.8";

pub(super) const TESTS: &[Test<Cmp>] = &[
    Test::must(
        "R-7.7-1",
        &["R-7.7-1", "R-4.3-4", "R-4.3-5", "R-B-2"],
        ASK,
        "a vehicle without a profile makes the CMP ask its MSP, with the user's token",
        asks,
    )
    .when(needs_vehicle),
    Test::must(
        "R-5.1-1/sent",
        &["R-5.1-1", "R-5.1-2"],
        "AID.02 §5.1",
        "the CMP's calls have CMP-request-id and correlation-id, each a UUID",
        sent_ids,
    )
    .when(needs_vehicle),
    Test::must(
        "R-5.1-5/sent",
        &["R-5.1-5", "R-5.1-6"],
        "AID.02 §5.1",
        "the CMP's calls have the agreed client-id and target-id",
        sent_parties,
    )
    .when(needs_vehicle),
    Test::must(
        "R-6-3",
        &["R-6-3", "R-5.1-3"],
        "AID.02 §6",
        "the CMP's calls have the credentials that the MSP gave, and no others",
        sent_credentials,
    )
    .declared()
    .when(needs_vehicle),
    Test::must(
        "R-6-1/sent",
        &["R-6-1"],
        "AID.02 §6",
        "bodies of the CMP's calls are application/json",
        sent_type,
    )
    .when(needs_vehicle),
    Test::must(
        "R-6-4/sent",
        &["R-6-4"],
        "AID.02 §6",
        "the CMP presents its certificate",
        sent_certificate,
    )
    .when(needs_vehicle),
    Test::must(
        "R-7.7-3",
        &["R-7.7-3"],
        ASK,
        "profileType is personal",
        |cmp, e| text(cmp, e, "profileType", |v| v == "personal", "personal"),
    )
    .when(needs_vehicle),
    Test::must(
        "R-7.7-4",
        &["R-7.7-4"],
        ASK,
        "deviceType has 1 to 20 ASCII characters",
        |cmp, e| {
            text(
                cmp,
                e,
                "deviceType",
                |v| (1..=20).contains(&v.len()) && v.is_ascii(),
                "1 to 20 ASCII characters",
            )
        },
    )
    .when(needs_vehicle),
    Test::must(
        "R-7.7-5",
        &["R-7.7-5"],
        ASK,
        "imei is absent, empty or 15 digits",
        imei,
    )
    .when(needs_vehicle),
    Test::must(
        "R-7.7-6",
        &["R-7.7-6"],
        ASK,
        "eid is that of the vehicle",
        eid,
    )
    .when(needs_vehicle),
    Test::must(
        "R-7.7-7",
        &["R-7.7-7"],
        ASK,
        "activationCodeRequestID is a UUID",
        request_id,
    )
    .when(needs_vehicle),
    Test::must(
        "R-7.7-8",
        &["R-7.7-8", "R-4.3.1-7"],
        ASK,
        "replaceIccid is there, and null where the user has no profile",
        candidate,
    )
    .when(needs_vehicle),
    Test::must(
        "R-7.8-1",
        &["R-7.8-1", "R-7.8-2", "R-4.3-12"],
        STATUS,
        "an installation is reported to the MSP",
        reported,
    )
    .when(needs_installed),
    Test::must(
        "R-7.10-1",
        &["R-7.10-1", "R-4.6-2"],
        "AID.02 §7.10",
        "the CMP asks for the status of profiles",
        synchronised,
    )
    .when(needs_synchronise),
    Test::must(
        "R-7.8-3",
        &["R-7.8-3"],
        STATUS,
        "the MSP hears of the statuses that the target file declares, and of no others",
        agreed,
    )
    .declared()
    .when(needs_vehicle),
    Test::must(
        "R-7.8-5",
        &["R-7.8-5"],
        STATUS,
        "a status that the MSP did not take is sent again, under the same CMP-request-id",
        repeated,
    )
    .when(needs_deleted),
    Test::must(
        "R-7.9-1",
        &["R-7.9-1", "R-4.4.1-3"],
        "AID.02 §7.9",
        "a user who ends the link makes the CMP invalidate the token",
        withdrawn,
    )
    .when(needs_withdraw),
    Test::must(
        "R-7.7.1-1",
        &["R-7.7.1-1", "R-7.7.1.1-1", "R-7.7-2"],
        "AID.02 §7.7.1",
        "a code in the answer reaches the vehicle, without iccid too",
        synchronous,
    )
    .when(needs_vehicle),
    Test::must(
        "R-7.7.1-2",
        &["R-7.7.1-2", "R-7.7-9"],
        "AID.02 §7.7.1",
        "a refusal (422) gives the vehicle no code",
        refusal,
    )
    .when(needs_vehicle),
];

fn needs_installed(cmp: &Cmp) -> Result<(), String> {
    needs_status(cmp, "installed")
}

fn needs_deleted(cmp: &Cmp) -> Result<(), String> {
    needs_status(cmp, "deleted")
}

fn needs_status(cmp: &Cmp, status: &str) -> Result<(), String> {
    needs_vehicle(cmp)?;
    match cmp.statuses.iter().any(|s| s == status) {
        true => Ok(()),
        false => Err(format!("statuses does not declare {status}")),
    }
}

fn needs_withdraw(cmp: &Cmp) -> Result<(), String> {
    needs_vehicle(cmp)?;
    match cmp.portal.as_ref().is_some_and(|p| !p.withdraw.is_empty()) {
        true => Ok(()),
        false => Err("portal.withdraw is not declared".into()),
    }
}

fn needs_synchronise(cmp: &Cmp) -> Result<(), String> {
    needs_vehicle(cmp)?;
    match cmp.hooks.contains_key("synchronise") {
        true => Ok(()),
        false => Err("hooks.synchronise is not declared".into()),
    }
}

/// A request of the CMP, to be looked at.
fn request(cmp: &mut Cmp, evidence: &mut Evidence) -> Result<(Requested, Value), Finding> {
    let requested = match &cmp.newest {
        Some(newest) => newest.clone(),
        None => cmp.open_request(evidence)?,
    };
    let requested = cmp.disguised(requested);
    let body = requested.got.json();
    // Evidence of the test that looks, whoever made the request.
    if evidence.is_empty() {
        evidence.message(requested.got.message(("cmp", "msp")));
    }
    Ok((requested, body))
}

fn broken(expected: &str, seen: impl Into<String>) -> Done {
    Err(Finding::broken(expected, seen))
}

fn asks(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let (requested, body) = request(cmp, evidence)?;
    let path = format!("/v1/activation-code-requests/{}", requested.token);
    let got = &requested.got;
    if got.request.method != "POST" || !got.path().eq_ignore_ascii_case(&path) {
        let token = masked_token(&requested.token);
        return broken(
            &format!("POST /v1/activation-code-requests/{token}, with the user's token"),
            got.title(),
        );
    }
    for name in [
        "profileType",
        "deviceType",
        "eid",
        "activationCodeRequestID",
    ] {
        if !body[name].is_string() {
            return broken(&format!("a body with {name}, a text"), body.to_string());
        }
    }
    Ok(())
}

fn header<'a>(got: &'a Got, name: &str) -> Result<&'a str, Finding> {
    let mut values = got.request.headers.all(name);
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value),
        (None, _) => Err(Finding::broken(
            format!("the header {name}"),
            "no such header",
        )),
        _ => Err(Finding::broken(
            format!("the header {name} once"),
            "it is there twice",
        )),
    }
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36 && uuid::Uuid::try_parse(text).is_ok()
}

fn sent_ids(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let (requested, _) = request(cmp, evidence)?;
    for name in ["CMP-request-id", "correlation-id"] {
        let value = header(&requested.got, name)?;
        if !is_uuid(value) {
            return broken(&format!("{name}, a UUID"), value);
        }
    }
    Ok(())
}

fn sent_parties(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let (requested, _) = request(cmp, evidence)?;
    // As the judge calls the CMP, the CMP calls the judge.
    for (name, agreed) in [
        ("client-id", &cmp.link.target_id),
        ("target-id", &cmp.link.client_id),
    ] {
        let value = header(&requested.got, name)?;
        if value != agreed {
            return broken(&format!("{name}: {agreed}"), value);
        }
    }
    Ok(())
}

fn sent_credentials(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let (requested, _) = request(cmp, evidence)?;
    let auth = cmp.server()?.auth.clone();
    let (name, value) = auth.header();
    if header(&requested.got, name)? != value {
        return broken(&format!("{name} with the agreed value"), "another value");
    }
    let other = match auth {
        Auth::ApiKey(_) => "authorization",
        Auth::Basic(_) => "api-key",
    };
    match requested.got.request.headers.get(other) {
        None => Ok(()),
        Some(_) => broken(&format!("{name} alone"), format!("{other}, too")),
    }
}

fn sent_type(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let (requested, _) = request(cmp, evidence)?;
    let value = header(&requested.got, "content-type")?;
    let essence = value.split(';').next().unwrap_or_default().trim();
    match essence.eq_ignore_ascii_case("application/json") {
        true => Ok(()),
        false => broken("content-type: application/json", value),
    }
}

fn sent_certificate(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let (requested, _) = request(cmp, evidence)?;
    let agreed = cmp.server()?.common_name.clone();
    match (&requested.got.certificate, agreed) {
        (None, _) => broken("a client certificate", "none"),
        (Some(name), Some(agreed)) if *name != agreed => broken(
            &format!("a client certificate with the common name {agreed:?}"),
            format!("{name:?}"),
        ),
        _ => Ok(()),
    }
}

pub(super) fn foreign_server(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    cmp.link_account(evidence)?;
    let stranger = cmp.stranger.server.clone();
    let server = cmp.server()?;
    server.pretend(Some(&stranger));
    let (mark, troubles) = (server.mark(), server.troubles());
    // Connections that were open from before are the own server's, so a call over one of them proves nothing.
    server.hang_up();
    let begun = cmp.start_request(evidence);
    let patience = cmp.link.patience().min(Duration::from_secs(15));
    let server = cmp.server()?;
    let refused = begun.is_ok() && server.wait_for_trouble(troubles, patience);
    let calls = server.since(mark, evidence);
    server.pretend(None);
    begun?;
    // The request is still open at the CMP; the next test begins with a link of its own.
    cmp.unlink();
    match (calls.first(), refused) {
        (Some(call), _) => broken(
            "no call to a server with a foreign certificate",
            call.title(),
        ),
        (None, true) => Ok(()),
        (None, false) => Err(Finding::Hidden(
            "the CMP made no connection that its MSP's certificate could have ended".to_owned(),
        )),
    }
}

fn text(
    cmp: &mut Cmp,
    evidence: &mut Evidence,
    name: &str,
    fits: fn(&str) -> bool,
    expected: &str,
) -> Done {
    let (_, body) = request(cmp, evidence)?;
    match body[name].as_str().is_some_and(fits) {
        true => Ok(()),
        false => broken(&format!("{name}: {expected}"), body[name].to_string()),
    }
}

fn imei(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let (_, body) = request(cmp, evidence)?;
    let fits = match body.get("imei") {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => {
            text.is_empty() || text.len() == 15 && text.bytes().all(|b| b.is_ascii_digit())
        }
        Some(_) => false,
    };
    match fits {
        true => Ok(()),
        false => broken(
            "no imei, an empty one, or 15 digits",
            body["imei"].to_string(),
        ),
    }
}

fn eid(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let (_, body) = request(cmp, evidence)?;
    let own = cmp
        .car
        .as_ref()
        .map(|car| car.eid.clone())
        .unwrap_or_default();
    match body["eid"].as_str() == Some(own.as_str()) {
        true => Ok(()),
        false => broken(&format!("eid: {own}"), body["eid"].to_string()),
    }
}

fn request_id(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let (requested, body) = request(cmp, evidence)?;
    match is_uuid(&requested.id) {
        true => Ok(()),
        false => broken(
            "activationCodeRequestID, a UUID",
            body["activationCodeRequestID"].to_string(),
        ),
    }
}

fn candidate(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let (_, body) = request(cmp, evidence)?;
    match body.get("replaceIccid") {
        Some(Value::Null) => Ok(()),
        Some(other) => broken("replaceIccid: null", other.to_string()),
        None => broken("the member replaceIccid", "no such member"),
    }
}

/// The vehicle of a new link asks, and the judge answers so; what the vehicle gets.
fn answered(
    cmp: &mut Cmp,
    evidence: &mut Evidence,
    reply: Reply,
) -> Result<Result<CodeOutcome, String>, Finding> {
    cmp.link_account(evidence)?;
    let requested = cmp.ask_code(evidence, move |request| match request.method.as_str() {
        "POST" => reply.clone(),
        "DELETE" => Reply::empty(204),
        _ => Reply::json(200, &json!({"profiles": []})),
    })?;
    Ok(cmp.car_code(requested.car_request, evidence))
}

fn synchronous(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let code = json!({"activationCode": "1$smdp.example.com$JUDGE-SYNC", "profileType": "personal",
        "swappedIccid": null});
    let got = answered(cmp, evidence, Reply::json(200, &code))?;
    cmp.unlink();
    match got {
        Ok(CodeOutcome::Code { .. }) => Ok(()),
        Ok(_) => broken(
            "the vehicle gets the code of the answer",
            "it gets a failure",
        ),
        Err(why) => broken("the vehicle gets the code of the answer", why),
    }
}

fn refusal(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let reply = Reply::refusal(422, "49", "Other activation code error");
    let got = answered(cmp, evidence, reply)?;
    cmp.unlink();
    match got {
        Ok(CodeOutcome::Code { .. }) => {
            broken("no code for the vehicle", "it gets a code that nobody sent")
        }
        Ok(_) => Ok(()),
        Err(why) => broken("the vehicle hears of the refusal", why),
    }
}

/// The vehicle reports, and the CMP's call about it comes.
fn status(
    cmp: &mut Cmp,
    (iccid, status, word): (&str, Status, &str),
    patience: Duration,
    evidence: &mut Evidence,
) -> Result<Result<Got, String>, Finding> {
    let mark = cmp.server()?.mark();
    cmp.report(iccid, status, evidence)?;
    let server = cmp.server()?;
    Ok(server.wait(mark, patience, evidence, |got| {
        got.path().contains("/statuses/") && got.json()["status"] == word
    }))
}

fn reported(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    cmp.unlink();
    let mark = cmp.server()?.mark();
    let (token, iccid) = cmp.installed(evidence)?;
    let patience = cmp.link.patience();
    let server = cmp.server()?;
    let got = server.wait(mark, patience, evidence, |got| {
        got.path().contains("/statuses/")
    });
    let got = got.map_err(|why| Finding::broken("POST /v1/statuses/{msp_token}", why))?;
    let body = got.json();
    let eid = cmp
        .car
        .as_ref()
        .map(|car| car.eid.clone())
        .unwrap_or_default();
    let path = format!("/v1/statuses/{token}");
    if got.request.method != "POST" || !got.path().eq_ignore_ascii_case(&path) {
        return broken("POST /v1/statuses/ with the user's token", got.title());
    }
    let expected = json!({"iccid": iccid, "eid": eid, "status": "installed"});
    for name in ["iccid", "eid", "status"] {
        if body[name] != expected[name] {
            return broken(
                &format!("{name}: {}", expected[name]),
                body[name].to_string(),
            );
        }
    }
    Ok(())
}

fn agreed(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let (_, iccid) = cmp.installed(evidence)?;
    let mark = cmp.server()?.mark();
    for status in [Status::Enabled, Status::Disabled, Status::Deleted] {
        cmp.report(&iccid, status, evidence)?;
    }
    cmp.profile = None;
    let declared = cmp.statuses.clone();
    let patience = cmp.link.patience();
    for word in ["enabled", "disabled", "deleted"] {
        if !declared.iter().any(|d| d == word) {
            continue;
        }
        let server = cmp.server()?;
        let got = server.wait(mark, patience, evidence, |got| {
            got.path().contains("/statuses/") && got.json()["status"] == word
        });
        got.map_err(|why| Finding::broken(format!("the status {word}, which is declared"), why))?;
    }
    let calls = cmp.server()?.since(mark, evidence);
    let words = calls.iter().filter(|got| got.path().contains("/statuses/"));
    let words: Vec<_> = words.map(|got| got.json()["status"].clone()).collect();
    match words
        .iter()
        .find(|word| !declared.iter().any(|d| **word == **d))
    {
        None => Ok(()),
        Some(word) => broken(
            &format!(
                "only the statuses that are declared: {}",
                declared.join(", ")
            ),
            format!("{word}"),
        ),
    }
}

fn repeated(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let (_, iccid) = cmp.installed(evidence)?;
    let mut refused = false;
    cmp.server()?.answer(move |request| {
        // That of the installation may come late.
        let deleted = String::from_utf8_lossy(&request.body).contains("deleted");
        let first = !refused && deleted && request.target.contains("/statuses/");
        refused |= first;
        match (first, request.method.as_str()) {
            (true, _) => Reply::refusal(500, "90", "Internal Server Error"),
            (_, "DELETE") => Reply::empty(204),
            _ => Reply::empty(201),
        }
    });
    let patience = cmp.link.patience();
    let first = status(
        cmp,
        (&iccid, Status::Deleted, "deleted"),
        patience,
        evidence,
    )?;
    cmp.profile = None;
    let first = first.map_err(|why| Finding::broken("the status deleted", why))?;
    let patience = cmp.repeats_within;
    let id = first
        .request
        .headers
        .get("cmp-request-id")
        .unwrap_or_default()
        .to_owned();
    let server = cmp.server()?;
    let mark = server.position(&first);
    let again = server.wait(mark, patience, evidence, |got| {
        got.path().contains("/statuses/") && got.json()["status"] == "deleted"
    });
    let again = again.map_err(|why| Finding::broken("the status again after 500", why))?;
    match again.request.headers.get("cmp-request-id") == Some(id.as_str()) {
        true => Ok(()),
        false => broken(
            &format!("the same CMP-request-id {id}"),
            again
                .request
                .headers
                .get("cmp-request-id")
                .unwrap_or("none"),
        ),
    }
}

fn withdrawn(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let token = cmp.link_account(evidence)?;
    let server = cmp.server()?;
    server.answer(|request| match request.method.as_str() {
        "DELETE" => Reply::empty(204),
        "GET" => Reply::json(200, &json!({"profiles": []})),
        _ => Reply::empty(201),
    });
    let mark = server.mark();
    let Some(portal) = cmp.portal.clone() else {
        return Err(Finding::Lacking("no portal is declared".to_owned()));
    };
    if let Some(browser) = cmp.browser.as_mut() {
        browser.walk(&portal.withdraw, evidence)?;
    }
    let path = format!("/v1/users/{token}");
    let patience = cmp.link.patience();
    let server = cmp.server()?;
    let got = server.wait(mark, patience, evidence, |got| {
        got.request.method == "DELETE"
    });
    let got = got.map_err(|why| Finding::broken("DELETE /v1/users/{msp_token}", why))?;
    if !got.path().eq_ignore_ascii_case(&path) {
        return broken("DELETE /v1/users/ with the user's token", got.title());
    }
    // The link has ended at the CMP's side.
    cmp.forget();
    match got.request.body.is_empty() {
        true => Ok(()),
        false => broken("DELETE without a body", "a body"),
    }
}

fn synchronised(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let (token, iccid) = cmp.installed(evidence)?;
    let server = cmp.server()?;
    let listed = json!({"profiles": [{"iccid": iccid, "status": "installed"}]});
    server.answer(move |request| match request.method.as_str() {
        "DELETE" => Reply::empty(204),
        "GET" => Reply::json(200, &listed),
        _ => Reply::empty(201),
    });
    let mark = server.mark();
    let (hook, folder) = (cmp.hooks.get("synchronise").cloned(), cmp.folder.clone());
    let values = [("token", token.as_str()), ("iccid", iccid.as_str())];
    let ran = hook.map(|hook| hook.run(&folder, &values));
    if let Some(Err(why)) = ran {
        return Err(Finding::Hidden(format!("hooks.synchronise: {why}")));
    }
    let patience = cmp.link.patience();
    let server = cmp.server()?;
    let got = server.wait(mark, patience, evidence, |got| got.request.method == "GET");
    let got = got.map_err(|why| Finding::broken("GET /v1/profiles/status/{msp_token}", why))?;
    let path = format!("/v1/profiles/status/{token}");
    match got.path().eq_ignore_ascii_case(&path) {
        true => Ok(()),
        false => broken(
            "GET /v1/profiles/status/ with the user's token",
            got.title(),
        ),
    }
}
