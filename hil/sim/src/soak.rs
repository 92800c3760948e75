//! A long run: life after life, with a table of which fault came in which state how often. What was done is kept in a
//! file, from which the next run goes on.

use crate::life::Life;
use crate::plan::{Fault, State};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Days of a life.
pub const DAYS: u64 = 10;

/// What was done so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Soak {
    /// The next life's seed.
    pub next: u64,
    /// Vehicle-days.
    pub days: u64,
    /// Profiles that were installed.
    pub installed: u64,
    /// Reports that were made up for after a loss.
    pub repaired: u64,
    /// Seeds of lives in which an invariant did not hold, with its number.
    pub failed: Vec<(u64, u8)>,
    /// How often which fault came in which state.
    pub table: BTreeMap<(State, Fault), u64>,
}

impl Soak {
    /// A run that begins with this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            next: seed,
            ..Self::default()
        }
    }

    /// Lives the next life; yields it where an invariant did not hold.
    pub fn step(&mut self) -> Option<Life> {
        let life = Life::of_seed(self.next, DAYS);
        self.next += 1;
        let end = life.live(0);
        self.days += life.vehicle_days();
        self.installed += end.installed;
        self.repaired += end.repaired;
        for (cell, count) in end.table {
            *self.table.entry(cell).or_default() += count;
        }
        let violation = end.violation?;
        self.failed.push((life.seed, violation.invariant));
        Some(life)
    }

    /// Pairs of a state and a fault that never came.
    #[must_use]
    pub fn empty_cells(&self) -> Vec<(State, Fault)> {
        let all = Fault::ALL
            .iter()
            .flat_map(|fault| State::ALL.iter().map(move |state| (*state, *fault)));
        all.filter(|cell| !self.table.contains_key(cell)).collect()
    }

    /// The table in Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let words = |word: &str| format!(" {word} |");
        let states: String = State::ALL.iter().map(|s| words(s.word())).collect();
        let mut text = format!(
            "| fault |{states}\n|---|{}\n",
            "---:|".repeat(State::ALL.len())
        );
        for fault in Fault::ALL {
            let count = |s: &State| self.table.get(&(*s, *fault)).copied().unwrap_or_default();
            let row: String = State::ALL
                .iter()
                .map(|s| format!(" {} |", count(s)))
                .collect();
            let _ = writeln!(text, "| {} |{row}", fault.word());
        }
        text
    }

    /// What was done, as a text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "next {}\ndays {}\ninstalled {}\nrepaired {}\n",
            self.next, self.days, self.installed, self.repaired
        );
        for (seed, invariant) in &self.failed {
            let _ = writeln!(text, "failed {seed} {invariant}");
        }
        for ((state, fault), count) in &self.table {
            let _ = writeln!(text, "cell {} {} {count}", state.word(), fault.word());
        }
        text
    }

    /// What a text says was done.
    ///
    /// # Errors
    /// The line that is wrong.
    pub fn from_text(text: &str) -> Result<Self, String> {
        let mut soak = Self::default();
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let number = |text: &str| {
                text.parse::<u64>()
                    .map_err(|_| format!("{line:?} has no number"))
            };
            match words[..] {
                ["next", n] => soak.next = number(n)?,
                ["days", n] => soak.days = number(n)?,
                ["installed", n] => soak.installed = number(n)?,
                ["repaired", n] => soak.repaired = number(n)?,
                ["failed", seed, n] => {
                    let invariant = u8::try_from(number(n)?).unwrap_or_default();
                    soak.failed.push((number(seed)?, invariant));
                }
                ["cell", state, fault, n] => {
                    soak.table
                        .insert((state.parse()?, fault.parse()?), number(n)?);
                }
                _ => return Err(format!("unknown line {line:?}")),
            }
        }
        Ok(soak)
    }
}
