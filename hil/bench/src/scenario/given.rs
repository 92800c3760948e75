//! `[given]`: the set-up that a scenario needs.

use super::kind::{Kind, Param, USERS, may};
use super::reader::{Reader, json};
use crate::site::More;
use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::DeValue;

/// Parts whose clock can be moved, or whose disk can be full.
pub(super) const PARTS: [&str; 8] = [
    "cmp", "msp", "smdp", "car-1", "car-2", "car-3", "card-1", "card-2",
];

/// What may stand in `[given]`.
pub(super) const PARAMS: &[Param] = &[
    may(
        "cars",
        Kind::Whole(1, 3),
        "cars with a card each; default 1",
    ),
    may("users", Kind::Whole(1, 3), "users ada, bob, cyd; default 1"),
    may(
        "profiles",
        Kind::Whole(1, 99),
        "profiles at the SM-DP+; default 1",
    ),
    may(
        "pool",
        Kind::Whole(1, 99),
        "active profiles of a subscription before one is swapped; default: the MSP's",
    ),
    may(
        "memory",
        Kind::Whole(1000, 10_000_000),
        "memory of each card for profiles, bytes",
    ),
    may(
        "codes",
        Kind::Word(&["at-once", "later"]),
        "whether the MSP answers with the activation code, or sends it later",
    ),
    may(
        "linked",
        Kind::Texts,
        "users who have linked their subscriptions already",
    ),
    may(
        "gateway",
        Kind::Word(&["cmp", "mosquitto"]),
        "where cars and CMP meet; mosquitto is skipped where it is not installed",
    ),
    may(
        "euicc",
        Kind::Word(&["socket", "at"]),
        "how the agent reaches its card: APDU socket, or AT modem on a pty",
    ),
    may(
        "quirks",
        Kind::Texts,
        "how the first card misbehaves: `euicc-sim quirks` lists them",
    ),
    may(
        "shims",
        Kind::Texts,
        "parts whose clock is moved or whose disk fills up; skipped where there is no C compiler",
    ),
    may(
        "hostile",
        Kind::Flag,
        "false: no legal hostility even where the run has it",
    ),
];

/// The set-up of a scenario.
#[derive(Debug, Clone)]
pub(super) struct Given {
    pub(super) cars: usize,
    pub(super) users: usize,
    pub(super) profiles: usize,
    pub(super) pool: Option<u32>,
    pub(super) memory: Option<u32>,
    pub(super) codes: String,
    pub(super) linked: Vec<String>,
    pub(super) mosquitto: bool,
    pub(super) at: bool,
    pub(super) quirks: Vec<String>,
    pub(super) shims: Vec<String>,
    pub(super) hostile: bool,
}

impl Default for Given {
    fn default() -> Self {
        Self {
            cars: 1,
            users: 1,
            profiles: 1,
            pool: None,
            memory: None,
            codes: "at-once".into(),
            linked: Vec::new(),
            mosquitto: false,
            at: false,
            quirks: Vec::new(),
            shims: Vec::new(),
            hostile: true,
        }
    }
}

impl Given {
    /// What the set-up has beyond the first car, user and profile.
    pub(super) fn more(&self) -> More {
        More {
            cars: self.cars - 1,
            drivers: self.users - 1,
            profiles: self.profiles - 1,
            pool: self.pool,
            memory: self.memory,
            broker: self.mosquitto,
            instances: 0,
        }
    }
}

/// The name under which steps find the EID of a car: `eid`, `eid-2`.
pub(super) fn eid_name(car: usize) -> String {
    match car {
        1 => "eid".into(),
        n => format!("eid-{n}"),
    }
}

/// Reads the table.
pub(super) fn read(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Given {
    let mut given = Given::default();
    let Some(table) = value.get_ref().as_table() else {
        reader.say(value.span(), "given must be a table: [given]".into());
        return given;
    };
    let known: Vec<&str> = PARAMS.iter().map(|p| p.name).collect();
    reader.only(table, "[given]", &known);
    let mut values = Map::new();
    for param in PARAMS {
        let Some(value) = table.get(param.name) else {
            continue;
        };
        let json = json(value.get_ref());
        // Numbers are wanted before the first step: nothing is filled in here but quirks and codes.
        let early = json.as_str().is_some_and(|t| t.contains("${"))
            && !["quirks", "codes"].contains(&param.name);
        if early || !param.kind.fits(&json) {
            reader.say(
                value.span(),
                format!("[given] {} must be {}", param.name, param.kind.words()),
            );
            continue;
        }
        for text in texts(&json) {
            let (list, what): (&[&str], _) = match param.name {
                "linked" => (&USERS, "user"),
                "shims" => (&PARTS, "part"),
                _ => continue,
            };
            if !list.contains(&text.as_str()) {
                reader.say(
                    value.span(),
                    format!(
                        "[given] {}: there is no {what} {text:?}; there are {}",
                        param.name,
                        super::kind::quoted(list)
                    ),
                );
            }
        }
        values.insert(param.name.to_owned(), json);
    }
    let number = |name: &str| values.get(name).and_then(Value::as_u64);
    let count = |name: &str| number(name).and_then(|n| usize::try_from(n).ok());
    let list = |name: &str| values.get(name).map(texts).unwrap_or_default();
    let word = |name: &str| values.get(name).and_then(Value::as_str).unwrap_or_default();
    given.cars = count("cars").unwrap_or(1);
    given.users = count("users").unwrap_or(1);
    given.profiles = count("profiles").unwrap_or(1);
    given.pool = number("pool").and_then(|n| u32::try_from(n).ok());
    given.memory = number("memory").and_then(|n| u32::try_from(n).ok());
    if !word("codes").is_empty() {
        given.codes = word("codes").to_owned();
    }
    given.linked = list("linked");
    given.mosquitto = word("gateway") == "mosquitto";
    given.at = word("euicc") == "at";
    given.quirks = list("quirks");
    given.shims = list("shims");
    given.hostile = values
        .get("hostile")
        .and_then(Value::as_bool)
        .unwrap_or(true);
    for user in &given.linked {
        if USERS
            .iter()
            .position(|u| u == user)
            .is_some_and(|n| n >= given.users)
        {
            reader.say(
                value.span(),
                format!(
                    "[given] linked: {user} needs users = {}",
                    USERS.iter().position(|u| u == user).unwrap_or(0) + 1
                ),
            );
        }
    }
    given
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(list) => list
            .iter()
            .filter_map(|v| v.as_str().map(str::to_owned))
            .collect(),
        Value::String(text) => vec![text.clone()],
        _ => Vec::new(),
    }
}
