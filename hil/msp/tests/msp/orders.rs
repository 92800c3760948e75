//! Activation codes, synchronous and not, swaps and pools: AID.02 §4.3, §7.7.

use crate::stage::*;
use aid_id::Iccid;

// R-4.3-5, R-4.3-6, R-7.7.1-1, R-7.7.1.1-1, R-7.8-5, R-7.10-3, R-7.10-4
#[tokio::test]
async fn a_profile_is_ordered_for_the_eid_and_its_life_is_noted() {
    let stage = Stage::new("", "").await;
    let token = stage.onboard().await;
    let client = stage.client();
    assert!(
        client
            .request_profile_status(Call::new(), token, None)
            .await
            .unwrap()
            .profiles
            .is_empty()
    );
    let body = ac_request();
    let code = order(&client, token, &body).await;
    assert_eq!(code.activation_code.address(), "smdp.example:8443");
    assert_eq!(code.swapped_iccid, None);
    let iccid = code.iccid.clone().unwrap();
    assert_eq!(iccid.as_str().len(), 19);
    let calls = stage.smdp.got();
    let paths: Vec<_> = calls.iter().map(|g| g.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "/gsma/rsp2/es2plus/downloadOrder",
            "/gsma/rsp2/es2plus/confirmOrder"
        ]
    );
    assert_eq!(
        (&calls[0].body["eid"], &calls[1].body["eid"]),
        (&json!(EID), &json!(EID))
    );
    assert_eq!(
        (&calls[1].body["releaseFlag"], &calls[1].body["iccid"]),
        (&json!(true), &json!(iccid.as_str()))
    );
    assert!(calls[0].headers["x-admin-protocol"].starts_with("gsma/rsp/v2."));

    // The same activationCodeRequestID again, as a new call: the same code, no second order.
    assert_eq!(order(&client, token, &body).await, code);
    assert_eq!(stage.smdp.got().len(), 2);

    let state = |p: ProfileState| vec![(iccid.clone(), p)];
    let listed = async || -> Vec<_> {
        let all = client
            .request_profile_status(Call::new(), token, None)
            .await
            .unwrap();
        all.profiles
            .into_iter()
            .map(|p| (p.iccid, p.status))
            .collect()
    };
    assert_eq!(listed().await, state(ProfileState::Prepared));
    let status = |status| SendCsimStatus {
        iccid: iccid.clone(),
        eid: body.eid.into(),
        status,
    };
    for kind in [CsimStatus::Installed, CsimStatus::Enabled] {
        client
            .send_csim_status(Call::new(), token, &status(kind))
            .await
            .unwrap();
        assert_eq!(listed().await, state(ProfileState::Installed));
    }
    let unknown = SendCsimStatus {
        iccid: "8944500805172032953".parse().unwrap(),
        ..status(CsimStatus::Deleted)
    };
    assert_eq!(
        code_of(client.send_csim_status(Call::new(), token, &unknown).await),
        (404, "61".into())
    );
    assert_eq!(
        code_of(
            client
                .request_profile_status(Call::new(), token, Some(&unknown.iccid))
                .await
        ),
        (404, "61".into())
    );
    client
        .send_csim_status(Call::new(), token, &status(CsimStatus::Deleted))
        .await
        .unwrap();
    assert!(listed().await.is_empty());
    let statuses = stage.msp.command(&["status", "list", "--json"]);
    let words: Vec<_> = statuses
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["status"].as_str().unwrap())
        .collect();
    assert_eq!(words, ["installed", "enabled", "deleted"]);
    assert_eq!(
        (&statuses[0]["user"], &statuses[0]["eid"]),
        (&json!("alice"), &json!(EID))
    );
    assert_eq!(
        stage.msp.command(&["profile", "list", "--json"])[0]["state"],
        "deleted"
    );
}

