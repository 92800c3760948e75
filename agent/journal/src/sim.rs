//! Storage in memory that fails on purpose: power is cut at a chosen operation, and the sectors
//! that were not synced come back old, new or as garbage, drawn from a seed.
//! Operations fail on purpose, too: what was not synced then stays readable, and is lost all the same.

use crate::format::SECTOR;
use crate::media::Media;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

/// Why `SimMedia` refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SimError {
    /// Power is off since the chosen operation.
    #[error("power was cut")]
    PowerCut,
    /// No room for another segment.
    #[error("no space left on device")]
    Full,
    /// The device does not read or write.
    #[error("input/output error")]
    Io,
    /// No such segment, or a write outside of it.
    #[error("no such place in the log")]
    NoSuchPlace,
}

/// Operations that fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// What they say.
    pub error: SimError,
    /// Changing operations that work before.
    pub after: u64,
    /// How many fail; the device works again afterwards.
    pub count: u64,
    /// While they fail nothing can be read, either.
    pub unreadable: bool,
}

/// Segments in memory, with faults.
#[derive(Debug, Clone, Default)]
pub struct SimMedia {
    durable: BTreeMap<u64, Vec<u8>>,
    volatile: BTreeMap<u64, Vec<u8>>,
    /// Operations that change storage, so far.
    operations: u64,
    cut_at: Option<u64>,
    off: bool,
    seed: u64,
    fault: Option<Fault>,
    /// Sectors whose sync failed, by segment: they can be read, and no later sync writes them.
    lost: BTreeMap<u64, BTreeSet<usize>>,
    /// What was put away, by its name.
    pub aside: BTreeMap<String, BTreeMap<u64, Vec<u8>>>,
    /// Most segments that fit; `None`: no limit.
    pub max_segments: Option<usize>,
}

