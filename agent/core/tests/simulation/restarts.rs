//! Power is cut after every effect of a day, and in every cell of the table state × effect: what the CMP hears is what
//! happened on the card, nothing stays enabled for nobody, and the next login ends well.

use crate::world::Step::*;
use crate::world::{Disk, Step, World};
use aid_agent_core::*;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use std::collections::BTreeSet;

const EFFECTS: [&str; 10] = [
    "persist", "send", "ack", "notify", "list", "download", "enable", "disable", "delete",
    "deliver",
];

fn name(effect: &Effect) -> &'static str {
    match effect {
        Effect::Persist { .. } => "persist",
        Effect::Send { .. } => "send",
        Effect::AckInbound { .. } => "ack",
        Effect::Notify(_) => "notify",
        // Those are cut at in `garage`.
        Effect::HashPin { .. } => "hash",
        Effect::Erase { .. } => "erase",
        Effect::Euicc { what, .. } => match what {
            EuiccOp::List => "list",
            EuiccOp::Download { .. } => "download",
            EuiccOp::Enable { .. } => "enable",
            EuiccOp::Disable { .. } => "disable",
            EuiccOp::Delete { .. } => "delete",
            EuiccOp::Notifications => "deliver",
        },
    }
}

/// A step, or effects until nothing is left to do.
fn day() -> Vec<Step> {
    let mut day = vec![
        Away(true),
        Run(40),
        Away(false),
        Time,
        Run(40),
        Link(true),
        Run(40),
    ];
    for step in [
        Login(b'a'),
        Logout,
        Login(b'b'),
        Link(false),
        Logout,
        Link(true),
        Login(b'a'),
        // A second user while a code is awaited, a download waits, and a profile is enabled.
        Login(b'b'),
        Delete(2),
        Outage(true),
        Login(b'a'),
        DeleteAll,
        Login(b'b'),
        Outage(false),
        LoginByCode,
        Approve(b'a'),
        Away(true),
        Logout,
        Away(false),
        Time,
        Login(b'b'),
        DeleteOwn,
        Provision,
        Full,
        Login(b'a'),
        Step::Disk(Disk::Full),
        Login(b'b'),
        Step::Disk(Disk::Good),
        Login(b'b'),
        Erase(b'b'),
        Login(b'a'),
        DeleteAll,
    ] {
        day.extend([step, Run(7), Answer, Run(60), Answer, Run(60)]);
    }
    day
}

/// A day on which the card and the servers are busy with other users than the one who is in.
fn others() -> Vec<Step> {
    let rest = Run(60);
    let waiting_download = |user| {
        [
            Outage(true),
            Login(user),
            rest.clone(),
            Answer,
            rest.clone(),
        ]
    };
    let back = [Outage(false), Time, rest.clone(), Time, rest.clone()];
    let mut day = vec![Link(true)];
    for user in [b'a', b'b'] {
        day.extend([Login(user), rest.clone(), Answer, rest.clone()]);
    }
    // The first one's profile goes while the second one's is enabled; then the second one's.
    day.extend([
        Delete(1),
        rest.clone(),
        Login(b'a'),
        rest.clone(),
        Delete(2),
        rest.clone(),
    ]);
    day.extend(waiting_download(b'a'));
    day.extend([Login(b'b'), rest.clone()]);
    day.extend(back.clone());
    day.extend(waiting_download(b'b'));
    day.extend([Delete(3), rest.clone()]);
    day.extend(back.clone());
    day.extend(waiting_download(b'a'));
    day.extend([Login(b'b'), rest.clone(), DeleteOwn, rest.clone()]);
    day.extend(back);
    day.extend([
        Delete(5),
        rest.clone(),
        Provision,
        rest.clone(),
        Answer,
        rest.clone(),
    ]);
    // Another one's download, and what the card has to deliver, while a profile is not enabled, again and again.
    day.extend(waiting_download(b'a'));
    day.extend([
        Logout,
        rest.clone(),
        Failures(40),
        Login(b'b'),
        rest.clone(),
    ]);
    for _ in 0..5 {
        day.extend([Time, rest.clone()]);
    }
    day.extend([Failures(0), Outage(false), Link(false), Link(true)]);
    day.extend([rest.clone(), Time, rest.clone(), Time, rest.clone()]);
    // One profile of the first one is there when the second one's is not enabled, again and again.
    day.extend([Login(b'a'), rest.clone(), Answer, rest.clone()]);
    day.extend([
        Logout,
        rest.clone(),
        Failures(40),
        Login(b'b'),
        rest.clone(),
    ]);
    for _ in 0..5 {
        day.extend([Time, rest.clone()]);
    }
    day.extend([Erase(b'a'), rest.clone(), Link(false), Link(true)]);
    for _ in 0..9 {
        day.extend([Time, rest.clone()]);
    }
    day.extend([Failures(0), Outage(false), Time, rest.clone(), Time]);
    day.extend([rest.clone(), LoginByCode, rest.clone(), DeleteAll, rest]);
    day
}

