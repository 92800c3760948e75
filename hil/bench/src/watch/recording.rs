//! What a demo shows while it goes on: messages, steps, the car's state. The live page and the report are both made of it.

use super::lines::Lines;
use crate::process::Tap;
use crate::report::Report as Story;
use aid_cli::cli::Failure;
use aid_report::{
    Case, Counts, FORMAT, Kind, Laboratory, Message, Recorder, Report, Step, Verdict, Version,
};
use jiff::Timestamp;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::broadcast;

/// Most messages that are kept.
const MOST: usize = 5_000;
/// Longest list of changes that a slow reader may be behind.
const BEHIND: usize = 1_024;

/// Something changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Changed {
    /// There is another message.
    Message,
    /// Steps or the car's state are others.
    State,
    /// Nothing will change any more.
    Over,
}

/// What is shown.
#[derive(Debug)]
pub(super) struct Shown {
    recorder: Recorder,
    lines: Lines,
    pub(super) messages: Vec<Message>,
    pub(super) steps: Vec<Step>,
    /// The car's state, in words.
    pub(super) car: &'static str,
    /// Address of the car's screen, good for one browser.
    pub(super) screen: Option<String>,
    pub(super) over: bool,
}

/// The recording of one demo; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Recording {
    began: Instant,
    clock: Timestamp,
    shown: Arc<Mutex<Shown>>,
    changes: broadcast::Sender<Changed>,
}

impl Recording {
    /// Begins; give each part its [`Self::tap`].
    pub(crate) fn start() -> Self {
        let (changes, _) = broadcast::channel(BEHIND);
        Self {
            began: Instant::now(),
            clock: Timestamp::now(),
            shown: Arc::new(Mutex::new(Shown {
                recorder: Recorder::new(),
                lines: Lines::default(),
                messages: Vec::new(),
                steps: Vec::new(),
                car: "not started",
                screen: None,
                over: false,
            })),
            changes,
        }
    }

    /// Reads the log of a part while it is written.
    pub(crate) fn tap(&self, program: &'static str) -> Tap {
        let own = self.clone();
        Box::new(move |line| own.line(program, line))
    }

    pub(super) fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn changes(&self) -> broadcast::Receiver<Changed> {
        self.changes.subscribe()
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn line(&self, program: &str, line: &str) {
        let now = self.now_us();
        let mut shown = self.shown();
        let shown = &mut *shown;
        if shown.messages.len() < MOST && shown.lines.read(&mut shown.recorder, now, program, line)
        {
            shown.messages.append(&mut shown.recorder.take());
            // Nobody may be looking.
            let _ = self.changes.send(Changed::Message);
        }
    }

    /// What the driver or the bench does, one sentence.
    pub(crate) fn say(&self, text: &str) {
        let now = self.now_us();
        let mut shown = self.shown();
        shown.recorder.deed(now, "driver", text, &[]);
        let mut made = shown.recorder.take();
        shown.messages.append(&mut made);
        let _ = self.changes.send(Changed::Message);
    }

    /// A step of the story ended.
    pub(crate) fn step(&self, step: &crate::report::Step) {
        let now = self.now_us();
        let us = (step.ms * 1000.0) as u64;
        let mut shown = self.shown();
        shown.steps.push(Step {
            title: step.name.to_owned(),
            verdict: if step.ok {
                Verdict::Pass
            } else {
                Verdict::Fail
            },
            requirements: Vec::new(),
            reason: None,
            at_us: now.saturating_sub(us),
            counts: Counts {
                us,
                apdus: step.apdus,
                bytes: step.admin_bytes,
            },
        });
        shown.car = match step.name {
            "start" | "onboarding" => "online, nobody is logged in",
            "login" | "activation-code" => "the driver is logged in and has no profile here yet",
            "download" => "the driver's profile is installed",
            "enable" | "status" | "sim" | "second-login" => "the driver's profile is the SIM",
            "logout" | "second-logout" => "parked; the profile is disabled",
            _ => shown.car,
        };
        let _ = self.changes.send(Changed::State);
    }

    /// The car's screen is at this address.
    pub(crate) fn screen(&self, address: &str) {
        self.shown().screen = Some(address.to_owned());
        let _ = self.changes.send(Changed::State);
    }

    /// Nothing comes any more.
    pub(crate) fn end(&self) {
        let mut shown = self.shown();
        shown.over = true;
        shown.screen = None;
        drop(shown);
        let _ = self.changes.send(Changed::Over);
    }

    /// The report of the demo.
    pub(crate) fn report(
        &self,
        story: &Story,
        command: &str,
        laboratory: Laboratory,
    ) -> Result<Report, Failure> {
        let shown = self.shown();
        let second =
            |time: Timestamp| Timestamp::from_second(time.as_second()).map(|time| time.to_string());
        let totals = story.totals;
        let case = Case {
            name: "demo/provisioning".to_owned(),
            about: "A driver links the account, logs in to a car, gets a profile, uses it, logs out, and logs in again."
                .to_owned(),
            clause: "AID.02 §4.1, §4.3".to_owned(),
            requirements: Vec::new(),
            sgp23: Vec::new(),
            verdict: if story.ok { Verdict::Pass } else { Verdict::Fail },
            reason: None,
            failure: story.error.as_ref().map(|error| aid_report::Failure {
                expected: "every step succeeds".to_owned(),
                seen: error.clone(),
                repeat: command.to_owned(),
            }),
            steps: shown.steps.clone(),
            messages: shown.messages.clone(),
            counts: Counts {
                us: (totals.ms * 1000.0) as u64,
                apdus: totals.apdus,
                bytes: totals.admin_bytes,
            },
        };
        let mut report = Report {
            format: FORMAT,
            kind: Kind::Demo,
            subject: format!("car with EID {}", story.eid),
            command: command.to_owned(),
            // Keys and ids of a demo are random.
            seed: 0,
            began: second(self.clock)?,
            ended: second(Timestamp::now())?,
            laboratory,
            versions: vec![Version {
                name: "aid-hil".to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
            }],
            cases: vec![case],
        };
        drop(shown);
        // A secret of a late message may stand in an early one.
        self.shown().recorder.mask(&mut report);
        Ok(report)
    }
}
