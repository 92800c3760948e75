//! Defects seeded into agent, card, CMP and MSP, each found by a scenario that is shipped, at a step that is named here. The
//! programs are the real ones: a card's quirk, a misbehaviour of the MSP, or a proxy on a link makes them wrong.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use serde_json::Value;
use std::process::Command;

/// A defect, and the scenario that finds it.
struct Defect {
    /// Name of the file that is played.
    name: &'static str,
    /// The scenario, without `.toml`.
    scenario: &'static str,
    /// The step that seeds it, and the beginning of the title of the step before which it stands (empty: the first).
    step: Option<(&'static str, &'static str)>,
    /// A further line of `[given]`.
    given: &'static str,
    /// Title of the step that fails.
    found_at: &'static str,
}

const fn on_link(
    name: &'static str,
    scenario: &'static str,
    step: (&'static str, &'static str),
    found_at: &'static str,
) -> Defect {
    Defect {
        name,
        scenario,
        step: Some(step),
        given: "",
        found_at,
    }
}

const fn in_given(
    name: &'static str,
    scenario: &'static str,
    given: &'static str,
    found_at: &'static str,
) -> Defect {
    Defect {
        name,
        scenario,
        step: None,
        given,
        found_at,
    }
}

/// The same list stands in docs/scenarios.md.
const DEFECTS: &[Defect] = &[
    on_link(
        "agent-keeps-notifications",
        "provisioning/provisioning",
        (
            r#"do = "http.fault", link = "car-smdp", fault = "status", path = "handleNotification", status = 204, times = 999"#,
            "",
        ),
        "the SM-DP+ has the card's notification of the installation",
    ),
    on_link(
        "agent-deaf-to-orders",
        "deletion/delete-in-portal",
        (
            r#"do = "link.black-hole", link = "car-cmp", car = 1"#,
            "Ada deletes",
        ),
        "it goes from the card",
    ),
    in_given(
        "card-never-switches",
        "provisioning/login-by-code",
        "quirks = [\"cat-busy=99\"]",
        "without a PIN the same comes of it: her profile is enabled",
    ),
    in_given(
        "card-without-room",
        "network/report-lost",
        "memory = 1000",
        "the profile is enabled all the same",
    ),
    on_link(
        "cmp-swallows-statuses",
        "provisioning/provisioning",
        (
            r#"do = "http.fault", link = "cmp-msp", fault = "status", path = "statuses", status = 201, times = 999"#,
            "",
        ),
        "the MSP knows it too",
    ),
    on_link(
        "cmp-keeps-withdrawals",
        "withdrawal/withdraw-at-cmp",
        (
            r#"do = "http.fault", link = "cmp-msp", fault = "status", path = "users/", status = 204, times = 999"#,
            "Ada unlinks",
        ),
        "the MSP hears that the token is invalid",
    ),
    on_link(
        "cmp-drops-updates",
        "status/subscription-update",
        (
            r#"do = "http.fault", link = "msp-cmp", fault = "status", path = "/v1/", status = 204, times = 999"#,
            "she gets another number",
        ),
        "the car shows the new one",
    ),
    on_link(
        "msp-swaps-early",
        "swap/no-swap-below-the-limit",
        (
            r#"do = "msp.misbehave", name = "early-swap", always = true"#,
            "",
        ),
        "the first stays",
    ),
    on_link(
        "msp-hides-swaps",
        "swap/pool-of-one",
        (
            r#"do = "msp.misbehave", name = "hidden-swap", always = true"#,
            "",
        ),
        "the MSP swapped it",
    ),
    on_link(
        "msp-forgets-codes",
        "provisioning/login-by-code",
        (
            r#"do = "msp.misbehave", name = "never-code", always = true"#,
            "",
        ),
        "without a PIN the same comes of it: her profile is enabled",
    ),
    on_link(
        "msp-lists-nothing",
        "status/synchronisation",
        (
            r#"do = "msp.misbehave", name = "empty-profile-status", always = true"#,
            "",
        ),
        "both sides agree, twice",
    ),
    on_link(
        "msp-keeps-withdrawals",
        "withdrawal/withdraw-at-msp",
        (
            r#"do = "msp.misbehave", name = "no-call", always = true"#,
            "the operator of the MSP",
        ),
        "the profile goes from car 1",
    ),
];

/// The scenario with the defect in it. What does not come is waited for 10 s instead of half a minute.
fn seeded(defect: &Defect) -> String {
    let file = format!(
        "{}/scenarios/{}.toml",
        env!("CARGO_MANIFEST_DIR"),
        defect.scenario
    );
    let text = std::fs::read_to_string(file).unwrap();
    let mut lines: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
    if let Some((deed, before)) = defect.step {
        let step = format!("  {{ given = \"{} is seeded\", {deed} }},", defect.name);
        let at = match before {
            "" => lines.iter().position(|l| l == "steps = [").unwrap() + 1,
            title => lines
                .iter()
                .position(|l| l.contains(&format!("= \"{title}")))
                .unwrap(),
        };
        lines.insert(at, step);
    }
    for line in &mut lines {
        let looks = line.contains(&format!("then = \"{}\"", defect.found_at));
        if looks
            && !line.contains("within")
            && let Some(end) = line.rfind(" },")
        {
            line.insert_str(end, ", within = \"10 s\"");
        }
    }
    lines.push(defect.given.to_owned());
    lines.join("\n")
}

#[test]
fn ten_seeded_defects_are_found_each_by_a_named_scenario() {
    for (party, least) in [("agent", 2), ("card", 2), ("cmp", 3), ("msp", 3)] {
        let count = DEFECTS.iter().filter(|d| d.name.starts_with(party)).count();
        assert!(count >= least, "{party}");
    }
    let folder = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for defect in DEFECTS {
        let file = folder.path().join(format!("{}.toml", defect.name));
        std::fs::write(&file, seeded(defect)).unwrap();
        files.push(file.display().to_string());
    }
    // They wait for what does not come, so many fit beside each other.
    let output = Command::new(env!("CARGO_BIN_EXE_aid-hil"))
        .args(["run", "--json", "--seed", "1", "--jobs", "8"])
        .args(&files)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let cases = report["cases"].as_array().unwrap();
    for defect in DEFECTS {
        let own = |case: &&Value| {
            let name = case["name"].as_str().unwrap_or_default();
            name.contains(defect.name)
        };
        let mut played = cases.iter().filter(own).peekable();
        assert!(played.peek().is_some(), "{}", defect.name);
        for case in played {
            assert_eq!(case["verdict"], "fail", "{}: {case}", defect.name);
            let steps = case["steps"].as_array().unwrap();
            let failed = steps.iter().find(|step| step["verdict"] == "fail");
            let title = failed.and_then(|step| step["title"].as_str());
            assert_eq!(
                title,
                Some(defect.found_at),
                "{}: {}",
                defect.name,
                case["failure"]
            );
        }
    }
}
