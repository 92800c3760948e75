//! Plays a scenario step by step on a set-up of its own, and makes a case of the report of it.

use super::args::{Args, Values, fill};
use super::catalog::{Run, Seen};
use super::file::{Act, Columns, Scenario, Step};
use super::given::{Given, eid_name};
use super::kind::duration;
use super::members::{at, short, text};
use super::needs;
use super::stage::{Manner, Stage};
use super::trace::Watch;
use crate::leftovers::Workshop;
use aid_cli::cli::Failure;
use aid_report::{Case, Counts, Protocol, Step as Noted, Verdict};
use serde_json::Value;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Deadline of an expectation that names none.
const PATIENCE: Duration = Duration::from_secs(30);
/// Most messages of a case that passed.
const KEPT: usize = 250;

/// Why a step failed.
struct Wrong {
    expected: String,
    seen: String,
}

/// How to repeat one case.
pub(super) struct Repeat<'a> {
    /// `aid-hil scenario`, or `aid-hil run --dut FILE`.
    pub(super) command: &'a str,
    pub(super) seed: u64,
}

/// Plays a scenario once; `began` is when the run did.
pub(super) fn play(
    scenario: &Scenario,
    variant: Option<&Columns>,
    keep: Option<&Path>,
    manner: Manner<'_>,
    began: Instant,
    repeat: &Repeat<'_>,
) -> Case {
    let watch = Watch::new(began);
    let begin = watch.now();
    let name = case_name(scenario, variant);
    let mut case = Case {
        about: scenario.title.clone(),
        clause: scenario.clause.clone(),
        requirements: scenario.requirements.clone(),
        sgp23: scenario.sgp23.clone(),
        verdict: Verdict::Pass,
        reason: None,
        failure: None,
        steps: Vec::new(),
        messages: Vec::new(),
        counts: Counts::default(),
        name,
    };
    match needs::missing(scenario, manner.dut) {
        Ok(None) => {}
        Ok(Some(why)) => {
            case.verdict = Verdict::Skipped;
            case.reason = Some(why);
            return case;
        }
        Err(why) => {
            fail(
                &mut case,
                "what the run requires (AID_REQUIRE)",
                &why.text,
                repeat,
            );
            return case;
        }
    }
    let mut values: Values = variant.cloned().unwrap_or_default();
    let given = match filled(&scenario.given, &values) {
        Ok(given) => given,
        Err(failure) => {
            fail(&mut case, "a set-up", &failure.text, repeat);
            return case;
        }
    };
    let opened = Workshop::new("scenario", &std::env::temp_dir()).and_then(|workshop| {
        let dir = match keep {
            Some(keep) => keep.join(case.name.replace(['/', '['], "-").replace(']', "")),
            None => workshop.path().to_owned(),
        };
        Stage::open(&dir, &given, manner, watch.clone()).map(|stage| (workshop, stage))
    });
    let (workshop, mut stage) = match opened {
        Ok(opened) => opened,
        Err(failure) => {
            fail(
                &mut case,
                "all parts start, and the cars are connected",
                &failure.text,
                repeat,
            );
            case.messages = watch.messages();
            return case;
        }
    };
    for (n, car) in stage.site.cars.iter().enumerate() {
        values.insert(eid_name(n + 1), car.eid.clone());
    }
    let wrong = steps(
        &scenario.steps,
        scenario,
        &mut stage,
        &mut values,
        &mut case,
    );
    if let Some(wrong) = wrong {
        let dead = stage.dead().map(|d| format!("; {d}")).unwrap_or_default();
        fail(
            &mut case,
            &wrong.expected,
            &format!("{}{dead}", wrong.seen),
            repeat,
        );
    } else {
        // A scenario whose fault had no opportunity shows nothing.
        let missed = stage.missed().join(", ");
        if !missed.is_empty() {
            fail(
                &mut case,
                &format!("that every fault happens: {missed}"),
                "it had no opportunity",
                repeat,
            );
        }
    }
    let bytes = stage.close();
    drop(workshop);
    let messages = watch.messages();
    let apdus = messages
        .iter()
        .filter(|m| m.protocol == Protocol::Apdu && m.from.starts_with("car"))
        .count();
    case.counts = Counts {
        us: watch.now() - begin,
        apdus: apdus as u64,
        bytes,
    };
    case.messages = match case.verdict {
        Verdict::Pass => messages
            .into_iter()
            .filter(|m| m.protocol != Protocol::Apdu)
            .take(KEPT)
            .collect(),
        _ => messages,
    };
    case
}

/// The name of a case: that of its scenario, with the variant in brackets.
pub(super) fn case_name(scenario: &Scenario, variant: Option<&Columns>) -> String {
    match variant.and_then(|v| v.get("name")) {
        Some(variant) => format!("{}[{variant}]", scenario.name),
        None => scenario.name.clone(),
    }
}

fn filled(given: &Given, values: &Values) -> Result<Given, Failure> {
    let mut given = given.clone();
    given.codes = fill(&given.codes, values)?;
    given.quirks = given
        .quirks
        .iter()
        .map(|q| fill(q, values))
        .collect::<Result<_, _>>()?;
    Ok(given)
}