// R-7.7.2-1, R-7.7.2-2, R-7.7.2-3, R-5.1-2
#[tokio::test]
async fn an_asynchronous_answer_follows_until_it_is_delivered() {
    let stage = Stage::new("mode = \"async\"", "").await;
    let token = stage.onboard().await;
    stage.cmp.answer(|_, before| {
        if before == 0 {
            (500, json!({"code": "90", "error": "x"}))
        } else {
            (200, Value::Null)
        }
    });
    let (call, body) = (Call::new(), ac_request());
    let client = stage.client();
    assert_eq!(
        client.request_activation_code(call, token, &body).await,
        Ok(Activation::Later)
    );
    assert!(stage.smdp.got().is_empty(), "nothing before the 201");
    let got = stage.cmp.wait_for("/activation-codes/", 2).await;
    assert_eq!(
        got[1].path,
        format!("/cesim/msp/v1/activation-codes/{token}")
    );
    assert_eq!(
        got[0].headers["cmp-request-id"],
        got[1].headers["cmp-request-id"]
    );
    assert_eq!(
        got[1].headers["correlation-id"],
        call.correlation_id.to_string()
    );
    assert_eq!(
        got[1].body["activationCodeRequestID"],
        body.request_id.to_string()
    );
    assert!(
        got[1].body["activationCode"]
            .as_str()
            .unwrap()
            .starts_with("1$smdp.example:8443$M-")
    );
    assert_eq!(got[1].body["error"], Value::Null);

    stage.smdp.answer(|_, _| (200, refused("8.2.6", "3.8")));
    let failed = ac_request();
    client
        .request_activation_code(Call::new(), token, &failed)
        .await
        .unwrap();
    let got = stage.cmp.wait_for("/activation-codes/", 3).await;
    assert!(got[2].body["error"].as_str().unwrap().starts_with("49: "));
    assert_eq!(
        got[2].body["activationCodeRequestID"],
        failed.request_id.to_string()
    );
}

// R-7.7.1-3: what cannot be had in time comes later, also over a crash.
#[tokio::test]
async fn a_slow_order_becomes_asynchronous_and_survives_a_crash() {
    let stage = Stage::new("", "").await;
    let token = stage.onboard().await;
    stage.smdp.answer(|_, _| (0, json!(4000)));
    let body = ac_request();
    let outcome = stage
        .client()
        .request_activation_code(Call::new(), token, &body)
        .await;
    assert_eq!(outcome, Ok(Activation::Later));
    let config = stage.folder.path("msp.toml");
    stage.msp.kill();
    stage.smdp.answer(|got, _| (200, smdp(got)));
    let msp = Program::start(&config);
    let got = stage.cmp.wait_for("/activation-codes/", 1).await;
    assert_eq!(
        got[0].body["activationCodeRequestID"],
        body.request_id.to_string()
    );
    assert!(got[0].body["activationCode"].is_string());
    msp.stop();
}

// R-4.3.1-10 to R-4.3.1-15, R-4.3.1-19
#[tokio::test]
async fn the_last_slot_is_swapped() {
    let stage = Stage::new("", "max_profiles = 2").await;
    let token = stage.onboard().await;
    let client = stage.client();
    let mut iccids = Vec::new();
    for _ in 0..2 {
        let code = order(
            &client,
            token,
            &RequestActivationCode {
                replace_iccid: iccids.first().cloned(),
                ..ac_request()
            },
        )
        .await;
        assert_eq!(code.swapped_iccid, None);
        iccids.push(code.iccid.unwrap());
    }
    for iccid in &iccids {
        let status = SendCsimStatus {
            iccid: iccid.clone(),
            eid: EID.into(),
            status: CsimStatus::Enabled,
        };
        client
            .send_csim_status(Call::new(), token, &status)
            .await
            .unwrap();
    }
    // The usable candidate, although it is not the least recently used.
    let third = order(
        &client,
        token,
        &RequestActivationCode {
            replace_iccid: Some(iccids[1].clone()),
            ..ac_request()
        },
    )
    .await;
    assert_eq!(third.swapped_iccid.as_ref(), Some(&iccids[1]));
    // A candidate that is not ours, and none: the least recently used.
    let strange = Some("8944500805172032953".parse().unwrap());
    let fourth = order(
        &client,
        token,
        &RequestActivationCode {
            replace_iccid: strange,
            ..ac_request()
        },
    )
    .await;
    assert_eq!(fourth.swapped_iccid.as_ref(), Some(&iccids[0]));
    let fifth = order(&client, token, &ac_request()).await;
    assert_eq!(fifth.swapped_iccid, third.iccid);
    let listed = client
        .request_profile_status(Call::new(), token, None)
        .await
        .unwrap();
    assert_eq!(listed.profiles.len(), 2);
    // The third was never downloaded: its order is cancelled.
    let cancelled = stage.smdp.wait_for("/cancelOrder", 1).await;
    assert_eq!(cancelled[0].body["iccid"], third.iccid.unwrap().as_str());
}

