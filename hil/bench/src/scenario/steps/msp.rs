//! The MSP: its operator, its books, and how it misbehaves (docs/msp-control.md).

use super::super::args::Args;
use super::super::catalog::{Action, Seen};
use super::super::kind::{Kind, may, must};
use super::super::stage::Stage;
use super::{cmp, count};
use aid_cli::cli::Failure;
use serde_json::{Value, json};

pub(in super::super) const ACTIONS: &[Action] = &[
    Action::does(
        "msp.run",
        "a command of the MSP's operator; saves what it prints",
        &[
            must("args", Kind::Texts, "its words; --config is added"),
            may(
                "member",
                Kind::Text,
                "of what it prints as JSON, the member that is saved",
            ),
        ],
        |stage, args| cmp::run(stage, args, "msp"),
    ),
    Action::does(
        "msp.act",
        "the MSP does something now, by its control API",
        &[
            must(
                "path",
                Kind::Text,
                "e.g. subscriptions/ada@msp.example/withdraw",
            ),
            may("body", Kind::Table, "what goes with it"),
        ],
        |stage, args| {
            note(stage)?;
            let body = Value::Object(args.table("body"));
            stage
                .control()?
                .act(args.text("path"), &body)
                .map(|()| None)
        },
    ),
    Action::does(
        "msp.misbehave",
        "the MSP misbehaves from now on, once where nothing else is said",
        &[
            must("name", Kind::Text, "a name of docs/msp-control.md"),
            may("operation", Kind::Text, "only there"),
            may("times", Kind::Whole(1, 1_000_000), "how often; default 1"),
            may("always", Kind::Flag, "until msp.behave"),
            may(
                "skip",
                Kind::Whole(0, 1_000_000),
                "opportunities that are left out first",
            ),
            may("delay", Kind::Time, "how late, for names about time"),
            may(
                "status",
                Kind::Whole(100, 599),
                "HTTP status, for names that have one",
            ),
            may(
                "code",
                Kind::Whole(0, 999),
                "code of AID.02 §5.5, for names that have one",
            ),
            may("text", Kind::Text, "for names that have one"),
            may("iccid", Kind::Text, "for names that have one"),
        ],
        misbehave,
    ),
    Action::does("msp.behave", "the MSP behaves again", &[], |stage, _| {
        stage.control()?.behave().map(|()| None)
    }),
    Action::sees(
        "msp.list",
        "a list of the MSP: `aid-msp LIST list --json`",
        &[
            must(
                "list",
                Kind::Word(&["user", "profile", "status", "order"]),
                "which one",
            ),
            may("where", Kind::Members, "only entries like this"),
            may("count", Kind::Whole(0, 9999), "so many of them"),
            may(
                "at-least",
                Kind::Whole(0, 9999),
                "at least so many; default 1",
            ),
            may(
                "member",
                Kind::Text,
                "the member of the last of them that is saved",
            ),
        ],
        |stage, args| count(&stage.msp_list(args.text("list"))?, args),
    ),
    Action::sees(
        "msp.control",
        "a list of the MSP's control API",
        &[
            must(
                "list",
                Kind::Word(&[
                    "statuses", "outbox", "events", "profiles", "orders", "audit",
                ]),
                "which one",
            ),
            may("where", Kind::Members, "only entries like this"),
            may("count", Kind::Whole(0, 9999), "so many of them"),
            may(
                "at-least",
                Kind::Whole(0, 9999),
                "at least so many; default 1",
            ),
            may(
                "member",
                Kind::Text,
                "the member of the last of them that is saved",
            ),
        ],
        |stage, args| count(&stage.control()?.list(args.text("list"))?, args),
    ),
    Action::sees(
        "msp.told",
        "the statuses that the MSP was told of a profile, in order",
        &[
            must("iccid", Kind::Text, "the profile"),
            may("are", Kind::Texts, "exactly these"),
            may("last", Kind::Text, "this one is the last"),
            may(
                "last-is-not",
                Kind::Text,
                "the last, if there is one, is not this one",
            ),
            may("once", Kind::Text, "this one is among them exactly once"),
        ],
        told,
    ),
    Action::sees(
        "msp.answered",
        "what the CMP answered to the calls of a misbehaviour: statuses and codes, e.g. \"201, 422/91\"",
        &[
            must("name", Kind::Text, "the misbehaviour"),
            must(
                "said",
                Kind::Text,
                "the answers, with commas; empty: no call was made",
            ),
        ],
        answered,
    ),
];

