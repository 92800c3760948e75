//! How long a vehicle may be silent: what its keep-alive says (MQTT 5 §3.1.2.10), and an hour where it announced none.

use std::time::Duration;
use tokio::time::Instant;

/// Longest wait for CONNECT.
const CONNECT: Duration = Duration::from_secs(10);
/// Silence after which a vehicle that announced no keep-alive is cut off.
const SILENCE: Duration = Duration::from_secs(3600);

/// When silence becomes too long.
#[derive(Debug)]
pub(super) struct Patience {
    end: Instant,
    /// No keep-alive was announced: every byte begins the hour anew. Otherwise the protocol says when it does.
    is_open: bool,
}

impl Patience {
    /// Of a connection that begins.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            end: now + CONNECT,
            is_open: false,
        }
    }

    /// When the vehicle is cut off.
    pub(super) fn end(&self) -> Instant {
        self.end
    }

    /// The vehicle announced no keep-alive.
    pub(super) fn open(&mut self, now: Instant) {
        self.is_open = true;
        self.heard(now);
    }

    /// The vehicle sent something.
    pub(super) fn heard(&mut self, now: Instant) {
        if self.is_open {
            self.end = now + SILENCE;
        }
    }

    /// The protocol waits for this long.
    pub(super) fn wait(&mut self, now: Instant, milliseconds: u64) {
        self.end = now + Duration::from_millis(milliseconds);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_keep_alive_only_silence_ends_a_connection() {
        let start = Instant::now();
        let mut patience = Patience::new(start);
        // Before CONNECT nothing prolongs it.
        patience.heard(start + CONNECT / 2);
        assert_eq!(patience.end(), start + CONNECT);
        patience.open(start);
        for hours in 0..48 {
            let now = start + SILENCE * hours / 2;
            assert!(now < patience.end(), "it sends every half hour");
            patience.heard(now);
        }
        assert_eq!(patience.end(), start + SILENCE * 47 / 2 + SILENCE);
        let mut keeping = Patience::new(start);
        keeping.wait(start, 45_000);
        keeping.heard(start + Duration::from_secs(44));
        assert_eq!(keeping.end(), start + Duration::from_secs(45));
    }
}
