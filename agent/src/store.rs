//! The agent's journal over its failures: a journal that fails is opened again, with growing pauses,
//! and begins anew with a snapshot of the core's state; one that is damaged is put aside.
//!
//! The safe state comes first and needs nothing of this: the core has disabled what was enabled before
//! [`Store::recover`] is called.

use aid_agent_core::{Agent, BootMs, Event};
use aid_journal::{Error, FileMedia, Journal, Media, Recovered};
use std::path::PathBuf;

/// Bytes of journal after which a snapshot replaces it.
const SNAPSHOT_AT: usize = 256 * 1024;
/// First pause before the journal is opened again, ms; doubles up to `MAX_PAUSE`.
const PAUSE: u64 = 1000;
/// Longest pause, ms.
const MAX_PAUSE: u64 = 20_000;
/// Tries before a journal that can't be read or written, on a disk that takes new files, counts as
/// damaged.
const PATIENCE: u32 = 6;
/// Time that these take at least, ms, however often somebody makes the agent hurry.
const PATIENCE_MS: u64 = 45_000;

type MediaError<D> = <<D as Disk>::Media as Media>::Error;
type Opened<D> = (Journal<<D as Disk>::Media>, Recovered);

/// Where segments are.
pub(crate) trait Disk {
    /// Its segments.
    type Media: Media;
    /// Takes the segments for this process.
    fn open(&self) -> Result<Self::Media, MediaError<Self>>;
    /// Sizes of the log.
    fn config(&self) -> aid_journal::Config {
        aid_journal::Config::default()
    }
    /// True when another process has them.
    fn is_in_use(error: &MediaError<Self>) -> bool;
}

/// A folder of a file system.
#[derive(Debug)]
pub(crate) struct Folder(pub(crate) PathBuf);

impl Disk for Folder {
    type Media = FileMedia;
    fn open(&self) -> Result<FileMedia, aid_journal::FileError> {
        FileMedia::open(&self.0)
    }
    fn is_in_use(error: &aid_journal::FileError) -> bool {
        error.is_in_use()
    }
}

/// Why the journal does not open.
#[derive(Debug)]
enum Trouble {
    /// Another agent runs on it.
    InUse(String),
    /// What it holds is wrong, and stays so.
    Damaged(String),
    /// The disk does not do what it is asked; it may later. Full disks leave the segments as they are.
    Storage { text: String, full: bool },
}

impl Trouble {
    fn of<E: std::fmt::Debug + std::fmt::Display>(error: &Error<E>) -> Self {
        let text = error.to_string();
        match error {
            Error::Damaged { .. } => Self::Damaged(text),
            Error::Full(_) => Self::Storage { text, full: true },
            _ => Self::Storage { text, full: false },
        }
    }

    fn text(self) -> String {
        match self {
            Self::InUse(text) | Self::Damaged(text) | Self::Storage { text, .. } => text,
        }
    }
}

/// A journal that does not work.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) since: BootMs,
    pub(crate) text: String,
    tries: u32,
    last: BootMs,
    next: BootMs,
}

/// Damaged segments that were put aside.
#[derive(Debug, Clone)]
pub(crate) struct Aside {
    pub(crate) at: BootMs,
    pub(crate) place: String,
    pub(crate) text: String,
}

/// The state is too large for a snapshot: the agent has to start again from what is on disk.
#[derive(Debug, thiserror::Error)]
#[error("the agent's state can't be written as a snapshot: {0}")]
pub(crate) struct TooLarge(String);

/// The journal, and what is wrong with it.
#[derive(Debug)]
pub(crate) struct Store<D: Disk> {
    disk: D,
    journal: Option<Journal<D::Media>>,
    failure: Option<Failure>,
    aside: Option<Aside>,
    /// A full disk took no snapshot: said once.
    compaction_failed: bool,
}

