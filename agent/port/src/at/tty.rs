//! A serial line in raw mode that nobody else uses: TIOCEXCL and flock. termios(3), ioctl_tty(2).

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

/// Bytes that are read at once.
const CHUNK: usize = 4096;

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
    pub(crate) fn write(&self, mut bytes: &[u8], limit: Duration) -> io::Result<()> {
        let end = Instant::now() + limit;
        while !bytes.is_empty() {
            if !self.ready(PollFlags::OUT, end)? {
                return Err(io::ErrorKind::TimedOut.into());
            }
            match rustix::io::write(&self.0, bytes) {
                Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Reads what comes first; nothing when the time is over.
    pub(crate) fn read(&self, end: Instant) -> io::Result<Vec<u8>> {
        loop {
            if !self.ready(PollFlags::IN, end)? {
                return Ok(Vec::new());
            }
            let mut bytes = vec![0; CHUNK];
            match rustix::io::read(&self.0, bytes.as_mut_slice()) {
                // A serial line has no end: this one hung up.
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    bytes.truncate(read);
                    return Ok(bytes);
                }
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn ready(&self, wanted: PollFlags, end: Instant) -> io::Result<bool> {
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let left = rustix::time::Timespec {
                tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            };
            let mut fds = [PollFd::new(&self.0, wanted)];
            match poll(&mut fds, Some(&left)) {
                Ok(0) => return Ok(false),
                Ok(_) => return Ok(true),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
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
