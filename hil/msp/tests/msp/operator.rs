//! What the operator of the MSP does, and what they have agreed: suspension, defects, eligibility, swaps, keys, ES2+.

use crate::stage::*;

fn words(list: &Value, name: &str) -> Vec<String> {
    list.as_array()
        .unwrap()
        .iter()
        .map(|row| row[name].as_str().unwrap().to_owned())
        .collect()
}

// R-4.7-2, R-7.5-3, R-7.5-8: a block, and its end.
#[tokio::test]
async fn a_suspended_subscription_has_no_network_and_no_codes() {
    let stage = Stage::new("", "").await;
    let token = stage.onboard().await;
    let client = stage.client();
    let iccid = order(&client, token, &ac_request()).await.iccid.unwrap();
    // What happens every day in a car is no reason to call: the block below is the first call.
    for status in [
        CsimStatus::Installed,
        CsimStatus::Enabled,
        CsimStatus::Disabled,
    ] {
        let body = SendCsimStatus {
            iccid: iccid.clone(),
            eid: EID.into(),
            status,
        };
        let told = client.send_csim_status(Call::new(), token, &body).await;
        told.unwrap();
    }
    stage
        .msp
        .command(&["subscription", "suspend", "alice", "--reason", "bill"]);
    let got = stage.cmp.wait_for("/profiles", 1).await;
    assert_eq!(
        got[0].body,
        json!({"profiles": [{"iccid": iccid.as_str(), "status": "suspended", "reason": "bill"}]})
    );
    assert_eq!(
        stage.msp.command(&["profile", "list", "--json"])[0]["network"],
        false
    );
    let refused = client
        .request_activation_code(Call::new(), token, &ac_request())
        .await;
    assert_eq!(code_of(refused), (422, "49".into()));
    // Blocked is not gone: it still takes its slot, and is still listed.
    let listed = client
        .request_profile_status(Call::new(), token, None)
        .await
        .unwrap();
    assert_eq!(listed.profiles.len(), 1);
    stage.msp.command(&["subscription", "resume", "alice"]);
    let got = stage.cmp.wait_for("/profiles", 2).await;
    assert_eq!(got[1].body["profiles"][0]["status"], "valid");
    order(&client, token, &ac_request()).await;
}

// R-4.7-3, R-7.5-5, R-7.5-6, R-A.4-1, R-A.4-2: one profile dies; its slot is free.
#[tokio::test]
async fn a_defect_ends_one_profile() {
    let stage = Stage::new("", "max_profiles = 1").await;
    let token = stage.onboard().await;
    let client = stage.client();
    let iccid = order(&client, token, &ac_request()).await.iccid.unwrap();
    stage
        .msp
        .command(&["profile", "defect", iccid.as_str(), "--reason", "broken"]);
    let got = stage.cmp.wait_for("/profiles", 1).await;
    assert_eq!(got[0].body["profiles"][0]["status"], "invalid");
    assert!(
        client
            .request_profile_status(Call::new(), token, None)
            .await
            .unwrap()
            .profiles
            .is_empty()
    );
    assert_eq!(
        order(&client, token, &ac_request()).await.swapped_iccid,
        None
    );
    let output = stage.msp.fails(&["profile", "resume", iccid.as_str()]);
    assert!(output.contains("no customer has the profile"), "{output}");
}

// R-7.7-6, R-7.7-9, R-7.7-4: 423 for an EID, 422 for a device.
#[tokio::test]
async fn cars_that_are_not_eligible_get_no_code() {
    let rules = format!(
        "[eligibility]\neids = [\"8904\"]\nrefused_eids = [\"{EID}\"]\ndevice_types = [\"tcu\"]\n"
    );
    let stage = Stage::with("", "", &format!("\n{rules}")).await;
    let token = stage.onboard().await;
    let client = stage.client();
    let refused = client
        .request_activation_code(Call::new(), token, &ac_request())
        .await;
    assert_eq!(code_of(refused), (423, "49".into()));
    let eid = aid_id::Eid::with_check_digits("890490320000010000000008319399").unwrap();
    let other = RequestActivationCode {
        eid,
        device_type: "watch".into(),
        ..ac_request()
    };
    let refused = client
        .request_activation_code(Call::new(), token, &other)
        .await;
    assert_eq!(code_of(refused), (422, "49".into()));
    order(
        &client,
        token,
        &RequestActivationCode {
            eid,
            ..ac_request()
        },
    )
    .await;
    assert_eq!(
        stage.smdp.got().len(),
        2,
        "nothing is ordered for the others"
    );
}

