//! Given a card that does what the protocol allows and no card should, when a host sends a command, then
//! every byte of it arrives once, and the request comes to an end.
// Helpers of tests are tests.
#![allow(clippy::unwrap_used, clippy::panic)]

use aid_t1::{
    Acknowledge, Block, Cip, Device, Host, HostError, I2cHost, NAD_TO_CARD, NAD_TO_HOST, Next, Pcb,
    Request, Step, Supervisory, crc16,
};
use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::{ErrorKind, ErrorType, I2c, NoAcknowledgeSource, Operation};
use proptest::prelude::*;

fn request(kind: Supervisory, inf: &[u8]) -> Vec<u8> {
    let response = false;
    let pcb = Pcb::S { kind, response };
    Block { pcb, inf }.encode(NAD_TO_HOST)
}

fn send(next: Result<Next, HostError>) -> Vec<u8> {
    match next {
        Ok(Next::Send(block)) => block,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_block_size_that_changes_under_way_loses_nothing() {
    for size in [[0x04], [0xFE]] {
        let command: Vec<u8> = (0..100).collect();
        let mut host = Host::new();
        let mut block = host.begin(Request::Apdu(&command));
        let (mut got, mut expected) = (Vec::new(), 0);
        loop {
            let piece = Block::decode(&block, NAD_TO_CARD).unwrap();
            let Pcb::I { ns, more } = piece.pcb else {
                panic!("{piece:?}")
            };
            assert_eq!(ns, expected);
            got.extend_from_slice(piece.inf);
            if !more {
                break;
            }
            // Before it acknowledges the piece, the card takes blocks of another size.
            send(host.received(&request(Supervisory::Ifs, &size)));
            expected ^= 1;
            let why = Acknowledge::Free;
            let pcb = Pcb::R { nr: expected, why };
            let acknowledged = Block { pcb, inf: &[] }.encode(NAD_TO_HOST);
            block = send(host.received(&acknowledged));
        }
        assert_eq!(got, command, "{size:02X?}");
    }
}

#[test]
fn a_card_that_wants_time_for_ever_is_given_up() {
    let mut host = Host::new();
    host.begin(Request::Apdu(&[0, 1, 2, 3]));
    let wants = request(Supervisory::Wtx, &[1]);
    let end = (0..100_000).find_map(|_| host.received(&wants).err());
    assert_eq!(end, Some(HostError::Lost));
}

/// A card that is there once, and then takes nothing any more.
struct Deaf(Vec<Vec<u8>>);

impl ErrorType for Deaf {
    type Error = ErrorKind;
}

impl I2c for Deaf {
    fn transaction(&mut self, _: u8, operations: &mut [Operation<'_>]) -> Result<(), ErrorKind> {
        let busy = ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address);
        for operation in operations {
            match (operation, self.0.first()) {
                (_, None) => return Err(busy),
                (Operation::Write(_), _) => {}
                (Operation::Read(into), Some(block)) => {
                    let n = into.len().min(block.len());
                    into[..n].copy_from_slice(&block[..n]);
                    self.0[0].drain(..n);
                    if self.0[0].is_empty() {
                        self.0.remove(0);
                    }
                }
            }
        }
        Ok(())
    }
}

struct NoDelay;

impl DelayNs for NoDelay {
    fn delay_ns(&mut self, _: u32) {}
}

/// The longest time that a card can ask for is more microseconds than 32 bits count.
#[test]
fn the_longest_patience_has_an_end() {
    let cip = Cip {
        bwt: 0xFFFF,
        ..Cip::i2c()
    };
    let (kind, response) = (Supervisory::Cip, true);
    let inf = &cip.encode()[..];
    let pcb = Pcb::S { kind, response };
    let parameters = Block { pcb, inf }.encode(NAD_TO_HOST);
    let card = Deaf(vec![parameters, request(Supervisory::Wtx, &[0xFF])]);
    let mut host = I2cHost::new(card, 0x48, NoDelay);
    host.open().unwrap();
    assert!(host.transmit(&[0, 1, 2, 3]).is_err());
}

/// A block with any control byte; every eighth one is damaged.
fn any_block(nad: u8, pcb: u8, inf: &[u8], damage: u8) -> Vec<u8> {
    let mut bytes = vec![nad, pcb];
    bytes.extend_from_slice(&(inf.len() as u16).to_be_bytes());
    bytes.extend_from_slice(inf);
    let crc = crc16(&bytes).to_be_bytes();
    bytes.extend_from_slice(&crc);
    if damage.is_multiple_of(8) {
        bytes.truncate(usize::from(damage));
    }
    bytes
}

proptest! {
    /// Whatever comes over the bus, both ends go on, and what they send and hand out is bounded.
    #[test]
    fn no_block_is_too_much_for_an_end(blocks in proptest::collection::vec(
        (prop_oneof![any::<u8>(), Just(0x00), Just(0x20), Just(0x40), Just(0x60), Just(0xC1), Just(0xC3), Just(0xE0)],
         proptest::collection::vec(any::<u8>(), 0..6), any::<u8>()), 0..120)
    ) {
        let mut device = Device::new(Cip::spi());
        let mut host = Host::new();
        let command = [0x80, 0xE2, 0x91, 0, 3, 0xBF, 0x2E, 0, 0];
        host.begin(Request::Apdu(&command));
        for (pcb, inf, damage) in blocks {
            match device.block(&any_block(NAD_TO_CARD, pcb, &inf, damage)) {
                Step::Send(block) | Step::Reset(block) => prop_assert!(block.len() <= 4096),
                Step::Execute(apdu) if damage & 1 == 0 => {
                    prop_assert!(apdu.len() <= 120 * 6);
                    device.answer(&[0x90; 300]);
                }
                Step::Execute(_) => drop(device.extend(damage)),
                Step::Continue => drop(device.answer(&[0x90, 0])),
                Step::Silent => {}
            }
            match host.received(&any_block(NAD_TO_HOST, pcb, &inf, damage)) {
                Ok(Next::Send(block)) => prop_assert!(Block::decode(&block, NAD_TO_CARD).is_ok()),
                Ok(Next::Done(answer)) => {
                    prop_assert!(answer.len() <= 120 * 6);
                    host.begin(Request::Apdu(&command));
                }
                Err(_) => drop(host.begin(Request::Parameters)),
            }
            prop_assert!(u64::from(host.patience()) * 1000 <= 65_535 * 255 * 1000);
        }
    }
}
