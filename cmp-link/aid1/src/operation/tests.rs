use std::collections::BTreeSet;

use http::Method;
use serde_json::Value;

use super::*;
use crate::body::{Iccids, RequestActivationCode, UpdateSubscriptionInfo};

fn contracts() -> impl Iterator<Item = &'static Contract> {
    let cmp = CmpOperation::ALL.iter().map(|one| one.contract());
    cmp.chain(MspOperation::ALL.iter().map(|one| one.contract()))
}

// R-7-1, R-7.3-1, R-7.4-1, R-7.5-1, R-7.6-1, R-7.7-1, R-7.8-1, R-7.9-1, R-7.10-1
#[test]
fn paths_are_operations() {
    use CmpOperation::{NotifyTokenInvalid, SendMspToken, SendProfileInformation};
    for (path, found) in [
        ("/cesim/msp/v1/users/a.b-c_", (SendMspToken, "a.b-c_")),
        (
            "/cesim/msp/v1/users/invalidate",
            (SendMspToken, "invalidate"),
        ),
        (
            "/cesim/msp/v1/users/x/invalidate",
            (NotifyTokenInvalid, "x"),
        ),
        (
            "/cesim/msp/v1/users/x/profiles",
            (SendProfileInformation, "x"),
        ),
    ] {
        assert_eq!(CmpOperation::at(path), Some(found), "{path}");
        assert_eq!(MspOperation::at(path), None, "{path}");
    }
    assert_eq!(
        MspOperation::at("/v1/profiles/status/%61"),
        Some((MspOperation::RequestProfileStatus, "%61"))
    );
    for nothing in [
        "/",
        "",
        "*",
        "/v1",
        "/v1/",
        "/v1/x",
        "/v1/users",
        "/v1/users/x/",
        "/v1/users/x/y",
        "/v1/statuses/a/b",
        "//v1/users/x",
        "/V1/users/x",
        "/v2/users/x",
        "/cesim/msp/v1/users/x/other",
        "/cesim/msp/v1/users/",
        "/cesim/msp/v1/users//invalidate",
        "/cesim/msp/v1/users/x/y/invalidate",
        "/v1/users/",
    ] {
        let found = (CmpOperation::at(nothing), MspOperation::at(nothing));
        assert_eq!(found, (None, None), "{nothing}");
    }
}

// R-B-8: of all successes two have a body, and every refusal has the one of §5.5.
#[test]
fn two_successes_have_a_body() {
    let successes = contracts().flat_map(|c| c.successes.iter().map(move |s| (c.id, s)));
    let with_body: Vec<_> = successes
        .filter_map(|(id, s)| Some((id, s.status.as_u16(), s.body?.name)))
        .collect();
    assert_eq!(
        with_body,
        [
            ("requestActivationCode", 200, "ActivationCodeResponse"),
            (
                "requestProfileStatus",
                200,
                "RequestProfileStatusResponseBody"
            ),
        ]
    );
    fn errors<A: Api>() {
        let document: Value = serde_json::from_str(&crate::contract::openapi::<A>()).unwrap();
        for contract in A::ALL.iter().map(|o| o.contract()) {
            let method = contract.method.as_str().to_lowercase();
            let operation = &document["paths"][contract.path.to_string()][&method];
            for refusal in contract.refusals {
                let answer = &operation["responses"][refusal.status.as_str()];
                let schema = answer["content"]["application/json"]["schema"].to_string();
                assert!(
                    schema.contains("Error"),
                    "{} {}: {answer}",
                    contract.id,
                    refusal.status
                );
            }
        }
    }
    errors::<CmpOperation>();
    errors::<MspOperation>();
}

// What a client sends, the server of the other side finds.
#[test]
fn a_path_leads_back_to_its_operation() {
    fn check<A: Api>() {
        for operation in A::ALL {
            let path = operation.contract().path;
            for text in ["3d8db5e5-dd84-40bf-836c-bb686f9f707e", "a.b-c_d"] {
                assert_eq!(A::at(&path.with(text)), Some((*operation, text)));
            }
            // Nothing in the variable reaches another operation.
            let odd = path.with("x/invalidate?a=b#c");
            assert_eq!(
                A::at(&odd),
                Some((*operation, "x%2Finvalidate%3Fa%3Db%23c"))
            );
        }
        let resources: BTreeSet<_> = A::ALL
            .iter()
            .map(|o| o.contract().path.resource())
            .collect();
        assert_eq!(resources.len(), A::ALL.len());
    }
    check::<CmpOperation>();
    check::<MspOperation>();
    // Digests of answered requests are stored with it: renamed, a repetition would be refused.
    let resources = CmpOperation::ALL
        .iter()
        .map(|o| o.contract().path.resource());
    let stored = [
        "activation-codes",
        "subscriptions",
        "users",
        "invalidate",
        "profiles",
    ];
    assert_eq!(resources.collect::<Vec<_>>(), stored);
}

