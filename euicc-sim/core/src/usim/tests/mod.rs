//! Given an installed profile, when a terminal talks to it, then it is the SIM of TS 102 221 and TS 31.102.
mod authenticate;
mod files;
mod objects;
mod pins;
mod records;

use super::{ChannelState, handle};
use crate::apdu::Command;
use crate::fs::{Change, ProfileImage};
use crate::install::tests::{create, gfm, install, own, own_with};
use crate::pin::Verified;
use alloc::{string::String, vec::Vec};

/// The AID of our USIM.
pub(super) const USIM: &str = "a0000000871002ff49ff0589";

/// Random numbers that repeat themselves.
pub(crate) struct Repeatable(u64);

impl rand_core::TryRng for Repeatable {
    type Error = core::convert::Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(self.try_next_u64()? as u32)
    }
    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        Ok(self.0)
    }
    fn try_fill_bytes(&mut self, to: &mut [u8]) -> Result<(), Self::Error> {
        for b in to {
            *b = (self.try_next_u64()? >> 32) as u8;
        }
        Ok(())
    }
}
impl rand_core::TryCryptoRng for Repeatable {}

/// A profile and one channel.
pub(super) struct Sim {
    pub(super) image: ProfileImage,
    pub(super) state: ChannelState,
    pub(super) verified: Verified,
    rng: Repeatable,
}

impl Sim {
    pub(super) fn new(der: &[u8]) -> Self {
        Self {
            image: install(der).unwrap(),
            state: ChannelState::default(),
            verified: Verified::default(),
            rng: Repeatable(1),
        }
    }

    /// Our own package with these files in the USIM; PIN 1 is disabled.
    pub(super) fn with(fill: impl FnOnce(&mut aid_rsp::tlv::Writer)) -> Self {
        let files = gfm(|w| {
            w.primitive(0x80, &[0x7F, 0xD0]);
            fill(w);
        });
        let mut sim = Self::new(&own_with(&[files]));
        sim.open();
        sim
    }

    /// Selects the USIM and verifies the administrative key.
    pub(super) fn open(&mut self) {
        self.state = ChannelState::default();
        self.verified.clear();
        let adf = self.image.application(&hex::decode(USIM).unwrap()).unwrap();
        super::select_application(&self.image, &mut self.state, adf, 0x0C);
        self.expect("0020000a", "3535353535353535", "", 0x9000);
    }

    /// A command in hex without Lc and Le; the answer in hex and the status word.
    pub(super) fn apdu(&mut self, header: &str, data: &str) -> (String, u16) {
        self.with_le(header, data, Some(256))
    }

    pub(super) fn with_le(&mut self, header: &str, data: &str, ne: Option<usize>) -> (String, u16) {
        let h = hex::decode(header).unwrap();
        let data = hex::decode(data.replace(' ', "")).unwrap();
        let c = Command {
            cla: h[0],
            ins: h[1],
            p1: h[2],
            p2: h[3],
            data: &data,
            ne,
        };
        let before = self.image.clone();
        let r = handle(
            &mut self.image,
            &mut self.state,
            &mut self.verified,
            &c,
            &mut self.rng,
        );
        // What was stored and applied again is what is in memory.
        let mut replayed = before;
        if let Some(change) = &r.persist {
            replayed.apply(&Change::from_bytes(&change.to_bytes()).unwrap());
        }
        assert_eq!(replayed, self.image);
        (hex::encode(r.data), r.sw)
    }

    #[track_caller]
    pub(super) fn expect(&mut self, header: &str, data: &str, answer: &str, sw: u16) {
        let got = self.apdu(header, data);
        assert_eq!(
            (got.0, format_args!("{:04x}", got.1).to_string()),
            (
                answer.replace(' ', ""),
                format_args!("{sw:04x}").to_string()
            ),
            "{header} {data}"
        );
    }
}

use alloc::string::ToString;

proptest::proptest! {
    #[test]
    fn no_command_makes_the_sim_panic(commands in proptest::collection::vec((0usize..22, 0u8..4, proptest::prelude::any::<u8>(), 0u8..8, proptest::collection::vec(0u8..6, 0..20)), 1..40)) {
        const INS: [u8; 22] = [
            0xA4, 0xB0, 0xD6, 0xB2, 0xDC, 0xA2, 0x32, 0xCB, 0xDB, 0xF2, 0x20, 0x24, 0x26, 0x28, 0x2C,
            0x88, 0x04, 0x44, 0x78, 0xA4, 0xCB, 0xDB,
        ];
        let mut sim = Sim::with(|w| {
            create_file(w, &records_of(4, 0x42), 0x6F94, 3, 20);
            create_file(w, &records_of(3, 0x46), 0x6F95, 3, 9);
            create_file(w, &[0x79, 0x21], 0x6F96, 3, 60);
        });
        for (ins, p1, any, p2, data) in commands {
            let ins = INS[ins];
            // Files that are there, half of the time; small numbers everywhere.
            let fid = 0x6F94 + u16::from(any % 3);
            let data = match ins {
                0xA4 if any & 0x80 == 0 => fid.to_be_bytes().to_vec(),
                _ => data,
            };
            let proprietary = matches!(ins, 0x32 | 0xCB | 0xDB | 0xF2 | 0x78);
            let cla = if proprietary { 0x80 } else { 0 };
            let p2 = match ins {
                0xCB | 0xDB if any & 0x40 == 0 => 0x80,
                0x88 => 0x80 | p2,
                _ => p2,
            };
            let header = hex::encode([cla, ins, p1, p2]);
            let ne = (any & 1 == 0).then_some(usize::from(any));
            let (_, sw) = sim.with_le(&header, &hex::encode(data), ne);
            proptest::prop_assert!(sw >= 0x6000);
        }
    }
}

/// Sends commands of all kinds to an image that may be strange: none may panic.
pub(crate) fn touch(image: ProfileImage) {
    let mut sim = Sim {
        image,
        state: ChannelState::default(),
        verified: Verified::default(),
        rng: Repeatable(7),
    };
    let applications: Vec<u16> = sim.image.applications.iter().map(|(i, _)| *i).collect();
    for adf in applications.into_iter().chain([0]) {
        super::select_application(&sim.image, &mut sim.state, adf, 0x04);
        for (header, data) in [
            ("00a40004", "6f3c"),
            ("00b20104", ""),
            ("80f20000", ""),
            ("80f20001", ""),
            ("00b08700", ""),
            ("00a20104", "ff"),
            ("00200001", "3030303030303030"),
            ("002c0001", "30303030303030303030303030303030"),
            ("00a40304", ""),
            ("00a40804", "7fff6f07"),
            ("80cb0080", "5c"),
            ("80320000", "01"),
            ("80780001", ""),
        ] {
            let _ = sim.apdu(header, data);
        }
    }
}

/// Our own package, PIN 1 disabled.
pub(super) fn own_sim() -> Sim {
    Sim::new(&own())
}

/// A linear file's descriptor.
pub(super) fn records_of(len: u8, structure: u8) -> [u8; 4] {
    [structure, 0x21, 0, len]
}

pub(super) fn create_file(
    w: &mut aid_rsp::tlv::Writer,
    descriptor: &[u8],
    fid: u16,
    record: u8,
    size: u16,
) {
    create(w, descriptor, fid, record, size);
}
