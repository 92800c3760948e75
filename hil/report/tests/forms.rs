//! The forms of a report: table, JUnit, JSON, HTML. Whatever stands in a report, each form is well-formed, bounded and
//! runs nothing.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot set itself up has failed"
)]

use aid_report::{
    Case, Change, Colours, Comparison, Counts, FORMAT, Failure, Field, Kind, Laboratory, MAX_PAGE,
    Message, Outputs, Protocol, Report, Step, Verdict, Version, page, table,
};

const ALL: [Protocol; 8] = [
    Protocol::Aid1,
    Protocol::Aid2,
    Protocol::Aid4,
    Protocol::Page,
    Protocol::Es2,
    Protocol::Es9,
    Protocol::Apdu,
    Protocol::Deed,
];

/// A report with this text in every field that holds text.
fn report(text: &str) -> Report {
    let t = || text.to_owned();
    let message = |n: usize, protocol| Message {
        at_us: n as u64 * 1_500,
        from: t(),
        to: if n.is_multiple_of(2) {
            t()
        } else {
            format!("{text}2")
        },
        protocol,
        title: t(),
        fields: vec![Field {
            name: t(),
            value: t(),
        }],
        bytes: Some(t()),
        length: 9,
        correlation: Some(t()),
    };
    let counts = Counts {
        us: 12_345,
        apdus: 3,
        bytes: 99,
    };
    let case = |verdict: Verdict| Case {
        name: format!("{text}/{verdict}"),
        about: t(),
        clause: t(),
        requirements: vec![t(), format!("{text}-{verdict}")],
        sgp23: vec![t()],
        verdict,
        reason: Some(t()),
        failure: Some(Failure {
            expected: t(),
            seen: t(),
            repeat: t(),
        }),
        steps: vec![Step {
            title: t(),
            verdict,
            requirements: vec![t()],
            reason: Some(t()),
            at_us: 1,
            counts,
        }],
        messages: ALL
            .iter()
            .enumerate()
            .map(|(n, p)| message(n, *p))
            .collect(),
        counts,
    };
    Report {
        format: FORMAT,
        kind: Kind::Judge { target: t() },
        subject: t(),
        command: t(),
        seed: 7,
        began: t(),
        ended: t(),
        laboratory: Laboratory {
            name: t(),
            operator: t(),
            device: t(),
            versions: t(),
            remarks: t(),
        },
        versions: vec![Version {
            name: t(),
            version: t(),
        }],
        cases: Verdict::ALL.into_iter().map(case).collect(),
    }
}

/// Texts that end an element, an attribute, a style sheet, a comment or a CDATA section, and begin a script.
const ATTACKS: &[&str] = &[
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    "</style><script>alert(1)</script>",
    "</title><svg onload=alert(1)>",
    "javascript:alert(1)",
    "--><script>alert(1)</script>",
    "]]><script>alert(1)</script>",
    "</details></section></main><h1>forged</h1>",
    "&lt;script&gt; &amp; &#x3c;b&#x3e;",
    "a\u{0}b\u{1b}[31mc\u{7f}\u{202e}\u{feff}\r\nd\u{fffe}",
];

/// The page as XML: end tags for the elements that HTML leaves open, and no document type.
fn as_xml(page: &str) -> String {
    let mut text = page.replace("<!DOCTYPE html>", "");
    for tag in ["<meta "] {
        let mut out = String::new();
        let mut rest = text.as_str();
        while let Some(at) = rest.find(tag) {
            let end = at + rest[at..].find('>').unwrap();
            out.push_str(&rest[..end]);
            out.push_str("/>");
            rest = &rest[end + 1..];
        }
        out.push_str(rest);
        text = out;
    }
    text
}

