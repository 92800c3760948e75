//! The host's end of an AT port with a card behind it: a state machine over lines, without clock or tty.
//! 3GPP TS 27.007 §8.43 (+CCHO), §8.44 (+CCHC), §8.45 (+CGLA), §8.17 (+CSIM), §8.3 (+CPIN), §8.2 (+CFUN).
//!
//! ```text
//! begin(task) → step(now): Write → the shell writes; Wait(until) → it reads until then, received(bytes);
//!               Done → the task's result
//! ```
//! A modem says things on its own between (and within) answers, is busy, restarts, answers late. A late
//! answer never counts as the next command's: after a timeout the line is drained before it is used again,
//! and the final result code behind an answer to another command is dropped. That rests on modems answering
//! commands in order (V.250 §5.7.1): a bare result code says nothing about its command.

mod answers;

use super::command::{Command, is_refresh, is_restart};
use super::lines::{Cause, Line, MAX_LINE};
use super::task::{Fault, Millis, Pin, Reply, Step, Task};
use crate::apdu::{MAX_CHANNEL, channel_of};
use crate::lines::Lines;
use crate::table::Timing;
use std::collections::VecDeque;

/// First pause before a busy modem is asked again; each is twice the one before.
const FIRST_PAUSE: Millis = 100;
/// Longest pause.
const LAST_PAUSE: Millis = 2000;
/// Silence after which a line counts as drained.
const QUIET: Millis = 100;
/// Longest drain.
const DRAIN: Millis = 3000;
/// How often "AT" is sent to a modem that does not answer it.
const CALLS: u8 = 3;
/// How often a task begins again because the modem restarted.
const RESTARTS: u8 = 5;

#[derive(Debug)]
enum Phase {
    Idle,
    /// The next command goes out, at this time at the earliest.
    Next(Millis),
    /// A command is out.
    Sent(Sent),
    /// Nothing is sent until the line was quiet for a while.
    Draining {
        quiet_at: Millis,
        end: Millis,
    },
    Over(Result<Reply, Fault>),
}

#[derive(Debug)]
struct Sent {
    command: Command,
    deadline: Millis,
    /// What followed the expected prefix.
    info: Option<String>,
    /// Its quotation mark is open: the next line may go on with it.
    open: bool,
}

/// The machine. One task at a time.
#[derive(Debug)]
pub struct Modem {
    timing: Timing,
    lines: Lines,
    phase: Phase,
    queue: VecDeque<Command>,
    task: Option<Task>,
    /// Echo and error codes are set.
    ready: bool,
    /// Something may still come that belongs to an earlier command.
    adrift: bool,
    /// Final result codes that belong to earlier commands.
    strays: u8,
    /// Channel and session of those that +CCHO opened.
    sessions: Vec<(u8, u32)>,
    /// Sessions that nobody uses any more.
    stale: Vec<u32>,
    /// The caller manages channels with +CSIM.
    manual: bool,
    /// What +CCHO answered the last time that it failed.
    no_channel: Option<Cause>,
    refreshed: bool,
    /// The card restarts, or did: it is asked for its state before a channel is opened.
    unsettled: bool,
    pin: Pin,
    pause: Millis,
    busy_until: Option<Millis>,
    calls: u8,
    restarts: u8,
}

impl Modem {
    /// A modem of which nothing is known yet.
    #[must_use]
    pub fn new(timing: Timing) -> Self {
        Self {
            timing,
            lines: Lines::new(MAX_LINE),
            phase: Phase::Idle,
            queue: VecDeque::new(),
            task: None,
            ready: false,
            adrift: true,
            strays: 0,
            sessions: Vec::new(),
            stale: Vec::new(),
            manual: false,
            no_channel: None,
            refreshed: false,
            unsettled: false,
            pin: Pin::Unknown,
            pause: FIRST_PAUSE,
            busy_until: None,
            calls: 0,
            restarts: 0,
        }
    }

    /// The line was opened, or opened again: nothing of before holds.
    pub fn connected(&mut self) {
        let refreshed = self.refreshed || !self.sessions.is_empty() || self.manual;
        *self = Self {
            refreshed,
            ..Self::new(self.timing)
        };
    }

    /// State of the PIN when it was last told.
    #[must_use]
    pub const fn pin(&self) -> Pin {
        self.pin
    }

    /// The card was reset or refreshed since the last call.
    pub fn take_refreshed(&mut self) -> bool {
        std::mem::take(&mut self.refreshed)
    }

    /// Begins a task; one that was not finished is given up.
    pub fn begin(&mut self, task: Task) {
        if matches!(self.phase, Phase::Sent(_)) {
            self.adrift = true;
        }
        (self.pause, self.busy_until) = (FIRST_PAUSE, None);
        (self.calls, self.restarts) = (0, 0);
        self.task = Some(task);
        self.plan();
    }

