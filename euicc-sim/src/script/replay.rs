//! `euicc-sim replay`: plays APDU scripts to a card and compares its answers.

use super::card::RemoteCard;
use super::format::{self, Script, Send};
use aid_cli::cli::{self, Failure};
use aid_cli::printable::printable;
use clap::{ArgGroup, Args};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Flags of `replay`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("card").required(true).args(["socket", "at"])))]
pub(crate) struct ReplayArgs {
    /// The card: HOST:PORT or the path of a unix socket.
    #[arg(long, value_name = "ADDR")]
    socket: Option<String>,
    /// The card in a modem: the tty of its AT commands (AT+CSIM).
    #[arg(long, value_name = "TTY")]
    at: Option<PathBuf>,
    /// Compare only first tag and status word: for another card than the one that was recorded.
    #[arg(long)]
    lenient: bool,
    /// Go on after an answer that differs.
    #[arg(long)]
    keep_going: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// Scripts; what they need is played before them, each once.
    #[arg(required = true, value_name = "FILE")]
    scripts: Vec<PathBuf>,
}

/// What became of a script.
#[derive(Debug, Serialize)]
struct Outcome {
    script: String,
    title: String,
    steps: usize,
    differences: Vec<Difference>,
}

/// An answer that is another one.
#[derive(Debug, Serialize)]
struct Difference {
    /// From 1.
    step: usize,
    note: String,
    sent: String,
    expected: String,
    answered: String,
}

/// Plays scripts.
pub(crate) fn replay(args: &ReplayArgs) -> Result<(), Failure> {
    let mut order = Vec::new();
    for file in &args.scripts {
        with_needs(file, &mut order, 0)?;
    }
    let mut card = match (&args.socket, &args.at) {
        (Some(address), _) => RemoteCard::socket(address)?,
        (None, Some(tty)) => RemoteCard::modem(tty)?,
        (None, None) => return Err(Failure::usage("give --socket or --at")),
    };
    let mut outcomes = Vec::new();
    for (file, script) in &order {
        let outcome = play(&mut card, file, script, args)?;
        let failed = !outcome.differences.is_empty();
        outcomes.push(outcome);
        if failed && !args.keep_going {
            break;
        }
    }
    let differences: usize = outcomes.iter().map(|o| o.differences.len()).sum();
    if args.json {
        let ok = differences == 0;
        let object = serde_json::json!({"ok": ok, "scripts": outcomes});
        cli::print(&format!("{object}\n"))?;
    } else {
        for outcome in &outcomes {
            cli::print(&shown(outcome))?;
        }
    }
    if differences > 0 {
        let text = format!("{differences} answers differ from the scripts");
        return Err(Failure::new(text));
    }
    Ok(())
}

fn shown(outcome: &Outcome) -> String {
    let Outcome {
        script,
        title,
        steps,
        differences,
    } = outcome;
    let verdict = if differences.is_empty() {
        "ok"
    } else {
        "DIFFERS"
    };
    let (script, title) = (printable(script), printable(title));
    let mut out = format!("{verdict:8} {script}: {title} ({steps} steps)\n");
    for d in differences {
        out.push_str(&format!(
            "  step {}: {}\n    sent     {}\n    expected {}\n    answered {}\n",
            d.step,
            printable(&d.note),
            d.sent,
            d.expected,
            d.answered
        ));
    }
    out
}

/// Deepest chain of needs.
const MAX_NEEDS: u8 = 16;

/// A script after those that it needs, each once.
fn with_needs(file: &Path, order: &mut Vec<(PathBuf, Script)>, depth: u8) -> Result<(), Failure> {
    if order.iter().any(|(known, _)| known == file) {
        return Ok(());
    }
    if depth > MAX_NEEDS {
        let text = format!("{}: scripts need each other in a circle", file.display());
        return Err(Failure::new(text));
    }
    let script = format::load(file)?;
    for need in &script.needs {
        let need = file.parent().unwrap_or(Path::new("")).join(need);
        with_needs(&need, order, depth + 1)?;
    }
    order.push((file.into(), script));
    Ok(())
}

fn play(
    card: &mut RemoteCard,
    file: &Path,
    script: &Script,
    args: &ReplayArgs,
) -> Result<Outcome, Failure> {
    let mut differences = Vec::new();
    let mut steps = 0;
    for (number, step) in (1..).zip(&script.steps) {
        steps = number;
        let lost = |e: std::io::Error| {
            let file = file.display();
            Failure::new(format!("{file}, step {number}: the card is gone: {e}"))
        };
        let answer = match &step.send {
            Send::Reset => {
                card.reset().map_err(lost)?;
                continue;
            }
            Send::Atr => match card.atr().map_err(lost)? {
                Some(atr) => atr,
                None => continue,
            },
            Send::Apdu(apdu) => card.transmit(apdu).map_err(lost)?,
        };
        let Some(expected) = &step.expect else {
            continue;
        };
        let expected = match (args.lenient, &step.send) {
            (true, Send::Atr) => continue,
            (true, _) => expected.lenient(),
            (false, _) => expected.clone(),
        };
        if !expected.matches(&answer) {
            differences.push(Difference {
                step: number,
                note: step.note.clone(),
                sent: step.send.text(),
                expected: expected.to_string(),
                answered: hex::encode_upper(&answer),
            });
            if !args.keep_going {
                break;
            }
        }
    }
    Ok(Outcome {
        script: file.display().to_string(),
        title: script.title.clone(),
        steps,
        differences,
    })
}
