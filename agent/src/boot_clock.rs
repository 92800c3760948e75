//! CLOCK_BOOTTIME and a timer on it: both go on while the TCU is suspended.
//! Used by the daemon's loop only; the core gets times as arguments.

use aid_agent_core::BootMs;
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use std::io;
use std::os::fd::OwnedFd;
use tokio::io::unix::AsyncFd;

/// The present on the boot clock.
pub(crate) fn now() -> BootMs {
    let time = clock_gettime(ClockId::Boottime);
    BootMs(u64::try_from(time.tv_sec * 1000 + time.tv_nsec / 1_000_000).unwrap_or(0))
}

/// A timerfd on the boot clock.
pub(crate) struct BootTimer(AsyncFd<OwnedFd>);

impl BootTimer {
    #[allow(
        deprecated,
        reason = "the sound constructor is unsafe to call; we own the descriptor as long as it is registered"
    )]
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        Ok(Self(AsyncFd::new(timerfd_create(
            TimerfdClockId::Boottime,
            flags,
        )?)?))
    }

    /// Waits until `at`; for ever when there is none.
    pub(crate) async fn until(&self, at: Option<BootMs>) -> io::Result<()> {
        let Some(BootMs(ms)) = at else {
            return std::future::pending().await;
        };
        // Zero would disarm the timer.
        let ms = i64::try_from(ms.max(1)).unwrap_or(i64::MAX);
        let it_value = Timespec {
            tv_sec: ms / 1000,
            tv_nsec: ms % 1000 * 1_000_000,
        };
        let it_interval = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let spec = Itimerspec {
            it_interval,
            it_value,
        };
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::ABSTIME, &spec)?;
        let mut ready = self.0.readable().await?;
        ready.clear_ready();
        Ok(())
    }
}
