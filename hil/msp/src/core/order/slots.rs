//! The profiles that take a subscription's slots, and which of them is given up for a new one (AID.02 §4.3.1).

use aid_id::{Iccid, MspToken};

use crate::core::model::{Profile, Subscription, SwapPolicy};

/// All slots are taken, and no profile can be given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// The slots of a subscription as a new order finds them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slots<'a> {
    /// Those that take a slot. The subscription may be linked to several CMPs: what they have together counts.
    pub(crate) profiles: &'a [Profile],
    /// The onboarding of the order: its profiles are given up before those of others.
    pub(crate) token: MspToken,
    /// What the CMP offers.
    pub(crate) candidate: Option<&'a Iccid>,
    /// The subscription.
    pub(crate) subscription: &'a Subscription,
}

impl<'a> Slots<'a> {
    /// Whether no slot is free.
    #[must_use]
    pub(crate) fn is_full(&self) -> bool {
        self.profiles.len() >= self.subscription.max_profiles as usize
    }

    fn own(&self) -> impl Iterator<Item = &'a Profile> {
        let token = self.token;
        self.profiles.iter().filter(move |p| p.msp_token == token)
    }

    /// The CMP's candidate, if it is one of the onboarding's that takes a slot.
    #[must_use]
    pub(crate) fn wanted(&self) -> Option<&'a Profile> {
        self.own().find(|p| Some(&p.iccid) == self.candidate)
    }

    /// The least recently used.
    #[must_use]
    pub(crate) fn oldest(&self) -> Option<&'a Profile> {
        self.own().min_by_key(|p| p.used_at)
    }

    /// The profile to give up, if all slots are taken: the CMP's candidate, otherwise the least recently used (§4.3.1 2b,
    /// 2c), as far as the subscription's policy allows it. Where the onboarding has none of its own, another CMP has all of
    /// them: then the least recently used of those.
    ///
    /// # Errors
    /// One has to be given up, and none can be.
    pub(crate) fn usual_swap(&self) -> Result<Option<&'a Profile>, Full> {
        if !self.is_full() {
            return Ok(None);
        }
        let of_others = || match self.subscription.swap {
            SwapPolicy::Candidate | SwapPolicy::Own => {
                self.profiles.iter().min_by_key(|p| p.used_at)
            }
            SwapPolicy::Refuse => None,
        };
        self.by_policy().or_else(of_others).ok_or(Full).map(Some)
    }

    /// What the policy chooses.
    #[must_use]
    pub(crate) fn by_policy(&self) -> Option<&'a Profile> {
        match self.subscription.swap {
            SwapPolicy::Candidate => self.wanted().or_else(|| self.oldest()),
            SwapPolicy::Own => self.oldest(),
            SwapPolicy::Refuse => self.wanted(),
        }
    }
}
