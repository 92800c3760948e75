//! Notify MSP Token Invalid, Send Profile Information, Update Subscription Info (AID.02 §7.4 to §7.6).

use super::Cmp;
use super::rig::{
    Done, SUBSCRIPTIONS, USERS, needs_link, needs_onboarding, needs_second, needs_update,
    needs_vehicle,
};
use crate::aid1::{accepted, refused, refused_as, seen, silent_success};
use crate::evidence::Evidence;
use crate::test::{Finding, Test};
use serde_json::{Value, json};
use std::time::Duration;

const INVALID: &str = "AID.02 §7.4";
const PROFILES: &str = "AID.02 §7.5";
const UPDATE: &str = "AID.02 §7.6";

/// Codes for a token that is not known.
const NO_TOKEN: [u16; 4] = [20, 21, 65, 94];
/// Codes for a profile that is not known.
const NO_PROFILE: [u16; 4] = [61, 62, 64, 65];
/// "At once" of §4.4.2, with a margin for slow lines.
const AT_ONCE: Duration = Duration::from_secs(10);

pub(super) const TESTS: &[Test<Cmp>] = &[
    Test::must(
        "R-7.4-1",
        &["R-7.4-1", "R-7.4-3", "R-7.4-5", "R-4.4.2-1"],
        INVALID,
        "the end of a token is taken with 204, at once",
        ended,
    )
    .when(needs_onboarding),
    Test::must(
        "R-7.4-3",
        &["R-7.4-3"],
        INVALID,
        "the end of a token without a body is refused",
        no_body,
    )
    .when(needs_onboarding),
    Test::must(
        "R-7.4-4",
        &["R-7.4-4"],
        INVALID,
        "a reason is taken, whatever is in it",
        reason,
    )
    .when(needs_onboarding),
    Test::must(
        "R-7.4-5",
        &["R-7.4-5"],
        INVALID,
        "the end of a token that nobody has is refused with 404",
        unknown_end,
    ),
    Test::must(
        "R-7.4-6",
        &["R-7.4-6"],
        INVALID,
        "the end of a token may be said twice",
        twice,
    )
    .should()
    .when(needs_onboarding),
    Test::must(
        "R-5.3-2",
        &["R-5.3-2", "R-7.4-5"],
        "AID.02 §5.3",
        "another MSP's token is as unknown as one of nobody",
        isolation,
    )
    .when(needs_second),
    Test::must(
        "R-4.7-1",
        &["R-4.7-1", "R-7.5-11"],
        "AID.02 §4.7",
        "information about an unknown token or profile is refused with 404",
        unknown_profile,
    )
    .when(needs_link),
    Test::must(
        "R-7.5-1",
        &["R-7.5-1"],
        PROFILES,
        "a body without profiles, or with an incomplete one, is refused",
        profile_members,
    )
    .when(needs_link),
    Test::must(
        "R-7.5-3",
        &["R-7.5-3"],
        PROFILES,
        "a status other than valid, invalid and suspended is refused with 422",
        profile_status,
    )
    .when(needs_vehicle),
    Test::must(
        "R-7.5-4",
        &["R-7.5-4", "R-7.5-7", "R-7.5-11"],
        PROFILES,
        "suspended and valid are taken with 200, reason null too",
        suspended,
    )
    .when(needs_vehicle),
    Test::must(
        "R-7.5-2",
        &["R-7.5-2"],
        PROFILES,
        "a list with a profile of somebody else is refused",
        foreign_profile,
    )
    .when(needs_vehicle),
    Test::must(
        "R-7.5-11",
        &["R-7.5-11"],
        PROFILES,
        "an empty list is refused",
        empty_list,
    )
    .should()
    .when(needs_link),
    Test::must(
        "R-4.8-1",
        &["R-4.8-1"],
        "AID.02 §4.8",
        "an update of an unknown token is refused with 404",
        unknown_update,
    )
    .when(needs_update),
    Test::must(
        "R-7.6-2",
        &["R-7.6-2"],
        UPDATE,
        "an update without phoneNumber, subscriptionType or iv is refused",
        update_members,
    )
    .when(needs_update),
    Test::must(
        "R-7.6-4",
        &["R-7.6-4", "R-7.6-1", "R-7.6-3"],
        UPDATE,
        "an update is answered with 201",
        updated,
    )
    .when(needs_update),
    Test::must(
        "R-7.6-5",
        &["R-7.6-5"],
        UPDATE,
        "a token that is no UUID is refused with 422",
        malformed,
    )
    .when(needs_update),
];

fn ended(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let token = cmp.link_account(evidence)?;
    let call = cmp.invalidate(&token).json(&json!({}));
    let answer = cmp.link.ask(&call, evidence)?;
    silent_success(&answer, 204, "the end of a token")?;
    cmp.forget();
    match answer.took <= AT_ONCE {
        true => Ok(()),
        false => Err(Finding::broken(
            format!("an answer at once (within {} s)", AT_ONCE.as_secs()),
            format!("after {:.1} s", answer.took.as_secs_f64()),
        )),
    }
}

fn no_body(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let token = cmp.token(evidence)?;
    let call = cmp.invalidate(&token).bytes(Vec::new());
    let answer = cmp.link.ask(&call, evidence)?;
    if answer.status < 300 {
        cmp.forget();
    }
    refused(&answer, "no body")
}

fn reason(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let token = cmp.link_account(evidence)?;
    let reason = "contract ended\u{1b}[31m\r\n\u{202e}\u{1F600}";
    let call = cmp.invalidate(&token).json(&json!({"reason": reason}));
    let answer = cmp.link.ask(&call, evidence)?;
    accepted(&answer, 204, "the end of a token with a reason")?;
    cmp.forget();
    Ok(())
}

