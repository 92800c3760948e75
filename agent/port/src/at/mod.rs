//! A card behind a modem's AT port: the machine of `modem` on a tty.

mod command;
mod lines;
mod modem;
mod task;
#[cfg(test)]
mod tests;
mod tty;

pub use lines::Cause;
pub use modem::Modem;
pub use task::{Fault, Millis, Pin, Reply, Step, Task};

use crate::apdu::{Apdu, Opened, TransportError};
use crate::table::Timing;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tty::Tty;

/// Pause between two looks for a tty that went away.
const LOOK: Duration = Duration::from_millis(100);

/// A card behind a modem. The tty is opened when needed, and again after it went away.
#[derive(Debug)]
pub struct AtCard {
    path: PathBuf,
    baud: u32,
    timing: Timing,
    modem: Modem,
    tty: Option<Tty>,
    /// It was open once: if it is gone now, the modem restarts and comes back.
    was_open: bool,
    began: Instant,
    pin: Pin,
}

impl AtCard {
    /// A modem's tty and its speed in bit/s; nothing is opened yet.
    #[must_use]
    pub fn new(path: &Path, baud: u32, timing: Timing) -> Self {
        Self {
            path: path.into(),
            baud,
            timing,
            modem: Modem::new(timing),
            tty: None,
            was_open: false,
            began: Instant::now(),
            pin: Pin::Unknown,
        }
    }

    fn address(&self) -> String {
        format!("at:{}", self.path.display())
    }

    fn now(&self) -> Millis {
        self.began.elapsed().as_millis() as Millis
    }

    /// The tty, open and alive. One that was there before is waited for: a modem that restarts takes
    /// its tty away.
    fn connect(&mut self) -> Result<(), TransportError> {
        if self.tty.as_ref().is_some_and(Tty::hung_up) {
            self.lost();
        }
        if self.tty.is_some() {
            return Ok(());
        }
        let end = Instant::now() + self.timing.busy;
        loop {
            match Tty::open(&self.path, self.baud) {
                Ok(tty) => {
                    self.modem.connected();
                    self.tty = Some(tty);
                    self.was_open = true;
                    return Ok(());
                }
                Err(error) if self.was_open && comes_back(&error) && Instant::now() < end => {
                    pause();
                }
                Err(source) => {
                    // Looked for once more at the next call, without waiting.
                    self.was_open = false;
                    let address = self.address();
                    return Err(TransportError::Connect { address, source });
                }
            }
        }
    }

    fn lost(&mut self) {
        self.tty = None;
        self.modem.disconnected();
    }

    fn run(&mut self, task: Task) -> Result<Reply, TransportError> {
        self.connect()?;
        self.modem.begin(task);
        loop {
            let step = self.modem.step(self.now());
            let Some(tty) = &self.tty else {
                return Err(self.broken(io::ErrorKind::NotConnected.into()));
            };
            let done = match step {
                Step::Write(bytes) => tty.write(&bytes, self.timing.connect),
                Step::Wait(until) => {
                    let end = self.began + Duration::from_millis(until);
                    let read = tty.read(end);
                    read.map(|bytes| self.modem.received(&bytes, self.now()))
                }
                Step::Done(result) => {
                    self.report_pin();
                    return result.map_err(|fault| self.error(fault));
                }
            };
            if let Err(source) = done {
                self.lost();
                return Err(self.broken(source));
            }
        }
    }

    fn broken(&self, source: io::Error) -> TransportError {
        let address = self.address();
        TransportError::Broken { address, source }
    }

    fn error(&self, fault: Fault) -> TransportError {
        let address = self.address();
        let refused = |what| TransportError::Refused {
            address: self.address(),
            what,
        };
        let broken = |kind, text: String| TransportError::Broken {
            address: self.address(),
            source: io::Error::new(kind, text),
        };
        match fault {
            Fault::Refused(what) => refused(what),
            Fault::Busy(what) => {
                refused(format!("{what}; still busy after {:?}", self.timing.busy))
            }
            Fault::Silent("AT") => TransportError::Connect {
                address,
                source: io::Error::new(
                    io::ErrorKind::TimedOut,
                    "no modem answers AT there; is it the AT port, and the speed right",
                ),
            },
            Fault::Silent(what) => broken(
                io::ErrorKind::TimedOut,
                format!("the modem did not answer {what} in time"),
            ),
            Fault::Restarted => {
                broken(io::ErrorKind::ConnectionReset, "the modem restarted".into())
            }
            Fault::Garbled(what) => broken(
                io::ErrorKind::InvalidData,
                format!("the modem's answer can't be read: {what}"),
            ),
            Fault::ChannelGone(what) => TransportError::ChannelGone { address, what },
        }
    }

    fn report_pin(&mut self) {
        let pin = self.modem.pin();
        if pin == self.pin {
            return;
        }
        self.pin = pin;
        let tty = self.address();
        match pin {
            Pin::Pin | Pin::Puk => tracing::warn!(
                tty,
                ?pin,
                "the SIM wants its PIN or PUK; the eUICC can be managed, the network can't be used"
            ),
            pin => tracing::debug!(tty, ?pin, "state of the SIM"),
        }
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "a path below /dev that comes back is no event without udev"
)]
fn pause() {
    std::thread::sleep(LOOK);
}

/// Errors of a tty whose modem restarts.
fn comes_back(error: &io::Error) -> bool {
    // 5 EIO, 6 ENXIO, 19 ENODEV.
    error.kind() == io::ErrorKind::NotFound || matches!(error.raw_os_error(), Some(5 | 6 | 19))
}

impl Apdu for AtCard {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        match self.run(Task::Apdu(command.to_vec()))? {
            Reply::Apdu(answer) => Ok(answer),
            Reply::Channel(_) | Reply::Done => Err(TransportError::Length {
                address: self.address(),
                got: 0,
            }),
        }
    }

    fn reset(&mut self) -> Result<Vec<u8>, TransportError> {
        self.run(Task::Reset).map(|_| Vec::new())
    }

    fn open_channel(&mut self, aid: &[u8]) -> Result<Opened, TransportError> {
        Ok(match self.run(Task::Open(aid.to_vec()))? {
            Reply::Channel(Some(channel)) => Opened::Channel(channel),
            _ => Opened::ByCommands,
        })
    }

    fn close_channel(&mut self, channel: u8) -> Result<(), TransportError> {
        self.run(Task::Close(channel)).map(drop)
    }

    fn refreshed(&mut self) -> bool {
        if self.tty.as_ref().is_some_and(Tty::hung_up) {
            self.lost();
        }
        // What the modem said while nothing was asked of it.
        if let Some(tty) = &self.tty {
            // A modem that never stops talking is read on with the next command.
            for _ in 0..64 {
                match tty.read(Instant::now()) {
                    Ok(bytes) if !bytes.is_empty() => self.modem.received(&bytes, self.now()),
                    _ => break,
                }
            }
        }
        self.modem.take_refreshed()
    }
}
