//! A port by its address, whatever carries the APDUs.

use crate::address::Address;
use crate::apdu::{Apdu, Opened, TransportError};
use crate::at::AtCard;
use crate::exec::ExecCard;
use crate::socket::SocketCard;
use crate::table::Settings;
use std::fmt;

/// Why a port can't be opened at all; that nothing answers yet is no reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// The program was built without it.
    #[error(
        "{address}: this program was built without the feature `{feature}`; rebuild it with --features {feature}"
    )]
    Feature {
        /// The port's address.
        address: String,
        /// Name of the cargo feature.
        feature: &'static str,
    },
}

/// A port to a card.
pub struct CardPort {
    address: Address,
    inner: Box<dyn Apdu + Send>,
    reset_after_switch: bool,
}

impl fmt::Debug for CardPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CardPort({})", self.address)
    }
}

impl CardPort {
    /// A port with these settings; nothing is connected yet.
    ///
    /// # Errors
    /// [`PortError`].
    pub fn open(settings: &Settings) -> Result<Self, PortError> {
        let Settings {
            address, timing, ..
        } = settings;
        #[cfg(not(all(feature = "bus", feature = "pcsc")))]
        let absent = |feature| PortError::Feature {
            address: address.to_string(),
            feature,
        };
        let inner: Box<dyn Apdu + Send> = match address {
            Address::Socket(to) => Box::new(SocketCard::new(to).with_timing(*timing)),
            Address::At { tty, baud } => Box::new(AtCard::new(tty, *baud, *timing)),
            #[cfg(feature = "pcsc")]
            Address::Pcsc { reader } => Box::new(crate::pcsc::PcscCard::new(reader.as_deref())),
            #[cfg(not(feature = "pcsc"))]
            Address::Pcsc { .. } => return Err(absent("pcsc")),
            #[cfg(feature = "bus")]
            Address::Spi { device, hertz } => Box::new(crate::bus::BusCard::spi(device, *hertz)),
            #[cfg(feature = "bus")]
            Address::I2c { device, address } => {
                Box::new(crate::bus::BusCard::i2c(device, *address))
            }
            #[cfg(not(feature = "bus"))]
            Address::Spi { .. } | Address::I2c { .. } => return Err(absent("bus")),
            Address::Exec(words) => Box::new(ExecCard::new(words, *timing)),
        };
        let reset_after_switch = settings
            .reset_after_switch
            .unwrap_or_else(|| inner.reset_after_switch());
        Ok(Self {
            address: address.clone(),
            inner,
            reset_after_switch,
        })
    }

    /// How the card is reached.
    #[must_use]
    pub const fn address(&self) -> &Address {
        &self.address
    }
}

impl Apdu for CardPort {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        self.inner.transmit(command)
    }
    fn reset(&mut self) -> Result<Vec<u8>, TransportError> {
        self.inner.reset()
    }
    fn open_channel(&mut self, aid: &[u8]) -> Result<Opened, TransportError> {
        self.inner.open_channel(aid)
    }
    fn close_channel(&mut self, channel: u8) -> Result<(), TransportError> {
        self.inner.close_channel(channel)
    }
    fn refreshed(&mut self) -> bool {
        self.inner.refreshed()
    }
    fn reset_after_switch(&self) -> bool {
        self.reset_after_switch
    }
}
