//! What the MSP knows: the rows of its tables as types that cannot be wrong.

mod job;
mod onboarding;
mod order;
mod profile;
mod subscription;

pub(crate) use job::{Job, JobState, Kind, OutboxRow};
pub(crate) use onboarding::{Onboarding, OnboardingState};
pub(crate) use order::{AcRequest, Delivery, Order, OrderState, Ordered};
pub(crate) use profile::{Profile, ProfilePhase, Progress, StatusRow};
pub(crate) use subscription::{Subscription, SubscriptionChange, SubscriptionState, SwapPolicy};

/// An enum that is a word in the database.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// The word.
            #[must_use]
            pub(crate) fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl std::str::FromStr for $name {
            type Err = ();

            fn from_str(text: &str) -> Result<Self, ()> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(()),
                }
            }
        }
    };
}
pub(crate) use words;