// R-4.3.1-3, R-4.3.1-15, R-4.3.1-19: whose choice it is.
#[tokio::test]
async fn the_swap_follows_the_policy() {
    let stage = Stage::new("", "max_profiles = 2\nswap = \"own\"").await;
    let token = stage.onboard().await;
    let client = stage.client();
    let first = order(&client, token, &ac_request()).await.iccid.unwrap();
    let second = order(&client, token, &ac_request()).await.iccid.unwrap();
    let wanted = RequestActivationCode {
        replace_iccid: Some(second.clone()),
        ..ac_request()
    };
    assert_eq!(
        order(&client, token, &wanted).await.swapped_iccid,
        Some(first)
    );
    stage
        .msp
        .command(&["subscription", "update", "alice", "--swap", "refuse"]);
    let refused = client
        .request_activation_code(Call::new(), token, &ac_request())
        .await;
    assert_eq!(code_of(refused), (422, "49".into()));
    stage.smdp.wait_for("/cancelOrder", 1).await;
    let wanted = RequestActivationCode {
        replace_iccid: Some(second.clone()),
        ..ac_request()
    };
    assert_eq!(
        order(&client, token, &wanted).await.swapped_iccid,
        Some(second)
    );
}

// R-7.3-12, R-5.3-2: two subscriptions of a customer are two onboardings, with a pool of their own each.
#[tokio::test]
async fn each_subscription_has_its_own_profiles() {
    let stage = Stage::new("", "max_profiles = 1").await;
    let made = stage.msp.command(&[
        "subscription",
        "add",
        "work",
        "--user",
        "alice",
        "--msisdn",
        "4915187654321",
        "--kind",
        "business",
        "--max-profiles",
        "1",
    ]);
    assert_eq!(made[0]["subscription"], "work");
    let private = stage.onboard().await;
    let business = stage.onboard_with(Some("work")).await;
    assert_ne!(private, business);
    let client = stage.client();
    let a = order(&client, private, &ac_request()).await.iccid.unwrap();
    let b = order(&client, business, &ac_request()).await;
    assert_eq!(b.swapped_iccid, None, "n counts for each");
    assert_eq!(
        order(&client, private, &ac_request()).await.swapped_iccid,
        Some(a)
    );
    stage
        .msp
        .command(&["subscription", "withdraw", "work", "--reason", "moved"]);
    let got = stage.cmp.wait_for("/invalidate", 1).await;
    assert!(got[0].path.contains(&business.to_string()));
    order(&client, private, &ac_request()).await;
    stage.msp.command(&["subscription", "end", "alice"]);
    stage.cmp.wait_for("/invalidate", 2).await;
    let list = stage.msp.command(&["subscription", "list", "--json"]);
    assert_eq!(
        (words(&list, "subscription"), words(&list, "state")),
        (
            vec!["alice".into(), "work".into()],
            vec!["ended".into(), "active".into()]
        )
    );
    assert!(
        stage
            .msp
            .fails(&["subscription", "suspend", "alice"])
            .contains("has ended")
    );
}

// R-4.8-2, R-7.6-1
#[tokio::test]
async fn an_update_changes_and_tells() {
    let stage = Stage::new("", "").await;
    stage.onboard().await;
    stage.msp.command(&[
        "subscription",
        "update",
        "alice",
        "--msisdn",
        "4915199999999",
        "--kind",
        "business",
    ]);
    let got = stage.cmp.wait_for("/subscriptions/", 1).await;
    let text = |name: &str| got[0].body[name].as_str().unwrap().to_owned();
    let phone = EncryptedPhone {
        phone_number: text("phoneNumber"),
        iv: text("iv"),
    };
    let number = PHONE_KEY
        .parse::<PhoneKey>()
        .unwrap()
        .decrypt(&phone)
        .unwrap();
    assert_eq!(
        (number.as_str(), text("subscriptionType").as_str()),
        ("4915199999999", "business")
    );
    assert!(
        stage
            .msp
            .fails(&["subscription", "update", "alice", "--msisdn", "+1"])
            .contains("msisdn")
    );
    assert!(
        stage
            .msp
            .fails(&["subscription", "update", "nobody"])
            .contains("no subscription")
    );
}

