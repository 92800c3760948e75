//! The user at the HMI, and what the HMI shows (AID4, AID7).

use super::super::args::Args;
use super::super::catalog::{Action, Seen};
use super::super::kind::{Kind, may, must};
use super::super::members::{at, excerpt, fit, short, text, words};
use super::super::stage::Stage;
use super::look;
use crate::story::books::poll;
use aid_cli::cli::Failure;
use serde_json::Value;

const CAR: super::super::kind::Param = may("car", Kind::Car, "which car; default 1");

pub(in super::super) const ACTIONS: &[Action] = &[
    Action::does(
        "car.enter",
        "a user logs in and waits until a profile is enabled and all reports are acknowledged; saves its ICCID",
        &[CAR, must("user", Kind::User, "who")],
        enter,
    ),
    Action::does(
        "car.login",
        "a user enters name and PIN; what comes of it is for later steps",
        &[
            CAR,
            must("user", Kind::User, "who"),
            may("pin", Kind::Text, "another PIN than their own"),
        ],
        login,
    ),
    Action::does(
        "car.login-by-code",
        "a user asks for a login by a code that the car shows",
        &[CAR],
        |stage, args| stage.car(args.car()?)?.login_by_code().map(|()| None),
    ),
    Action::does(
        "car.leave",
        "the user logs out, and waits until nothing is enabled and all reports are acknowledged",
        &[CAR],
        |stage, args| {
            let car = args.car()?;
            stage.car(car)?.logout()?;
            stage.wait_nobody(car)?;
            stage.car(car)?.wait_until_told().map(|()| None)
        },
    ),
    Action::does(
        "car.logout",
        "the user logs out; what comes of it is for later steps",
        &[CAR],
        |stage, args| stage.car(args.car()?)?.logout().map(|()| None),
    ),
    Action::does(
        "car.delete",
        "the user deletes a profile at the HMI",
        &[CAR, must("iccid", Kind::Text, "the profile")],
        |stage, args| {
            stage
                .car(args.car()?)?
                .delete(args.text("iccid"))
                .map(|()| None)
        },
    ),
    Action::does(
        "car.provision",
        "the user agrees to another profile after they deleted theirs",
        &[CAR],
        |stage, args| stage.car(args.car()?)?.provision().map(|()| None),
    ),
    Action::sees(
        "car.status",
        "the status that the HMI shows",
        &[
            CAR,
            must("is", Kind::Members, "members, e.g. { phase = \"active\" }"),
        ],
        |stage, args| {
            let status = stage.car(args.car()?)?.status()?;
            let mut seen = look(&status, &args.table("is"));
            seen.value = Some(status.to_string());
            Ok(seen)
        },
    ),
    Action::sees(
        "car.event",
        "an event that the HMI shows after the last step under given or when",
        &[
            CAR,
            must("event", Kind::Texts, "its name, or one of several"),
            may("is", Kind::Members, "its members"),
            may(
                "member",
                Kind::Text,
                "the member that is saved; default: its name",
            ),
        ],
        event,
    ),
    Action::sees(
        "car.empty",
        "nobody is logged in, and no profile is enabled",
        &[CAR],
        |stage, args| {
            let status = stage.car(args.car()?)?.status()?;
            Ok(Seen {
                ok: super::super::stage::is_empty(&status),
                expected: "nobody logged in, nothing enabled".into(),
                seen: short(&format!(
                    "phase {}, session {}, profiles {}",
                    status["phase"], status["session"], status["profiles"]
                )),
                value: None,
            })
        },
    ),
    Action::sees(
        "car.active",
        "a profile is enabled; saves its ICCID",
        &[CAR, may("iccid", Kind::Text, "which one")],
        active,
    ),
    Action::sees(
        "car.card",
        "the profiles on the card, as the car says",
        &[
            CAR,
            may(
                "are",
                Kind::Texts,
                "exactly these ICCIDs; an empty list: none",
            ),
            may("has", Kind::Text, "this one among others"),
            may("lacks", Kind::Text, "not this one"),
            may("count", Kind::Whole(0, 99), "so many"),
        ],
        card,
    ),
    Action::sees(
        "car.told",
        "the CMP has acknowledged every report of the car",
        &[CAR],
        |stage, args| {
            let status = stage.car(args.car()?)?.status()?;
            let pending = &status["pending_reports"];
            Ok(Seen {
                ok: *pending == 0,
                expected: "no report pending".into(),
                seen: format!("{pending} pending"),
                value: None,
            })
        },
    ),
];