#[tokio::test]
async fn a_pool_of_iccids_is_used_up_in_order() {
    let stage = Stage::new(
        "",
        "iccids = [\"8944500805172032953\", \"8944500805172032961\"]",
    )
    .await;
    let token = stage.onboard().await;
    let client = stage.client();
    assert_eq!(
        order(&client, token, &ac_request())
            .await
            .iccid
            .unwrap()
            .as_str(),
        "8944500805172032953"
    );
    assert_eq!(
        order(&client, token, &ac_request())
            .await
            .iccid
            .unwrap()
            .as_str(),
        "8944500805172032961"
    );
    assert_eq!(
        code_of(
            client
                .request_activation_code(Call::new(), token, &ac_request())
                .await
        ),
        (422, "49".into())
    );
    assert_eq!(stage.smdp.got()[0].body["iccid"], "8944500805172032953");
}

// R-4.6-3, R-7.10-2, R-7.10-3, R-7.10-5: the MSP lists what it has not deleted, as the contract has it, and an echo of what
// it was told is no knowledge of its own.
#[tokio::test]
async fn the_msp_lists_what_it_has_and_nothing_else() {
    let stage = Stage::new("", "max_profiles = 3").await;
    let token = stage.onboard().await;
    let client = stage.client();
    let mut iccids = Vec::new();
    for _ in 0..4 {
        let code = order(&client, token, &ac_request()).await;
        iccids.push(code.iccid.unwrap());
    }
    // The fourth has taken the place of the first.
    let tell = async |iccid: &Iccid, status| {
        let status = SendCsimStatus {
            iccid: iccid.clone(),
            eid: EID.into(),
            status,
        };
        client.send_csim_status(Call::new(), token, &status).await
    };
    for status in [CsimStatus::Installed, CsimStatus::Enabled] {
        tell(&iccids[1], status).await.unwrap();
    }
    tell(&iccids[2], CsimStatus::Deleted).await.unwrap();
    let listed = client.request_profile_status(Call::new(), token, None);
    let mut listed: Vec<_> = listed
        .await
        .unwrap()
        .profiles
        .into_iter()
        .map(|p| (p.iccid, p.status))
        .collect();
    listed.sort_by_key(|(iccid, _)| iccid.to_string());
    let mut expected = vec![
        (iccids[1].clone(), ProfileState::Installed),
        (iccids[3].clone(), ProfileState::Prepared),
    ];
    expected.sort_by_key(|(iccid, _)| iccid.to_string());
    assert_eq!(listed, expected);
    for (n, iccid) in iccids.iter().enumerate() {
        let one = client.request_profile_status(Call::new(), token, Some(iccid));
        match one.await {
            Ok(list) => assert!([1, 3].contains(&n) && list.profiles.len() == 1, "{n}"),
            Err(error) => {
                assert!([0, 2].contains(&n), "{n}: {error}");
                assert_eq!(code_of::<()>(Err(error)), (404, "61".into()));
            }
        }
    }
    // What was swapped may be on a card: it is not given again.
    let fifth = order(&client, token, &ac_request()).await.iccid.unwrap();
    assert!(!iccids.contains(&fifth));
}

// R-7.8-1: a report whose EID is none is kept as it came; the ICCID says which profile it is.
#[tokio::test]
async fn a_report_with_a_malformed_eid_is_kept() {
    let stage = Stage::new("", "").await;
    let token = stage.onboard().await;
    let client = stage.client();
    let iccid = order(&client, token, &ac_request()).await.iccid.unwrap();
    for (n, eid) in ["", "8904903200000100000000083193405", "unknown"]
        .into_iter()
        .enumerate()
    {
        let status = SendCsimStatus {
            iccid: iccid.clone(),
            eid: eid.into(),
            status: CsimStatus::Installed,
        };
        client
            .send_csim_status(Call::new(), token, &status)
            .await
            .unwrap();
        let kept = stage.msp.command(&["status", "list", "--json"]);
        assert_eq!(kept[n]["eid"], eid);
    }
    assert_eq!(
        stage.msp.command(&["profile", "list", "--json"])[0]["state"],
        "installed"
    );
    let metrics = crate::attempts::metrics(&stage).await;
    let counted = r#"aid_msp_deviations_total{cmp="CmpOne",kind="eid"} 3"#;
    assert!(metrics.contains(counted), "{metrics}");
}

