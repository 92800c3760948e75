//! Quirks of how an answer is handed over: 61xx and GET RESPONSE, in small pieces.
//! ISO/IEC 7816-3 §12.2 (T=0), ETSI TS 102 221 §7.3.1.1. Made by [`super::Quirks::wrap`].

use crate::answer::{channel, split, status};
use crate::port::{Counts, Gone, Port};
use aid_euicc::card::Terminal;
use std::collections::BTreeMap;

/// Which answers wait for GET RESPONSE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// Those to commands with data (case 4), as T=0 has it.
    CommandData,
    /// All that have data.
    Always,
}

/// Hands answers over in pieces.
pub(crate) struct Pieces<P> {
    port: P,
    limit: usize,
    wait: Option<When>,
    /// What GET RESPONSE takes, and the status word after it, by logical channel.
    held: BTreeMap<u8, (Vec<u8>, u16)>,
}

impl<P: Port> Pieces<P> {
    /// Pieces of at most `limit` bytes.
    pub(crate) const fn new(port: P, limit: usize, wait: Option<When>) -> Self {
        Self {
            port,
            limit,
            wait,
            held: BTreeMap::new(),
        }
    }

    /// The whole answer, whatever pieces the card makes of it.
    fn whole(&mut self, host: Terminal, apdu: &[u8]) -> Result<(Vec<u8>, u16), Gone> {
        let answer = self.port.transmit(host, apdu)?;
        let (data, mut sw) = split(&answer);
        let mut data = data.to_vec();
        while sw >> 8 == 0x61 {
            let get = [
                apdu.first().copied().unwrap_or(0) & !0x80,
                0xC0,
                0,
                0,
                sw as u8,
            ];
            let answer = self.port.transmit(host, &get)?;
            let (more, next) = split(&answer);
            if more.is_empty() && next >> 8 == 0x61 {
                break;
            }
            data.extend_from_slice(more);
            sw = next;
        }
        Ok((data, sw))
    }

    fn piece(&mut self, number: u8, mut data: Vec<u8>, sw: u16, most: usize) -> Vec<u8> {
        if data.len() <= most {
            data.extend_from_slice(&sw.to_be_bytes());
            return data;
        }
        let rest = data.split_off(most);
        let more = rest.len().min(256) as u8;
        self.held.insert(number, (rest, sw));
        data.extend_from_slice(&[0x61, more]);
        data
    }
}

impl<P: Port> Port for Pieces<P> {
    fn reset(&mut self) -> Vec<u8> {
        self.held.clear();
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
        let held = self.held.remove(&number);
        if let ([_, 0xC0, 0, 0, le], Some((data, sw))) = (apdu, held) {
            let want = if *le == 0 { 256 } else { usize::from(*le) };
            if want > data.len() && want != 256 {
                let right = status(0x6C00 | data.len().min(255) as u16);
                self.held.insert(number, (data, sw));
                return Ok(right);
            }
            return Ok(self.piece(number, data, sw, want.min(self.limit)));
        }
        let (data, sw) = self.whole(host, apdu)?;
        let wait = match self.wait {
            None => false,
            Some(When::Always) => true,
            Some(When::CommandData) => apdu.len() > 5,
        };
        let most = if wait { 0 } else { self.limit };
        Ok(self.piece(number, data, sw, most))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.port.flush()
    }
}
