//! TCP ports for the parts of a set-up: a block that nobody else takes while the set-up is in use, not
//! even between a part's end and its next start.

use aid_cli::cli::Failure;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::RangeInclusive;

/// Ports of one block; the first marks the block as taken.
pub(super) const BLOCK: u16 = 32;
/// Where the kernel takes ports for connections from, when it does not say or leaves hardly any other:
/// Linux's default.
const EPHEMERAL_START: u16 = 32_768;
/// Below are the ports that services of a machine are known by.
const FIRST: u16 = 10_240;

/// TCP ports on 127.0.0.1.
#[derive(Debug)]
pub(crate) struct Ports {
    pub(crate) euicc: u16,
    pub(crate) es9: u16,
    pub(crate) es2: u16,
    pub(crate) msp_aid1: u16,
    pub(crate) touchpoint: u16,
    pub(crate) cmp_aid1: u16,
    pub(crate) portal: u16,
    pub(crate) gateway: u16,
    /// Holds the block's first port, so that no other set-up takes the block.
    _mark: TcpListener,
}

impl Ports {
    /// A block of which every port is free, and from it `more` ports for further cards.
    ///
    /// # Errors
    /// There is no such block, or a set-up has not so many ports.
    pub(crate) fn free(more: usize) -> Result<(Self, Vec<u16>), Failure> {
        let (mark, mut ports) = block(u64::from_le_bytes(super::random::bytes()?))
            .ok_or_else(|| Failure::new(format!("no {BLOCK} free ports in a row on 127.0.0.1")))?;
        let mut next = || {
            let port = ports.next();
            port.ok_or_else(|| Failure::new(format!("a set-up has no more than {BLOCK} ports")))
        };
        let ports = Self {
            euicc: next()?,
            es9: next()?,
            es2: next()?,
            msp_aid1: next()?,
            touchpoint: next()?,
            cmp_aid1: next()?,
            portal: next()?,
            gateway: next()?,
            _mark: mark,
        };
        let cards = (0..more).map(|_| next()).collect::<Result<_, _>>()?;
        Ok((ports, cards))
    }
}

/// The first free block, looked for from a random one on, so that sets-up made at once seldom meet.
fn block(random: u64) -> Option<(TcpListener, RangeInclusive<u16>)> {
    let blocks = u64::from((ephemeral_start() - FIRST) / BLOCK);
    (0..blocks).find_map(|n| {
        let nth = u16::try_from((random % blocks + n) % blocks).ok()?;
        let first = FIRST + nth * BLOCK;
        let mark = bind(first)?;
        let ports = first + 1..=first + (BLOCK - 1);
        ports
            .clone()
            .all(|port| bind(port).is_some())
            .then_some((mark, ports))
    })
}

fn bind(port: u16) -> Option<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()
}

/// From here on the kernel gives ports to connections that go out: a port there that was free a moment
/// ago may be the other end of somebody's request when a part comes to listen on it.
fn ephemeral_start() -> u16 {
    std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|range| range.split_whitespace().next()?.parse().ok())
        .filter(|start| *start >= FIRST + 100 * BLOCK)
        .unwrap_or(EPHEMERAL_START)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    #[test]
    fn a_block_is_taken_once_and_lies_below_the_ports_of_connections() {
        let (first, cards) = Ports::free(3).unwrap();
        assert_eq!(cards.len(), 3);
        assert!(cards.iter().all(|port| *port < ephemeral_start()));
        // The same place to look from: the block is taken, the next is found.
        let base = u64::from((first.euicc - 1 - FIRST) / BLOCK);
        let (_mark, ports) = block(base).unwrap();
        assert!(!ports.contains(&first.euicc));
        assert!(Ports::free(usize::from(BLOCK)).is_err());
    }
}
