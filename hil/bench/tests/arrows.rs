//! Which crate may depend on which (docs/ARCHITECTURE.md, "Arrows"), and what a pure one must not link.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set itself up has failed"
)]

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// A crate, and all crates of ours that it may depend on.
const ARROWS: &[(&str, &[&str])] = &[
    // What nothing of ours stands below.
    ("aid-cli", &[]),
    ("aid-id", &[]),
    ("aid-journal", &[]),
    ("aid-needs", &[]),
    ("aid-rsp", &[]),
    ("aid-t1", &[]),
    // Protocols.
    ("aid-wire", &["aid-id"]),
    ("aid-aid1", &["aid-id"]),
    // Card.
    ("aid-euicc", &["aid-rsp"]),
    ("aid-hostile", &["aid-euicc", "aid-rsp"]),
    ("euicc-sim", &["aid-cli", "aid-euicc", "aid-rsp"]),
    // Car.
    ("aid-agent-core", &["aid-id", "aid-wire"]),
    ("aid-port", &["aid-t1"]),
    ("aid-lpa", &["aid-cli", "aid-id", "aid-port", "aid-rsp"]),
    (
        "aid-agent-hostile",
        &["aid-id", "aid-lpa", "aid-port", "aid-rsp"],
    ),
    (
        "aid-agent",
        &[
            "aid-agent-core",
            "aid-cli",
            "aid-id",
            "aid-journal",
            "aid-lpa",
            "aid-port",
            "aid-rsp",
        ],
    ),
    ("aid-hmi", &["aid-cli"]),
    // Servers.
    ("aid-serve", &["aid-cli", "aid-id"]),
    ("aid-store", &["aid-cli", "aid-id"]),
    ("aid-cmp-core", &["aid-aid1", "aid-id", "aid-wire"]),
    (
        "aid-cmp",
        &[
            "aid-aid1",
            "aid-cli",
            "aid-cmp-core",
            "aid-id",
            "aid-serve",
            "aid-store",
            "aid-wire",
        ],
    ),
    (
        "aid-hub",
        &["aid-aid1", "aid-cli", "aid-id", "aid-serve", "aid-store"],
    ),
    (
        "aid-msp",
        &["aid-aid1", "aid-cli", "aid-id", "aid-serve", "aid-store"],
    ),
    (
        "aid-smdp",
        &["aid-cli", "aid-rsp", "aid-serve", "aid-store"],
    ),
    // Bench.
    ("aid-browser", &["aid-needs"]),
    (
        "aid-sim",
        &[
            "aid-agent-core",
            "aid-aid1",
            "aid-cmp-core",
            "aid-id",
            "aid-wire",
        ],
    ),
    ("aid-report", &["aid-cli", "aid-rsp", "aid-wire"]),
    (
        "aid-judge",
        &[
            "aid-cli",
            "aid-euicc",
            "aid-id",
            "aid-lpa",
            "aid-port",
            "aid-report",
            "aid-rsp",
            "aid-serve",
            "aid-wire",
        ],
    ),
];

/// What only tests of a crate may depend on, beside `aid-needs` and the crate itself.
const TESTS: &[(&str, &str)] = &[
    ("aid-judge", "aid-id"),
    ("aid-judge", "aid-smdp"),
    ("aid-lpa", "aid-serve"),
    ("aid-msp", "aid-browser"),
    ("euicc-sim", "aid-t1"),
    ("aid-report", "aid-id"),
];

/// The only crate that may depend on all others.
const BENCH: &str = "aid-hil";

/// A crate, and crates of others that it must not link, directly or not, without its tests.
const WITHOUT: &[(&str, &[&str])] = &[
    ("aid-id", PURE),
    ("aid-wire", PURE),
    ("aid-rsp", PURE),
    ("aid-euicc", PURE),
    ("aid-t1", PURE),
    ("aid-journal", PURE),
    ("aid-agent-core", PURE),
    // Simulations run it.
    ("aid-cmp-core", PURE),
    ("aid-sim", PURE),
    (
        "euicc-sim",
        &["axum", "hyper", "rusqlite", "tokio-postgres", "rustls"],
    ),
    ("aid-agent", NO_SERVER),
    ("aid-hmi", NO_SERVER),
    ("aid-lpa", NO_SERVER),
    ("aid-port", NO_SERVER),
];
/// What a car needs of no server. (The agent's local API is axum over a socket of its own.)
const NO_SERVER: &[&str] = &["rusqlite", "tokio-postgres", "aid-serve", "aid-store"];
/// What has sockets, threads, files or a clock.
const PURE: &[&str] = &[
    "tokio",
    "mio",
    "socket2",
    "hyper",
    "reqwest",
    "rustls",
    "axum",
    "rusqlite",
    "tokio-postgres",
];

fn cargo(arguments: &[&str]) -> String {
    let done = Command::new(env!("CARGO"))
        .args(arguments)
        .args(["--locked", "--offline"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "cargo {arguments:?}: {complaint}");
    String::from_utf8(done.stdout).unwrap()
}

/// Name and kind of each crate of ours that a crate of ours depends on.
fn dependencies() -> BTreeMap<String, Vec<(String, String)>> {
    let text = cargo(&["metadata", "--format-version=1", "--no-deps"]);
    let all: Value = serde_json::from_str(&text).unwrap();
    let packages = all["packages"].as_array().unwrap();
    let name = |package: &Value| package["name"].as_str().unwrap().to_owned();
    let ours: BTreeSet<String> = packages.iter().map(name).collect();
    let of = |package: &Value| {
        let all = package["dependencies"].as_array().unwrap();
        let kind = |d: &Value| d["kind"].as_str().unwrap_or("normal").to_owned();
        let all = all.iter().map(|d| (name(d), kind(d)));
        all.filter(|(name, _)| ours.contains(name)).collect()
    };
    packages.iter().map(|p| (name(p), of(p))).collect()
}

#[test]
fn crates_depend_on_each_other_as_the_architecture_says() {
    let mut wrong = Vec::new();
    let all = dependencies();
    for (name, _) in ARROWS {
        if !all.contains_key(*name) {
            wrong.push(format!("{name} is gone; its line here is needless"));
        }
    }
    for (from, on) in &all {
        if from == BENCH {
            continue;
        }
        let Some((_, may)) = ARROWS.iter().find(|(name, _)| name == from) else {
            wrong.push(format!(
                "{from} has no line here: say what it may depend on"
            ));
            continue;
        };
        for (to, kind) in on {
            let of_a_test =
                kind == "dev" && (to == "aid-needs" || to == from || TESTS.contains(&(from, to)));
            if !may.contains(&to.as_str()) && !of_a_test {
                wrong.push(format!("{from} must not depend on {to} ({kind})"));
            }
        }
        for to in *may {
            if !on.iter().any(|(name, kind)| name == to && kind == "normal") {
                wrong.push(format!("{from} no longer depends on {to}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn pure_crates_link_no_runtime_network_or_database() {
    let mut wrong = Vec::new();
    for (name, without) in WITHOUT {
        let tree = cargo(&["tree", "-e=normal", "--prefix=none", "-p", name]);
        let linked: BTreeSet<&str> = tree.lines().filter_map(|l| l.split(' ').next()).collect();
        assert!(linked.contains(name), "{tree}");
        let bad = without.iter().filter(|crate_| linked.contains(**crate_));
        wrong.extend(bad.map(|bad| format!("{name} links {bad}")));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
