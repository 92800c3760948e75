//! Two CMPs, one of which does not answer.

use crate::stage::*;

/// Another CMP, after the first.
fn second(url: &str) -> String {
    format!(
        r#"
[[cmp]]
client_id = "CmpTwo"
url = "{url}"
ca = "ca.pem"
cert = "msp.pem"
key = "msp.key"
api_key_out = "keyOut2"
api_key_in = "keyIn2"
common_name = "other"
account_id_secret = "another secret of thirty-two bytes or more"
phone_key = "{PHONE_KEY}"
redirect_uris = ["https://second.example"]
"#
    )
}

// However many calls wait for a CMP that is away, those to another are made at once.
#[tokio::test]
async fn a_cmp_that_does_not_answer_holds_up_no_other() {
    const CALLS: usize = 40;
    let folder = Folder::new();
    let live = Peer::start(&folder, cmp).await;
    let dead = Peer::start(&folder, cmp).await;
    let smdp = Peer::start(&folder, |got, _| (200, smdp(got))).await;
    let more = second(&dead.url);
    let config = Program::configure(&folder, &live.url, &smdp.url, ["", "", &more, ""]);
    let msp = Program::start(&config);
    let stage = Stage {
        cmp: live,
        smdp,
        msp,
        folder,
    };
    let id = account_id_by("another secret of thirty-two bytes or more", None);
    let back = "https://second.example/return";
    let to = visit(&stage, &id, back, "wonder & land", "allow").await;
    assert_eq!(to, back);
    stage.onboard().await;
    dead.answer(|_, _| (0, json!(60_000)));
    let url = format!("{}/v1/subscriptions/alice/update", stage.msp.control);
    let http = reqwest::Client::new();
    for n in 0..CALLS {
        let change = json!({ "fee": n.to_string() });
        let changed = http.post(&url).json(&change).send().await.unwrap();
        assert_eq!(changed.status(), 200, "{n}");
    }
    stage.cmp.wait_for("/subscriptions/", CALLS).await;
    let held_up = dead.got().into_iter();
    let held_up = held_up.filter(|g| g.path.contains("/subscriptions/"));
    assert!(held_up.count() < CALLS / 4, "the other one was not away");
}
