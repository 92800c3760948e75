//! The APDU port: whatever carries C-APDUs to a card and R-APDUs back, one at a time.
//! ISO/IEC 7816-3 §12; ETSI TS 102 221 §11.1.17 (logical channels).

/// Longest C-APDU of short length fields with Le, bytes: header, Lc, 255 bytes, Le.
pub const MAX_COMMAND: usize = 261;
/// Longest R-APDU, bytes: 65,536 of data and the status. A card on T=0 answers 256 at a time; a modem or a
/// block protocol that joins GET RESPONSE by itself returns an answer whole.
pub const MAX_RESPONSE: usize = 65_536 + 2;
/// Highest number of a logical channel.
pub const MAX_CHANNEL: u8 = 19;

/// Why there is no R-APDU.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// Nothing answers at the address.
    #[error("cannot reach the card at {address}: {source}; is it running?")]
    Connect {
        /// The port's address.
        address: String,
        /// The cause.
        source: std::io::Error,
    },
    /// The connection broke or timed out. Whether the command was executed is unknown.
    #[error("the connection to the card at {address} broke: {source}")]
    Broken {
        /// The port's address.
        address: String,
        /// The cause.
        source: std::io::Error,
    },
    /// The answer is not an R-APDU.
    #[error("the card at {address} answered {got} bytes instead of 2 to {MAX_RESPONSE}")]
    Length {
        /// The port's address.
        address: String,
        /// Bytes.
        got: usize,
    },
    /// A modem, a reader or a helper refused to pass the command on.
    #[error("{address} refused {what}")]
    Refused {
        /// The port's address.
        address: String,
        /// The command, the reason, and what to do.
        what: String,
    },
    /// The logical channel is gone (reset, REFRESH, another host); the command was not executed.
    #[error("the logical channel at {address} is gone: {what}")]
    ChannelGone {
        /// The port's address.
        address: String,
        /// The reason.
        what: String,
    },
}

/// A logical channel that the transport was asked to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// The transport has no call of its own: the caller sends MANAGE CHANNEL and SELECT.
    ByCommands,
    /// The transport opened it and selected the application.
    Channel(u8),
}

/// A port to one card. Calls block.
pub trait Apdu {
    /// Sends a C-APDU of at most [`MAX_COMMAND`] bytes; returns the R-APDU of at most [`MAX_RESPONSE`]
    /// bytes, the status last.
    ///
    /// # Errors
    /// [`TransportError`]; the next call connects again, and logical channels are gone then.
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError>;

    /// Resets the card; returns its ATR, empty where the transport does not show it. Logical channels are
    /// gone.
    ///
    /// # Errors
    /// The card does not answer.
    fn reset(&mut self) -> Result<Vec<u8>, TransportError>;

    /// Opens a logical channel with the application of this AID selected, where the transport manages
    /// channels itself (+CCHO, lpac's `logic_channel_open`).
    ///
    /// # Errors
    /// [`TransportError`]; no channel is open then.
    fn open_channel(&mut self, aid: &[u8]) -> Result<Opened, TransportError> {
        let _ = aid;
        Ok(Opened::ByCommands)
    }

    /// Closes a channel that [`Apdu::open_channel`] opened.
    ///
    /// # Errors
    /// [`TransportError`]; the channel counts as closed all the same.
    fn close_channel(&mut self, channel: u8) -> Result<(), TransportError> {
        let _ = channel;
        Ok(())
    }

    /// True when the card was reset or refreshed since the last call (proactive REFRESH, +CPIN: NOT
    /// READY). Logical channels are gone then.
    fn refreshed(&mut self) -> bool {
        false
    }

    /// True when the slot must be reset after profiles were switched, because nothing else in the device
    /// performs the REFRESH that the card asks for.
    fn reset_after_switch(&self) -> bool {
        false
    }
}

impl<A: Apdu + ?Sized> Apdu for Box<A> {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        (**self).transmit(command)
    }
    fn reset(&mut self) -> Result<Vec<u8>, TransportError> {
        (**self).reset()
    }
    fn open_channel(&mut self, aid: &[u8]) -> Result<Opened, TransportError> {
        (**self).open_channel(aid)
    }
    fn close_channel(&mut self, channel: u8) -> Result<(), TransportError> {
        (**self).close_channel(channel)
    }
    fn refreshed(&mut self) -> bool {
        (**self).refreshed()
    }
    fn reset_after_switch(&self) -> bool {
        (**self).reset_after_switch()
    }
}

/// Number of the logical channel in a class byte (ISO/IEC 7816-4 §5.4.1).
#[must_use]
pub const fn channel_of(class: u8) -> u8 {
    match class & 0x40 {
        0 => class & 0x03,
        _ => 4 + (class & 0x0F),
    }
}

#[cfg(test)]
mod tests {
    use super::channel_of;

    #[test]
    fn channels_of_class_bytes() {
        let cases = [(0x00, 0), (0x81, 1), (0x83, 3), (0xC0, 4), (0x4F, 19)];
        for (class, channel) in cases {
            assert_eq!(channel_of(class), channel, "{class:02X}");
        }
    }
}
