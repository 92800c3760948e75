//! Where an activation code may send a car: to a public SM-DP+, on its usual port (SGP.22 §4.1). An MSP that is mistaken, or
//! that somebody else has taken over, must not make cars look around in private networks. Resolving names is for the caller.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Domains that are nobody's on the Internet (RFC 6761, RFC 6762, RFC 8375, RFC 9476 and ICANN's `internal`).
const LOCAL: [&str; 6] = [
    "localhost",
    "local",
    "internal",
    "home.arpa",
    "onion",
    "alt",
];

/// Why an SM-DP+ is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotPublic {
    /// A port.
    #[error("its SM-DP+ address has a port")]
    Port,
    /// No name that the Internet can resolve.
    #[error("its SM-DP+ address is not a public host name")]
    Name,
    /// An address that is not public.
    #[error("its SM-DP+ address belongs to a private network")]
    Private,
}

/// Whether the text of an address may be that of a public SM-DP+.
///
/// # Errors
/// Why not.
pub fn check(address: &str) -> Result<(), NotPublic> {
    if address.contains(':') {
        return Err(NotPublic::Port);
    }
    let host = address.to_ascii_lowercase();
    let last = host.rsplit('.').next().unwrap_or_default();
    // What resolvers read as a number is an IPv4 address: 0x7f.1, 2130706433 (WHATWG URL, "ends in a number").
    let hexadecimal = |d: &str| d.bytes().all(|b| b.is_ascii_hexdigit());
    let number = last.bytes().all(|b| b.is_ascii_digit())
        || last.strip_prefix("0x").is_some_and(hexadecimal);
    let local = |domain: &str| {
        let rest = host.strip_suffix(domain);
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    if !host.contains('.') || number || LOCAL.into_iter().any(local) {
        return Err(NotPublic::Name);
    }
    Ok(())
}

/// Whether an address can be reached by everybody.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

/// The IANA registry of special addresses (RFC 6890).
fn is_public_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let protocols = a == 192 && b == 0 && c == 0;
    let benchmarks = a == 198 && (18..20).contains(&b);
    !(v4.is_private()
        || v4.is_loopback()
        || v4.is_link_local()
        || v4.is_documentation()
        || v4.is_multicast()
        || shared
        || protocols
        || benchmarks
        || a == 0
        || a >= 240)
}

fn is_public_v6(v6: Ipv6Addr) -> bool {
    let segments = v6.segments();
    // Those that carry an IPv4 address: 64:ff9b::/96 (RFC 6052), 2002::/16 (RFC 3056).
    if let [0x64, 0xff9b, 0, 0, 0, 0, high, low] = segments {
        return is_public_v4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    }
    if let [0x2002, high, low, ..] = segments {
        return is_public_v4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    }
    // 2000::/3 is what is routed; 2001:db8::/32 is for books, 2001::/23 for protocols.
    let documentation = segments[0] == 0x2001 && segments[1] == 0x0db8;
    let protocols = segments[0] == 0x2001 && segments[1] < 0x0200;
    segments[0] & 0xe000 == 0x2000 && !documentation && !protocols
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_names_without_port_pass() {
        for good in [
            "smdp.example.com",
            "a.b",
            "SMDP.Example.NET",
            "local.example.com",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            "localhost",
            "LOCALHOST",
            "a.localhost",
            "smdp",
            "printer.local",
            "cmp.internal",
            "nas.home.arpa",
            "0x7f.1",
            "127.0x1",
            "a.0x7f000001",
            "0x7f000001",
            "10.0x",
            "1.2.3.4",
        ] {
            assert_eq!(check(bad), Err(NotPublic::Name), "{bad}");
        }
        for bad in ["smdp.example.com:443", "localhost:8443"] {
            assert_eq!(check(bad), Err(NotPublic::Port), "{bad}");
        }
    }

    #[test]
    fn addresses_of_private_networks_are_told_from_public_ones() {
        for public in [
            "8.8.8.8",
            "172.32.0.1",
            "100.128.0.1",
            "2606:4700::1",
            "64:ff9b::808:808",
        ] {
            assert!(is_public(public.parse().expect("address")), "{public}");
        }
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "192.0.2.1",
            "::1",
            "::",
            "::ffff:10.0.0.1",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "2001:db8::1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
        ] {
            assert!(!is_public(private.parse().expect("address")), "{private}");
        }
    }
}
