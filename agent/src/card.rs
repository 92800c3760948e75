//! The card's port: a blocking `Euicc` on a thread of its own, one operation at a time.
//! AID3 and ES10 are behind it; implemented over `aid-lpa`, and by fakes in tests.

use aid_agent_core::{CardProfile, EuiccError, EuiccOp};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

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

/// What the card's thread says.
#[derive(Debug)]
pub(crate) enum CardEvent {
    Progress {
        stage: String,
        apdus: u64,
    },
    Done {
        op: u64,
        result: Result<(), EuiccError>,
        profiles: Option<Vec<CardProfile>>,
    },
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
            for (op, what) in orders {
                let result = match &what {
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
                let (result, profiles) = match euicc.list() {
                    Ok(list) => (result, Some(list)),
                    Err(error) => (result.and(Err(error)), None),
                };
                tell(CardEvent::Done {
                    op,
                    result,
                    profiles,
                });
            }
        })?;
    Ok(sender)
}