impl SimMedia {
    /// Storage whose faults come from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed: seed | 1,
            ..Self::default()
        }
    }

    /// Cuts power at the changing operation number `operation` (0 is the next one).
    pub fn cut_after(&mut self, operation: u64) {
        self.cut_at = Some(self.operations + operation);
    }

    /// Lets operations fail from now on.
    pub fn fail(&mut self, fault: Fault) {
        self.fault = Some(fault);
    }

    /// Takes back what is still to fail; false when there is nothing.
    pub fn heal(&mut self) -> bool {
        self.fault.take().is_some()
    }

    /// The segments as they would be read.
    pub fn segments(&mut self) -> &mut BTreeMap<u64, Vec<u8>> {
        &mut self.volatile
    }

    /// True once power is off.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.off
    }

    /// Changing operations so far.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.operations
    }

    /// Power fails now (where it has not yet) and comes back.
    pub fn restart(&mut self) {
        self.tear();
        self.volatile = self.durable.clone();
        self.lost.clear();
        self.off = false;
        self.cut_at = None;
    }

    /// Overwrites a byte on the device: damage, not a power cut.
    pub fn damage(&mut self, segment: u64, offset: usize) {
        for map in [&mut self.durable, &mut self.volatile] {
            if let Some(byte) = map.get_mut(&segment).and_then(|s| s.get_mut(offset)) {
                *byte ^= 0x5A;
            }
        }
    }

    fn random(&mut self) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed
    }

    /// What was not synced becomes old, new or garbage, sector by sector.
    fn tear(&mut self) {
        let written = core::mem::take(&mut self.volatile);
        for (id, new) in written {
            let Some(mut old) = self.durable.remove(&id) else {
                continue;
            };
            for (o, n) in old.chunks_mut(SECTOR).zip(new.chunks(SECTOR)) {
                if o == n {
                    continue;
                }
                match self.random() % 4 {
                    0 => {}
                    1 => o.copy_from_slice(n),
                    2 => {
                        let cut = (self.random() as usize) % n.len();
                        o[..cut].copy_from_slice(&n[..cut]);
                    }
                    _ => o.iter_mut().for_each(|b| *b = self.random() as u8),
                }
            }
            self.durable.insert(id, old);
        }
    }

    /// What a reading says while the device fails.
    fn readable(&mut self) -> Result<(), SimError> {
        match self.fault {
            _ if self.off => Err(SimError::PowerCut),
            Some(fault) if fault.after == 0 && fault.unreadable => {
                self.step()?;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Counts an operation; true when power fails in it.
    fn step(&mut self) -> Result<bool, SimError> {
        if self.off {
            return Err(SimError::PowerCut);
        }
        if let Some(fault) = &mut self.fault {
            if let Some(left) = fault.after.checked_sub(1) {
                fault.after = left;
            } else {
                let error = fault.error;
                fault.count = fault.count.saturating_sub(1);
                if fault.count == 0 {
                    self.fault = None;
                }
                return Err(error);
            }
        }
        self.off = self.cut_at == Some(self.operations);
        self.operations += 1;
        Ok(self.off)
    }
}

impl Media for SimMedia {
    type Error = SimError;

    fn list(&mut self) -> Result<Vec<u64>, SimError> {
        self.readable()?;
        Ok(self.volatile.keys().copied().collect())
    }

    fn create(&mut self, segment: u64, size: usize, head: &[u8]) -> Result<(), SimError> {
        if self
            .max_segments
            .is_some_and(|max| self.volatile.len() >= max)
        {
            return Err(SimError::Full);
        }
        let cut = self.step()?;
        if !cut || self.random().is_multiple_of(2) {
            let mut bytes = head.to_vec();
            bytes.resize(size, 0);
            self.durable.insert(segment, bytes.clone());
            self.volatile.insert(segment, bytes);
        }
        if cut { Err(SimError::PowerCut) } else { Ok(()) }
    }

    fn read(&mut self, segment: u64) -> Result<Vec<u8>, SimError> {
        self.readable()?;
        self.volatile
            .get(&segment)
            .cloned()
            .ok_or(SimError::NoSuchPlace)
    }

    fn write(&mut self, segment: u64, offset: usize, bytes: &[u8]) -> Result<(), SimError> {
        if self.off {
            return Err(SimError::PowerCut);
        }
        let step = self.step();
        // A write that fails may have got half way.
        let kept = match step {
            Err(_) => self.random() as usize % (bytes.len() + 1),
            Ok(_) => bytes.len(),
        };
        let place = self.volatile.get_mut(&segment);
        let place = place.and_then(|s| s.get_mut(offset..offset + bytes.len()));
        let place = place.ok_or(SimError::NoSuchPlace)?;
        place[..kept].copy_from_slice(&bytes[..kept]);
        if let Some(lost) = self.lost.get_mut(&segment) {
            let sectors = offset / SECTOR..(offset + kept).div_ceil(SECTOR);
            lost.retain(|sector| !sectors.contains(sector));
        }
        if step? {
            Err(SimError::PowerCut)
        } else {
            Ok(())
        }
    }

    fn sync(&mut self, segment: u64) -> Result<(), SimError> {
        if self.off {
            return Err(SimError::PowerCut);
        }
        let step = self.step();
        let new = self.volatile.get(&segment).ok_or(SimError::NoSuchPlace)?;
        let old = self.durable.entry(segment).or_insert_with(|| new.clone());
        let lost = self.lost.entry(segment).or_default();
        for (sector, (o, n)) in old.chunks_mut(SECTOR).zip(new.chunks(SECTOR)).enumerate() {
            if o == n || lost.contains(&sector) {
                continue;
            }
            match step {
                Ok(false) => o.copy_from_slice(n),
                Ok(true) => {}
                // The system gives the pages up, and takes them for written.
                Err(_) => {
                    lost.insert(sector);
                }
            }
        }
        if step? {
            Err(SimError::PowerCut)
        } else {
            Ok(())
        }
    }

    fn remove(&mut self, segment: u64) -> Result<(), SimError> {
        let cut = self.step()?;
        if !cut || self.random().is_multiple_of(2) {
            self.durable.remove(&segment);
            self.volatile.remove(&segment);
        }
        if cut { Err(SimError::PowerCut) } else { Ok(()) }
    }

    fn set_aside(&mut self, name: &str) -> Result<Option<String>, SimError> {
        self.step()?;
        if self.volatile.is_empty() {
            return Ok(None);
        }
        self.durable.clear();
        self.lost.clear();
        let away = core::mem::take(&mut self.volatile);
        self.aside.insert(String::from(name), away);
        Ok(Some(String::from(name)))
    }

    fn erase_aside(&mut self) -> Result<(), SimError> {
        self.step()?;
        self.aside.clear();
        Ok(())
    }

    fn is_full(error: &SimError) -> bool {
        *error == SimError::Full
    }
}
