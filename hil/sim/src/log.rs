//! What happened, one line for each event: the last ones are kept.

use std::collections::VecDeque;
use std::fmt::Arguments;

/// Lines that are kept of a failing life.
pub const KEPT: usize = 400;

/// The log of a life.
#[derive(Debug, Default)]
pub struct Log {
    lines: VecDeque<String>,
    /// Lines that are kept; 0: none is written.
    pub kept: usize,
}

impl Log {
    /// Adds a line; the oldest makes room.
    pub fn add(&mut self, now: u64, what: Arguments<'_>) {
        if self.kept == 0 {
            return;
        }
        if self.lines.len() >= self.kept {
            self.lines.pop_front();
        }
        let life = now.saturating_sub(crate::world::EPOCH);
        let (seconds, ms) = (life / 1000, life % 1000);
        let (days, rest) = (seconds / 86_400, seconds % 86_400);
        let (h, m, s) = (rest / 3600, rest / 60 % 60, rest % 60);
        let mut line = format!("{days:>3}d {h:02}:{m:02}:{s:02}.{ms:03} {what}");
        // What a message holds is cut: a line is to be read.
        if line.len() > 300 {
            line.truncate(line.floor_char_boundary(300));
        }
        self.lines.push_back(line);
    }

    /// The lines, oldest first.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }
}
