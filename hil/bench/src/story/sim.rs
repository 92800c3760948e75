//! The enabled profile as a modem uses it: USIM selected by AID on a channel of its own, IMSI,
//! AUTHENTICATE. ETSI TS 102 221, 3GPP TS 31.102 §7.1.2.

use super::aka;
use crate::site::Subject;
use aid_cli::cli::Failure;
use aid_lpa::{Apdu, SocketCard};

/// RID of 3GPP and application code of a USIM: a partial AID selects the first.
const USIM: [u8; 7] = [0xA0, 0, 0, 0, 0x87, 0x10, 0x02];
/// EF IMSI.
const EF_IMSI: [u8; 2] = [0x6F, 0x07];

/// The SIM, on a logical channel of its own beside the LPA's.
pub(super) struct Sim {
    card: SocketCard,
    channel: u8,
    apdus: u64,
}

impl Sim {
    /// Opens a channel and selects the USIM.
    pub(super) fn connect(port: u16) -> Result<Self, Failure> {
        let mut sim = Self::open(port)?;
        let (sw, _) = sim.select_usim()?;
        if sw == 0x9000 {
            Ok(sim)
        } else {
            Err(Failure::new(format!(
                "the card has no USIM although a profile is enabled: SELECT answered {sw:04X}"
            )))
        }
    }

    fn open(port: u16) -> Result<Self, Failure> {
        let card = SocketCard::new(&format!("127.0.0.1:{port}"));
        let mut sim = Self {
            card,
            channel: 0,
            apdus: 0,
        };
        let (sw, answer) = sim.exchange(&[0x00, 0x70, 0x00, 0x00, 0x01])?;
        match answer.first() {
            Some(&channel @ 1..=3) if sw == 0x9000 => sim.channel = channel,
            _ => {
                return Err(Failure::new(format!(
                    "the card opens no logical channel: MANAGE CHANNEL answered {sw:04X}"
                )));
            }
        }
        Ok(sim)
    }

    fn select_usim(&mut self) -> Result<(u16, Vec<u8>), Failure> {
        let mut select = vec![self.channel, 0xA4, 0x04, 0x04, USIM.len() as u8];
        select.extend_from_slice(&USIM);
        select.push(0);
        self.exchange(&select)
    }

    /// APDUs so far.
    pub(super) const fn apdus(&self) -> u64 {
        self.apdus
    }

    /// One command; an announced rest is fetched, a corrected length used.
    fn exchange(&mut self, command: &[u8]) -> Result<(u16, Vec<u8>), Failure> {
        let mut data = Vec::new();
        let mut command = command.to_vec();
        for _ in 0..16 {
            self.apdus += 1;
            let answer = self.card.transmit(&command)?;
            let Some((body, &[sw1, sw2])) = answer.split_last_chunk::<2>() else {
                return Err(Failure::new("the card answered without a status word"));
            };
            data.extend_from_slice(body);
            match sw1 {
                0x61 => command = vec![self.channel, 0xC0, 0, 0, sw2],
                0x6C => {
                    let _ = command.pop();
                    command.push(sw2);
                }
                _ => return Ok((u16::from_be_bytes([sw1, sw2]), data)),
            }
        }
        Err(Failure::new("the card announces data without end"))
    }

    fn expect_ok(&mut self, what: &str, command: &[u8]) -> Result<Vec<u8>, Failure> {
        match self.exchange(command)? {
            (0x9000, data) => Ok(data),
            (sw, _) => Err(Failure::new(format!(
                "the card answered {what} with {sw:04X}"
            ))),
        }
    }

    /// The IMSI's digits.
    pub(super) fn imsi(&mut self) -> Result<String, Failure> {
        let channel = self.channel;
        let select = [
            channel, 0xA4, 0x00, 0x04, 0x02, EF_IMSI[0], EF_IMSI[1], 0x00,
        ];
        self.expect_ok("SELECT EF IMSI", &select)?;
        let data = self.expect_ok("READ BINARY of EF IMSI", &[channel, 0xB0, 0, 0, 9])?;
        let length = usize::from(data.first().copied().unwrap_or_default());
        let bytes = data.get(1..=length).ok_or_else(|| {
            Failure::new(format!(
                "EF IMSI holds {}, which is no IMSI",
                hex::encode(&data)
            ))
        })?;
        // The first nibble is the parity and identity type.
        Ok(bytes
            .iter()
            .flat_map(|b| [b & 0x0F, b >> 4])
            .skip(1)
            .filter_map(|n| char::from_digit(u32::from(n), 10))
            .collect())
    }

    /// A 3G authentication whose answer an independent computation must give too.
    pub(super) fn authenticate(&mut self, subject: &Subject) -> Result<(), Failure> {
        let mut rand = [0; 16];
        getrandom::fill(&mut rand).map_err(|e| Failure::new(format!("no random numbers: {e}")))?;
        let keys = &subject.aka;
        let challenge = aka::challenge(keys, rand, sqn(subject.next_sequence));
        let mut command = vec![self.channel, 0x88, 0x00, 0x81, 34, 16];
        command.extend_from_slice(&challenge.rand);
        command.push(16);
        command.extend_from_slice(&challenge.autn);
        command.push(0);
        let answer = self.expect_ok("AUTHENTICATE", &command)?;
        let wrong = |what: &str| {
            Failure::new(format!(
                "{} of the card's AUTHENTICATE differs from an independent {} computation",
                what,
                keys.name()
            ))
        };
        let (&tag, mut rest) = answer
            .split_first()
            .ok_or_else(|| wrong("the empty answer"))?;
        if tag != 0xDB {
            // DC is a synchronisation failure.
            return Err(wrong(&format!("the answer's tag {tag:02X}")));
        }
        let mut next = || -> Option<&[u8]> {
            let (&length, after) = rest.split_first()?;
            let (field, after) = after.split_at_checked(usize::from(length))?;
            rest = after;
            Some(field)
        };
        let res = next().unwrap_or_default();
        if res.len() < 4 || !challenge.res.starts_with(res) {
            return Err(wrong("RES"));
        }
        if next() != Some(&challenge.ck[..]) {
            return Err(wrong("CK"));
        }
        if next() != Some(&challenge.ik[..]) {
            return Err(wrong("IK"));
        }
        Ok(())
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        // The card keeps a channel open until somebody closes it; an error changes nothing here.
        let _ = self.card.transmit(&[0x00, 0x70, 0x80, self.channel]);
    }
}

/// The next sequence number with index 0 (TS 33.102 annex C.1.1: five bits of index).
fn sqn(sequence: u64) -> [u8; 6] {
    let [_, _, sqn @ ..] = (sequence << 5).to_be_bytes();
    sqn
}

/// Is there no USIM any more?
pub(super) fn expect_no_sim(port: u16) -> Result<(), Failure> {
    let mut card = Sim::open(port)?;
    match card.select_usim()? {
        (0x9000, _) => Err(Failure::new(
            "the card still has a USIM although the driver has logged out",
        )),
        _ => Ok(()),
    }
}
