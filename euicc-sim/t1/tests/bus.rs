//! Given a card on a simulated SPI or I2C bus, when a host sends APDUs over it, then each is executed
//! once and answered, whatever the bus does to the blocks.
// Helpers of tests are tests.
#![allow(clippy::unwrap_used, clippy::panic, clippy::needless_pass_by_value)]

use aid_t1::{
    Apdus, BusError, Cip, Faults, HostError, I2cCard, I2cHost, MAX_IFS, Physical, SpiCard, SpiHost,
};
use embedded_hal::delay::DelayNs;
use proptest::prelude::*;

/// Answers with the command backwards and how many there were.
#[derive(Default)]
struct Echo {
    commands: Vec<Vec<u8>>,
    resets: u32,
}

impl Apdus for Echo {
    fn reset(&mut self) {
        self.resets += 1;
    }

    fn transmit(&mut self, apdu: &[u8]) -> Vec<u8> {
        self.commands.push(apdu.to_vec());
        apdu.iter().rev().copied().chain([0x90, 0x00]).collect()
    }
}

/// No time passes here.
struct NoDelay;

impl DelayNs for NoDelay {
    fn delay_ns(&mut self, _: u32) {}
}

const ADDRESS: u8 = 0x48;

enum Host {
    Spi(SpiHost<SpiCard<Echo>, NoDelay>),
    I2c(I2cHost<I2cCard<Echo>, NoDelay>),
}

type Answer<T> = Result<T, HostError>;

fn protocol<E>(error: BusError<E>) -> HostError {
    match error {
        BusError::Protocol(error) => error,
        BusError::Bus(_) => panic!("the bus has no errors of its own"),
    }
}

impl Host {
    fn new(spi: bool, faults: Faults) -> Self {
        let echo = Echo::default();
        if spi {
            Self::Spi(SpiHost::new(
                SpiCard::new(echo, Cip::spi(), faults),
                NoDelay,
            ))
        } else {
            let card = I2cCard::new(echo, ADDRESS, Cip::i2c(), faults);
            Self::I2c(I2cHost::new(card, ADDRESS, NoDelay))
        }
    }

    fn open(&mut self) -> Answer<Cip> {
        match self {
            Self::Spi(host) => host.open().map_err(protocol),
            Self::I2c(host) => host.open().map_err(protocol),
        }
    }

    fn transmit(&mut self, apdu: &[u8]) -> Answer<Vec<u8>> {
        match self {
            Self::Spi(host) => host.transmit(apdu).map_err(protocol),
            Self::I2c(host) => host.transmit(apdu).map_err(protocol),
        }
    }

    fn reset(&mut self) -> Answer<()> {
        match self {
            Self::Spi(host) => host.reset().map_err(protocol),
            Self::I2c(host) => host.reset().map_err(protocol),
        }
    }

    fn block_size(&mut self, size: u16) -> Answer<()> {
        match self {
            Self::Spi(host) => host.block_size(size).map_err(protocol),
            Self::I2c(host) => host.block_size(size).map_err(protocol),
        }
    }

    fn card(self) -> Echo {
        match self {
            Self::Spi(host) => host.into_inner().into_inner(),
            Self::I2c(host) => host.into_inner().into_inner(),
        }
    }
}

fn reversed(apdu: &[u8]) -> Vec<u8> {
    apdu.iter().rev().copied().chain([0x90, 0x00]).collect()
}

#[test]
fn apdus_of_every_length_pass_a_quiet_bus() {
    for spi in [true, false] {
        let mut host = Host::new(spi, Faults::default());
        let cip = host.open().unwrap();
        assert_eq!(matches!(cip.physical, Physical::Spi { .. }), spi);
        for size in [None, Some(1), Some(300), Some(MAX_IFS)] {
            if let Some(size) = size {
                host.block_size(size).unwrap();
            }
            for len in [1, 4, 5, 252, 253, 254, 255, 261, 508, 700] {
                let apdu: Vec<u8> = (0..len).map(|n| n as u8).collect();
                assert_eq!(host.transmit(&apdu), Ok(reversed(&apdu)), "{size:?} {len}");
            }
        }
        host.reset().unwrap();
        assert_eq!(host.transmit(&[1, 2]), Ok(reversed(&[1, 2])));
        let long = vec![7; 65_536];
        assert_eq!(host.transmit(&long).map(|a| a.len()), Ok(65_538));
        let card = host.card();
        assert_eq!((card.commands.len(), card.resets), (42, 1));
    }
}

