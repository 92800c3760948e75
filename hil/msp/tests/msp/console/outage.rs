//! The console while its database fails.

use super::*;
use crate::peers::Program;
use aid_needs::disk::Fault;

/// A disk that fails is no error of whoever is at the console: the page says so, with a status that programs ask again after.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_fails_is_no_error_of_the_user() {
    let Some(fault) = Fault::limit() else {
        return;
    };
    let mut stage = staffed().await;
    stage.onboard().await;
    stage.msp.kill();
    stage.msp = Program::with(&stage.folder.path("msp.toml"), fault.environment());
    let mut browser = Browser::new(&stage);
    browser.sign_in("the-admin", PASSWORD).await;
    let form = browser.get("/console/do/end/alice").await.text;
    fault.begin(stage.msp.id());
    // A small write may still find room, but not for long.
    let refused = async |browser: &mut Browser, deed: &str, confirm: &str| {
        for _ in 0..1_000 {
            let seen = browser.act(deed, "why", confirm).await;
            if seen.status != 303 {
                return seen;
            }
        }
        panic!("{deed} never fails");
    };
    for (deed, confirm) in [("suspend/alice", ""), ("resume/alice", "")] {
        let seen = refused(&mut browser, deed, confirm).await;
        assert_eq!(seen.status, 503, "{deed}: {}", seen.text);
        assert!(!seen.retry.is_empty(), "{deed}");
        assert!(
            seen.text.contains("<h1>Not available now</h1>")
                && seen.text.contains("The database does not answer"),
            "{}",
            seen.text
        );
    }
    // A form fails, and the same form succeeds once the database answers.
    let field = |name: &str| {
        let value = form
            .split(&format!("name=\"{name}\" value=\""))
            .nth(1)
            .unwrap();
        value.split('"').next().unwrap().to_owned()
    };
    let (csrf, once) = (field("csrf"), field("once"));
    let sent = [
        ("csrf", csrf.as_str()),
        ("once", once.as_str()),
        ("reason", "moved"),
        ("confirm", "alice"),
    ];
    let path = "/console/do/end/alice";
    assert_eq!(browser.post(path, &sent).await.status, 503);
    // So it is for the programs of a bench.
    let api = format!("{}/v1/subscriptions/alice/suspend", stage.msp.control);
    let asked = Client::new().post(api).json(&json!({})).send().await;
    assert_eq!(asked.unwrap().status(), 503);
    // Nobody gets in without an entry in the trail; nor is their password called wrong.
    assert_eq!(browser.sign_in_anew("the-viewer").await.status, 503);
    fault.end(stage.msp.id());
    until("the console works again", async || {
        let mut again = Browser::new(&stage);
        again.sign_in("the-viewer", PASSWORD).await.status == 303
    })
    .await;
    let done = browser.post(path, &sent).await;
    assert_eq!(
        (done.status, done.location.as_str()),
        (303, "/console/subscriptions/alice")
    );
    // Sent once more, it has been done.
    assert_eq!(browser.post(path, &sent).await.status, 303);
    let audit = stage.msp.command(&["audit", "list"]);
    let ended = audit.as_array().unwrap().iter();
    let ended = ended.filter(|e| e["action"] == "subscription ended");
    assert_eq!(ended.count(), 1);
}