impl<D: Disk> Store<D> {
    /// Opens the journal and restores the core from it, whatever state it is in. `stamp` names what
    /// is put aside. The core's state lies in place, and is too large to be passed on the stack.
    ///
    /// # Errors
    /// Another process has the journal open.
    pub(crate) fn start(
        disk: D,
        software: &str,
        now: BootMs,
        stamp: &str,
    ) -> Result<(Self, Box<Agent>), String> {
        let mut store = Self {
            disk,
            journal: None,
            failure: None,
            aside: None,
            compaction_failed: false,
        };
        let restore = |found: &Recovered| {
            Agent::restore(software, found.snapshot.as_deref(), &found.records)
                .map(Box::new)
                .map_err(|e| Trouble::Damaged(e.to_string()))
        };
        let mut opened = store.open();
        if let Ok((_, found)) = &opened
            && let Err(damage) = restore(found)
        {
            opened = Err(damage);
        }
        if let Err(Trouble::Damaged(text)) = &opened {
            opened = store.begin_again(now, text, stamp);
        }
        let trouble = match opened {
            Ok((journal, found)) => {
                let agent = restore(&found).map_err(Trouble::text)?;
                store.journal = Some(journal);
                return Ok((store, agent));
            }
            Err(Trouble::InUse(text)) => return Err(text),
            Err(trouble) => trouble,
        };
        // Damage that can't be put aside is read when it can.
        let known = match &trouble {
            Trouble::Damaged(_) if store.aside.is_none() => None,
            _ => store.read().and_then(|found| restore(&found)).ok(),
        };
        let text = trouble.text();
        store.fail(now, text.clone());
        let agent = match known {
            Some(mut agent) => {
                agent.handle(now, Event::PersistFailed { text });
                agent
            }
            None => Box::new(Agent::without_journal(software)),
        };
        Ok((store, agent))
    }

    /// What is wrong at present.
    pub(crate) fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// What was put aside last in this life.
    pub(crate) fn aside(&self) -> Option<&Aside> {
        self.aside.as_ref()
    }

    /// When to call [`Store::recover`].
    pub(crate) fn next_try(&self) -> Option<BootMs> {
        self.failure.as_ref().map(|f| f.next)
    }

    /// Somebody waits: the next try is not far.
    pub(crate) fn hurry(&mut self) {
        if let Some(failure) = &mut self.failure {
            failure.next = failure.next.min(failure.last.plus(PAUSE));
        }
    }

    /// Puts a record on disk.
    ///
    /// # Errors
    /// It may not be there, in one sentence; the journal takes no more before [`Store::recover`].
    pub(crate) fn append(&mut self, now: BootMs, bytes: &[u8]) -> Result<(), String> {
        let result = match &mut self.journal {
            Some(journal) => journal.append(bytes).map(drop).map_err(|e| e.to_string()),
            None => Err("the journal does not work".to_owned()),
        };
        result.inspect_err(|text| self.fail(now, text.clone()))
    }

    /// Puts this state in the place of the journal, and overwrites what was there and what was kept aside: a factory reset.
    ///
    /// # Errors
    /// Something of it is still there, in one sentence.
    pub(crate) fn erase(&mut self, now: BootMs, state: &[u8]) -> Result<(), String> {
        let erased = match &mut self.journal {
            Some(journal) => journal.erase(state).map(drop).map_err(|e| e.to_string()),
            None => Err("the journal does not work".to_owned()),
        };
        if erased.is_ok() {
            self.aside = None;
            return Ok(());
        }
        // Opened again, where it can be: the erasure is tried again.
        self.journal = None;
        match self.open() {
            Ok((journal, _)) => self.journal = Some(journal),
            Err(trouble) => self.fail(now, trouble.text()),
        }
        erased
    }

    /// Replaces a long journal by a snapshot. A failure costs nothing as long as the journal can be
    /// opened again.
    ///
    /// # Errors
    /// It can't: the journal takes no more records.
    pub(crate) fn compact(&mut self, now: BootMs, agent: &Agent) -> Result<(), String> {
        let Some(journal) = self.journal.as_mut().filter(|j| j.used() > SNAPSHOT_AT) else {
            return Ok(());
        };
        let Some(state) = agent.snapshot() else {
            return Ok(());
        };
        match journal.snapshot(&state) {
            Ok(_) => {
                self.compaction_failed = false;
                return Ok(());
            }
            Err(error @ (Error::Full(_) | Error::PayloadSize { .. })) => {
                if !std::mem::replace(&mut self.compaction_failed, true) {
                    tracing::error!(%error, "cannot write a snapshot; the journal grows");
                }
                return Ok(());
            }
            Err(error) => {
                tracing::warn!(%error, "cannot write a snapshot; opening the journal again");
            }
        }
        self.journal = None;
        let written = self.open().and_then(|(mut journal, _)| {
            let result = journal.snapshot(&state).map_err(|e| Trouble::of(&e));
            result.map(|_| self.journal = Some(journal))
        });
        written.map_err(|trouble| {
            let text = trouble.text();
            self.fail(now, text.clone());
            text
        })
    }

