//! Calls that are being answered, by caller and `CMP-request-id`: a repetition that comes meanwhile waits for the same
//! answer and is not carried on beside the first. An answer that came too late for its caller stays here for a while, in
//! memory only, so that the repetition gets it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aid_aid1::headers::PartyId;
use tokio::sync::watch;
use uuid::Uuid;

use crate::core::answer::Answer;
use crate::core::pair::PairId;

/// How long a late answer stays.
const LATE: Duration = Duration::from_secs(60);
/// Most late answers of a pair that stay; its oldest go first.
const MOST_LATE: usize = 100;

/// Who calls, and the id of the call.
type Key = (PartyId, Uuid);

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Flights(Mutex<BTreeMap<Key, Flight>>);

/// What makes a call under the same id the same one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Same {
    /// Between whom it is.
    pub(crate) pair: PairId,
    /// SHA-256 of method, path and body.
    pub(crate) digest: [u8; 32],
}

#[derive(Debug)]
struct Flight {
    same: Same,
    answer: watch::Receiver<Option<Answer>>,
    /// When it landed, where its answer stays.
    landed: Option<Instant>,
}

/// What a call finds.
#[derive(Debug)]
pub(crate) enum Joined {
    /// It is the first: it has to land.
    First(Landing),
    /// The same call is under way: its answer is this one's too.
    Same(Waiting),
    /// Another call has the same id.
    Mismatch,
}

/// The answer that somebody else waits for, too.
pub(crate) type Waiting = watch::Receiver<Option<Answer>>;

/// The duty to say how a call was answered. Dropped without that, those who wait hear that nobody answers.
#[derive(Debug)]
pub(crate) struct Landing {
    flights: Arc<Flights>,
    key: Key,
    tell: watch::Sender<Option<Answer>>,
    stays: bool,
}

/// Waits for an answer; none if whoever had the call is gone.
pub(crate) async fn wait(mut waiting: Waiting) -> Option<Answer> {
    let landed = waiting.wait_for(Option::is_some).await.ok()?;
    landed.clone()
}

impl Flights {
    /// Begins a call, or joins the same one.
    pub(crate) fn join(self: &Arc<Self>, key: Key, same: Same, now: Instant) -> Joined {
        // Nothing is left half done in there, so a panic elsewhere does not matter.
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = all.get(&key) {
            let over = flight
                .landed
                .is_some_and(|at| now.saturating_duration_since(at) >= LATE);
            if !over {
                return match flight.same == same {
                    true => Joined::Same(flight.answer.clone()),
                    false => Joined::Mismatch,
                };
            }
        }
        let (tell, answer) = watch::channel(None);
        let flight = Flight {
            same,
            answer,
            landed: None,
        };
        all.insert(key.clone(), flight);
        Joined::First(Landing {
            flights: Arc::clone(self),
            key,
            tell,
            stays: false,
        })
    }

    /// Forgets late answers that have stayed long enough: there are activation codes among them.
    pub(crate) fn sweep(&self, now: Instant) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Self::forget_old(&mut all, now);
    }

    fn forget_old(all: &mut BTreeMap<Key, Flight>, now: Instant) {
        let over = |at: Instant| now.saturating_duration_since(at) >= LATE;
        all.retain(|_, flight| !flight.landed.is_some_and(over));
    }

    fn make_room(all: &mut BTreeMap<Key, Flight>, key: &Key, now: Instant) {
        Self::forget_old(all, now);
        let Some(pair) = all.get(key).map(|flight| flight.same.pair.clone()) else {
            return;
        };
        let late = all.iter().filter(|(_, flight)| flight.same.pair == pair);
        let late = late.filter_map(|(key, flight)| Some((flight.landed?, key)));
        if late.clone().count() >= MOST_LATE {
            let oldest = late.min().map(|(_, key)| key.clone());
            oldest.and_then(|key| all.remove(&key));
        }
    }
}

impl Landing {
    /// The answer that it will have.
    #[must_use]
    pub(crate) fn answer(&self) -> Waiting {
        self.tell.subscribe()
    }

    /// The call was answered: whoever waits, and whoever joins until this is dropped, gets the answer.
    pub(crate) fn answered(&self, answer: Answer) {
        self.tell.send_replace(Some(answer));
    }