fn newest(stage: &Stage) -> Result<i64, Failure> {
    let events = stage.control()?.list("events?after=0")?;
    Ok(events.last().and_then(|e| e["seq"].as_i64()).unwrap_or(0))
}

/// From here on answers are looked at.
fn note(stage: &mut Stage) -> Result<(), Failure> {
    if stage.before == 0 {
        stage.before = newest(stage)?;
    }
    Ok(())
}

fn misbehave(stage: &mut Stage, args: &Args) -> Result<Option<String>, Failure> {
    stage.before = newest(stage)?;
    let name = args.text("name");
    let mut wish = json!({"name": name});
    for key in ["operation", "text", "iccid"] {
        if let Some(value) = args.given(key).filter(|v| !v.is_empty()) {
            wish[key] = json!(value);
        }
    }
    for key in ["times", "skip", "status", "code"] {
        if let Some(value) = args.number(key)? {
            wish[key] = json!(value);
        }
    }
    if args.flag("always") == Some(true) {
        wish["times"] = Value::Null;
    }
    // Short enough for a scenario where nothing else is said.
    let usual = match name {
        "late-call" | "late-code" => Some(300),
        "no-answer" => Some(1000),
        _ => None,
    };
    let given = args
        .time("delay")?
        .map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX));
    if let Some(delay) = given.or(usual) {
        wish["delay_ms"] = json!(delay);
    }
    stage.control()?.misbehave(&wish)?;
    Ok(None)
}

fn told(stage: &mut Stage, args: &Args) -> Result<Seen, Failure> {
    let iccid = args.text("iccid");
    let told = stage.told(iccid)?;
    let mut wanted = Vec::new();
    let mut ok = true;
    if args.all().contains_key("are") {
        let are = args.texts("are");
        ok &= told == are;
        wanted.push(format!("exactly [{}]", are.join(", ")));
    }
    if let Some(last) = args.given("last") {
        ok &= told.last().is_some_and(|s| s == last);
        wanted.push(format!("{last} at last"));
    }
    if let Some(not) = args.given("last-is-not") {
        ok &= told.last().is_none_or(|s| s != not);
        wanted.push(format!("not {not} at last"));
    }
    if let Some(once) = args.given("once") {
        ok &= told.iter().filter(|s| *s == once).count() == 1;
        wanted.push(format!("{once} once"));
    }
    Ok(Seen {
        ok,
        expected: format!("statuses of {iccid} at the MSP: {}", wanted.join(", ")),
        seen: format!("[{}]", told.join(", ")),
        value: told.last().cloned(),
    })
}

fn answered(stage: &mut Stage, args: &Args) -> Result<Seen, Failure> {
    let (name, wanted) = (args.text("name"), args.text("said"));
    let mut events = stage
        .control()?
        .list(&format!("events?after={}", stage.before))?;
    events.retain(|e| e["name"] == name);
    let said: Vec<String> = events
        .iter()
        .filter(|e| e["status"].is_u64())
        .map(|e| match e["code"].as_str() {
            Some(code) if !code.is_empty() => format!("{}/{code}", e["status"]),
            _ => e["status"].to_string(),
        })
        .collect();
    let said = said.join(", ");
    Ok(Seen {
        ok: !events.is_empty() && said == wanted,
        expected: format!("the CMP answers {wanted:?} to {name}"),
        seen: format!("{said:?} after {} events", events.len()),
        value: Some(said),
    })
}