fn login(stage: &mut Stage, args: &Args) -> Result<Option<String>, Failure> {
    let who = stage.driver(args.text("user"))?;
    let pin = args.given("pin").unwrap_or(&who.pin);
    stage.car(args.car()?)?.login(who.name, pin)?;
    Ok(None)
}

fn enter(stage: &mut Stage, args: &Args) -> Result<Option<String>, Failure> {
    let (car, who) = (args.car()?, stage.driver(args.text("user"))?);
    let agent = stage.car(car)?;
    agent.login(who.name, &who.pin)?;
    let mut refused = None;
    poll("an enabled profile of the user", || {
        let status = agent.status()?;
        let (event, _) = stage.next_event(car, |e| e["event"] == "login_refused");
        refused = event.or(refused.take());
        Ok(refused.is_some()
            || (status["phase"] == "active" && status["session"]["display_name"] == who.name))
    })?;
    if let Some(event) = refused {
        return Err(Failure::new(format!("the login was refused: {event}")));
    }
    let iccid = stage.wait_active(car)?;
    agent.wait_until_told()?;
    Ok(Some(iccid))
}

fn event(stage: &mut Stage, args: &Args) -> Result<Seen, Failure> {
    let (names, wanted) = (args.texts("event"), args.table("is"));
    let is = |event: &Value| {
        let name = event["event"].as_str().unwrap_or_default();
        names.iter().any(|n| n == name) && fit(event, &wanted)
    };
    let (event, shown) = stage.next_event(args.car()?, is);
    let with = if wanted.is_empty() {
        String::new()
    } else {
        format!(" with {}", words(&wanted))
    };
    Ok(Seen {
        ok: event.is_some(),
        expected: format!("event {}{with}", names.join(" or ")),
        seen: match &event {
            Some(event) => excerpt(event, &wanted),
            None => short(&format!("events {}", shown.join(", "))),
        },
        value: event.map(|e| text(at(&e, args.given("member").unwrap_or("event")))),
    })
}

fn active(stage: &mut Stage, args: &Args) -> Result<Seen, Failure> {
    let status = stage.car(args.car()?)?.status()?;
    let list = status["profiles"].as_array().into_iter().flatten();
    let enabled = list
        .filter(|p| p["state"] == "enabled")
        .filter_map(|p| p["iccid"].as_str())
        .next();
    let fits = match (enabled, args.given("iccid")) {
        (Some(enabled), Some(wanted)) => enabled == wanted,
        (enabled, _) => enabled.is_some(),
    };
    Ok(Seen {
        ok: fits && status["phase"] == "active",
        expected: format!(
            "profile {} enabled",
            args.given("iccid").unwrap_or("of any ICCID")
        ),
        seen: short(&format!(
            "phase {}, waiting {}, profiles {}",
            status["phase"], status["waiting"], status["profiles"]
        )),
        value: enabled.map(str::to_owned),
    })
}

fn card(stage: &mut Stage, args: &Args) -> Result<Seen, Failure> {
    let card = stage.card(args.car()?)?;
    let mut wanted = Vec::new();
    let mut ok = true;
    if args.all().contains_key("are") {
        let mut are = args.texts("are");
        let mut there = card.clone();
        are.sort();
        there.sort();
        ok &= are == there;
        wanted.push(format!("exactly [{}]", are.join(", ")));
    }
    if let Some(has) = args.given("has") {
        ok &= card.iter().any(|i| i == has);
        wanted.push(format!("{has} among them"));
    }
    if let Some(lacks) = args.given("lacks") {
        ok &= card.iter().all(|i| i != lacks);
        wanted.push(format!("{lacks} not among them"));
    }
    if let Some(count) = args.number("count")? {
        ok &= card.len() as u64 == count;
        wanted.push(format!("{count} of them"));
    }
    Ok(Seen {
        ok,
        expected: format!("profiles on the card: {}", wanted.join(", ")),
        seen: format!("[{}]", card.join(", ")),
        value: card.first().cloned(),
    })
}
