//! The toolkit session: what the terminal can do, and the REFRESH after a profile switch.
//! ETSI TS 102 221 §11.1.19, §11.2; TS 102 223 §6.4.7, §6.8; SGP.22 §5.7.16, §5.7.17.

use super::{Answer, Card, State};
use crate::apdu::{Command, sw};
use crate::nvm::Nvm;
use aid_rsp::tlv::Reader;
use alloc::{collections::BTreeMap, vec::Vec};
use serde::{Deserialize, Serialize};

/// How often REFRESH is offered to a terminal that is busy.
const MAX_TRIES: u8 = 3;

/// REFRESH in TERMINAL PROFILE: byte 3, bit 8 (TS 102 223 §5.2).
const PROFILE_REFRESH: (usize, u8) = (2, 0x80);
/// REFRESH in the mode "eUICC Profile State Change": byte 34, bit 6.
const PROFILE_STATE_CHANGE: (usize, u8) = (33, 0x20);

/// Type of the proactive command REFRESH (TS 102 223 §9.4).
const REFRESH: u8 = 0x01;

/// Command qualifier "UICC Reset": understood by every terminal that knows REFRESH (TS 102 223 §8.6).
const UICC_RESET: u8 = 0x04;

/// Command qualifier "eUICC Profile State Change": the terminal ends its sessions with the old
/// profile and starts with the new one, without a reset (TS 102 223 §6.4.7).
const PROFILE_STATE_CHANGE_MODE: u8 = 0x09;

/// A profile switch that waits for REFRESH or reset. SGP.22 §5.7.16 step "to be enabled".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Switch {
    /// The profile in this slot is to be enabled, whatever is enabled now.
    Enable(u16),
    /// The enabled profile is to be disabled.
    Disable,
}

/// Where the proactive command is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Session {
    #[default]
    Idle,
    /// Answers carry 91xx; offered so often before.
    Offered(u8),
    /// The terminal has it and owes a TERMINAL RESPONSE.
    Fetched(u8),
}

/// One of the terminals that share a card; a card in a slot has the default one alone. A program that
/// lets several hosts use one card gives each a number of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Terminal(pub u64);

/// What a terminal has said in TERMINAL PROFILE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Profile {
    /// It executes REFRESH.
    refresh: bool,
    /// It knows the mode that is made for eUICCs.
    state_change: bool,
}

/// The state of the toolkit between two resets.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cat {
    /// Of the terminals that are there, those that sent a TERMINAL PROFILE.
    profiles: BTreeMap<Terminal, Profile>,
    /// The terminal whose command is executed now.
    current: Terminal,
    session: Session,
    /// The terminal whose command caused the proactive command; nobody else is told of it.
    owner: Terminal,
    /// Number of the proactive command that is going on.
    number: u8,
}

impl Cat {
    /// The proactive command: UICC to terminal.
    fn command(&self) -> [u8; 11] {
        [
            0xD0,
            9,
            0x81,
            3,
            self.number,
            REFRESH,
            self.mode(),
            0x82,
            2,
            0x81,
            0x82,
        ]
    }

    /// The mode that is made for eUICCs, to a terminal that knows it (SGP.22 §3.2.1).
    fn mode(&self) -> u8 {
        match self.profile(self.owner).state_change {
            true => PROFILE_STATE_CHANGE_MODE,
            false => UICC_RESET,
        }
    }

    fn profile(&self, terminal: Terminal) -> Profile {
        self.profiles.get(&terminal).copied().unwrap_or_default()
    }

    /// The commands that come now are this terminal's.
    pub(super) const fn serve(&mut self, terminal: Terminal) {
        self.current = terminal;
    }

    /// Forgets a terminal; true when a proactive command of its own ended with it.
    pub(super) fn forget(&mut self, terminal: Terminal) -> bool {
        self.profiles.remove(&terminal);
        let ends = self.owner == terminal && self.session != Session::Idle;
        if ends {
            self.session = Session::Idle;
        }
        ends
    }

    fn offer(&mut self) {
        self.number = self.number % 0xFE + 1;
        self.owner = self.current;
        self.session = Session::Offered(1);
    }

    /// Where the proactive command is, as the current terminal may know.
    fn own_session(&self) -> Session {
        match self.owner == self.current {
            true => self.session,
            false => Session::Idle,
        }
    }

    /// The length of the command that waits for the current terminal's FETCH.
    pub(super) fn waiting(&self) -> Option<u8> {
        match self.own_session() {
            Session::Offered(_) => Some(self.command().len() as u8),
            _ => None,
        }
    }
}

impl<N: Nvm> Card<N> {
    /// Is a proactive session going on? ES10c answers catBusy then.
    pub(crate) fn cat_busy(&self) -> bool {
        self.cat.session != Session::Idle
    }

    /// Would the terminal execute a REFRESH?
    pub(crate) fn can_refresh(&self) -> bool {
        self.cat.profile(self.cat.current).refresh
    }

    /// Offers REFRESH with the next answer, to a terminal that can execute it.
    pub(crate) fn offer_refresh(&mut self) {
        if self.can_refresh() {
            self.cat.offer();
        }
    }

