//! The program is killed at each step of calls that are under way: nothing is booked twice, and no answer changes.

use crate::peers::Program;
use crate::stage::*;
use rusqlite::Connection;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Longest time that anything is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// Steps of one round: answers, and calls of the SM-DP+.
const STEPS: usize = 16;

/// What a CMP asks for.
#[derive(Clone)]
enum Asked {
    Status(SendCsimStatus),
    Code(RequestActivationCode),
}

/// What it was answered.
#[derive(Clone, Debug, PartialEq)]
enum Answered {
    Noted,
    Code(ActivationCodeResponse),
    Later,
}

async fn ask(
    client: &MspClient,
    call: Call,
    token: MspToken,
    asked: &Asked,
) -> Result<Answered, CallError> {
    match asked {
        Asked::Status(body) => {
            client.send_csim_status(call, token, body).await?;
            Ok(Answered::Noted)
        }
        Asked::Code(body) => match client.request_activation_code(call, token, body).await? {
            Activation::Now(code) => Ok(Answered::Code(code)),
            Activation::Later => Ok(Answered::Later),
        },
    }
}

/// Repeats a call until it is answered.
async fn insist(client: &MspClient, call: Call, token: MspToken, asked: &Asked) -> Answered {
    let end = Instant::now() + PATIENCE;
    loop {
        match ask(client, call, token, asked).await {
            Ok(answered) => return answered,
            Err(error) => assert!(Instant::now() < end, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_step_books_nothing_twice_and_changes_no_answer() {
    killed_at_each_step("").await;
}

// The subscription's own profiles: each order has one, and no order has two.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_step_uses_up_no_profile_of_a_pool_twice() {
    let iccids: Vec<_> = (0..100).map(|n| format!("{:?}", iccid(n))).collect();
    killed_at_each_step(&format!("iccids = [{}]", iccids.join(", "))).await;
}

/// An ICCID with its check digit (Luhn).
fn iccid(n: u32) -> String {
    let digits = format!("89490000000000{n:04}");
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, byte)| match (place % 2, u32::from(byte - b'0')) {
            (0, digit) if digit > 4 => 2 * digit - 9,
            (0, digit) => 2 * digit,
            (_, digit) => digit,
        })
        .sum();
    format!("{digits}{}", (10 - sum % 10) % 10)
}

async fn killed_at_each_step(more_user: &str) {
    let more_user = format!("max_profiles = 1000\n{more_user}");
    let mut stage = Stage::new("mode = \"mixed\"", &more_user).await;
    let config = stage.folder.path("msp.toml");
    let token = stage.onboard().await;
    let known = ac_request();
    let profile = insist(&stage.client(), Call::new(), token, &Asked::Code(known)).await;
    let iccid = match profile {
        Answered::Code(code) => code.iccid.unwrap(),
        _ => {
            let sent = stage.cmp.wait_for("/activation-codes/", 1).await;
            sent[0].body["iccid"].as_str().unwrap().parse().unwrap()
        }
    };
    let mut all = Vec::new();
    for step in 0..STEPS {
        let calls = (0..8).map(|n| {
            let asked = if n % 2 == 0 {
                Asked::Code(ac_request())
            } else {
                Asked::Status(SendCsimStatus {
                    iccid: iccid.clone(),
                    eid: EID.into(),
                    status: CsimStatus::Enabled,
                })
            };
            (Call::new(), asked)
        });
        let answers = Arc::new(AtomicUsize::new(0));
        let before = stage.smdp.got().len();
        let callers = calls.map(|(call, asked)| {
            let (client, answers) = (stage.client(), Arc::clone(&answers));
            tokio::spawn(async move {
                let first = ask(&client, call, token, &asked).await;
                answers.fetch_add(1, Ordering::SeqCst);
                (call, asked, first.ok())
            })
        });
        let callers: Vec<_> = callers.collect();
        let end = Instant::now() + PATIENCE;
        let steps = || answers.load(Ordering::SeqCst) + stage.smdp.got().len() - before;
        while steps() < step {
            assert!(Instant::now() < end, "{} of {step} steps", steps());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        stage.msp.kill();
        stage.msp = Program::start(&config);
        let client = stage.client();
        for caller in callers {
            let (call, asked, first) = caller.await.unwrap();
            let second = insist(&client, call, token, &asked).await;
            if let Some(first) = first {
                assert_eq!(second, first, "{call:?} at step {step}");
            }
            assert_eq!(
                insist(&client, call, token, &asked).await,
                second,
                "{call:?}"
            );
            all.push((call, asked, second));
        }
    }
    // Each code that was promised is sent, and it is one code however often it is sent.
    for (_, asked, answered) in &all {
        let (Asked::Code(body), Answered::Later) = (asked, answered) else {
            continue;
        };
        let end = Instant::now() + PATIENCE;
        let id = body.request_id.to_string();
        loop {
            let sent = stage.cmp.got().into_iter();
            let mut codes: Vec<_> = sent
                .filter(|got| got.body["activationCodeRequestID"] == id)
                .map(|got| got.body["activationCode"].clone())
                .collect();
            codes.dedup();
            assert!(codes.len() <= 1, "{codes:?}");
            if codes.first().is_some_and(Value::is_string) {
                break;
            }
            assert!(Instant::now() < end, "no code for {id}: {codes:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    stage.msp.kill();
    let fresh = Connection::open(stage.folder.path("msp.sqlite")).unwrap();
    let count = |sql: &str, id: String| -> i64 {
        let count = fresh.query_row(sql, [id], |row| row.get(0));
        count.unwrap()
    };
    for (call, asked, _) in &all {
        let booked = match asked {
            Asked::Status(_) => {
                let sql = "SELECT COUNT(*) FROM status WHERE correlation_id = ?1";
                count(sql, call.correlation_id.to_string())
            }
            Asked::Code(body) => {
                let sql = "SELECT COUNT(*) FROM profile p JOIN ac_request r ON r.iccid = p.iccid
                    WHERE r.request_id = ?1 AND r.state = 'done'";
                count(sql, body.request_id.to_string())
            }
        };
        assert_eq!(booked, 1, "{call:?}");
    }
    let codes = all.iter().filter(|(_, a, _)| matches!(a, Asked::Code(_)));
    let profiles = count("SELECT COUNT(*) FROM profile WHERE iccid <> ?1", "".into());
    assert_eq!(usize::try_from(profiles).unwrap(), codes.count() + 1);
    let sql = "SELECT COUNT(DISTINCT iccid) FROM profile WHERE iccid <> ?1";
    assert_eq!(count(sql, "".into()), profiles);
    let ordered: BTreeSet<_> = stage
        .smdp
        .got()
        .into_iter()
        .filter_map(|got| got.body["iccid"].as_str().map(str::to_owned))
        .collect();
    assert!(i64::try_from(ordered.len()).unwrap() <= profiles);
}
