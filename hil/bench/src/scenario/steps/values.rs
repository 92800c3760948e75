//! Values that were saved, compared with each other.

use super::super::args::Args;
use super::super::catalog::{Action, Seen};
use super::super::kind::{Kind, must};
use super::super::stage::Stage;
use aid_cli::cli::Failure;
use std::collections::BTreeSet;

pub(in super::super) const ACTIONS: &[Action] = &[
    Action::sees(
        "values.same",
        "saved values are all the same",
        &[must("of", Kind::Texts, "e.g. [\"${first}\", \"${again}\"]")],
        |stage, args| compare(stage, args, true),
    ),
    Action::sees(
        "values.differ",
        "saved values are all different from each other",
        &[must(
            "of",
            Kind::Texts,
            "e.g. [\"${first}\", \"${second}\"]",
        )],
        |stage, args| compare(stage, args, false),
    ),
];

#[allow(clippy::unnecessary_wraps, reason = "as every look")]
fn compare(_: &mut Stage, args: &Args, same: bool) -> Result<Seen, Failure> {
    let values = args.texts("of");
    let distinct: BTreeSet<&String> = values.iter().collect();
    let ok = match same {
        true => distinct.len() == 1,
        false => distinct.len() == values.len(),
    };
    Ok(Seen {
        ok,
        expected: format!(
            "{} values that {}",
            values.len(),
            if same { "are the same" } else { "differ" }
        ),
        seen: values.join(", "),
        value: None,
    })
}