    /// TERMINAL PROFILE, FETCH, TERMINAL RESPONSE, ENVELOPE, TERMINAL CAPABILITY; `None` for other
    /// instructions.
    pub(super) fn cat_command(&mut self, c: &Command<'_>) -> Option<Result<Answer, u16>> {
        let act = match c.ins {
            0x10 => Self::terminal_profile,
            0x12 => Self::fetch,
            0x14 => Self::terminal_response,
            0xC2 => Self::envelope,
            0xAA => Self::terminal_capability,
            _ => return None,
        };
        if c.p1 != 0 || c.p2 != 0 {
            return Some(Err(sw::WRONG_P1P2));
        }
        Some(act(self, c))
    }

    fn terminal_profile(&mut self, c: &Command<'_>) -> Result<Answer, u16> {
        if c.data.is_empty() {
            return Err(sw::WRONG_LENGTH);
        }
        let has = |(byte, bit): (usize, u8)| c.data.get(byte).is_some_and(|b| b & bit != 0);
        let profile = Profile {
            refresh: has(PROFILE_REFRESH),
            state_change: has(PROFILE_STATE_CHANGE),
        };
        self.cat.profiles.insert(self.cat.current, profile);
        Ok((Vec::new(), sw::OK))
    }

    /// The template A9 is checked; nothing in it changes what the card does.
    fn terminal_capability(&mut self, c: &Command<'_>) -> Result<Answer, u16> {
        if c.data.is_empty() {
            return Err(sw::WRONG_LENGTH);
        }
        let mut reader = Reader::new(c.data);
        match reader.read() {
            Ok(Some(template)) if template.tag == 0xA9 && reader.rest().is_empty() => {
                let whole = Reader::new(template.value).all(|field| field.is_ok());
                if whole {
                    return Ok((Vec::new(), sw::OK));
                }
                Err(sw::WRONG_DATA)
            }
            _ => Err(sw::WRONG_DATA),
        }
    }

    fn fetch(&mut self, c: &Command<'_>) -> Result<Answer, u16> {
        let Session::Offered(tries) = self.cat.own_session() else {
            return Err(sw::CONDITIONS);
        };
        let command = self.cat.command();
        match c.ne {
            Some(n) if n == command.len() || n >= 256 => {}
            _ => return Err(0x6C00 | command.len() as u16),
        }
        self.cat.session = Session::Fetched(tries);
        Ok((command.to_vec(), sw::OK))
    }

    /// The switch happens when the terminal has performed the REFRESH; a terminal that is busy is
    /// asked again, any other result leaves the profiles as they were.
    fn terminal_response(&mut self, c: &Command<'_>) -> Result<Answer, u16> {
        let Session::Fetched(tries) = self.cat.own_session() else {
            return Err(sw::CONDITIONS);
        };
        let (details, result) = response(c.data).ok_or(sw::WRONG_DATA)?;
        // The details are those of the command, or zeros from a terminal that could not decode them
        // (TS 102 223 §6.8.1).
        if details != [0; 3] && details != [self.cat.number, REFRESH, self.cat.mode()] {
            return Err(sw::WRONG_DATA);
        }
        match result {
            0x00..=0x0F => {
                self.cat.session = Session::Idle;
                self.settle_switch()?;
            }
            0x20 if tries < MAX_TRIES => self.cat.session = Session::Offered(tries + 1),
            _ => {
                self.cat.session = Session::Idle;
                if self.store.state().switch.is_some() {
                    let next = State {
                        switch: None,
                        ..self.store.state().clone()
                    };
                    self.commit(next, &[])?;
                }
            }
        }
        Ok((Vec::new(), sw::OK))
    }

    /// No toolkit application is here: events are taken note of, and what wants an effect is refused.
    fn envelope(&mut self, c: &Command<'_>) -> Result<Answer, u16> {
        if c.data.is_empty() {
            return Err(sw::WRONG_LENGTH);
        }
        let mut reader = Reader::new(c.data);
        let tag = match reader.read() {
            Ok(Some(template)) if reader.rest().is_empty() => template.tag,
            _ => return Err(sw::WRONG_DATA),
        };
        match tag {
            // Cell broadcast, event download, timer expiration.
            0xD2 | 0xD6 | 0xD7 => Ok((Vec::new(), sw::OK)),
            // SMS-PP download, menu selection, call control, MO-SMS control, USSD, and others: nobody
            // is registered for them.
            0xD1 | 0xD3..=0xE4 => Err(sw::CONDITIONS),
            _ => Err(sw::WRONG_DATA),
        }
    }
}

/// Device identities of a TERMINAL RESPONSE: from the terminal to the UICC (TS 102 223 §8.7).
const TERMINAL_TO_UICC: [u8; 2] = [0x82, 0x81];

/// Command details and general result of a TERMINAL RESPONSE (TS 102 223 §6.8, COMPREHENSION-TLV). It
/// has the device identities too, which are mandatory; of a data object that comes twice the first counts.
fn response(mut data: &[u8]) -> Option<([u8; 3], u8)> {
    let (mut details, mut devices, mut result) = (None, None, None);
    while let [tag, length, rest @ ..] = data {
        let (length, rest) = match (length, rest) {
            (0x81, [length, rest @ ..]) => (usize::from(*length), rest),
            (0..=0x7F, rest) => (usize::from(*length), rest),
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(length)?;
        match tag & 0x7F {
            0x01 if details.is_none() => details = Some(value.try_into().ok()?),
            0x02 if devices.is_none() => devices = Some(value),
            0x03 if result.is_none() => result = Some(*value.first()?),
            _ => {}
        }
        data = rest;
    }
    let addressed = devices? == TERMINAL_TO_UICC;
    (data.is_empty() && addressed).then_some((details?, result?))
}
