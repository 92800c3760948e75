//! Framing of vpcd: two bytes of length, big-endian, then a payload. One byte is a control code,
//! anything longer an APDU. Used by server and client.

use aid_cli::cli::Failure;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Power off.
pub(crate) const OFF: u8 = 0x00;
/// Power on.
pub(crate) const ON: u8 = 0x01;
/// Reset.
pub(crate) const RESET: u8 = 0x02;
/// Ask for the answer to reset; the only control code that is answered.
pub(crate) const ATR: u8 = 0x04;

/// The card answers within this time, or is not one.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A connection to a served card.
pub(crate) trait Connection: Read + Write {}
impl<T: Read + Write> Connection for T {}

/// Is this the path of a unix socket, instead of HOST:PORT? It has a slash, or no colon.
pub(crate) fn is_path(address: &str) -> bool {
    address.contains('/') || !address.contains(':')
}

/// Is it a host and a port, the host not empty, an IPv6 address in brackets?
pub(crate) fn is_host_port(address: &str) -> bool {
    let Some((host, port)) = address.rsplit_once(':') else {
        return false;
    };
    let bracketed = host.starts_with('[') && host.ends_with(']');
    let named = !host.is_empty() && !host.contains([':', '/']);
    (bracketed || named) && port.parse::<u16>().is_ok()
}

/// Connects to a card at HOST:PORT, or at the path of a unix socket (see [`is_path`]).
///
/// # Errors
/// A sentence that names the address.
pub(crate) fn connect(address: &str) -> Result<Box<dyn Connection>, Failure> {
    let connected = || -> io::Result<Box<dyn Connection>> {
        if is_path(address) {
            let stream = UnixStream::connect(address)?;
            stream.set_read_timeout(Some(TIMEOUT))?;
            return Ok(Box::new(stream));
        }
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        Ok(Box::new(stream))
    };
    connected().map_err(|e| {
        Failure::new(format!(
            "cannot reach a card at {address}: {e}; is euicc-sim serve running there?"
        ))
    })
}

/// Reads a payload; `None` when the peer has closed between two of them.
pub(crate) fn read(from: &mut (impl Read + ?Sized)) -> io::Result<Option<Vec<u8>>> {
    let mut len = [0; 2];
    match from.read(&mut len)? {
        0 => return Ok(None),
        1 => from.read_exact(&mut len[1..])?,
        _ => {}
    }
    let mut payload = vec![0; usize::from(u16::from_be_bytes(len))];
    from.read_exact(&mut payload)?;
    Ok(Some(payload))
}

/// Writes a payload of at most 65535 bytes in one piece.
pub(crate) fn write(to: &mut (impl Write + ?Sized), payload: &[u8]) -> io::Result<()> {
    let len = u16::try_from(payload.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut frame = Vec::with_capacity(payload.len() + 2);
    frame.extend_from_slice(&len.to_be_bytes());
    frame.extend_from_slice(payload);
    to.write_all(&frame)
}
