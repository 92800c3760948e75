//! The modem's way to its card: logical channels, and answers of which it wants all pieces.
//! ETSI TS 102 221 §7.3.1.1, §11.1.17.

use super::error::Cme;
use crate::answer::split;
use crate::served::{Host, Served};
use aid_euicc::apdu::Class;
use std::sync::Arc;

/// The card, as the modem holds it.
pub(super) struct CardHandle(Host<Arc<Served>>);

/// An answer: data and status word.
pub(super) type Answer = (Vec<u8>, u16);

impl CardHandle {
    pub(super) const fn new(host: Host<Arc<Served>>) -> Self {
        Self(host)
    }

    /// One command, one answer, as they are.
    pub(super) fn raw(&self, apdu: &[u8]) -> Result<Vec<u8>, Cme> {
        let answer = self.0.transmit(apdu);
        answer.map_err(|_| Cme::SimFailure)
    }

    /// One command with all of its answer.
    pub(super) fn whole(&self, apdu: &[u8]) -> Result<Answer, Cme> {
        let answer = self.raw(apdu)?;
        let (data, mut sw) = split(&answer);
        let mut data = data.to_vec();
        let class = apdu.first().copied().unwrap_or(0);
        while sw >> 8 == 0x61 && data.len() < 0x1_0000 {
            let answer = self.raw(&[class & !0x80, 0xC0, 0, 0, sw as u8])?;
            let (more, next) = split(&answer);
            data.extend_from_slice(more);
            sw = next;
        }
        if sw >> 8 == 0x6C && apdu.len() == 5 && data.is_empty() {
            let mut again = apdu.to_vec();
            again[4] = sw as u8;
            return self.whole(&again);
        }
        Ok((data, sw))
    }

    /// Resets the card.
    pub(super) fn reset(&self) -> Result<(), Cme> {
        let reset = self.0.reset("RESET by the modem");
        reset.map(drop).map_err(|_| Cme::SimFailure)
    }

    /// Opens a logical channel.
    pub(super) fn open(&self) -> Result<u8, Cme> {
        match self.whole(&[0, 0x70, 0, 0, 1])? {
            (data, 0x9000) if data.len() == 1 => Ok(data[0]),
            _ => Err(Cme::MemoryFull),
        }
    }

    /// Closes a logical channel; one that is gone already is no error.
    pub(super) fn close(&self, channel: u8) {
        let _ = self.raw(&[0, 0x70, 0x80, channel]);
    }

    /// Does something on a logical channel of its own.
    pub(super) fn on_channel<T>(
        &self,
        work: impl FnOnce(&Self, u8) -> Result<T, Cme>,
    ) -> Result<T, Cme> {
        let channel = self.open()?;
        let done = work(self, Class::interindustry(channel));
        self.close(channel);
        done
    }
}
