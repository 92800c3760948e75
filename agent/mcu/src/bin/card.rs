//! The software eUICC behind T=1', linked for a microcontroller: what it takes and what comes out is opaque to the
//! compiler, so nothing of it is left out.
#![no_std]
#![no_main]

extern crate alloc;

use aid_euicc::card::{Card, Identity};
use aid_euicc::nvm::Memory;
use aid_rsp::crypto::{Crypto, SoftwareCrypto};
use aid_t1::{Cip, Device, Step};
use alloc::{boxed::Box, sync::Arc};
use core::hint::black_box;
use linked_list_allocator::LockedHeap;
use panic_halt as _;

#[global_allocator]
static HEAP: LockedHeap = LockedHeap::empty();

/// Where a board has its random numbers and the card's keys.
fn board<T>() -> T {
    black_box(None).unwrap_or_else(|| loop {})
}

#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    let crypto: Arc<dyn Crypto> = Arc::new(SoftwareCrypto::new());
    let Ok(identity) = Identity::new(board(), board(), &*crypto) else {
        loop {}
    };
    let rng: Box<dyn rand_core::CryptoRng + Send> = Box::new(board::<Random>());
    let card = Card::new(Memory::new(), crypto, rng, Arc::new(identity), board());
    let Ok(mut card) = card else { loop {} };
    let mut device = Device::new(Cip::spi());
    loop {
        let block: &[u8] = black_box(&[]);
        match device.block(block) {
            Step::Execute(apdu) => drop(black_box(device.answer(&card.transmit(&apdu)))),
            other => drop(black_box(other)),
        }
    }
}

/// A board's source of random numbers.
struct Random;

impl rand_core::TryRng for Random {
    type Error = core::convert::Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(black_box(0))
    }
    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(black_box(0))
    }
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        black_box(bytes);
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Random {}
