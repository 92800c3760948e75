//! A pty that looks like a modem's serial line, linked at a path that stays when it is made again.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags, fcntl_setfl, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The modem's end.
pub(super) struct Tty {
    master: Arc<OwnedFd>,
    /// Kept open, so that a host that closes the line does not end it.
    _host: OwnedFd,
    /// Closing it wakes the reader.
    wake: Option<OwnedFd>,
    woken: Option<OwnedFd>,
    link: PathBuf,
}

impl Tty {
    /// Makes a pty in raw mode and links it; a link that is there already is replaced, nothing else.
    pub(super) fn open(link: &Path) -> io::Result<Self> {
        match fs::symlink_metadata(link) {
            Ok(meta) if meta.file_type().is_symlink() => fs::remove_file(link)?,
            Ok(_) => return Err(io::ErrorKind::AlreadyExists.into()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags)?;
        // A write takes what fits: a host that does not read must not hold the modem up.
        fcntl_setfl(&master, OFlags::RDWR | OFlags::NONBLOCK)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let name = ptsname(&master, Vec::new())?;
        let host = open(
            name.as_c_str(),
            OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        let mut settings = tcgetattr(&host)?;
        settings.make_raw();
        tcsetattr(&host, OptionalActions::Now, &settings)?;
        symlink(name.to_string_lossy().as_ref(), link)?;
        let (woken, wake) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        Ok(Self {
            master: Arc::new(master),
            _host: host,
            wake: Some(wake),
            woken: Some(woken),
            link: link.into(),
        })
    }

    /// Sends text to the host, and waits for one that is slow. Where nobody reads and the line is full,
    /// the rest is lost, as on a serial line.
    pub(super) fn write(&self, mut text: &[u8], wait: bool) -> io::Result<()> {
        while !text.is_empty() {
            let mut fds = [PollFd::new(&*self.master, PollFlags::OUT)];
            let patience = rustix::time::Timespec {
                tv_sec: if wait { 5 } else { 0 },
                tv_nsec: 0,
            };
            if poll(&mut fds, Some(&patience))? == 0 {
                return Err(io::ErrorKind::TimedOut.into());
            }
            match rustix::io::write(&*self.master, text) {
                Ok(written) => text = text.get(written..).unwrap_or_default(),
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// What the host types; once for each tty.
    pub(super) fn reader(&self) -> io::Result<Reader> {
        let woken = self.woken.as_ref().ok_or(io::ErrorKind::NotFound)?;
        Ok(Reader {
            master: Arc::clone(&self.master),
            woken: woken.try_clone()?,
        })
    }
}

impl Drop for Tty {
    fn drop(&mut self) {
        // The reader wakes and lets go of the line; the host sees it hang up then.
        self.wake.take();
        let name = ptsname(&*self.master, Vec::new()).ok();
        let ours = fs::read_link(&self.link).ok();
        if ours.is_some() && ours == name.map(|n| PathBuf::from(n.to_string_lossy().as_ref())) {
            // It may be gone already.
            let _ = fs::remove_file(&self.link);
        }
    }
}

/// Reads from the host until the tty is dropped.
pub(super) struct Reader {
    master: Arc<OwnedFd>,
    woken: OwnedFd,
}

impl Reader {
    /// Some bytes; none when the tty is gone.
    pub(super) fn read(&mut self) -> io::Result<Option<Vec<u8>>> {
        let gone = PollFlags::HUP | PollFlags::ERR;
        let mut bytes = vec![0; 4096];
        loop {
            let mut fds = [
                PollFd::new(&*self.master, PollFlags::IN),
                PollFd::new(&self.woken, PollFlags::IN),
            ];
            poll(&mut fds, None)?;
            if fds[1].revents().intersects(gone) {
                return Ok(None);
            }
            match rustix::io::read(&*self.master, bytes.as_mut_slice()) {
                Ok(read) => {
                    bytes.truncate(read);
                    return Ok(Some(bytes));
                }
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