/// Everything is deleted while a login by code waits for somebody to approve it.
fn reset_in_a_login() -> Vec<Step> {
    let rest = Run(60);
    vec![
        Link(true),
        Login(b'a'),
        rest.clone(),
        Answer,
        rest.clone(),
        Logout,
        rest.clone(),
        LoginByCode,
        rest.clone(),
        DeleteAll,
        rest,
    ]
}

/// Lives the day up to effect number `end`, and says in which state each effect came; `None` when the day has fewer.
fn live(day: &[Step], end: usize, mut cell: impl FnMut(Cell)) -> Option<World> {
    let mut world = World::new();
    let mut count = 0;
    for step in day {
        let Run(most) = step else {
            world.step(step);
            continue;
        };
        for _ in 0..*most {
            let phase = world.agent.phase();
            match world.next_effect() {
                Some(effect) => {
                    cell((format!("{phase:?}"), name(&effect)));
                    world.carry_out(effect);
                    count += 1;
                    if count == end {
                        return Some(world);
                    }
                }
                None if world.card_turn() || world.tend() => {}
                None => world.cmp(),
            }
        }
    }
    None
}

type Cell = (String, &'static str);

/// Why no such effect comes in this state; `None` where one can.
fn impossible(phase: &str, effect: &str) -> Option<&'static str> {
    match (phase, effect) {
        ("Stopped", "list" | "disable" | "notify") => None,
        ("Stopped", _) => Some("without a journal the card is secured, and nothing else happens"),
        ("Starting", "download" | "enable" | "disable" | "delete" | "deliver") => {
            Some("nothing is done on a card that was not read")
        }
        (phase, "list") if phase != "Starting" => {
            Some("the card is read where its content is not known: that is Starting")
        }
        (phase, "enable" | "disable") if phase != "Switching" => {
            Some("a profile is switched in Switching")
        }
        ("Active", "download") => Some("no download begins while a profile is enabled"),
        _ => None,
    }
}

/// Cuts the power after effect number `end` of the day; the car goes on as if nothing had been.
fn cut(day: &[Step], end: usize, cell: &Cell) -> usize {
    let mut cuts = 0;
    for happened in [false, true] {
        let mut world = live(day, end, |_| {}).expect("as before");
        if happened && world.op.is_none() {
            break;
        }
        cuts += 1;
        world.cut(happened);
        (world.disk, world.failures) = (Disk::Good, 0);
        world.check_reports();
        let enabled = world.card.values().any(|e| *e);
        assert!(!enabled, "{cell:?}: enabled for nobody");
        for _ in 0..4 {
            world.step(&Login(b'a'));
            world.settle();
            world.answer();
            world.step(&Provision);
            world.settle();
            world.answer();
        }
        world.check_reports();
        assert_eq!(world.agent.phase(), Phase::Active, "{cell:?} of {day:?}");
    }
    cuts
}

// R-4.3-12 R-4.3-14
#[test]
fn power_is_cut_after_every_effect_of_a_day() {
    let (day, mut cells) = (day(), vec![]);
    assert!(live(&day, usize::MAX, |cell| cells.push(cell)).is_none());
    let cuts: usize = (cells.iter().enumerate())
        .map(|(n, cell)| cut(&day, n + 1, cell))
        .sum();
    assert!(cuts > 300, "{cuts} cuts");
}

// R-4.3-12 R-4.3-14
#[test]
fn power_is_cut_in_every_state_after_every_effect() {
    let mut reached: BTreeSet<Cell> = BTreeSet::new();
    let mut runner = TestRunner::deterministic();
    let random = core::iter::repeat_with(|| {
        let tree = crate::steps().new_tree(&mut runner).expect("steps");
        let mut day = tree.current();
        day.insert(0, Link(true));
        day
    });
    for day in [day(), others(), reset_in_a_login()]
        .into_iter()
        .chain(random.take(2000))
    {
        let mut cells = vec![];
        live(&day, usize::MAX, |cell| cells.push(cell));
        for (n, cell) in cells.into_iter().enumerate() {
            assert_eq!(impossible(&cell.0, cell.1), None, "{cell:?} of {day:?}");
            if reached.insert(cell.clone()) {
                cut(&day, n + 1, &cell);
            }
        }
    }
    let table = table(&reached);
    assert!(!table.contains("missing"), "\n{table}");
    println!("{table}");
}

fn table(reached: &BTreeSet<Cell>) -> String {
    let row = |first: &str, cells: [&str; 10]| {
        let cells: String = cells.iter().map(|cell| format!("{cell:9}")).collect();
        format!("{first:14}{}\n", cells.trim_end())
    };
    let mut out = row("", EFFECTS);
    for phase in [
        Phase::Starting,
        Phase::Guest,
        Phase::LoggingIn,
        Phase::AwaitingCode,
        Phase::Downloading,
        Phase::Switching,
        Phase::Active,
        Phase::NoProfile,
        Phase::Stopped,
    ] {
        let phase = format!("{phase:?}");
        let mark = |effect| match impossible(&phase, effect) {
            _ if reached.contains(&(phase.clone(), effect)) => "cut",
            Some(_) => "-",
            None => "missing",
        };
        out += &row(&phase, EFFECTS.map(mark));
    }
    out
}
