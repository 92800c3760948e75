//! Send CSIM Status, Request Invalidate MSP Token, Request Profile Status (AID.02 §7.8 to §7.10).

use super::Msp;
use super::rig::{Done, LIST, USERS, needs_code, needs_link, needs_portal};
use crate::aid1::{accepted, refused, refused_as, seen, silent_success};
use crate::evidence::Evidence;
use crate::test::{Finding, Test};
use serde_json::{Value, json};

const STATUS: &str = "AID.02 §7.8";
const END: &str = "AID.02 §7.9";
const PROFILES: &str = "AID.02 §7.10";

pub(super) const TESTS: &[Test<Msp>] = &[
    Test::must(
        "R-7.8-2",
        &["R-7.8-2", "R-7.8-1", "R-7.8-5"],
        STATUS,
        "each status of a profile is taken with 201",
        statuses,
    )
    .when(needs_code),
    Test::must(
        "R-7.8-2/other",
        &["R-7.8-2"],
        STATUS,
        "a status that the contract does not have is refused",
        other_status,
    )
    .when(needs_code),
    Test::must(
        "R-7.8-1",
        &["R-7.8-1"],
        STATUS,
        "a report without iccid, eid or status is refused",
        incomplete,
    )
    .when(needs_code),
    Test::must(
        "R-7.10-1",
        &["R-7.10-1", "R-7.10-2", "R-4.6-3"],
        PROFILES,
        "the list of profiles has iccid and status of each",
        listed,
    )
    .when(needs_link),
    Test::must(
        "R-7.10-3",
        &["R-7.10-3", "R-7.10-2"],
        PROFILES,
        "a profile that was ordered is in the list, alone too",
        single,
    )
    .when(needs_code),
    Test::must(
        "R-7.10-6/profile",
        &["R-7.10-6"],
        PROFILES,
        "a profile that nobody has is refused with 404",
        unknown,
    )
    .when(needs_link),
    Test::must(
        "R-7.10-4",
        &["R-7.10-4"],
        PROFILES,
        "a status that the CMP reported is not given back",
        no_echo,
    )
    .should()
    .when(needs_code),
    Test::must(
        "R-B-1",
        &["R-B-5"],
        "AID.02 Annex B.2",
        "members that the contract does not have are ignored",
        unknown_members,
    )
    .when(needs_code),
    Test::must(
        "R-B-8",
        &["R-B-8"],
        "AID.02 Annex B.2",
        "a success without a schema has no body",
        no_body,
    )
    .when(needs_code),
    Test::must(
        "R-7.9-1",
        &["R-7.9-1", "R-7.9-4"],
        END,
        "the end of a token is taken with 204",
        ended,
    )
    .when(needs_portal),
    Test::must(
        "R-7.9-2",
        &["R-7.9-2", "R-4.4.1-5"],
        END,
        "after its end a token gets no activation code",
        no_code,
    )
    .when(needs_portal),
    Test::must(
        "R-7.9-4/twice",
        &["R-7.9-4"],
        END,
        "the end of a token may be said twice",
        twice,
    )
    .should()
    .when(needs_portal),
    Test::must(
        "R-4.4.1-6",
        &["R-4.4.1-6"],
        "AID.02 §4.4.1",
        "the status deleted is taken after the end of its token",
        late_status,
    )
    .when(needs_code_and_portal),
];

fn needs_code_and_portal(msp: &Msp) -> Result<(), String> {
    needs_portal(msp)?;
    needs_code(msp)
}

fn statuses(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let (iccid, order) = msp.iccid(evidence)?;
    let token = msp.token(evidence)?;
    for status in ["installed", "enabled", "disabled"] {
        let body = json!({"iccid": iccid, "eid": order.eid, "status": status});
        let answer = msp.link.ask(&msp.status(&token).json(&body), evidence)?;
        silent_success(&answer, 201, &format!("the status {status}"))?;
    }
    Ok(())
}

fn other_status(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let (iccid, order) = msp.iccid(evidence)?;
    let token = msp.token(evidence)?;
    for status in [
        json!("profile deleted"),
        json!("Installed"),
        json!(""),
        json!(1),
    ] {
        let body = json!({"iccid": iccid, "eid": order.eid, "status": status});
        let answer = msp.link.ask(&msp.status(&token).json(&body), evidence)?;
        refused(&answer, &format!("the status {status}"))?;
    }
    Ok(())
}

fn incomplete(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let (iccid, order) = msp.iccid(evidence)?;
    let token = msp.token(evidence)?;
    for name in ["iccid", "eid", "status"] {
        let mut body = json!({"iccid": iccid, "eid": order.eid, "status": "installed"});
        if let Some(members) = body.as_object_mut() {
            members.remove(name);
        }
        let answer = msp.link.ask(&msp.status(&token).json(&body), evidence)?;
        refused(&answer, &format!("a report without {name}"))?;
    }
    Ok(())
}

/// The list of profiles, checked by its schema.
fn list(msp: &mut Msp, evidence: &mut Evidence, query: &str) -> Result<Vec<Value>, Finding> {
    let answer = msp.listed(evidence, |mut call| {
        call.target.push_str(query);
        call
    })?;
    accepted(&answer, 200, "Request Profile Status")?;
    let body = answer.json().unwrap_or_default();
    let Some(profiles) = body["profiles"].as_array() else {
        return Err(Finding::broken(
            "a JSON object with profiles, a list",
            seen(&answer),
        ));
    };
    for profile in profiles {
        let iccid = profile["iccid"].as_str().unwrap_or_default();
        let fits = (18..=22).contains(&iccid.len())
            && iccid.bytes().all(|b| b.is_ascii_digit())
            && matches!(
                profile["status"].as_str(),
                Some("enabled" | "disabled" | "installed" | "prepared")
            );
        if !fits {
            return Err(Finding::broken(
                "iccid, digits, and status enabled, disabled, installed or prepared",
                profile.to_string(),
            ));
        }
    }
    Ok(profiles.clone())
}

