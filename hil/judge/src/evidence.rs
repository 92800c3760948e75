//! What one test saw.

use aid_report::{Message, Step, Verdict};
use std::time::Instant;

/// What one test saw and did: the messages that prove its verdict.
#[derive(Debug)]
pub struct Evidence {
    began: Instant,
    messages: Vec<Message>,
    steps: Vec<Step>,
}

impl Evidence {
    /// Messages that one case keeps; later ones are counted in its last step only.
    pub const MOST_MESSAGES: usize = 2_000;

    /// Empty; times are measured from `began`, the run's begin.
    #[must_use]
    pub const fn new(began: Instant) -> Self {
        Self {
            began,
            messages: Vec::new(),
            steps: Vec::new(),
        }
    }

    /// Microseconds since the run began.
    #[must_use]
    pub fn now_us(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Keeps a message whose secrets are masked.
    pub fn message(&mut self, message: Message) {
        if self.messages.len() < Self::MOST_MESSAGES {
            self.messages.push(message);
        }
    }

    /// Was no message kept so far?
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Notes a step that passed, and the requirements that it alone proves.
    pub fn step(&mut self, title: impl Into<String>, requirements: &[&str]) {
        self.steps.push(Step {
            title: title.into(),
            verdict: Verdict::Pass,
            requirements: requirements.iter().map(|&id| id.to_owned()).collect(),
            reason: None,
            at_us: self.now_us(),
            counts: aid_report::Counts::default(),
        });
    }

    /// What was kept.
    #[must_use]
    pub fn into_parts(mut self) -> (Vec<Step>, Vec<Message>) {
        self.messages.sort_by_key(|message| message.at_us);
        (self.steps, self.messages)
    }
}