/// Compares the type of each operation with Annex B.
fn is_annex_b<A: Api>(file: &str) {
    let Some(text) = aid_needs::shared_text(&format!("spec/annexB/effective/{file}")) else {
        return;
    };
    let document: Value = serde_json::from_str(&text).unwrap();
    let paths = document["paths"].as_object().unwrap();
    assert_eq!(paths.len(), A::ALL.len());
    for contract in A::ALL.iter().map(|operation| operation.contract()) {
        let method = contract.method.as_str().to_lowercase();
        let theirs = &paths[&contract.path.to_string()][&method];
        assert_eq!(theirs["operationId"], contract.id);
        let listed: BTreeSet<_> = theirs["responses"].as_object().unwrap().keys().collect();
        let successes = contract.successes.iter().map(|s| s.status);
        let refusals = contract.refusals.iter().map(|r| r.status);
        let mut ours: BTreeSet<_> = successes.chain(refusals).map(|s| s.to_string()).collect();
        ours = ours.iter().map(|s| s[..3].to_owned()).collect();
        ours.insert("default".into());
        assert_eq!(ours.iter().collect::<BTreeSet<_>>(), listed, "{contract}");
        for success in contract.successes {
            assert!(success.status.is_success());
            let content = &theirs["responses"][success.status.as_str()]["content"];
            let name = content["application/json"]["schema"]["$ref"].as_str();
            let name = name.map(|name| name.rsplit('/').next().unwrap());
            assert_eq!(name, success.body.map(|body| body.name), "{contract}");
        }
        let body = &theirs["requestBody"]["content"]["application/json"]["schema"]["$ref"];
        let name = body.as_str().map(|name| name.rsplit('/').next().unwrap());
        assert_eq!(name, contract.request.map(|body| body.name), "{contract}");
        let parameters = theirs["parameters"].as_array().unwrap();
        let named = |place: &str| {
            let found = parameters.iter().find(|p| p["in"] == place);
            found.map(|p| p["name"].as_str().unwrap().to_owned())
        };
        assert_eq!(named("path").unwrap(), contract.path.variable.name());
        assert_eq!(named("query").as_deref(), contract.query, "{contract}");
    }
}

// R-B-1, R-7-2
#[test]
fn the_cmps_operations_are_those_of_annex_b() {
    is_annex_b::<CmpOperation>("cmp-cesim-msp.openapi.json");
}

// R-B-2, R-7-2
#[test]
fn the_msps_operations_are_those_of_annex_b() {
    is_annex_b::<MspOperation>("msp-cesim-cmp.openapi.json");
}

// R-5.5-4, R-5.5-5: a code belongs to an operation under the status of our mapping, or to a redirect.
#[test]
fn every_code_has_its_operations_and_its_status() {
    let mut listed = BTreeSet::new();
    for contract in contracts() {
        for refusal in contract.refusals {
            for code in refusal.codes {
                listed.insert(*code);
                let usual = code.status() == refusal.status;
                let own = match refusal.status.as_u16() {
                    400 => contract.id == "notifyMspTokenInvalid",
                    403 => *code == ErrorCode::Unauthorized,
                    423 => *code == ErrorCode::ActivationCodeOther,
                    _ => false,
                };
                assert!(usual || own, "{contract} {} {code}", refusal.status);
            }
        }
    }
    let others = ErrorCode::ALL.iter().filter(|code| !listed.contains(code));
    let others: Vec<_> = others.map(|code| code.number()).collect();
    assert_eq!(others, [100, 101, 102, 103], "codes of redirects only");
}