#[test]
fn before_the_parameters_blocks_are_small() {
    // A host that skips open still works: it takes the default size for what it sends.
    let mut host = Host::new(true, Faults::default());
    let apdu = [9; 40];
    assert_eq!(host.transmit(&apdu), Ok(reversed(&apdu)));
}

#[test]
fn a_card_that_is_slow_gets_time() {
    for spi in [true, false] {
        let slow = 1;
        let mut host = Host::new(
            spi,
            Faults {
                slow,
                ..Faults::default()
            },
        );
        host.open().unwrap();
        let apdu = [3; 600];
        assert_eq!(host.transmit(&apdu), Ok(reversed(&apdu)));
        assert_eq!(host.card().commands.len(), 1);
    }
}

#[test]
fn a_dead_bus_is_told() {
    for spi in [true, false] {
        let lost = 1;
        let mut host = Host::new(
            spi,
            Faults {
                lost,
                ..Faults::default()
            },
        );
        assert_eq!(host.open(), Err(HostError::Lost));
        assert_eq!(host.transmit(&[0, 0xA4, 0, 0]), Err(HostError::Lost));
    }
}

/// Sends APDUs over a bad bus and looks at what the card has executed.
fn run(spi: bool, faults: Faults, lengths: Vec<usize>) -> Result<(), TestCaseError> {
    let mut host = Host::new(spi, faults);
    // The first contact may fail on such a bus; a host tries again.
    let opened = (0..20).find_map(|_| host.open().ok());
    prop_assert!(opened.is_some());
    let mut sent = Vec::new();
    let mut certain = Vec::new();
    for (number, len) in lengths.into_iter().enumerate() {
        let apdu = vec![number as u8; len];
        match host.transmit(&apdu) {
            Ok(answer) => {
                prop_assert_eq!(&answer, &reversed(&apdu));
                certain.push(apdu.clone());
            }
            // Then nobody knows; but it was not executed twice.
            Err(HostError::Resynchronised | HostError::Lost) => {}
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        }
        sent.push(apdu);
    }
    let executed = host.card().commands;
    for apdu in &certain {
        prop_assert_eq!(executed.iter().filter(|e| *e == apdu).count(), 1);
    }
    for apdu in &sent {
        prop_assert!(executed.iter().filter(|e| *e == apdu).count() <= 1);
    }
    prop_assert!(executed.iter().all(|e| sent.contains(e)));
    Ok(())
}

/// The card has taken S(RESYNCH), its answer got lost: the host does not know. The next command's
/// first piece is then refused, which must not look as if it had been acknowledged.
#[test]
fn after_a_lost_card_the_next_command_is_executed_whole() {
    let faults = Faults {
        wrong_bit: 5,
        lost: 6,
        slow: 0,
        seed: 2_744_991_382_593_552_620,
    };
    let lengths = vec![1, 509, 507, 509, 509, 509, 253, 1, 255, 255];
    run(false, faults, lengths).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Bits are wrong, blocks get lost, the card needs time: what comes back is right, and what was
    /// executed was executed once.
    #[test]
    fn nothing_is_executed_twice_or_answered_wrongly(
        spi: bool,
        seed: u64,
        wrong_bit in prop_oneof![Just(0_u32), 4_u32..40],
        lost in prop_oneof![Just(0_u32), 4_u32..40],
        slow in 0_u32..5,
        lengths in prop::collection::vec(1_usize..900, 1..20),
    ) {
        let faults = Faults { wrong_bit, lost, slow, seed };
        run(spi, faults, lengths)?;
    }
}
