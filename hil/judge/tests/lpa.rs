//! The judge of LPAs on the LPA of this project, on one with legal habits, and on LPAs that break one rule each. The LPA is
//! this test program, started again with a variable that says how it behaves.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot set itself up has failed"
)]

mod support;

use aid_id::ActivationCode;
use aid_judge::lpa::{Rig, Target};
use aid_judge::{Subject, Test};
use aid_lpa::{
    Apdu, Bearer, Card, DownloadRequest, Http, HttpAnswer, HttpError, HttpsClient, Lpa, SocketCard,
    Tally, TransportError,
};
use aid_report::Verdict;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{BufRead as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use support::{judge, named, not_passed, setting};
use ureq::tls::TlsConfig;
use zeroize::Zeroizing;

/// How the LPA behaves.
const HABIT: &str = "JUDGE_LPA";

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

/// The LPA itself: does nothing in an ordinary run of the tests.
#[test]
fn acts_as_an_lpa() {
    let habit = variable(HABIT);
    if !habit.is_empty() {
        std::process::exit(act(&habit));
    }
}

fn act(habit: &str) -> i32 {
    let meter = Arc::new(Tally::default());
    let ci = PathBuf::from(variable("JUDGE_CI"));
    let https = HttpsClient::new(&[ci], Bearer::default(), true, meter.clone()).unwrap();
    let port: Box<dyn Apdu> = match habit {
        "lines" => {
            // Ends the line in which the test program names its test.
            println!();
            Box::new(Lines)
        }
        _ => Box::new(SocketCard::new(&variable("JUDGE_CARD"))),
    };
    let card = OddCard {
        port,
        habit: habit.to_owned(),
        block: 0,
    };
    let http = OddHttp {
        https,
        habit: habit.to_owned(),
    };
    let mut lpa = Lpa::new(Card::new(card, meter), http).with_bench(true);
    let asked: Vec<String> = std::env::args().collect();
    if asked.iter().any(|word| word == "notifications") {
        return i32::from(!lpa.deliver(None).unwrap().waiting.is_empty());
    }
    let mut code = variable("JUDGE_CODE");
    if habit == "other-matching-id" {
        code.push_str("-2");
    }
    let given = asked.iter().any(|word| word == "with-code");
    let confirmation = match habit {
        "mistypes" => "4712".to_owned(),
        _ => variable("JUDGE_CC"),
    };
    let request = DownloadRequest {
        code: Some(code.parse::<ActivationCode>().unwrap()),
        confirmation_code: given.then(|| Zeroizing::new(confirmation)),
    };
    let result = lpa.download(&request, &mut |_| {});
    lpa.release();
    match result {
        Ok(_) => 0,
        Err(_) if habit == "always-zero" => 0,
        Err(error) => {
            eprintln!("{error}");
            9
        }
    }
}

/// A card over lpac's JSON lines on our own standard streams.
struct Lines;

impl Lines {
    fn ask(func: &str, param: &[u8]) -> Value {
        let hex: String = param.iter().map(|b| format!("{b:02X}")).collect();
        println!(
            "{}",
            json!({"type": "apdu", "payload": {"func": func, "param": hex}})
        );
        std::io::stdout().flush().unwrap();
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).unwrap();
        let answer: Value = serde_json::from_str(&line).unwrap();
        answer["payload"].clone()
    }
}

impl Apdu for Lines {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        let answer = Self::ask("transmit", command);
        let text = answer["data"].as_str().unwrap().as_bytes();
        let digit = |d: u8| char::from(d).to_digit(16).unwrap() as u8;
        Ok(text
            .chunks(2)
            .map(|p| digit(p[0]) << 4 | digit(p[1]))
            .collect())
    }

    fn reset(&mut self) -> Result<Vec<u8>, TransportError> {
        Self::ask("connect", &[]);
        Ok(Vec::new())
    }
}

/// A way to the card with a habit.
struct OddCard {
    port: Box<dyn Apdu>,
    habit: String,
    block: u8,
}

