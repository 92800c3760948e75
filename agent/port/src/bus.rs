//! A soldered eUICC on SPI or I2C: T=1' (GPC_FST_172) by `aid-t1`, the bus by `linux-embedded-hal`.

use crate::apdu::{Apdu, MAX_RESPONSE, TransportError};
use aid_t1::{BusError, HostError, I2cHost, MAX_IFS, SpiHost};
use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;
use embedded_hal::spi::SpiDevice;
use linux_embedded_hal::spidev::{SpiModeFlags, SpidevOptions};
use linux_embedded_hal::{Delay, I2cdev, SpidevDevice};
use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};

/// A host on a bus that is open.
pub trait Link: Send {
    /// Asks for the card's parameters and says which blocks are read.
    ///
    /// # Errors
    /// [`LinkError`].
    fn start(&mut self) -> Result<(), LinkError>;
    /// The R-APDU to a C-APDU.
    ///
    /// # Errors
    /// [`LinkError`].
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, LinkError>;
    /// Resets the card.
    ///
    /// # Errors
    /// [`LinkError`].
    fn reset(&mut self) -> Result<(), LinkError>;
}

/// Why a request over a bus failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The protocol.
    #[error(transparent)]
    Protocol(#[from] HostError),
    /// The bus.
    #[error("the bus failed: {0}")]
    Bus(String),
}

impl<E: Debug> From<BusError<E>> for LinkError {
    fn from(error: BusError<E>) -> Self {
        match error {
            BusError::Protocol(error) => Self::Protocol(error),
            BusError::Bus(error) => Self::Bus(format!("{error:?}")),
        }
    }
}

macro_rules! link {
    ($host:ident, $bus:ident) => {
        impl<B: $bus + Send, D: DelayNs + Send> Link for $host<B, D> {
            fn start(&mut self) -> Result<(), LinkError> {
                self.open()?;
                Ok(self.block_size(MAX_IFS)?)
            }
            fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, LinkError> {
                Ok(Self::transmit(self, command)?)
            }
            fn reset(&mut self) -> Result<(), LinkError> {
                Ok(Self::reset(self)?)
            }
        }
    };
}
link!(SpiHost, SpiDevice);
link!(I2cHost, I2c);

/// Opens the bus; called again after a failure.
pub type Open = Box<dyn FnMut() -> io::Result<Box<dyn Link>> + Send>;

/// A card on a bus. The bus is opened when needed.
pub struct BusCard {
    address: String,
    open: Open,
    link: Option<Box<dyn Link>>,
    /// The link failed before: the card begins anew with a reset.
    failed: bool,
    refreshed: bool,
}

impl Debug for BusCard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BusCard({})", self.address)
    }
}

impl BusCard {
    /// A card on a bus that `open` opens; `address` is for messages.
    #[must_use]
    pub fn new(address: String, open: Open) -> Self {
        Self {
            address,
            open,
            link: None,
            failed: false,
            refreshed: false,
        }
    }

    /// A card on a spidev in mode 0, with this clock in Hz.
    #[must_use]
    pub fn spi(device: &Path, hertz: u32) -> Self {
        let address = format!("spi:{}", device.display());
        let device: PathBuf = device.into();
        let open = move || -> io::Result<Box<dyn Link>> {
            let wrong = |e| io::Error::other(format!("{e:?}"));
            let mut spi = SpidevDevice::open(&device).map_err(wrong)?;
            let options = SpidevOptions::new()
                .bits_per_word(8)
                .max_speed_hz(hertz)
                .mode(SpiModeFlags::SPI_MODE_0)
                .build();
            spi.0.configure(&options)?;
            Ok(Box::new(SpiHost::new(spi, Delay)))
        };
        Self::new(address, Box::new(open))
    }

    /// A card at a 7-bit address of an I2C bus.
    #[must_use]
    pub fn i2c(device: &Path, address: u8) -> Self {
        let name = format!("i2c:{},0x{address:02x}", device.display());
        let device: PathBuf = device.into();
        let open = move || -> io::Result<Box<dyn Link>> {
            let bus = I2cdev::new(&device).map_err(|e| io::Error::other(format!("{e}")))?;
            Ok(Box::new(I2cHost::new(bus, address, Delay)))
        };
        Self::new(name, Box::new(open))
    }

    fn link(&mut self) -> Result<&mut Box<dyn Link>, TransportError> {
        let link = match self.link.take() {
            Some(link) => link,
            None => {
                let connect = |address: &str, source| TransportError::Connect {
                    address: address.to_owned(),
                    source,
                };
                let mut link = (self.open)().map_err(|e| connect(&self.address, e))?;
                link.start()
                    .and_then(|()| match self.failed {
                        true => link.reset(),
                        false => Ok(()),
                    })
                    .map_err(|e| connect(&self.address, io::Error::other(e)))?;
                self.failed = false;
                link
            }
        };
        Ok(self.link.insert(link))
    }

    fn broken(&mut self, error: LinkError) -> TransportError {
        self.link = None;
        (self.failed, self.refreshed) = (true, true);
        TransportError::Broken {
            address: self.address.clone(),
            source: io::Error::other(error),
        }
    }
}

