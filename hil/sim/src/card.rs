//! A car's card at the level of the agent's port: what an operation does, what it answers, and what the list says
//! afterwards. The functions and their results are those of `docs/card-results.md`; no cryptography.

use crate::sabotage::Sabotage;
use crate::smdp::{Refused, Smdp};
use aid_agent_core::{CardProfile, EuiccError, EuiccOp};
use aid_id::{Eid, Iccid};
use aid_wire::Status;
use std::collections::{BTreeMap, VecDeque};

/// What happened to a profile on the card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happened {
    /// Installed.
    Installed,
    /// Enabled.
    Enabled,
    /// Disabled.
    Disabled,
    /// Deleted.
    Deleted,
}

impl Happened {
    /// The report of it.
    #[must_use]
    pub fn status(self) -> Status {
        match self {
            Self::Installed => Status::Installed,
            Self::Enabled => Status::Enabled,
            Self::Disabled => Status::Disabled,
            Self::Deleted => Status::Deleted,
        }
    }
}

/// A notification that waits for its SM-DP+.
#[derive(Debug, Clone)]
struct Notification {
    sequence: u32,
    iccid: Iccid,
    what: Happened,
}

/// The answer to an operation: its result, and the list that is read after it.
pub type Answer = (Result<(), EuiccError>, Option<Vec<CardProfile>>);

/// The card.
#[derive(Debug)]
pub struct Card {
    /// The card of this EID.
    pub eid: Eid,
    /// Profiles; true when enabled.
    pub profiles: BTreeMap<Iccid, bool>,
    /// How many fit.
    pub room: usize,
    /// It does not answer.
    pub is_away: bool,
    /// Operations on profiles that fail before one works again.
    pub busy: u32,
    /// All that happened, in order.
    pub history: Vec<(Iccid, Happened)>,
    /// Misbehaviour on purpose.
    pub sabotage: Option<Sabotage>,
    waiting: VecDeque<Notification>,
    last: u32,
}

impl Card {
    /// An empty card.
    #[must_use]
    pub fn new(eid: Eid, room: usize) -> Self {
        Self {
            eid,
            profiles: BTreeMap::new(),
            room,
            is_away: false,
            busy: 0,
            history: Vec::new(),
            sabotage: None,
            waiting: VecDeque::new(),
            last: 0,
        }
    }

    /// The profile that is enabled.
    #[must_use]
    pub fn enabled(&self) -> Option<&Iccid> {
        let mut on = self.profiles.iter().filter(|(_, on)| **on);
        on.next().map(|(iccid, _)| iccid)
    }

