//! A car's journal at the level of its records: each is on disk whole or not at all. (That a record is so at any byte at
//! which power is cut is what `agent/journal/tests/power_cut.rs` shows of the real format.)

/// What the disk does with the next writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It writes.
    Good,
    /// Every write fails.
    Full,
    /// The next write fails.
    FailsOnce,
    /// The next write fails, and is there all the same.
    TornOnce,
}

/// The journal.
#[derive(Debug)]
pub struct Disk {
    /// The snapshot under the records.
    pub base: Option<Vec<u8>>,
    /// The records.
    pub records: Vec<Vec<u8>>,
    /// What it does with writes.
    pub health: Health,
    /// Nothing can be read or written.
    pub is_unreadable: bool,
    /// Records that were said to be on disk since the last snapshot.
    pub acknowledged: usize,
    /// It forgets the last record at a cut.
    pub lies: bool,
}

impl Default for Disk {
    fn default() -> Self {
        Self {
            base: None,
            records: Vec::new(),
            health: Health::Good,
            is_unreadable: false,
            acknowledged: 0,
            lies: false,
        }
    }
}

impl Disk {
    /// Whether it can be written.
    #[must_use]
    pub fn works(&self) -> bool {
        !self.is_unreadable && self.health != Health::Full
    }

    /// Appends a record; false: that failed.
    pub fn append(&mut self, bytes: Vec<u8>) -> bool {
        if self.is_unreadable {
            return false;
        }
        let once = self.health;
        if once != Health::Full {
            self.health = Health::Good;
        }
        match once {
            Health::Good => {
                self.records.push(bytes);
                self.acknowledged += 1;
                true
            }
            Health::TornOnce => {
                self.records.push(bytes);
                // Nobody was told that it is there.
                self.acknowledged += 1;
                false
            }
            Health::Full | Health::FailsOnce => false,
        }
    }

    /// Begins with a snapshot.
    pub fn begin(&mut self, snapshot: Vec<u8>) {
        self.base = Some(snapshot);
        self.records.clear();
        self.acknowledged = 0;
    }

    /// Power is cut.
    pub fn cut(&mut self) {
        if self.lies {
            self.records.pop();
        }
    }

    /// Everything on it is lost.
    pub fn erase(&mut self) {
        self.base = None;
        self.records.clear();
        self.acknowledged = 0;
    }
}
