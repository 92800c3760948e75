//! The life of parties and pairs, while the hub serves.

use serde_json::Value;
use uuid::Uuid;

use crate::world::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_party_is_added_suspended_and_removed_while_the_hub_serves() {
    let world = World::with(1, "", false).await;
    // One line: paired with everybody.
    let file = world.folder.path("m0.toml");
    let text = std::fs::read_to_string(&file).unwrap() + "pairs = \"all\"\n";
    world.folder.write("m0.toml", &text);
    world.cli(&[
        "party",
        "add",
        "--replace",
        "--file",
        file.to_str().unwrap(),
    ]);
    let probe = world.token_call("m0", "c0", Uuid::new_v4());
    world.until_answer("the pair", &probe, 201).await;
    let token = world.introduce("m0", "c0").await;
    for (suspend, resume) in [
        (
            vec!["party", "suspend", "m0"],
            vec!["party", "resume", "m0"],
        ),
        (
            vec!["party", "suspend", "c0"],
            vec!["party", "resume", "c0"],
        ),
        (
            vec!["pair", "suspend", "m0", "c0"],
            vec!["pair", "resume", "m0", "c0"],
        ),
    ] {
        let because = |mut args: Vec<&'static str>| {
            args.extend(["--reason", "an invoice"]);
            args
        };
        let status = world.status_call("c0", "m0", token);
        world.cli(&because(suspend));
        world.until_answer("closed", &status, 401).await;
        world.cli(&because(resume));
        world.until_answer("open", &status, 201).await;
    }
    let (ok, _, complaint) = world.command(&["party", "remove", "m0", "--reason", "x"]);
    assert!(!ok && complaint.contains("pairs"), "{complaint}");
    let ended = ["--reason", "the contract ended"];
    let remove = |args: &[&'static str]| [args, &ended].concat();
    // What can't be taken back is said first, and not done, in a dry run.
    for args in [
        remove(&["pair", "remove", "m0", "c0"]),
        vec!["party", "rotate-key", "m0", "--only"],
    ] {
        let would = world.cli(&[&args[..], &["--dry-run"]].concat());
        assert_eq!(would[0]["dry_run"], true, "{would}");
    }
    assert_eq!(world.cli(&["pair", "list"]).as_array().unwrap().len(), 1);
    world.cli(&remove(&["pair", "remove", "m0", "c0", "--yes"]));
    world.cli(&remove(&["party", "remove", "m0"]));
    world.until_answer("removed", &probe, 401).await;
    let audit = world.cli(&["audit"]);
    let actions: Vec<_> = audit
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["action"].as_str().unwrap().to_owned())
        .collect();
    for action in [
        "party replaced",
        "party suspended",
        "pair resumed",
        "party removed",
    ] {
        assert!(
            actions.contains(&action.to_owned()),
            "{action}: {actions:?}"
        );
    }
}

// R-6-2, R-6-5: a certificate and a key are replaced with an overlap, and no call fails.
#[tokio::test(flavor = "multi_thread")]
async fn certificates_and_keys_are_rotated_with_an_overlap() {
    let world = World::new(1).await;
    world.folder.issue("new");
    let (old, new) = (
        world.token_call("m0", "c0", Uuid::new_v4()),
        Call {
            certificate: "new".into(),
            ..world.token_call("m0", "c0", Uuid::new_v4())
        },
    );
    assert_eq!(world.send(&new).await.status, 401);
    world.cli(&["party", "rotate", "m0", "--common-name", "new"]);
    world.until_answer("the new one", &new, 201).await;
    world.until_answer("the old one", &old, 201).await;
    world.cli(&["party", "rotate", "m0", "--only"]);
    world.until_answer("no old one", &old, 401).await;
    world.until_answer("the new one", &new, 201).await;
    let made = world.cli(&["party", "rotate-key", "m0"]);
    let key = made[0]["api_key_in"].as_str().unwrap().to_owned();
    let keyed = Call { key, ..new.clone() };
    world.until_answer("the new key", &keyed, 201).await;
    world.until_answer("the old key", &new, 201).await;
    world.cli(&["party", "rotate-key", "m0", "--only"]);
    world.until_answer("no old key", &new, 401).await;
    world.until_answer("the new key", &keyed, 201).await;
    // Shown once: what is stored is a hash.
    let shown = world.cli(&["party", "show", "m0"]);
    assert!(shown[0].get("api_key_in").is_none());
    // The hub's own key at the party, and its certificate from the files.
    // The next key is made and told; it is used once the party accepts it.
    let made = world.cli(&["party", "rotate-key", "c0", "--out"]);
    let out = made[0]["api_key_out"].as_str().unwrap().to_owned();
    world.cli(&["party", "rotate", "m0", "--common-name", "other"]);
    let other = Call {
        certificate: "other".into(),
        ..keyed.clone()
    };
    world.folder.issue("other");
    // By then the hub has read both changes.
    world.until_answer("another certificate", &other, 201).await;
    let keys = world.parties["c0"].got();
    assert_eq!(keys.last().unwrap().header("api-key"), "outc0");
    world.cli(&["party", "rotate-key", "c0", "--out", "--only"]);
    let (ok, _, complaint) = world.command(&["party", "rotate-key", "c0", "--out", "--only"]);
    assert!(!ok && complaint.contains("--out"), "{complaint}");
    until("the hub's new key", async || {
        world.parties["c0"].forget();
        let call = Call {
            request_id: Uuid::new_v4(),
            ..keyed.clone()
        };
        world.send(&call).await;
        world.parties["c0"].got()[0].header("api-key") == out
    })
    .await;
    world.folder.issue("hub2");
    for end in ["pem", "key"] {
        let (from, to) = (
            world.folder.path(&format!("hub2.{end}")),
            world.folder.path(&format!("hub.{end}")),
        );
        std::fs::rename(from, to).unwrap();
    }
    until("the hub's new certificate", async || {
        world.parties["c0"].forget();
        let call = Call {
            request_id: Uuid::new_v4(),
            ..keyed.clone()
        };
        assert_eq!(world.send(&call).await.status, 201);
        world.parties["c0"].got()[0].common_name == "hub2"
    })
    .await;
}

