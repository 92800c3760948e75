//! The APDU port: whatever carries C-APDUs to a card and R-APDUs back, one at a time.
//! ISO/IEC 7816-3 §12. Implemented by transports, called by `card`.

/// Longest C-APDU of short length fields with Le, bytes: header, Lc, 255 bytes, Le.
pub const MAX_COMMAND: usize = 261;
/// Longest R-APDU, bytes: 256 of data and the status.
pub const MAX_RESPONSE: usize = 258;

/// Why no R-APDU came.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// There is nothing to connect to.
    #[error("cannot reach the card at {address}: {source}; is it running?")]
    Connect {
        /// Where.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// The connection broke or took too long.
    #[error("the connection to the card at {address} broke: {source}")]
    Broken {
        /// Where.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// What came is no R-APDU.
    #[error("the card at {address} answered {got} bytes instead of 2 to {MAX_RESPONSE}")]
    Length {
        /// Where.
        address: String,
        /// Bytes.
        got: usize,
    },
}

/// A port to one card. Calls block.
pub trait Apdu {
    /// Sends a C-APDU of at most [`MAX_COMMAND`] bytes; returns the R-APDU, its status at the end.
    ///
    /// # Errors
    /// No R-APDU came; the next call may connect again, logical channels are gone then.
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError>;

    /// Resets the card; returns its ATR. Logical channels are gone.
    ///
    /// # Errors
    /// The card does not answer.
    fn reset(&mut self) -> Result<Vec<u8>, TransportError>;
}

impl<A: Apdu + ?Sized> Apdu for Box<A> {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        (**self).transmit(command)
    }
    fn reset(&mut self) -> Result<Vec<u8>, TransportError> {
        (**self).reset()
    }
}
