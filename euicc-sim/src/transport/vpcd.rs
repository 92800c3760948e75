//! vpcd's protocol, see [`crate::frame`]: as a server for sockets and for vpcd's reverse mode, and as
//! the card that connects to a vpcd.

use super::listen::Stream;
use crate::frame;
use crate::served::{Host, Served};
use crate::trace;
use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

/// Time between two attempts to reach vpcd.
const AGAIN: Duration = Duration::from_millis(500);

/// Serves one client until it goes.
pub(crate) fn talk(stream: &mut dyn Stream, card: &Served) -> io::Result<()> {
    let host = Host::new(card);
    while let Some(request) = frame::read(stream)? {
        match request[..] {
            [] => return Err(io::ErrorKind::InvalidData.into()),
            [frame::ATR] => frame::write(stream, &host.atr()?)?,
            [control @ (frame::OFF | frame::ON | frame::RESET)] => {
                host.reset(trace::control(control))?;
            }
            [control] => tracing::debug!(control, "unknown control code"),
            _ => frame::write(stream, &host.transmit(&request)?)?,
        }
    }
    Ok(())
}

/// Answer to reset of a card that can do nothing.
const BLANK: [u8; 2] = [0x3B, 0x00];

/// Serves one client a card that can do nothing: what is in vpcd's second reader.
pub(crate) fn blank(stream: &mut dyn Stream, _: &Served) -> io::Result<()> {
    while let Some(request) = frame::read(stream)? {
        match request[..] {
            [] => return Err(io::ErrorKind::InvalidData.into()),
            [frame::ATR] => frame::write(stream, &BLANK)?,
            [_] => {}
            _ => frame::write(stream, &[0x6D, 0x00])?,
        }
    }
    Ok(())
}

/// Is the card of the vpcd at an address until the card is stopped: where nobody listens, it tries again.
pub(crate) fn connect(address: &str, card: &Arc<Served>) {
    let mut told = false;
    loop {
        match TcpStream::connect(address) {
            Ok(mut stream) => {
                tracing::info!(vpcd = address, "in the reader");
                told = false;
                let end = stream
                    .set_nodelay(true)
                    .and_then(|()| talk(&mut stream, card));
                match end {
                    Ok(()) => tracing::info!(vpcd = address, "the reader has gone"),
                    Err(e) => tracing::info!(vpcd = address, "the reader has gone: {e}"),
                }
            }
            Err(error) if !told => {
                tracing::warn!(
                    "no vpcd at {address}: {error}; trying again until pcscd with vpcd runs there"
                );
                told = true;
            }
            Err(_) => {}
        }
        if card.is_stopped_within(AGAIN) {
            return;
        }
    }
}