fn fail(case: &mut Case, expected: &str, seen: &str, repeat: &Repeat<'_>) {
    case.verdict = Verdict::Fail;
    case.failure = Some(aid_report::Failure {
        expected: expected.to_owned(),
        seen: seen.to_owned(),
        repeat: format!("{} '{}' --seed {}", repeat.command, case.name, repeat.seed),
    });
}

/// Plays steps until one fails.
fn steps(
    steps: &[Step],
    scenario: &Scenario,
    stage: &mut Stage,
    values: &mut Values,
    case: &mut Case,
) -> Option<Wrong> {
    for step in steps {
        let wrong = match &step.act {
            Act::Each(name, inner) => {
                let mut wrong = None;
                for row in scenario.rows.get(name).into_iter().flatten() {
                    values.extend(row.clone());
                    wrong = self::steps(inner, scenario, stage, values, case);
                    if wrong.is_some() {
                        let row: Vec<String> =
                            row.iter().map(|(k, v)| format!("{k} = {v:?}")).collect();
                        wrong = wrong.map(|w| Wrong {
                            expected: format!("{} (row {})", w.expected, row.join(", ")),
                            seen: w.seen,
                        });
                        break;
                    }
                }
                // What holds for every row is proved once they have all been played.
                note(
                    step,
                    &step.text,
                    stage.watch.now(),
                    stage,
                    case,
                    wrong.as_ref(),
                );
                wrong
            }
            Act::Run(..) => one(step, stage, values, case),
        };
        if wrong.is_some() {
            return wrong;
        }
    }
    None
}

fn note(
    step: &Step,
    title: &str,
    at_us: u64,
    stage: &Stage,
    case: &mut Case,
    wrong: Option<&Wrong>,
) {
    case.steps.push(Noted {
        title: title.to_owned(),
        verdict: if wrong.is_none() {
            Verdict::Pass
        } else {
            Verdict::Fail
        },
        requirements: step.proves.clone(),
        reason: wrong.map(|w| short(&format!("expected {}; seen {}", w.expected, w.seen))),
        at_us,
        counts: Counts {
            us: stage.watch.now().saturating_sub(at_us),
            ..Counts::default()
        },
    });
}

fn one(step: &Step, stage: &mut Stage, values: &mut Values, case: &mut Case) -> Option<Wrong> {
    let begin = stage.watch.now();
    let title = fill(&step.text, values).unwrap_or_else(|_| step.text.clone());
    let result = act(step, &title, stage, values).and_then(|value| match (&step.save, value) {
        (Some(name), Some(value)) => {
            values.insert(name.clone(), value);
            Ok(())
        }
        (Some(name), None) => Err(Wrong {
            expected: format!("a value to save as {name}"),
            seen: "none: this step has no value".into(),
        }),
        (None, _) => Ok(()),
    });
    let wrong = result.err().map(|w| Wrong {
        expected: format!("{} (step {title:?}, line {})", w.expected, step.line),
        seen: w.seen,
    });
    note(step, &title, begin, stage, case, wrong.as_ref());
    wrong
}

fn act(
    step: &Step,
    title: &str,
    stage: &mut Stage,
    values: &Values,
) -> Result<Option<String>, Wrong> {
    let Act::Run(action, given) = &step.act else {
        return Ok(None);
    };
    let broken = |expected: &str, failure: &Failure| Wrong {
        expected: expected.to_owned(),
        seen: failure.text.clone(),
    };
    let args = Args::new(given, values).map_err(|f| broken("values to fill in", &f))?;
    let take = |value: Option<String>| match &step.take {
        None => value,
        Some(path) => value.map(|v| {
            let value: Value = serde_json::from_str(&v).unwrap_or(Value::Null);
            text(at(&value, path))
        }),
    };
    match action.run {
        Run::Do(run) => {
            stage.watch.deed("bench", title);
            stage.forget_events();
            let done = run(stage, &args);
            match (&step.refused, done) {
                (None, Ok(value)) => Ok(take(value)),
                (None, Err(failure)) => Err(broken(&format!("{} works", action.name), &failure)),
                (Some(wanted), Err(failure)) if failure.text.contains(wanted) => Ok(None),
                (Some(wanted), Err(failure)) => {
                    Err(broken(&format!("a refusal with {wanted:?}"), &failure))
                }
                (Some(wanted), Ok(_)) => Err(Wrong {
                    expected: format!("a refusal with {wanted:?}"),
                    seen: "it was done".into(),
                }),
            }
        }
        Run::See(look) => {
            let patience = step
                .within
                .as_deref()
                .and_then(duration)
                .unwrap_or(PATIENCE);
            let begin = Instant::now();
            let mut pause = Duration::from_millis(2);
            let (_keep, never) = mpsc::channel::<()>();
            loop {
                let Seen {
                    ok,
                    expected,
                    seen,
                    value,
                } = look(stage, &args)
                    .map_err(|f| broken(&format!("{} answers", action.name), &f))?;
                if ok {
                    return Ok(take(value));
                }
                if begin.elapsed() >= patience {
                    return Err(Wrong {
                        expected: format!("{expected} within {patience:?}"),
                        seen,
                    });
                }
                let _ = never.recv_timeout(pause);
                pause = (pause * 2).min(Duration::from_millis(200));
            }
        }
    }
}
