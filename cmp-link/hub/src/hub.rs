//! The hub as a whole: what listener, deliveries, upkeep and console share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aid_cli::cli::Failure;
use aid_serve::limit::{Limiter, Rate};
use aid_serve::live::Live;
use tokio::sync::Notify;

use crate::backlog::{Backlog, Load};
use crate::carriers::{Carriers, OwnTls};
use crate::config::Config;
use crate::core::delivery::Patience;
use crate::core::directory::Directory;
use crate::core::pair::PairId;
use crate::flights::{Flights, Landing};
use crate::gate::Gate;
use crate::store::{Book, Meter, Store, Success};

/// The hub. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Hub(Arc<Inner>);

/// What [`Hub`] points to.
#[derive(Debug)]
pub(crate) struct Inner {
    /// The database.
    pub(crate) store: Store,
    /// Parties and pairs, and how they are reached.
    network: Live<Network>,
    /// How the hub shows itself to the parties.
    own: Live<OwnTls>,
    /// Longest time for a synchronous activation code.
    pub(crate) synchronous: Duration,
    /// Longest time for any other answer.
    pub(crate) answer: Duration,
    /// Pauses between deliveries.
    pub(crate) patience: Patience,
    /// Deliveries to one target at once.
    pub(crate) places: usize,
    /// How long things are kept.
    pub(crate) retention: crate::config::Retention,
    /// Calls that are being answered.
    pub(crate) flights: Arc<Flights>,
    /// Wakes the deliveries.
    pub(crate) due: Notify,
    /// Wrong keys of a certificate.
    pub(crate) certificates: Limiter<[u8; 32]>,
    /// What is not delivered.
    pub(crate) backlog: Backlog,
    usual: Usual,
    unwritten: Mutex<Unwritten>,
}

/// What callers have heard, or do not depend on, and the next [`Hub::flush`] stores.
#[derive(Debug, Default)]
struct Unwritten {
    /// Successes of calls that are stored, each with what answers repetitions meanwhile.
    successes: Vec<(Success, Landing)>,
    meter: Meter,
}

impl std::ops::Deref for Hub {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// Parties and pairs as they are now, and how they are reached.
#[derive(Debug)]
pub(crate) struct Network {
    /// Of the book that it was made of.
    pub(crate) revision: i64,
    /// Who may call whom.
    pub(crate) directory: Directory,
    /// How each is called.
    pub(crate) carriers: Carriers,
    gates: BTreeMap<PairId, Gate>,
}

/// What a pair may claim, as the configuration says.
#[derive(Clone, Copy, Debug)]
struct Usual {
    /// Where the pair has no rate of its own.
    rate: Rate,
    /// Calls under way towards each side.
    at_once: usize,
}

impl Network {
    /// The gate of a pair.
    #[must_use]
    pub(crate) fn gate(&self, pair: &PairId) -> Option<&Gate> {
        self.gates.get(pair)
    }

    fn new(
        book: &Book,
        own: &Arc<OwnTls>,
        usual: Usual,
        before: Option<&Self>,
    ) -> Result<Self, Failure> {
        let directory = book.directory().map_err(Failure::new)?;
        let carriers = Carriers::new(directory.parties(), own, before.map(|b| &b.carriers))?;
        let mut gates = BTreeMap::new();
        for pair in directory.pairs() {
            let (id, rate) = (pair.id(), pair.rate.map_or(usual.rate, Rate::from));
            let same = before.and_then(|before| before.gates.get(&id));
            let gate = Gate::new(rate, usual.at_once, same);
            gates.insert(id, gate);
        }
        Ok(Self {
            revision: book.revision,
            directory,
            carriers,
            gates,
        })
    }
}

impl Hub {
    /// Opens the database, and reads parties and keys.
    ///
    /// # Errors
    /// A file, a value or the database is not usable.
    pub(crate) async fn open(config: &Config) -> Result<Self, Failure> {
        let own = Arc::new(OwnTls::read(&config.client)?);
        let store = Store::open(&config.database).await?;
        let book = store.book().await?;
        let usual = Usual {
            rate: config.limits.pair,
            at_once: usize::from(config.limits.at_once),
        };
        let network = Network::new(&book, &own, usual, None)?;
        let most = Load {
            calls: config.delivery.kept_calls.into(),
            bytes: u64::from(config.delivery.kept_mb) * 1_000_000,
        };
        let ms = |ms: u32| Duration::from_millis(u64::from(ms));
        Ok(Self(Arc::new(Inner {
            store,
            network: Live::new(Arc::new(network)),
            own: Live::new(own),
            synchronous: ms(config.limits.synchronous_ms),
            answer: ms(config.limits.answer_ms),
            patience: config.delivery.patience(),
            places: usize::from(config.delivery.places),
            retention: config.retention,
            flights: Arc::default(),
            due: Notify::new(),
            certificates: Limiter::new(config.limits.certificate),
            backlog: Backlog::new(most),
            usual,
            unwritten: Mutex::default(),
        })))
    }

    /// Parties and pairs as they are now. Whoever asks twice for one call may see two states.
    #[must_use]
    pub(crate) fn network(&self) -> Arc<Network> {
        self.network.now()
    }

    /// Reads the parties again where they have changed.
    ///
    /// # Errors
    /// They cannot be used, or the database failed: what was in force stays so.
    pub(crate) async fn follow(&self) -> Result<(), Failure> {
        let (now, own) = (self.network(), self.own.now());
        if self.store.revision().await? == now.revision && now.carriers.are_of(&own) {
            return Ok(());
        }
        let book = self.store.book().await?;
        let network = Network::new(&book, &own, self.usual, Some(&now))?;
        self.network.renew(Arc::new(network));
        tracing::info!(
            revision = book.revision,
            "parties and pairs were read again"
        );
        self.due.notify_one();
        Ok(())
    }

    /// Shows the parties another certificate, from the next [`Hub::follow`] on.
    pub(crate) fn renew(&self, own: OwnTls) {
        self.own.renew(Arc::new(own));
    }

    fn unwritten(&self) -> MutexGuard<'_, Unwritten> {
        // Values are added one by one, so a panic elsewhere does not matter.
        let unwritten = self.unwritten.lock();
        unwritten.unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts something that is stored by the next [`Hub::flush`].
    pub(crate) fn count(&self, meter: Meter) {
        self.unwritten().meter.merge(meter);
    }

    /// Takes a success that is stored by the next [`Hub::flush`]. That the call is accepted is stored already.
    pub(crate) fn succeeded(&self, success: Success, landing: Landing) {
        self.unwritten().successes.push((success, landing));
    }

    /// Stores what was counted, and the successes of stored calls, in one commit.
    pub(crate) async fn flush(&self) {
        let Unwritten { successes, meter } = std::mem::take(&mut *self.unwritten());
        if successes.is_empty() && meter.is_empty() {
            return;
        }
        let ended = successes.iter().map(|(success, _)| success.clone());
        let write = self
            .store
            .write_back(ended.collect(), meter.clone(), now_ms());
        if let Err(error) = write.await {
            tracing::error!(%error, "meter and answers were not stored; it is tried again");
            let mut unwritten = self.unwritten();
            unwritten.meter.merge(meter);
            unwritten.successes.extend(successes);
        }
    }
}

/// Milliseconds since 1970.
#[must_use]
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A time as RFC 3339 has it, in UTC.
#[must_use]
pub(crate) fn rfc3339(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |time| time.to_string())
}

/// The day of a time, in UTC.
#[must_use]
pub(crate) fn day(ms: i64) -> String {
    let text = rfc3339(ms);
    text.split('T').next().unwrap_or_default().to_owned()
}