// R-5.1-9: what was not agreed with a CMP is refused; no operation of an MSP has a 403.
#[tokio::test]
async fn a_cmp_calls_only_what_was_agreed() {
    let stage = Stage::new("operations = [\"requestActivationCode\"]", "").await;
    let token = stage.onboard().await;
    let client = stage.client();
    order(&client, token, &ac_request()).await;
    let listed = client
        .request_profile_status(Call::new(), token, None)
        .await;
    assert_eq!(code_of(listed), (401, "104".into()));
    let ended = client.request_invalidate(Call::new(), token).await;
    assert_eq!(code_of(ended), (401, "104".into()));
}

// R-5.4-1: a profile that can't be named on AID1 is refused by its name: one of the subscription's own before it is ordered,
// one that the SM-DP+ has chosen with its reservation cancelled.
#[tokio::test]
async fn a_profile_with_a_short_iccid_is_not_given() {
    let short = "894450080517203295";
    for (own, orders) in [(true, 0), (false, 1)] {
        let more = match own {
            true => format!("iccids = [\"{short}\"]"),
            false => String::new(),
        };
        let stage = Stage::new("", &more).await;
        let token = stage.onboard().await;
        stage.smdp.answer(move |got, _| {
            let mut answer = smdp(got);
            if got.path.contains("downloadOrder") {
                answer["iccid"] = json!(short);
            }
            (200, answer)
        });
        let client = stage.client();
        let body = ac_request();
        let asked = client.request_activation_code(Call::new(), token, &body);
        let error = asked.await.unwrap_err();
        let (status, body) = error.refusal().unwrap();
        let body = body.unwrap();
        assert_eq!((status.as_u16(), body.code.as_str()), (422, "49"));
        assert!(body.error.contains(short), "{}", body.error);
        let got = stage.smdp.got();
        let ordered = got.iter().filter(|g| g.path.contains("downloadOrder"));
        assert_eq!(ordered.count(), orders);
        assert!(got.iter().all(|g| !g.path.contains("confirmOrder")));
        let cancelled = got.iter().filter(|g| g.path.contains("cancelOrder"));
        assert_eq!(cancelled.count(), orders);
    }
}

// R-5.4-1: where the CMP agreed to it, such a profile is ordered, and may be named by that CMP.
#[tokio::test]
async fn a_profile_with_a_short_iccid_is_given_where_that_was_agreed() {
    let short = "894450080517203295";
    for own in [true, false] {
        let more = match own {
            true => format!("iccids = [\"{short}\"]"),
            false => String::new(),
        };
        let stage = Stage::new("short_iccids = true", &more).await;
        let token = stage.onboard().await;
        stage.smdp.answer(move |got, _| {
            let mut answer = smdp(got);
            if got.path.contains("downloadOrder") {
                answer["iccid"] = json!(short);
            }
            (200, answer)
        });
        let body = ac_request();
        let lenient = MspClient::new(Settings {
            iccids: aid_aid1::body::Iccids::Short,
            ..stage.settings()
        });
        let client = lenient.unwrap();
        let asked = client.request_activation_code(Call::new(), token, &body);
        let Activation::Now(code) = asked.await.unwrap() else {
            panic!("the code comes at once");
        };
        assert_eq!(code.iccid.unwrap().as_str(), short);
        let status = SendCsimStatus {
            iccid: short.parse().unwrap(),
            eid: body.eid.into(),
            status: CsimStatus::Installed,
        };
        let told = client.send_csim_status(Call::new(), token, &status);
        told.await.unwrap();
        let asked = short.parse().unwrap();
        let listed = client.request_profile_status(Call::new(), token, Some(&asked));
        assert_eq!(listed.await.unwrap().profiles.len(), 1);
    }
}
