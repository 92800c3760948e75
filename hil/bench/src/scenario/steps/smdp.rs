//! The SM-DP+: its operator and its books.

use super::super::catalog::Action;
use super::super::kind::{Kind, may, must};
use super::{cmp, count};

pub(in super::super) const ACTIONS: &[Action] = &[
    Action::does(
        "smdp.run",
        "a command of the SM-DP+'s operator; saves what it prints",
        &[
            must("args", Kind::Texts, "its words; --config is added"),
            may(
                "member",
                Kind::Text,
                "of what it prints as JSON, the member that is saved",
            ),
        ],
        |stage, args| cmp::run(stage, args, "smdp"),
    ),
    Action::sees(
        "smdp.list",
        "a list of the SM-DP+: `aid-smdp LIST list --json`",
        &[
            must("list", Kind::Word(&["order", "notification"]), "which one"),
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
        |stage, args| count(&stage.smdp_list(args.text("list"))?, args),
    ),
];
