//! The CMP without its listeners: every decision is loaded, made and committed here, and what it says to cars is sent
//! after the commit.

mod account;
mod aid1;
mod attempts;
mod car_login;
mod car_sessions;
mod cars;
mod certificates;
mod codes;
mod connections;
mod desk;
mod export;
mod garage;
mod identity;
mod logout;
mod offline;
mod outstanding;
mod presence;
mod reports;
mod upkeep;
mod user_profile;
mod web;

use crate::config::{Agreed, Config, Fixed, Msp};
use crate::smdp;
use crate::store::{Store, StoreError, Stored, Tx};
use crate::views;
use aid_cmp_core::change::Change;
use aid_cmp_core::decide::{Context, Decision, Outgoing, code, serving};
use aid_cmp_core::model::Federation;
use aid_id::{AccountRef, ActivationCode, Eid, Id};
use aid_wire::Down;
use connections::{Connections, Source, Told};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::{Notify, mpsc};

pub use account::{Changed, is_pin};
pub use car_login::{CODE_PAGE, CarLogin, Judged};
pub use cars::Taken;
pub use certificates::Bootstrapped;
pub use connections::{Frame, QUEUE};
pub use desk::{NotIn, SESSION_MS};
pub use garage::{Car, CarProfile, Failure, Named, Standing};
pub use identity::Entered;
pub use upkeep::Purged;
pub use user_profile::{Preferred, is_preference, is_preference_name};
pub use web::{Overview, SignIn, Subscription};

/// The CMP without its listeners.
#[derive(Debug)]
pub struct Service {
    /// The database.
    pub store: Store,
    /// What stays as it is until the next start.
    pub config: Fixed,
    agreed: RwLock<Arc<Agreed>>,
    connections: Connections,
    presence: presence::Presence,
    /// Cars that show a code whose approval may come through another instance.
    showing: Mutex<BTreeSet<Eid>>,
    /// Decisions so far.
    decided: AtomicU64,
    /// Judges where activation codes send cars.
    smdp: smdp::Judge,
    /// Cars for which the PKI is asked at present.
    issuing: Mutex<BTreeSet<Eid>>,
    /// How many commands of the PKI run at once.
    commands: tokio::sync::Semaphore,
    /// A call to an MSP is due.
    pub(crate) due: Notify,
}

/// A new id. Ids are ordered by time (UUID version 7), so that rows made together lie together in an index; whoever
/// knows one can guess others. [`random`] is for what must not be guessed.
#[must_use]
pub fn fresh() -> Id {
    uuid::Uuid::now_v7().into_bytes()
}

/// Random bytes (UUID version 4: 122 bits), for cookies, codes and whatever else must not be guessed.
#[must_use]
pub fn random() -> Id {
    uuid::Uuid::new_v4().into_bytes()
}

/// Unix milliseconds.
#[must_use]
pub fn now() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH);
    elapsed.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

impl Service {
    /// A service over an open database.
    pub fn new(store: Store, config: Config) -> Self {
        Self {
            store,
            config: config.fixed,
            agreed: RwLock::new(Arc::new(config.agreed)),
            connections: Connections::default(),
            presence: presence::Presence::new(),
            showing: Mutex::new(BTreeSet::new()),
            decided: AtomicU64::new(0),
            smdp: smdp::Judge::default(),
            issuing: Mutex::new(BTreeSet::new()),
            commands: tokio::sync::Semaphore::new(certificates::COMMANDS),
            due: Notify::new(),
        }
    }

    pub(crate) fn context(&self) -> Context {
        Context {
            now: now(),
            fresh,
            random,
            policy: self.config.file.policy,
        }
    }

