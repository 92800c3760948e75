//! The state as a snapshot holds it: a postcard structure that only grows at its end.

use super::{Download, Durable, Intent, Order, Record, Report, Reset, Verifier};
use crate::bounds::{push_newest, put};
use aid_id::{AccountRef, Iccid, Id};
use alloc::{collections::BTreeMap, vec::Vec};
use serde::Deserialize;

/// A journal that can't be replayed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("journal record {index} (0 is the snapshot) is not readable by this version: {source}")]
pub struct RestoreError {
    /// Number of the record.
    pub index: usize,
    /// What is wrong with it.
    pub source: postcard::Error,
}

/// As [`Durable`], of any length: agents without bounds wrote it, too.
#[derive(Deserialize)]
struct Snapshot {
    report_seq: u64,
    owners: BTreeMap<Iccid, AccountRef>,
    outbox: Vec<Report>,
    intent: Option<Intent>,
    downloads: Vec<Download>,
    requests: Vec<(Id, AccountRef)>,
    orders: Vec<Order>,
    closed: Vec<Id>,
    logouts: Vec<(Id, AccountRef)>,
    again: Vec<Id>,
    wanted: Vec<Iccid>,
    link_returns: Vec<(Id, u16)>,
    verifiers: Vec<Verifier>,
    clock: u64,
    own_reset: Option<Id>,
    reset: Option<Reset>,
}

/// Fields that later versions added at the end; a zero byte is the default of each.
const LATER_FIELDS: [u8; 7] = [0; 7];

/// The newest items, as many as fit.
fn newest<T, const N: usize>(items: impl IntoIterator<Item = T>) -> heapless::Vec<T, N> {
    let mut list = heapless::Vec::new();
    for item in items {
        push_newest(&mut list, item);
    }
    list
}

impl From<Snapshot> for Durable {
    fn from(found: Snapshot) -> Self {
        let mut state = Self {
            report_seq: found.report_seq,
            outbox: newest(found.outbox),
            intent: found.intent,
            downloads: newest(found.downloads),
            requests: newest(found.requests),
            orders: newest(found.orders),
            closed: newest(found.closed),
            logouts: newest(found.logouts),
            again: newest(found.again),
            wanted: newest(found.wanted),
            verifiers: newest(found.verifiers),
            clock: found.clock,
            own_reset: found.own_reset,
            reset: found.reset,
            ..Self::default()
        };
        for (iccid, account) in found.owners {
            put(&mut state.owners, iccid, account);
        }
        for (id, count) in found.link_returns {
            put(&mut state.link_returns, id, count);
        }
        state
    }
}

impl Durable {
    /// The state behind a journal. What an agent without bounds left over them is cut to the newest.
    ///
    /// # Errors
    /// A record is not readable.
    pub fn restore(snapshot: Option<&[u8]>, records: &[Vec<u8>]) -> Result<Self, RestoreError> {
        let at = |index| move |source| RestoreError { index, source };
        let mut state = match snapshot {
            // What a snapshot has no bytes for is empty; what it has none too few for ignores them.
            Some(bytes) => {
                let bytes = [bytes, &LATER_FIELDS].concat();
                Self::from(postcard::from_bytes::<Snapshot>(&bytes).map_err(at(0))?)
            }
            None => Self::default(),
        };
        for (index, bytes) in records.iter().enumerate() {
            let list: Vec<Record> = postcard::from_bytes(bytes).map_err(at(index + 1))?;
            list.into_iter().for_each(|record| state.apply(record));
        }
        Ok(state)
    }
}
