//! Logical channels: what is selected on each, the STORE DATA chain, the answer that waits.
//! ETSI TS 102 221 §8.7, §11.1.17; GlobalPlatform Card Specification §11.11.

use crate::apdu::{MAX_CHANNEL, sw};
use crate::usim::ChannelState;
use alloc::vec::Vec;

/// Longest command that STORE DATA blocks may make up, in bytes. An AuthenticateServer request has
/// about 1200, the longest segment of a bound profile package 1036.
const MAX_CHAIN: usize = 16 * 1024;

/// The application that is selected on a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Selected {
    /// The enabled profile, or the bare MF without one.
    #[default]
    Uicc,
    /// ISD-R.
    Isdr,
    /// ECASD.
    Ecasd,
}

/// One open channel.
#[derive(Debug, Clone, Default)]
pub(crate) struct Channel {
    /// Who gets the commands.
    pub(crate) selected: Selected,
    /// Position in the profile's file system.
    pub(crate) uicc: ChannelState,
    /// Response bytes that GET RESPONSE takes.
    pub(crate) pending: Vec<u8>,
    chain: Vec<u8>,
    next_block: Option<u8>,
}

impl Channel {
    /// Adds a STORE DATA block; gives the whole command with the last one.
    ///
    /// # Errors
    /// The status word; the chain is dropped then.
    pub(crate) fn block(&mut self, p1: u8, p2: u8, data: &[u8]) -> Result<Option<Vec<u8>>, u16> {
        let last = match p1 {
            0x91 => true,
            0x11 => false,
            _ => {
                self.drop_chain();
                return Err(sw::WRONG_P1P2);
            }
        };
        if p2 == 0 && self.next_block != Some(0) {
            self.drop_chain();
        }
        if p2 != self.next_block.unwrap_or(0) {
            self.drop_chain();
            return Err(sw::WRONG_P1P2);
        }
        if self.chain.len() + data.len() > MAX_CHAIN {
            self.drop_chain();
            return Err(sw::NO_MEMORY);
        }
        self.chain.extend_from_slice(data);
        if last {
            self.next_block = None;
            return Ok(Some(core::mem::take(&mut self.chain)));
        }
        self.next_block = Some(p2.wrapping_add(1));
        Ok(None)
    }

    /// Forgets the STORE DATA blocks so far.
    pub(crate) fn drop_chain(&mut self) {
        self.chain.clear();
        self.next_block = None;
    }
}

/// The channels of the card; the basic one is always open.
#[derive(Debug)]
pub(crate) struct Channels {
    table: [Option<Channel>; MAX_CHANNEL as usize + 1],
}

impl Channels {
    /// As after a reset.
    pub(crate) fn new() -> Self {
        let mut table = [const { None }; MAX_CHANNEL as usize + 1];
        table[0] = Some(Channel::default());
        Self { table }
    }

    /// An open channel.
    ///
    /// # Errors
    /// 6881.
    pub(crate) fn get(&mut self, number: u8) -> Result<&mut Channel, u16> {
        self.table
            .get_mut(usize::from(number))
            .and_then(Option::as_mut)
            .ok_or(sw::CHANNEL)
    }

    /// Opens the first free channel from another: the MF is selected when that is the basic one,
    /// otherwise what is selected there, application or directory (ETSI TS 102 221 §8.7, §11.1.17).
    ///
    /// # Errors
    /// 6881 when `from` isn't open, 6A81 when all are in use.
    pub(crate) fn open(&mut self, from: u8) -> Result<u8, u16> {
        let free = self.table.iter().position(Option::is_none);
        let number = free.ok_or(sw::NOT_SUPPORTED)? as u8;
        self.open_numbered(from, number)?;
        Ok(number)
    }

