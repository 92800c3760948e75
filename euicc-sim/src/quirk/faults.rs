//! Quirks of the way to the card: wrong bits, and slow answers.
//! Each is a layer around a [`Port`]. Made by [`super::Quirks::wrap`].

use crate::port::{Counts, Gone, Port};
use crate::seeded::Seeded;
use aid_euicc::card::Terminal;
use std::time::Duration;

/// Flips one bit in one of N commands and one of N answers.
pub(crate) struct BitErrors<P> {
    port: P,
    one_in: u64,
    rng: Seeded,
}

impl<P: Port> BitErrors<P> {
    pub(crate) const fn new(port: P, one_in: u64, rng: Seeded) -> Self {
        Self { port, one_in, rng }
    }

    fn spoil(&mut self, bytes: &mut [u8]) {
        if self.rng.below(self.one_in) == 0 && !bytes.is_empty() {
            let bit = self.rng.below(bytes.len() as u64 * 8);
            tracing::debug!(bit, "quirk: a bit is wrong");
            bytes[bit as usize / 8] ^= 1 << (bit % 8);
        }
    }
}

impl<P: Port> Port for BitErrors<P> {
    fn reset(&mut self) -> Vec<u8> {
        self.port.reset()
    }

    fn atr(&self) -> Vec<u8> {
        self.port.atr()
    }

    fn leave(&mut self, host: Terminal) {
        self.port.leave(host);
    }

    fn counts(&self) -> Counts {
        self.port.counts()
    }

    fn transmit(&mut self, host: Terminal, apdu: &[u8]) -> Result<Vec<u8>, Gone> {
        let mut apdu = apdu.to_vec();
        self.spoil(&mut apdu);
        let mut answer = self.port.transmit(host, &apdu)?;
        self.spoil(&mut answer);
        Ok(answer)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.port.flush()
    }
}

/// Waits before each answer.
pub(crate) struct Slow<P> {
    port: P,
    longest: Duration,
    rng: Seeded,
    sleep: fn(Duration),
}

impl<P: Port> Slow<P> {
    /// `sleep` waits; tests only count.
    pub(crate) const fn new(port: P, longest: Duration, rng: Seeded, sleep: fn(Duration)) -> Self {
        Self {
            port,
            longest,
            rng,
            sleep,
        }
    }
}

impl<P: Port> Port for Slow<P> {
    fn reset(&mut self) -> Vec<u8> {
        self.port.reset()
    }

    fn atr(&self) -> Vec<u8> {
        self.port.atr()
    }

    fn leave(&mut self, host: Terminal) {
        self.port.leave(host);
    }

    fn counts(&self) -> Counts {
        self.port.counts()
    }

    fn transmit(&mut self, host: Terminal, apdu: &[u8]) -> Result<Vec<u8>, Gone> {
        let micros = self.longest.as_micros() as u64;
        (self.sleep)(Duration::from_micros(self.rng.below(micros + 1)));
        self.port.transmit(host, apdu)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.port.flush()
    }
}
