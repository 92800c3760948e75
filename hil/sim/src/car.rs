//! A car: the agent's core, its journal, its card and its connection. What the daemon's shell does around the core is in
//! `effects`.

use crate::card::Card;
use crate::disk::Disk;
use crate::plan::{Fault, State};
use aid_agent_core::{Agent, BootMs, EuiccOp, Phase};
use aid_id::Eid;
use std::collections::BTreeSet;

/// A connection to the CMP.
#[derive(Debug)]
pub struct Connection {
    /// Its number; each is another.
    pub number: u64,
    /// When the last message to the CMP arrives.
    pub last_up: u64,
    /// When the last message to the car arrives.
    pub last_down: u64,
}

/// A car.
#[derive(Debug)]
pub struct Car {
    /// Its eUICC.
    pub eid: Eid,
    /// The agent; none while the car has no power.
    pub agent: Option<Box<Agent>>,
    /// The journal.
    pub disk: Disk,
    /// The card.
    pub card: Card,
    /// Counts the starts: what was begun in an earlier life comes to nothing.
    pub life: u64,
    /// When the boot clock began, true time less what it is ahead.
    pub booted: i64,
    /// The operation on the card.
    pub running: Option<(u64, EuiccOp)>,
    /// The connection.
    pub link: Option<Connection>,
    /// The car is awake: it connects when it can.
    pub is_awake: bool,
    /// A try to connect is under way.
    pub is_dialing: bool,
    /// A look after the failed journal is due.
    pub is_tended: bool,
    /// Looks after the journal that were in vain.
    pub tends: u32,
    /// Faults that wait for a state, how many more times it has to be seen in it, and whether it was in it.
    pub armed: Vec<(State, Fault, u32)>,
    /// What the next message suffers.
    pub on_message: Option<Fault>,
    /// Power is cut at the next write.
    pub cut_in_write: bool,
    /// Power is cut after so many effects of the next start.
    pub cut_in_start: Option<u32>,
    /// Power was cut while the journal did not work, or the journal or the CMP's memory was lost: what the CMP hears has gaps.
    pub is_lossy: bool,
    /// Reports that were on disk when they were sent, by number.
    pub on_disk: BTreeSet<u64>,
    /// The user that was logged in last.
    pub last_user: u8,
    /// Since when something has been enabled that nobody here may use, as far as the agent could have changed it.
    pub wrong_since: Option<u64>,
    /// Since when the car has been online without a break.
    pub online_since: Option<u64>,
    /// The ten seconds in which the CMP's knowledge was last looked at.
    pub known_at: u64,
    /// A call is on.
    pub in_call: bool,
}

impl Car {
    /// A car that was never started.
    #[must_use]
    pub fn new(eid: Eid, card: Card) -> Self {
        Self {
            eid,
            agent: None,
            disk: Disk::default(),
            card,
            life: 0,
            booted: 0,
            running: None,
            link: None,
            is_awake: false,
            is_dialing: false,
            is_tended: false,
            tends: 0,
            armed: Vec::new(),
            on_message: None,
            cut_in_write: false,
            cut_in_start: None,
            is_lossy: false,
            on_disk: BTreeSet::new(),
            last_user: 0,
            wrong_since: None,
            online_since: None,
            known_at: 0,
            in_call: false,
        }
    }

    /// What its boot clock says.
    #[must_use]
    pub fn boot(&self, now: u64) -> BootMs {
        BootMs(now.saturating_add_signed(-self.booted))
    }

    /// The true time of a time of its boot clock.
    #[must_use]
    pub fn true_time(&self, at: BootMs) -> u64 {
        at.0.saturating_add_signed(self.booted)
    }

    /// Where its agent stands; none without power.
    #[must_use]
    pub fn state(&self) -> Option<State> {
        let phase = self.agent.as_ref()?.phase();
        Some(match phase {
            Phase::Starting => State::Starting,
            Phase::Guest => State::Guest,
            Phase::LoggingIn => State::LoggingIn,
            Phase::AwaitingCode => State::AwaitingCode,
            Phase::Downloading => State::Downloading,
            Phase::Switching => State::Switching,
            Phase::Active => State::Active,
            Phase::NoProfile => State::NoProfile,
            Phase::Stopped => State::Stopped,
            // No simulated car is reset.
            Phase::Resetting | Phase::FactoryReset => return None,
        })
    }
}