    /// Puts the commands of the task into the queue, with what has to come before them.
    fn plan(&mut self) {
        self.queue.clear();
        self.phase = Phase::Next(0);
        let Some(task) = self.task.clone() else {
            self.phase = Phase::Idle;
            return;
        };
        if self.adrift || !self.ready {
            self.queue.push_back(Command::Call);
        }
        if !self.ready {
            self.queue
                .extend([Command::Plain, Command::Numbers, Command::Pin]);
        }
        match task {
            Task::Open(aid) => {
                let unused = self.sessions.drain(..).map(|(_, session)| session);
                self.stale.extend(unused);
                self.stale.truncate(usize::from(MAX_CHANNEL));
                let stale = self.stale.drain(..);
                self.queue.extend(stale.map(Command::CloseStale));
                self.manual = false;
                if self.ready && self.unsettled {
                    self.queue.push_back(Command::Pin);
                }
                self.queue.push_back(Command::Open(aid));
            }
            Task::Apdu(apdu) => {
                let channel = apdu.first().map_or(0, |class| channel_of(*class));
                let session = self.sessions.iter().find(|(c, _)| *c == channel);
                match session {
                    Some((_, session)) => self.queue.push_back(Command::Channel(*session, apdu)),
                    None if channel == 0 || self.manual => {
                        self.queue.push_back(Command::Basic(apdu));
                    }
                    None => {
                        let what = "the card was reset or the modem restarted".into();
                        self.end(Err(Fault::ChannelGone(what)));
                    }
                }
            }
            Task::Close(channel) => {
                let at = self.sessions.iter().position(|(c, _)| *c == channel);
                match at {
                    Some(at) => {
                        let (_, session) = self.sessions.swap_remove(at);
                        self.queue.push_back(Command::Close(session));
                    }
                    None => self.end(Ok(Reply::Done)),
                }
            }
            Task::Reset => self
                .queue
                .extend([Command::Off, Command::On, Command::Back]),
        }
    }

    fn end(&mut self, result: Result<Reply, Fault>) {
        self.queue.clear();
        self.task = None;
        self.phase = Phase::Over(result);
    }

    /// What the shell does now.
    pub fn step(&mut self, now: Millis) -> Step {
        loop {
            match &self.phase {
                Phase::Idle => return Step::Done(Err(Fault::Garbled("nothing was asked"))),
                Phase::Next(at) if *at > now => return Step::Wait(*at),
                Phase::Next(_) => match self.queue.pop_front() {
                    Some(command) => return Step::Write(self.send(command, now)),
                    None => self.end(Ok(Reply::Done)),
                },
                Phase::Sent(sent) if sent.deadline > now => return Step::Wait(sent.deadline),
                Phase::Sent(_) => self.late(),
                Phase::Draining { quiet_at, end } => {
                    let until = *(quiet_at.min(end));
                    if until > now {
                        return Step::Wait(until);
                    }
                    (self.adrift, self.strays) = (false, 0);
                    self.phase = Phase::Next(now);
                }
                Phase::Over(_) => {
                    let Phase::Over(result) = std::mem::replace(&mut self.phase, Phase::Idle)
                    else {
                        continue;
                    };
                    return Step::Done(result);
                }
            }
        }
    }

    fn send(&mut self, command: Command, now: Millis) -> Vec<u8> {
        let limit = match command.is_apdu() {
            true => self.timing.answer,
            false if matches!(command, Command::Call) => self.timing.connect / u32::from(CALLS),
            false => self.timing.connect,
        };
        let text = command.text();
        self.phase = Phase::Sent(Sent {
            command,
            deadline: now + limit.as_millis() as Millis,
            info: None,
            open: false,
        });
        text.into_bytes()
    }

    /// The command that is out was not answered in time.
    fn late(&mut self) {
        let Phase::Sent(sent) = std::mem::replace(&mut self.phase, Phase::Idle) else {
            return;
        };
        self.adrift = true;
        if matches!(sent.command, Command::Call) && self.calls + 1 < CALLS {
            self.calls += 1;
            self.queue.push_front(Command::Call);
            self.phase = Phase::Next(0);
            return;
        }
        let unused = self.sessions.drain(..).map(|(_, session)| session);
        self.stale.extend(unused);
        self.refreshed |= self.manual;
        self.manual = false;
        self.end(Err(Fault::Silent(sent.command.name())));
    }

    /// Bytes came from the modem; none where the time was over.
    pub fn received(&mut self, bytes: &[u8], now: Millis) {
        if let Phase::Draining { quiet_at, .. } = &mut self.phase
            && !bytes.is_empty()
        {
            *quiet_at = now + QUIET;
        }
        let mut lines = std::mem::replace(&mut self.lines, Lines::new(MAX_LINE));
        lines.push(bytes, |line| match line {
            Some(line) => self.line(line, now),
            None => self.overlong(),
        });
        self.lines = lines;
    }

    fn overlong(&mut self) {
        self.adrift = true;
        if matches!(self.phase, Phase::Sent(_)) {
            self.end(Err(Fault::Garbled("the line is too long")));
        }
    }

