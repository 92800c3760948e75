//! The port of the ordering step: what a test bench may have done differently about one order.

use std::fmt::Debug;
use std::time::Duration;

use super::slots::{Full, Slots};
use crate::core::model::{Delivery, OnboardingState, Profile};

/// How one order is worked on. The defaults are what AID.02 wants.
pub(crate) trait Ordering: Debug + Send + Sync {
    /// Whether a token in this state may have a code (§4.4).
    fn admits(&self, state: OnboardingState) -> bool {
        state.is_live()
    }

    /// Whether a request that is accepted is worked on at all.
    fn is_begun(&self) -> bool {
        true
    }

    /// How the answer travels; `agreed` is what the CMP expects.
    fn delivery(&self, agreed: Delivery) -> Delivery {
        agreed
    }

    /// How long an asynchronous order waits before the work begins.
    fn pause(&self, usual: Duration) -> Duration {
        usual
    }

    /// The error that the CMP gets instead of a code: number and text.
    fn refusal(&self) -> Option<String> {
        None
    }

    /// The profile to give up (§4.3.1).
    ///
    /// # Errors
    /// One has to be given up, and none can be.
    fn to_swap<'a>(&self, slots: &Slots<'a>) -> Result<Option<&'a Profile>, Full> {
        slots.usual_swap()
    }
}

/// As AID.02 wants it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usual;

impl Ordering for Usual {}
