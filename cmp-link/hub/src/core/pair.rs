//! A pair: an MSP and a CMP that may call each other through the hub, and what was agreed about it.

use std::fmt;
use std::str::FromStr;

use aid_aid1::headers::{PartyId, PartyIdError};
use aid_serve::limit::Rate;
use serde::{Deserialize, Serialize};

/// Names a pair: `MSP/CMP`, each by its client-id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PairId {
    /// The MSP's `client-id`.
    pub(crate) msp: PartyId,
    /// The CMP's `client-id`.
    pub(crate) cmp: PartyId,
}

impl fmt::Display for PairId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.msp, self.cmp)
    }
}

/// A text that names no pair.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PairIdError {
    /// There is no slash.
    #[error("a pair is MSP/CMP, such as mspOne/cmpOne")]
    Form,
    /// One of the names is no client-id.
    #[error(transparent)]
    Party(#[from] PartyIdError),
}

impl FromStr for PairId {
    type Err = PairIdError;

    fn from_str(text: &str) -> Result<Self, PairIdError> {
        let (msp, cmp) = text.split_once('/').ok_or(PairIdError::Form)?;
        Ok(Self {
            msp: msp.parse()?,
            cmp: cmp.parse()?,
        })
    }
}

/// Whether a pair's calls are carried on, and where to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PairState {
    /// To the addresses of both.
    #[default]
    Live,
    /// To the sandbox addresses of both, where they have some; metered apart.
    Sandbox,
    /// Not at all: calls are refused, and what is kept waits.
    Suspended,
}

/// How often a pair may call, both directions together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PairRate {
    /// Calls per second, more than 0.
    pub(crate) per_second: f64,
    /// Calls at once, at least 1.
    pub(crate) burst: u32,
}

impl From<PairRate> for Rate {
    fn from(rate: PairRate) -> Self {
        Self::new(rate.per_second, rate.burst)
    }
}

/// A pair, as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pair {
    /// The MSP's `client-id`.
    pub(crate) msp: PartyId,
    /// The CMP's `client-id`.
    pub(crate) cmp: PartyId,
    /// Whether calls are carried on.
    #[serde(default)]
    pub(crate) state: PairState,
    /// The state before a suspension, to go back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) resumes_as: Option<PairState>,
    /// The name under which the CMP knows the MSP; its client-id if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) msp_as: Option<PartyId>,
    /// The name under which the MSP knows the CMP; its client-id if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cmp_as: Option<PartyId>,
    /// How often it may call; as the configuration says if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rate: Option<PairRate>,
    /// Whether the hub accepts calls for a party that is away, and delivers them later. False: the caller gets the
    /// refusal, and repeats.
    #[serde(default = "yes")]
    pub(crate) keep: bool,
}

fn yes() -> bool {
    true
}

impl Pair {
    /// A live pair under the parties' own names.
    #[must_use]
    pub(crate) fn new(msp: PartyId, cmp: PartyId) -> Self {
        Self {
            msp,
            cmp,
            state: PairState::Live,
            resumes_as: None,
            msp_as: None,
            cmp_as: None,
            rate: None,
            keep: true,
        }
    }

    /// Its name.
    #[must_use]
    pub(crate) fn id(&self) -> PairId {
        PairId {
            msp: self.msp.clone(),
            cmp: self.cmp.clone(),
        }
    }

    /// Moves it to another state. A suspension remembers the state to go back to.
    pub(crate) fn set_state(&mut self, state: PairState) {
        self.resumes_as = match (state, self.state) {
            (PairState::Suspended, PairState::Suspended) => self.resumes_as,
            (PairState::Suspended, before) => Some(before),
            _ => None,
        };
        self.state = state;
    }

    /// Ends a suspension, in the state before it; false if there is none.
    pub(crate) fn resume(&mut self) -> bool {
        let suspended = self.state == PairState::Suspended;
        if suspended {
            self.set_state(self.resumes_as.unwrap_or_default());
        }
        suspended
    }

    /// Whether the numbers make sense.
    ///
    /// # Errors
    /// Which does not.
    pub(crate) fn check(&self) -> Result<(), String> {
        let rate = self.rate.map_or(Ok(()), |rate| Rate::from(rate).check());
        rate.map_err(|e| format!("pair {}: rate: {e}", self.id()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // However a sandbox pair was suspended, its calls must not go to live addresses afterwards.
    #[test]
    fn a_pair_resumes_as_what_it_was() {
        for before in [PairState::Live, PairState::Sandbox] {
            let mut pair = Pair::new("m0".parse().unwrap(), "c0".parse().unwrap());
            pair.set_state(before);
            assert!(!pair.resume());
            for _ in 0..2 {
                pair.set_state(PairState::Suspended);
            }
            assert!(pair.resume());
            assert_eq!((pair.state, pair.resumes_as), (before, None));
        }
    }
}
