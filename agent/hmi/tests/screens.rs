//! Every state of the agent is on the screen, in words, in both languages, whatever texts come from outside.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a failed expectation is a failed test"
)]

mod support;

use serde_json::{Value, json};
use support::states::{ACCOUNT, login, profile, session, states};
use support::*;

#[test]
fn every_state_is_shown_in_both_languages() {
    let hmi = Hmi::loopback();
    let cookie = hmi.enter();
    for (name, status, en, de) in states() {
        hmi.agent.says(status);
        let german = format!("{cookie}accept-language: de-DE,de;q=0.9\r\n");
        let page = hmi.wait(&cookie, "/", en);
        assert!(page.contains("lang=\"en\""), "{name}");
        let page = hmi.wait(&german, "/", de);
        assert!(page.contains("lang=\"de\""), "{name}");
        // It changes by itself, without scripts too.
        assert!(page.contains("http-equiv=\"refresh\""), "{name}");
        assert_eq!(page.matches("<h1").count(), 1, "{name}");
    }
}

#[test]
fn an_agent_that_is_away_is_said_and_found_again() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("later.sock");
    let hmi = Hmi::start(&format!(
        "listen = \"127.0.0.1:0\"\nlanguage = \"de\"\ntheme = \"night\"#{}",
        path.display()
    ));
    let cookie = hmi.enter();
    hmi.wait(&cookie, "/", "Niemand ist angemeldet");
    // The socket leads nowhere; the stream of events ends with the next thing that is said.
    std::fs::remove_file(hmi.folder.path().join("agent.sock")).expect("remove");
    hmi.agent
        .tells(json!({"event": "status", "status": "x".repeat(2 << 20)}));
    let page = hmi.wait(&cookie, "/", "antwortet nicht");
    assert!(page.contains("class=\"night\""));
    let again = FakeAgent::serve(&hmi.folder.path().join("agent.sock"));
    again.says(with(json!({"link": "down"})));
    hmi.wait(&cookie, "/", "Keine Verbindung zum Dienst");
}

#[test]
fn the_download_is_a_bar_with_words_and_faults_say_what_to_do() {
    let hmi = Hmi::loopback();
    let cookie = hmi.enter();
    hmi.agent.says(session(json!({"phase": "downloading"})));
    hmi.wait(&cookie, "/", "being downloaded");
    for (stage, words) in [
        ("authenticating", "Step 1 of 4"),
        ("preparing", "Step 2 of 4"),
        ("installing", "Step 3 of 4"),
        ("notifying", "Step 4 of 4"),
    ] {
        hmi.agent
            .tells(json!({"event": "download_progress", "stage": stage, "apdus": 7}));
        let page = hmi.wait(&cookie, "/", words);
        assert!(page.contains("<progress max=\"100\" value="), "{page}");
    }
    hmi.agent.says(session(json!({"phase": "no_profile"})));
    for (event, words) in [
        (
            json!({"event": "installation_failed", "code": 8, "text": "the server refused"}),
            "could not be installed: the server refused",
        ),
        (
            json!({"event": "activation_code_failed", "code": 11, "reason": "no contract"}),
            "sent no profile: no contract",
        ),
        (json!({"event": "card_full"}), "The car makes room"),
        (
            json!({"event": "error", "text": "the card did not answer"}),
            "tries again by itself",
        ),
    ] {
        hmi.agent.tells(event);
        hmi.wait(&cookie, "/", words);
    }
    hmi.agent
        .tells(json!({"event": "logged_out", "account": ACCOUNT}));
    hmi.agent.says(guest());
    let page = hmi.wait(&cookie, "/", "Nobody");
    assert!(!page.contains("tries again by itself"), "{page}");
}