impl Apdu for OddCard {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        let mut command = command.to_vec();
        match (self.habit.as_str(), command[1]) {
            ("basic-channel", 0x70) => return Ok(vec![1, 0x90, 0x00]),
            ("basic-channel", _) => command[0] &= 0xFC,
            // The reason of CancelSession.
            ("other-reason", 0xE2) if command.get(5..7) == Some(&[0xBF, 0x41]) => {
                let at = command.windows(3).rposition(|w| w[..2] == [0x81, 0x01]);
                command[at.unwrap() + 2] = 0;
            }
            // Blocks of 100 bytes, as legal as those of 255.
            ("small-blocks", 0xE2) => return self.in_blocks(&command, 100),
            _ => {}
        }
        self.port.transmit(&command)
    }

    fn reset(&mut self) -> Result<Vec<u8>, TransportError> {
        self.port.reset()
    }
}

impl OddCard {
    fn in_blocks(&mut self, command: &[u8], size: usize) -> Result<Vec<u8>, TransportError> {
        let data = &command[5..5 + usize::from(command[4])];
        if command[3] == 0 {
            self.block = 0;
        }
        let count = data.chunks(size).count();
        let mut answer = Vec::new();
        for (n, part) in data.chunks(size).enumerate() {
            let last = n + 1 == count && command[2] & 0x80 != 0;
            let p1 = if last { 0x91 } else { 0x11 };
            let mut apdu = vec![command[0], 0xE2, p1, self.block, part.len() as u8];
            apdu.extend_from_slice(part);
            if last {
                apdu.push(0);
            }
            self.block = self.block.wrapping_add(1);
            answer = self.port.transmit(&apdu)?;
        }
        Ok(answer)
    }
}

/// A way to the server with a habit.
struct OddHttp {
    https: HttpsClient,
    habit: String,
}

impl Http for OddHttp {
    fn post(&mut self, server: &str, path: &str, body: &[u8]) -> Result<HttpAnswer, HttpError> {
        let function = path.rsplit('/').next().unwrap();
        let mut json: Value = serde_json::from_slice(body).unwrap();
        let empty = |status| HttpAnswer {
            status,
            body: br#"{"header":{"functionExecutionStatus":{"status":"Executed-Success"}}}"#
                .to_vec(),
        };
        match (self.habit.as_str(), function) {
            ("trusts-everybody" | "without-headers", _) => {
                return bare(server, path, body, &self.habit);
            }
            ("never-notifies", "handleNotification") => return Ok(empty(204)),
            ("never-cancels", "cancelSession") => return Ok(empty(200)),
            ("believes-500", "handleNotification") => {
                self.https.post(server, path, body)?;
                return Ok(empty(204));
            }
            ("other-info1", "initiateAuthentication") => {
                // Base64 of BF20, which EUICCInfo1 begins with, and its version 2.2 instead of 2.4.
                let info = json["euiccInfo1"]
                    .as_str()
                    .unwrap()
                    .replacen("ggMCBA", "ggMCAg", 1);
                json["euiccInfo1"] = json!(info);
            }
            ("own-transaction", "authenticateClient") => json["transactionId"] = json!("00"),
            ("repeats-response", "getBoundProfilePackage") => {
                let text = json["prepareDownloadResponse"].as_str().unwrap();
                json["prepareDownloadResponse"] = json!(text.replacen('A', "B", 1));
            }
            _ => {}
        }
        self.https.post(server, path, json.to_string().as_bytes())
    }

    fn get(&mut self, url: &str, max: usize) -> Result<HttpAnswer, HttpError> {
        self.https.get(url, max)
    }
}

/// A client that verifies no certificate, or sends no headers.
fn bare(server: &str, path: &str, body: &[u8], habit: &str) -> Result<HttpAnswer, HttpError> {
    let trusts = TlsConfig::builder()
        .disable_verification(true)
        .unversioned_rustls_crypto_provider(aid_cli::tls::provider())
        .build();
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .tls_config(trusts)
        .build();
    let mut request = ureq::Agent::new_with_config(config).post(format!("https://{server}{path}"));
    if habit == "trusts-everybody" {
        request = request
            .header("X-Admin-Protocol", "gsma/rsp/v2.2.0")
            .header("Content-Type", "application/json");
    }
    let unreachable = |error: ureq::Error| HttpError::Unreachable {
        server: server.to_owned(),
        what: error.to_string(),
    };
    let mut answer = request.send(body).map_err(unreachable)?;
    Ok(HttpAnswer {
        status: answer.status().as_u16(),
        body: answer.body_mut().read_to_vec().map_err(unreachable)?,
    })
}