#[test]
fn no_field_can_add_an_element_or_a_script_to_the_page() {
    let plain = page(&report("plain"));
    let tree = |page: &str| {
        let xml = as_xml(page);
        let document = roxmltree::Document::parse(&xml).unwrap_or_else(|e| panic!("{e}: {xml}"));
        let elements = document.descendants().filter(roxmltree::Node::is_element);
        let shape: Vec<String> = elements
            .map(|element| {
                let names: Vec<&str> = element.attributes().map(|a| a.name()).collect();
                format!("{} {names:?}", element.tag_name().name())
            })
            .collect();
        shape
    };
    let expected = tree(&plain);
    assert!(expected.iter().any(|e| e.starts_with("svg")));
    for attack in ATTACKS {
        let page = page(&report(attack));
        assert_eq!(tree(&page), expected, "{attack:?}");
        let bad = |c: char| !matches!(c, '\n' | '\t') && c.is_control();
        assert!(!page.contains(bad), "{attack:?}");
    }
    for never in [
        "<script",
        "onerror=\"",
        "style=\"",
        "http://",
        "https://",
        "url(",
        "@import",
    ] {
        let found = plain.replace("http://www.w3.org/2000/svg", "");
        assert!(!found.contains(never), "{never}");
    }
}

#[test]
fn every_diagram_is_a_well_formed_svg() {
    for attack in ATTACKS.iter().chain(&["plain"]) {
        let page = page(&report(attack));
        let mut count = 0;
        // A head of an arrow is an SVG inside of one: both are read by themselves and together.
        for (start, _) in page.match_indices("<svg xmlns") {
            let end = page[start..]
                .find("</svg></summary>")
                .or_else(|| page[start..].find("</svg><span"));
            let svg = &page[start..start + end.unwrap() + "</svg>".len()];
            let document = roxmltree::Document::parse(svg).unwrap_or_else(|e| panic!("{e}: {svg}"));
            let root = document.root_element();
            assert_eq!(
                root.tag_name().namespace(),
                Some("http://www.w3.org/2000/svg")
            );
            count += 1;
        }
        assert_eq!(count, 5 * ALL.len());
    }
}

#[test]
fn junit_is_well_formed_whatever_is_in_it() {
    for attack in ATTACKS.iter().chain(&["plain"]) {
        let xml = report(attack).to_junit().unwrap();
        let document = roxmltree::Document::parse(&xml).unwrap_or_else(|e| panic!("{e}: {xml}"));
        let count = |name: &str| {
            let all = document.descendants();
            all.filter(|node| node.has_tag_name(name)).count()
        };
        assert_eq!(count("testcase"), 5, "{attack:?}");
        assert_eq!(count("failure"), 1);
        assert_eq!(count("skipped"), 2, "skipped and inconclusive");
        let suite = document
            .descendants()
            .find(|n| n.has_tag_name("testsuite"))
            .unwrap();
        assert_eq!(suite.attribute("tests"), Some("5"));
        assert_eq!(suite.attribute("failures"), Some("1"));
        let failure = document
            .descendants()
            .find(|n| n.has_tag_name("failure"))
            .unwrap();
        let message = failure.attribute("message").unwrap();
        assert!(
            message.starts_with("expected ") && message.contains("; repeat: "),
            "{message}"
        );
    }
}

#[test]
fn the_page_of_a_giant_report_has_at_most_one_megabyte_and_says_what_is_left_out() {
    let mut many_messages = report("plain");
    let message = many_messages.cases[0].messages[0].clone();
    for case in &mut many_messages.cases {
        case.messages = vec![message.clone(); 3_000];
    }
    let long = report(&"long <text> ".repeat(100_000));
    let mut many_cases = report("plain");
    let (passed, failed) = (many_cases.cases[0].clone(), many_cases.cases[4].clone());
    many_cases.cases = vec![passed; 5_000];
    for (n, case) in many_cases.cases.iter_mut().enumerate() {
        case.name = format!("case/{n}");
        case.requirements = vec![format!("R-1-{n}")];
    }
    many_cases.cases.push(failed.clone());
    let mut many_fields = report("plain");
    many_fields.cases[0].messages[0].fields = vec![message.fields[0].clone(); 100_000];
    many_fields.cases[0].steps = vec![failed.steps[0].clone(); 100_000];
    many_fields.cases[0].requirements = vec!["R-1-1".to_owned(); 100_000];
    many_fields.versions = vec![many_fields.versions[0].clone(); 100_000];
    for (name, report, note) in [
        ("messages", many_messages, "messages have no place"),
        ("text", long, "bytes)"),
        ("cases", many_cases, "cases have no place"),
        ("fields", many_fields, "more steps are in the JSON report"),
    ] {
        let page = page(&report);
        assert!(page.len() <= MAX_PAGE, "{name}: {} bytes", page.len());
        assert!(page.contains(note), "{name}");
        assert!(page.ends_with("</html>\n"), "{name}");
        let xml = as_xml(&page);
        roxmltree::Document::parse(&xml).unwrap_or_else(|e| panic!("{name}: {e}"));
        let failures = page.matches("data-verdict=\"fail\"").count();
        assert_eq!(failures, 1, "{name}: the failed case has its place");
    }
}