// R-6-5: whatever a party is known by, a new certificate is accepted beside the present one.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_rotated_by_name_and_by_hash() {
    let world = World::new(1).await;
    let hash = |name: &str| {
        let chain = aid_cli::tls::certificates(&world.folder.path(name)).unwrap();
        aid_serve::peer::fingerprint(&chain[0])
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    let (url, own) = (world.parties["m0"].url.clone(), hash("m0.pem"));
    let by_hash = format!("certificate_sha256 = \"{own}\"\n");
    let file = world.folder.path("m0.toml");
    let add = [
        "party",
        "add",
        "--replace",
        "--file",
        file.to_str().unwrap(),
    ];
    for (known, more, by_name) in [
        ("by name", "", true),
        ("by both", by_hash.as_str(), true),
        ("by hash", by_hash.as_str(), false),
    ] {
        world.describe("m0", "msp", &url, more);
        if !by_name {
            let text = std::fs::read_to_string(&file).unwrap();
            world
                .folder
                .write("m0.toml", &text.replace("common_name = \"m0\"\n", ""));
        }
        world.cli(&add);
        let name = known.replace(' ', "");
        world.folder.issue(&name);
        let pem = world.folder.path(&format!("{name}.pem"));
        world.cli(&[
            "party",
            "rotate",
            "m0",
            "--certificate",
            pem.to_str().unwrap(),
        ]);
        let old = world.token_call("m0", "c0", Uuid::new_v4());
        let new = Call {
            certificate: name,
            ..world.token_call("m0", "c0", Uuid::new_v4())
        };
        world.until_answer(known, &new, 201).await;
        assert_eq!(world.send(&old).await.status, 201, "{known}");
        world.cli(&["party", "rotate", "m0", "--only"]);
        world.until_answer(known, &old, 401).await;
        assert_eq!(
            world
                .send(&Call {
                    request_id: Uuid::new_v4(),
                    ..new
                })
                .await
                .status,
            201,
            "{known}"
        );
    }
    // What would end the present certificate is refused.
    let (ok, _, complaint) = world.command(&["party", "rotate", "m0", "--common-name", "x"]);
    assert!(!ok && complaint.contains("--sha256"), "{complaint}");
    let (ok, _, complaint) = world.command(&["party", "rotate", "c0", "--sha256", &own]);
    assert!(!ok && complaint.contains("--common-name"), "{complaint}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sandbox_pairs_go_to_sandboxes_and_are_metered_apart() {
    let world = World::with(2, "", false).await;
    let sandbox = world.parties["c1"].url.clone();
    world.describe(
        "c0",
        "cmp",
        &world.parties["c0"].url,
        &format!("sandbox_url = \"{sandbox}\"\n"),
    );
    let file = world.folder.path("c0.toml");
    world.cli(&[
        "party",
        "add",
        "--replace",
        "--file",
        file.to_str().unwrap(),
    ]);
    world.cli(&["pair", "add", "m0", "c0", "--sandbox"]);
    world.cli(&["pair", "add", "m1", "c0"]);
    let live = world.token_call("m1", "c0", Uuid::new_v4());
    world.until_answer("the pairs", &live, 201).await;
    world.introduce("m0", "c0").await;
    assert_eq!(world.parties["c1"].got().len(), 1);
    assert_eq!(world.parties["c0"].got().len(), 1);
    let (ok, csv, _) = world.command(&["meter", "--csv"]);
    assert!(
        ok && csv.starts_with("day,pair,environment,operation,calls,"),
        "{csv}"
    );
    assert!(csv.ends_with("\r\n") && !csv.contains('\\'), "{csv:?}");
    let line = |pair: &str| {
        csv.lines()
            .find(|line| line.contains(pair))
            .unwrap()
            .to_owned()
    };
    assert!(
        line("m0/c0").contains(",sandbox,sendMspToken,1,0,0,0,0"),
        "{csv}"
    );
    assert!(line("m1/c0").contains(",live,sendMspToken,"), "{csv}");
}

#[test]
fn commands_say_what_is_wrong() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let world = World::new(1).await;
        let file = world.folder.path("m0.toml");
        for (args, says) in [
            (vec!["party", "add", "--file", file.to_str().unwrap()], "--replace"),
            (vec!["party", "show", "m9"], "party list"),
            (vec!["pair", "add", "m0", "c0"], "pair set"),
            (vec!["pair", "add", "c0", "m0"], "role"),
            (vec!["pair", "show", "m0", "c9"], "pair list"),
            (vec!["pair", "set", "m0", "c0", "--rate", "0"], "rate"),
            (vec!["call", "show", "99999"], "call list"),
            (vec!["party", "rotate", "m0"], "--certificate"),
            (vec!["meter", "--from", "yesterday"], "2026-11-30"),
        ] {
            let (ok, _, complaint) = world.command(&args);
            assert!(!ok && complaint.contains(says), "{args:?}: {complaint}");
        }
        let (ok, out, complaint) = world.command(&["check-config"]);
        assert!(ok && out.contains("valid"), "{complaint}");
        let (ok, out, _) = world.command(&["migrate", "--json"]);
        assert!(ok && serde_json::from_str::<Value>(&out).unwrap()[0]["migrated"] == true);
        let copy = world.folder.path("copy.sqlite");
        let backup = ["backup", copy.to_str().unwrap()];
        assert!(world.command(&backup).0 && copy.exists());
        let (ok, _, complaint) = world.command(&backup);
        assert!(!ok && complaint.contains("copy.sqlite"), "{complaint}");
        let resume = ["party", "resume", "m0", "--reason", "none"];
        let (ok, _, complaint) = world.command(&resume);
        assert!(!ok && complaint.contains("not suspended"), "{complaint}");
        for args in [["man"].as_slice(), &["completions", "bash"]] {
            let (ok, out, _) = world.command(args);
            assert!(ok && out.contains("aid-hub"));
        }
        // Keys are made where a description has none, and shown once.
        let party = "id = \"m7\"\nrole = \"msp\"\nurl = \"https://localhost:1\"\ncertificate = \"nobody.pem\"\n";
        world.folder.write("m7.toml", party);
        let file = world.folder.path("m7.toml");
        let added = world.cli(&["party", "add", "--file", file.to_str().unwrap()]);
        for key in ["api_key_in", "api_key_out"] {
            let key = added[0][key].as_str().unwrap();
            assert!(key.len() >= 32 && key.bytes().all(|b| b.is_ascii_alphanumeric()), "{key}");
        }
        assert_eq!(added[0]["certificate_sha256"].as_array().unwrap().len(), 1);
    });
}

// R-5.3-2: the tokens of a pair end with it, also those that the hub has just looked up.
#[tokio::test(flavor = "multi_thread")]
async fn a_pair_that_is_made_anew_has_no_tokens() {
    let world = World::new(1).await;
    let token = world.introduce("m0", "c0").await;
    let path = format!("/v1/profiles/status/{token}");
    let ask = world.call("c0", "m0", "GET", path, "");
    for _ in 0..2 {
        world.until_answer("the token", &ask, 200).await;
    }
    world.cli(&[
        "pair",
        "remove",
        "m0",
        "c0",
        "--reason",
        "the contract ended",
    ]);
    world.cli(&["pair", "add", "m0", "c0"]);
    world.until_answer("no token", &ask, 404).await;
}
