//! What the MSP tells the CMP of its own accord (AID.02 §7.4 to §7.6); commands of the target file begin it.

use super::Msp;
use super::onboarding::decrypted;
use super::rig::{Done, needs_code, needs_portal, taken};
use crate::aid1::Got;
use crate::evidence::Evidence;
use crate::test::{Finding, Test};
use serde_json::Value;

pub(super) const TESTS: &[Test<Msp>] = &[
    Test::must(
        "R-7.6-1",
        &["R-7.6-1", "R-7.6-2", "R-7.6-3"],
        "AID.02 §7.6",
        "a change of the subscription is sent by PATCH, complete and encrypted",
        update,
    )
    .when(needs_update),
    Test::must(
        "R-7.5-1",
        &["R-7.5-1", "R-7.5-3", "R-7.5-4"],
        "AID.02 §7.5",
        "a block of a profile is sent with iccid, status and reason",
        suspend,
    )
    .when(needs_suspend),
    Test::must(
        "R-7.4-1",
        &["R-7.4-1", "R-7.4-3", "R-4.4.2-1"],
        "AID.02 §7.4",
        "the end of a link at the MSP is sent with a JSON body",
        withdraw,
    )
    .when(needs_withdraw),
];

fn needs_hook(msp: &Msp, name: &str) -> Result<(), String> {
    needs_portal(msp)?;
    match msp.hooks.contains_key(name) {
        true => Ok(()),
        false => Err(format!("hooks.{name} is not declared")),
    }
}

fn needs_update(msp: &Msp) -> Result<(), String> {
    needs_hook(msp, "update")
}

fn needs_suspend(msp: &Msp) -> Result<(), String> {
    needs_hook(msp, "suspend")?;
    needs_code(msp)
}

fn needs_withdraw(msp: &Msp) -> Result<(), String> {
    needs_hook(msp, "withdraw")
}

fn broken(expected: &str, seen: impl Into<String>) -> Done {
    Err(Finding::broken(expected, seen))
}

/// A call about this token: a customer may have links from before the run, and each hears of it.
fn is_of(got: &Got, token: &str) -> bool {
    let mut segments = got.path().split('/');
    segments.any(|segment| segment.eq_ignore_ascii_case(token))
}

/// Runs a command of the target file; the call that comes of it.
fn begun(
    msp: &mut Msp,
    name: &str,
    values: &[(&str, &str)],
    evidence: &mut Evidence,
    wanted: impl Fn(&Got) -> bool,
) -> Result<Result<Got, String>, Finding> {
    let (hook, folder) = (msp.hooks.get(name).cloned(), msp.folder.clone());
    let Some(hook) = hook else {
        return Err(Finding::Lacking(format!("hooks.{name} is not declared")));
    };
    let server = msp.server()?;
    server.answer(taken);
    let mark = server.mark();
    hook.run(&folder, values)
        .map_err(|why| Finding::Hidden(format!("hooks.{name}: {why}")))?;
    let patience = msp.repeats_within;
    Ok(msp.server()?.wait(mark, patience, evidence, wanted))
}

fn update(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let token = msp.token(evidence)?;
    let got = begun(msp, "update", &[("token", &token)], evidence, |got| {
        got.path().contains("/subscriptions/") && is_of(got, &token)
    })?;
    let got =
        got.map_err(|why| Finding::broken("PATCH /cesim/msp/v1/subscriptions/{msp_token}", why))?;
    let path = format!("/cesim/msp/v1/subscriptions/{token}");
    if got.request.method != "PATCH" || !got.path().eq_ignore_ascii_case(&path) {
        return broken(
            "PATCH /cesim/msp/v1/subscriptions/ with the customer's token",
            got.title(),
        );
    }
    let body = got.json();
    for name in ["phoneNumber", "subscriptionType", "iv"] {
        if !body[name].is_string() {
            return broken(
                &format!("the member {name}, a text"),
                body[name].to_string(),
            );
        }
    }
    if msp.number_key.is_some() {
        decrypted(msp, &body)?;
    }
    Ok(())
}

fn suspend(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let (iccid, order) = msp.iccid(evidence)?;
    let token = msp.token(evidence)?;
    // Only a profile that is in a vehicle is blocked at some.
    let body = serde_json::json!({"iccid": iccid, "eid": order.eid, "status": "installed"});
    msp.link.ask(&msp.status(&token).json(&body), evidence)?;
    let values = [("token", token.as_str()), ("iccid", iccid.as_str())];
    let got = begun(msp, "suspend", &values, evidence, |got| {
        got.path().ends_with("/profiles")
    })?;
    let got =
        got.map_err(|why| Finding::broken("POST /cesim/msp/v1/users/{msp_token}/profiles", why))?;
    let path = format!("/cesim/msp/v1/users/{token}/profiles");
    if got.request.method != "POST" || !got.path().eq_ignore_ascii_case(&path) {
        return broken(
            "POST /cesim/msp/v1/users/…/profiles with the customer's token",
            got.title(),
        );
    }
    let body = got.json();
    let profiles = body["profiles"].as_array().cloned().unwrap_or_default();
    let Some(profile) = profiles.iter().find(|p| p["iccid"] == iccid.as_str()) else {
        return broken(&format!("profiles with {iccid}"), body.to_string());
    };
    if profile["status"] != "suspended" {
        return broken("status: suspended", profile["status"].to_string());
    }
    match profile.get("reason") {
        Some(Value::Null | Value::String(_)) => Ok(()),
        _ => broken("the member reason, a text or null", profile.to_string()),
    }
}

fn withdraw(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let token = msp.link_customer(evidence)?;
    let got = begun(msp, "withdraw", &[("token", &token)], evidence, |got| {
        got.path().ends_with("/invalidate") && is_of(got, &token)
    })?;
    let got =
        got.map_err(|why| Finding::broken("POST /cesim/msp/v1/users/{msp_token}/invalidate", why))?;
    msp.token = None;
    let path = format!("/cesim/msp/v1/users/{token}/invalidate");
    if got.request.method != "POST" || !got.path().eq_ignore_ascii_case(&path) {
        return broken(
            "POST /cesim/msp/v1/users/…/invalidate with the customer's token",
            got.title(),
        );
    }
    match got.json().is_object() {
        true => Ok(()),
        false => broken(
            "a JSON object as the body",
            String::from_utf8_lossy(&got.request.body),
        ),
    }
}
