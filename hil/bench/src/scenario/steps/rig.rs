//! Power of cars, and the processes of servers and cards.

use super::super::args::Args;
use super::super::catalog::{Action, Seen};
use super::super::kind::{Kind, Param, may, must};
use super::super::members::{fit, words};
use super::super::stage::Stage;
use aid_cli::cli::Failure;
use serde_json::Value;

const CAR: Param = may("car", Kind::Car, "which car; default 1");
const PART: Param = must(
    "part",
    Kind::Word(&["cmp", "msp", "smdp", "card-1", "card-2", "card-3"]),
    "which part",
);

pub(in super::super) const ACTIONS: &[Action] = &[
    Action::does(
        "power.cut",
        "the car's unit loses power: nothing more is written, nobody is told",
        &[CAR],
        |stage, args| stage.cut_power(args.car()?).map(|()| None),
    ),
    Action::does(
        "power.on",
        "the car's unit gets power, and is connected to its CMP",
        &[
            CAR,
            may("connected", Kind::Flag, "false: it is not waited for"),
        ],
        |stage, args| match args.flag("connected") {
            Some(false) => stage.ignite(args.car()?).map(|()| None),
            _ => stage.plug(args.car()?).map(|()| None),
        },
    ),
    Action::does(
        "power.park",
        "the car is parked: its unit shuts down in an orderly way, and is out of reach",
        &[CAR],
        |stage, args| {
            stage.stop(&format!("car-{}", args.car()? + 1));
            Ok(None)
        },
    ),
    Action::does(
        "part.kill",
        "a server or a card dies (SIGKILL)",
        &[PART],
        |stage, args| {
            stage.kill(args.text("part"));
            Ok(None)
        },
    ),
    Action::does(
        "part.start",
        "a server or a card is started",
        &[PART],
        start,
    ),
    Action::does(
        "part.restart",
        "a server or a card dies (SIGKILL), and is started again",
        &[PART],
        |stage, args| {
            stage.kill(args.text("part"));
            start(stage, args)
        },
    ),
    Action::does(
        "journal.lose",
        "the journal of a car without power is lost",
        &[CAR],
        |stage, args| stage.lose_journal(args.car()?).map(|()| None),
    ),
    Action::does(
        "journal.damage",
        "each file of the journal of a car without power gets a wrong byte in its middle",
        &[CAR],
        |stage, args| stage.damage_journal(args.car()?).map(|()| None),
    ),
    Action::sees(
        "rig.messages",
        "messages that passed between two parties since the scenario began",
        &[
            may(
                "from",
                Kind::Text,
                "sender: car-1, cmp, msp, smdp, card-1, driver",
            ),
            may("to", Kind::Text, "receiver"),
            must(
                "title",
                Kind::Text,
                "a part of their title, e.g. Request Activation Code to",
            ),
            may(
                "is",
                Kind::Members,
                "members of their content, e.g. { replaceIccid = \"null\" }",
            ),
            may("count", Kind::Whole(0, 9999), "so many of them"),
            may(
                "at-least",
                Kind::Whole(0, 9999),
                "at least so many; default 1",
            ),
        ],
        messages,
    ),
];

fn start(stage: &mut Stage, args: &Args) -> Result<Option<String>, Failure> {
    let part = args.text("part");
    match stage.runs(part) {
        true => Err(Failure::new(format!("{part} runs already"))),
        false => stage.start(part).map(|()| None),
    }
}

fn messages(stage: &mut Stage, args: &Args) -> Result<Seen, Failure> {
    let fits = |given: Option<&str>, party: &str| given.is_none_or(|g| g == party);
    let (title, wanted) = (args.text("title"), args.table("is"));
    let content = |m: &aid_report::Message| {
        let fields = m
            .fields
            .iter()
            .map(|f| (f.name.clone(), Value::from(f.value.as_str())));
        Value::Object(fields.collect())
    };
    let all = stage.watch.messages();
    let found: Vec<&str> = all
        .iter()
        .filter(|m| {
            fits(args.given("from"), &m.from)
                && fits(args.given("to"), &m.to)
                && m.title.contains(title)
                && fit(&content(m), &wanted)
        })
        .map(|m| m.title.as_str())
        .collect();
    let number = found.len() as u64;
    let (ok, how) = match (args.number("count")?, args.number("at-least")?) {
        (Some(count), _) => (number == count, count.to_string()),
        (None, least) => {
            let least = least.unwrap_or(1);
            (number >= least, format!("at least {least}"))
        }
    };
    Ok(Seen {
        ok,
        expected: format!("{how} messages {title:?} {}", words(&wanted)),
        seen: format!("{number} of {} messages", all.len()),
        value: Some(number.to_string()),
    })
}
