//! What the vehicle says of itself, by the real API of the real daemon: parking ends the session, a call holds the switch
//! of profiles, motion is shown.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a failed expectation is a failed test"
)]

mod support;

use aid_agent::config::Config;
use serde_json::{Value, json};
use std::process::Command;
use std::sync::{Arc, Mutex};
use support::broker::{Broker, serve, welcome};
use support::*;
use tokio::net::TcpListener;

/// Runs `work` while Ada is logged in, with her profile enabled.
async fn logged_in<F: Future<Output = ()>>(grace_s: u32, work: impl FnOnce(Config) -> F) {
    let folder = tempfile::tempdir().expect("folder");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address").to_string();
    let mut config = configure(folder.path(), &address, EID);
    config.session.grace_s = grace_s;
    let broker = Arc::new(Mutex::new(Broker {
        answer: Some(welcome),
        ..Broker::default()
    }));
    serve(listener, folder.path(), &broker);
    let (own, card) = (config.clone(), TestCard::new(false));
    let work = async {
        let api = &config.api;
        wait(api, "up", |s| s["link"] == "up").await;
        let body = r#"{"user":"ada","pin":"123456"}"#;
        assert_eq!(post(api, "/v1/login", body).await.0, 202);
        wait(api, "active", |s| s["phase"] == "active").await;
        work(config.clone()).await;
    };
    with_daemon(&own, &card, work).await.expect("daemon");
}

async fn set(config: &Config, name: &str, value: Value) -> (u16, Value) {
    let body = json!({ "value": value }).to_string();
    let request = format!(
        "PUT /v1/signals/{name} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    call(&config.api, &request).await
}

const IGNITION: &str = "Vehicle.LowVoltageSystemState";
const CALL: &str = "Vehicle.Connectivity.IsCallActive";

// R-4.3-14
#[tokio::test]
async fn a_parked_car_logs_out_after_the_grace_time_and_a_call_keeps_the_profile_on() {
    logged_in(0, |config| async move {
        let api = &config.api;
        assert_eq!(status(api).await["logout_in_s"], Value::Null);
        assert_eq!(set(&config, CALL, json!(true)).await.0, 200);
        assert_eq!(set(&config, IGNITION, json!("OFF")).await.0, 200);
        let held = wait(api, "logged out", |s| s["session"].is_null()).await;
        assert_eq!(
            held["vehicle"],
            json!({"ignition": "off", "moving": false, "call": true})
        );
        assert_eq!(held["waits_for_call"], true);
        assert_eq!(held["profiles"][0]["state"], "enabled");
        assert_eq!(set(&config, CALL, json!(false)).await.0, 200);
        let off = |s: &Value| s["profiles"][0]["state"] == "disabled";
        let done = wait(api, "disabled", off).await;
        assert_eq!(done["waits_for_call"], false);
    })
    .await;
}

#[tokio::test]
async fn a_driver_who_comes_back_in_time_stays_logged_in() {
    logged_in(600, |config| async move {
        set(&config, IGNITION, json!("OFF")).await;
        let parked = status(&config.api).await;
        let left = parked["logout_in_s"].as_u64().expect("seconds");
        assert!((590..=600).contains(&left), "{left}");
        set(&config, IGNITION, json!("ON")).await;
        let back = status(&config.api).await;
        assert_eq!(
            (&back["logout_in_s"], &back["phase"]),
            (&Value::Null, &json!("active"))
        );
    })
    .await;
}

#[tokio::test]
async fn unknown_signals_and_impossible_values_are_refused_in_words() {
    let folder = tempfile::tempdir().expect("folder");
    let config = configure(folder.path(), NO_CMP, EID);
    let work = async {
        for (name, value, expected, word) in [
            ("Vehicle.Cabin.Door", json!(true), 404, IGNITION),
            ("Vehicle.Speed", json!("fast"), 400, "km/h"),
            ("Vehicle.Speed", json!(1e9), 400, "km/h"),
            ("Vehicle.IsMoving", json!(1), 400, "true or false"),
            (IGNITION, json!("MAYBE"), 400, "ACC"),
            (CALL, json!(null), 400, "true or false"),
        ] {
            let (status, body) = set(&config, name, value).await;
            assert_eq!(status, expected, "{name}");
            assert!(
                body["error"].as_str().expect("words").contains(word),
                "{body}"
            );
        }
        let before = status(&config.api).await["vehicle"].clone();
        assert_eq!(
            before,
            json!({"ignition": null, "moving": false, "call": false})
        );
    };
    let card = TestCard::new(false);
    with_daemon(&config, &card, work).await.expect("daemon");
}

#[tokio::test]
async fn aidctl_says_and_lists_signals() {
    let folder = tempfile::tempdir().expect("folder");
    let config = configure(folder.path(), NO_CMP, EID);
    let api = config.api.clone();
    let aidctl = move |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aidctl"));
        command.arg("--api").arg(&api).args(args);
        tokio::task::spawn_blocking(move || {
            let done = command.output().expect("aidctl runs");
            let text = [done.stdout, done.stderr].concat();
            (done.status.code(), String::from_utf8(text).expect("UTF-8"))
        })
    };
    let work = async {
        for args in [
            ["signal", "ignition", "acc"],
            ["signal", "speed", "-3.5"],
            ["signal", "moving", "true"],
            ["signal", "call", "on"],
        ] {
            let (code, text) = aidctl(&args).await.expect("thread");
            assert_eq!(code, Some(0), "{args:?}: {text}");
        }
        let (_, text) = aidctl(&["signal", "--json"]).await.expect("thread");
        let values: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(
            values,
            json!({IGNITION: "ACC", "Vehicle.Speed": -3.5, "Vehicle.IsMoving": true, CALL: true})
        );
        let shown = status(&config.api).await["vehicle"].clone();
        assert_eq!(
            shown,
            json!({"ignition": "on", "moving": true, "call": true})
        );
        for (args, word) in [
            (["signal", "call", "maybe"], "true or false"),
            (["signal", "doors", "open"], "the signals are"),
            (["signal", "a/../b c\r\n", "1"], "the signals are"),
        ] {
            let (code, text) = aidctl(&args).await.expect("thread");
            assert_eq!(code, Some(1), "{args:?}");
            assert!(text.contains(word), "{text}");
        }
    };
    let card = TestCard::new(false);
    with_daemon(&config, &card, work).await.expect("daemon");
}
