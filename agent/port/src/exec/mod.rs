//! A card behind a helper program: QMI, MBIM, or a vendor's radio layer, as a process of its own.
//! We speak to it as lpac speaks to its stdio driver: one JSON line each way.

mod child;
mod message;
mod pauses;

pub use message::{Answer, MAX_LINE, MessageError, Request};

use crate::apdu::{Apdu, Opened, TransportError, channel_of};
use crate::lines::Lines;
use crate::table::Timing;
use child::Helper;
use pauses::Pauses;
use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

/// Lines between two answers that are for somebody else.
const MAX_ASIDES: u32 = 1000;

/// A card behind a helper. It is started when needed, and again after it ended.
#[derive(Debug)]
pub struct ExecCard {
    words: Vec<String>,
    timing: Timing,
    helper: Option<Helper>,
    /// It has connected to the card.
    connected: bool,
    lines: Lines,
    /// Lines that came, the oldest first.
    pending: VecDeque<Option<String>>,
    /// Channels that are open.
    channels: Vec<u8>,
    refreshed: bool,
    pauses: Pauses,
    began: Instant,
}

impl ExecCard {
    /// A helper by program and arguments; nothing is started yet.
    #[must_use]
    pub fn new(words: &[String], timing: Timing) -> Self {
        Self {
            words: words.to_vec(),
            timing,
            helper: None,
            connected: false,
            lines: Lines::new(MAX_LINE),
            pending: VecDeque::new(),
            channels: Vec::new(),
            refreshed: false,
            pauses: Pauses::default(),
            began: Instant::now(),
        }
    }

    fn address(&self) -> String {
        let program = self.words.first().map_or("", String::as_str);
        format!("exec:{program}")
    }

    fn connect_error(&self, kind: io::ErrorKind, text: String) -> TransportError {
        TransportError::Connect {
            address: self.address(),
            source: io::Error::new(kind, text),
        }
    }

    fn broken(&self, kind: io::ErrorKind, text: String) -> TransportError {
        TransportError::Broken {
            address: self.address(),
            source: io::Error::new(kind, text),
        }
    }

    fn refused(&self, what: String) -> TransportError {
        let address = self.address();
        TransportError::Refused { address, what }
    }

    /// Ends the helper; its channels are gone.
    fn give_up(&mut self) {
        self.helper = None;
        self.lines.clear();
        self.pending.clear();
        self.disconnected();
        self.pauses.failed(self.began.elapsed());
    }

    fn disconnected(&mut self) {
        self.connected = false;
        self.refreshed |= !self.channels.is_empty();
        self.channels.clear();
    }

    /// Reads what came while nothing was asked; a helper that ended, or answered what nobody asked, is
    /// given up: its next answer could not be told from an earlier one's.
    fn look(&mut self) {
        let Some(helper) = &self.helper else { return };
        let mut ended = false;
        // One that never stops talking is read on with the next request.
        for _ in 0..64 {
            match helper.read(Instant::now()) {
                Ok(Some(bytes)) if !bytes.is_empty() => {
                    let pending = &mut self.pending;
                    self.lines
                        .push(&bytes, |line| pending.push_back(line.map(str::to_owned)));
                }
                Ok(None) => break,
                Ok(Some(_)) | Err(_) => {
                    ended = true;
                    break;
                }
            }
        }
        let aside = |line: Option<String>| {
            line.is_some_and(|line| matches!(Request::Connect.answer(&line), Ok(None)))
        };
        if !self.pending.drain(..).all(aside) || ended {
            self.give_up();
        }
    }

    /// A helper that runs and is connected to the card.
    fn ready(&mut self) -> Result<(), TransportError> {
        self.look();
        if self.helper.is_none() {
            if let Some(left) = self.pauses.left(self.began.elapsed()) {
                let text = format!("the helper failed; it is started again in {left:.1?}");
                return Err(self.connect_error(io::ErrorKind::WouldBlock, text));
            }
            match Helper::start(&self.words) {
                Ok(helper) => self.helper = Some(helper),
                Err(source) => {
                    self.pauses.failed(self.began.elapsed());
                    let address = self.address();
                    return Err(TransportError::Connect { address, source });
                }
            }
        }
        if !self.connected {
            match self.ask(Request::Connect, self.timing.connect)? {
                Answer::Done => self.connected = true,
                other => {
                    let text = format!("the helper does not reach the card ({other:?})");
                    return Err(self.connect_error(io::ErrorKind::NotConnected, text));
                }
            }
        }
        Ok(())
    }

