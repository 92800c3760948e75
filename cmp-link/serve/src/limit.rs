//! Token buckets: how often somebody may do something. Time is an argument; memory is bounded.

use crate::http::Peer;
use crate::metrics::Counter;
use crate::slots::network;
use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Most buckets that are kept. A bucket that is full again says nothing and goes first.
const MAX_BUCKETS: usize = 10_000;

/// A rate: `burst` at once, then `per_second`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Per second, more than 0; 0.2 is one in five seconds.
    pub per_second: f64,
    /// At once, at least 1.
    pub burst: u32,
}

impl Rate {
    /// A rate.
    #[must_use]
    pub const fn new(per_second: f64, burst: u32) -> Self {
        Self { per_second, burst }
    }

    /// Whether the numbers make sense.
    ///
    /// # Errors
    /// Which does not.
    pub fn check(&self) -> Result<(), String> {
        let good = self.per_second.is_finite() && self.per_second > 0.0 && self.burst > 0;
        good.then_some(()).ok_or_else(|| {
            format!(
                "per_second {} must be above 0 and burst {} at least 1",
                self.per_second, self.burst
            )
        })
    }
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

/// One bucket for each key.
#[derive(Debug)]
pub struct Limiter<K> {
    rate: Rate,
    buckets: Mutex<BTreeMap<K, Bucket>>,
}

impl<K: Ord + Clone> Limiter<K> {
    /// All buckets are full.
    #[must_use]
    pub const fn new(rate: Rate) -> Self {
        let buckets = Mutex::new(BTreeMap::new());
        Self { rate, buckets }
    }

    /// Takes a token of this key.
    ///
    /// # Errors
    /// There is none; how long until there is one.
    pub fn take(&self, key: &K, now: Instant) -> Result<(), Duration> {
        self.attempt(key, now, || Err::<(), ()>(())).map(drop)
    }

    /// Judges an attempt at a secret of this key. It costs a token unless it succeeds; without a token it is not judged.
    /// Attempts are judged one at a time, so that never more wrong ones are judged than there are tokens, however many
    /// come at once. `judge` must be quick: all keys wait for it.
    ///
    /// # Errors
    /// There is no token; how long until there is one.
    pub fn attempt<T, E>(
        &self,
        key: &K,
        now: Instant,
        judge: impl FnOnce() -> Result<T, E>,
    ) -> Result<Result<T, E>, Duration> {
        // Nothing is left half done in there, so a panic elsewhere does not matter.
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let full = f64::from(self.rate.burst);
        if !buckets.contains_key(key) && buckets.len() >= MAX_BUCKETS {
            self.make_room(&mut buckets, now);
        }
        let bucket = buckets.entry(key.clone()).or_insert(Bucket {
            tokens: full,
            at: now,
        });
        let tokens = self.level(bucket, now);
        *bucket = Bucket { tokens, at: now };
        if tokens >= 1.0 {
            let judged = judge();
            if judged.is_err() {
                bucket.tokens = tokens - 1.0;
            }
            return Ok(judged);
        }
        let wait = (1.0 - tokens) / self.rate.per_second;
        Err(Duration::try_from_secs_f64(wait).unwrap_or(Duration::MAX))
    }

    fn level(&self, bucket: &Bucket, now: Instant) -> f64 {
        let elapsed = now.saturating_duration_since(bucket.at).as_secs_f64();
        (bucket.tokens + elapsed * self.rate.per_second).min(f64::from(self.rate.burst))
    }

