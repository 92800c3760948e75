//! The dashboard of docs/grafana shows metrics that exist, by labels that they have.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use world::World;

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

/// The names in a text that begin as ours do.
fn names(text: &str) -> BTreeSet<String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(|c| !word(c))
        .filter(|w| w.starts_with("aid_"))
        .map(str::to_owned)
        .collect()
}

/// The series of a metric are named after it, with an end that says what each is.
fn metric(series: &str) -> &str {
    let ends = ["_total", "_bucket", "_sum", "_count"];
    ends.iter()
        .find_map(|end| series.strip_suffix(end))
        .unwrap_or(series)
}

fn expressions() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = std::fs::read_to_string(root.join("docs/grafana/aid-cmp.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|p| p["targets"].as_array().unwrap());
    targets
        .map(|t| t["expr"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn every_metric_of_the_dashboard_is_declared() {
    let mut files = Vec::new();
    for part in ["src", "../serve/src"] {
        sources(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join(part),
            &mut files,
        );
    }
    let mut declared = BTreeSet::new();
    for file in files {
        let text = std::fs::read_to_string(file).unwrap();
        for kind in ["Counter::new(", "Gauge::new(", "Timer::new("] {
            for rest in text.split(kind).skip(1) {
                let name = rest.trim_start().trim_start_matches('"');
                declared.extend(name.split('"').next().map(str::to_owned));
            }
        }
    }
    for expression in expressions() {
        let series = names(&expression);
        assert!(!series.is_empty(), "{expression}");
        for series in series {
            assert!(
                declared.contains(metric(&series)),
                "{series} in {expression}"
            );
        }
    }
}

// What a server shows from its start on is shown under the very names of the dashboard.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_shows_what_the_dashboard_asks_for() {
    let world = World::new().await;
    world.federate().await;
    let shown = async || {
        let answer = reqwest::get(format!("http://{}/metrics", world.admin)).await;
        names(&answer.unwrap().text().await.unwrap())
    };
    let wanted = [
        "aid_build_info",
        "aid_cmp_vehicles_online",
        "aid_cmp_logins_total",
        "aid_cmp_aid1_requests_total",
        "aid_cmp_aid1_request_seconds_bucket",
        "aid_cmp_due_calls",
        "aid_cmp_open_orders",
        "aid_cmp_webhook_events_waiting",
        "aid_certificate_expiry_seconds",
    ];
    let all = expressions().join(" ");
    let look = async {
        loop {
            let now = shown().await;
            if wanted.iter().all(|name| now.contains(*name)) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), look)
        .await
        .expect("all are shown");
    assert!(wanted.iter().all(|name| all.contains(name)));
}