    /// The call was answered in time: whoever waits gets the answer, and the call is forgotten here.
    pub(crate) fn land(self, answer: Answer) {
        self.tell.send_replace(Some(answer));
    }

    /// The call was answered too late for its caller: the answer stays for a repetition.
    pub(crate) fn land_late(mut self, answer: Answer, now: Instant) {
        self.tell.send_replace(Some(answer));
        self.stays = true;
        let mut all = self
            .flights
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Flights::make_room(&mut all, &self.key, now);
        if let Some(flight) = all.get_mut(&self.key) {
            flight.landed = Some(now);
        }
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        if !self.stays {
            let mut all = self
                .flights
                .0
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            all.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;

    fn key(n: u128) -> Key {
        ("mspOne".parse().unwrap(), Uuid::from_u128(n))
    }

    fn same(n: u8) -> Same {
        Same {
            pair: "m0/c0".parse().unwrap(),
            digest: [n; 32],
        }
    }

    fn answer() -> Answer {
        Answer::done(StatusCode::CREATED)
    }

    // R-1.1-1, R-5.1-1: a repetition that meets the first is answered as that is.
    #[tokio::test]
    async fn repetitions_wait_for_the_first() {
        let flights = Arc::new(Flights::default());
        let now = Instant::now();
        let Joined::First(landing) = flights.join(key(1), same(1), now) else {
            panic!("first");
        };
        let Joined::Same(waiting) = flights.join(key(1), same(1), now) else {
            panic!("same");
        };
        assert!(matches!(
            flights.join(key(1), same(2), now),
            Joined::Mismatch
        ));
        // The same words to another party are another call.
        let other = Same {
            pair: "m0/c1".parse().unwrap(),
            ..same(1)
        };
        assert!(matches!(flights.join(key(1), other, now), Joined::Mismatch));
        assert!(matches!(
            flights.join(key(2), same(2), now),
            Joined::First(_)
        ));
        landing.answered(answer());
        assert_eq!(wait(waiting).await, Some(answer()));
        // Its end is not stored yet: a repetition gets the answer from here.
        let Joined::Same(waiting) = flights.join(key(1), same(1), now) else {
            panic!("same");
        };
        assert_eq!(wait(waiting).await, Some(answer()));
        landing.land(answer());
        // It is over: the next one is carried on.
        let Joined::First(landing) = flights.join(key(1), same(1), now) else {
            panic!("first");
        };
        let Joined::Same(waiting) = flights.join(key(1), same(1), now) else {
            panic!("same");
        };
        drop(landing);
        assert_eq!(wait(waiting).await, None);
    }

    // R-7.7.1-3: what came too late is not lost with the activation code in it.
    #[tokio::test]
    async fn a_late_answer_stays_for_a_while() {
        let flights = Arc::new(Flights::default());
        let now = Instant::now();
        for n in 0..MOST_LATE as u128 + 10 {
            let Joined::First(landing) = flights.join(key(n), same(1), now) else {
                panic!("first");
            };
            landing.land_late(answer(), now + Duration::from_millis(n as u64));
        }
        assert!(flights.0.lock().unwrap().len() <= MOST_LATE);
        // Those of other pairs stay.
        let theirs = Same {
            pair: "m1/c0".parse().unwrap(),
            ..same(1)
        };
        let other = ("m1".parse().unwrap(), Uuid::from_u128(1));
        let Joined::First(landing) = flights.join(other, theirs, now) else {
            panic!("first");
        };
        landing.land_late(answer(), now);
        assert!(flights.0.lock().unwrap().len() == MOST_LATE + 1);
        let last = key(MOST_LATE as u128 + 9);
        let Joined::Same(waiting) = flights.join(last.clone(), same(1), now) else {
            panic!("same");
        };
        assert_eq!(wait(waiting).await, Some(answer()));
        let later = now + LATE + Duration::from_secs(10);
        flights.sweep(later);
        assert!(flights.0.lock().unwrap().is_empty());
        assert!(matches!(
            flights.join(last, same(1), later),
            Joined::First(_)
        ));
    }
}
