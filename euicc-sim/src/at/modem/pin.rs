//! The PIN by AT commands: +CPIN, +CPINR, +CLCK and +CPWD for the facility SC.
//! 3GPP TS 27.007 §7.4, §7.5, §8.3, §8.65.

use super::{Done, Modem};
use crate::at::command::{Ask, Params};
use crate::at::error::Cme;
use crate::at::files::{self, Pin, PinAction};

impl Modem {
    pub(super) fn cpin(&mut self, ask: Ask<'_>) -> Done {
        let Ask::Set(text) = ask else {
            let state = match files::pin(&self.card)? {
                Pin::Absent => return Err(Cme::NoSim),
                Pin::Ready => "READY",
                Pin::Wanted(_) => "SIM PIN",
                Pin::Blocked => "SIM PUK",
            };
            self.info(&format!("+CPIN: {state}"));
            return Ok(());
        };
        let params = Params::new(text);
        let first = params.string(0)?;
        let action = match (files::pin(&self.card)?, params.optional(1)) {
            (Pin::Absent, _) => return Err(Cme::NoSim),
            (Pin::Ready, _) => return Err(Cme::NotAllowed),
            (Pin::Wanted(_), None) => PinAction::Verify(first),
            (Pin::Blocked, Some(new)) => PinAction::Unblock(first, new),
            (Pin::Wanted(_) | Pin::Blocked, _) => return Err(Cme::WrongParameters),
        };
        files::pin_action(&self.card, action)?;
        self.after.push("+CPIN: READY".into());
        Ok(())
    }

    pub(super) fn cpinr(&mut self) -> Done {
        let left = match files::pin(&self.card)? {
            Pin::Absent => return Err(Cme::NoSim),
            Pin::Wanted(left) => left,
            Pin::Blocked => 0,
            Pin::Ready => 3,
        };
        self.info(&format!("+CPINR: SIM PIN,{left},3"));
        Ok(())
    }

    pub(super) fn clck(&mut self, params: &Params) -> Done {
        if params.string(0)? != "SC" {
            return Err(Cme::NotSupported);
        }
        let mode = params.number(1, 2)?;
        if mode == 2 {
            let status = u8::from(files::pin_enabled(&self.card)?);
            self.info(&format!("+CLCK: {status}"));
            return Ok(());
        }
        let pin = params.string(2)?;
        let action = match mode {
            1 => PinAction::Enable(pin),
            _ => PinAction::Disable(pin),
        };
        files::pin_action(&self.card, action)
    }

    pub(super) fn cpwd(&mut self, params: &Params) -> Done {
        if params.string(0)? != "SC" {
            return Err(Cme::NotSupported);
        }
        let action = PinAction::Change(params.string(1)?, params.string(2)?);
        files::pin_action(&self.card, action)
    }
}
