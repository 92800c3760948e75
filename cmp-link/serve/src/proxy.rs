//! The PROXY header, versions 1 and 2, by which a load balancer says where a client is (the PROXY protocol,
//! haproxy.org/download/2.9/doc/proxy-protocol.txt, §2). It comes before the first byte of TLS.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// How a header of version 2 begins.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Longest line of version 1, bytes.
const LINE: usize = 107;
/// Longest addresses and additions of version 2 that are read, bytes.
const BLOCK: usize = 1024;

fn malformed() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "the load balancer sent no PROXY header, or a malformed one",
    )
}

/// Reads the header and nothing behind it. `None`: the connection is the load balancer's own, such as a health check.
///
/// # Errors
/// The header is missing, malformed or longer than is read, or the connection failed.
pub(crate) async fn client(
    stream: &mut (impl AsyncRead + Unpin),
) -> io::Result<Option<SocketAddr>> {
    let mut start = [0; 12];
    stream.read_exact(&mut start).await?;
    if start == *SIGNATURE {
        return binary(stream).await;
    }
    let mut line = start.to_vec();
    while !line.ends_with(b"\r\n") {
        if line.len() >= LINE {
            return Err(malformed());
        }
        line.push(stream.read_u8().await?);
    }
    text(&line).ok_or_else(malformed)
}

/// Version 1: one line.
fn text(line: &[u8]) -> Option<Option<SocketAddr>> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix("\r\n")?;
    let mut words = line.strip_prefix("PROXY ")?.split(' ');
    let family = words.next()?;
    if family == "UNKNOWN" {
        return Some(None);
    }
    let source: IpAddr = words.next()?.parse().ok()?;
    let target: IpAddr = words.next()?.parse().ok()?;
    let port = words.next()?.parse().ok()?;
    words.next()?.parse::<u16>().ok()?;
    let fits = match family {
        "TCP4" => source.is_ipv4() && target.is_ipv4(),
        "TCP6" => source.is_ipv6() && target.is_ipv6(),
        _ => false,
    };
    (fits && words.next().is_none()).then(|| Some(SocketAddr::new(source, port)))
}

/// Version 2, after the signature.
async fn binary(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<SocketAddr>> {
    let (command, family) = (stream.read_u8().await?, stream.read_u8().await?);
    let length = usize::from(stream.read_u16().await?);
    if length > BLOCK {
        return Err(malformed());
    }
    let mut block = vec![0; length];
    stream.read_exact(&mut block).await?;
    match (command, family) {
        // LOCAL
        (0x20, _) => Ok(None),
        // PROXY over TCP
        (0x21, 0x11) => four(&block).ok_or_else(malformed).map(Some),
        (0x21, 0x21) => six(&block).ok_or_else(malformed).map(Some),
        _ => Err(malformed()),
    }
}

/// Source address, target address, source port, target port.
fn four(block: &[u8]) -> Option<SocketAddr> {
    let source: [u8; 4] = block.get(..4)?.try_into().ok()?;
    let port = block.get(8..12)?.first_chunk()?;
    Some(SocketAddr::new(
        Ipv4Addr::from(source).into(),
        u16::from_be_bytes(*port),
    ))
}

fn six(block: &[u8]) -> Option<SocketAddr> {
    let source: [u8; 16] = block.get(..16)?.try_into().ok()?;
    let port = block.get(32..36)?.first_chunk()?;
    Some(SocketAddr::new(
        Ipv6Addr::from(source).into(),
        u16::from_be_bytes(*port),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(header: &[u8]) -> Result<Option<SocketAddr>, io::ErrorKind> {
        let whole = [header, b"\x16\x03\x01"].concat();
        let mut rest = whole.as_slice();
        let client = client(&mut rest).await.map_err(|e| e.kind())?;
        assert_eq!(rest, b"\x16\x03\x01", "the handshake must be left");
        Ok(client)
    }

    fn two(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let length = u16::try_from(block.len()).expect("length").to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, block].concat()
    }

    #[tokio::test]
    async fn both_versions_name_the_client() {
        let at = |text: &str| Ok(Some(text.parse().expect("address")));
        let line = b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n";
        assert_eq!(read(line).await, at("192.0.2.1:56324"));
        let line = b"PROXY TCP6 2001:db8::1 2001:db8::2 1 443\r\n";
        assert_eq!(read(line).await, at("[2001:db8::1]:1"));
        assert_eq!(read(b"PROXY UNKNOWN\r\n").await, Ok(None));
        let block = [192, 0, 2, 1, 198, 51, 100, 1, 0, 80, 1, 187, 3, 0, 0];
        assert_eq!(read(&two(0x21, 0x11, &block)).await, at("192.0.2.1:80"));
        let mut block = [0; 36];
        (block[15], block[33]) = (7, 9);
        assert_eq!(read(&two(0x21, 0x21, &block)).await, at("[::7]:9"));
        assert_eq!(read(&two(0x20, 0, &[])).await, Ok(None));
    }

    #[tokio::test]
    async fn anything_else_is_an_error_and_is_not_read_for_ever() {
        for line in [
            "PROXY TCP4 192.0.2.1 198.51.100.1 56324\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 1\r\n",
            "PROXY TCP4 2001:db8::1 2001:db8::2 1 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 65536 443\r\n",
            "PROXY UDP4 192.0.2.1 198.51.100.1 1 443\r\n",
            "GET / HTTP/1.1\r\n",
        ] {
            assert_eq!(read(line.as_bytes()).await, Err(io::ErrorKind::InvalidData));
        }
        let endless = [b"PROXY TCP4 ".as_slice(), &[b'1'; 500]].concat();
        assert_eq!(read(&endless).await, Err(io::ErrorKind::InvalidData));
        for wrong in [
            two(0x21, 0x11, &[1; 11]),
            two(0x21, 0x12, &[1; 12]),
            two(0x31, 0x11, &[1; 12]),
            two(0x21, 0x11, &[1; BLOCK + 1]),
        ] {
            assert_eq!(read(&wrong).await, Err(io::ErrorKind::InvalidData));
        }
    }
}
