//! The log over a `Media`: recovery, append, snapshot. One writer, no clocks.
//! Recovery drops what was never acknowledged before anything new is appended.

use crate::format::{MAX_PAYLOAD, Record, SECTOR, SegmentHeader, padded};
use crate::media::Media;
use alloc::vec::Vec;

/// Sizes of a log.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Bytes of a segment; at least 4 KiB, a multiple of 512.
    pub segment_size: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            segment_size: 512 * 1024,
        }
    }
}

impl Config {
    /// Least bytes of a segment.
    fn size(self) -> usize {
        self.segment_size.max(4096).div_ceil(SECTOR) * SECTOR
    }
}

/// Why the log does not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error<E: core::fmt::Debug + core::fmt::Display> {
    /// The device is full; nothing was written, nothing was lost.
    #[error("the journal's device is full: {0}; free space")]
    Full(E),
    /// Storage failed; the log takes no more records until it is opened again.
    #[error("the journal's storage failed: {0}")]
    Media(E),
    /// An earlier failure left the end of the log unknown.
    #[error("the journal stopped after an earlier storage failure; open it again")]
    Stopped,
    /// Acknowledged bytes are damaged.
    #[error("journal segment {segment} is damaged at byte {offset}; expected sequence {expected}")]
    Damaged {
        /// The segment.
        segment: u64,
        /// Offset of the damage in bytes.
        offset: usize,
        /// Sequence that should have been there.
        expected: u64,
    },
    /// The payload is empty or over the limit.
    #[error("a journal record carries 1 to {MAX_PAYLOAD} bytes, got {got}")]
    PayloadSize {
        /// Its size in bytes.
        got: usize,
    },
}

/// What recovery found, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovered {
    /// The snapshot, where one was written.
    pub snapshot: Option<Vec<u8>>,
    /// Payloads of the records behind it.
    pub records: Vec<Vec<u8>>,
}

/// A log that is open for appending.
#[derive(Debug)]
pub struct Journal<M: Media> {
    media: M,
    config: Config,
    segment: u64,
    offset: usize,
    size: usize,
    next_sequence: u64,
    epoch: u32,
    stopped: bool,
}

fn storage<M: Media>(error: M::Error) -> Error<M::Error> {
    if M::is_full(&error) {
        Error::Full(error)
    } else {
        Error::Media(error)
    }
}

/// Writes zeros over a whole segment.
fn overwrite<M: Media>(media: &mut M, segment: u64) -> Result<(), M::Error> {
    let length = media.read(segment)?.len();
    media.write(segment, 0, &alloc::vec![0; length])?;
    media.sync(segment)
}

/// What a reading of the segments found.
struct Scan {
    recovered: Recovered,
    /// Segments that a snapshot replaced.
    stale: Vec<u64>,
    next_sequence: u64,
    epoch: u32,
    /// Where the log ends.
    end: Option<End>,
}

/// End of the log in its last segment; all in bytes.
struct End {
    segment: u64,
    offset: usize,
    size: usize,
    /// Of a torn record behind the end, whole sectors.
    garbage: usize,
}

/// Reads what was acknowledged and changes nothing: for a device that takes no writes.
///
/// # Errors
/// As [`Journal::open`]; a device that can't be written is none.
pub fn read<M: Media>(mut media: M, config: Config) -> Result<Recovered, Error<M::Error>> {
    scan(&mut media, config).map(|scan| scan.recovered)
}

