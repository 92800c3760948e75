//! Reads and writes with a time limit on descriptors that do not block. poll(2).

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use std::io;
use std::os::fd::AsFd;
use std::time::Instant;

/// Bytes that are read at once.
const CHUNK: usize = 4096;

/// Writes all of it.
///
/// # Errors
/// The time is over, or what write(2) says.
pub(crate) fn write(fd: &impl AsFd, mut bytes: &[u8], end: Instant) -> io::Result<()> {
    while !bytes.is_empty() {
        if !ready(fd, PollFlags::OUT, end)? {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match rustix::io::write(fd, bytes) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Reads what comes first: empty at the end of the file, `None` when the time is over.
///
/// # Errors
/// What read(2) says.
pub(crate) fn read(fd: &impl AsFd, end: Instant) -> io::Result<Option<Vec<u8>>> {
    loop {
        if !ready(fd, PollFlags::IN, end)? {
            return Ok(None);
        }
        let mut bytes = vec![0; CHUNK];
        match rustix::io::read(fd, bytes.as_mut_slice()) {
            Ok(read) => {
                bytes.truncate(read);
                return Ok(Some(bytes));
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Waits for an event, or a hang-up; false: the time is over.
pub(crate) fn ready(fd: &impl AsFd, wanted: PollFlags, end: Instant) -> io::Result<bool> {
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let left = rustix::time::Timespec {
            tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        let mut fds = [PollFd::new(fd, wanted)];
        match poll(&mut fds, Some(&left)) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
