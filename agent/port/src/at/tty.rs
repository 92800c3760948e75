//! A serial line in raw mode that nobody else uses: TIOCEXCL and flock. termios(3), ioctl_tty(2).

use crate::fd;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use rustix::io::Errno;
use rustix::termios::{
    ControlModes, OptionalActions, QueueSelector, SpecialCodeIndex, ioctl_tiocexcl, ioctl_tiocnxcl,
    tcflush, tcgetattr, tcsetattr,
};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

/// The line; given back when dropped.
#[derive(Debug)]
pub(crate) struct Tty(OwnedFd);

impl Tty {
    /// Opens and locks it; what was received before is dropped.
    ///
    /// # Errors
    /// Absent, no tty, in use ([`io::ErrorKind::ResourceBusy`]), or a speed that it does not have.
    pub(crate) fn open(path: &Path, baud: u32) -> io::Result<Self> {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let line = open(path, flags, Mode::empty())?;
        let mut settings = tcgetattr(&line)?;
        // The exclusive mode does not stop root, the lock only those who ask for it.
        flock(&line, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
            Errno::WOULDBLOCK => io::Error::new(
                io::ErrorKind::ResourceBusy,
                "another program uses this tty; stop it (ModemManager?), or use another port of the modem",
            ),
            error => error.into(),
        })?;
        ioctl_tiocexcl(&line)?;
        settings.make_raw();
        settings.control_modes |= ControlModes::CLOCAL | ControlModes::CREAD;
        settings.control_modes -= ControlModes::CRTSCTS | ControlModes::CSTOPB;
        settings.special_codes[SpecialCodeIndex::VMIN] = 0;
        settings.special_codes[SpecialCodeIndex::VTIME] = 0;
        settings.set_speed(baud)?;
        tcsetattr(&line, OptionalActions::Now, &settings)?;
        tcflush(&line, QueueSelector::IFlush)?;
        Ok(Self(line))
    }

    /// Writes all of it within a time.
    pub(crate) fn write(&self, bytes: &[u8], limit: Duration) -> io::Result<()> {
        fd::write(&self.0, bytes, Instant::now() + limit)
    }

    /// Reads what comes first; nothing when the time is over.
    pub(crate) fn read(&self, end: Instant) -> io::Result<Vec<u8>> {
        // A serial line has no end: one that ends has hung up.
        match fd::read(&self.0, end)? {
            Some(bytes) if bytes.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
            bytes => Ok(bytes.unwrap_or_default()),
        }
    }

    /// The modem went away: a USB modem that restarts, a pty whose other end is closed.
    pub(crate) fn hung_up(&self) -> bool {
        let now = rustix::time::Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        let gone = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
        poll(&mut fds, Some(&now)).is_ok() && fds[0].revents().intersects(gone)
    }
}

impl Drop for Tty {
    fn drop(&mut self) {
        // The line may be gone; others may open it again.
        let _ = ioctl_tiocnxcl(&self.0);
    }
}
