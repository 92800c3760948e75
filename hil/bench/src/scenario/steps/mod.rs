//! What each step does, by actor.

pub(super) mod car;
pub(super) mod cmp;
pub(super) mod faults;
pub(super) mod msp;
pub(super) mod rig;
pub(super) mod smdp;
pub(super) mod user;
pub(super) mod values;

use super::args::Args;
use super::catalog::Seen;
use super::members::{excerpt, fit, short, words};
use aid_cli::cli::Failure;
use serde_json::{Map, Value};

/// Looks at one thing.
fn look(value: &Value, wanted: &Map<String, Value>) -> Seen {
    Seen {
        ok: fit(value, wanted),
        expected: words(wanted),
        seen: excerpt(value, wanted),
        value: None,
    }
}

/// How many entries of a list fit: `count` of them, at least `at-least`, or at least one.
fn count(list: &[Value], args: &Args) -> Result<Seen, Failure> {
    let wanted = args.table("where");
    let fitting: Vec<&Value> = list.iter().filter(|e| fit(e, &wanted)).collect();
    let number = fitting.len() as u64;
    let (ok, how) = match (args.number("count")?, args.number("at-least")?) {
        (Some(count), _) => (number == count, format!("{count}")),
        (None, Some(least)) => (number >= least, format!("at least {least}")),
        (None, None) => (number > 0, "at least 1".to_owned()),
    };
    let which = if wanted.is_empty() {
        String::new()
    } else {
        format!(" with {}", words(&wanted))
    };
    let all = Value::Array(list.to_vec()).to_string();
    Ok(Seen {
        ok,
        expected: format!("{how} of {}{which}", args.given("list").unwrap_or("them")),
        seen: format!("{number}, all of them: {}", short(&all)),
        value: fitting.last().map(|e| {
            let take = args.text("member");
            super::members::text(super::members::at(e, take))
        }),
    })
}
