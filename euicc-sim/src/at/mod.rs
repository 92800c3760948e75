//! An AT modem with the card in it: 3GPP TS 27.007 on a pty. `docs/wire/at-modem.md` has its commands.
//! The modem decides ([`modem`]), the tty is moved here.

mod card;
mod command;
mod error;
mod files;
mod modem;
mod registers;
mod sessions;
mod toolkit;
mod tty;

use crate::quirk::Quirks;
use crate::served::{Host, Notice, Served};
use aid_cli::cli::Failure;
use card::CardHandle;
use modem::{Modem, Reply};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use tty::Tty;

/// Pieces of input that wait for the modem; whoever types more has to wait too.
const MAX_WAITING: usize = 4;

/// What happens to the modem.
enum Event {
    /// The host has typed something; the number is that of the tty.
    Input(u64, Vec<u8>),
    /// Look at [`Pending`].
    Wake,
}

/// What others did to the card since the modem looked last. However often they do it, and however long
/// the modem is busy, it is told once: neither they nor its memory wait for it.
#[derive(Default)]
struct Pending {
    reset: AtomicBool,
    switched: AtomicBool,
}

impl Pending {
    fn note(&self, notice: Notice) {
        let flag = match notice {
            Notice::Reset => &self.reset,
            Notice::Switched => &self.switched,
        };
        flag.store(true, Ordering::Release);
    }

    /// What there is, in the order in which it makes sense.
    fn take(&self) -> impl Iterator<Item = Notice> {
        let reset = self.reset.swap(false, Ordering::AcqRel);
        let switched = self.switched.swap(false, Ordering::AcqRel);
        let reset = reset.then_some(Notice::Reset);
        // After a reset everything is read again in any case.
        let switched = (switched && reset.is_none()).then_some(Notice::Switched);
        reset.into_iter().chain(switched)
    }
}

/// Makes the tty at `path` and serves it for ever.
///
/// # Errors
/// The path is taken, or there is no pty.
pub(crate) fn start(path: &Path, card: &Arc<Served>, quirks: &Quirks) -> Result<(), Failure> {
    let wrong = |e: std::io::Error| {
        let path = path.display();
        Failure::new(format!(
            "cannot make the modem's tty {path}: {e}; give a path where nothing else is, in a folder that can be written"
        ))
    };
    let tty = Tty::open(path).map_err(wrong)?;
    let (to, events) = sync_channel(MAX_WAITING);
    let pending = Arc::new(Pending::default());
    let (note, wake) = (Arc::clone(&pending), to.clone());
    let host = Host::watching(Arc::clone(card), move |notice| {
        note.note(notice);
        // Where the queue is full the modem looks after what is in it.
        let _ = wake.try_send(Event::Wake);
    });
    let modem = Modem::new(CardHandle::new(host), quirks);
    let mut line = Line {
        modem,
        tty,
        path: path.into(),
        number: 0,
        to,
        pending,
    };
    line.listen().map_err(wrong)?;
    std::thread::Builder::new()
        .name("modem".into())
        .spawn(move || line.run(&events))
        .map_err(wrong)?;
    Ok(())
}

/// The modem and the line to its host.
struct Line {
    modem: Modem,
    tty: Tty,
    path: PathBuf,
    /// Which tty it is, for input that comes late from one that is gone.
    number: u64,
    to: SyncSender<Event>,
    pending: Arc<Pending>,
}

impl Line {
    fn run(&mut self, events: &Receiver<Event>) {
        let reply = self.modem.power_on();
        self.deliver(&reply, false);
        for event in events {
            match event {
                Event::Input(number, bytes) if number == self.number => {
                    let reply = self.modem.input(&bytes);
                    self.deliver(&reply, true);
                }
                Event::Input(..) | Event::Wake => {}
            }
            let pending = Arc::clone(&self.pending);
            for notice in pending.take() {
                let reply = self.modem.notice(notice);
                self.deliver(&reply, false);
            }
        }
    }

    /// Sends a reply; `wait` for a host that is slow, or let it miss what it did not ask for.
    fn deliver(&mut self, reply: &Reply, wait: bool) {
        if let Err(error) = self.tty.write(&reply.text, wait) {
            tracing::debug!("the modem's host does not read: {error}");
        }
        if !reply.drop_tty {
            return;
        }
        tracing::info!(tty = %self.path.display(), "quirk: the tty goes and comes back");
        self.number += 1;
        match Tty::open(&self.path) {
            Ok(tty) => self.tty = tty,
            Err(error) => {
                tracing::error!(tty = %self.path.display(), "the tty can't be made again: {error}");
                return;
            }
        }
        if let Err(error) = self.listen() {
            tracing::error!("the tty can't be read: {error}");
        }
        let reply = self.modem.came_back();
        self.deliver(&reply, false);
    }

    /// Begins to read from the tty in a thread of its own; it ends with the tty.
    fn listen(&self) -> std::io::Result<()> {
        let mut reader = self.tty.reader()?;
        let (to, number) = (self.to.clone(), self.number);
        std::thread::Builder::new().spawn(move || {
            while let Ok(Some(bytes)) = reader.read() {
                if to.send(Event::Input(number, bytes)).is_err() {
                    return;
                }
            }
        })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