fn scan<M: Media>(media: &mut M, config: Config) -> Result<Scan, Error<M::Error>> {
    let mut segments = Vec::new();
    for id in media.list().map_err(storage::<M>)? {
        let bytes = media.read(id).map_err(storage::<M>)?;
        // Segments are made whole: a shorter one lost acknowledged records. The last number of all
        // leaves none for the next segment.
        let whole = bytes.len() >= config.size() && bytes.len().is_multiple_of(SECTOR);
        let header = SegmentHeader::parse(&bytes)
            .filter(|h| whole && h.segment == id && id < u64::MAX && h.first_sequence < u64::MAX);
        segments.push((id, header, bytes));
    }
    // Everything before the newest snapshot is what an interrupted compaction left.
    let start = segments
        .iter()
        .rposition(|(_, h, _)| h.is_some_and(|h| h.snapshot))
        .unwrap_or(0);
    let stale = segments.drain(..start).map(|(id, ..)| id).collect();

    let mut recovered = Recovered::default();
    let first = segments.first().and_then(|(_, h, _)| *h);
    // Without a snapshot the log has to be there from its first record on.
    let mut next_sequence = first.filter(|h| h.snapshot).map_or(1, |h| h.first_sequence);
    let mut epoch = 0;
    let last = segments.len().saturating_sub(1);
    let mut end = None;
    for (index, (id, header, bytes)) in segments.iter().enumerate() {
        let (segment, expected) = (*id, next_sequence);
        let Some(header) = header.filter(|h| h.first_sequence == expected) else {
            return Err(Error::Damaged {
                segment,
                offset: 0,
                expected,
            });
        };
        let mut offset = SECTOR;
        while let Some(record) = bytes.get(offset..).and_then(Record::parse) {
            if record.sequence != next_sequence || record.epoch < epoch {
                break;
            }
            let Some(following) = next_sequence.checked_add(1) else {
                break;
            };
            if header.snapshot && offset == SECTOR {
                recovered.snapshot = Some(record.payload.to_vec());
            } else {
                recovered.records.push(record.payload.to_vec());
            }
            epoch = record.epoch;
            next_sequence = following;
            offset += padded(record.payload.len());
        }
        let damaged = || Error::Damaged {
            segment,
            offset,
            expected: next_sequence,
        };
        if header.snapshot && offset == SECTOR {
            return Err(damaged());
        }
        let tail = bytes.get(offset..).unwrap_or_default();
        // At most one record is in flight: a sound later one proves damage, not a torn tail.
        let mut later = (0..tail.len())
            .step_by(SECTOR)
            .filter_map(|at| Record::parse(&tail[at..]));
        if later.any(|r| r.sequence > next_sequence) {
            return Err(damaged());
        }
        if index == last {
            let used = tail.iter().rposition(|b| *b != 0).map_or(0, |p| p + 1);
            end = Some(End {
                segment,
                offset,
                size: bytes.len(),
                garbage: tail.len().min(used.div_ceil(SECTOR) * SECTOR),
            });
        }
    }
    Ok(Scan {
        recovered,
        stale,
        next_sequence,
        epoch,
        end,
    })
}

impl<M: Media> Journal<M> {
    /// Opens the log, creating it where there is none, and returns what was acknowledged.
    ///
    /// # Errors
    /// Storage failures, and damage to acknowledged bytes where it can be told from a torn tail.
    pub fn open(mut media: M, config: Config) -> Result<(Self, Recovered), Error<M::Error>> {
        let scan = scan(&mut media, config)?;
        for id in scan.stale {
            // It may be what an erasure was about to overwrite when the power failed.
            overwrite(&mut media, id).map_err(storage::<M>)?;
            media.remove(id).map_err(storage::<M>)?;
        }
        let mut journal = Self {
            media,
            config,
            segment: 0,
            offset: 0,
            size: 0,
            next_sequence: scan.next_sequence,
            epoch: scan.epoch.saturating_add(1),
            stopped: false,
        };
        match scan.end {
            Some(end) => {
                let id = end.segment;
                (journal.segment, journal.offset, journal.size) = (id, end.offset, end.size);
                if end.garbage > 0 {
                    let zeros = alloc::vec![0; end.garbage];
                    journal
                        .media
                        .write(id, end.offset, &zeros)
                        .map_err(storage::<M>)?;
                    journal.media.sync(id).map_err(storage::<M>)?;
                }
            }
            None => journal.roll(None)?,
        }
        Ok((journal, scan.recovered))
    }

