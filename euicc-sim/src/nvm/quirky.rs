//! A memory that misbehaves on demand: power goes at the nth write, or an enabling is forgotten at
//! the next reset. Both leave a state that some real card has shown.

use super::FileNvm;
use aid_euicc::nvm::{Durability, Key, Memory, Nvm, NvmError, Write};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// When the power goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    /// At which write since the start, counted from 1.
    pub(crate) write: u64,
    /// After the write was stored instead of before.
    pub(crate) after: bool,
}

/// The switch between the layer that watches EnableProfile and the memory that forgets it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Enables(Arc<AtomicBool>);

impl Enables {
    /// From now on writes are held back until they are forgotten or kept.
    pub(crate) fn hold(&self, hold: bool) {
        self.0.store(hold, Ordering::Relaxed);
    }

    fn held(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

enum Store {
    File(FileNvm),
    Memory(Memory),
}

/// The memory of a served card.
pub(crate) struct CardNvm {
    store: Store,
    cut: Option<Cut>,
    writes: u64,
    off: bool,
    enables: Enables,
    /// What was written since an enabling that will be forgotten.
    held: BTreeMap<Key, Option<Vec<u8>>>,
}

impl CardNvm {
    /// A memory in a file.
    pub(crate) fn file(file: FileNvm) -> Self {
        Self::with(Store::File(file))
    }

    /// A memory that ends with the process.
    pub(crate) fn memory() -> Self {
        Self::with(Store::Memory(Memory::new()))
    }

    fn with(store: Store) -> Self {
        Self {
            store,
            cut: None,
            writes: 0,
            off: false,
            enables: Enables::default(),
            held: BTreeMap::new(),
        }
    }

    /// Power goes once.
    pub(crate) fn cut(mut self, cut: Option<Cut>) -> Self {
        self.cut = cut;
        self
    }

    /// The memory obeys this switch.
    pub(crate) fn forget(mut self, enables: &Enables) -> Self {
        self.enables = enables.clone();
        self
    }

    /// Writes to disk what was only buffered.
    pub(crate) fn flush(&self) -> io::Result<()> {
        match &self.store {
            Store::File(file) => file.flush(),
            Store::Memory(_) => Ok(()),
        }
    }

    /// Was the power cut by the last command? It is on again then.
    pub(crate) fn power_came_back(&mut self) -> bool {
        std::mem::take(&mut self.off)
    }

    /// The card was reset: what was held back is forgotten.
    pub(crate) fn was_reset(&mut self) {
        self.enables.hold(false);
        self.held.clear();
    }

    /// The enabling was none: what was held back is written.
    pub(crate) fn keep_held(&mut self) -> Result<(), NvmError> {
        self.enables.hold(false);
        let held = std::mem::take(&mut self.held);
        if held.is_empty() {
            return Ok(());
        }
        let writes: Vec<Write<'_>> = held
            .iter()
            .map(|(key, data)| match data {
                Some(data) => Write::Put(*key, data),
                None => Write::Delete(*key),
            })
            .collect();
        self.commit(&writes, Durability::Flushed)
    }

    fn inner(&mut self) -> &mut dyn Nvm {
        match &mut self.store {
            Store::File(file) => file,
            Store::Memory(memory) => memory,
        }
    }
}

fn power() -> NvmError {
    NvmError {
        reason: "power was cut".into(),
    }
}

impl Nvm for CardNvm {
    fn get(&mut self, key: Key) -> Result<Option<Vec<u8>>, NvmError> {
        if self.off {
            return Err(power());
        }
        if let Some(data) = self.held.get(&key) {
            return Ok(data.clone());
        }
        self.inner().get(key)
    }

    fn commit(&mut self, batch: &[Write<'_>], durability: Durability) -> Result<(), NvmError> {
        if self.off {
            return Err(power());
        }
        self.writes += 1;
        let cut = self.cut.filter(|cut| cut.write == self.writes);
        if cut.is_some_and(|cut| !cut.after) {
            self.off = true;
            return Err(power());
        }
        if self.enables.held() {
            for write in batch {
                let (key, data) = match write {
                    Write::Put(key, data) => (*key, Some(data.to_vec())),
                    Write::Delete(key) => (*key, None),
                };
                self.held.insert(key, data);
            }
        } else {
            self.inner().commit(batch, durability)?;
        }
        if cut.is_some() {
            self.off = true;
            return Err(power());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(nvm: &mut CardNvm, data: &[u8]) -> Result<(), NvmError> {
        nvm.commit(&[Write::Put(Key::Card, data)], Durability::Flushed)
    }

    #[test]
    fn power_goes_before_or_after_the_nth_write() {
        for after in [false, true] {
            let mut nvm = CardNvm::memory().cut(Some(Cut { write: 2, after }));
            put(&mut nvm, b"1").unwrap();
            assert!(!nvm.power_came_back());
            assert!(put(&mut nvm, b"2").is_err());
            assert!(nvm.get(Key::Card).is_err());
            assert!(nvm.power_came_back());
            let stored = if after { b"2" } else { b"1" };
            assert_eq!(nvm.get(Key::Card).unwrap().unwrap(), stored);
            put(&mut nvm, b"3").unwrap();
            assert!(!nvm.power_came_back());
        }
    }

    #[test]
    fn an_enabling_is_forgotten_or_kept() {
        let enables = Enables::default();
        let mut nvm = CardNvm::memory().forget(&enables);
        put(&mut nvm, b"old").unwrap();
        enables.hold(true);
        put(&mut nvm, b"new").unwrap();
        assert_eq!(nvm.get(Key::Card).unwrap().unwrap(), b"new");
        nvm.was_reset();
        assert_eq!(nvm.get(Key::Card).unwrap().unwrap(), b"old");
        enables.hold(true);
        put(&mut nvm, b"new").unwrap();
        nvm.keep_held().unwrap();
        nvm.was_reset();
        assert_eq!(nvm.get(Key::Card).unwrap().unwrap(), b"new");
    }
}
