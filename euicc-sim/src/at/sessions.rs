//! UICC access with sessions: +CCHO, +CGLA, +CCHC. The modem owns the logical channels, its host only
//! knows session numbers. 3GPP TS 27.007 §8.43-§8.46.

use super::card::CardHandle;
use super::error::Cme;
use aid_euicc::apdu::Class;
use std::collections::BTreeMap;

/// Highest session number, and most sessions: the card has 19 further channels.
const MAX_SESSIONS: u32 = 19;

/// Session numbers and their logical channels.
#[derive(Debug, Default)]
pub(super) struct Sessions(BTreeMap<u32, u8>);

impl Sessions {
    /// Opens a channel and selects an application on it; the session's number.
    pub(super) fn open(&mut self, card: &CardHandle, aid: &[u8]) -> Result<u32, Cme> {
        if !(5..=16).contains(&aid.len()) {
            return Err(Cme::WrongParameters);
        }
        let free = (1..=MAX_SESSIONS).find(|n| !self.0.contains_key(n));
        let number = free.ok_or(Cme::MemoryFull)?;
        let channel = card.open()?;
        let mut select = vec![Class::interindustry(channel), 0xA4, 4, 0, aid.len() as u8];
        select.extend_from_slice(aid);
        let (_, sw) = card.whole(&select)?;
        if !matches!(sw >> 8, 0x90 | 0x91 | 0x62 | 0x63) {
            card.close(channel);
            return Err(Cme::NotFound);
        }
        self.0.insert(number, channel);
        Ok(number)
    }

    /// A command on the session's channel: the class byte's channel is the modem's to set.
    pub(super) fn transmit(
        &self,
        card: &CardHandle,
        session: u32,
        apdu: &[u8],
    ) -> Result<Vec<u8>, Cme> {
        let channel = *self.0.get(&session).ok_or(Cme::WrongParameters)?;
        let (class, rest) = apdu.split_first().ok_or(Cme::WrongParameters)?;
        let proprietary = class & 0x80;
        let mut apdu = vec![proprietary | Class::interindustry(channel)];
        apdu.extend_from_slice(rest);
        card.raw(&apdu)
    }

    /// Closes a session's channel.
    pub(super) fn close(&mut self, card: &CardHandle, session: u32) -> Result<(), Cme> {
        let channel = self.0.remove(&session).ok_or(Cme::WrongParameters)?;
        card.close(channel);
        Ok(())
    }

    /// The card was reset: all are gone.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}