/// The target file of an LPA with this habit.
fn target(habit: &str) -> Target {
    let program = std::env::current_exe().unwrap();
    let command = |more: &str| {
        json!([
            program,
            "acts_as_an_lpa",
            more,
            "--exact",
            "--nocapture",
            "--test-threads=1"
        ])
    };
    let card = if habit == "lines" {
        "lpac-stdio"
    } else {
        "socket"
    };
    let text = format!(
        "download = {}\ndownload_with_code = {}\nnotifications = {}\ncard = \"{card}\"\n[env]\n{HABIT} = \"{habit}\"\n\
         JUDGE_CODE = \"{{code}}\"\nJUDGE_CARD = \"{{card}}\"\nJUDGE_CI = \"{{ci}}\"\nJUDGE_CC = \"{{confirmation_code}}\"\n",
        command("download"),
        command("with-code"),
        command("notifications"),
    );
    toml::from_str(&text).unwrap()
}

fn rig(habit: &str) -> Rig {
    let folder = std::env::temp_dir();
    Rig::open(target(habit), &setting(&folder)).unwrap()
}

#[test]
fn names_are_unique() {
    let tests: Vec<Test<Rig>> = Rig::tests();
    let names: BTreeSet<&str> = tests.iter().map(|t| t.name).collect();
    assert_eq!(names.len(), tests.len());
    assert!(tests.len() >= 30, "{}", tests.len());
}

#[test]
fn a_correct_lpa_passes_over_a_socket_and_over_lines() {
    for habit in ["right", "lines", "small-blocks"] {
        let cases = judge(&mut rig(habit), &[]);
        assert_eq!(not_passed(&cases), Vec::<String>::new(), "{habit}");
        assert!(cases.iter().all(|c| !c.messages.is_empty()));
    }
}

#[test]
fn a_command_that_cannot_be_started_is_inconclusive() {
    let target = toml::from_str("download = [\"./no-such-lpa\"]\n").unwrap();
    let mut rig = Rig::open(target, &setting(&std::env::temp_dir())).unwrap();
    let cases = judge(&mut rig, &["SGP22-3.1.3/installs"]);
    assert_eq!(
        named(&cases, Verdict::Inconclusive),
        ["SGP22-3.1.3/installs"]
    );
    let text = "download = [\"sleep\", \"60\"]\ntimeout_s = 1\n";
    let mut rig = Rig::open(
        toml::from_str(text).unwrap(),
        &setting(&std::env::temp_dir()),
    )
    .unwrap();
    let cases = judge(&mut rig, &["SGP22-3.1.3/installs"]);
    let failure = cases[0].failure.as_ref().unwrap();
    assert!(failure.seen.contains("after its time"), "{failure:?}");
}

#[test]
fn each_broken_lpa_is_found_by_its_id() {
    for (habit, id) in [
        ("trusts-everybody", "SGP22-6.1/foreign-ci"),
        ("trusts-everybody", "SGP22-6.1/other-host"),
        ("trusts-everybody", "SGP22-6.1/expired"),
        ("without-headers", "SGP22-6.2/headers"),
        ("never-notifies", "SGP22-3.5/delivers"),
        ("believes-500", "SGP22-3.5/keeps"),
        ("never-cancels", "SGP22-5.6.5/metadata-mismatch"),
        ("other-reason", "SGP22-5.6.5/ppr"),
        ("always-zero", "SGP22-3.1.3/exit-code"),
        ("other-info1", "SGP22-5.6.1/request"),
        ("own-transaction", "SGP22-5.6.3/relays"),
        ("repeats-response", "SGP22-5.6.2/relays"),
        ("other-matching-id", "SGP22-5.7.13/relays"),
        ("mistypes", "SGP22-4.7/confirmation-code"),
        ("basic-channel", "SGP22-5.7.1/channel"),
    ] {
        let cases = judge(&mut rig(habit), &[id]);
        assert_eq!(
            named(&cases, Verdict::Fail),
            [id],
            "{habit}: {:?}",
            not_passed(&cases)
        );
    }
}