    /// What is agreed with the MSPs now. Whoever asks twice for one request may see two agreements.
    #[must_use]
    pub fn agreed(&self) -> Arc<Agreed> {
        let agreed = self.agreed.read();
        Arc::clone(&agreed.unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another agreement into force: the next request is judged by it, the next call made with it.
    pub fn renew(&self, agreed: Agreed) {
        for msp in &agreed.msps {
            if let Some(before) = self.msp(&msp.name) {
                msp.deviations.put_back(before.deviations.take());
            }
        }
        let before = self.agreed.write();
        *before.unwrap_or_else(PoisonError::into_inner) = Arc::new(agreed);
    }

    /// The configured MSP of this name.
    #[must_use]
    pub fn msp(&self, name: &str) -> Option<Arc<Msp>> {
        let agreed = self.agreed();
        agreed.msps.iter().find(|m| m.name == name).cloned()
    }

    /// Whether a car may be sent to the SM-DP+ of this code.
    ///
    /// # Errors
    /// Why not, for the MSP.
    pub(crate) async fn check_smdp(
        &self,
        code: &ActivationCode,
    ) -> Result<(), aid_id::smdp_address::NotPublic> {
        if self.config.file.policy.private_smdp {
            return Ok(());
        }
        let checked = self.smdp.check(code).await;
        if let Err(error) = checked {
            let address = code.address();
            tracing::warn!(address, %error, "an activation code was refused; on a bench set policy.private_smdp");
        }
        checked
    }

    /// The only way to change anything: loads and decides on one transaction, commits, then sends what is to be sent.
    ///
    /// `decide` may be run several times. It has no effects, and waits for nothing but its transaction.
    ///
    /// # Errors
    /// That of `decide`, or the store failed; nothing is changed and nothing sent then.
    pub(crate) async fn decide<T, E>(
        self: &Arc<Self>,
        decide: impl for<'t> AsyncFn(&'t Self, &'t Tx<'t>, &'t Context) -> Result<(Decision, T), E>
        + Send
        + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let service = Arc::clone(self);
        let whole = async move |tx: &Tx<'_>| {
            let (decision, value) = decide(&service, tx, &service.context()).await?;
            let mut decision = views::without_repeated_deletions(tx, decision).await?;
            let down = views::messages(tx, &mut decision).await?;
            let changes = decision.changes;
            let after = After {
                calls: changes.iter().any(|c| matches!(c, Change::AddCall(_))),
                users: profiles_touched(&changes),
                down,
                // Whoever waited for a lock of this decision gets a greater number.
                number: service.decided.fetch_add(1, Ordering::Relaxed),
            };
            Ok::<_, E>((changes, (after, value)))
        };
        let service = Arc::clone(self);
        // In a task of its own: a caller that hangs up stops neither the decision nor what follows it.
        let done = tokio::spawn(async move {
            let (after, value) = service.store.decide(whole).await?;
            service.follow(after).await;
            Ok(value)
        });
        let lost = |error: tokio::task::JoinError| StoreError::Failed(error.to_string());
        done.await.map_err(lost)?
    }

    /// Reads one state of the database, for a page or a message. Nothing is decided on it.
    ///
    /// # Errors
    /// The store failed.
    pub(crate) async fn look<T: Send + 'static>(
        self: &Arc<Self>,
        look: impl for<'t> AsyncFnOnce(&'t Self, &'t Tx<'t>) -> Stored<T> + Send + 'static,
    ) -> Stored<T> {
        let service = Arc::clone(self);
        self.store
            .read(async move |tx: &Tx<'_>| look(&service, tx).await)
            .await
    }

    /// Sends what a decision says. It is on disk already, so what can't be sent now is logged and sent again.
    async fn follow(self: &Arc<Self>, after: After) {
        let mut sent = Vec::new();
        for message in after.down {
            match self.is_for_who_is_in(&message).await {
                // It is sent when that user logs in.
                Ok(false) => continue,
                Ok(true) => {}
                Err(error) => {
                    tracing::error!(eid = %message.eid, %error, "a message was not sent; it is sent again");
                    self.connections.again(message.eid);
                    continue;
                }
            }
            let told = self
                .connections
                .tell(&message, Source::Decision(after.number));
            if let (Told::Sent, Down::Order { order_id, .. }) = (told, &message.body) {
                sent.push(*order_id);
            }
        }
        if after.calls {
            self.due.notify_one();
        }
        let noted = self.sent(sent).await;
        if let Err(error) = noted.and(self.refresh_profiles(after.users).await) {
            tracing::error!(%error, "what follows a decision was not done");
        }
    }

    /// Makes changes that stand on nothing that has to be read.
    pub(crate) async fn commit(&self, changes: Vec<Change>) -> Stored<()> {
        if changes.is_empty() {
            return Ok(());
        }
        let all = async move |_: &Tx<'_>| Ok::<_, StoreError>((changes.clone(), ()));
        self.store.decide(all).await
    }

    /// Notes that orders were sent.
    async fn sent(&self, orders: Vec<Id>) -> Stored<()> {
        let at = now();
        let sent = orders.into_iter().map(|id| Change::OrderSent(id, at));
        self.commit(sent.collect()).await
    }

    /// Whether a message may go to its car: an activation code only while its user is logged in there (R-2-10).
    ///
    /// Asked after the commit: a user who logs in at the same time either is seen here, or sees the code when
    /// [`Self::entered`] looks for what is outstanding.
    async fn is_for_who_is_in(self: &Arc<Self>, message: &Outgoing) -> Stored<bool> {
        let (eid, Some(account)) = (message.eid, code::holder(message)) else {
            return Ok(true);
        };
        if !self.is_online(eid) {
            return Ok(true);
        }
        self.look(async move |service, tx| service.is_in(tx, eid, account).await)
            .await
    }

    /// Sends to a car that is connected; true: it was.
    fn tell(&self, message: &Outgoing) -> bool {
        self.connections.tell(message, Source::Read(None)) == Told::Sent
    }

    /// A car subscribed with this certificate (none: behind a broker); what it replaces ends. Yields the number of the
    /// connection.
    pub fn connect(
        &self,
        eid: Eid,
        certificate: Option<[u8; 32]>,
        queue: mpsc::Sender<Box<Frame>>,
    ) -> u64 {
        if certificate.is_some() {
            self.presence.connected(eid, now());
        }
        self.connections.connect(eid, certificate, queue)
    }

    /// A connection ended.
    pub fn disconnect(&self, eid: Eid, number: u64) {
        if self.connections.disconnect(eid, number) {
            self.presence.lost(eid, now());
        }
    }

    /// A car is cut off: nothing is sent to it, and its connection ends.
    pub(crate) fn gone(&self, eid: Eid) {
        self.connections.gone(eid);
        self.presence.lost(eid, now());
    }

    pub(crate) fn is_online(&self, eid: Eid) -> bool {
        self.connections.is_online(eid)
    }

    /// Whether this user is logged in to the car now.
    async fn is_in(&self, tx: &Tx<'_>, eid: Eid, account: AccountRef) -> Stored<bool> {
        let vehicle = tx.vehicle(eid).await?;
        Ok(vehicle.is_some_and(|v| v.session == Some(account)))
    }

    /// The federation that serves an account in a car (§7.3 lets a user have several, R-4.3-5).
    async fn serving(
        &self,
        tx: &Tx<'_>,
        account: AccountRef,
        eid: Option<Eid>,
    ) -> Stored<Option<Federation>> {
        let usable = |msp: &str| self.msp(msp).is_some();
        let active = views::active(tx, account, usable).await?;
        if active.len() < 2 {
            return Ok(active.into_iter().next());
        }
        let here = match eid {
            Some(_) => tx.preference(account, eid).await?,
            None => None,
        };
        let everywhere = tx.preference(account, None).await?;
        Ok(serving::choose(&active, here, everywhere).cloned())
    }

    /// The phone number with digits masked.
    fn masked(&self, federation: &Federation) -> String {
        self.msp(&federation.msp)
            .and_then(|msp| msp.phone_key.decrypt(&federation.phone).ok())
            .map(|number| number.masked())
            .unwrap_or_default()
    }
}

/// What follows the commit of a decision.
struct After {
    /// It has calls to MSPs.
    calls: bool,
    /// Whose AID User Profile it changes.
    users: Vec<AccountRef>,
    /// What is sent.
    down: Vec<Outgoing>,
    /// Its number: of two decisions about the same, the later one has the greater.
    number: u64,
}

/// The users whose AID User Profile these changes touch.
fn profiles_touched(changes: &[Change]) -> Vec<AccountRef> {
    let touched = changes.iter().filter_map(|change| match change {
        Change::AddFederation(f) | Change::UpdateFederation(f) => Some(f.account),
        _ => None,
    });
    touched.collect()
}