#[test]
fn texts_from_outside_are_texts() {
    let evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&lt;";
    let hmi = Hmi::loopback();
    let cookie = hmi.enter();
    let mut all: Vec<Value> = states().into_iter().map(|(_, status, ..)| status).collect();
    for status in &mut all {
        poison(status, evil);
    }
    for (n, mut status) in all.into_iter().enumerate() {
        // So that the page is known to be the one of this status.
        status["link"] = json!("down");
        hmi.agent.says(status);
        hmi.agent
            .tells(json!({"event": "installation_failed", "text": evil}));
        for path in ["/", "/name", "/pin", "/delete"] {
            let page = hmi.get(path, &cookie).body;
            for bad in ["<script>alert", "<img", "onerror=alert(1)>\"", "\"'>"] {
                assert!(!page.contains(bad), "{n} {path}: {page}");
            }
        }
    }
    // What a user types comes back.
    hmi.agent.says(guest());
    let form = "user=%22%3E%3Cscript%3Ealert(1)%3C/script%3E&key=a";
    assert_eq!(hmi.post("/name", &cookie, form).status, 303);
    let page = hmi.get("/name", &cookie).body;
    assert!(
        page.contains("&quot;&gt;&lt;script&gt;") && !page.contains("<script>alert"),
        "{page}"
    );
}

/// Puts a text into every text that a person or a server chose.
fn poison(value: &mut Value, evil: &str) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                if value.is_string()
                    && !["phase", "state", "cause", "account", "owner"].contains(&name.as_str())
                {
                    *value = evil.into();
                }
                poison(value, evil);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| poison(item, evil)),
        _ => {}
    }
}

#[test]
fn somebody_logs_in_by_name_and_pin_with_keys_on_the_screen() {
    let hmi = Hmi::loopback();
    let cookie = hmi.enter();
    assert_eq!(
        hmi.get("/pin", &cookie).header("location"),
        Some("/name"),
        "no name yet"
    );
    let mut user = String::new();
    for key in ["e", "v", "x", "back", "a"] {
        let form = format!("user={user}&key={key}");
        assert_eq!(
            hmi.post("/name", &cookie, &form).header("location"),
            Some("/name")
        );
        if key == "back" {
            user.pop();
        } else {
            user.push_str(key);
        }
        assert!(
            hmi.get("/name", &cookie)
                .body
                .contains(&format!("value=\"{user}\"")),
            "{user}"
        );
    }
    let answer = hmi.post("/name", &cookie, "user=eva&key=go");
    assert_eq!(answer.header("location"), Some("/pin"));
    for key in ["4", "7", "9", "back", "1", "1"] {
        assert_eq!(hmi.post("/pin", &cookie, &format!("key={key}")).status, 303);
        let page = hmi.get("/pin", &cookie).body;
        assert!(
            page.contains("PIN for eva") && !page.contains("471"),
            "{page}"
        );
    }
    assert!(hmi.get("/pin", &cookie).body.contains("Digits typed: 4"));
    assert_eq!(
        hmi.post("/pin", &cookie, "key=go").header("location"),
        Some("/")
    );
    let posts = hmi.agent.script(|s| s.posts.clone());
    assert_eq!(posts.len(), 1);
    let body: Value = serde_json::from_str(&posts[0].1).expect("JSON");
    assert_eq!(
        (posts[0].0.as_str(), body),
        ("/v1/login", json!({"user": "eva", "pin": "4711"}))
    );
    // Too short is not sent, and what was sent is gone.
    hmi.post("/name", &cookie, "user=eva&key=go");
    assert!(hmi.get("/pin", &cookie).body.contains("Type your PIN"));
    hmi.post("/pin", &cookie, "key=1");
    hmi.post("/pin", &cookie, "key=go");
    assert_eq!(hmi.agent.script(|s| s.posts.len()), 1);
    // Who logged in is offered the next time.
    hmi.agent.says(with(
        json!({"link": "down", "login": {"login_id": "01", "state": "accepted"}}),
    ));
    hmi.wait(&cookie, "/", "No connection");
    let page = hmi.get("/name", &cookie).body;
    assert!(page.contains("name=\"known\" value=\"eva\""), "{page}");
    let answer = hmi.post("/name", &cookie, "known=eva");
    assert_eq!(answer.header("location"), Some("/pin"));
}

