//! What is known of the card, and the operation that it is asked for.

use crate::bounds::{Cause, MAX_PROFILES};
use crate::event::{BootMs, CardProfile};
use aid_id::{Iccid, Id};
use alloc::vec::Vec;
use heapless::LinearMap;

/// Time after which a call that nobody reported as over counts as over, ms: whoever reports calls may have ended, and a
/// profile must not stay enabled for ever with nobody logged in.
const CALL_MS: u64 = 4 * 3600 * 1000;

/// The profiles on the card, as last read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Profiles {
    list: heapless::Vec<CardProfile, MAX_PROFILES>,
    /// There are more than that.
    more: bool,
}

impl Profiles {
    /// Takes a list as read. Of one that is too long those with the lowest rank are kept.
    pub(crate) fn new(mut read: Vec<CardProfile>, rank: impl FnMut(&CardProfile) -> u8) -> Self {
        let more = read.len() > MAX_PROFILES;
        if more {
            read.sort_by_key(rank);
        }
        let list = read.into_iter().take(MAX_PROFILES).collect();
        Self { list, more }
    }

    pub(crate) fn as_slice(&self) -> &[CardProfile] {
        &self.list
    }

    /// Whether there are more profiles on the card than are seen.
    pub(crate) fn has_more(&self) -> bool {
        self.more
    }

    /// Whether another profile would be seen.
    pub(crate) fn has_room(&self) -> bool {
        !self.list.is_full()
    }
}

/// What the card is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// To read the list of its profiles.
    List,
    /// To download for this request.
    Download(Id),
    /// To enable or disable the profile of the intent.
    Switch,
    /// To delete the profile of the intent.
    Delete,
    /// To deliver its notifications.
    Notifications,
}

/// An operation under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Running {
    /// Comes back in `Event::EuiccDone`.
    pub(crate) number: u64,
    pub(crate) begun: BootMs,
    pub(crate) work: Work,
}

/// A profile that fails again and again for a passing cause.
#[derive(Debug)]
pub(crate) struct SetAside {
    pub(crate) failures: u16,
    /// When it may be tried again; `None` once that has passed.
    pub(crate) until: Option<BootMs>,
    pub(crate) cause: Cause,
}

/// The card.
#[derive(Debug, Default)]
pub(crate) struct Card {
    /// What is on it; `None` while that is not known.
    pub(crate) profiles: Option<Profiles>,
    /// What was on it when it was first read without a journal.
    pub(crate) found: Option<Profiles>,
    /// The operation under way.
    pub(crate) running: Option<Running>,
    pub(crate) last_number: u64,
    /// A download after which the card did not answer, and when it was begun.
    pub(crate) interrupted: Option<(Id, BootMs)>,
    /// When the card is asked again after a failure.
    pub(crate) retry: Option<BootMs>,
    pub(crate) failures: u32,
    /// The modem reports a call, until then at the latest: no profile is switched.
    pub(crate) call: Option<BootMs>,
    /// A profile is not switched because of the call.
    pub(crate) held_by_call: bool,
    /// What an earlier life left open was looked at.
    pub(crate) resumed: bool,
    /// Profiles that rest after failures.
    pub(crate) set_aside: LinearMap<Iccid, SetAside, MAX_PROFILES>,
    /// Profiles that the card does not delete, and its code: they don't stop the deletion of others.
    pub(crate) undeletable: LinearMap<Iccid, u16, MAX_PROFILES>,
}

impl Card {
    /// The request whose download runs, or ran when the card ceased to answer.
    pub(crate) fn downloading(&self) -> Option<Id> {
        match self.running.map(|r| r.work) {
            Some(Work::Download(id)) => Some(id),
            _ => self.interrupted.map(|(id, _)| id),
        }
    }

    /// Notes what the modem reports of calls.
    pub(crate) fn call_reported(&mut self, now: BootMs, active: bool) {
        self.call = active.then(|| now.plus(CALL_MS));
        self.held_by_call &= active;
    }

    /// Whether a call keeps a profile from being switched, which is to be switched now.
    pub(crate) fn hold_for_call(&mut self) -> bool {
        self.held_by_call = self.call.is_some();
        self.held_by_call
    }

    /// The profiles on the card; none while that is not known.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &CardProfile> {
        self.profiles.iter().flat_map(|p| p.as_slice())
    }

    /// The profiles that rest after failures.
    pub(crate) fn is_set_aside(&self, iccid: &Iccid) -> bool {
        self.set_aside.get(iccid).is_some_and(|a| a.until.is_some())
    }
}