#[test]
fn the_page_shows_what_a_laboratory_and_a_reader_need() {
    let mut report = report("x");
    report.laboratory.name = "Test House 9".into();
    report.laboratory.device = "TCU 5, serial 77".into();
    report.cases[4].requirements = vec!["R-7.3-8".into()];
    report.cases[4].sgp23 = vec!["4.3.2.2.1 TC_X".into()];
    let page = page(&report);
    for wanted in [
        "Test House 9",
        "TCU 5, serial 77",
        "R-7.3-8",
        "4.3.2.2.1 TC_X",
        "Seed",
        "12.3 ms, 3 APDUs, 99 bytes",
        "prefers-color-scheme:dark",
        "@media print",
        "max-width:45rem",
        "Content-Security-Policy",
    ] {
        assert!(page.contains(wanted), "{wanted}");
    }
}

#[test]
fn the_table_has_one_line_per_case_its_failure_below_and_a_summary() {
    let mut report = report("x");
    for case in &mut report.cases {
        if case.verdict != Verdict::Fail {
            case.failure = None;
        }
    }
    report.cases[4].failure = Some(Failure {
        expected: "201".into(),
        seen: "500".into(),
        repeat: "aid-hil judge cmp R-1".into(),
    });
    let plain = table(&report, Colours::Off);
    let lines: Vec<&str> = plain.lines().collect();
    let at = lines
        .iter()
        .position(|line| line.starts_with("fail"))
        .unwrap();
    assert_eq!(
        lines[at + 1].trim(),
        "expected 201; seen 500; repeat: aid-hil judge cmp R-1"
    );
    assert_eq!(
        *lines.last().unwrap(),
        "5 cases in 0.1 s: 1 pass, 1 skipped, 1 warning, 1 inconclusive, 1 fail"
    );
    assert!(!plain.contains('\u{1b}'));
    let coloured = table(&report, Colours::On);
    assert!(coloured.contains("\u{1b}[31mfail"));
    for attack in ATTACKS {
        let text = table(&self::report(attack), Colours::Off);
        assert!(
            !text.contains(|c: char| c != '\n' && c.is_control()),
            "{attack:?}"
        );
        assert_eq!(
            text.lines().count(),
            1 + 5 * 2 - 1 + 1,
            "no forged line: {text}"
        );
    }
}

