//! The agent's one struct and what can be seen of it; `drive` takes events and hands out effects.

use crate::bounds::cut;
use crate::card::{Card, Running, SetAside, Work};
use crate::driver::{Driver, Session, Wish};
use crate::durable::{Durable, Fault, Ledger, Record, Reset, RestoreError};
use crate::event::{BootMs, CardProfile, Effect, EuiccOp, Notice};
use crate::link::Link;
use crate::proofs::Offline;
use crate::waits::{Erasure, Waits};
use aid_id::{AccountRef, Id};
use aid_wire::Up;
use alloc::{string::String, vec::Vec};

/// Name and version of the agent, bytes.
const MAX_SOFTWARE: usize = 64;

/// Where the agent stands, for the HMI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The card was not read yet.
    Starting,
    /// Nobody is logged in.
    Guest,
    /// The CMP is asked about a login.
    LoggingIn,
    /// A code is awaited.
    AwaitingCode,
    /// A profile is downloaded.
    Downloading,
    /// A profile is enabled or disabled.
    Switching,
    /// The user's profile is enabled.
    Active,
    /// The user has a profile that can't be enabled, or gets none.
    NoProfile,
    /// The journal can't be written or read: nobody is logged in, and no OP stays enabled.
    Stopped,
    /// Users, profiles and keys are being removed: the car is sold.
    Resetting,
    /// They are gone. The car waits to be set up.
    FactoryReset,
}

/// The core. See the crate's page for how to drive it.
#[derive(Debug)]
pub struct Agent {
    pub(crate) software: heapless::String<MAX_SOFTWARE>,
    pub(crate) ledger: Ledger,
    /// The link to the CMP; `None` while it is down.
    pub(crate) link: Option<Link>,
    pub(crate) card: Card,
    pub(crate) driver: Driver,
    pub(crate) waits: Waits,
    pub(crate) offline: Offline,
    pub(crate) erasure: Erasure,
    /// The last id that was made: a random one, moved on with each.
    last_id: u128,
}

impl Agent {
    /// The agent after a start: nobody is logged in. Give it `Event::Boot` next.
    ///
    /// # Errors
    /// The journal holds a record that this version can't read.
    pub fn restore(
        software: &str,
        snapshot: Option<&[u8]>,
        records: &[Vec<u8>],
    ) -> Result<Self, RestoreError> {
        let durable = Durable::restore(snapshot, records)?;
        Ok(Self::with(software, Ledger::new(durable, None)))
    }

    /// The agent after a start at which the journal can't be read. It disables what is enabled; give
    /// it the journal's content with [`Agent::restore_late`] once it can be read.
    #[must_use]
    pub fn without_journal(software: &str) -> Self {
        let ledger = Ledger::new(Durable::default(), Some(Fault::Unread));
        Self::with(software, ledger)
    }

    fn with(software: &str, ledger: Ledger) -> Self {
        Self {
            software: cut(software),
            ledger,
            link: None,
            card: Card::default(),
            driver: Driver::default(),
            waits: Waits::default(),
            offline: Offline::default(),
            erasure: Erasure::default(),
            last_id: 0,
        }
    }

    /// Gives a random epoch to a journal that has none yet: to a new one, and to one of an agent that
    /// knew no epochs. It becomes part of the numbers of the reports and is on disk with the first of
    /// them. So the CMP does not take the reports of a journal for repetitions when that one was lost
    /// and another begins to count from the start. The topmost bit is not used; 0 is no epoch.
    #[must_use]
    pub fn with_epoch(mut self, random: u32) -> Self {
        self.ledger.set_epoch((random & (u32::MAX >> 1)).max(1));
        // Ids before the first login differ from those of earlier lives.
        self.last_id = u128::from(random) << 96;
        self
    }

    /// Sets the time for which a session goes on after the ignition was switched off, ms; ten minutes by default.
    #[must_use]
    pub fn with_grace(mut self, ms: u64) -> Self {
        self.driver.grace = Some(ms);
        self
    }

    /// The durable state for a journal snapshot; `None` while records are on their way to disk.
    #[must_use]
    pub fn snapshot(&self) -> Option<Vec<u8>> {
        self.ledger.snapshot()
    }

    /// The state that a failed journal has to begin with again; `None` while the journal works, or its
    /// content is not known.
    #[must_use]
    pub fn unsaved(&self) -> Option<Vec<u8>> {
        self.ledger.unsaved()
    }

    /// True while nothing is journaled: nobody can log in.
    #[must_use]
    pub fn has_failed_journal(&self) -> bool {
        self.ledger.fault().is_some()
    }

