//! What a configuration can have wrong, and what the commands that need no more than it print.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use serde_json::Value;
use std::path::Path;
use std::process::Command;
use world::World;

/// Exit code, stdout and stderr.
fn run(config: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_aid-cmp"))
        .args(args)
        .arg("--config")
        .arg(config)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// The text with the line of a key, the first one behind `section`, replaced by `line`.
fn with(text: &str, section: &str, key: &str, line: &str) -> String {
    let at = text.find(section).unwrap();
    let (before, after) = text.split_at(at);
    let mut done = false;
    let lines = after.lines().map(|old| {
        let hit = !done && old.starts_with(&format!("{key} = "));
        done |= hit;
        if hit { line } else { old }
    });
    let after: Vec<&str> = lines.collect();
    assert!(done, "{section} has no {key}");
    format!("{before}{}\n", after.join("\n"))
}

// R-5.2-8 R-6-7
#[tokio::test(flavor = "multi_thread")]
async fn every_wrong_value_is_named_in_one_sentence() {
    let world = World::new().await;
    let text = std::fs::read_to_string(world.config()).unwrap();
    let path = world.folder.path().join("wrong.toml");
    let check = |text: &str| {
        std::fs::write(&path, text).unwrap();
        run(&path, &["check-config"])
    };
    assert_eq!(check(&text).0, Some(0));
    let folder = world.folder.path().display().to_string();
    for (section, key, value) in [
        ("database", "database", format!("{folder:?}")),
        ("database", "database", "\"nowhere/cmp.sqlite\"".into()),
        ("database", "database", "\"postgres://\"".into()),
        ("[aid1]", "listen", "\"127.0.0.1\"".into()),
        ("[portal]", "listen", "\"127.0.0.1:99999\"".into()),
        ("[gateway]", "listen", "\":0\"".into()),
        ("[portal]", "base_url", "\"https://user@localhost\"".into()),
        ("[portal]", "base_url", "\"https://localhost:99999\"".into()),
        ("[portal]", "base_url", "\"https://localhost/pages\"".into()),
        ("[[msp]]", "name", "\" \"".into()),
        ("[[msp]]", "name", "\"two\\nlines\"".into()),
        ("[[msp]]", "common_name", "\"\"".into()),
        ("[[msp]]", "touchpoint", "\"https://\"".into()),
        ("[[msp]]", "touchpoint", "\"https://a.example/x#y\"".into()),
        ("[[msp]]", "redirect_uri", "\"https:// a.example\"".into()),
        // What everybody knows is no secret.
        (
            "account_pin_key",
            "account_pin_key",
            format!("{:?}", "0".repeat(64)),
        ),
        ("[[msp]]", "api_key_out", "\"changeMe1\"".into()),
        ("[[msp]]", "phone_key", format!("{:?}", "7".repeat(64))),
        // What was agreed with one MSP is not agreed with another.
        (
            "[[msp]]",
            "account_id_secret",
            format!("{:?}", world::SECRET.to_uppercase()),
        ),
    ] {
        let wrong = with(&text, section, key, &format!("{key} = {value}"));
        let (code, out, error) = check(&wrong);
        assert_eq!((code, out.as_str()), (Some(1), ""), "{key} = {value}");
        assert_eq!(error.lines().count(), 1, "{key} = {value}: {error}");
        assert!(error.contains(key), "{key} = {value}: {error}");
    }
    // Whoever can change a key has it.
    let key = world.folder.path().join("server.key");
    let mode = |mode| {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(&key, mode).unwrap();
    };
    mode(0o666);
    let (code, _, error) = check(&text);
    assert!(
        code == Some(1) && error.contains("server.key") && error.contains("0666"),
        "{error}"
    );
    mode(0o600);
    for more in [
        "account_id_ver = \" \"",
        "icon = \"http://a.example/i.svg\"",
        "icon = \"javascript:x\"",
    ] {
        let key = more.split(' ').next().unwrap();
        let wrong = text.replacen("[[msp]]", &format!("[[msp]]\n{more}"), 1);
        let (code, _, error) = check(&wrong);
        assert_eq!(code, Some(1), "{more}");
        assert!(error.contains(key), "{more}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_has_json() {
    let world = World::new().await;
    let config = world.config();
    for args in [
        &["migrate"][..],
        &["check-config"],
        &["example-config"],
        &["gateway", "acl"],
        &["summary"],
    ] {
        let (code, out, error) = run(&config, &[args, &["--json"]].concat());
        assert_eq!(code, Some(0), "{args:?}: {error}");
        let rows: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(rows.as_array().map(Vec::len), Some(1), "{args:?}: {out}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_said() {
    let world = World::new().await;
    let config = world.config();
    let nobody = "147acf15-fed5-4ae3-88b8-51eda76269dd";
    let eid = "89049032000001000000000831934057";
    for args in [
        &["sync", "report", "--federation", nobody][..],
        &["profile", "list", "--vehicle", eid],
        &["order", "list", "--vehicle", eid],
        &["order", "force-close", nobody, "--reason", "lost"],
        &["outbox", "show", nobody],
    ] {
        let (code, out, error) = run(&config, args);
        assert_eq!((code, out.as_str()), (Some(1), ""), "{args:?}");
        let name = if args.contains(&nobody) { nobody } else { eid };
        assert!(error.contains(name), "{args:?}: {error}");
    }
    // Why an operator overrides something is said, in one line.
    for reason in ["", "  ", "two\nlines", &"x".repeat(513)] {
        let args = ["order", "close", nobody, "--reason", reason];
        let (code, _, error) = run(&config, &args);
        assert_eq!(code, Some(2), "{reason:?}");
        assert!(error.contains("say why"), "{error}");
    }
}