fn listed(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    list(msp, evidence, "").map(drop)
}

fn single(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let (iccid, _) = msp.iccid(evidence)?;
    for query in [String::new(), format!("?iccid={iccid}")] {
        let profiles = list(msp, evidence, &query)?;
        if !profiles
            .iter()
            .any(|profile| profile["iccid"] == iccid.as_str())
        {
            return Err(Finding::broken(
                format!("the profile {iccid} in the list"),
                format!("{} others", profiles.len()),
            ));
        }
    }
    Ok(())
}

fn unknown(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let answer = msp.listed(evidence, |mut call| {
        call.target.push_str("?iccid=8988000000000000005");
        call
    })?;
    refused_as(&answer, "a profile that nobody has", &[404], &[])
}

fn no_echo(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let (iccid, order) = msp.iccid(evidence)?;
    let token = msp.token(evidence)?;
    let before = list(msp, evidence, &format!("?iccid={iccid}"))?;
    let mut said = Vec::new();
    for status in ["enabled", "disabled"] {
        let body = json!({"iccid": iccid, "eid": order.eid, "status": status});
        let answer = msp.link.ask(&msp.status(&token).json(&body), evidence)?;
        accepted(&answer, 201, &format!("the status {status}"))?;
        let list = list(msp, evidence, &format!("?iccid={iccid}"))?;
        said.push(
            list.first()
                .map(|p| p["status"] == status)
                .unwrap_or_default(),
        );
    }
    drop(before);
    match said.iter().all(|echoed| *echoed) {
        false => Ok(()),
        true => Err(Finding::broken(
            "enabled and disabled only where the MSP knows them by itself",
            "each status that the CMP reported comes back",
        )),
    }
}

fn unknown_members(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let (iccid, order) = msp.iccid(evidence)?;
    let token = msp.token(evidence)?;
    let body = json!({"iccid": iccid, "eid": order.eid, "status": "installed",
        "x-judge": {"nested": [1, 2.5, true, null, "\u{e9}"]}});
    let answer = msp.link.ask(&msp.status(&token).json(&body), evidence)?;
    accepted(
        &answer,
        201,
        "a body with a member that the contract does not have",
    )
}

fn no_body(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let (iccid, order) = msp.iccid(evidence)?;
    let token = msp.token(evidence)?;
    let body = json!({"iccid": iccid, "eid": order.eid, "status": "installed"});
    let answer = msp.link.ask(&msp.status(&token).json(&body), evidence)?;
    silent_success(&answer, 201, "Send CSIM Status")
}

fn end(
    msp: &mut Msp,
    token: &str,
    evidence: &mut Evidence,
) -> Result<crate::aid1::Answer, Finding> {
    let call = msp.link.call("DELETE", &format!("{USERS}/{token}"));
    msp.link.ask(&call, evidence)
}

fn ended(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let token = msp.link_customer(evidence)?;
    let answer = end(msp, &token, evidence)?;
    silent_success(&answer, 204, "the end of a token")?;
    msp.token = None;
    Ok(())
}

fn no_code(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let token = msp.link_customer(evidence)?;
    let answer = end(msp, &token, evidence)?;
    if answer.status != 204 {
        return Err(Finding::Hidden(format!(
            "the end of the token was answered {}",
            seen(&answer)
        )));
    }
    msp.token = None;
    let call = msp.request(&token).json(&msp.request_body());
    let answer = msp.link.ask(&call, evidence)?;
    refused_as(
        &answer,
        "a request with a token that has ended",
        &[404, 422],
        &[20, 21, 65],
    )
}

fn twice(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let token = msp.link_customer(evidence)?;
    let answer = end(msp, &token, evidence)?;
    accepted(&answer, 204, "the end of a token")?;
    msp.token = None;
    let answer = end(msp, &token, evidence)?;
    match answer.status {
        204 | 404 => Ok(()),
        _ => Err(Finding::broken(
            "204 or 404 to the end of a token that has ended",
            seen(&answer),
        )),
    }
}

fn late_status(msp: &mut Msp, evidence: &mut Evidence) -> Done {
    let (iccid, order) = msp.iccid(evidence)?;
    let token = msp.token(evidence)?;
    let body = json!({"iccid": iccid, "eid": order.eid, "status": "installed"});
    msp.link.ask(&msp.status(&token).json(&body), evidence)?;
    let answer = end(msp, &token, evidence)?;
    if answer.status != 204 {
        return Err(Finding::Hidden(format!(
            "the end of the token was answered {}",
            seen(&answer)
        )));
    }
    msp.token = None;
    msp.order = None;
    let call = msp.link.call("GET", &format!("{LIST}/{token}"));
    msp.link.ask(&call, evidence)?;
    let body = json!({"iccid": iccid, "eid": order.eid, "status": "deleted"});
    let answer = msp.link.ask(&msp.status(&token).json(&body), evidence)?;
    accepted(&answer, 201, "the status deleted of a token that has ended")
}
