//! The published schema and the parser agree: on every shipped scenario, and on mistakes of every kind.

use super::super::{file, shipped};
use super::*;
use std::path::PathBuf;

fn place(file: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"))).join(file)
}

fn valid(schema: &Value, text: &str) -> bool {
    let value: toml::Value = toml::from_str(text).expect("TOML");
    let json = serde_json::to_value(value).expect("JSON");
    jsonschema::is_valid(schema, &json)
}

#[test]
fn the_published_schema_and_the_documented_steps_are_those_of_the_table() {
    let published = std::fs::read_to_string(place("scenarios/schema.json")).unwrap_or_default();
    // Values, not text: where a crate of the build asks serde_json for it (preserve_order), members keep the order in which
    // they were put in; elsewhere they are sorted.
    let published: Value = serde_json::from_str(&published).unwrap_or_default();
    assert!(
        published == schema(),
        "run: aid-hil list --schema > hil/bench/scenarios/schema.json"
    );
    let document = std::fs::read_to_string(place("../../docs/scenarios.md")).unwrap_or_default();
    let documented = document
        .split_once("## All steps\n\n")
        .map_or("", |(_, rest)| rest);
    assert!(
        documented.trim() == reference().trim(),
        "run: aid-hil list --steps, and put what it prints at the end of docs/scenarios.md"
    );
}

#[test]
fn every_shipped_scenario_is_valid_and_none_is_forgotten() {
    let schema = schema();
    let mut names = Vec::new();
    for (name, text) in shipped::FILES {
        if let Err(mistakes) = file::read(name, name, text) {
            panic!("{mistakes}");
        }
        assert!(valid(&schema, text), "{name}");
        names.push(format!("{name}.toml"));
    }
    let folder = place("scenarios");
    let mut there = Vec::new();
    for sub in std::fs::read_dir(&folder).expect("the folder") {
        let sub = sub.expect("an entry").path();
        if !sub.is_dir() {
            continue;
        }
        for file in std::fs::read_dir(&sub).expect("a folder") {
            let file = file.expect("an entry").path();
            let name = file.strip_prefix(&folder).expect("below it");
            there.push(name.display().to_string());
        }
    }
    there.sort();
    names.sort();
    assert_eq!(
        there, names,
        "shipped.rs lists the files below hil/bench/scenarios"
    );
}

/// A scenario that is right.
const RIGHT: &str = r#"title = "a title"
clause = "AID.02 §4.3"
variants = [{ name = "one", how = 1 }]

[given]
cars = 2
linked = ["ada"]

[rows]
table = [{ column = "a" }]

steps2 = 0
"#;

fn right() -> String {
    // Keys after a table belong to it, so steps stand before.
    let steps = r#"steps = [
  { when = "Ada enters", do = "car.enter", car = 2, user = "ada", save = "iccid" },
  { then = "it is on", see = "cmp.profile", iccid = "${iccid}", is = { status = "enabled" }, within = "5 s", proves = ["R-4.3-11"] },
  { when = "each", each = "table", steps = [
    { then = "so many", see = "cmp.list", list = "order", count = 0, where = { state = { not = "${column}${how}" } } },
  ] },
]
"#;
    RIGHT
        .replace("steps2 = 0\n", "")
        .replace("\n[given]", &format!("{steps}\n[given]"))
}

#[test]
fn parser_and_schema_refuse_the_same_mistakes_and_the_parser_says_where() {
    let schema = schema();
    let right = right();
    if let Err(mistakes) = file::read("right", "right.toml", &right) {
        panic!("{mistakes}");
    }
    assert!(valid(&schema, &right), "{right}");
    for (from, to, line, hint) in [
        ("title = ", "titel = ", 1, "did you mean \"title\"?"),
        ("clause = \"AID.02 §4.3\"\n", "", 1, "needs clause"),
        (
            "\"car.enter\"",
            "\"car.entr\"",
            5,
            "did you mean \"car.enter\"?",
        ),
        (
            "user = \"ada\"",
            "usr = \"ada\"",
            5,
            "did you mean \"user\"?",
        ),
        ("user = \"ada\"", "user = \"eve\"", 5, "one of \"ada\""),
        (
            "car = 2, user",
            "car = \"two\", user",
            5,
            "the number of a car",
        ),
        ("do = ", "see = ", 5, "not with see"),
        ("within = \"5 s\"", "within = \"5\"", 6, "a time such as"),
        (
            "within = \"5 s\"",
            "refused = \"x\"",
            6,
            "no key \"refused\"",
        ),
        ("[\"R-4.3-11\"]", "[\"4.3-11\"]", 6, "R-4.3-7"),
        (
            "is = { status = \"enabled\" }",
            "is = { status = { nott = \"a\" } }",
            6,
            "a table of members",
        ),
        ("iccid = \"${iccid}\", ", "", 6, "needs iccid"),
        ("list = \"order\"", "list = \"orders\"", 8, "one of"),
        ("count = 0", "count = -1", 8, "a whole number"),
        (
            "each = \"table\", steps",
            "each = \"table\", stps",
            7,
            "steps",
        ),
        ("when = \"Ada enters\", ", "", 5, "one of \"given\""),
        (
            "{ name = \"one\", how",
            "{ nam = \"one\", how",
            3,
            "needs a name",
        ),
        ("cars = 2", "cars = 12", 13, "from 1 to 3"),
        ("cars = 2", "cars = 2\nboats = 1", 14, "no key \"boats\""),
    ] {
        assert!(right.contains(from), "{from}");
        let text = right.replacen(from, to, 1);
        let Err(mistakes) = file::read("wrong", "wrong.toml", &text) else {
            panic!("{to} is accepted");
        };
        let said = mistakes.to_string();
        assert!(
            said.contains(&format!("wrong.toml:{line}: ")),
            "{to}: {said}"
        );
        assert!(said.contains(hint), "{to}: {said}");
        assert!(!valid(&schema, &text), "the schema accepts {to}");
    }
    // What no schema can say.
    for (from, to, hint) in [
        ("\"${iccid}\"", "\"${icid}\"", "did you mean ${iccid}?"),
        ("car = 2, user", "car = 3, user", "[given] has cars = 2"),
        (
            "each = \"table\"",
            "each = \"tabel\"",
            "did you mean \"table\"?",
        ),
        ("linked = [\"ada\"]", "linked = [\"bob\"]", "users = 2"),
    ] {
        let text = right.replacen(from, to, 1);
        let said = file::read("wrong", "wrong.toml", &text)
            .err()
            .map(|m| m.to_string())
            .unwrap_or_default();
        assert!(said.contains(hint), "{to}: {said}");
    }
    let said = file::read("wrong", "wrong.toml", "title = \"a\nclause = 1")
        .err()
        .map(|m| m.to_string());
    assert!(said.is_some_and(|s| s.starts_with("wrong.toml:1: ")));
}
