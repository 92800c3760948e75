//! NVM in memory whose power can be cut at any write.

use super::{Durability, Key, Nvm, NvmError, Write};
use alloc::{collections::BTreeMap, vec::Vec};

/// What a power cut does to the commit that it hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The batch is lost.
    Before,
    /// The batch is stored, but the card doesn't live to answer.
    After,
}

/// Records in memory.
#[derive(Debug, Default, Clone)]
pub struct Memory {
    records: BTreeMap<Key, Vec<u8>>,
    commits: u32,
    cut: Option<(u32, Cut)>,
    off: bool,
    refused_commit: Option<u32>,
    refused_read: Option<Key>,
}

impl Memory {
    /// Empty memory.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Cuts the power at the `n`th commit from now, counted from 0: that commit and everything
    /// after it fails.
    pub fn cut_at(&mut self, n: u32, cut: Cut) {
        self.cut = Some((self.commits.wrapping_add(n), cut));
    }

    /// The `n`th commit from now, counted from 0, fails and does nothing; the medium goes on.
    pub fn refuse_commit(&mut self, n: u32) {
        self.refused_commit = Some(self.commits.wrapping_add(n));
    }

    /// The next reading of this record fails, once.
    pub fn refuse_read(&mut self, key: Key) {
        self.refused_read = Some(key);
    }

    /// Power is back: what was stored is there, the card is to be made anew.
    #[must_use]
    pub fn power_on(mut self) -> Self {
        self.off = false;
        self.cut = None;
        self
    }

    /// Has the power been cut?
    #[must_use]
    pub const fn is_off(&self) -> bool {
        self.off
    }

    /// Commits so far.
    #[must_use]
    pub const fn commits(&self) -> u32 {
        self.commits
    }

    /// The records, for comparisons.
    #[must_use]
    pub const fn records(&self) -> &BTreeMap<Key, Vec<u8>> {
        &self.records
    }

    fn power(&self) -> Result<(), NvmError> {
        if self.off {
            return Err(NvmError {
                reason: "power was cut".into(),
            });
        }
        Ok(())
    }
}

impl Nvm for Memory {
    fn get(&mut self, key: Key) -> Result<Option<Vec<u8>>, NvmError> {
        self.power()?;
        if self.refused_read == Some(key) {
            self.refused_read = None;
            return Err(NvmError {
                reason: "the record cannot be read".into(),
            });
        }
        Ok(self.records.get(&key).cloned())
    }

    fn commit(&mut self, batch: &[Write<'_>], _durability: Durability) -> Result<(), NvmError> {
        self.power()?;
        let n = self.commits;
        self.commits = n.wrapping_add(1);
        if self.refused_commit == Some(n) {
            return Err(NvmError {
                reason: "the medium takes no more writes".into(),
            });
        }
        let cut = self.cut.filter(|(at, _)| *at == n).map(|(_, cut)| cut);
        self.off = cut.is_some();
        if cut != Some(Cut::Before) {
            for write in batch {
                match write {
                    Write::Put(key, data) => {
                        self.records.insert(*key, data.to_vec());
                    }
                    Write::Delete(key) => {
                        self.records.remove(key);
                    }
                }
            }
        }
        self.power()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_keeps_or_loses_a_whole_batch() {
        for (cut, kept) in [(Cut::Before, false), (Cut::After, true)] {
            let mut nvm = Memory::new();
            let batch = [
                Write::Put(Key::Card, b"a"),
                Write::Put(Key::Image(1), b"b"),
                Write::Delete(Key::Image(2)),
            ];
            nvm.commit(&[Write::Put(Key::Image(2), b"c")], Durability::Flushed)
                .unwrap();
            nvm.cut_at(0, cut);
            assert!(nvm.commit(&batch, Durability::Flushed).is_err());
            assert!(nvm.get(Key::Card).is_err());
            let mut nvm = nvm.power_on();
            assert_eq!(nvm.get(Key::Card).unwrap().is_some(), kept);
            assert_eq!(nvm.get(Key::Image(1)).unwrap().is_some(), kept);
            assert_eq!(nvm.get(Key::Image(2)).unwrap().is_some(), !kept);
        }
    }

    #[test]
    fn keys_have_bytes() {
        for key in [
            Key::Card,
            Key::Metadata(7),
            Key::Image(0xFFFF),
            Key::Change(3, 9),
            Key::Notification(u32::MAX),
            Key::OneTimeKey,
            Key::Revocations,
        ] {
            assert_eq!(Key::from_bytes(key.to_bytes()), Some(key));
        }
        assert_eq!(Key::from_bytes([9, 0, 0, 0, 0]), None);
    }
}
