//! Where an activation code may send a car: to a public SM-DP+, on its usual port (SGP.22 §4.1). An MSP that is mistaken, or
//! that somebody else has taken over, must not make cars look around in private networks.

use aid_id::ActivationCode;
use aid_id::smdp_address::{NotPublic, check, is_public};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// Longest wait for a name to be resolved. A name that can't be resolved here is not refused: the car resolves it itself.
const RESOLVE: Duration = Duration::from_secs(3);
/// How long an answer holds.
const HOLDS: Duration = Duration::from_secs(60);
/// Most names that are remembered.
const MAX_NAMES: usize = 1000;

/// What names resolved to, and when.
type Seen = BTreeMap<String, (Instant, Result<(), NotPublic>)>;

/// Judges addresses; remembers for a minute what a name resolved to.
#[derive(Debug, Default)]
pub struct Judge {
    seen: Mutex<Seen>,
}

impl Judge {
    /// Whether a car may be sent to the SM-DP+ of this code.
    ///
    /// # Errors
    /// Why not.
    pub async fn check(&self, code: &ActivationCode) -> Result<(), NotPublic> {
        let host = code.address().to_ascii_lowercase();
        check(&host)?;
        if let Some((at, result)) = self.lock().get(&host)
            && at.elapsed() < HOLDS
        {
            return *result;
        }
        let found = timeout(RESOLVE, tokio::net::lookup_host(format!("{host}:443"))).await;
        let result = match found {
            Ok(Ok(addresses)) => judge(addresses.map(|a| a.ip())),
            Ok(Err(error)) => {
                tracing::debug!(host, %error, "the SM-DP+ of a code is not resolved here");
                Ok(())
            }
            Err(_) => Ok(()),
        };
        let mut seen = self.lock();
        if seen.len() >= MAX_NAMES {
            seen.retain(|_, (at, _)| at.elapsed() < HOLDS);
        }
        if seen.len() < MAX_NAMES {
            seen.insert(host, (Instant::now(), result));
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        // Nothing is left half done in there, so a panic elsewhere does not matter.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One address that is not public is enough: which of several a car takes nobody knows.
fn judge(mut addresses: impl Iterator<Item = IpAddr>) -> Result<(), NotPublic> {
    match addresses.all(is_public) {
        true => Ok(()),
        false => Err(NotPublic::Private),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_that_is_not_public_is_enough() {
        let mixed = ["8.8.8.8", "10.0.0.1"].map(|a| a.parse().expect("address"));
        assert_eq!(judge(mixed.into_iter()), Err(NotPublic::Private));
    }
}