    /// Opens the channel that the terminal chose (ISO/IEC 7816-4 §11.1.2), like [`Self::open`].
    ///
    /// # Errors
    /// 6881 when `from` isn't open, 6A86 when there is no such channel or it is in use.
    pub(crate) fn open_numbered(&mut self, from: u8, number: u8) -> Result<(), u16> {
        let origin = self.get(from)?;
        let (selected, uicc) = match from {
            0 => Default::default(),
            _ => (origin.selected, origin.uicc.for_new_channel()),
        };
        match self.table.get_mut(usize::from(number)) {
            Some(free @ None) => {
                *free = Some(Channel {
                    selected,
                    uicc,
                    ..Channel::default()
                });
                Ok(())
            }
            _ => Err(sw::WRONG_P1P2),
        }
    }

    /// The open channels.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Channel> {
        self.table.iter().flatten()
    }

    /// Drops the answer that waits on a channel, on all of them without a number: GET RESPONSE comes
    /// right after its command (ISO/IEC 7816-4 §11.7.1), so that any other command, one that is refused
    /// too, loses the data.
    pub(crate) fn drop_pending(&mut self, number: Option<u8>) {
        for (at, channel) in (0..).zip(&mut self.table) {
            if let Some(channel) = channel
                && number.is_none_or(|n| n == at)
            {
                channel.pending.clear();
            }
        }
    }

    /// Closes a channel.
    ///
    /// # Errors
    /// 6881 when it isn't open, 6985 for the basic one.
    pub(crate) fn close(&mut self, number: u8) -> Result<(), u16> {
        self.get(number)?;
        if number == 0 {
            return Err(sw::CONDITIONS);
        }
        self.table[usize::from(number)] = None;
        Ok(())
    }

    /// The profile under the channels has changed: every position in its files is void.
    pub(crate) fn profile_switched(&mut self) {
        for channel in self.table.iter_mut().flatten() {
            channel.uicc = ChannelState::default();
            if channel.selected == Selected::Uicc {
                channel.pending.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nineteen_channels_open_and_no_more() {
        let mut channels = Channels::new();
        for n in 1..=MAX_CHANNEL {
            assert_eq!(channels.open(0), Ok(n));
        }
        assert_eq!(channels.open(0), Err(sw::NOT_SUPPORTED));
        assert_eq!(channels.close(7), Ok(()));
        assert_eq!(channels.close(7), Err(sw::CHANNEL));
        assert_eq!(channels.close(0), Err(sw::CONDITIONS));
        assert_eq!(channels.open(3), Ok(7));
        for taken in [0, 7, MAX_CHANNEL, MAX_CHANNEL + 1, u8::MAX] {
            assert_eq!(channels.open_numbered(0, taken), Err(sw::WRONG_P1P2));
        }
        assert_eq!(channels.close(7), Ok(()));
        assert_eq!(channels.open_numbered(7, 7), Err(sw::CHANNEL));
        assert_eq!(channels.open_numbered(3, 7), Ok(()));
    }

    #[test]
    fn blocks_come_in_order() {
        let mut c = Channel::default();
        assert_eq!(c.block(0x11, 0, b"a"), Ok(None));
        assert_eq!(c.block(0x11, 1, b"b"), Ok(None));
        assert_eq!(c.block(0x91, 2, b"c"), Ok(Some(b"abc".to_vec())));
        assert_eq!(c.block(0x91, 0, b"d"), Ok(Some(b"d".to_vec())));
        // A block out of order ends the chain; block 0 always begins a new one.
        assert_eq!(c.block(0x11, 0, b"a"), Ok(None));
        assert_eq!(c.block(0x91, 2, b"c"), Err(sw::WRONG_P1P2));
        assert_eq!(c.block(0x11, 0, b"x"), Ok(None));
        assert_eq!(c.block(0x91, 0, b"y"), Ok(Some(b"y".to_vec())));
        assert_eq!(c.block(0x80, 0, b""), Err(sw::WRONG_P1P2));
        // The size of a chain is bounded.
        for n in 0..=63u8 {
            assert_eq!(c.block(0x11, n, &[0; 255]), Ok(None));
        }
        assert_eq!(c.block(0x11, 64, &[0; 255]), Err(sw::NO_MEMORY));
    }
}
