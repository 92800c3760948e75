//! `aidctl work`, `journal dump` and `diagnostics` against the real daemon: they say what is open, and hold no secret of the
//! set-up.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a failed expectation is a failed test"
)]

mod support;

use aid_agent_core::{AccountRef, Aup, CodeOutcome, Down, LoginOutcome, LoginWay, Secret, Up};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::sync::{Arc, Mutex};
use support::broker::{Broker, serve};
use support::*;
use tokio::net::TcpListener;

const PIN: &str = "739142";
const MATCHING_ID: &str = "MATCH-9F3K-QQ7";
const LOGIN_CODE: &str = "BCDF-GHJK";
const ADA: AccountRef = AccountRef([7; 16]);

/// A CMP that lets Ada in and has a code for her, and shows a code for logins by code.
fn cmp(message_id: [u8; 16], up: &Up) -> Option<Down> {
    let accepted = |login_id: &[u8; 16]| Down::LoginResult {
        login_id: *login_id,
        outcome: LoginOutcome::Accepted {
            account: ADA,
            aup: Aup {
                display_name: "Ada".into(),
                msp_name: "Mobile One".into(),
                masked_number: "***67".into(),
            },
            profiles: vec![],
        },
    };
    match up {
        Up::Hello { .. } | Up::Logout { .. } => Some(Down::Ack { message_id }),
        Up::Login { login_id, .. } => Some(accepted(login_id)),
        Up::NumberedLogin {
            login_id,
            way: LoginWay::Pin { .. },
            ..
        } => Some(accepted(login_id)),
        Up::LoginByCode { login_id } => Some(Down::LoginCode {
            login_id: *login_id,
            code: LOGIN_CODE.into(),
            url: "https://cmp.example/car".into(),
            expires_in: 600,
        }),
        Up::RequestActivationCode {
            request_id,
            account,
        } => Some(Down::ActivationCode {
            request_id: *request_id,
            account: *account,
            outcome: CodeOutcome::Code {
                code: Secret::new(format!("1$smdp.example${MATCHING_ID}")),
                iccid: None,
            },
        }),
        _ => None,
    }
}

async fn aidctl(args: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aidctl"));
    command.args(args);
    let done = tokio::task::spawn_blocking(move || command.output().expect("aidctl runs"));
    let done = done.await.expect("thread");
    let text = [done.stdout, done.stderr].concat();
    (done.status.code(), String::from_utf8(text).expect("UTF-8"))
}

