//! Keys, secrets and certificates change while the MSP runs: both hold for a time, then the new one only (AID.02 §5.2,
//! §6). A file with a mistake changes nothing, and the log says which file and what to do.

use crate::stage::*;

use std::net::ToSocketAddrs as _;
use std::sync::Arc;

const NEXT: &str = "another shared secret of thirty-two bytes or more";
const BACK: &str = "https://cmp.example/return";

/// Waits until the log says all of it in one line.
async fn logged(stage: &Stage, parts: &[&str]) {
    let fits = |line: &str| parts.iter().all(|part| line.contains(part));
    until(&format!("{parts:?} in the log"), async || {
        stage.msp.log().lines().any(fits)
    })
    .await;
}

/// Whether the touchpoint takes an account id that is signed with this secret.
async fn taken(stage: &Stage, secret: &str) -> bool {
    let id = account_id_by(secret, None);
    let browser = stage.browser();
    let page = stage.arrive(&browser, stage.authorize(id.as_str(), BACK));
    let status = page.await.status().as_u16();
    assert!([200, 303].contains(&status), "{status}");
    status == 200
}

/// The status that a call with this certificate and key gets for a token that nobody has; 0 if there is no connection.
async fn status(stage: &Stage, certificate: &str, key: &str) -> u16 {
    let client = MspClient::new(stage.settings_as(certificate, key)).unwrap();
    let nobody = MspToken::from_bytes(Uuid::new_v4().into_bytes());
    let refused = client.request_invalidate(Call::new(), nobody).await;
    let refused = refused.unwrap_err();
    refused.refusal().map_or(0, |(status, _)| status.as_u16())
}

/// SHA-256 of the certificate that a listener shows now.
async fn shown(stage: &Stage, url: &str) -> [u8; 32] {
    let tls = Arc::new(stage.folder.client_tls(Some("cmp")));
    let address = url
        .trim_start_matches("https://")
        .to_socket_addrs()
        .unwrap();
    let address = address.into_iter().find(|a| a.is_ipv4()).unwrap();
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let stream = tokio_rustls::TlsConnector::from(tls)
        .connect("localhost".try_into().unwrap(), stream)
        .await
        .unwrap();
    let chain = stream.get_ref().1.peer_certificates().unwrap();
    aid_serve::peer::fingerprint(&chain[0])
}

// R-5.2-8
#[tokio::test]
async fn the_secret_of_account_ids_is_replaced() {
    let stage = Stage::new("", "").await;
    assert!(taken(&stage, SECRET).await && !taken(&stage, NEXT).await);
    let (old, both) = (
        format!("account_id_secret = \"{SECRET}\""),
        format!("account_id_secret = [\"{NEXT}\", \"{SECRET}\"]"),
    );
    // A visit that has begun goes on.
    let id = account_id(None);
    let begun = stage.browser();
    let page = stage.arrive(&begun, stage.authorize(id.as_str(), BACK));
    let csrf = csrf(page.await).await;
    stage.msp.reconfigure(&old, &both);
    until("the new secret", async || taken(&stage, NEXT).await).await;
    assert!(taken(&stage, SECRET).await, "both hold");
    let form = [
        ("user", "alice"),
        ("password", "wonder & land"),
        ("csrf", &csrf),
    ];
    let login = begun.post(format!("{}/login", stage.msp.touchpoint));
    let answer = login.form(&form).send().await.unwrap();
    assert_eq!(answer.headers()["location"], "/consent");
    // Accounts are linked with the new one.
    let id = account_id_by(NEXT, None);
    let end = visit(&stage, &id, BACK, "wonder & land", "allow").await;
    assert_eq!(end, BACK);
    assert!(stage.cmp.got()[0].path.contains(id.as_str()));
    // One that is too short changes nothing.
    stage
        .msp
        .reconfigure(&both, "account_id_secret = \"too short\"");
    logged(&stage, &["ERROR", "CmpOne", "account_id_secret"]).await;
    assert!(taken(&stage, SECRET).await && taken(&stage, NEXT).await);
    stage.msp.reconfigure(
        "account_id_secret = \"too short\"",
        &format!("account_id_secret = \"{NEXT}\""),
    );
    until("the old secret's end", async || {
        !taken(&stage, SECRET).await
    })
    .await;
    assert!(taken(&stage, NEXT).await);
}

// R-6-2
#[tokio::test]
async fn api_keys_of_the_file_are_replaced() {
    let stage = Stage::new("", "").await;
    let token = stage.onboard().await;
    assert_eq!(stage.cmp.got()[0].headers["api-key"], "keyOut1");
    assert_eq!(status(&stage, "cmp", "keyIn2").await, 401);
    let (old, both) = (
        "api_key_in = \"keyIn1\"",
        "api_key_in = [\"keyIn2\", \"keyIn1\"]",
    );
    stage.msp.reconfigure(old, both);
    until("the new key", async || {
        status(&stage, "cmp", "keyIn2").await == 404
    })
    .await;
    assert_eq!(status(&stage, "cmp", "keyIn1").await, 404, "both hold");
    // What is no configuration changes nothing.
    stage.msp.reconfigure("[aid1]", "[aid2]");
    logged(&stage, &["ERROR", "msp.toml", "aid2"]).await;
    assert_eq!(status(&stage, "cmp", "keyIn1").await, 404);
    stage.msp.reconfigure("[aid2]", "[aid1]");
    stage.msp.reconfigure(both, "api_key_in = \"keyIn2\"");
    stage.msp.reconfigure("keyOut1", "keyOut2");
    until("the old key's end", async || {
        status(&stage, "cmp", "keyIn1").await == 401
    })
    .await;
    assert_eq!(status(&stage, "cmp", "keyIn2").await, 404);
    // What we send is new too.
    stage.msp.command(&["update", "--user", "alice"]);
    let got = stage.cmp.wait_for(&token.to_string(), 1).await;
    assert_eq!(got[0].headers["api-key"], "keyOut2");
    // What can't change while it runs is told.
    stage
        .msp
        .reconfigure("name = \"Test Mobile\"", "name = \"Best Mobile\"");
    logged(&stage, &["WARN", "touchpoint.name", "restart"]).await;
}