// R-5.5-5: whatever a server's code says, an operation answers with a status that it has.
#[test]
fn refusals_have_a_status_of_their_operation() {
    for contract in contracts() {
        let lists = |status| contract.refusals.iter().any(|r| r.status == status);
        for code in contract.refusals.iter().flat_map(|r| r.codes) {
            for status in [401, 403, 404, 422, 423, 500] {
                let status = StatusCode::from_u16(status).unwrap();
                let refusal = contract.refusal(ApiError::new(*code).with_status(status));
                assert!(lists(refusal.status), "{contract} {status} {code}");
                assert_eq!(refusal.code, *code);
            }
            // A listed status stays, and so do those of HTTP itself.
            for refusal in contract.refusals.iter().filter(|r| r.codes.contains(code)) {
                let error = ApiError::new(*code).with_status(refusal.status);
                assert_eq!(contract.refusal(error.clone()), error);
            }
            for status in [405, 408, 413, 414, 415, 429, 431, 503] {
                let status = StatusCode::from_u16(status).unwrap();
                let refusal = contract.refusal(ApiError::new(*code).with_status(status));
                assert_eq!(refusal.status, status);
            }
        }
    }
}

// R-5.1-6: the answer to a wrong target-id is one that the operation has.
#[test]
fn a_wrong_target_is_403_only_where_there_is_403() {
    let wrong = || ApiError::new(ErrorCode::Unauthorized).with_status(StatusCode::FORBIDDEN);
    let forbidden: Vec<_> = contracts()
        .filter(|contract| contract.refusal(wrong()).status == StatusCode::FORBIDDEN)
        .map(|contract| contract.name)
        .collect();
    let expected = [
        "Update Subscription Info",
        "Send MSP Token",
        "Send Profile Information",
    ];
    assert_eq!(forbidden, expected);
    for contract in contracts().filter(|contract| !forbidden.contains(&contract.name)) {
        assert_eq!(contract.refusal(wrong()).status, StatusCode::UNAUTHORIZED);
    }
}

// R-5.5-5, R-5.5-8: what ends the repetitions of a caller.
#[test]
fn only_a_word_about_the_request_is_final() {
    let (not_found, wrong) = (StatusCode::NOT_FOUND, StatusCode::UNPROCESSABLE_ENTITY);
    for contract in contracts() {
        // A server says 65 of a path that is no operation, too.
        let about_profiles = [
            "sendProfileInformation",
            "sendCsimStatus",
            "requestProfileStatus",
        ];
        let expected = about_profiles.contains(&contract.id);
        assert_eq!(contract.refuses(not_found, 65), expected, "{contract}");
        let notify = contract.id == "notifyMspTokenInvalid";
        for agreed in [22, 91, 200, 300] {
            assert_eq!(contract.refuses(wrong, agreed), !notify, "{contract}");
            assert_eq!(contract.refuses(StatusCode::BAD_REQUEST, agreed), notify);
        }
        for (status, code) in [
            (401, 20),
            (403, 20),
            (404, 90),
            (404, 93),
            (500, 20),
            (503, 20),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert!(
                !contract.refuses(status, code),
                "{contract} {status} {code}"
            );
        }
    }
}

// R-7.10-2, R-7.10-6
#[test]
fn the_query_of_request_profile_status_is_read_as_it_is_written() {
    let read = |query: &str| RequestProfileStatus::from_query(query, Iccids::Standard);
    let one = RequestProfileStatus {
        iccid: Some("8944500805172032953".parse().unwrap()),
    };
    assert_eq!(read(&one.query().unwrap()), Ok(one.clone()));
    assert_eq!(read("a=b&iccid=8944500805172032953"), Ok(one));
    for all in ["", "a=b", "xiccid=1"] {
        assert_eq!(read(all), Ok(RequestProfileStatus::default()), "{all}");
    }
    for (bad, expected) in [
        ("iccid=", (404, 61)),
        ("iccid=894450080517203295", (404, 61)),
        (
            "iccid=8944500805172032953&iccid=8944500805172032953",
            (422, 91),
        ),
    ] {
        let error = read(bad).unwrap_err();
        assert_eq!(
            (error.status.as_u16(), error.code.number()),
            expected,
            "{bad}"
        );
    }
}

// R-7.7-9, R-7.9-4, R-7.10-1: status and body of each success as the servers send it.
#[test]
fn successes_have_the_status_of_the_contract() {
    assert_eq!(
        RequestActivationCode::success(&Activation::Later),
        (StatusCode::CREATED, String::new())
    );
    assert_eq!(
        RequestInvalidate::success(&()),
        (StatusCode::NO_CONTENT, String::new())
    );
    assert_eq!(
        RequestProfileStatus::success(&ProfileStatuses::default()),
        (StatusCode::OK, r#"{"profiles":[]}"#.to_owned())
    );
    let patches: Vec<_> = contracts().filter(|c| c.method == Method::PATCH).collect();
    assert_eq!(patches, [UpdateSubscriptionInfo::CONTRACT]);
    assert_eq!(patches[0].success(), StatusCode::CREATED);
}
