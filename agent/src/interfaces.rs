//! Tells when a network interface begins or stops to carry packets (rtnetlink, RFC 3549), so that a bearer that is gone is
//! left at once and one that is back is tried without a pause.
//!
//! Where the kernel or a sandbox gives no such socket, nothing is ever told: silence on the link is noticed all the same,
//! only later.

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};
use std::io;
use std::os::fd::OwnedFd;
use tokio::io::unix::AsyncFd;

/// Multicast group of link messages (RTMGRP_LINK).
const LINKS: u32 = 1;
/// A link was added or has changed.
const RTM_NEWLINK: u16 = 16;
/// A link was removed.
const RTM_DELLINK: u16 = 17;
/// Bytes of a netlink header, and of the `ifinfomsg` behind it.
const HEADER: usize = 16;
/// Attribute with the interface's name.
const IFLA_IFNAME: u16 = 3;
/// Administratively up.
const IFF_UP: u32 = 1;
/// Operationally up: it has a carrier.
const IFF_RUNNING: u32 = 1 << 6;
/// Largest datagram that is read, bytes; a longer one loses its end.
const MAX_DATAGRAM: usize = 8 << 10;

/// What became of an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// Its name.
    pub(crate) name: String,
    /// Is it up, with a carrier?
    pub(crate) carries: bool,
}

/// Changes of all interfaces from now on.
pub(crate) struct Interfaces(Option<AsyncFd<OwnedFd>>);

impl Interfaces {
    /// Begins to listen.
    pub(crate) fn new() -> Self {
        match open() {
            Ok(socket) => Self(Some(socket)),
            Err(error) => {
                tracing::debug!(%error, "changes of network interfaces are not told");
                Self(None)
            }
        }
    }

    /// The next changes, at least one. A kernel that had to drop some tells of later ones.
    pub(crate) async fn next(&self) -> Vec<Change> {
        let Some(socket) = &self.0 else {
            return std::future::pending().await;
        };
        loop {
            let Ok(mut ready) = socket.readable().await else {
                return std::future::pending().await;
            };
            let mut datagram = vec![0; MAX_DATAGRAM];
            let read = ready.try_io(|socket| {
                let read = recv(socket, &mut datagram[..], RecvFlags::DONTWAIT);
                read.map(|(_, length)| length).map_err(io::Error::from)
            });
            let Ok(Ok(length)) = read else {
                continue;
            };
            let changes = changes(datagram.get(..length).unwrap_or(&datagram));
            if !changes.is_empty() {
                return changes;
            }
        }
    }
}

fn open() -> io::Result<AsyncFd<OwnedFd>> {
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?;
    bind(&socket, &SocketAddrNetlink::new(0, LINKS))?;
    #[allow(
        deprecated,
        reason = "the sound constructor is unsafe to call; we own the descriptor as long as it is registered"
    )]
    AsyncFd::new(socket)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_ne_bytes(bytes.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

/// Netlink's parts begin at multiples of four bytes.
const fn aligned(length: usize) -> usize {
    length.div_ceil(4) * 4
}

/// The changes in a datagram of netlink messages; parts that are malformed end it.
fn changes(mut datagram: &[u8]) -> Vec<Change> {
    let mut changes = Vec::new();
    while let (Some(length), Some(kind)) = (u32_at(datagram, 0), u16_at(datagram, 4)) {
        let length = length as usize;
        let Some(body) = datagram.get(HEADER..length) else {
            break;
        };
        if let RTM_NEWLINK | RTM_DELLINK = kind
            && let (Some(flags), Some(name)) = (u32_at(body, 8), name(body))
        {
            let carries = kind == RTM_NEWLINK && flags & IFF_UP != 0 && flags & IFF_RUNNING != 0;
            changes.push(Change { name, carries });
        }
        datagram = datagram.get(aligned(length)..).unwrap_or_default();
    }
    changes
}

/// The name among the attributes behind an `ifinfomsg`.
fn name(body: &[u8]) -> Option<String> {
    let mut attributes = body.get(HEADER..)?;
    loop {
        let length = usize::from(u16_at(attributes, 0)?);
        let kind = u16_at(attributes, 2)?;
        let value = attributes.get(4..length)?;
        if kind == IFLA_IFNAME {
            let end = value.iter().position(|b| *b == 0).unwrap_or(value.len());
            return Some(String::from_utf8_lossy(value.get(..end)?).into_owned());
        }
        attributes = attributes.get(aligned(length)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend((4 + value.len() as u16).to_ne_bytes());
        out.extend(kind.to_ne_bytes());
        out.extend(value);
        out.resize(aligned(out.len()), 0);
        out
    }

    fn message(kind: u16, flags: u32, name: &str) -> Vec<u8> {
        let mut body = vec![0; 8];
        body.extend(flags.to_ne_bytes());
        body.extend([0; 4]);
        body.extend(attribute(4, &1500_u32.to_ne_bytes()));
        body.extend(attribute(IFLA_IFNAME, format!("{name}\0").as_bytes()));
        let mut out = Vec::new();
        out.extend(((HEADER + body.len()) as u32).to_ne_bytes());
        out.extend(kind.to_ne_bytes());
        out.extend([0; 10]);
        out.extend(body);
        out
    }

    #[test]
    fn links_that_go_and_come_are_told_by_name() {
        let mut datagram = message(RTM_NEWLINK, IFF_UP | IFF_RUNNING, "wwan0");
        datagram.extend(message(24, IFF_UP, "a-route-is-no-link"));
        datagram.extend(message(RTM_NEWLINK, IFF_UP, "wlan0"));
        datagram.extend(message(RTM_DELLINK, IFF_UP | IFF_RUNNING, "usb0"));
        let told: Vec<_> = changes(&datagram)
            .into_iter()
            .map(|change| (change.name, change.carries))
            .collect();
        let expected = [("wwan0", true), ("wlan0", false), ("usb0", false)];
        assert_eq!(
            told,
            expected.map(|(name, carries)| (name.to_owned(), carries))
        );
    }

    #[test]
    fn whatever_is_cut_or_changed_ends_without_a_panic_or_a_loop() {
        let mut datagram = message(RTM_NEWLINK, IFF_UP | IFF_RUNNING, "wwan0");
        datagram.extend(message(RTM_NEWLINK, IFF_UP, "wlan0"));
        for end in 0..datagram.len() {
            assert!(changes(&datagram[..end]).len() <= 2);
        }
        for at in 0..datagram.len() {
            for value in [0, 1, 4, 0x7F, 0xFF] {
                let mut other = datagram.clone();
                other[at] = value;
                assert!(changes(&other).len() <= datagram.len() / HEADER);
            }
        }
    }
}