    /// Numbers of the notifications that it keeps.
    pub fn kept(&self) -> impl Iterator<Item = u32> + '_ {
        self.waiting.iter().map(|n| n.sequence)
    }

    /// The number of its last notification.
    #[must_use]
    pub fn last_notification(&self) -> u32 {
        self.last
    }

    /// Does what it is asked and lists its profiles.
    pub fn run(&mut self, what: &EuiccOp, smdp: &mut Smdp) -> Answer {
        if self.is_away {
            return (Err(passing("the card does not answer")), None);
        }
        let changes = !matches!(what, EuiccOp::List | EuiccOp::Notifications);
        if changes && self.busy > 0 {
            self.busy -= 1;
            return (Err(passing("catBusy")), Some(self.list()));
        }
        let result = self.execute(what, smdp);
        (result, Some(self.list()))
    }

    /// Does what it is asked, and power is cut before anybody hears of it.
    pub fn run_unheard(&mut self, what: &EuiccOp, smdp: &mut Smdp) {
        if !self.is_away && self.busy == 0 {
            // Nobody hears of the result.
            let _ = self.execute(what, smdp);
        }
    }

    fn list(&self) -> Vec<CardProfile> {
        let one = |(iccid, enabled): (&Iccid, &bool)| CardProfile {
            iccid: iccid.clone(),
            enabled: *enabled,
        };
        self.profiles.iter().map(one).collect()
    }

    fn happened(&mut self, iccid: &Iccid, what: Happened) {
        self.last += 1;
        self.history.push((iccid.clone(), what));
        let notification = Notification {
            sequence: self.last,
            iccid: iccid.clone(),
            what,
        };
        match self.sabotage {
            // The newest first.
            Some(Sabotage::NotificationsReversed) => self.waiting.push_front(notification),
            _ => self.waiting.push_back(notification),
        }
    }

    fn execute(&mut self, what: &EuiccOp, smdp: &mut Smdp) -> Result<(), EuiccError> {
        match what {
            EuiccOp::List => Ok(()),
            EuiccOp::Enable { iccid } => match self.profiles.get(iccid) {
                None => Err(refused(1, "iccidOrAidNotFound")),
                Some(true) => Err(refused(2, "profileNotInDisabledState")),
                Some(false) => {
                    // Enabling disables what is enabled (SGP.22 §5.7.16).
                    let before = self.enabled().cloned();
                    if let Some(before) = before {
                        self.profiles.insert(before.clone(), false);
                        self.happened(&before, Happened::Disabled);
                    }
                    self.profiles.insert(iccid.clone(), true);
                    self.happened(iccid, Happened::Enabled);
                    Ok(())
                }
            },
            EuiccOp::Disable { iccid } => match self.profiles.get(iccid) {
                None => Err(refused(1, "iccidOrAidNotFound")),
                Some(false) => Err(refused(2, "profileNotInEnabledState")),
                Some(true) if self.sabotage == Some(Sabotage::StaysEnabled) => {
                    Err(passing("catBusy"))
                }
                Some(true) => {
                    self.profiles.insert(iccid.clone(), false);
                    self.happened(iccid, Happened::Disabled);
                    Ok(())
                }
            },
            EuiccOp::Delete { iccid } => match self.profiles.get(iccid) {
                None => Err(refused(1, "iccidOrAidNotFound")),
                Some(true) => Err(refused(2, "profileNotInDisabledState")),
                Some(false) => {
                    self.profiles.remove(iccid);
                    self.happened(iccid, Happened::Deleted);
                    Ok(())
                }
            },
            EuiccOp::Download { code } => self.download(code.expose(), smdp),
            EuiccOp::Notifications => self.deliver(smdp),
        }
    }

    fn download(&mut self, code: &str, smdp: &mut Smdp) -> Result<(), EuiccError> {
        let iccid = match smdp.package(code, self.eid) {
            Ok(iccid) => iccid,
            Err(Refused::Away) => return Err(passing("cannot reach the SM-DP+")),
            Err(Refused::ForGood) => return Err(refused(8, "the SM-DP+ refuses: 8.2.6/3.8")),
        };
        if self.profiles.contains_key(&iccid) {
            return Err(refused(7, "installFailedDueToIccidAlreadyExistsOnEuicc"));
        }
        if self.profiles.len() >= self.room {
            return Err(EuiccError {
                full: true,
                ..refused(10, "installFailedDueToInsufficientMemoryForProfile")
            });
        }
        self.profiles.insert(iccid.clone(), false);
        self.happened(&iccid, Happened::Installed);
        Ok(())
    }

    /// Delivers notifications in the order of their numbers; each goes once it was accepted.
    fn deliver(&mut self, smdp: &mut Smdp) -> Result<(), EuiccError> {
        while let Some(first) = self.waiting.front() {
            if !smdp.notify(self.eid, first.sequence, &first.iccid, first.what)
                && self.sabotage != Some(Sabotage::NotificationsDropped)
            {
                return Err(passing("cannot reach the SM-DP+"));
            }
            self.waiting.pop_front();
        }
        Ok(())
    }
}

fn passing(text: &str) -> EuiccError {
    EuiccError {
        code: 0,
        text: text.to_owned(),
        permanent: false,
        full: false,
    }
}

fn refused(code: u16, text: &str) -> EuiccError {
    EuiccError {
        code,
        text: text.to_owned(),
        permanent: true,
        full: false,
    }
}
