//! What a CMP may do wrong, one rule each (docs/judge.md has the list).

use crate::aid1::variant::{Variant, bare, body_of, json as change, mended, refusal};
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
                bare(answer, 201);
            }
        },
    ),
    Variant::answer(
        "header-case",
        "R-5.1-8",
        "knows header names in lower case only",
        |call, answer| {
            if call.headers.iter().any(|(name, _)| name == "CLIENT-ID") {
                refusal(answer, 422, "91", "Invalid request syntax");
            }
        },
    ),
    Variant::call(
        "any-type",
        "R-6-1",
        "takes bodies of any content type",
        |call| {
            if call.body.is_some() {
                *call = call.clone().set("content-type", "application/json");
            }
        },
    ),
    Variant::answer(
        "any-key",
        "R-6-2",
        "takes calls without credentials",
        |call, answer| {
            if call.header("api-key").is_none() && call.header("authorization").is_none() {
                bare(answer, 201);
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
        "number-code",
        "R-5.5-1",
        "sends code as a number",
        |_, answer| {
            if answer.status >= 400 {
                change(&mut answer.body, |body| body["code"] = json!(91));
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
        "placeholder",
        "R-5.5-6",
        "leaves %s in its texts",
        |_, answer| {
            if answer.status >= 400 {
                change(&mut answer.body, |body| {
                    body["error"] = json!("The profile with the ICCID %s could not be found");
                });
            }
        },
    ),
    Variant::answer(
        "strict-members",
        "R-B-1",
        "refuses members that it does not know",
        |call, answer| {
            if body_of(call).get("x-judge").is_some() {
                refusal(answer, 422, "91", "Invalid request syntax");
            }
        },
    ),
    Variant::answer(
        "chatty",
        "R-B-8",
        "has a body in its successes",
        |_, answer| {
            if answer.status == 201 {
                answer.body = b"{\"ok\":true}".to_vec();
            }
        },
    ),
    Variant::answer(
        "plain-number",
        "R-7.3-9",
        "takes phone numbers in plain text",
        |call, answer| {
            let body = body_of(call);
            let number = body["phoneNumber"].as_str().unwrap_or_default();
            if number.starts_with("4917") {
                bare(answer, 201);
            }
        },
    ),
    Variant::answer(
        "own-kinds",
        "R-7.3-12",
        "takes other subscription types",
        |call, answer| {
            if body_of(call)["subscriptionType"] == "platinum" {
                bare(answer, 201);
            }
        },
    ),
    Variant::answer(
        "two-tokens",
        "R-5.3-3",
        "takes a second token for an account id",
        |_, answer| {
            if answer.status == 422 {
                bare(answer, 201);
            }
        },
    ),
    Variant::answer(
        "unknown-end",
        "R-7.4-5",
        "takes the end of tokens of nobody",
        |_, answer| {
            if answer.status == 404 {
                bare(answer, 204);
            }
        },
    ),
    Variant::answer(
        "update-200",
        "R-7.6-4",
        "answers an update with 200",
        |call, answer| {
            if call.method == "PATCH" && answer.status == 201 {
                bare(answer, 200);
            }
        },
    ),
    Variant::answer(
        "path-400",
        "R-7.6-5",
        "refuses a malformed token with 400",
        |_, answer| {
            if answer.status == 422 {
                answer.status = 400;
            }
        },
    ),
    Variant::answer(
        "any-request",
        "R-7.7.2.1-2",
        "takes codes for requests that nobody made",
        |call, answer| {
            if call.target.contains("/activation-codes/") {
                bare(answer, 200);
            }
        },
    ),
    Variant::got(
        "other-type",
        "R-7.7-3",
        "asks for the profile type Personal",
        |got| {
            change(&mut got.body, |body| {
                body["profileType"] = json!("Personal");
            });
        },
    ),
    Variant::got(
        "no-candidate",
        "R-7.7-8",
        "leaves replaceIccid out",
        |got| {
            change(&mut got.body, |body| {
                body.as_object_mut()
                    .map(|members| members.remove("replaceIccid"));
            });
        },
    ),
    Variant::got("wrong-eid", "R-7.7-6", "names another EID", |got| {
        change(&mut got.body, |body| {
            body["eid"] = json!("89049032000000000000000000000000");
        });
    }),
    Variant::got("no-key", "R-6-3", "calls without its API key", |got| {
        got.headers
            .0
            .retain(|(name, _)| !name.eq_ignore_ascii_case("api-key"));
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
    Variant::got(
        "null-request",
        "R-7.7-7",
        "sends null as activationCodeRequestID",
        |got| {
            change(&mut got.body, |body| {
                body["activationCodeRequestID"] = Value::Null;
            });
        },
    ),
];