    /// Tries to bring the journal back: opens it, puts aside what is damaged, and writes the core's
    /// state as a snapshot. Nothing that was acknowledged is lost by it.
    ///
    /// # Errors
    /// The state does not fit into a snapshot.
    pub(crate) fn recover(
        &mut self,
        agent: &mut Agent,
        now: BootMs,
        stamp: &str,
    ) -> Result<bool, TooLarge> {
        let hopeless = self.failure.as_ref().is_some_and(|failure| {
            let lasted = now.0.saturating_sub(failure.since.0);
            failure.tries >= PATIENCE && lasted >= PATIENCE_MS
        });
        // The lock goes with it.
        self.journal = None;
        match self.bring_back(agent, now, hopeless, stamp) {
            Ok(Ok(journal)) => {
                self.journal = Some(journal);
                self.failure = None;
                agent.handle(now, Event::JournalRestored);
                Ok(true)
            }
            Ok(Err(too_large)) => Err(too_large),
            Err(trouble) => {
                let text = trouble.text();
                tracing::warn!(error = %text, "the journal still fails");
                self.fail(now, text);
                Ok(false)
            }
        }
    }

    fn bring_back(
        &mut self,
        agent: &mut Agent,
        now: BootMs,
        hopeless: bool,
        stamp: &str,
    ) -> Result<Result<Journal<D::Media>, TooLarge>, Trouble> {
        let mut opened = self.open();
        if agent.is_unread() {
            // What can be read is known from now on, even where nothing can be written.
            let found = match &opened {
                Ok((_, found)) => Some(found.clone()),
                Err(Trouble::Storage { .. }) => self.read().ok(),
                Err(_) => None,
            };
            if let Some(found) = found
                && let Err(error) =
                    agent.restore_late(now, found.snapshot.as_deref(), &found.records)
            {
                opened = Err(Trouble::Damaged(error.to_string()));
            }
        }
        let damage = match &opened {
            Err(Trouble::Damaged(text)) => Some(text.clone()),
            Err(Trouble::Storage { text, full: false }) if hopeless => Some(text.clone()),
            _ => None,
        };
        if let Some(text) = damage {
            drop(opened);
            opened = self.begin_again(now, &text, stamp);
        }
        let (mut journal, _) = opened?;
        if agent.is_unread() {
            // A new journal: the card is what is left.
            agent
                .restore_late(now, None, &[])
                .map_err(|e| Trouble::Damaged(e.to_string()))?;
        }
        let Some(state) = agent.unsaved() else {
            return Ok(Err(TooLarge("it can't be encoded".to_owned())));
        };
        match journal.snapshot(&state) {
            Ok(_) => Ok(Ok(journal)),
            Err(error @ Error::PayloadSize { .. }) => Ok(Err(TooLarge(error.to_string()))),
            Err(error) => Err(Trouble::of(&error)),
        }
    }

    fn open(&self) -> Result<Opened<D>, Trouble> {
        let media = self.media()?;
        Journal::open(media, self.disk.config()).map_err(|e| Trouble::of(&e))
    }

    fn read(&self) -> Result<Recovered, Trouble> {
        let media = self.media()?;
        aid_journal::read(media, self.disk.config()).map_err(|e| Trouble::of(&e))
    }

    fn media(&self) -> Result<D::Media, Trouble> {
        self.disk.open().map_err(|error| {
            let text = error.to_string();
            let full = D::Media::is_full(&error);
            if D::is_in_use(&error) {
                Trouble::InUse(text)
            } else {
                Trouble::Storage { text, full }
            }
        })
    }

    /// Puts the segments aside and opens a new journal.
    fn begin_again(&mut self, now: BootMs, text: &str, stamp: &str) -> Result<Opened<D>, Trouble> {
        let mut media = self.media()?;
        let place = media.set_aside(stamp).map_err(|error| {
            let text = format!("{text}; and it can't be put aside: {error}");
            Trouble::Damaged(text)
        })?;
        drop(media);
        let Some(place) = place else {
            // There was nothing.
            return self.open();
        };
        tracing::error!(
            damage = text,
            kept_in = place,
            "the journal is damaged; the agent goes on with what the card and the CMP know"
        );
        self.aside = Some(Aside {
            at: now,
            place,
            text: text.to_owned(),
        });
        self.open()
    }

    /// Notes a failure; pauses grow from one try to the next.
    fn fail(&mut self, now: BootMs, text: String) {
        self.journal = None;
        match &mut self.failure {
            None => {
                tracing::error!(error = %text, "the journal fails; nobody can log in until it works");
                self.failure = Some(Failure {
                    since: now,
                    text,
                    tries: 0,
                    last: now,
                    next: now,
                });
            }
            Some(failure) => {
                let pause = PAUSE << failure.tries.min(16);
                failure.tries = failure.tries.saturating_add(1);
                failure.text = text;
                failure.last = now;
                failure.next = now.plus(pause.min(MAX_PAUSE));
            }
        }
    }
}

#[cfg(test)]
mod tests;
