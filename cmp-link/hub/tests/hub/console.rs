//! The listener for operators.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::*;

#[tokio::test(flavor = "multi_thread")]
async fn operators_onboard_and_look() {
    let world = World::new(1).await;
    let client = world.folder.client("operator");
    let at = |path: &str| format!("{}{path}", world.console());
    world.folder.issue("m5");
    let pem = std::fs::read_to_string(world.folder.path("m5.pem")).unwrap();
    let description = json!({
        "id": "m5", "role": "msp", "name": "Five <b>", "url": "https://localhost:1",
        "certificate_pem": pem, "api_key_in": "inm5", "pairs": "all",
    });
    let post = |kind: &str, body: String| {
        client
            .post(at("/api/v1/parties"))
            .header("content-type", kind.to_owned())
            .body(body)
            .send()
    };
    // A form of another site is no description.
    let answer = post("text/plain", description.to_string()).await.unwrap();
    assert_eq!(answer.status(), 415);
    let answer = post("application/json", "{".into()).await.unwrap();
    assert_eq!(answer.status(), 422);
    // Files of the hub are not read for a description that comes over the network.
    let mut file = description.clone();
    file["ca"] = json!("/etc/hostname");
    let answer = post("application/json", file.to_string()).await.unwrap();
    assert_eq!(answer.status(), 422);
    let answer = post("application/json", description.to_string())
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    let added: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    assert!(
        added["api_key_out"].is_string() && added.get("api_key_in").is_none(),
        "{added}"
    );
    // It may call at once.
    let mut call = world.token_call("m0", "c0", Uuid::new_v4());
    (call.certificate, call.client_id, call.key) = ("m5".into(), "m5".into(), "inm5".into());
    assert_eq!(world.send(&call).await.status, 201);
    let get = async |path: &str| -> Value {
        let answer = client.get(at(path)).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    };
    assert_eq!(get("/api/v1/parties").await.as_array().unwrap().len(), 3);
    assert_eq!(get("/api/v1/parties/m5").await["name"], "Five <b>");
    assert_eq!(get("/api/v1/pairs").await.as_array().unwrap().len(), 2);
    assert_eq!(
        get("/api/v1/calls/done").await[0]["operation"],
        "sendMspToken"
    );
    until("the meter", async || {
        get("/api/v1/meter").await[0]["calls"] == 1
    })
    .await;
    let audit = get("/api/v1/audit").await;
    assert_eq!(
        audit.as_array().unwrap().last().unwrap()["actor"],
        "operator"
    );
    // The pages: every one is whole, protected, and takes no markup of others.
    for (path, says) in [
        ("/", "Dead letters"),
        ("/parties", "Five &lt;b&gt;"),
        ("/pairs", "m5"),
        ("/traffic", "sendMspToken"),
    ] {
        let answer = client.get(at(path)).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        let policy = answer.headers()["content-security-policy"]
            .to_str()
            .unwrap()
            .to_owned();
        assert!(policy.contains("default-src 'none'"), "{policy}");
        let page = answer.text().await.unwrap();
        assert!(
            page.contains(says) && page.contains("<h1>") && !page.contains("<b>"),
            "{path} {page}"
        );
    }
    assert_eq!(
        client.get(at("/style.css")).send().await.unwrap().status(),
        200
    );
    // Parties are no operators, and nobody else is.
    for name in ["m0", "nobody"] {
        let answer = world
            .folder
            .client(name)
            .get(at("/api/v1/parties"))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 403, "{name}");
    }
}
