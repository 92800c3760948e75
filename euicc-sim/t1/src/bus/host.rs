//! A host on any of the two buses: opens the card, sends APDUs, polls for blocks.
//! GPC_FST_172, polling mode.

use crate::block::{EPILOGUE, MAX_IFS, PROLOGUE};
use crate::cip::Cip;
use crate::host::{Host, HostError, Next, Request};
use alloc::vec::Vec;
use embedded_hal::delay::DelayNs;

/// Why a request over a bus failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BusError<E> {
    /// The protocol.
    #[error(transparent)]
    Protocol(#[from] HostError),
    /// The bus itself.
    #[error("the bus has failed")]
    Bus(E),
}

/// What a bus does for the host.
pub(super) trait Bus {
    type Error;
    /// Writes a block; false: the card does not take it yet.
    fn write(&mut self, block: &[u8]) -> Result<bool, Self::Error>;
    /// Reads the first bytes of a block, at least prologue and epilogue; nothing: not ready.
    fn first(&mut self) -> Result<Option<Vec<u8>>, Self::Error>;
    /// Reads the bytes that follow.
    fn more(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error>;
}

pub(super) struct BusHost<B, D> {
    pub(super) bus: B,
    delay: D,
    host: Host,
    polling_us: u32,
    guard_us: u32,
}

impl<B: Bus, D: DelayNs> BusHost<B, D> {
    pub(super) const fn new(bus: B, delay: D) -> Self {
        Self {
            bus,
            delay,
            host: Host::new(),
            polling_us: 1000,
            guard_us: 200,
        }
    }

    pub(super) fn open(&mut self) -> Result<Cip, BusError<B::Error>> {
        let bytes = self.request(Request::Parameters)?;
        let cip = Cip::decode(&bytes).map_err(HostError::from)?;
        self.polling_us = cip.physical.polling_us();
        self.guard_us = cip.physical.guard_us();
        Ok(cip)
    }

    pub(super) fn request(&mut self, request: Request<'_>) -> Result<Vec<u8>, BusError<B::Error>> {
        let mut block = self.host.begin(request);
        loop {
            let answer = match self.write(&block)? {
                true => self.read()?,
                false => None,
            };
            let next = match answer {
                Some(bytes) => self.host.received(&bytes)?,
                None => self.host.silent()?,
            };
            match next {
                Next::Send(next) => block = next,
                Next::Done(answer) => return Ok(answer),
            }
        }
    }

    fn write(&mut self, block: &[u8]) -> Result<bool, BusError<B::Error>> {
        let polling = u64::from(self.polling_us);
        let mut left = u64::from(self.host.patience()) * 1000;
        while !self.bus.write(block).map_err(BusError::Bus)? {
            if left < polling {
                return Ok(false);
            }
            left -= polling;
            self.delay.delay_us(self.polling_us);
        }
        self.delay.delay_us(self.guard_us);
        Ok(true)
    }

    /// A block, or what looks like one; nothing when the card is silent for too long.
    fn read(&mut self) -> Result<Option<Vec<u8>>, BusError<B::Error>> {
        let mut left = u64::from(self.host.patience()) * 1000;
        let mut bytes = loop {
            if let Some(bytes) = self.bus.first().map_err(BusError::Bus)? {
                break bytes;
            }
            let polling = u64::from(self.polling_us);
            if left < polling {
                return Ok(None);
            }
            left -= polling;
            self.delay.delay_us(self.polling_us);
        };
        let len = match bytes.get(2..PROLOGUE) {
            Some(len) => u16::from_be_bytes([len[0], len[1]]),
            None => 0,
        };
        if len > MAX_IFS {
            // The length itself is wrong; what was read is refused with its CRC.
            return Ok(Some(bytes));
        }
        let whole = PROLOGUE + usize::from(len) + EPILOGUE;
        let had = bytes.len().min(whole);
        bytes.resize(whole, 0);
        if had < whole {
            self.bus.more(&mut bytes[had..]).map_err(BusError::Bus)?;
        }
        Ok(Some(bytes))
    }
}
