//! Says how far the fleet is: a bar on a terminal, a line now and then elsewhere.

use aid_cli::cli;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

/// Between two lines where stderr is no terminal.
const LINE: Duration = Duration::from_secs(5);

/// One phase's progress.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    phase: &'static str,
    said: Instant,
}

impl Progress {
    /// Begins a phase of so many steps.
    pub(super) fn begin(phase: &'static str, steps: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{prefix:<12} {bar:30} {pos}/{len} {msg}");
            if let Ok(style) = style {
                bar.set_style(style);
            }
            bar.set_prefix(phase);
            bar
        });
        if bar.is_none() {
            cli::line_to_stderr(&format!("{phase}: begins"));
        }
        Self {
            bar,
            phase,
            said: Instant::now(),
        }
    }

    /// Says how far it is.
    pub(super) fn at(&mut self, step: u64, line: &str) {
        match &self.bar {
            Some(bar) => {
                bar.set_position(step);
                bar.set_message(line.to_owned());
            }
            None if self.said.elapsed() >= LINE => {
                self.said = Instant::now();
                cli::line_to_stderr(&format!("{}: {line}", self.phase));
            }
            None => {}
        }
    }

    /// Ends the phase.
    pub(super) fn end(self, line: &str) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
        cli::line_to_stderr(&format!("{}: {line}", self.phase));
    }
}
