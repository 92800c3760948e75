//! What the agent does and waits for, for people: operations on the card, downloads, requests, orders, deliveries.

use crate::agent::Agent;
use crate::card::Work;
use crate::driver::Wish;
use crate::durable::{Operation, Reset};
use crate::event::BootMs;
use aid_id::{AccountRef, Iccid};
use aid_wire::OrderKind;
use alloc::{string::String, vec::Vec};

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doing {
    /// The list of profiles is read from the card.
    ReadCard,
    /// A profile is enabled.
    Enable,
    /// A profile is disabled.
    Disable,
    /// A profile is deleted.
    Delete,
    /// A profile is downloaded and installed.
    Download,
    /// Notifications of the card are delivered to their SM-DP+.
    Notifications,
    /// The CMP is asked for an activation code.
    Code,
    /// An order of the CMP is executed.
    Order(OrderKind),
    /// The outcome of an order is on its way to the CMP.
    Outcome(OrderKind),
    /// Reports are on their way to the CMP; so many.
    Reports(usize),
    /// Journal and keys are erased: the car is reset to its factory state.
    Erase,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Under way since then.
    Running(BootMs),
    /// Tried again then, at the latest.
    Retry(BootMs),
    /// Waits for an answer, for the link, or for something before it.
    Waiting,
}

/// Something that the agent does or waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// The operation or request that is under way or waits.
    pub doing: Doing,
    /// How far it is.
    pub stage: Stage,
    /// Whose it is, where that is known.
    pub account: Option<AccountRef>,
    /// Which profile it is about, where that is known.
    pub iccid: Option<Iccid>,
    /// Failed tries in a row, or tries that were begun.
    pub tries: u16,
    /// Why the last try failed, one sentence; empty where none failed.
    pub cause: String,
}

impl Task {
    fn new(doing: Doing, stage: Stage) -> Self {
        Self {
            doing,
            stage,
            account: None,
            iccid: None,
            tries: 0,
            cause: String::new(),
        }
    }
}

impl Agent {
    /// What the agent does and waits for; what is under way comes first.
    #[must_use]
    pub fn tasks(&self) -> Vec<Task> {
        let mut tasks = Vec::new();
        self.card_tasks(&mut tasks);
        self.download_tasks(&mut tasks);
        self.code_tasks(&mut tasks);
        let notifications = &self.waits.notifications;
        let delivering = self
            .card
            .running
            .is_some_and(|r| r.work == Work::Notifications);
        if notifications.due && !delivering {
            let wait = notifications.wait.as_ref();
            let stage = wait.map_or(Stage::Waiting, |w| Stage::Retry(w.next(self.link_since())));
            let mut task = Task::new(Doing::Notifications, stage);
            task.tries = notifications.failures();
            task.cause = wait.map_or_else(String::new, |w| String::from(w.cause.as_str()));
            tasks.push(task);
        }
        for order in self.durable().orders() {
            let kind = order.kind.clone();
            let doing = match order.outcome {
                None => Doing::Order(kind),
                Some(_) => Doing::Outcome(kind),
            };
            tasks.push(Task::new(doing, Stage::Waiting));
        }
        if matches!(
            self.durable().reset(),
            Some(Reset::Closing | Reset::Erasing)
        ) {
            let stage = self.reset_timeout().map_or(Stage::Waiting, Stage::Retry);
            tasks.push(Task::new(Doing::Erase, stage));
        }
        let reports = self.durable().outbox().len();
        if reports > 0 {
            tasks.push(Task::new(Doing::Reports(reports), Stage::Waiting));
        }
        tasks
    }

    /// The operation on the card, or its next try; and profiles that rest.
    fn card_tasks(&self, tasks: &mut Vec<Task>) {
        let intent = self.durable().intent();
        let operation = |op: &Operation| match op {
            Operation::Enable => Doing::Enable,
            Operation::Disable => Doing::Disable,
            Operation::Delete => Doing::Delete,
        };
        let stage = match (self.card.running, self.card.retry) {
            (Some(running), _) => Some(Stage::Running(running.begun)),
            (None, Some(next)) => Some(Stage::Retry(next)),
            (None, None) if intent.is_some() => Some(Stage::Waiting),
            (None, None) => None,
        };
        let work = self.card.running.map(|r| r.work);
        if let Some(stage) = stage {
            let mut task = match (work, intent) {
                (Some(Work::List), _) | (None, None) => Task::new(Doing::ReadCard, stage),
                (Some(Work::Notifications), _) => Task::new(Doing::Notifications, stage),
                (Some(Work::Download(id)), _) => {
                    let mut task = Task::new(Doing::Download, stage);
                    if let Some(download) = self.download(id) {
                        task.account = Some(download.account);
                        task.iccid = download.iccid;
                        task.tries = download.attempts;
                    }
                    task
                }
                (Some(Work::Switch | Work::Delete) | None, Some(intent)) => {
                    let mut task = Task::new(operation(&intent.operation), stage);
                    task.account = self.durable().owner(&intent.iccid);
                    task.iccid = Some(intent.iccid.clone());
                    task.tries = intent.attempts;
                    task
                }
                (Some(Work::Switch | Work::Delete), None) => Task::new(Doing::ReadCard, stage),
            };
            if self.card.held_by_call {
                task.cause = String::from("a call is on");
            }
            tasks.push(task);
        }
        for (iccid, aside) in &self.card.set_aside {
            if let Some(until) = aside.until {
                let deleted = self.durable().wanted().contains(iccid);
                let doing = if deleted {
                    Doing::Delete
                } else {
                    Doing::Enable
                };
                let mut task = Task::new(doing, Stage::Retry(until));
                task.account = self.durable().owner(iccid);
                task.iccid = Some(iccid.clone());
                task.tries = aside.failures;
                task.cause = String::from(aside.cause.as_str());
                tasks.push(task);
            }
        }
    }

    fn download_tasks(&self, tasks: &mut Vec<Task>) {
        let running = self.card.running.map(|r| r.work);
        for download in self.durable().downloads() {
            if running == Some(Work::Download(download.request_id)) {
                continue;
            }
            let wait = self.waits.downloads.get(&download.request_id);
            let stage = wait.map_or(Stage::Waiting, |w| Stage::Retry(w.next(self.link_since())));
            let mut task = Task::new(Doing::Download, stage);
            task.account = Some(download.account);
            task.iccid.clone_from(&download.iccid);
            task.tries = download.attempts;
            task.cause = wait.map_or_else(String::new, |w| String::from(w.cause.as_str()));
            tasks.push(task);
        }
    }

    fn code_tasks(&self, tasks: &mut Vec<Task>) {
        for (id, account) in self.durable().requests() {
            let mut task = Task::new(Doing::Code, Stage::Waiting);
            task.account = Some(*account);
            if self.waits.answered_later.contains(id) {
                task.cause = String::from("the operator sends it later");
            }
            tasks.push(task);
        }
        if let Some(session) = self.session()
            && let Wish::Later { until, cause } = &session.wish
        {
            let mut task = Task::new(Doing::Code, Stage::Retry(*until));
            task.account = Some(session.account);
            task.tries = session.failures;
            task.cause = String::from(cause.as_str());
            tasks.push(task);
        }
    }
}
