//! The supervisor of a service: systemd, or anything else that speaks its notification protocol
//! (`sd_notify(3)`: datagrams to `$NOTIFY_SOCKET`). Without one every call does nothing.

use sd_notify::NotifyState;
use std::time::Duration;

/// Tells the supervisor in what state the program is.
///
/// A datagram that does not arrive is logged and forgotten: the supervisor's time-out is the answer to that.
#[derive(Debug, Clone, Copy)]
pub struct Supervisor {
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// The supervisor that the environment names.
    #[must_use]
    pub fn from_env() -> Self {
        // Zero would have the watchdog fed without a pause.
        let watchdog = sd_notify::watchdog_enabled().filter(|period| !period.is_zero());
        Self { watchdog }
    }

    /// Time after which the supervisor restarts a program that has not called [`Self::alive`]; `None` when
    /// it does not watch.
    #[must_use]
    pub const fn watchdog(self) -> Option<Duration> {
        self.watchdog
    }

    /// Everything is bound: the program serves.
    pub fn ready(self) {
        send(&[NotifyState::Ready]);
    }

    /// The program makes progress.
    pub fn alive(self) {
        send(&[NotifyState::Watchdog]);
    }

    /// One line for people, shown by `systemctl status`.
    pub fn status(self, line: &str) {
        // A line break would begin another assignment of the protocol.
        let line = crate::printable::printable(line);
        send(&[NotifyState::Status(&line)]);
    }

    /// The configuration is read again; [`Self::ready`] says when that is done.
    pub fn reloading(self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => send(&[NotifyState::Reloading, now]),
            Err(_) => send(&[NotifyState::Reloading]),
        }
    }

    /// The program ends by itself.
    pub fn stopping(self) {
        send(&[NotifyState::Stopping]);
    }
}

fn send(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "the supervisor was not notified");
    }
}
