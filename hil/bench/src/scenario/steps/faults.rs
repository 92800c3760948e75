//! Faults: layers on links, and what happens to cards, clocks and disks.

use super::super::args::Args;
use super::super::catalog::Action;
use super::super::given::PARTS;
use super::super::kind::{Kind, Param, may, must};
use super::super::stage::{LINKS, Stage};
use crate::link::{HttpFault, HttpRule};
use aid_cli::cli::Failure;
use std::time::Duration;

const LINK: Param = must("link", Kind::Word(&LINKS), "who calls, and who is called");
const CAR: Param = may(
    "car",
    Kind::Car,
    "whose link, where cars have one each; default 1",
);
const PART: Param = must(
    "part",
    Kind::Word(&PARTS),
    "which part; [given] shims lists it",
);
const HTTP: Param = must(
    "link",
    Kind::Word(&["car-smdp", "msp-smdp", "cmp-msp", "msp-cmp"]),
    "a link with HTTP",
);

pub(in super::super) const ACTIONS: &[Action] = &[
    Action::does(
        "link.slow",
        "everything takes longer on a link, each way",
        &[
            LINK,
            CAR,
            must("delay", Kind::Time, "so much"),
            may("jitter", Kind::Time, "up to so much more, at random"),
        ],
        |stage, args| {
            let (delay, jitter) = (args.time("delay")?, args.time("jitter")?);
            fault(stage, args, |r| {
                r.delay = delay.unwrap_or_default();
                r.jitter = jitter.unwrap_or_default();
            })
        },
    ),
    Action::does(
        "link.narrow",
        "a link lets only so many bytes through a second",
        &[
            LINK,
            CAR,
            must("rate", Kind::Whole(100, 1_000_000_000), "bytes a second"),
        ],
        |stage, args| {
            let rate = args.number("rate")?;
            fault(stage, args, |r| r.bandwidth = rate)
        },
    ),
    Action::does(
        "link.cut",
        "connections break, and new ones are refused at once",
        &[LINK, CAR],
        |stage, args| {
            fault(stage, args, |r| r.cut = true)?;
            stage.link(args.text("link"), args.car()?)?.break_all();
            Ok(None)
        },
    ),
    Action::does(
        "link.break",
        "connections that are open break once; new ones work",
        &[LINK, CAR],
        |stage, args| {
            stage.link(args.text("link"), args.car()?)?.break_all();
            Ok(None)
        },
    ),
    Action::does(
        "link.break-after",
        "connections break in the middle of what passes, once",
        &[
            LINK,
            CAR,
            must(
                "bytes",
                Kind::Whole(1, 1_000_000_000),
                "after so many bytes more",
            ),
        ],
        |stage, args| {
            let bytes = args.number("bytes")?;
            fault(stage, args, |r| {
                r.cut_after = bytes;
                r.waiting.push("break-after");
            })
        },
    ),
    Action::does(
        "link.refuse",
        "the next connections are accepted and closed at once",
        &[LINK, CAR, must("times", Kind::Whole(1, 1000), "so many")],
        |stage, args| {
            let times = args.number("times")?.unwrap_or(1);
            fault(stage, args, |r| {
                r.refuse = times;
                r.waiting.push("refuse");
            })?;
            stage.link(args.text("link"), args.car()?)?.break_all();
            Ok(None)
        },
    ),
    Action::does(
        "link.black-hole",
        "nothing passes any more, and nobody is told",
        &[LINK, CAR],
        |stage, args| fault(stage, args, |r| r.black_hole = true),
    ),
    Action::does(
        "link.half-open",
        "the called side loses its connections, and the calling side does not hear of it",
        &[LINK, CAR],
        |stage, args| {
            stage.link(args.text("link"), args.car()?)?.half_open();
            Ok(None)
        },
    ),
    Action::does(
        "link.mend",
        "a link is as it should be again",
        &[LINK, CAR],
        |stage, args| {
            stage.link(args.text("link"), args.car()?)?.mend();
            Ok(None)
        },
    ),
    Action::does(
        "http.fault",
        "what happens to HTTP requests on a link, or to their answers; several may act one after the other",
        &[
            HTTP,
            must(
                "fault",
                Kind::Word(&[
                    "status",
                    "redirect",
                    "slow",
                    "truncated",
                    "twice",
                    "lost",
                    "odd",
                ]),
                "status: answered with it in the server's place; redirect; slow; truncated: the answer ends early; \
                 twice: the server gets it two times; lost: the server gets it, the answer is lost; odd: valid, but \
                 headers in odd cases and order, bodies in chunks",
            ),
            may("path", Kind::Text, "only requests whose path contains this"),
            may("times", Kind::Whole(1, 1_000_000), "how often; default 1"),
            may(
                "skip",
                Kind::Whole(0, 1_000_000),
                "matching requests that pass first",
            ),
            may("status", Kind::Whole(200, 599), "for status; default 500"),
            may(
                "to",
                Kind::Text,
                "for redirect; default https://elsewhere.invalid/",
            ),
            may("delay", Kind::Time, "for slow; default 3.1 s"),
            may(
                "bytes",
                Kind::Whole(0, 1_000_000),
                "for truncated; default 10",
            ),
        ],
        http,
    ),
    Action::does(
        "card.quirks",
        "a card is powered off and on, and misbehaves from then on; an empty list: it behaves",
        &[
            may("car", Kind::Car, "whose card; default 1"),
            must("quirks", Kind::Texts, "`euicc-sim quirks` lists them"),
        ],
        |stage, args| {
            let quirks = args.texts("quirks");
            stage.quirk(args.car()?, &quirks).map(|()| None)
        },
    ),
    Action::does(
        "clock.move",
        "the clock of a part is wrong by so much from now on, e.g. \"60 d\" or \"-56 d\"; \"0 s\": it is right again",
        &[PART, must("by", Kind::Time, "so much")],
        |stage, args| {
            stage
                .move_clock(args.text("part"), args.shift("by")?)
                .map(|()| None)
        },
    ),
    Action::does(
        "disk.fill",
        "the disk of a part is full",
        &[PART],
        |stage, args| stage.fill_disk(args.text("part"), true).map(|()| None),
    ),
    Action::does(
        "disk.free",
        "the disk of a part has space again",
        &[PART],
        |stage, args| stage.fill_disk(args.text("part"), false).map(|()| None),
    ),
];

fn fault(
    stage: &Stage,
    args: &Args,
    change: impl FnOnce(&mut crate::link::Rules),
) -> Result<Option<String>, Failure> {
    stage.link(args.text("link"), args.car()?)?.fault(change);
    Ok(None)
}

fn http(stage: &mut Stage, args: &Args) -> Result<Option<String>, Failure> {
    let number = |name: &str, usual: u64| Ok::<_, Failure>(args.number(name)?.unwrap_or(usual));
    let fault = match args.text("fault") {
        "status" => HttpFault::Status(u16::try_from(number("status", 500)?)?),
        "redirect" => HttpFault::Redirect(
            args.given("to")
                .unwrap_or("https://elsewhere.invalid/")
                .to_owned(),
        ),
        "slow" => HttpFault::Slow(args.time("delay")?.unwrap_or(Duration::from_millis(3100))),
        "truncated" => HttpFault::Truncated(usize::try_from(number("bytes", 10)?)?),
        "twice" => HttpFault::Twice,
        "lost" => HttpFault::Lost,
        _ => HttpFault::Odd,
    };
    let rule = HttpRule {
        fault,
        path: args.text("path").to_owned(),
        skip: number("skip", 0)?,
        times: number("times", 1)?,
    };
    stage.http_fault(args.text("link"), rule).map(|()| None)
}
