//! A card behind a TCP or unix socket, in the framing of vsmartcard's vpcd: a 16-bit big-endian
//! length, then that many bytes; one byte is a control (power off 00, on 01, reset 02, ATR 04).

use crate::address::socket_is_path;
use crate::apdu::{Apdu, MAX_RESPONSE, TransportError};
use crate::table::Timing;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;

const POWER_ON: u8 = 0x01;
const RESET: u8 = 0x02;
const GET_ATR: u8 = 0x04;

trait Stream: Read + Write + Send {}
impl<S: Read + Write + Send> Stream for S {}

/// A card at `HOST:PORT` or at a path. Connects when needed, again after a break.
pub struct SocketCard {
    address: String,
    timing: Timing,
    stream: Option<Box<dyn Stream>>,
}

impl std::fmt::Debug for SocketCard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SocketCard({})", self.address)
    }
}

impl SocketCard {
    /// A card at this address; nothing is connected yet.
    #[must_use]
    pub fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            timing: Timing::default(),
            stream: None,
        }
    }

    /// Takes other time limits.
    #[must_use]
    pub const fn with_timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }

    fn connect(&mut self) -> Result<&mut Box<dyn Stream>, TransportError> {
        let stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let mut stream = open(&self.address, &self.timing).map_err(|source| {
                    TransportError::Connect {
                        address: self.address.clone(),
                        source,
                    }
                })?;
                write_frame(&mut stream, &[POWER_ON]).map_err(|e| self.broken(e))?;
                stream
            }
        };
        Ok(self.stream.insert(stream))
    }

    fn broken(&self, source: io::Error) -> TransportError {
        TransportError::Broken {
            address: self.address.clone(),
            source,
        }
    }

    /// Writes frames and reads one; a break drops the connection.
    fn exchange(&mut self, frames: &[&[u8]]) -> Result<Vec<u8>, TransportError> {
        let stream = self.connect()?;
        let result = frames
            .iter()
            .try_for_each(|frame| write_frame(stream, frame))
            .and_then(|()| read_frame(stream));
        result.map_err(|e| {
            self.stream = None;
            self.broken(e)
        })
    }
}

fn open(address: &str, timing: &Timing) -> io::Result<Box<dyn Stream>> {
    if socket_is_path(address) {
        let stream = UnixStream::connect(address)?;
        stream.set_read_timeout(Some(timing.answer))?;
        stream.set_write_timeout(Some(timing.answer))?;
        return Ok(Box::new(stream));
    }
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for to in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&to, timing.connect) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(timing.answer))?;
                stream.set_write_timeout(Some(timing.answer))?;
                return Ok(Box::new(stream));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn write_frame(stream: &mut dyn Stream, payload: &[u8]) -> io::Result<()> {
    let length = u16::try_from(payload.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut frame = Vec::with_capacity(2 + payload.len());
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(payload);
    stream.write_all(&frame)?;
    stream.flush()
}

fn read_frame(stream: &mut dyn Stream) -> io::Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut payload = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut payload)?;
    Ok(payload)
}

impl Apdu for SocketCard {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        let answer = self.exchange(&[command])?;
        if (2..=MAX_RESPONSE).contains(&answer.len()) {
            return Ok(answer);
        }
        // The peer speaks something else: what comes next can't be trusted either.
        self.stream = None;
        Err(TransportError::Length {
            address: self.address.clone(),
            got: answer.len(),
        })
    }

    fn reset(&mut self) -> Result<Vec<u8>, TransportError> {
        self.exchange(&[&[RESET], &[GET_ATR]])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;
    use std::thread;

    /// Serves one connection: collects what comes, answers from the list, then closes.
    fn serve(
        mut stream: impl Read + Write + Send + 'static,
        answers: Vec<Vec<u8>>,
    ) -> Vec<Vec<u8>> {
        let mut seen = Vec::new();
        for answer in answers {
            loop {
                let frame = read_frame(&mut stream).expect("frame");
                let silent = matches!(frame[..], [POWER_ON | RESET]);
                seen.push(frame);
                if !silent {
                    break;
                }
            }
            stream
                .write_all(&(answer.len() as u16).to_be_bytes())
                .expect("length");
            stream.write_all(&answer).expect("answer");
        }
        seen
    }

    #[test]
    fn commands_and_reset_over_tcp_with_a_new_connection_after_a_break() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = listener.local_addr().expect("address").to_string();
        let server = thread::spawn(move || {
            let answers = [
                vec![vec![0x90, 0x00], vec![0x3B, 0x00]],
                vec![vec![0x6A, 0x82]],
            ];
            answers.map(|list| serve(listener.accept().expect("accept").0, list))
        });
        let mut card = SocketCard::new(&address);
        assert_eq!(card.transmit(&[0, 1, 2, 3]).expect("answer"), [0x90, 0x00]);
        assert_eq!(card.reset().expect("ATR"), [0x3B, 0x00]);
        let error = card.transmit(&[9; 5]).expect_err("closed").to_string();
        assert!(error.contains(&address), "{error}");
        assert_eq!(card.transmit(&[7; 5]).expect("again"), [0x6A, 0x82]);
        let [first, second] = server.join().expect("server");
        assert_eq!(first, [vec![1], vec![0, 1, 2, 3], vec![2], vec![4]]);
        assert_eq!(second, [vec![1], vec![7; 5]]);
    }

    #[test]
    fn a_peer_that_speaks_something_else_is_refused() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("card");
        let listener = UnixListener::bind(&path).expect("bind");
        let server = thread::spawn(move || {
            for answer in [vec![0x90], vec![]] {
                serve(listener.accept().expect("accept").0, vec![answer]);
            }
        });
        let mut card = SocketCard::new(path.to_str().expect("path"));
        for got in [1, 0] {
            let error = card.transmit(&[0; 4]).expect_err("refused").to_string();
            assert!(error.contains(&format!("{got} bytes")), "{error}");
        }
        server.join().expect("server");
        let nobody = SocketCard::new("/nowhere/card").transmit(&[0; 4]);
        assert!(
            nobody
                .expect_err("absent")
                .to_string()
                .contains("/nowhere/card")
        );
    }
}