fn unknown_end(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let call = cmp.invalidate(&cmp.link.uuid()).json(&json!({}));
    let answer = cmp.link.ask(&call, evidence)?;
    refused_as(&answer, "a token that nobody has", &[404], &NO_TOKEN)
}

fn twice(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let token = cmp.link_account(evidence)?;
    for time in ["the end of a token", "the same again, in another call"] {
        let call = cmp.invalidate(&token).json(&json!({}));
        let answer = cmp.link.ask(&call, evidence)?;
        accepted(&answer, 204, time)?;
    }
    cmp.forget();
    Ok(())
}

fn isolation(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let token = cmp.token(evidence)?;
    let update = cmp.update_body();
    let Some(second) = &cmp.second else {
        return Err(Finding::Lacking("no second MSP is declared".to_owned()));
    };
    let calls = [
        second
            .call("PATCH", &format!("{SUBSCRIPTIONS}/{token}"))
            .json(&update),
        second
            .call("POST", &format!("{USERS}/{token}/profiles"))
            .json(&Cmp::profiles_body(&cmp.iccid(), "invalid")),
        second
            .call("POST", &format!("{USERS}/{token}/invalidate"))
            .json(&json!({})),
    ];
    for call in calls {
        let answer = second.ask(&call, evidence)?;
        refused_as(&answer, "another MSP's token", &[403, 404, 422], &[])?;
    }
    let answer = cmp.updated(evidence, |call| call)?;
    accepted(&answer, 201, "the token's own MSP afterwards")
}

fn unknown_profile(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let call = cmp
        .profiles(&cmp.link.uuid())
        .json(&Cmp::profiles_body(&cmp.iccid(), "valid"));
    let answer = cmp.link.ask(&call, evidence)?;
    refused_as(&answer, "a token that nobody has", &[404, 422], &NO_TOKEN)?;
    let token = cmp.token(evidence)?;
    let call = cmp
        .profiles(&token)
        .json(&Cmp::profiles_body(&cmp.iccid(), "valid"));
    let answer = cmp.link.ask(&call, evidence)?;
    refused_as(
        &answer,
        "a profile that nobody has",
        &[404, 422],
        &NO_PROFILE,
    )
}

fn profile_members(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let token = cmp.token(evidence)?;
    let iccid = cmp.iccid();
    for body in [
        json!({}),
        json!({"profiles": null}),
        json!({"profiles": "all"}),
        json!({"profiles": [{"status": "valid", "reason": null}]}),
        json!({"profiles": [{"iccid": iccid, "reason": null}]}),
        json!({"profiles": [null]}),
    ] {
        let answer = cmp.link.ask(&cmp.profiles(&token).json(&body), evidence)?;
        refused(&answer, &body.to_string())?;
    }
    Ok(())
}

fn profile_status(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let (token, iccid) = cmp.installed(evidence)?;
    for status in ["blocked", "Valid", "enabled", ""] {
        let call = cmp
            .profiles(&token)
            .json(&Cmp::profiles_body(&iccid, status));
        let answer = cmp.link.ask(&call, evidence)?;
        refused_as(&answer, &format!("the status {status:?}"), &[422], &[])?;
    }
    Ok(())
}

fn suspended(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let (token, iccid) = cmp.installed(evidence)?;
    for (status, reason) in [("suspended", Value::Null), ("valid", json!("paid"))] {
        let body = json!({"profiles": [{"iccid": iccid, "status": status, "reason": reason}]});
        let answer = cmp.link.ask(&cmp.profiles(&token).json(&body), evidence)?;
        silent_success(
            &answer,
            200,
            &format!("the status {status} of a known profile"),
        )?;
    }
    Ok(())
}

fn foreign_profile(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let (token, iccid) = cmp.installed(evidence)?;
    let body = json!({"profiles": [
        {"iccid": iccid, "status": "suspended", "reason": null},
        {"iccid": cmp.iccid(), "status": "suspended", "reason": null}]});
    let answer = cmp.link.ask(&cmp.profiles(&token).json(&body), evidence)?;
    refused_as(
        &answer,
        "a known profile beside one that nobody has",
        &[404, 422],
        &NO_PROFILE,
    )
}

fn empty_list(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let token = cmp.token(evidence)?;
    let call = cmp.profiles(&token).json(&json!({"profiles": []}));
    refused(&cmp.link.ask(&call, evidence)?, "an empty list of profiles")
}

fn unknown_update(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let call = cmp.update(&cmp.link.uuid()).json(&cmp.update_body());
    let answer = cmp.link.ask(&call, evidence)?;
    refused_as(&answer, "a token that nobody has", &[404], &NO_TOKEN)
}

fn update_members(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    for name in ["phoneNumber", "subscriptionType", "iv"] {
        let mut body = cmp.update_body();
        if let Some(members) = body.as_object_mut() {
            members.remove(name);
        }
        let answer = cmp.updated(evidence, |call| call.json(&body))?;
        refused(&answer, &format!("a body without {name}"))?;
    }
    Ok(())
}

fn updated(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    let answer = cmp.updated(evidence, |call| call)?;
    match answer.status {
        201 => Ok(()),
        _ => Err(Finding::broken(
            "201 to Update Subscription Info",
            seen(&answer),
        )),
    }
}

fn malformed(cmp: &mut Cmp, evidence: &mut Evidence) -> Done {
    for token in [
        "abc",
        "12345678-1234-1234-1234-12345678901",
        "d534080b97944351",
    ] {
        let path = format!("{SUBSCRIPTIONS}/{token}");
        let call = cmp.link.call("PATCH", &path).json(&cmp.update_body());
        let answer = cmp.link.ask(&call, evidence)?;
        refused_as(&answer, &format!("the token {token:?}"), &[422], &[])?;
    }
    Ok(())
}
