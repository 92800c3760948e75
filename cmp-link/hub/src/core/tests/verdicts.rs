//! What becomes of a call, whatever its target answers.

use std::time::Duration;

use http::StatusCode;
use proptest::prelude::*;

use super::operation;
use crate::core::answer::{Answer, Outcome};
use crate::core::delivery::{Decision, Patience, Settled, Verdict, decide, judge};
use crate::core::operation::{Delivery, Operation};

fn answered(status: u16, body: &str) -> Outcome {
    Outcome::Answered(Answer {
        status: StatusCode::from_u16(status).unwrap(),
        kind: "application/json".into(),
        retry_after: None,
        body: body.as_bytes().to_vec(),
    })
}

// R-1.1-1, R-5.5-1: what a caller hears of its target's answer, and what the hub takes over.
#[test]
fn the_hub_takes_over_what_may_succeed_later_and_nothing_else() {
    let update = operation("updateSubscriptionInfo");
    let status = operation("sendCsimStatus");
    let request = operation("requestActivationCode");
    let token = operation("sendMspToken");
    let refused = |code: u16| format!("{{\"code\":\"{code}\",\"error\":\"x\"}}");
    let away = Outcome::Unreachable("no".into());
    let table: [(Outcome, Decision); 12] = [
        (answered(429, "{}"), Decision::Keep),
        (answered(201, ""), Decision::Answer),
        (answered(404, &refused(20)), Decision::Answer),
        (answered(422, &refused(91)), Decision::Answer),
        // A number instead of a text is a habit of some, which no caller has to understand.
        (
            answered(404, "{\"code\":20,\"error\":\"x\"}"),
            Decision::Pass,
        ),
        (answered(401, &refused(104)), Decision::Pass),
        (answered(403, &refused(104)), Decision::Pass),
        (answered(500, &refused(90)), Decision::Keep),
        (answered(503, "{}"), Decision::Keep),
        (answered(400, "{\"title\":\"problem\"}"), Decision::Pass),
        (Outcome::Silent("late".into()), Decision::Keep),
        (Outcome::Strange("page".into()), Decision::Keep),
    ];
    for (outcome, decision) in table {
        assert_eq!(decide(update, true, &outcome), decision, "{outcome:?}");
        let without = match decision {
            Decision::Keep => Decision::Pass,
            other => other,
        };
        assert_eq!(decide(update, false, &outcome), without, "{outcome:?}");
        // What carries something back is never answered in the target's place.
        assert_ne!(decide(request, true, &outcome), Decision::Keep);
        assert_ne!(decide(token, true, &outcome), Decision::Keep);
        // Nor is a status: its refusal is the CMP's to act on, and CMPs repeat it by themselves.
        assert_ne!(decide(status, true, &outcome), Decision::Keep);
    }
    assert_eq!(decide(update, true, &away), Decision::Keep);
    for outcome in [
        away,
        Outcome::Silent(String::new()),
        Outcome::Strange(String::new()),
    ] {
        let answer = outcome.to_answer();
        assert_eq!(
            (answer.code(), answer.status.is_server_error()),
            (Some(90), true)
        );
        assert!(answer.is_of_aid1());
    }
    for (status, body, ok) in [
        (200, "", true),
        (200, "{}", true),
        (200, "<html>", false),
        (200, "[1]", false),
        (302, "{}", false),
        (404, "", false),
        (502, "<html>Bad gateway", false),
        (502, "{\"a\":1}", true),
    ] {
        let Outcome::Answered(answer) = answered(status, body) else {
            panic!("answered");
        };
        assert_eq!(answer.is_of_aid1(), ok, "{status} {body}");
    }
}

fn patience() -> Patience {
    Patience {
        first: Duration::from_secs(1),
        longest: Duration::from_secs(300),
        give_up: Duration::from_secs(3600),
    }
}

#[test]
fn retry_after_is_obeyed_within_bounds_and_patience_ends() {
    let update = operation("updateSubscriptionInfo");
    let busy = |seconds| {
        Outcome::Answered(Answer {
            status: StatusCode::SERVICE_UNAVAILABLE,
            kind: String::new(),
            retry_after: Some(seconds),
            body: b"{}".to_vec(),
        })
    };
    let settle = |outcome: &Outcome, attempts, since, now| {
        patience().settle(update, outcome, (attempts, since), 0, now)
    };
    assert_eq!(settle(&busy(60), 0, 0, 0), Settled::Again(60_000));
    assert_eq!(settle(&busy(1), 5, 0, 0), Settled::Again(32_000));
    assert_eq!(settle(&busy(u64::MAX), 0, 0, 0), Settled::Again(300_000));
    assert_eq!(settle(&busy(0), 99, 0, 0), Settled::Again(300_000));
    assert_eq!(settle(&busy(0), 0, 0, 3_600_000), Settled::Dead);
    assert_eq!(settle(&answered(201, ""), 9, 0, i64::MAX), Settled::Done);
    let gone = answered(404, "{\"code\":\"20\",\"error\":\"x\"}");
    assert_eq!(settle(&gone, 0, 0, 0), Settled::Dead);
    let end = operation("requestInvalidateFederatedID");
    assert_eq!(patience().settle(end, &gone, (0, 0), 0, 0), Settled::Done);
}

proptest! {
    /// Whatever a target answers, the verdict fits the contract, and nothing overflows.
    #[test]
    fn any_answer_has_a_verdict(
        status in 100..600_u16,
        body in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..40),
            (0..300_u16).prop_map(|code| format!("{{\"code\":\"{code}\",\"error\":\"x\"}}").into_bytes()),
        ],
        retry in proptest::option::of(any::<u64>()),
        which in 0..9_usize,
        attempts in any::<u32>(),
        since in any::<i64>(),
        now in any::<i64>(),
    ) {
        let operation = Operation::all().nth(which).unwrap();
        let answer = Answer {
            status: StatusCode::from_u16(status).unwrap(),
            kind: String::new(),
            retry_after: retry,
            body,
        };
        let code = answer.code();
        let outcome = Outcome::Answered(answer);
        let verdict = judge(operation, &outcome);
        prop_assert_eq!(verdict == Verdict::Done, (200..300).contains(&status));
        if verdict == Verdict::Refused {
            prop_assert!(code.is_some() && (400..500).contains(&status));
        }
        if decide(operation, true, &outcome) == Decision::Keep {
            prop_assert_eq!(operation.delivery(), Delivery::Kept);
        }
        let settled = patience().settle(operation, &outcome, (attempts, since), 255, now);
        if let Settled::Again(at) = settled {
            prop_assert!(at >= now);
            prop_assert!(at.saturating_sub(now) <= 376_000);
        }
    }
}