    /// Appends one record and returns its sequence once it is on the device.
    ///
    /// # Errors
    /// `Full` leaves the log usable; after any other storage failure it stops.
    pub fn append(&mut self, payload: &[u8]) -> Result<u64, Error<M::Error>> {
        self.admit(payload)?;
        if self.offset + padded(payload.len()) > self.size {
            return self
                .roll(Some((payload, false)))
                .map(|()| self.next_sequence - 1);
        }
        let bytes = Record {
            sequence: self.next_sequence,
            epoch: self.epoch,
            payload,
        }
        .encode();
        let written = self.media.write(self.segment, self.offset, &bytes);
        if let Err(error) = written.and_then(|()| self.media.sync(self.segment)) {
            self.stopped = true;
            return Err(Error::Media(error));
        }
        self.offset += bytes.len();
        self.next_sequence = self.next_sequence.saturating_add(1);
        Ok(self.next_sequence - 1)
    }

    /// Writes a snapshot that replaces every record so far, then drops the old segments.
    ///
    /// # Errors
    /// As `append`. A failure to drop old segments stops the log; the snapshot stands.
    pub fn snapshot(&mut self, payload: &[u8]) -> Result<u64, Error<M::Error>> {
        self.admit(payload)?;
        let old = self.media.list().map_err(storage::<M>)?;
        self.roll(Some((payload, true)))?;
        for id in old {
            if let Err(error) = self.media.remove(id) {
                self.stopped = true;
                return Err(storage::<M>(error));
            }
        }
        Ok(self.next_sequence - 1)
    }

    /// As `snapshot`, and overwrites what it replaces, and what was put aside, before that is removed. After a power cut in
    /// it, opening the log goes on with that; the caller repeats the call.
    ///
    /// # Errors
    /// As `snapshot`; something of it may still be there.
    pub fn erase(&mut self, payload: &[u8]) -> Result<u64, Error<M::Error>> {
        self.admit(payload)?;
        let old = self.media.list().map_err(storage::<M>)?;
        self.roll(Some((payload, true)))?;
        let erased = old.into_iter().try_for_each(|id| {
            overwrite(&mut self.media, id)?;
            self.media.remove(id)
        });
        if let Err(error) = erased.and_then(|()| self.media.erase_aside()) {
            self.stopped = true;
            return Err(storage::<M>(error));
        }
        Ok(self.next_sequence - 1)
    }

    /// Bytes in use in the current segment: a reason to write a snapshot.
    #[must_use]
    pub fn used(&self) -> usize {
        self.offset
    }

    /// Gives the storage back.
    pub fn into_media(self) -> M {
        self.media
    }

    fn admit(&self, payload: &[u8]) -> Result<(), Error<M::Error>> {
        if self.stopped {
            return Err(Error::Stopped);
        }
        if payload.is_empty() || payload.len() > MAX_PAYLOAD {
            return Err(Error::PayloadSize { got: payload.len() });
        }
        Ok(())
    }

    /// Begins the next segment, with a first record where there is one.
    fn roll(&mut self, first: Option<(&[u8], bool)>) -> Result<(), Error<M::Error>> {
        let segment = self.segment.saturating_add(1);
        let snapshot = first.is_some_and(|(_, snapshot)| snapshot);
        let first_sequence = self.next_sequence;
        let mut head = SegmentHeader {
            snapshot,
            segment,
            first_sequence,
        }
        .encode();
        if let Some((payload, _)) = first {
            head.extend(
                Record {
                    sequence: first_sequence,
                    epoch: self.epoch,
                    payload,
                }
                .encode(),
            );
        }
        let size = self.config.size().max(head.len());
        if let Err(error) = self.media.create(segment, size, &head) {
            let error = storage::<M>(error);
            self.stopped = !matches!(error, Error::Full(_));
            return Err(error);
        }
        self.next_sequence = self
            .next_sequence
            .saturating_add(u64::from(first.is_some()));
        (self.segment, self.offset, self.size) = (segment, head.len(), size);
        Ok(())
    }
}
