//! The user at the portal of the CMP (AID6) and at the touchpoint of the MSP (AID5).

use super::super::args::Args;
use super::super::catalog::{Action, Seen};
use super::super::forms::Portal;
use super::super::kind::{Kind, Param, USERS, may, must};
use super::super::members::short;
use super::super::stage::Stage;
use crate::story::books::poll;
use crate::story::browser;
use aid_cli::cli::Failure;
use serde_json::Value;

const USER: Param = must("user", Kind::User, "who");

pub(in super::super) const ACTIONS: &[Action] = &[
    Action::does(
        "user.link",
        "a user signs in at the CMP, chooses the MSP, signs in there, agrees, and is back (§4.1)",
        &[USER],
        |stage, args| {
            let index = USERS
                .iter()
                .position(|u| *u == args.text("user"))
                .unwrap_or(0);
            stage.link_account(index).map(|()| None)
        },
    ),
    Action::does(
        "user.link-at-msp",
        "the same, begun at the MSP (§4.2)",
        &[USER],
        |stage, args| {
            let who = stage.driver(args.text("user"))?;
            let watch = stage.watch.clone();
            browser::onboard_at_msp(&stage.site, &who, &mut |step| watch.deed("driver", step))
                .map(|()| None)
        },
    ),
    Action::does(
        "user.try-to-link",
        "as user.link, whatever the MSP makes of it; saves the heading of the CMP's page, or elsewhere",
        &[USER],
        |stage, args| {
            let who = stage.driver(args.text("user"))?;
            let page = browser::come_back(&stage.site, &who);
            // That the MSP sends the browser back with an error, or answers with one, is not the question here.
            let heading = match &page {
                Ok(Some(page)) => browser::heading(page),
                Ok(None) => "elsewhere",
                Err(_) => "an error",
            };
            Ok(Some(heading.to_owned()))
        },
    ),
    Action::does(
        "user.unlink",
        "the user ends their link in the portal, where there is one, and everything that follows is done (§4.4.1)",
        &[
            USER,
            may(
                "wait",
                Kind::Flag,
                "false: nothing that follows is waited for",
            ),
        ],
        unlink,
    ),
    Action::does(
        "user.delete",
        "the user deletes one profile in the portal (§4.5)",
        &[USER, must("iccid", Kind::Text, "the profile")],
        |stage, args| {
            portal(stage, args)?
                .delete(args.text("iccid"))
                .map(|()| None)
        },
    ),
    Action::does(
        "user.approve",
        "the user enters the code that a car shows",
        &[USER, must("code", Kind::Text, "the code")],
        |stage, args| {
            portal(stage, args)?
                .approve(args.text("code"))
                .map(|()| None)
        },
    ),
    Action::sees(
        "user.page",
        "the account page of the portal",
        &[
            USER,
            may("contains", Kind::Texts, "all of these"),
            may("lacks", Kind::Texts, "none of these"),
        ],
        page,
    ),
];

fn portal(stage: &Stage, args: &Args) -> Result<Portal, Failure> {
    Portal::sign_in(&stage.site, &stage.driver(args.text("user"))?)
}

fn page(stage: &mut Stage, args: &Args) -> Result<Seen, Failure> {
    let page = portal(stage, args)?.account()?;
    let (contains, lacks) = (args.texts("contains"), args.texts("lacks"));
    let ok = contains.iter().all(|t| page.contains(t)) && !lacks.iter().any(|t| page.contains(t));
    let body = page
        .split_once("<body")
        .map_or(page.as_str(), |(_, body)| body);
    Ok(Seen {
        ok,
        expected: format!(
            "a page with [{}], without [{}]",
            contains.join(", "),
            lacks.join(", ")
        ),
        seen: short(body),
        value: None,
    })
}

fn unlink(stage: &mut Stage, args: &Args) -> Result<Option<String>, Failure> {
    let user = args.text("user").to_owned();
    if stage.active(&user)? > 0 {
        portal(stage, args)?.withdraw()?;
    }
    if args.flag("wait") == Some(false) {
        return Ok(None);
    }
    let open = |o: &Value| o["state"] == "open";
    poll("every order to be closed", || {
        Ok(!stage.cmp_list("order")?.iter().any(open))
    })?;
    let due = |f: &Value| f["kind"] == "invalidate" && f["state"] == "due";
    poll("the MSP to hear of the end", || {
        Ok(!stage.cmp_list("outbox")?.iter().any(due))
    })?;
    Ok(None)
}
