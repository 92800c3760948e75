//! Given the eUICC on a simulated SPI or I2C bus that flips bits and loses blocks, when a host drives it
//! through embedded-hal, then it is the same eUICC.
// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

use aid_euicc::card::{Card, Chain, Credentials, ISDR_AID, Identity, Options};
use aid_euicc::nvm::Memory;
use aid_rsp::cert::Certificate;
use aid_rsp::crypto::SoftwareCrypto;
use aid_rsp::pki::{MintParams, RspPki};
use aid_t1::{Apdus, BusError, Cip, Faults, HostError, I2cCard, I2cHost, SpiCard, SpiHost};
use embedded_hal::delay::DelayNs;
use std::sync::Arc;

struct Euicc(Card<Memory>);

impl Apdus for Euicc {
    fn reset(&mut self) {
        self.0.reset();
    }

    fn transmit(&mut self, apdu: &[u8]) -> Vec<u8> {
        self.0.transmit(apdu)
    }
}

struct NoDelay;

impl DelayNs for NoDelay {
    fn delay_ns(&mut self, _: u32) {}
}

const EID: [u8; 16] = [
    0x89, 0x04, 0x90, 0x32, 0x12, 0x34, 0x51, 0x23, 0x45, 0x12, 0x34, 0x56, 0x78, 0x90, 0x12, 0x35,
];

fn euicc() -> Euicc {
    let crypto = SoftwareCrypto::new();
    let params = MintParams::loopback(&EID, 1_700_000_000, 2_000_000_000);
    let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
    let pki = RspPki::mint(&params, &crypto, &mut rng).unwrap();
    let certificate = |der: &[u8]| Certificate::from_der(der).unwrap();
    let chain = Chain {
        euicc: certificate(&pki.euicc.certificate),
        eum: certificate(&pki.eum.certificate),
        key: pki.euicc.key.private.clone(),
    };
    let credentials = Credentials {
        chains: vec![chain],
        ci: vec![certificate(&pki.ci.certificate)],
    };
    let identity = Arc::new(Identity::new(EID, credentials, &crypto).unwrap());
    let crypto = Arc::new(crypto);
    let options = Options::default();
    Euicc(Card::new(Memory::new(), crypto, Box::new(rng), identity, options).unwrap())
}

type Exchange<'a> = &'a mut dyn FnMut(&[u8]) -> Option<Vec<u8>>;

/// What an LPA does first; a command whose fate is unknown is repeated, as these may be.
fn story(exchange: Exchange<'_>) {
    let mut sure = |apdu: &[u8]| (0..50).find_map(|_| exchange(apdu)).unwrap();
    let mut select = vec![0, 0xA4, 4, 0, 16];
    select.extend_from_slice(&ISDR_AID);
    assert!(sure(&select).ends_with(&[0x90, 0]));
    let eid = sure(&[0x80, 0xE2, 0x91, 0, 6, 0xBF, 0x3E, 3, 0x5C, 1, 0x5A]);
    assert_eq!(eid[5..21], EID);
    for _ in 0..100 {
        let info = sure(&[0x80, 0xE2, 0x91, 0, 3, 0xBF, 0x22, 0]);
        assert!(info.starts_with(&[0xBF, 0x22]) && info.len() > 100);
    }
}

fn answered<E>(result: Result<Vec<u8>, BusError<E>>) -> Option<Vec<u8>> {
    match result {
        Ok(answer) => Some(answer),
        Err(BusError::Protocol(HostError::Resynchronised | HostError::Lost)) => None,
        Err(_) => Some(Vec::new()),
    }
}

fn faults() -> Faults {
    Faults {
        wrong_bit: 12,
        lost: 20,
        slow: 6,
        seed: 3,
    }
}

#[test]
fn an_euicc_on_spi() {
    let card = SpiCard::new(euicc(), Cip::spi(), faults());
    let mut host = SpiHost::new(card, NoDelay);
    assert!((0..50).any(|_| host.open().is_ok()));
    story(&mut |apdu| answered(host.transmit(apdu)));
}

#[test]
fn an_euicc_on_i2c() {
    let card = I2cCard::new(euicc(), 0x48, Cip::i2c(), faults());
    let mut host = I2cHost::new(card, 0x48, NoDelay);
    assert!((0..50).any(|_| host.open().is_ok()));
    story(&mut |apdu| answered(host.transmit(apdu)));
}
