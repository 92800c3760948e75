//! A card behind the end of a bus: blocks in, blocks out, byte by byte as the host clocks them.

use super::faults::{Faults, Trouble};
use crate::cip::Cip;
use crate::device::{Device, Step};
use alloc::vec::Vec;

/// What executes the APDUs: a card.
pub trait Apdus {
    /// Resets it.
    fn reset(&mut self);
    /// Executes a command APDU; the response APDU.
    fn transmit(&mut self, apdu: &[u8]) -> Vec<u8>;
}

pub(super) struct BusCard<A> {
    device: Device,
    apdus: A,
    trouble: Trouble,
    /// What the host may read, and how much of it has been read.
    out: Vec<u8>,
    read: usize,
    /// The command that waits for the time that was asked for.
    waiting: Vec<u8>,
}

impl<A: Apdus> BusCard<A> {
    pub(super) fn new(apdus: A, cip: Cip, faults: Faults) -> Self {
        Self {
            device: Device::new(cip),
            apdus,
            trouble: Trouble::new(faults),
            out: Vec::new(),
            read: 0,
            waiting: Vec::new(),
        }
    }

    pub(super) fn into_inner(self) -> A {
        self.apdus
    }

    /// The host has written a block; what it has not read of the last answer is gone.
    pub(super) fn write(&mut self, bytes: Vec<u8>) {
        self.out.clear();
        self.read = 0;
        let Some(bytes) = self.trouble.pass(bytes) else {
            return;
        };
        let answer = match self.device.block(&bytes) {
            Step::Send(block) => block,
            Step::Execute(apdu) if self.trouble.slow() => {
                self.waiting = apdu;
                self.device.extend(2)
            }
            Step::Execute(apdu) => self.execute(&apdu),
            Step::Continue => {
                let apdu = core::mem::take(&mut self.waiting);
                self.execute(&apdu)
            }
            Step::Reset(block) => {
                self.apdus.reset();
                block
            }
            Step::Silent => return,
        };
        self.out = self.trouble.pass(answer).unwrap_or_default();
    }

    fn execute(&mut self, apdu: &[u8]) -> Vec<u8> {
        let response = self.apdus.transmit(apdu);
        self.device.answer(&response)
    }

    /// Is there something to read?
    pub(super) fn ready(&self) -> bool {
        self.read < self.out.len()
    }

    /// The host reads; beyond the end there is only filler.
    pub(super) fn read(&mut self, into: &mut [u8], filler: u8) {
        for byte in into {
            *byte = self.out.get(self.read).copied().unwrap_or(filler);
            self.read = (self.read + 1).min(self.out.len());
        }
    }
}
