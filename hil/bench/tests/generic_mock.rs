//! `aid-hil judge` on a generic mock, which answers each operation of the effective contract with an example that is valid by
//! its schema and remembers nothing: what needs a memory is no pass.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use aid_cli::{signal, tls};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// An example of a schema of this document.
fn example(document: &Value, schema: &Value) -> Value {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(reference.trim_start_matches('#'));
        return example(document, target.unwrap());
    }
    for given in ["example", "default"] {
        if !schema[given].is_null() {
            return schema[given].clone();
        }
    }
    if let Some(first) = schema["enum"].get(0) {
        return first.clone();
    }
    for choice in ["oneOf", "anyOf", "allOf"] {
        if let Some(first) = schema[choice].get(0) {
            return example(document, first);
        }
    }
    match (schema["type"].as_str(), schema["properties"].as_object()) {
        (_, Some(properties)) => {
            let members = properties.iter();
            let members = members.map(|(name, schema)| (name.clone(), example(document, schema)));
            Value::Object(members.collect::<Map<_, _>>())
        }
        (Some("array"), _) => Value::Array(vec![example(document, &schema["items"])]),
        (Some("integer" | "number"), _) => Value::from(1),
        (Some("boolean"), _) => Value::from(true),
        (Some("string"), _) => Value::from("example"),
        _ => Value::Object(Map::new()),
    }
}

/// Does a path of the document name this one?
fn names(pattern: &str, path: &str) -> bool {
    let (pattern, path): (Vec<_>, Vec<_>) =
        (pattern.split('/').collect(), path.split('/').collect());
    let same = |(a, b): (&&str, &&str)| a.starts_with('{') || a == b;
    pattern.len() == path.len() && pattern.iter().zip(&path).all(same)
}

/// The first success of the operation.
async fn answer(
    State(document): State<Arc<Value>>,
    method: Method,
    uri: Uri,
    _body: Bytes,
) -> Response {
    let method = method.as_str().to_lowercase();
    let paths = document["paths"].as_object().unwrap();
    let operation = paths
        .iter()
        .find(|(path, operations)| names(path, uri.path()) && operations[&method].is_object());
    let Some((_, operations)) = operation else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let responses = operations[&method]["responses"].as_object().unwrap();
    let (status, response) = responses.iter().find(|(s, _)| s.starts_with('2')).unwrap();
    let status = StatusCode::from_bytes(status.as_bytes()).unwrap();
    match response.pointer("/content/application~1json/schema") {
        Some(schema) => {
            let kind = [(header::CONTENT_TYPE, "application/json")];
            (status, kind, example(&document, schema).to_string()).into_response()
        }
        None => status.into_response(),
    }
}

fn aid_hil(args: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_aid-hil"))
        .args(args)
        .output()
        .unwrap()
}

/// The target file without the programs that it starts, with short waits.
fn without_programs(kind: &str, text: &str) -> String {
    let (head, _) = text.split_once(&format!("[[{kind}.start]]")).unwrap();
    let table = format!("[{kind}]\n");
    let head = head.replacen(
        &table,
        &format!("{table}patience = 2\nrepeats_within = 3\n"),
        1,
    );
    // Nobody but the AID1 server is there.
    match head.split_once("[cmp.vehicle]") {
        Some((before, after)) => {
            let (_, after) = after.split_once("[cmp.hooks]").unwrap();
            format!("{before}[cmp.hooks]{after}")
        }
        None => head,
    }
}

/// Names of the cases by verdict.
fn verdicts(kind: &str, document: &Value) -> BTreeMap<String, Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let site = folder.path().join("site");
    let done = aid_hil(&["init", "--dir", &site.display().to_string()]);
    assert!(done.status.success(), "{done:?}");
    let file = site.join(format!("{kind}-target.toml"));
    let text = std::fs::read_to_string(&file).unwrap();
    let parsed: toml::Table = text.parse().unwrap();
    let url = parsed[kind]["url"].as_str().unwrap().to_owned();
    let (_, port) = url.rsplit_once(':').unwrap();
    std::fs::write(&file, without_programs(kind, &text)).unwrap();

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let pki = |name: &str| site.join("pki/aid").join(name);
    let (cert, key) = (
        pki(&format!("{kind}-server.pem")),
        pki(&format!("{kind}-server.key")),
    );
    let config = tls::server_config(&cert, &key, Some(&pki("partners-ca.pem"))).unwrap();
    let address = format!("127.0.0.1:{port}");
    let listener = runtime.block_on(aid_serve::http::bind(&address)).unwrap();
    let router = Router::new()
        .fallback(answer)
        .with_state(Arc::new(document.clone()));
    let (trigger, stop) = signal::manual();
    let serving = runtime.spawn(aid_serve::http::serve(listener, Some(config), router, stop));
    let report = judged(kind, &file);
    drop(trigger);
    serving.abort();

    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for case in report["cases"].as_array().unwrap() {
        let text = |member: &str| case[member].as_str().unwrap().to_owned();
        all.entry(text("verdict")).or_default().push(text("name"));
    }
    all
}

fn judged(kind: &str, file: &Path) -> Value {
    let file = file.display().to_string();
    let done = aid_hil(&["judge", kind, "--target", &file, "--seed", "1", "--json"]);
    // A mock has failures.
    assert_eq!(done.status.code(), Some(1), "{done:?}");
    serde_json::from_slice(&done.stdout).unwrap()
}

/// Judges the mock of a contract. It must fail where it takes what a memory would refuse, and may pass only what is no
/// matter of memory: it asks for client certificates (`R-6-7`).
fn check(kind: &str, contract: &str, fails: &[&str]) {
    let file = format!("spec/annexB/effective/{contract}.openapi.json");
    let Some(text) = aid_needs::shared_text(&file) else {
        return;
    };
    let document = serde_json::from_str(&text).unwrap();
    let verdicts = verdicts(kind, &document);
    let of = |verdict: &str| verdicts.get(verdict).cloned().unwrap_or_default();
    assert_eq!(of("pass"), ["R-6-7"], "{verdicts:#?}");
    assert_eq!(of("fail"), fails, "{verdicts:#?}");
    assert_eq!(of("warning"), Vec::<String>::new());
    // Everything else needs pages, a vehicle or a token, and says so.
    assert!(of("inconclusive").len() >= 50, "{verdicts:#?}");
}

#[test]
fn a_mock_of_a_cmp_passes_nothing_that_needs_a_memory() {
    check(
        "cmp",
        "cmp-cesim-msp",
        &[
            "R-5.5-1/routes",
            "R-7.3-2/expired",
            "R-7.3-2/unknown",
            "R-7.4-5",
            "R-4.7-1",
            "R-4.8-1",
            "R-7.6-5",
            "R-7.7.2.1-5",
        ],
    );
}

#[test]
fn a_mock_of_an_msp_passes_nothing_that_needs_a_memory() {
    check(
        "msp",
        "msp-cesim-cmp",
        &[
            "R-5.5-1/routes",
            "R-7.7-9",
            "R-7.8-5",
            "R-7.9-4",
            "R-7.10-6",
        ],
    );
}