    /// Removes full buckets, and at least a tenth: those that have most. So whoever is held back most is forgotten last,
    /// however many others come, and the work for one more key stays small.
    fn make_room(&self, buckets: &mut BTreeMap<K, Bucket>, now: Instant) {
        let full = f64::from(self.rate.burst);
        buckets.retain(|_, bucket| self.level(bucket, now) < full);
        let mut excess = buckets.len().saturating_sub(MAX_BUCKETS / 10 * 9);
        if excess == 0 {
            return;
        }
        let mut levels: Vec<_> = buckets.values().map(|b| self.level(b, now)).collect();
        let (_, limit, _) = levels.select_nth_unstable_by(excess - 1, |a, b| b.total_cmp(a));
        let limit = *limit;
        // Those above first: of those at the limit only as many as must.
        let above = |b: &Bucket| self.level(b, now) > limit;
        let before = buckets.len();
        buckets.retain(|_, bucket| !above(bucket));
        excess = excess.saturating_sub(before - buckets.len());
        buckets.retain(|_, bucket| {
            let goes = excess > 0 && self.level(bucket, now) >= limit;
            excess -= usize::from(goes);
            !goes
        });
    }
}

/// `Retry-After` of a refusal: whole seconds, at least one (RFC 9110 §10.2.3).
#[must_use]
pub fn retry_after(wait: Duration) -> u64 {
    wait.as_secs()
        .saturating_add(u64::from(wait.subsec_nanos() > 0))
        .max(1)
}

static LOGINS: Counter = Counter::new("aid_logins_limited", "Login attempts answered with 429");

/// Limits POSTs to these paths of pages, such as the login form, by the address that they come from. The paths share one
/// bucket, so that a client that is refused at one of them can't go on at the next. `page` is what a refused one sees; the
/// status 429 and `Retry-After` are added to it.
pub fn logins(
    router: Router,
    paths: &'static [&'static str],
    rate: Rate,
    page: impl Fn(&HeaderMap, Duration) -> Response + Clone + Send + Sync + 'static,
) -> Router {
    let limiter = Arc::new(Limiter::new(rate));
    router.layer(from_fn(move |request: Request, next: Next| {
        let (limiter, page) = (Arc::clone(&limiter), page.clone());
        async move {
            let counted = request.method() == Method::POST && paths.contains(&request.uri().path());
            let peer = request.extensions().get::<Peer>();
            let from = peer.filter(|_| counted).map(|p| network(p.addr.ip()));
            match from.map_or(Ok(()), |from| limiter.take(&from, Instant::now())) {
                Ok(()) => next.run(request).await,
                Err(wait) => {
                    LOGINS.add(&[]);
                    let mut answer = page(request.headers(), wait);
                    *answer.status_mut() = StatusCode::TOO_MANY_REQUESTS;
                    let seconds = HeaderValue::from(retry_after(wait));
                    answer.headers_mut().insert(header::RETRY_AFTER, seconds);
                    answer
                }
            }
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    // R-B-7
    #[test]
    fn a_burst_then_the_rate_for_each_key() {
        let limiter = Limiter::new(Rate::new(2.0, 3));
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        for _ in 0..3 {
            assert_eq!(limiter.take(&"a", at(0)), Ok(()));
        }
        assert_eq!(limiter.take(&"a", at(0)), Err(Duration::from_millis(500)));
        assert_eq!(limiter.take(&"b", at(0)), Ok(()));
        assert_eq!(limiter.take(&"a", at(499)).map_err(retry_after), Err(1));
        assert_eq!(limiter.take(&"a", at(500)), Ok(()));
        assert!(limiter.take(&"a", at(500)).is_err());
        // A clock that goes back gives nothing and takes nothing.
        assert!(limiter.take(&"a", at(100)).is_err());
        for _ in 0..3 {
            assert_eq!(limiter.take(&"a", at(60_000)), Ok(()));
        }
        assert!(limiter.take(&"a", at(60_000)).is_err());
    }

    #[test]
    fn an_attempt_costs_a_token_unless_it_succeeds_and_none_is_judged_without() {
        let limiter = Limiter::new(Rate::new(1.0, 3));
        let now = Instant::now();
        for _ in 0..10 {
            assert_eq!(limiter.attempt(&"a", now, || Ok::<_, ()>(7)), Ok(Ok(7)));
        }
        for _ in 0..3 {
            assert_eq!(limiter.attempt(&"a", now, || Err::<(), _>(9)), Ok(Err(9)));
        }
        let unjudged = limiter.attempt(&"a", now, || -> Result<(), ()> { panic!("judged") });
        assert_eq!(unjudged, Err(Duration::from_secs(1)));
    }

    #[test]
    fn memory_is_bounded_and_nobody_who_is_held_back_is_forgotten_for_others() {
        let limiter = Limiter::new(Rate::new(1.0, 4));
        let start = Instant::now();
        let busy = 0..100_usize;
        for key in busy.clone() {
            while limiter.take(&key, start).is_ok() {}
        }
        // From many addresses, each as often as it can but once: all are half empty and worse.
        for key in 1000..1000 + 3 * MAX_BUCKETS {
            for _ in 0..3 {
                assert_eq!(limiter.take(&key, start), Ok(()));
            }
            assert!(limiter.buckets.lock().expect("lock").len() <= MAX_BUCKETS);
        }
        for key in busy {
            assert!(limiter.take(&key, start).is_err(), "{key} was forgotten");
        }
        // Where nobody has a token left nothing grows either.
        for key in 0..2 * MAX_BUCKETS {
            while limiter.take(&key, start).is_ok() {}
        }
        assert!(limiter.buckets.lock().expect("lock").len() <= MAX_BUCKETS);
        // After a while all are full again and go.
        let later = start + Duration::from_secs(60);
        assert_eq!(limiter.take(&usize::MAX, later), Ok(()));
    }

    #[test]
    fn a_rate_must_make_sense_and_a_wait_is_whole_seconds() {
        for (per_second, burst) in [(0.0, 1), (-1.0, 1), (f64::NAN, 1), (1.0, 0)] {
            assert!(Rate::new(per_second, burst).check().is_err());
        }
        assert!(Rate::new(0.1, 1).check().is_ok());
        assert_eq!(retry_after(Duration::ZERO), 1);
        assert_eq!(retry_after(Duration::from_millis(1001)), 2);
        assert_eq!(retry_after(Duration::MAX), u64::MAX);
    }
}