#[tokio::test]
async fn what_is_open_is_shown_and_no_secret_leaves() {
    let folder = tempfile::tempdir().expect("folder");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address").to_string();
    let config = configure(folder.path(), &address, EID);
    let broker = Arc::new(Mutex::new(Broker {
        answer: Some(cmp),
        ..Broker::default()
    }));
    serve(listener, folder.path(), &broker);
    let key =
        std::fs::read_to_string(config.cmp.cert.with_file_name("vehicle.key.pem")).expect("key");
    let mut secrets: Vec<String> = [PIN, MATCHING_ID, LOGIN_CODE].map(str::to_owned).to_vec();
    secrets.extend(
        key.lines()
            .filter(|line| !line.starts_with('-'))
            .map(str::to_owned),
    );
    let leaks = |text: &str| {
        let found = secrets.iter().find(|secret| text.contains(secret.as_str()));
        assert!(found.is_none(), "{found:?} in {text}");
    };
    let file = folder.path().join("diagnostics.json");
    let (api, output) = (config.api.display().to_string(), file.display().to_string());
    let card = TestCard::new(false);
    let work = async {
        wait(&config.api, "up", |s| s["link"] == "up").await;
        let (code, text) = aidctl(&["--api", &api, "work"]).await;
        assert_eq!(code, Some(0), "{text}");
        assert_eq!(post(&config.api, "/v1/login-code", "").await.0, 202);
        wait(&config.api, "a code", |s| s["login"]["state"] == "code").await;
        // The code is for who stands before the screen, and for nobody else.
        let (_, text) = aidctl(&["--api", &api, "diagnostics"]).await;
        leaks(&text);
        let body = format!(r#"{{"user":"ada","pin":"{PIN}"}}"#);
        assert_eq!(post(&config.api, "/v1/login", &body).await.0, 202);
        // The card has no profile after the download: it is tried again.
        wait(&config.api, "waiting", |s| {
            s["waiting"]["for"] == "download"
        })
        .await;
        let (code, text) = aidctl(&["--api", &api, "work", "--json"]).await;
        assert_eq!(code, Some(0), "{text}");
        let tasks: Value = serde_json::from_str(&text).expect("JSON");
        let download = tasks
            .as_array()
            .and_then(|t| t.iter().find(|t| t["what"] == "download"));
        let download = download.expect("a download");
        assert!(download["tries"].as_u64() > Some(0), "{download}");
        let (code, table) = aidctl(&["--api", &api, "work"]).await;
        assert_eq!(code, Some(0));
        assert!(
            table.starts_with("WHAT ") && table.contains("\ndownload"),
            "{table}"
        );
        let (code, dump) = aidctl(&["--api", &api, "journal", "dump"]).await;
        assert_eq!(code, Some(0), "{dump}");
        let state: Value = serde_json::from_str(&dump).expect("JSON");
        assert_eq!(state["downloads"][0]["smdp"], "smdp.example");
        let (code, text) = aidctl(&["--api", &api, "diagnostics", "--output", &output]).await;
        assert_eq!((code, text.as_str()), (Some(0), ""));
        for text in [&table, &dump, &tasks.to_string()] {
            leaks(text);
        }
    };
    with_daemon(&config, &card, work).await.expect("daemon");
    let mode = std::fs::metadata(&file).expect("file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = std::fs::read_to_string(&file).expect("read");
    leaks(&text);
    let all: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(
        (&all["eid"], &all["certificates"]["state"]),
        (&EID.into(), &"valid".into())
    );
    assert_eq!(all["journal"]["downloads"][0]["smdp"], "smdp.example");
    let events = all["events"].as_array().expect("events");
    for name in ["link_up", "login_code", "login_accepted", "activation_code"] {
        assert!(events.iter().any(|e| e["event"] == name), "{name}: {text}");
    }
    // The agent has ended: the journal itself, which has the code in it.
    let journal = config.journal.display().to_string();
    let (code, dump) = aidctl(&["journal", "dump", "--folder", &journal]).await;
    assert_eq!(code, Some(0), "{dump}");
    leaks(&dump);
    let dump: Value = serde_json::from_str(&dump).expect("JSON");
    assert_eq!(dump["state"]["downloads"][0]["smdp"], "smdp.example");
    assert!(dump["records"].to_string().contains("Requested"), "{dump}");
    let raw: Vec<u8> = std::fs::read_dir(&config.journal)
        .expect("folder")
        .flat_map(|f| std::fs::read(f.expect("file").path()).expect("read"))
        .collect();
    let id = MATCHING_ID.as_bytes();
    assert!(
        raw.windows(id.len()).any(|w| w == id),
        "the test looks for nothing"
    );
}

#[tokio::test]
async fn a_journal_in_use_and_a_folder_without_one_are_refused_in_words() {
    let folder = tempfile::tempdir().expect("folder");
    let config = configure(folder.path(), NO_CMP, EID);
    let (code, text) = aidctl(&[
        "journal",
        "dump",
        "--folder",
        &folder.path().display().to_string(),
    ])
    .await;
    assert_eq!(code, Some(1));
    assert!(text.contains("no folder of a journal"), "{text}");
    let journal = config.journal.display().to_string();
    let work = async {
        let (code, text) = aidctl(&["journal", "dump", "--folder", &journal]).await;
        assert_eq!(code, Some(1));
        assert!(text.contains("without --folder"), "{text}");
    };
    let card = TestCard::new(false);
    with_daemon(&config, &card, work).await.expect("daemon");
}
