//! The CMP: its operator, and its books.

use super::super::args::Args;
use super::super::catalog::{Action, Seen};
use super::super::kind::{Kind, may, must};
use super::super::members::{at, text};
use super::super::stage::Stage;
use super::{count, look};
use aid_cli::cli::Failure;
use serde_json::Value;

pub(in super::super) const ACTIONS: &[Action] = &[
    Action::does(
        "cmp.run",
        "a command of the CMP's operator, e.g. [\"vehicle\", \"retire\", \"${eid}\", \"--reason\", \"sold\"]; saves what it prints",
        &[
            must("args", Kind::Texts, "its words; --config is added"),
            may(
                "member",
                Kind::Text,
                "of what it prints as JSON, the member that is saved",
            ),
        ],
        |stage, args| run(stage, args, "cmp"),
    ),
    Action::sees(
        "cmp.list",
        "a list of the CMP: `aid-cmp LIST list --json`",
        &[
            must(
                "list",
                Kind::Word(&[
                    "federation",
                    "profile",
                    "order",
                    "outbox",
                    "audit",
                    "vehicle",
                    "user",
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
        |stage, args| count(&stage.cmp_list(args.text("list"))?, args),
    ),
    Action::sees(
        "cmp.profile",
        "the last entry about a profile in the CMP's books",
        &[
            must("iccid", Kind::Text, "the profile"),
            must("is", Kind::Members, "its members: status, msp_state, …"),
        ],
        |stage, args| Ok(look(&stage.at_cmp(args.text("iccid"))?, &args.table("is"))),
    ),
    Action::sees(
        "cmp.runs",
        "a command of the CMP's operator prints JSON like this; it is run again and again until it does",
        &[
            must("args", Kind::Texts, "its words; --config is added"),
            must("is", Kind::Members, "members of what it prints"),
        ],
        runs,
    ),
];

/// A command of an operator.
pub(super) fn run(stage: &mut Stage, args: &Args, part: &str) -> Result<Option<String>, Failure> {
    let printed = stage.operate(part, &args.texts("args"))?;
    let Some(member) = args.given("member") else {
        return Ok(Some(printed.trim().to_owned()));
    };
    let value: Value = serde_json::from_str(&printed)
        .map_err(|e| Failure::new(format!("{printed:?} is no JSON: {e}")))?;
    Ok(Some(text(at(&value, member))))
}

fn runs(stage: &mut Stage, args: &Args) -> Result<Seen, Failure> {
    let printed = stage.operate("cmp", &args.texts("args"))?;
    let value: Value = serde_json::from_str(&printed)
        .map_err(|e| Failure::new(format!("{printed:?} is no JSON: {e}")))?;
    Ok(look(&value, &args.table("is")))
}