#[test]
fn nobody_types_while_the_car_moves() {
    let hmi = Hmi::loopback();
    let cookie = hmi.enter();
    hmi.post("/name", &cookie, "user=eva&key=go");
    for _ in 0..4 {
        hmi.post("/pin", &cookie, "key=1");
    }
    hmi.agent.says(with(json!({"vehicle": {"moving": true}})));
    let page = hmi.wait(&cookie, "/", "Stop the car");
    assert!(!page.contains("href=\"/name\""), "{page}");
    for path in ["/name", "/pin"] {
        let page = hmi.get(path, &cookie).body;
        assert!(
            page.contains("Stop the car") && !page.contains("name=\"key\""),
            "{page}"
        );
    }
    // Not even by a request that the page does not offer; and what was typed is gone.
    hmi.post("/pin", &cookie, "key=go");
    assert!(hmi.agent.script(|s| s.posts.is_empty()));
    // A passenger's phone types nothing here.
    assert_eq!(hmi.post("/code", &cookie, "").status, 303);
    hmi.agent.says(guest());
    hmi.wait(&cookie, "/", "Log in with PIN");
    assert_eq!(hmi.get("/pin", &cookie).header("location"), Some("/name"));
    let posts = hmi.agent.script(|s| s.posts.clone());
    assert_eq!(posts, [("/v1/login-code".to_owned(), String::new())]);
}

#[test]
fn each_button_asks_the_agent_for_one_thing() {
    let hmi = Hmi::loopback();
    let cookie = hmi.enter();
    hmi.agent.says(session(
        json!({"phase": "active", "profiles": profile("enabled")}),
    ));
    let page = hmi.wait(&cookie, "/", "is active");
    assert!(page.contains("action=\"/logout\"") && page.contains("href=\"/delete\""));
    assert!(
        hmi.get("/delete", &cookie)
            .body
            .contains("Delete your profile from this car?")
    );
    for (form, path) in [
        ("/delete", "/v1/profiles/8900000000000000001/delete"),
        ("/logout", "/v1/logout"),
        ("/provision", "/v1/provision"),
        ("/code", "/v1/login-code"),
    ] {
        hmi.agent.script(|s| s.posts.clear());
        assert_eq!(
            hmi.post(form, &cookie, "").header("location"),
            Some("/"),
            "{form}"
        );
        let posts = hmi.agent.script(|s| s.posts.clone());
        assert_eq!(posts, [(path.to_owned(), String::new())], "{form}");
    }
    // GET changes nothing.
    hmi.agent.script(|s| s.posts.clear());
    for path in ["/logout", "/code", "/provision", "/dismiss", "/look"] {
        assert_eq!(hmi.get(path, &cookie).status, 405, "{path}");
    }
    assert!(hmi.agent.script(|s| s.posts.is_empty()));
    // What the agent refuses is said in its words.
    hmi.agent
        .script(|s| s.refusal = Some("the journal does not work"));
    let answer = hmi.post("/logout", &cookie, "");
    assert_eq!(answer.status, 409);
    assert!(
        answer
            .body
            .contains("That is not possible now: the journal does not work")
    );
}

#[test]
fn a_failure_is_read_once_and_look_and_language_can_be_chosen() {
    let hmi = Hmi::loopback();
    let cookie = hmi.enter();
    hmi.agent
        .says(with(json!({"login": login("refused", "refused")})));
    hmi.wait(&cookie, "/", "name or PIN is wrong");
    assert_eq!(hmi.post("/dismiss", &cookie, "").status, 303);
    assert!(!hmi.get("/", &cookie).body.contains("name or PIN is wrong"));
    hmi.post("/look", &cookie, "language=de");
    hmi.post("/look", &cookie, "theme=night");
    hmi.post("/look", &cookie, "theme=pink&language=fr");
    let page = hmi.get("/", &cookie).body;
    assert!(
        page.contains("lang=\"de\"") && page.contains("class=\"night\""),
        "{page}"
    );
    hmi.post("/look", &cookie, "theme=day");
    assert!(hmi.get("/", &cookie).body.contains("class=\"day\""));
}
