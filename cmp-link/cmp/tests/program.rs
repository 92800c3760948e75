//! The program as an operator uses it: every command, and one sentence for every mistake.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use aid_cmp_core::change::Change;
use serde_json::Value;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use world::World;

fn run(config: &Path, args: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_aid-cmp"))
        .args(args)
        .arg("--config")
        .arg(config)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn ok(config: &Path, args: &[&str], input: &str) -> String {
    let output = run(config, args, input);
    assert!(
        output.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// The one sentence of a mistake, and the exit code.
fn mistake(config: &Path, args: &[&str], input: &str) -> (String, i32) {
    let output = run(config, args, input);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && output.stdout.is_empty(),
        "{args:?}"
    );
    (text, output.status.code().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_adds_and_lists() {
    let world = World::new().await;
    world.federate().await;
    let config = world.config();
    let eid = world::eid(7);
    let json = |args: &[&str], input: &str| -> Value {
        serde_json::from_str(&ok(&config, &[args, &["--json"]].concat(), input)).unwrap()
    };
    let added = json(
        &["user", "add", "Bob", "--pin-stdin", "--password-stdin"],
        "long enough\n1234\n",
    );
    assert_eq!(added[0]["name"], "bob");
    // A PIN is no argument: every user of the machine sees those.
    let args = ["user", "add", "x", "--password-stdin", "--pin", "1234"];
    let (text, code) = mistake(&config, &args, "long enough");
    assert!(code == 2 && text.contains("--pin"), "{text}");
    assert_eq!(json(&["user", "list"], "").as_array().unwrap().len(), 2);
    json(&["vehicle", "add", eid.as_str()], "");
    assert_eq!(json(&["vehicle", "list"], "").as_array().unwrap().len(), 3);
    assert_eq!(json(&["msp", "list"], "")[0]["name"], "Mobile One");
    assert_eq!(json(&["federation", "list"], "")[0]["user"], "eva");
    assert_eq!(
        json(&["profile", "list"], ""),
        Value::from(Vec::<Value>::new())
    );
    assert_eq!(
        json(&["outbox", "list"], ""),
        Value::from(Vec::<Value>::new())
    );
    json(
        &[
            "order",
            "add",
            eid.as_str(),
            "logout",
            "bob",
            "--reason",
            "test",
        ],
        "",
    );
    let order = &json(&["order", "list"], "")[0];
    assert_eq!(
        (order["kind"].as_str(), order["state"].as_str()),
        (Some("logout"), Some("open"))
    );
    assert!(ok(&config, &["order", "list"], "").contains("kind=logout"));
    // An order given beside the running server reaches a car that is connected.
    let mut car = world::car::Car::connect(&world).await;
    ok(
        &config,
        &[
            "order",
            "add",
            world.eid.as_str(),
            "logout",
            "eva",
            "--reason",
            "test",
        ],
        "",
    );
    assert!(matches!(
        car.message().await.body,
        aid_wire::Down::Order { .. }
    ));
}

/// A profile of Eva's in a car, as the server would have stored it.
async fn has_profile(world: &World, iccid: &str, eid: aid_id::Eid) {
    let federation = world
        .read(async move |tx| tx.all_federations(None, 1000).await)
        .await
        .remove(0);
    let profile = aid_cmp_core::model::Profile {
        iccid: iccid.parse().unwrap(),
        federation: federation.id,
        eid,
        status: aid_cmp_core::model::ProfileStatus::Disabled,
        verdict: aid_cmp_core::model::MspVerdict::Valid,
        last_used: 1,
        created_at: 1,
    };
    let changes = vec![
        Change::PutProfile(profile),
        Change::LoggedIn(eid, world::EVA, 1),
    ];
    world.commit(changes).await;
}

const FIRST: &str = "8944500805172032953";

// R-4.3.1-18 R-4.4.2-5 R-A.4-4 R-A.4-6
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_has_the_last_word_on_orders_and_vehicles() {
    let world = World::new().await;
    let token = world.federate().await;
    let config = world.config();
    let json = |args: &[&str]| -> Value {
        let args = [args, &["--json", "--operator", "ann"]].concat();
        serde_json::from_str(&ok(&config, &args, "")).unwrap()
    };
    has_profile(&world, FIRST, world.eid).await;
    let eid = world.eid.as_str();
    // One profile, by word of the operator; asked twice, ordered once.
    let deleted = json(&["profile", "delete", FIRST, "--reason", "stolen"]);
    let order = deleted[0]["order"].as_str().unwrap().to_owned();
    let again = json(&["profile", "delete", FIRST, "--reason", "stolen"]);
    assert_eq!(again[0]["order"].as_str(), Some(order.as_str()));
    assert!(
        json(&["order", "list", "--overdue"])
            .as_array()
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        json(&["order", "list", "--open", "--vehicle", eid])[0]["order"].as_str(),
        Some(order.as_str())
    );
    assert_eq!(json(&["summary"])[0]["open_orders"], 1);
    // Nobody comes: closed with a reason, and given again.
    let closed = json(&["order", "close", &order, "--reason", "scrapped"]);
    assert_eq!(closed[0]["state"], "closed");
    let (text, _) = mistake(&config, &["order", "close", &order, "--reason", "x"], "");
    assert!(text.contains("closed already"), "{text}");
    let replayed = json(&["order", "replay", &order, "--reason", "it came back"]);
    let new = replayed[0]["order"].as_str().unwrap().to_owned();
    assert_ne!(new, order);
    let shown = json(&["order", "show", &order]);
    let events: Vec<_> = shown[0]["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|h| h["event"].as_str().unwrap())
        .collect();
    assert_eq!(events, ["given", "closed", "why", "replayed"]);
    // The old unit is gone: what was open is closed, the profile is lost, the MSP hears of it.
    let number = world::eid(9);
    let number = number.as_str();
    let exchanged = json(&["vehicle", "exchange", eid, number, "--reason", "water"]);
    assert_eq!(exchanged[0]["eid"].as_str(), Some(number));
    assert_eq!(json(&["order", "show", &new])[0]["state"], "closed");
    let old = json(&["vehicle", "show", eid]);
    assert_eq!(old[0]["replaced_by"].as_str(), Some(number));
    assert_eq!(old[0]["profiles"][0]["status"], "lost");
    let told = world.msp.wait(&format!("/v1/statuses/{token}"), 1).await;
    assert_eq!(
        (&told[0].body["status"], &told[0].body["iccid"]),
        (&"deleted".into(), &FIRST.into())
    );
    let (text, _) = mistake(&config, &["vehicle", "retire", eid, "--reason", "x"], "");
    assert!(text.contains(number), "{text}");
    json(&["vehicle", "retire", number, "--reason", "sold"]);
    // Who, what, why.
    let trail = json(&["audit", "list", "--actor", "ann"]);
    let trail: Vec<_> = trail
        .as_array()
        .unwrap()
        .iter()
        .map(|a| (a["what"].as_str().unwrap(), a["why"].as_str().unwrap()))
        .collect();
    assert_eq!(
        trail,
        [
            ("profile deletion", "stolen"),
            ("order closed", "scrapped"),
            ("order replayed", "it came back"),
            ("vehicle exchanged", "water"),
            ("vehicle retired", "sold"),
        ]
    );
    assert_eq!(
        json(&["audit", "list", "--about", number])
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

// R-4.6-2 R-4.6-3 R-4.6-6 R-7.10-1 R-7.10-2 R-7.10-5 R-7.10-6
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_synchronises_and_nothing_is_deleted() {
    let world = World::new().await;
    let token = world.federate().await;
    has_profile(&world, FIRST, world.eid).await;
    let config = world.config();
    let json = |args: &[&str]| -> Value {
        serde_json::from_str(&ok(&config, &[args, &["--json"]].concat(), "")).unwrap()
    };
    let path = format!("/v1/profiles/status/{token}");
    let answer = |list: Value| serde_json::json!({ "profiles": list }).to_string();
    world.msp.answer(
        &path,
        200,
        &answer(serde_json::json!([{"iccid": FIRST, "status": "installed"}])),
    );
    let agreed = json(&["sync", "run", "--user", "eva"]);
    assert_eq!(
        (&agreed[0]["outcome"], &agreed[0]["findings"]),
        (&"agreed".into(), &Value::Array(Vec::new()))
    );
    world
        .msp
        .answer(&path, 200, &answer(Value::Array(Vec::new())));
    let empty = json(&["sync", "run", "--all"]);
    assert_eq!(empty[0]["outcome"], "suspicious");
    assert_eq!(empty[0]["findings"][0]["iccid"], FIRST);
    world
        .msp
        .answer(&path, 404, r#"{"code":"61","error":"not found"}"#);
    let one = json(&["sync", "run", "--all", "--iccid", FIRST]);
    assert_eq!(one[0]["findings"][0]["msp"], "absent");
    world
        .msp
        .answer(&path, 404, r#"{"code":"20","error":"not found"}"#);
    assert_eq!(json(&["sync", "run", "--all"])[0]["outcome"], "failed");
    world
        .msp
        .answer(&path, 500, r#"{"code":"90","error":"broken"}"#);
    assert!(
        json(&["sync", "run", "--all"])[0]["error"]
            .as_str()
            .unwrap()
            .contains("500")
    );
    assert!(
        world
            .read(async move |tx| world::book::orders(tx, None, false).await)
            .await
            .is_empty()
    );
    assert_eq!(json(&["profile", "list"])[0]["msp_state"], "orphaned");
    let report = json(&["sync", "report"]);
    assert_eq!(
        (report.as_array().unwrap().len(), &report[0]["outcome"]),
        (1, &"failed".into())
    );
    let federation = report[0]["federation"].as_str().unwrap();
    assert_eq!(
        json(&["sync", "report", "--federation", federation])
            .as_array()
            .unwrap()
            .len(),
        4
    );
    let (text, code) = mistake(&config, &["sync", "run"], "");
    assert!(code == 2 && text.contains("--all"), "{text}");
}

// R-4.4.1-14 R-4.4.1-4 R-A.3-4 R-4.4.1-3
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_ends_links_and_forgets_users() {
    let world = World::new().await;
    let token = world.federate().await;
    has_profile(&world, FIRST, world.eid).await;
    let config = world.config();
    let json = |args: &[&str]| -> Value {
        serde_json::from_str(&ok(&config, &[args, &["--json"]].concat(), "")).unwrap()
    };
    let user = json(&["user", "show", "eva"]);
    let federation = user[0]["federations"][0]["federation"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(user[0]["vehicles"][0].as_str(), Some(world.eid.as_str()));
    let ended = json(&[
        "federation",
        "withdraw",
        &federation,
        "--reason",
        "by letter",
    ]);
    assert_eq!(ended[0]["delete_orders"], 1);
    let asked = world.msp.wait(&format!("/v1/users/{token}"), 1).await;
    assert_eq!(asked[0].method, "DELETE");
    // A car that is away keeps it, and the operator sees why.
    let kept = json(&["federation", "purge"]);
    assert_eq!(
        (&kept[0]["purged"], kept[0]["kept_because"].is_string()),
        (&false.into(), true)
    );
    let (text, _) = mistake(
        &config,
        &["federation", "withdraw", &federation, "--reason", "x"],
        "",
    );
    assert!(text.contains("ended already"), "{text}");
    // The user is forgotten at once; the reference stays while the car is away.
    json(&["user", "erase", "eva", "--reason", "asked for it"]);
    let users = json(&["user", "list"]);
    assert!(
        users[0]["name"].as_str().unwrap().starts_with("erased/"),
        "{users}"
    );
    assert!(
        mistake(&config, &["user", "show", "eva"], "")
            .0
            .contains("no user")
    );
    // The policy keeps nothing: once the profile is deleted and all is told, the link goes.
    let text = std::fs::read_to_string(&config).unwrap();
    let text = text.replacen("[aid1]", "[policy]\nkeep_days = 0\n[aid1]", 1);
    std::fs::write(&config, text).unwrap();
    let order = json(&["order", "list", "--open"])
        .as_array()
        .unwrap()
        .iter()
        .find(|o| o["kind"] == "delete")
        .unwrap()["order"]
        .as_str()
        .unwrap()
        .to_owned();
    let mut profile = world
        .read(async move |tx| tx.all_profiles(None, 1000).await)
        .await
        .remove(0);
    profile.status = aid_cmp_core::model::ProfileStatus::Deleted;
    world.commit(vec![Change::PutProfile(profile)]).await;
    json(&["order", "close", &order, "--reason", "test"]);
    for _ in 0..500 {
        if json(&["outbox", "list"]).as_array().unwrap().is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(json(&["federation", "purge"])[0]["purged"], true);
    assert!(json(&["federation", "list"]).as_array().unwrap().is_empty());
    assert!(json(&["profile", "list"]).as_array().unwrap().is_empty());
    assert!(
        !json(&["audit", "list"])
            .to_string()
            .contains(&token.to_string()),
        "the trail keeps references only"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_one_sentence() {
    let world = World::new().await;
    let config = world.config();
    let folder = world.folder.path();
    let eid = world.eid.to_string();
    let other = world::eid(9).to_string();
    for (args, input, part, code) in [
        (
            vec!["user", "add", "x", "--password-stdin"],
            "short",
            "8 to 256",
            2,
        ),
        (
            vec!["user", "add", "eva", "--password-stdin"],
            "long enough",
            "already",
            1,
        ),
        (
            vec!["user", "add", "x", "--pin-stdin", "--password-stdin"],
            "long enough\n12a4\n",
            "4 to 16",
            2,
        ),
        (
            vec!["user", "add", "erased/x", "--password-stdin"],
            "long enough",
            "erased/",
            2,
        ),
        (vec!["vehicle", "add", "123"], "", "\"123\" is no EID", 2),
        (
            vec!["vehicle", "add", &other, "--vin", "WAUZZZ4G0DN00000I"],
            "",
            "no VIN",
            2,
        ),
        (
            vec!["order", "show", "6f1ed002-ab59-4d1a-9d5a-ae1d2dd2dd1b"],
            "",
            "order list",
            1,
        ),
        (vec!["vehicle", "add", &eid], "", "already", 1),
        (
            vec!["order", "add", &eid, "delete", "1", "--reason", "test"],
            "",
            "no ICCID",
            2,
        ),
    ] {
        let (text, got) = mistake(&config, &args, input);
        assert!(
            text.contains(part) && got == code && text.trim().lines().count() == 1,
            "{text}"
        );
    }
    let good = std::fs::read_to_string(&config).unwrap();
    let bad = folder.join("bad.toml");
    for (from, to, part) in [
        ("database", "databaze", "databaze"),
        ("server.key", "ca.pem", "ca.pem"),
        ("\"server.pem\"", "\"none.pem\"", "none.pem"),
        (
            "listen = \"127.0.0.1:0\"",
            "listen = \"192.0.2.1:1\"",
            "192.0.2.1:1",
        ),
        (world::PHONE_KEY, "00", "phone_key"),
        (world::SECRET, "short", "at least 32"),
        ("\"cmp.sqlite\"", "\"mysql://h/x\"", "postgres://"),
        (
            "\"cmp.sqlite\"",
            "\"postgres://db.example/x\"",
            "verify-full",
        ),
        ("https://msp.example", "http://msp.example", "https://"),
        ("https://localhost:1\"", "localhost\"", "base_url"),
    ] {
        assert!(good.contains(from), "{from}");
        std::fs::write(&bad, good.replacen(from, to, 1)).unwrap();
        let (text, code) = mistake(&bad, &["serve"], "");
        assert!(
            text.contains(part) && code == 1 && text.trim().lines().count() == 1,
            "{text}"
        );
    }
    let busy = format!("listen = \"{}\"", world.aid1);
    std::fs::write(&bad, good.replacen("listen = \"127.0.0.1:0\"", &busy, 1)).unwrap();
    assert!(
        mistake(&bad, &["serve"], "")
            .0
            .contains("another program has it")
    );
    assert!(
        mistake(&folder.join("none.toml"), &["serve"], "")
            .0
            .contains("none.toml")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_where_it_listens_and_stops_cleanly() {
    use std::io::BufRead as _;
    let world = World::new().await;
    for signal in [rustix::process::Signal::TERM, rustix::process::Signal::INT] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_aid-cmp"))
            .args(["serve", "--trace", "--config"])
            .arg(world.config())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            (&ready["ready"], &ready["program"]),
            (&true.into(), &"aid-cmp".into())
        );
        for name in ["aid1", "portal", "gateway"] {
            let address: std::net::SocketAddr =
                ready["listen"][name].as_str().unwrap().parse().unwrap();
            assert_ne!(address.port(), 0);
        }
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0));
        line.clear();
        assert_eq!(
            out.read_line(&mut line).unwrap(),
            0,
            "one line on stdout, got {line}"
        );
    }
}

#[test]
fn the_example_is_a_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cmp.toml");
    std::fs::write(&path, ok(&path, &["example-config"], "")).unwrap();
    assert!(ok(&path, &["msp", "list"], "").contains("Example Mobile"));
    ok(&path, &["migrate"], "");
    assert!(folder.path().join("cmp.sqlite").exists());
    // Its certificates are not there: said by name.
    assert!(mistake(&path, &["check-config"], "").0.contains("pki/"));
}

// R-2-3 R-2-9 R-4.1-1
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_helps_a_user_who_forgot() {
    let world = World::new().await;
    let config = world.config();
    let json = |args: &[&str], input: &str| -> Value {
        serde_json::from_str(&ok(&config, &[args, &["--json"]].concat(), input)).unwrap()
    };
    let signed_in = world.browser().await;
    assert_eq!(signed_in.visit("/settings").await.0, 200);
    let set = ["user", "set-password", "eva", "--password-stdin"];
    assert_eq!(json(&set, "another horse\n")[0]["password"], "set");
    // Who had the old password is out; the new one signs in.
    assert_eq!(signed_in.visit("/settings").await.0, 303);
    let browser = world::Browser::new(&world);
    let enter = async |password: &str| {
        let page = browser.get("/login").await;
        let form = [
            ("csrf", world::csrf(&page)),
            ("next", "/".into()),
            ("name", "Eva".into()),
            ("password", password.into()),
        ];
        browser.post("/login", &form).await.0
    };
    assert_eq!(enter(world::PASSWORD).await, 401);
    assert_eq!(enter("another horse").await, 303);
    let pin = |args: &[&str], input: &str| {
        json(&[&["user", "set-pin", "eva"], args].concat(), input)[0]["has_pin"] == true
    };
    assert!(!pin(&["--none"], ""));
    assert!(pin(&["--pin-stdin"], "8264\n"));
    let mut car = world::car::Car::connect(&world).await;
    let outcome = car.login([1; 16], "8264").await;
    assert!(matches!(outcome, aid_wire::LoginOutcome::Accepted { .. }));
    // The user's preferences come with the profile.
    let kept = json(&["user", "preference", "set", "eva", "language", "de"], "");
    assert_eq!(kept[0]["value"], "de");
    json(&["user", "preference", "set", "eva", "seat", "low"], "");
    let kept = json(&["user", "preference", "remove", "eva", "seat"], "");
    assert_eq!(kept.as_array().unwrap().len(), 1);
    car.login([2; 16], "8264").await;
    let profile = car.user_profile().await;
    assert_eq!(profile.preferences, [("language".into(), "de".into())]);
    for (args, input, part) in [
        (
            &["user", "set-password", "eva", "--password-stdin"][..],
            "x\n",
            "8 to",
        ),
        (
            &["user", "set-password", "bob", "--password-stdin"],
            "long enough\n",
            "user list",
        ),
        (
            &["user", "set-pin", "eva", "--pin-stdin"],
            "12a4\n",
            "4 to 16",
        ),
        (&["user", "set-pin", "eva"], "", "--pin-stdin"),
        (
            &["user", "preference", "set", "eva", "No Name", "x"],
            "",
            "lower-case",
        ),
        (
            &["user", "preference", "remove", "eva", "none"],
            "",
            "preference list",
        ),
    ] {
        let (text, _) = mistake(&config, args, input);
        assert!(text.contains(part), "{args:?}: {text}");
    }
}

// Whoever was locked out, by themselves or by a stranger who knows the name, is let in by an operator.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_unlocks_a_user() {
    let mut world = World::new().await;
    world.halt().await;
    let config = world.config();
    let service = || {
        let config = aid_cmp::config::check(&world.config()).unwrap();
        std::sync::Arc::new(aid_cmp::service::Service::new(
            world.store.0.clone(),
            config,
        ))
    };
    let cmp = service();
    let wrong = aid_id::Secret::new("wrong password".into());
    let right = aid_id::Secret::new(world::PASSWORD.into());
    for _ in 0..aid_cmp_core::decide::login::MAX_ATTEMPTS {
        cmp.sign_in("eva", &wrong).await.unwrap();
    }
    let locked = cmp.sign_in("eva", &right).await.unwrap();
    assert!(matches!(locked, aid_cmp::service::SignIn::Locked(_)));
    let (text, code) = mistake(&config, &["user", "unlock", "eva"], "");
    assert!(text.contains("--reason") && code == 2, "{text}");
    let args = ["user", "unlock", "eva", "--reason", "called the hotline"];
    ok(&config, &args, "");
    let welcome = cmp.sign_in("eva", &right).await.unwrap();
    assert!(matches!(welcome, aid_cmp::service::SignIn::Welcome(_)));
    let audit = ok(&config, &["audit", "list", "--json"], "");
    assert!(audit.contains("user unlocked") && audit.contains("called the hotline"));
}

// Nothing of the name is left on the disk, whatever the write-ahead log held.
#[tokio::test(flavor = "multi_thread")]
async fn an_erased_name_is_nowhere_on_the_disk() {
    let mut world = World::new().await;
    world.halt().await;
    let config = world.config();
    let name = "remarkable-name-of-somebody";
    let pin = world.folder.path().join("pin");
    std::fs::write(&pin, "4711\n").unwrap();
    let pin = pin.display().to_string();
    let args = ["user", "add", name, "--password-stdin", "--pin-file", &pin];
    ok(&config, &args, "long enough");
    let holds = || {
        let files = std::fs::read_dir(world.folder.path()).unwrap();
        let files = files.map(|file| file.unwrap().path());
        let mut databases = files.filter(|f| f.display().to_string().contains("cmp.sqlite"));
        databases.any(|file| {
            let bytes = std::fs::read(file).unwrap();
            bytes.windows(name.len()).any(|w| w == name.as_bytes())
        })
    };
    assert!(holds());
    // The world has the database open, so that no command closes it as the last one.
    ok(
        &config,
        &["user", "erase", name, "--reason", "asked for it"],
        "",
    );
    assert!(!holds());
}