    fn line(&mut self, line: &str, now: Millis) {
        let read = Line::read(line);
        if is_restart(&read) {
            return self.restarted(now);
        }
        if is_refresh(&read) && !self.expects("+CPIN") {
            self.card_is_gone();
        }
        let Phase::Sent(sent) = &mut self.phase else {
            // Of a command that was given up, unless it is unsolicited.
            self.adrift |= matches!(read, Line::Final(_));
            return;
        };
        if sent.open && !matches!(read, Line::Final(_)) {
            let goes_on = |c: char| c.is_ascii_hexdigit() || c == '"';
            if let Some(info) = &mut sent.info
                && line.chars().all(goes_on)
                && info.len() + line.len() <= MAX_LINE
            {
                info.push_str(line);
                sent.open = !line.contains('"');
                return;
            }
        }
        match read {
            Line::Final(_) if self.strays > 0 => self.strays -= 1,
            Line::Final(result) => self.finished(result, now),
            Line::Info(name, rest)
                if sent.command.expects() == Some(name) && sent.info.is_none() =>
            {
                sent.open = rest.matches('"').count() == 1;
                sent.info = Some(rest.to_owned());
            }
            Line::Info("+CCHO" | "+CGLA" | "+CSIM", _) => {
                self.strays = self.strays.saturating_add(1);
            }
            // Before release 9 the session came without a name.
            Line::Text(text)
                if matches!(sent.command, Command::Open(_))
                    && sent.info.is_none()
                    && text.bytes().all(|b| b.is_ascii_digit()) =>
            {
                sent.info = Some(text.to_owned());
            }
            // An echo, or an unsolicited result code.
            _ => {}
        }
    }

    fn expects(&self, name: &str) -> bool {
        matches!(&self.phase, Phase::Sent(sent) if sent.command.expects() == Some(name))
    }

    fn card_is_gone(&mut self) {
        (self.refreshed, self.unsettled) = (true, true);
        self.sessions.clear();
        self.stale.clear();
        self.manual = false;
    }

    /// The modem has lost its settings, its sessions, and the command that was out.
    fn restarted(&mut self, now: Millis) {
        self.card_is_gone();
        (self.ready, self.adrift, self.strays) = (false, true, 0);
        let Phase::Sent(sent) = &self.phase else {
            if self.task.is_some() {
                self.again(now);
            }
            return;
        };
        // It comes in pieces, and some modems say it once more when they are really ready.
        if sent.command.is_apdu() {
            self.end(Err(Fault::Restarted));
        } else if matches!(self.task, Some(Task::Reset)) {
            self.end(Ok(Reply::Done));
        } else {
            self.again(now);
        }
    }

    fn again(&mut self, now: Millis) {
        self.restarts += 1;
        if self.restarts > RESTARTS {
            return self.end(Err(Fault::Restarted));
        }
        self.plan();
        if !matches!(self.phase, Phase::Over(_)) {
            self.phase = Phase::Next(now + QUIET);
        }
    }

    fn finished(&mut self, result: Result<(), Cause>, now: Millis) {
        let Phase::Sent(sent) = std::mem::replace(&mut self.phase, Phase::Next(now)) else {
            return;
        };
        let command = sent.command;
        let waits = |cause: &Cause| cause.is_busy() || matches!(command, Command::Back);
        match &result {
            // "NOT READY" is as good as an error: the card is not back yet.
            Ok(())
                if matches!(command, Command::Back | Command::Pin)
                    && sent.info.as_deref() == Some("NOT READY") =>
            {
                return self.busy(command, "+CPIN: NOT READY", now);
            }
            Err(cause) if waits(cause) && cause.code != Some(10) => {
                let text = cause.to_string();
                return self.busy(command, &text, now);
            }
            _ => {}
        }
        self.answered(&command, result, sent.info.as_deref(), now);
    }

    /// Asks again after a pause, or gives up.
    fn busy(&mut self, command: Command, why: &str, now: Millis) {
        let until = now + self.timing.busy.as_millis() as Millis;
        let until = *self.busy_until.get_or_insert(until);
        if now + self.pause > until {
            return match command {
                // What it waited for is not necessary.
                Command::Pin => self.told(Pin::Unknown),
                Command::Back => self.end(Ok(Reply::Done)),
                command => self.end(Err(Fault::Busy(format!("{}: {why}", command.name())))),
            };
        }
        self.queue.push_front(command);
        self.phase = Phase::Next(now + self.pause);
        self.pause = (self.pause * 2).min(LAST_PAUSE);
    }

    /// The card has said how it is.
    fn told(&mut self, pin: Pin) {
        self.pin = pin;
        (self.ready, self.unsettled) = (true, false);
        (self.pause, self.busy_until) = (FIRST_PAUSE, None);
    }

    /// Forgets an unfinished line: the shell lost the tty.
    pub fn disconnected(&mut self) {
        self.lines.clear();
        self.connected();
    }
}
