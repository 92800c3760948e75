//! The agent's core over its journal, linked for a microcontroller: what it takes and what comes out is opaque to the
//! compiler, so nothing of it is left out.
#![no_std]
#![no_main]

extern crate alloc;

use aid_agent_core::{Agent, BootMs, Down, Effect, Envelope, Event};
use aid_journal::{Config, Journal, Media};
use core::hint::black_box;
use linked_list_allocator::LockedHeap;
use panic_halt as _;

#[global_allocator]
static HEAP: LockedHeap = LockedHeap::empty();

/// Where a board has its flash.
struct Flash;

impl Media for Flash {
    type Error = u8;
    fn list(&mut self) -> Result<alloc::vec::Vec<u64>, u8> {
        black_box(Err(1))
    }
    fn create(&mut self, _: u64, _: usize, _: &[u8]) -> Result<(), u8> {
        black_box(Err(1))
    }
    fn read(&mut self, _: u64) -> Result<alloc::vec::Vec<u8>, u8> {
        black_box(Err(1))
    }
    fn write(&mut self, _: u64, _: usize, _: &[u8]) -> Result<(), u8> {
        black_box(Err(1))
    }
    fn sync(&mut self, _: u64) -> Result<(), u8> {
        black_box(Err(1))
    }
    fn remove(&mut self, _: u64) -> Result<(), u8> {
        black_box(Err(1))
    }
    fn set_aside(&mut self, _: &str) -> Result<Option<alloc::string::String>, u8> {
        black_box(Err(1))
    }
    fn erase_aside(&mut self) -> Result<(), u8> {
        black_box(Err(1))
    }
    fn is_full(error: &u8) -> bool {
        *error == 2
    }
}

#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    let Ok((mut journal, found)) = Journal::open(Flash, Config::default()) else {
        loop {}
    };
    let restored = Agent::restore("mcu", found.snapshot.as_deref(), &found.records);
    let Ok(mut agent) = restored else { loop {} };
    loop {
        let now = BootMs(black_box(1));
        if let Ok(envelope) = Envelope::<Down>::decode(black_box(&[])) {
            let (message_id, body) = (envelope.message_id, envelope.body);
            agent.handle(now, Event::Inbound { message_id, body });
        }
        agent.handle(now, black_box(Event::LinkUp));
        while let Some(effect) = agent.poll_effect() {
            match effect {
                Effect::Persist { ticket, bytes } => {
                    let event = match journal.append(&bytes) {
                        Ok(_) => Event::Persisted { ticket },
                        Err(_) => Event::PersistFailed { text: alloc::string::String::new() },
                    };
                    agent.handle(now, event);
                    if let Some(state) = agent.snapshot() {
                        let _ = black_box(journal.snapshot(&state));
                    }
                }
                other => drop(black_box(other)),
            }
        }
        agent.handle_timeout(now);
        black_box((agent.poll_timeout(), agent.phase()));
    }
}