impl Apdu for BusCard {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        let answer = self.link()?.transmit(command);
        let answer = answer.map_err(|e| self.broken(e))?;
        match answer.len() {
            2..=MAX_RESPONSE => Ok(answer),
            got => Err(TransportError::Length {
                address: self.address.clone(),
                got,
            }),
        }
    }

    fn reset(&mut self) -> Result<Vec<u8>, TransportError> {
        let done = self.link()?.reset();
        done.map_err(|e| self.broken(e))?;
        Ok(Vec::new())
    }

    fn refreshed(&mut self) -> bool {
        std::mem::take(&mut self.refreshed)
    }

    /// The device is the card's terminal: there is no modem that performs a REFRESH.
    fn reset_after_switch(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aid_t1::{Apdus, Cip, Faults, I2cCard, SpiCard};
    use std::sync::{Arc, Mutex};

    /// What a card was asked: commands, and "reset".
    #[derive(Clone, Default)]
    struct Echo(Arc<Mutex<Vec<Vec<u8>>>>);

    impl Apdus for Echo {
        fn reset(&mut self) {
            self.0.lock().expect("lock").push(b"reset".to_vec());
        }
        fn transmit(&mut self, apdu: &[u8]) -> Vec<u8> {
            self.0.lock().expect("lock").push(apdu.to_vec());
            apdu.iter().rev().copied().chain([0x90, 0]).collect()
        }
    }

    struct NoDelay;

    impl DelayNs for NoDelay {
        fn delay_ns(&mut self, _: u32) {}
    }

    /// A card whose bus fails in this way each time that it is opened, until there are no more ways.
    fn card(spi: bool, echo: &Echo, mut ways: Vec<Faults>) -> BusCard {
        let echo = echo.clone();
        let open = move || -> io::Result<Box<dyn Link>> {
            let faults = ways.pop().unwrap_or_default();
            Ok(match spi {
                true => Box::new(SpiHost::new(
                    SpiCard::new(echo.clone(), Cip::spi(), faults),
                    NoDelay,
                )),
                false => {
                    let card = I2cCard::new(echo.clone(), 0x48, Cip::i2c(), faults);
                    Box::new(I2cHost::new(card, 0x48, NoDelay))
                }
            })
        };
        BusCard::new("bus".into(), Box::new(open))
    }

    #[test]
    fn apdus_and_resets_over_both_buses() {
        for spi in [true, false] {
            let echo = Echo::default();
            let mut card = card(spi, &echo, Vec::new());
            let command: Vec<u8> = (0..=255).chain(0..5).collect();
            let answer = card.transmit(&command).expect("answer");
            assert_eq!(answer.len(), 263);
            assert!(card.reset().expect("reset").is_empty());
            assert_eq!(card.transmit(&[1, 2, 3, 4]).expect("answer")[..2], [4, 3]);
            let seen = echo.0.lock().expect("lock").clone();
            assert_eq!(seen, [command, b"reset".to_vec(), vec![1, 2, 3, 4]]);
            assert!(card.reset_after_switch() && !card.refreshed());
        }
    }

    #[test]
    fn a_card_that_does_not_answer_the_start_is_started_again() {
        for spi in [true, false] {
            let echo = Echo::default();
            let lost = Faults {
                lost: 1,
                ..Faults::default()
            };
            let mut card = card(spi, &echo, vec![lost]);
            let error = card.transmit(&[0, 1, 0, 0]).expect_err("lost");
            assert!(matches!(error, TransportError::Connect { .. }), "{error}");
            assert!(card.transmit(&[0, 2, 0, 0]).is_ok());
        }
    }

    /// A bus that starts and fails at the first command.
    struct Loose;

    impl Link for Loose {
        fn start(&mut self) -> Result<(), LinkError> {
            Ok(())
        }
        fn transmit(&mut self, _: &[u8]) -> Result<Vec<u8>, LinkError> {
            Err(LinkError::Bus("loose".into()))
        }
        fn reset(&mut self) -> Result<(), LinkError> {
            Err(LinkError::Bus("loose".into()))
        }
    }

    #[test]
    fn a_card_that_is_lost_in_a_command_is_reset_before_the_next() {
        let echo = Echo::default();
        let (seen, mut opened) = (echo.clone(), false);
        let open = move || -> io::Result<Box<dyn Link>> {
            if !std::mem::replace(&mut opened, true) {
                return Ok(Box::new(Loose));
            }
            let bus = SpiCard::new(echo.clone(), Cip::spi(), Faults::default());
            Ok(Box::new(SpiHost::new(bus, NoDelay)))
        };
        let mut card = BusCard::new("bus".into(), Box::new(open));
        let error = card.transmit(&[0, 1, 0, 0]).expect_err("lost");
        assert!(matches!(error, TransportError::Broken { .. }), "{error}");
        assert!(card.refreshed(), "what was selected on the card is gone");
        let next = vec![0, 2, 0, 0];
        assert!(card.transmit(&next).is_ok());
        // Once: the link stands now.
        assert!(card.transmit(&next).is_ok());
        let seen = seen.0.lock().expect("lock").clone();
        assert_eq!(seen, [b"reset".to_vec(), next.clone(), next]);
    }

    #[test]
    fn devices_that_are_absent_are_named() {
        let spi = BusCard::spi(Path::new("/nowhere/spidev0.0"), 1_000_000).reset();
        let i2c = BusCard::i2c(Path::new("/nowhere/i2c-1"), 0x48).reset();
        for (result, name) in [(spi, "spi:/nowhere"), (i2c, "i2c:/nowhere/i2c-1,0x48")] {
            let error = result.expect_err("absent").to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