// R-6-2, R-6-3: a new key beside the old one, without a restart.
#[tokio::test]
async fn keys_are_replaced_with_an_overlap() {
    let stage = Stage::new("", "").await;
    let token = stage.onboard().await;
    let ask = async |key: &str| {
        let credentials = Credentials::api_key(key).unwrap();
        let client = MspClient::new(Settings {
            credentials,
            ..stage.settings()
        })
        .unwrap();
        client
            .request_profile_status(Call::new(), token, None)
            .await
            .is_ok()
    };
    let rotate = |more: &[&str]| {
        let args = [&["cmp", "rotate-key", "CmpOne"], more].concat();
        stage.msp.command(&args)[0]["api_key"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let first = rotate(&[]);
    while !ask(&first).await {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(ask("keyIn1").await, "the old one goes on");
    let second = rotate(&["--only"]);
    while ask(&first).await {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(ask(&second).await);
    assert!(
        stage
            .msp
            .fails(&["cmp", "rotate-key", "Nobody"])
            .contains("no cmp")
    );
}

// SGP.22 §5.3.4, §5.3.5: the profile is released by a function of its own, and the SM-DP+ tells how the download goes.
#[tokio::test]
async fn the_smdp_tells_how_the_download_goes() {
    let more = "\n[es2]\nlisten = \"127.0.0.1:0\"\ncert = \"server.pem\"\nkey = \"server.key\"\nclient_ca = \"ca.pem\"\ncommon_name = \"msp\"\n";
    let stage = Stage::with_smdp("release_separately = true", more).await;
    let token = stage.onboard().await;
    let client = stage.client();
    let iccid = order(&client, token, &ac_request()).await.iccid.unwrap();
    let calls = stage.smdp.got();
    let functions: Vec<_> = calls
        .iter()
        .map(|g| g.path.rsplit('/').next().unwrap())
        .collect();
    assert_eq!(
        functions,
        ["downloadOrder", "confirmOrder", "releaseProfile"]
    );
    assert_eq!(
        (&calls[1].body["releaseFlag"], &calls[2].body["iccid"]),
        (&json!(false), &json!(iccid.as_str()))
    );
    let es2 = stage.msp.es2.clone().unwrap();
    let tell = async |certificate: Option<&str>, body: Value| {
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(stage.folder.client_tls(certificate))
            .build();
        let url = format!("{es2}/gsma/rsp2/es2plus/handleDownloadProgressInfo");
        http.unwrap()
            .post(url)
            .json(&body)
            .send()
            .await
            .map(|r| r.status().as_u16())
    };
    let info = |point: u8, status: &str| {
        json!({
            "header": {"functionRequesterIdentifier": "1.2.3", "functionCallIdentifier": "x"}, "eid": EID,
            "iccid": format!("{iccid}F"), "profileType": "p", "timestamp": "2026-01-01T00:00:00Z",
            "notificationPointId": point, "notificationPointStatus": {"status": status},
        })
    };
    let state = async || {
        client
            .request_profile_status(Call::new(), token, None)
            .await
            .unwrap()
            .profiles[0]
            .status
    };
    assert_eq!(
        tell(Some("msp"), info(3, "Executed-Success"))
            .await
            .unwrap(),
        204
    );
    assert_eq!(state().await, ProfileState::Prepared);
    assert_eq!(
        tell(Some("msp"), info(4, "Executed-Success"))
            .await
            .unwrap(),
        204
    );
    assert_eq!(state().await, ProfileState::Installed);
    assert_eq!(tell(Some("msp"), json!({"iccid": "x"})).await.unwrap(), 400);
    assert!(tell(None, info(4, "Failed")).await.is_err(), "mutual TLS");
    let list = stage.msp.command(&["progress", "list", "--json"]);
    assert_eq!(
        list.as_array()
            .unwrap()
            .iter()
            .map(|p| p["point"].as_i64().unwrap())
            .collect::<Vec<_>>(),
        [3, 4]
    );
    assert_eq!(
        words(&stage.msp.command(&["order", "list", "--json"]), "state"),
        ["done"]
    );
}

// A job that is dead is sent when an operator says so; the control API does what the command line does.
#[tokio::test]
async fn the_outbox_and_the_control_api_obey() {
    let stage = Stage::new("", "").await;
    let token = stage.onboard().await;
    stage
        .cmp
        .answer(|_, _| (422, json!({"code": "91", "error": "no"})));
    stage.msp.command(&["update", "--user", "alice"]);
    stage.cmp.wait_for("/subscriptions/", 1).await;
    let job = async |state: &str| loop {
        let outbox = stage.msp.ask("/v1/outbox").await;
        let row = outbox
            .as_array()
            .unwrap()
            .iter()
            .rev()
            .find(|r| r["kind"] == "update-subscription-info")
            .cloned();
        if let Some(row) = row.filter(|row| row["state"] == state) {
            return row["id"].to_string();
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    };
    let id = job("dead").await;
    stage.cmp.answer(cmp);
    stage.msp.command(&["outbox", "retry", &id]);
    stage.cmp.wait_for("/subscriptions/", 2).await;
    job("done").await;
    assert!(
        stage
            .msp
            .fails(&["outbox", "retry", &id])
            .contains("no job")
    );
    let http = reqwest::Client::new();
    let post = async |path: &str, body: Value| {
        let url = format!("{}{path}", stage.msp.control);
        http.post(url)
            .json(&body)
            .send()
            .await
            .unwrap()
            .status()
            .as_u16()
    };
    assert_eq!(
        post("/v1/subscriptions/alice/update", json!({"kind": "unknown"})).await,
        200
    );
    assert_eq!(
        post("/v1/subscriptions/alice/nonsense", json!({})).await,
        404
    );
    assert_eq!(
        post("/v1/subscriptions/nobody/suspend", json!({})).await,
        422
    );
    assert_eq!(
        post(
            "/v1/subscriptions/alice/withdraw",
            json!({"reason": "test"})
        )
        .await,
        200
    );
    let got = stage.cmp.wait_for("/invalidate", 1).await;
    assert!(got[0].path.contains(&token.to_string()));
    for noun in [
        "users",
        "customers",
        "subscriptions",
        "profiles",
        "orders",
        "statuses",
        "progress",
        "outbox",
        "audit",
        "cmps",
    ] {
        assert!(
            stage.msp.ask(&format!("/v1/{noun}")).await.is_array(),
            "{noun}"
        );
    }
}
