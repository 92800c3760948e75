//! Quirks of channels and of the toolkit: channels that are taken or get lost, a card that says
//! catBusy. SGP.22 §5.7.16-§5.7.19, ETSI TS 102 221 §11.1.17. Made by [`super::Quirks::wrap`].

use crate::answer::{channel, split, status};
use crate::port::{Counts, Gone, Port};
use crate::store_data::StoreData;
use aid_euicc::card::{ISDR_AID, Terminal};
use std::collections::BTreeMap;

/// Answers catBusy a number of times.
pub(crate) struct CatBusy<P> {
    pub(super) port: P,
    times: u32,
    functions: StoreData,
}

impl<P: Port> CatBusy<P> {
    pub(crate) fn new(port: P, times: u32) -> Self {
        let functions = StoreData::default();
        Self {
            port,
            times,
            functions,
        }
    }
}

/// catBusy(5) in EnableProfile, DisableProfile and eUICCMemoryReset.
const CAT_BUSY: u8 = 5;

impl<P: Port> Port for CatBusy<P> {
    fn reset(&mut self) -> Vec<u8> {
        self.functions = StoreData::default();
        self.port.reset()
    }

    fn atr(&self) -> Vec<u8> {
        self.port.atr()
    }

    fn leave(&mut self, host: Terminal) {
        self.port.leave(host);
    }

    fn counts(&self) -> Counts {
        self.port.counts()
    }

    fn transmit(&mut self, host: Terminal, apdu: &[u8]) -> Result<Vec<u8>, Gone> {
        let function = self.functions.complete(apdu);
        if let Some(tag @ (0xBF31 | 0xBF32 | 0xBF34)) = function
            && self.times > 0
        {
            self.times -= 1;
            let [high, low] = tag.to_be_bytes();
            return Ok(vec![high, low, 3, 0x80, 1, CAT_BUSY, 0x90, 0x00]);
        }
        self.port.transmit(host, apdu)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.port.flush()
    }
}

/// Closes a logical channel after some commands.
pub(crate) struct LostChannel<P> {
    pub(super) port: P,
    commands: u32,
    used: BTreeMap<u8, u32>,
}

impl<P: Port> LostChannel<P> {
    pub(crate) const fn new(port: P, commands: u32) -> Self {
        let used = BTreeMap::new();
        Self {
            port,
            commands,
            used,
        }
    }
}

impl<P: Port> Port for LostChannel<P> {
    fn reset(&mut self) -> Vec<u8> {
        self.used.clear();
        self.port.reset()
    }

    fn atr(&self) -> Vec<u8> {
        self.port.atr()
    }

    fn leave(&mut self, host: Terminal) {
        self.port.leave(host);
    }

    fn counts(&self) -> Counts {
        self.port.counts()
    }

    fn transmit(&mut self, host: Terminal, apdu: &[u8]) -> Result<Vec<u8>, Gone> {
        let number = channel(apdu.first().copied().unwrap_or(0));
        if let [_, 0x70, 0x80, closed, ..] = apdu {
            self.used.remove(closed);
        }
        if number == 0 {
            return self.port.transmit(host, apdu);
        }
        let used = self.used.entry(number).or_default();
        *used += 1;
        if *used > self.commands {
            self.used.remove(&number);
            self.port.transmit(host, &[0, 0x70, 0x80, number])?;
            return Ok(status(0x6881));
        }
        self.port.transmit(host, apdu)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.port.flush()
    }
}

/// The host that a program was which crashed.
const NOBODY: Terminal = Terminal(0);

/// Leaves logical channels open, as a program does that crashed.
pub(crate) struct StaleChannel<P> {
    pub(super) port: P,
    channels: u8,
}

impl<P: Port> StaleChannel<P> {
    pub(crate) fn new(port: P, channels: u8) -> Self {
        let mut layer = Self { port, channels };
        layer.open();
        layer
    }

    fn open(&mut self) {
        let host = NOBODY;
        for _ in 0..self.channels {
            let Ok(answer) = self.port.transmit(host, &[0, 0x70, 0, 0, 1]) else {
                return;
            };
            let ([number], 0x9000) = split(&answer) else {
                return;
            };
            let mut select = vec![aid_euicc::apdu::Class::interindustry(*number)];
            select.extend_from_slice(&[0xA4, 4, 0x0C, 16]);
            select.extend_from_slice(&ISDR_AID);
            if self.port.transmit(host, &select).is_err() {
                return;
            }
        }
    }
}

impl<P: Port> Port for StaleChannel<P> {
    fn reset(&mut self) -> Vec<u8> {
        let atr = self.port.reset();
        self.open();
        atr
    }

    fn atr(&self) -> Vec<u8> {
        self.port.atr()
    }

    fn leave(&mut self, host: Terminal) {
        self.port.leave(host);
    }

    fn counts(&self) -> Counts {
        self.port.counts()
    }

    fn transmit(&mut self, host: Terminal, apdu: &[u8]) -> Result<Vec<u8>, Gone> {
        let answer = self.port.transmit(host, apdu);
        if answer.is_err() {
            self.open();
        }
        answer
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.port.flush()
    }
}
