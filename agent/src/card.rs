//! The card's port: a blocking `Euicc` on a thread of its own, one operation at a time.
//! AID3 and ES10 are behind it; implemented by `euicc` over `aid-lpa`, and by fakes in tests.
//! The card may come late, go and come back: no operation is run before it said that it is this car's.

use aid_agent_core::{CardProfile, EuiccError, EuiccOp};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

/// Time without an operation after which the logical channel is given back.
const IDLE: Duration = Duration::from_secs(2);

/// What the agent needs of a card with its LPA. Calls block.
pub trait Euicc: Send {
    /// The card's EID, 32 digits.
    ///
    /// # Errors
    /// The card does not answer.
    fn eid(&mut self) -> Result<String, EuiccError>;
    /// Operational profiles on the card.
    ///
    /// # Errors
    /// The card does not answer.
    fn list(&mut self) -> Result<Vec<CardProfile>, EuiccError>;
    /// Does anything but `EuiccOp::List`; `progress` is called during a download.
    ///
    /// # Errors
    /// The card or the SM-DP+ refused, or can't be reached.
    fn execute(&mut self, what: &EuiccOp, progress: &mut dyn FnMut(&str))
    -> Result<(), EuiccError>;
    /// Nothing is to be done for a while: gives back what others may need (the logical channel).
    fn release(&mut self) {}
}

/// Figures of the card and the SM-DP+ connection, written by the `Euicc`.
#[derive(Debug, Default)]
pub struct Counters {
    /// C-APDUs.
    pub apdus: AtomicU64,
    /// TCP payload received on admin connections, bytes.
    pub admin_rx_bytes: AtomicU64,
    /// TCP payload sent on admin connections, bytes.
    pub admin_tx_bytes: AtomicU64,
}

impl Counters {
    /// APDUs, bytes received, bytes sent.
    #[must_use]
    pub fn read(&self) -> (u64, u64, u64) {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (
            get(&self.apdus),
            get(&self.admin_rx_bytes),
            get(&self.admin_tx_bytes),
        )
    }
}

impl aid_lpa::Meter for Counters {
    fn apdu(&self) {
        self.apdus.fetch_add(1, Ordering::Relaxed);
    }
    fn received(&self, bytes: u64) {
        self.admin_rx_bytes.fetch_add(bytes, Ordering::Relaxed);
    }
    fn sent(&self, bytes: u64) {
        self.admin_tx_bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// What the card's thread says.
#[derive(Debug)]
pub(crate) enum CardEvent {
    /// The card answered for the first time: its EID.
    Eid(String),
    Progress {
        stage: String,
        apdus: u64,
    },
    Done {
        op: u64,
        result: Result<(), EuiccError>,
        profiles: Option<Vec<CardProfile>>,
        /// C-APDUs when it ended: by the time somebody hears of it, the next may be running.
        apdus: u64,
    },
    /// The thread ended: no operation will.
    Ended,
}

/// Says that the thread ended, whatever ended it.
struct End<F: Fn(CardEvent)>(F);

impl<F: Fn(CardEvent)> Drop for End<F> {
    fn drop(&mut self) {
        (self.0)(CardEvent::Ended);
    }
}

/// Whose card it is.
#[derive(Default)]
struct Identity {
    /// EID of the car's card, once it answered.
    eid: Option<String>,
    /// The card answered since it was last asked, and nothing has failed.
    checked: bool,
}

impl Identity {
    /// Asks a card that may be another one than before.
    fn check(
        &mut self,
        euicc: &mut dyn Euicc,
        tell: &impl Fn(CardEvent),
    ) -> Result<(), EuiccError> {
        if self.checked {
            return Ok(());
        }
        let found = euicc.eid()?;
        match &self.eid {
            None => {
                tell(CardEvent::Eid(found.clone()));
                self.eid = Some(found);
            }
            Some(own) if *own != found => {
                return Err(EuiccError {
                    code: 0,
                    text: format!("the card has EID {found}, this car's has {own}"),
                    permanent: false,
                    full: false,
                });
            }
            Some(_) => {}
        }
        self.checked = true;
        Ok(())
    }
}

/// Starts the thread; it ends when the sender is dropped.
pub(crate) fn spawn(
    mut euicc: Box<dyn Euicc>,
    counters: Arc<Counters>,
    tell: impl Fn(CardEvent) + Send + 'static,
) -> std::io::Result<mpsc::Sender<(u64, EuiccOp)>> {
    let (sender, orders) = mpsc::channel::<(u64, EuiccOp)>();
    std::thread::Builder::new()
        .name("card".into())
        .spawn(move || {
            let end = End(tell);
            let tell = &end.0;
            let mut identity = Identity::default();
            while let Some((op, what)) = next(&orders, &mut *euicc) {
                let known = identity.check(&mut *euicc, tell);
                let result = match &what {
                    _ if known.is_err() => known,
                    EuiccOp::List => Ok(()),
                    what => euicc.execute(what, &mut |stage| {
                        let apdus = counters.apdus.load(Ordering::Relaxed);
                        tell(CardEvent::Progress {
                            stage: stage.to_owned(),
                            apdus,
                        });
                    }),
                };
                // Never by guessing: what counts is what is on the card now.
                let (result, profiles) = if identity.checked {
                    match euicc.list() {
                        Ok(list) => (result, Some(list)),
                        Err(error) => (result.and(Err(error)), None),
                    }
                } else {
                    (result, None)
                };
                identity.checked &= profiles.is_some();
                tell(CardEvent::Done {
                    op,
                    result,
                    profiles,
                    apdus: counters.apdus.load(Ordering::Relaxed),
                });
            }
            euicc.release();
        })?;
    Ok(sender)
}

/// The next order; while none comes the card is released. `None` when none can come any more.
fn next(orders: &mpsc::Receiver<(u64, EuiccOp)>, euicc: &mut dyn Euicc) -> Option<(u64, EuiccOp)> {
    match orders.recv_timeout(IDLE) {
        Ok(order) => Some(order),
        Err(RecvTimeoutError::Disconnected) => None,
        Err(RecvTimeoutError::Timeout) => {
            euicc.release();
            orders.recv().ok()
        }
    }
}
