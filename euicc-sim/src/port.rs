//! What a transport sees: something that is reset and takes APDUs, and may lose its power.
//! The card is one, each quirk is a layer around one.

use crate::nvm::{CardNvm, Enables};
use crate::store_data::StoreData;
use aid_euicc::card::{Card, Terminal};

/// The card did not answer: its power was cut. It is fresh again at the next command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

/// What happened on a card, of which a host may have to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    /// Another profile is enabled, or none.
    pub(crate) switches: u64,
    /// Notifications were given up because the list is full.
    pub(crate) lost_notifications: u64,
}

/// A card, or something in front of one.
pub(crate) trait Port: Send {
    /// Resets the card; the answer to reset.
    fn reset(&mut self) -> Vec<u8>;
    /// The answer to reset, without a reset.
    fn atr(&self) -> Vec<u8>;
    /// Executes one command APDU of a host; at least a status word.
    fn transmit(&mut self, host: Terminal, apdu: &[u8]) -> Result<Vec<u8>, Gone>;
    /// A host is gone.
    fn leave(&mut self, host: Terminal);
    /// What happened on the card since it was made.
    fn counts(&self) -> Counts;
    /// Writes to disk what was only buffered.
    fn flush(&mut self) -> std::io::Result<()>;
}

impl Port for Box<dyn Port> {
    fn reset(&mut self) -> Vec<u8> {
        (**self).reset()
    }

    fn atr(&self) -> Vec<u8> {
        (**self).atr()
    }

    fn transmit(&mut self, host: Terminal, apdu: &[u8]) -> Result<Vec<u8>, Gone> {
        (**self).transmit(host, apdu)
    }

    fn leave(&mut self, host: Terminal) {
        (**self).leave(host);
    }

    fn counts(&self) -> Counts {
        (**self).counts()
    }

    fn flush(&mut self) -> std::io::Result<()> {
        (**self).flush()
    }
}

/// The card itself, with the quirks of its memory.
pub(crate) struct CardPort {
    card: Card<CardNvm>,
    enables: Enables,
    /// How many enablings will be forgotten at a reset.
    forget: u32,
    functions: StoreData,
}

impl CardPort {
    /// `forget`: that many enablings don't survive a reset; the memory obeys `enables`.
    pub(crate) fn new(card: Card<CardNvm>, enables: Enables, forget: u32) -> Self {
        Self {
            card,
            enables,
            forget,
            functions: StoreData::default(),
        }
    }

    fn power_lost(&mut self) -> bool {
        // The command that was hit has no answer; the card starts from what was stored.
        let lost = self.card.nvm().power_came_back();
        if lost {
            self.card.nvm().was_reset();
            self.card.reset();
        }
        lost
    }
}

/// EnableProfile (SGP.22 §5.7.16).
const ENABLE: u16 = 0xBF31;

impl Port for CardPort {
    fn reset(&mut self) -> Vec<u8> {
        self.functions = StoreData::default();
        self.card.nvm().was_reset();
        self.card.reset()
    }

    fn atr(&self) -> Vec<u8> {
        self.card.atr()
    }

    fn leave(&mut self, host: Terminal) {
        self.card.terminal_left(host);
        self.power_lost();
    }

    fn counts(&self) -> Counts {
        Counts {
            switches: self.card.profile_switches(),
            lost_notifications: self.card.lost_notifications(),
        }
    }

    fn transmit(&mut self, host: Terminal, apdu: &[u8]) -> Result<Vec<u8>, Gone> {
        let function = self.functions.complete(apdu);
        let forget = self.forget > 0 && function == Some(ENABLE);
        if forget {
            self.enables.hold(true);
        }
        let answer = self.card.transmit_from(host, apdu);
        if self.power_lost() {
            return Err(Gone);
        }
        if forget {
            if answer.starts_with(&[0xBF, 0x31, 3, 0x80, 1, 0]) {
                self.forget -= 1;
            } else if let Err(error) = self.card.nvm().keep_held() {
                tracing::error!("{error}");
            }
        }
        Ok(answer)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.card.nvm().flush()
    }
}
