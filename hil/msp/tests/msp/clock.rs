//! A wall clock that jumps by years under the running program and while it is stopped, and is right again.

use crate::peers::Program;
use crate::stage::*;
use aid_needs::shim::Shim;
use rusqlite::Connection;

/// Ten years, ms.
const JUMP: i64 = 3650 * 24 * 3600 * 1000;

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_clock_books_nothing_twice_and_puts_nothing_off_for_years() {
    let Some(shim) = Shim::new() else {
        return;
    };
    let mut stage = Stage::new("", "").await;
    let config = stage.folder.path("msp.toml");
    stage.msp.kill();
    stage.msp = Program::with(&config, shim.environment());
    assert!(shim.is_loaded());
    let token = stage.onboard().await;
    let profile = order(&stage.client(), token, &ac_request()).await;
    let body = |n: usize| SendCsimStatus {
        iccid: profile.iccid.clone().unwrap(),
        eid: EID.into(),
        status: [CsimStatus::Enabled, CsimStatus::Disabled][n % 2],
    };
    let updates = |stage: &Stage| {
        let all = stage.cmp.got().into_iter();
        all.filter(|got| got.path.contains("/subscriptions/"))
            .count()
    };
    let http = reqwest::Client::new();
    let mut calls = Vec::new();
    for restarts in [false, true] {
        for ahead in [JUMP, -JUMP] {
            // A call is put off while the clock is wrong, and made soon after it is right again.
            stage.cmp.answer(|_, _| (503, json!({})));
            for (is_away, ahead) in [(true, ahead), (false, 0)] {
                shim.set_clock(ahead);
                if restarts {
                    stage.msp.kill();
                    stage.msp = Program::with(&config, shim.environment());
                }
                let client = stage.client();
                let call = Call::new();
                calls.push(call);
                // The new one and all before it, which were answered already.
                for (n, call) in calls.iter().enumerate() {
                    let done = client.send_csim_status(*call, token, &body(n)).await;
                    assert!(done.is_ok(), "{n} {restarts} {ahead}: {done:?}");
                }
                let so_far = updates(&stage);
                if is_away {
                    let url = format!("{}/v1/subscriptions/alice/update", stage.msp.control);
                    let change = json!({ "fee": format!("{restarts} {ahead}") });
                    let changed = http.post(&url).json(&change).send().await.unwrap();
                    assert_eq!(changed.status(), 200);
                } else {
                    stage.cmp.answer(cmp);
                }
                stage.cmp.wait_for("/subscriptions/", so_far + 1).await;
            }
            // It was taken, so nothing is left to do.
            let jobs = || stage.msp.command(&["outbox", "list", "--json"]);
            let end = std::time::Instant::now() + Duration::from_secs(30);
            while jobs().to_string().contains("waiting") {
                assert!(std::time::Instant::now() < end, "{}", jobs());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    stage.msp.kill();
    let stored = Connection::open(stage.folder.path("msp.sqlite")).unwrap();
    for call in &calls {
        let sql = "SELECT COUNT(*) FROM status WHERE correlation_id = ?1";
        let booked = stored.query_row(sql, [call.correlation_id.to_string()], |row| row.get(0));
        assert_eq!(booked, Ok(1), "{call:?}");
    }
}
