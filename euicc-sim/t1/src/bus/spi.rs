//! SPI: chip select frames the host's blocks; the card's are found by their first byte that is no
//! filler. GPC_FST_172, SPI physical layer.

use super::card::{Apdus, BusCard};
use super::faults::Faults;
use super::host::{Bus, BusError, BusHost};
use crate::block::{EPILOGUE, PROLOGUE};
use crate::cip::Cip;
use crate::host::Request;
use alloc::vec::Vec;
use core::convert::Infallible;
use embedded_hal::delay::DelayNs;
use embedded_hal::spi::{ErrorType, Operation, SpiDevice};

/// Both are no NAD: nothing is on the line.
const fn filler(byte: u8) -> bool {
    matches!(byte, 0x00 | 0xFF)
}

struct SpiBus<S>(S);

impl<S: SpiDevice> Bus for SpiBus<S> {
    type Error = S::Error;

    fn write(&mut self, block: &[u8]) -> Result<bool, S::Error> {
        self.0.write(block)?;
        Ok(true)
    }

    fn first(&mut self) -> Result<Option<Vec<u8>>, S::Error> {
        let mut bytes = [0; PROLOGUE + EPILOGUE];
        self.0.read(&mut bytes)?;
        let Some(start) = bytes.iter().position(|b| !filler(*b)) else {
            return Ok(None);
        };
        let mut first = bytes[start..].to_vec();
        let had = first.len();
        first.resize(PROLOGUE + EPILOGUE, 0);
        if start > 0 {
            self.0.read(&mut first[had..])?;
        }
        Ok(Some(first))
    }

    fn more(&mut self, bytes: &mut [u8]) -> Result<(), S::Error> {
        self.0.read(bytes)
    }
}

/// A card on SPI, seen from the host.
pub struct SpiHost<S, D>(BusHost<SpiBus<S>, D>);

impl<S: SpiDevice, D: DelayNs> SpiHost<S, D> {
    /// A host on a bus; [`SpiHost::open`] comes first.
    #[must_use]
    pub const fn new(spi: S, delay: D) -> Self {
        Self(BusHost::new(SpiBus(spi), delay))
    }

    /// Asks the card for its parameters.
    ///
    /// # Errors
    /// [`BusError`].
    pub fn open(&mut self) -> Result<Cip, BusError<S::Error>> {
        self.0.open()
    }

    /// The response to a command APDU.
    ///
    /// # Errors
    /// [`BusError`]; after `Resynchronised` nobody knows whether the card has executed it.
    pub fn transmit(&mut self, apdu: &[u8]) -> Result<Vec<u8>, BusError<S::Error>> {
        self.0.request(Request::Apdu(apdu))
    }

    /// Resets the card.
    ///
    /// # Errors
    /// [`BusError`].
    pub fn reset(&mut self) -> Result<(), BusError<S::Error>> {
        self.0.request(Request::Reset).map(drop)
    }

    /// Tells the card the size of blocks that are taken, 1 to [`crate::MAX_IFS`].
    ///
    /// # Errors
    /// [`BusError`].
    pub fn block_size(&mut self, size: u16) -> Result<(), BusError<S::Error>> {
        self.0.request(Request::BlockSize(size)).map(drop)
    }

    /// The bus back.
    pub fn into_inner(self) -> S {
        self.0.bus.0
    }
}

/// A card in memory as a device on an SPI bus.
pub struct SpiCard<A>(BusCard<A>);

impl<A: Apdus> SpiCard<A> {
    /// Puts a card on a bus.
    #[must_use]
    pub fn new(apdus: A, cip: Cip, faults: Faults) -> Self {
        Self(BusCard::new(apdus, cip, faults))
    }

    /// The card back.
    pub fn into_inner(self) -> A {
        self.0.into_inner()
    }
}

impl<A> ErrorType for SpiCard<A> {
    type Error = Infallible;
}

impl<A: Apdus> SpiDevice for SpiCard<A> {
    fn transaction(&mut self, operations: &mut [Operation<'_, u8>]) -> Result<(), Infallible> {
        let mut written = Vec::new();
        for operation in operations {
            match operation {
                Operation::Read(into) => self.0.read(into, 0),
                Operation::Write(bytes) => written.extend_from_slice(bytes),
                Operation::Transfer(into, bytes) => {
                    self.0.read(into, 0);
                    written.extend_from_slice(bytes);
                }
                Operation::TransferInPlace(bytes) => {
                    written.extend_from_slice(bytes);
                    self.0.read(bytes, 0);
                }
                Operation::DelayNs(_) => {}
            }
        }
        // A host that only reads clocks filler out.
        if written.iter().any(|b| !filler(*b)) {
            self.0.write(written);
        }
        Ok(())
    }
}
