//! What an MSP may do wrong, one rule each (docs/judge.md has the list).

use crate::aid1::variant::{Variant, bare, json as change, mended};
use serde_json::{Value, json};

pub(super) const VARIANTS: &[Variant] = &[
    Variant::call(
        "no-request-id",
        "R-5.1-1",
        "takes calls without a valid CMP-request-id",
        |call| mended(call, "cmp-request-id"),
    ),
    Variant::call(
        "no-correlation-id",
        "R-5.1-2",
        "takes calls without a valid correlation-id",
        |call| mended(call, "correlation-id"),
    ),
    Variant::answer(
        "any-client",
        "R-5.1-5",
        "takes calls of a client-id that it does not know",
        |call, answer| {
            if call
                .header("client-id")
                .is_some_and(|id| id.starts_with("nobody"))
            {
                bare(answer, 200);
            }
        },
    ),
    Variant::answer(
        "any-key",
        "R-6-3",
        "takes calls without credentials",
        |call, answer| {
            if call.header("api-key").is_none() && call.header("authorization").is_none() {
                bare(answer, 200);
            }
        },
    ),
    Variant::answer(
        "plain-text",
        "R-5.5-1",
        "refuses in plain text",
        |_, answer| {
            if answer.status >= 400 {
                answer.body = b"Bad Request".to_vec();
            }
        },
    ),
    Variant::answer(
        "own-code",
        "R-5.5-4",
        "sends codes that no table has",
        |_, answer| {
            if answer.status >= 400 {
                change(&mut answer.body, |body| body["code"] = json!("7"));
            }
        },
    ),
    Variant::answer(
        "unknown-end",
        "R-7.9-4",
        "takes the end of tokens of nobody",
        |_, answer| {
            if answer.status == 404 {
                bare(answer, 204);
            }
        },
    ),
    Variant::answer(
        "unknown-status",
        "R-7.8-5",
        "takes statuses of tokens of nobody",
        |_, answer| {
            if answer.status == 404 {
                bare(answer, 201);
            }
        },
    ),
    Variant::answer(
        "unknown-list",
        "R-7.10-6",
        "lists nothing for an unknown token",
        |_, answer| {
            if answer.status == 404 {
                answer.status = 200;
                answer.body = b"{\"profiles\":[]}".to_vec();
            }
        },
    ),
    Variant::answer(
        "list-status",
        "R-7.10-3",
        "lists profiles under a status that the contract does not have",
        |_, answer| {
            change(&mut answer.body, |body| {
                for profile in body["profiles"].as_array_mut().into_iter().flatten() {
                    profile["status"] = json!("suspended");
                }
            });
        },
    ),
    Variant::answer(
        "status-200",
        "R-7.8-2",
        "answers a status with 200",
        |call, answer| {
            if call.target.contains("/statuses/") && answer.status == 201 {
                answer.status = 200;
            }
        },
    ),
    Variant::answer(
        "no-swap-member",
        "R-7.7.1.1-1",
        "leaves swappedIccid out",
        |_, answer| {
            change(&mut answer.body, |body| {
                body.as_object_mut()
                    .map(|members| members.remove("swappedIccid"));
            });
        },
    ),
    Variant::answer(
        "own-code-form",
        "R-7.7.1.1-2",
        "sends a text that is no activation code",
        |_, answer| {
            change(&mut answer.body, |body| {
                if body["activationCode"].is_string() {
                    body["activationCode"] = json!("LPA:2$smdp.example.com");
                }
            });
        },
    ),
    Variant::answer(
        "early-swap",
        "R-4.3.1-11",
        "swaps a profile although a place is free",
        |_, answer| {
            change(&mut answer.body, |body| {
                if body["activationCode"].is_string() {
                    body["swappedIccid"] = json!("8988000000000000005");
                }
            });
        },
    ),
    Variant::got(
        "bad-token",
        "R-5.3-1",
        "sends a token that is no UUID",
        |got| {
            change(&mut got.body, |body| {
                body["msp_token"] = json!("not-a-uuid");
            });
        },
    ),
    Variant::got(
        "token-and-error",
        "R-7.3-5",
        "sends an error beside the token",
        |got| {
            change(&mut got.body, |body| body["error"] = json!("1000: no"));
        },
    ),
    Variant::got(
        "plain-number",
        "R-7.3-8",
        "sends the number in plain text",
        |got| {
            change(&mut got.body, |body| {
                body["phoneNumber"] = json!("491700000001");
            });
        },
    ),
    Variant::got(
        "own-kind",
        "R-7.3-12",
        "sends another subscription type",
        |got| {
            change(&mut got.body, |body| {
                body["subscriptionType"] = json!("platinum");
            });
        },
    ),
    Variant::got("no-iv", "R-7.3-3", "leaves iv out", |got| {
        change(&mut got.body, |body| {
            body.as_object_mut().map(|members| members.remove("iv"));
        });
    }),
    Variant::got(
        "wrong-client",
        "R-5.1-5/sent",
        "calls under another client-id",
        |got| {
            for (name, value) in &mut got.headers.0 {
                if name.eq_ignore_ascii_case("client-id") {
                    "SomebodyElse".clone_into(value);
                }
            }
        },
    ),
    Variant::got("no-key", "R-6-2", "calls without its API key", |got| {
        got.headers
            .0
            .retain(|(name, _)| !name.eq_ignore_ascii_case("api-key"));
    }),
    Variant::got(
        "request-id",
        "R-5.1-1/sent",
        "sends a CMP-request-id that is no UUID",
        |got| {
            for (name, value) in &mut got.headers.0 {
                if name.eq_ignore_ascii_case("cmp-request-id") {
                    "1".clone_into(value);
                }
            }
        },
    ),
    Variant::got(
        "null-kind",
        "R-7.3-12",
        "sends null as the subscription type",
        |got| {
            change(&mut got.body, |body| body["subscriptionType"] = Value::Null);
        },
    ),
];