    /// True while the journal's content is awaited ([`Agent::restore_late`]).
    #[must_use]
    pub fn is_unread(&self) -> bool {
        self.ledger.fault() == Some(Fault::Unread)
    }

    /// True when the card was secured, as far as it answers: the shell may turn to the journal.
    #[must_use]
    pub fn is_secured(&self) -> bool {
        self.card.running.is_none() && self.ledger.is_idle()
    }

    /// What is on disk or on its way there.
    #[must_use]
    pub fn durable(&self) -> &Durable {
        self.ledger.state()
    }

    /// Who is logged in.
    #[must_use]
    pub fn session(&self) -> Option<&Session> {
        self.driver.session.as_ref()
    }

    /// What is on the card, as last read; of more than [`crate::bounds::MAX_PROFILES`] those that matter.
    #[must_use]
    pub fn profiles(&self) -> Option<&[CardProfile]> {
        self.card.profiles.as_ref().map(|p| p.as_slice())
    }

    /// Whether a profile is to be enabled or disabled, and waits for the end of a call.
    #[must_use]
    pub fn waits_for_call(&self) -> bool {
        self.card.held_by_call
    }

    /// When the session ends because the ignition is off; `None` while it is on, and where nobody is logged in.
    #[must_use]
    pub fn parked_until(&self) -> Option<BootMs> {
        self.driver.parked_until()
    }

    /// Where the agent stands.
    #[must_use]
    pub fn phase(&self) -> Phase {
        if self.has_failed_journal() {
            return Phase::Stopped;
        }
        if self.durable().reset() == Some(Reset::Done) {
            return Phase::FactoryReset;
        }
        if self.is_resetting() {
            return Phase::Resetting;
        }
        if self.card.profiles.is_none() {
            return Phase::Starting;
        }
        let switching = self.card.running.is_some_and(|r| r.work == Work::Switch);
        match (&self.driver.session, &self.driver.login) {
            _ if switching => Phase::Switching,
            (_, Some(_)) => Phase::LoggingIn,
            (None, None) => Phase::Guest,
            (Some(session), None) => self.phase_of(session),
        }
    }

    fn phase_of(&self, session: &Session) -> Phase {
        let (durable, account) = (self.durable(), session.account);
        let own = |p: &&CardProfile| durable.owner(&p.iccid) == Some(account);
        if self.card.iter().filter(own).any(|p| p.enabled) {
            Phase::Active
        } else if durable.downloads().iter().any(|d| d.account == account) {
            Phase::Downloading
        } else if durable.requests().iter().any(|(_, a)| *a == account)
            || matches!(session.wish, Wish::Later { .. })
        {
            Phase::AwaitingCode
        } else if self
            .card
            .iter()
            .any(|p| own(&p) && !session.held.contains(&p.iccid))
        {
            // It is enabled in a moment, or tried again.
            Phase::Switching
        } else {
            Phase::NoProfile
        }
    }

    /// The profile of the account that rests after failures.
    pub(crate) fn set_aside_of(&self, account: AccountRef) -> Option<&SetAside> {
        let aside = self.card.set_aside.iter();
        let mut own = aside.filter(|(i, _)| self.durable().owner(i) == Some(account));
        own.find(|(_, a)| a.until.is_some()).map(|(_, a)| a)
    }

    /// Applies a record and queues it.
    pub(crate) fn record(&mut self, record: Record) {
        self.ledger.record(record);
    }

    pub(crate) fn notify(&mut self, notice: Notice) {
        self.ledger.offer(Effect::Notify(notice));
    }

    pub(crate) fn error(&mut self, text: &str) {
        self.notify(Notice::Error {
            text: String::from(text),
        });
    }

    pub(crate) fn send(&mut self, message_id: Option<Id>, body: Up) {
        if self.link.is_some() && !self.has_failed_journal() {
            self.ledger.offer(Effect::Send { message_id, body });
        }
    }

    /// Asks the card for something.
    pub(crate) fn start(&mut self, now: BootMs, work: Work, what: EuiccOp) {
        self.card.last_number += 1;
        let number = self.card.last_number;
        self.card.running = Some(Running {
            number,
            begun: now,
            work,
        });
        self.ledger.act(number, what);
    }

    /// Since when the link has been up.
    pub(crate) fn link_since(&self) -> Option<BootMs> {
        self.link.as_ref().map(|l| l.since)
    }

    /// A fresh id: the random one of the last login, moved on.
    pub(crate) fn next_id(&mut self) -> Id {
        self.last_id = self.last_id.wrapping_add(1);
        self.last_id.to_be_bytes()
    }

    /// Makes ids from this random one from now on.
    pub(crate) fn reseed(&mut self, id: Id) {
        self.last_id = u128::from_be_bytes(id);
    }
}