    /// One line out, its answer in. Where that fails the helper is ended: a late answer must not count
    /// as the next one's.
    fn ask(&mut self, request: Request<'_>, limit: Duration) -> Result<Answer, TransportError> {
        let end = Instant::now() + limit;
        let result = self.exchange(request, end);
        if result.is_err() {
            self.give_up();
        } else if matches!(request, Request::Transmit(_)) {
            self.pauses.worked();
        }
        result.map_err(|(kind, text)| {
            self.broken(kind, format!("{text} (asked for {})", request.name()))
        })
    }

    fn exchange(
        &mut self,
        request: Request<'_>,
        end: Instant,
    ) -> Result<Answer, (io::ErrorKind, String)> {
        let Some(helper) = &mut self.helper else {
            return Err((io::ErrorKind::NotConnected, "no helper runs".into()));
        };
        if let Err(error) = helper.write(&request.line(), end) {
            return Err(match error.kind() {
                io::ErrorKind::BrokenPipe => (error.kind(), helper.ending()),
                kind => (kind, format!("the helper does not read: {error}")),
            });
        }
        let mut asides = 0;
        loop {
            while let Some(line) = self.pending.pop_front() {
                let invalid = |what: String| (io::ErrorKind::InvalidData, what);
                let Some(line) = line else {
                    return Err(invalid(format!("a line has more than {MAX_LINE} bytes")));
                };
                match request.answer(&line) {
                    Ok(Some(answer)) => return Ok(answer),
                    Ok(None) if asides < MAX_ASIDES => asides += 1,
                    Ok(None) => return Err(invalid("it talks without an answer".into())),
                    Err(error) => return Err(invalid(error.to_string())),
                }
            }
            match helper.read(end) {
                Ok(Some(bytes)) if bytes.is_empty() => {
                    return Err((io::ErrorKind::UnexpectedEof, helper.ending()));
                }
                Ok(Some(bytes)) => {
                    let pending = &mut self.pending;
                    self.lines
                        .push(&bytes, |line| pending.push_back(line.map(str::to_owned)));
                }
                Ok(None) => {
                    let text = "the helper did not answer in time".into();
                    return Err((io::ErrorKind::TimedOut, text));
                }
                Err(error) => return Err((error.kind(), error.to_string())),
            }
        }
    }
}

impl Apdu for ExecCard {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        self.ready()?;
        let channel = command.first().map_or(0, |class| channel_of(*class));
        if channel != 0 && !self.channels.contains(&channel) {
            return Err(TransportError::ChannelGone {
                address: self.address(),
                what: "the helper was started anew".into(),
            });
        }
        match self.ask(Request::Transmit(command), self.timing.answer)? {
            Answer::Apdu(answer) => Ok(answer),
            other => {
                // The card is away: whether it executed the command is unknown.
                self.disconnected();
                let text = format!("the helper lost the card ({other:?})");
                Err(self.broken(io::ErrorKind::ConnectionAborted, text))
            }
        }
    }

    fn reset(&mut self) -> Result<Vec<u8>, TransportError> {
        self.ready()?;
        self.disconnected();
        match self.ask(Request::Disconnect, self.timing.connect)? {
            Answer::Done => self.ready().map(|()| Vec::new()),
            other => Err(self.refused(format!("disconnect ({other:?})"))),
        }
    }

    fn open_channel(&mut self, aid: &[u8]) -> Result<Opened, TransportError> {
        self.ready()?;
        // Of an LPA that lost its channel: nobody else closes them.
        for channel in std::mem::take(&mut self.channels) {
            self.ask(Request::Close(channel), self.timing.connect)?;
        }
        self.refreshed = false;
        match self.ask(Request::Open(aid), self.timing.answer)? {
            Answer::Channel(channel) => {
                self.channels.push(channel);
                Ok(Opened::Channel(channel))
            }
            other => {
                let aid = hex::encode_upper(aid);
                let what = format!("logic_channel_open of {aid} ({other:?})");
                // It may have lost the card: the next call connects again.
                self.disconnected();
                let text = "; is it an eUICC, and the AID of its ISD-R right?";
                Err(self.refused(what + text))
            }
        }
    }

    fn close_channel(&mut self, channel: u8) -> Result<(), TransportError> {
        let Some(at) = self.channels.iter().position(|c| *c == channel) else {
            return Ok(());
        };
        self.channels.swap_remove(at);
        match self.ask(Request::Close(channel), self.timing.connect)? {
            Answer::Done => Ok(()),
            other => Err(self.refused(format!("logic_channel_close ({other:?})"))),
        }
    }

    fn refreshed(&mut self) -> bool {
        self.look();
        std::mem::take(&mut self.refreshed)
    }
}
