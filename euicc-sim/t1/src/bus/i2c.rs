//! I2C: the card does not acknowledge its address while it has nothing to say.
//! GPC_FST_172, I2C physical layer.

use super::card::{Apdus, BusCard};
use super::faults::Faults;
use super::host::{Bus, BusError, BusHost};
use crate::block::{EPILOGUE, PROLOGUE};
use crate::cip::Cip;
use crate::host::Request;
use alloc::vec::Vec;
use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::{
    Error as _, ErrorKind, ErrorType, I2c, NoAcknowledgeSource, Operation, SevenBitAddress,
};

struct I2cBus<I> {
    i2c: I,
    address: SevenBitAddress,
}

const fn busy(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NoAcknowledge(_))
}

impl<I: I2c> Bus for I2cBus<I> {
    type Error = I::Error;

    fn write(&mut self, block: &[u8]) -> Result<bool, I::Error> {
        match self.i2c.write(self.address, block) {
            Err(error) if busy(error.kind()) => Ok(false),
            result => result.map(|()| true),
        }
    }

    fn first(&mut self) -> Result<Option<Vec<u8>>, I::Error> {
        let mut bytes = alloc::vec![0; PROLOGUE + EPILOGUE];
        match self.i2c.read(self.address, &mut bytes) {
            Err(error) if busy(error.kind()) => Ok(None),
            result => result.map(|()| Some(bytes)),
        }
    }

    fn more(&mut self, bytes: &mut [u8]) -> Result<(), I::Error> {
        match self.i2c.read(self.address, bytes) {
            // The card has nothing more: the length was wrong, the CRC will say so.
            Err(error) if busy(error.kind()) => Ok(()),
            result => result,
        }
    }
}

/// A card on I2C, seen from the host.
pub struct I2cHost<I, D>(BusHost<I2cBus<I>, D>);

impl<I: I2c, D: DelayNs> I2cHost<I, D> {
    /// A host on a bus with a card at an address; [`I2cHost::open`] comes first.
    #[must_use]
    pub const fn new(i2c: I, address: SevenBitAddress, delay: D) -> Self {
        Self(BusHost::new(I2cBus { i2c, address }, delay))
    }

    /// Asks the card for its parameters.
    ///
    /// # Errors
    /// [`BusError`].
    pub fn open(&mut self) -> Result<Cip, BusError<I::Error>> {
        self.0.open()
    }

    /// The response to a command APDU.
    ///
    /// # Errors
    /// [`BusError`]; after `Resynchronised` nobody knows whether the card has executed it.
    pub fn transmit(&mut self, apdu: &[u8]) -> Result<Vec<u8>, BusError<I::Error>> {
        self.0.request(Request::Apdu(apdu))
    }

    /// Resets the card.
    ///
    /// # Errors
    /// [`BusError`].
    pub fn reset(&mut self) -> Result<(), BusError<I::Error>> {
        self.0.request(Request::Reset).map(drop)
    }

    /// Tells the card the size of blocks that are taken, 1 to [`crate::MAX_IFS`].
    ///
    /// # Errors
    /// [`BusError`].
    pub fn block_size(&mut self, size: u16) -> Result<(), BusError<I::Error>> {
        self.0.request(Request::BlockSize(size)).map(drop)
    }

    /// The bus back.
    pub fn into_inner(self) -> I {
        self.0.bus.i2c
    }
}

/// A card in memory as a device on an I2C bus.
pub struct I2cCard<A> {
    card: BusCard<A>,
    address: SevenBitAddress,
}

impl<A: Apdus> I2cCard<A> {
    /// Puts a card on a bus.
    #[must_use]
    pub fn new(apdus: A, address: SevenBitAddress, cip: Cip, faults: Faults) -> Self {
        let card = BusCard::new(apdus, cip, faults);
        Self { card, address }
    }

    /// The card back.
    pub fn into_inner(self) -> A {
        self.card.into_inner()
    }
}

impl<A> ErrorType for I2cCard<A> {
    type Error = ErrorKind;
}

impl<A: Apdus> I2c for I2cCard<A> {
    fn transaction(
        &mut self,
        address: SevenBitAddress,
        operations: &mut [Operation<'_>],
    ) -> Result<(), ErrorKind> {
        if address != self.address {
            return Err(ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address));
        }
        let mut written = Vec::new();
        for operation in operations {
            match operation {
                Operation::Write(bytes) => written.extend_from_slice(bytes),
                Operation::Read(into) if self.card.ready() => self.card.read(into, 0xFF),
                Operation::Read(_) => {
                    return Err(ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address));
                }
            }
        }
        if !written.is_empty() {
            self.card.write(written);
        }
        Ok(())
    }
}
