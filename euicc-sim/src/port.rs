//! What a transport sees: something that is reset and takes APDUs, and may lose its power.
//! The card is one, each quirk is a layer around one. Called by [`crate::served`].

use crate::nvm::{CardNvm, Enables};
use crate::quirk::StoreData;
use aid_euicc::card::Card;

/// The card did not answer: its power was cut. It is fresh again at the next command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

/// A card, or something in front of one.
pub(crate) trait Port: Send {
    /// Resets the card; the answer to reset.
    fn reset(&mut self) -> Vec<u8>;
    /// The answer to reset, without a reset.
    fn atr(&self) -> Vec<u8>;
    /// Executes one command APDU; at least a status word.
    fn transmit(&mut self, apdu: &[u8]) -> Result<Vec<u8>, Gone>;
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

    fn transmit(&mut self, apdu: &[u8]) -> Result<Vec<u8>, Gone> {
        (**self).transmit(apdu)
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

    fn transmit(&mut self, apdu: &[u8]) -> Result<Vec<u8>, Gone> {
        let function = self.functions.complete(apdu);
        let forget = self.forget > 0 && function == Some(ENABLE);
        if forget {
            self.enables.hold(true);
        }
        let answer = self.card.transmit(apdu);
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