// R-6-4, R-6-5
#[tokio::test]
async fn server_certificates_are_replaced() {
    let mutual = "listen = \"127.0.0.1:0\"\ncert = \"server.pem\"\nkey = \"server.key\"\nclient_ca = \"ca.pem\"\n";
    let more = format!("\n[es2]\n{mutual}\n[admin]\n{mutual}");
    let stage = Stage::new("", &more).await;
    let listeners = [
        stage.msp.aid1.clone(),
        stage.msp.touchpoint.clone(),
        stage.msp.es2.clone().unwrap(),
        stage.msp.admin.clone(),
    ];
    let all_show = async |certificate| {
        let mut all = true;
        for url in &listeners {
            all &= shown(&stage, url).await == certificate;
        }
        all
    };
    let before = stage.folder.fingerprint("server");
    assert!(all_show(before).await);
    // A running connection goes on over it.
    let running = stage.client();
    let nobody = MspToken::from_bytes(Uuid::new_v4().into_bytes());
    let call = async || code_of(running.request_invalidate(Call::new(), nobody).await).0;
    assert_eq!(call().await, 404);
    std::fs::write(stage.folder.path("server.key"), "no key").unwrap();
    logged(&stage, &["ERROR", "server.key", "give PKCS#8"]).await;
    assert!(all_show(before).await);
    stage.folder.issue("server");
    let after = stage.folder.fingerprint("server");
    assert_ne!(before, after);
    until("the new certificate", async || all_show(after).await).await;
    assert_eq!(call().await, 404);
}

// R-6-4, R-6-5
#[tokio::test]
async fn the_ca_of_the_cmps_is_replaced() {
    let stage = Stage::new("", "").await;
    let call = async |certificate| status(&stage, certificate, "keyIn1").await;
    assert_eq!((call("cmp").await, call("other").await), (404, 0));
    let read = |name| std::fs::read_to_string(stage.folder.path(name)).unwrap();
    let both = read("ca.pem") + read("other-ca.pem").as_str();
    std::fs::write(stage.folder.path("both.pem"), both).unwrap();
    stage
        .msp
        .reconfigure("client_ca = \"ca.pem\"", "client_ca = \"both.pem\"");
    // Of a CA that holds, but of nobody.
    until("the new CA", async || call("other").await == 401).await;
    stage.msp.reconfigure(
        "common_name = \"cmp\"",
        "common_name = [\"other\", \"cmp\"]",
    );
    until("the new name", async || call("other").await == 404).await;
    assert_eq!(call("cmp").await, 404, "both hold");
    std::fs::write(stage.folder.path("both.pem"), read("other-ca.pem")).unwrap();
    until("the old CA's end", async || call("cmp").await == 0).await;
    assert_eq!(call("other").await, 404);
}

// R-6-4, R-6-5
#[tokio::test]
async fn client_certificates_are_replaced() {
    let stage = Stage::new("", "").await;
    let token = stage.onboard().await;
    let client = stage.client();
    order(&client, token, &ac_request()).await;
    let before = stage.folder.fingerprint("msp");
    let last = |peer: &Peer| peer.got().last().unwrap().certificate;
    assert_eq!([last(&stage.cmp), last(&stage.smdp)], [before; 2]);
    // Neither half of a pair alone nor a file that is not there is used.
    std::fs::remove_file(stage.folder.path("msp.key")).unwrap();
    logged(&stage, &["ERROR", "msp.key", "check path"]).await;
    order(&client, token, &ac_request()).await;
    assert_eq!(last(&stage.smdp), before);
    stage.folder.issue("msp");
    let after = stage.folder.fingerprint("msp");
    until("the new certificate at the CMP", async || {
        let calls = stage.cmp.got().len();
        stage.msp.command(&["update", "--user", "alice"]);
        stage.cmp.wait_for("", calls + 1).await;
        last(&stage.cmp) == after
    })
    .await;
    order(&client, token, &ac_request()).await;
    assert_eq!(last(&stage.smdp), after);
}

// R-6-2: operators send it to have files read again.
#[tokio::test]
async fn a_hangup_has_the_files_read_again_and_ends_nothing() {
    let stage = Stage::new("", "").await;
    let hangup = std::process::Command::new("kill")
        .args(["-HUP", &stage.msp.id().to_string()])
        .status();
    assert!(hangup.unwrap().success());
    stage
        .msp
        .reconfigure("api_key_in = \"keyIn1\"", "api_key_in = \"keyIn2\"");
    until("the new key", async || {
        status(&stage, "cmp", "keyIn2").await == 404
    })
    .await;
    stage.msp.stop();
}
