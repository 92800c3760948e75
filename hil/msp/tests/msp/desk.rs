//! The operator's console in a real browser: each page in all sizes and colours with scripts and without, by keyboard alone,
//! deeds, what browsers repeat, sessions that end, and attacks. Pictures are in `target/screenshots`.

mod attack;
mod look;
mod work;

use crate::stage::*;
use aid_browser::*;
use std::io::Write as _;
use std::process::{Command, Stdio};

const PASSWORD: &str = "correct horse battery";

/// Where the console is, as a browser of this machine has it: cookies that are `Secure` want https or localhost.
fn base(stage: &Stage) -> String {
    stage.msp.admin.replace("https:", "http:")
}

/// `aid-msp member add`; the password comes on standard input. Whoever had this name is signed out.
fn add_member(stage: &Stage, name: &str, role: &str) {
    with_password(stage, &["member", "add", name, "--role", role]);
}

/// A command that takes a password on standard input.
fn with_password(stage: &Stage, args: &[&str]) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_aid-msp"))
        .args(args)
        .arg("--config")
        .arg(stage.folder.path("msp.toml"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    writeln!(input, "{PASSWORD}").unwrap();
    drop(input);
    assert!(child.wait().unwrap().success());
}

/// Signs in on the page where the browser is.
async fn sign_in(browser: &Browser, name: &str) {
    browser.fill("name", name).await;
    browser.fill("password", PASSWORD).await;
    browser.press("Sign in").await;
}

/// Opens a page of the console; whoever is not signed in becomes kim, the admin.
async fn open(browser: &Browser, stage: &Stage, path: &str) {
    browser.goto(&format!("{}{path}", base(stage))).await;
    if browser.path().await.starts_with("/console/login") {
        sign_in(browser, "kim").await;
        arrives(browser, path).await;
    }
}

/// Waits until the browser is at this path.
async fn arrives(browser: &Browser, path: &str) {
    until(&format!("the browser comes to {path}"), async || {
        browser.path().await == path && browser.js("return document.readyState").await == "complete"
    })
    .await;
}

/// How often the audit trail has this.
fn audited(stage: &Stage, action: &str) -> usize {
    let trail = stage.msp.command(&["audit", "list"]);
    let entries = trail.as_array().unwrap().iter();
    entries.filter(|e| e["action"] == action).count()
}

/// A stage where kim is admin, with a link, a profile that its car has reported, a call that the CMP has refused with
/// `error`, and one that waits. Yields link, request, ICCID and correlation id, and the number of the refused call.
struct Staffed {
    stage: Stage,
    link: MspToken,
    request: Uuid,
    correlation: Uuid,
    iccid: String,
    dead: String,
    waiting: String,
}

impl Staffed {
    async fn new(error: &'static str) -> Self {
        let stage = Stage::new("", "").await;
        add_member(&stage, "kim", "admin");
        let link = stage.onboard().await;
        let (client, call, body) = (stage.client(), Call::new(), ac_request());
        let given = client.request_activation_code(call, link, &body).await;
        let Activation::Now(code) = given.unwrap() else {
            panic!("the MSP of the tests answers at once");
        };
        let iccid = code.iccid.unwrap();
        let status = SendCsimStatus {
            iccid: iccid.clone(),
            eid: EID.into(),
            status: CsimStatus::Installed,
        };
        let again = Call {
            request_id: Uuid::new_v4(),
            ..call
        };
        client.send_csim_status(again, link, &status).await.unwrap();
        stage
            .cmp
            .answer(move |_, _| (422, json!({"code": "60", "error": error})));
        stage.msp.command(&["update", "--user", "alice"]);
        let dead = Self::call(&stage, "dead").await;
        stage.cmp.answer(|_, _| (503, Value::Null));
        stage.msp.command(&["update", "--user", "alice"]);
        let waiting = Self::call(&stage, "waiting").await;
        Self {
            link,
            request: body.request_id,
            correlation: call.correlation_id,
            iccid: iccid.to_string(),
            dead,
            waiting,
            stage,
        }
    }

    /// The number of the call that is in this state, after the CMP has answered it.
    async fn call(stage: &Stage, state: &str) -> String {
        let find = || {
            let calls = stage.msp.command(&["outbox", "list"]);
            let mut calls = calls.as_array().unwrap().iter();
            let call = calls.find(|c| c["state"] == state && c["attempts"] != 0);
            call.map(|c| c["id"].to_string())
        };
        until(state, async || find().is_some()).await;
        find().unwrap()
    }
}