#[test]
fn a_document_is_read_again_and_a_newer_one_is_refused() {
    let first = report("<&>\n\u{1b}");
    let text = first.to_json().unwrap();
    assert_eq!(Report::read(text.as_bytes()).unwrap(), first);
    let newer = text.replacen("\"format\": 1", "\"format\": 2", 1);
    let error = Report::read(newer.as_bytes()).unwrap_err().to_string();
    assert!(
        error.contains("format 2") && error.contains("newer aid-hil"),
        "{error}"
    );
    // A newer format may have other members: it is named all the same.
    let error = Report::read(br#"{"format":9,"x":{}}"#)
        .unwrap_err()
        .to_string();
    assert!(error.contains("format 9"), "{error}");
    for bad in [
        "",
        "[]",
        "{}",
        r#"{"format":"1"}"#,
        r#"{"format":0}"#,
        r#"{"format":1}"#,
        "null",
    ] {
        assert!(Report::read(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn documents_are_as_the_published_schema_says() {
    let schema = include_str!("../../../docs/report.schema.json");
    let schema: serde_json::Value = serde_json::from_str(schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let mut all = vec![report("x"), report("")];
    for kind in [Kind::Scenarios, Kind::Fleet, Kind::Demo] {
        let mut report = report("x");
        report.kind = kind;
        report.cases[0].failure = None;
        report.cases[0].reason = None;
        report.cases[0].messages.clear();
        report.cases[0].steps.clear();
        report.cases[0].sgp23.clear();
        all.push(report);
    }
    for report in all {
        let value = serde_json::to_value(&report).unwrap();
        if let Err(error) = validator.validate(&value) {
            panic!("{error} at {}", error.instance_path());
        }
        // The schema knows each member: one more, or another type, is refused.
        let mut wrong = value.clone();
        wrong["cases"][1]["verdict"] = "passed".into();
        assert!(!validator.is_valid(&wrong));
        let mut wrong = value;
        wrong["cases"][1]["surprise"] = 1.into();
        assert!(!validator.is_valid(&wrong));
    }
}

#[test]
fn a_comparison_names_what_got_worse() {
    let first = report("x");
    let mut second = report("x");
    assert!(!Comparison::of(&first, &second).worse);
    assert!(Comparison::of(&first, &second).differences.is_empty());
    second.cases[0].verdict = Verdict::Fail;
    second.cases[4].verdict = Verdict::Pass;
    second.cases[1].counts.apdus = 4;
    second.cases[2].name = "another".into();
    second.versions[0].version = "2".into();
    let comparison = Comparison::of(&first, &second);
    let changes: Vec<Change> = comparison.differences.iter().map(|d| d.change).collect();
    assert_eq!(
        changes,
        [
            Change::Worse,
            Change::Better,
            Change::New,
            Change::Gone,
            Change::Figures
        ]
    );
    assert!(comparison.worse);
    assert_eq!(comparison.versions.len(), 1);
    let text = comparison.table();
    assert!(
        text.contains("1 worse, 1 better, 1 new, 1 gone, 2 with the same verdict"),
        "{text}"
    );
    // The other way round nothing but the case that is gone is worse.
    let mut better = report("x");
    better.cases[4].verdict = Verdict::Pass;
    assert!(!Comparison::of(&first, &better).worse);
    // A case that is twice in a report is compared twice.
    let mut twice = report("x");
    twice.cases.push(twice.cases[4].clone());
    let comparison = Comparison::of(&first, &twice);
    assert_eq!(comparison.differences.len(), 1);
    assert!(comparison.worse, "a new case fails");
}

#[test]
fn outputs_are_written_and_the_cover_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    std::fs::write(file("lab.toml"), "name = \"Lab\"\noperator = \"O\"\n").unwrap();
    let outputs = Outputs {
        report: Some(file("r.json")),
        junit: Some(file("r.xml")),
        html: Some(file("r.html")),
        json: false,
        lab: Some(file("lab.toml")),
    };
    assert_eq!(outputs.laboratory().unwrap().name, "Lab");
    let report = report("x");
    outputs.write(&report).unwrap();
    assert_eq!(aid_report::open(&file("r.json")).unwrap(), report);
    assert!(
        std::fs::read_to_string(file("r.xml"))
            .unwrap()
            .starts_with("<?xml")
    );
    assert!(
        std::fs::read_to_string(file("r.html"))
            .unwrap()
            .starts_with("<!DOCTYPE html>")
    );
    for bad in ["nam = \"Lab\"", "name = 1", "name"] {
        std::fs::write(file("lab.toml"), bad).unwrap();
        let error = outputs.laboratory().unwrap_err();
        assert!(
            error.text.contains("lab.toml") && error.text.contains("line 1"),
            "{error}"
        );
    }
    let error = aid_report::open(&file("absent.json")).unwrap_err();
    assert!(error.text.contains("absent.json"), "{error}");
    assert!(report.verdict(false).unwrap_err().text.contains("1 of 5"));
    assert!(report.verdict(true).unwrap_err().text.contains("3 of 5"));
}
