//! Guesses at customers' passwords and at CMPs' keys, many at once: no more are judged than the limit, no more passwords are
//! hashed at once than the cap, and what is refused is seen.

use crate::stage::*;

use tokio::task::JoinSet;

/// Attempts at one name in its window.
const LIMIT: usize = 10;

async fn stage(limits: &str) -> Stage {
    Stage::new("", &format!("[limits]\n{limits}\n")).await
}

/// A login by a browser of its own; the status.
async fn log_in(stage: &Stage, user: &str, password: &str) -> (u16, bool) {
    let (browser, url) = (stage.browser(), format!("{}/login", stage.msp.touchpoint));
    let csrf = csrf(browser.get(&url).send().await.unwrap()).await;
    let form = [("user", user), ("password", password), ("csrf", &csrf)];
    let answer = browser.post(&url).form(&form).send().await.unwrap();
    let retry = answer.headers().contains_key("retry-after");
    (answer.status().as_u16(), retry)
}

async fn at_once(stage: &std::sync::Arc<Stage>, user: &str, passwords: Vec<String>) -> Vec<u16> {
    let mut tasks = JoinSet::new();
    for password in passwords {
        let (stage, user) = (std::sync::Arc::clone(stage), user.to_owned());
        tasks.spawn(async move { log_in(&stage, &user, &password).await });
    }
    let mut statuses = Vec::new();
    while let Some(done) = tasks.join_next().await {
        let (status, retry) = done.unwrap();
        let refused = matches!(status, 429 | 503);
        assert_eq!(refused, retry, "{status}: when to come again");
        statuses.push(status);
    }
    statuses
}

/// What the admin listener counts.
pub(crate) async fn metrics(stage: &Stage) -> String {
    let url = format!("{}/metrics", stage.msp.admin.replace("https:", "http:"));
    reqwest::get(url).await.unwrap().text().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_guesses_are_judged_than_the_limit_however_many_come_at_once() {
    let stage = stage("login = { per_second = 1000.0, burst = 1000 }").await;
    let stage = std::sync::Arc::new(stage);
    let guesses: Vec<_> = (0..48).map(|n| format!("guessed password {n}")).collect();
    for user in ["alice", "nobody", &"somebody".repeat(40)] {
        let statuses = at_once(&stage, user, guesses.clone()).await;
        let count = |status| statuses.iter().filter(|s| **s == status).count();
        assert_eq!(count(401), LIMIT, "{user}: {statuses:?}");
        assert_eq!(count(401) + count(429) + count(503), guesses.len());
    }
    let right = vec!["wonder & land".to_owned(); 20];
    let statuses = at_once(&stage, "alice", right).await;
    assert!(statuses.iter().all(|s| *s == 429), "{statuses:?}");

    let metrics = metrics(&stage).await;
    for line in [
        "aid_msp_logins_total{result=\"wrong\"} 10",
        "aid_msp_logins_total{result=\"unknown\"} 20",
        "aid_msp_logins_total{result=\"locked\"}",
        "aid_password_hashes 0",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    let audits = stage.msp.command(&["audit", "list", "--json"]);
    let count = |action: &str| {
        let all = audits.as_array().unwrap().iter();
        all.filter(|a| a["actor"] == "alice" && a["action"] == action)
            .count()
    };
    assert_eq!(
        (count("login failed"), count("customer locked")),
        (LIMIT, 1)
    );
    let log = stage.msp.log();
    for text in [
        "wrong password",
        "too many attempts",
        "nobody has this name",
    ] {
        let mut warnings = log.lines().filter(|l| l.contains("WARN"));
        assert!(warnings.any(|l| l.contains(text)), "{text} in {log}");
    }
    assert!(!log.contains("guessed password") && !log.contains("wonder & land"));
}

// A right password takes the wrong ones before it back.
#[tokio::test(flavor = "multi_thread")]
async fn a_success_begins_the_count_anew() {
    let stage = stage("login = { per_second = 1000.0, burst = 1000 }").await;
    for _ in 0..3 {
        for _ in 0..LIMIT - 1 {
            assert_eq!(log_in(&stage, "alice", "guessed").await.0, 401);
        }
        assert_eq!(log_in(&stage, "alice", "wonder & land").await.0, 303);
    }
}

// R-6-2: without a token no key is judged, not even the right one.
#[tokio::test(flavor = "multi_thread")]
async fn keys_of_cmps_are_not_guessed_faster_than_the_limit() {
    let stage = stage("aid1 = { per_second = 0.001, burst = 4 }").await;
    let token = MspToken::from_bytes(Uuid::new_v4().into_bytes());
    let ask = |key: &str| {
        let client = MspClient::new(stage.settings_as("cmp", key)).unwrap();
        tokio::spawn(async move { code_of(client.request_invalidate(Call::new(), token).await).0 })
    };
    assert_eq!(ask("keyIn1").await.unwrap(), 404);
    let guesses = ["a", "b", "c", "d", "e", "f", "g", "h"].map(ask);
    let mut statuses = Vec::new();
    for guess in guesses {
        statuses.push(guess.await.unwrap());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [401, 401, 401, 401, 429, 429, 429, 429]);
    assert_eq!(ask("keyIn1").await.unwrap(), 429);
}
