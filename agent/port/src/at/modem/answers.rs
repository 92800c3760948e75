//! What becomes of a task when one of its commands has its final result code.

use super::super::command::Command;
use super::super::lines::{Cause, answer};
use super::super::task::{Fault, Millis, Pin, Reply};
use super::{CALLS, DRAIN, Modem, Phase, QUIET};
use crate::apdu::MAX_CHANNEL;

impl Modem {
    /// A command has its final result.
    pub(super) fn answered(
        &mut self,
        command: &Command,
        result: Result<(), Cause>,
        info: Option<&str>,
        now: Millis,
    ) {
        match command {
            Command::Call => match result {
                Ok(()) => {
                    let (quiet_at, end) = (now + QUIET, now + DRAIN);
                    self.phase = Phase::Draining { quiet_at, end };
                }
                // What stood in the modem's buffer before was not a command.
                Err(_) if self.calls + 1 < CALLS => {
                    self.calls += 1;
                    self.queue.push_front(Command::Call);
                }
                Err(cause) => self.end(Err(Fault::Refused(format!("AT: {cause}")))),
            },
            // Modems without these work all the same.
            Command::Plain | Command::Numbers | Command::CloseStale(_) => {}
            Command::Pin => self.told(Pin::read(&result, info)),
            Command::Open(_) => self.opened(result, info),
            Command::Channel(..) => match result {
                Ok(()) => self.apdu(info),
                Err(cause) if cause.is_unknown_session() => {
                    self.card_is_gone();
                    self.end(Err(Fault::ChannelGone(format!("AT+CGLA: {cause}"))));
                }
                Err(cause) => self.end(Err(Fault::Refused(format!("AT+CGLA: {cause}")))),
            },
            Command::Basic(_) => match result {
                Ok(()) => self.apdu(info),
                Err(cause) => {
                    let before = self.no_channel.take();
                    let before =
                        before.map_or_else(String::new, |c| format!("; AT+CCHO before: {c}"));
                    self.end(Err(Fault::Refused(format!("AT+CSIM: {cause}{before}"))));
                }
            },
            Command::Close(_) => self.end(match result {
                Ok(()) => Ok(Reply::Done),
                Err(cause) => Err(Fault::Refused(format!("AT+CCHC: {cause}"))),
            }),
            Command::Off => {
                self.card_is_gone();
                if let Err(cause) = result {
                    self.end(Err(Fault::Refused(format!("AT+CFUN=0: {cause}"))));
                }
            }
            Command::On => {
                if let Err(cause) = result {
                    self.end(Err(Fault::Refused(format!("AT+CFUN=1: {cause}"))));
                }
            }
            Command::Back => {
                self.told(Pin::read(&result, info));
                self.end(Ok(Reply::Done));
            }
        }
    }

    fn apdu(&mut self, info: Option<&str>) {
        let answer = info.and_then(answer).filter(|a| a.len() >= 2);
        self.adrift |= answer.is_none();
        let answer = answer.map(Reply::Apdu);
        self.end(answer.ok_or(Fault::Garbled("it has no R-APDU")));
    }

    fn opened(&mut self, result: Result<(), Cause>, info: Option<&str>) {
        match result {
            Ok(()) => {
                let Some(session) = info.and_then(|text| text.trim().parse::<u32>().ok()) else {
                    return self.end(Err(Fault::Garbled("it has no session")));
                };
                self.no_channel = None;
                // Modems that do not set the class byte number sessions as channels.
                let channel = u8::try_from(session).ok();
                let channel = channel
                    .filter(|c| (1..=MAX_CHANNEL).contains(c))
                    .unwrap_or(1);
                self.sessions.push((channel, session));
                self.end(Ok(Reply::Channel(Some(channel))));
            }
            // The modem does not have the command, or no channel: the card itself is asked.
            Err(cause) => {
                self.no_channel = Some(cause);
                self.manual = true;
                self.end(Ok(Reply::Channel(None)));
            }
        }
    }
}
