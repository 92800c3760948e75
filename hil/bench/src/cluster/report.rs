//! What a run showed, by kind of kill: how long nobody was served, and what became of what was acknowledged.

use super::books::Pages;
use super::chaos::{Kill, Kind};
use super::compare::{Verdict, Wrong};
use serde::Serialize;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// Wrong things that are named, from all of the run.
const NAMED: usize = 10;

/// Time without service, over all kills of a kind, seconds.
#[derive(Debug, Clone, Copy, Serialize)]
struct Gap {
    median_s: f64,
    p99_s: f64,
    max_s: f64,
}

impl Gap {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |share: f64| {
            let last = times.len().saturating_sub(1);
            let time = times.get((last as f64 * share).round() as usize);
            time.copied().unwrap_or_default().as_secs_f64()
        };
        Self {
            median_s: at(0.5),
            p99_s: at(0.99),
            max_s: at(1.0),
        }
    }
}

/// One kind of kill.
#[derive(Debug, Clone, Serialize)]
struct Row {
    kind: Kind,
    kills: usize,
    /// Longest wait of an MSP for an acknowledgement, from the kill on.
    partners: Gap,
    /// The same of a car.
    cars: Gap,
    /// What was acknowledged in the time before a kill of this kind.
    acknowledged: usize,
    lost: usize,
    doubled: usize,
}

/// A whole run.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Report {
    seed: u64,
    control: bool,
    seconds: f64,
    rows: Vec<Row>,
    acknowledged: usize,
    /// Codes that cars got.
    codes: usize,
    /// Calls to the MSP that came again under an id that had an answer, which is allowed.
    repeated: u64,
    pub(super) lost: usize,
    pub(super) doubled: usize,
    pub(super) refused: usize,
    /// Some of what is wrong.
    wrong: Vec<String>,
}

/// When something was sent and acknowledged.
type Span = (Instant, Instant);

impl Report {
    pub(super) fn new(
        (seed, control): (u64, bool),
        begin: Instant,
        kills: &[Kill],
        pages: &Pages,
        verdict: &Verdict,
        repeated: u64,
    ) -> Self {
        let partners: Vec<Span> = (pages.updates.iter().map(|d| (d.begin, d.end)))
            .chain(pages.sent_codes.iter().map(|d| (d.begin, d.end)))
            .collect();
        let cars: Vec<Span> = (pages.reports.iter().map(|d| (d.begin, d.end)))
            .chain(pages.codes.iter().map(|d| (d.begin, d.end)))
            .chain(pages.sessions.iter().map(|d| (d.begin, d.end)))
            .collect();
        let all: Vec<Instant> = partners.iter().chain(&cars).map(|span| span.1).collect();
        let wrong = |list: &[Wrong]| list.iter().map(|w| w.at).collect::<Vec<_>>();
        let (lost, doubled) = (wrong(&verdict.lost), wrong(&verdict.doubled));
        let row = |kind: Kind| {
            let own: Vec<&Kill> = kills.iter().filter(|k| k.kind == kind).collect();
            let count = |times: &[Instant]| {
                let before = |at: &&Instant| kill_after(kills, **at) == Some(kind);
                times.iter().filter(before).count()
            };
            let gap = |spans: &[Span]| Gap::of(own.iter().map(|k| longest(k, spans)).collect());
            Row {
                kind,
                kills: own.len(),
                partners: gap(&partners),
                cars: gap(&cars),
                acknowledged: count(&all),
                lost: count(&lost),
                doubled: count(&doubled),
            }
        };
        let rows = Kind::ALL.into_iter().map(row).filter(|r| r.kills > 0);
        let lost_ones = verdict.lost.iter().map(|w| (w.at, "lost", &w.what));
        let doubled_ones = verdict.doubled.iter().map(|w| (w.at, "doubled", &w.what));
        let refused_ones = pages.refused.iter().map(|(at, why)| (*at, "refused", why));
        let mut named: Vec<_> = lost_ones.chain(doubled_ones).chain(refused_ones).collect();
        named.sort();
        let each = named.len().div_ceil(NAMED).max(1);
        let named = named.into_iter().step_by(each).map(|(at, how, what)| {
            let seconds = (at - begin).as_secs_f64();
            format!("after {seconds:.1} s, {how}: {what}")
        });
        Self {
            seed,
            control,
            seconds: begin.elapsed().as_secs_f64(),
            rows: rows.collect(),
            acknowledged: all.len(),
            codes: pages.codes.len(),
            repeated,
            lost: lost.len(),
            doubled: doubled.len(),
            refused: pages.refused.len(),
            wrong: named.collect(),
        }
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut out = format!(
            "{:17} {:>5}  {:>22}  {:>22} {:>12} {:>5} {:>7}\n",
            "killed",
            "kills",
            "MSP waits s 50/99/max",
            "car waits s 50/99/max",
            "acknowledged",
            "lost",
            "doubled"
        );
        let gap = |g: &Gap| format!("{:.2} / {:.2} / {:.2}", g.median_s, g.p99_s, g.max_s);
        for row in &self.rows {
            // Writing to a String cannot fail.
            let _ = writeln!(
                out,
                "{:17} {:>5}  {:>22}  {:>22} {:>12} {:>5} {:>7}",
                row.kind.name(),
                row.kills,
                gap(&row.partners),
                gap(&row.cars),
                row.acknowledged,
                row.lost,
                row.doubled
            );
        }
        let _ = writeln!(
            out,
            "seed {}, {:.0} s: {} acknowledged (codes of cars: {}), {} lost, {} doubled, {} refused; \
             {} calls came again to the MSP under the same id",
            self.seed,
            self.seconds,
            self.acknowledged,
            self.codes,
            self.lost,
            self.doubled,
            self.refused,
            self.repeated
        );
        for wrong in &self.wrong {
            let _ = writeln!(out, "  {wrong}");
        }
        out
    }
}

/// The longest wait that a kill caused: what was open when it happened, or was begun until the cluster was whole.
fn longest(kill: &Kill, spans: &[Span]) -> Duration {
    let touched = spans
        .iter()
        .filter(|(begin, end)| *end > kill.at && *begin < kill.whole);
    let waits = touched.map(|(begin, end)| *end - (*begin).max(kill.at));
    waits.max().unwrap_or_default()
}

/// What was killed next after this time.
fn kill_after(kills: &[Kill], at: Instant) -> Option<Kind> {
    let next = kills.iter().find(|kill| kill.at >= at);
    next.map(|kill| kill.kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_is_charged_with_the_longest_wait_from_it_on() {
        let start = Instant::now();
        let at = |s: u64| start + Duration::from_secs(s);
        let kill = Kill {
            kind: Kind::AidCmp,
            at: at(10),
            whole: at(20),
        };
        // Over before, open at the kill, begun in the gap, begun afterwards.
        let spans = [
            (at(1), at(9)),
            (at(8), at(13)),
            (at(12), at(17)),
            (at(21), at(40)),
        ];
        assert_eq!(longest(&kill, &spans), Duration::from_secs(5));
        assert_eq!(longest(&kill, &spans[..2]), Duration::from_secs(3));
        assert_eq!(kill_after(&[kill], at(9)), Some(Kind::AidCmp));
        assert_eq!(kill_after(&[kill], at(11)), None);
    }
}
