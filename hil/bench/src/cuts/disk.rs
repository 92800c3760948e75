//! A disk with a volatile write cache: what was flushed survives a power cut, of what was not each sector survives or not,
//! as the draw says.

use crate::fleet::Random;

/// What a disk writes as a whole, bytes: the logical block of UFS.
pub(super) const SECTOR: usize = 4096;

/// A write that no flush followed yet.
#[derive(Debug, Clone)]
struct Write {
    at: usize,
    data: Vec<u8>,
    /// It was to be on the medium before it was answered.
    forced: bool,
}

/// What one power cut did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Cut {
    /// Sectors that were in the cache only.
    pub(super) cached: u64,
    /// Those of them that are lost.
    pub(super) lost: u64,
}

/// The disk.
#[derive(Debug)]
pub(super) struct Disk {
    /// What a reader sees.
    present: Vec<u8>,
    /// What survives.
    medium: Vec<u8>,
    cache: Vec<Write>,
    /// Flushes so far.
    pub(super) flushes: u64,
    /// The power goes at the next flush that has something to write.
    pub(super) armed: bool,
    /// That flush has come.
    pub(super) struck: bool,
}

impl Disk {
    /// A disk with this content.
    pub(super) fn new(content: Vec<u8>) -> Self {
        Self {
            medium: content.clone(),
            present: content,
            cache: Vec::new(),
            flushes: 0,
            armed: false,
            struck: false,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.present.len()
    }

    /// These bytes; `None` beyond the end.
    pub(super) fn read(&self, at: u64, length: usize) -> Option<&[u8]> {
        let at = usize::try_from(at).ok()?;
        self.present.get(at..at.checked_add(length)?)
    }

    /// Writes into the cache, or behind it; false beyond the end.
    pub(super) fn write(&mut self, at: u64, data: Vec<u8>, forced: bool) -> bool {
        let place = usize::try_from(at).ok().and_then(|at| {
            let place = at..at.checked_add(data.len())?;
            self.present.get_mut(place).map(|place| (at, place))
        });
        let Some((at, place)) = place else {
            return false;
        };
        place.copy_from_slice(&data);
        self.cache.push(Write { at, data, forced });
        true
    }

    /// Whether the power goes before this flush is done.
    pub(super) fn strikes(&mut self) -> bool {
        self.struck |= self.armed && !self.cache.is_empty();
        self.struck
    }

    /// Everything that was written is on the medium.
    pub(super) fn flush(&mut self) {
        self.flushes += 1;
        for write in self.cache.drain(..) {
            self.medium[write.at..write.at + write.data.len()].copy_from_slice(&write.data);
        }
    }

    /// The power goes: of the cache each sector survives with one chance in two.
    pub(super) fn cut(&mut self, random: &mut Random) -> Cut {
        let mut cut = Cut::default();
        for write in self.cache.drain(..) {
            for (n, sector) in write.data.chunks(SECTOR).enumerate() {
                let survives = write.forced || random.below(2) == 0;
                if !write.forced {
                    cut.cached += 1;
                    cut.lost += u64::from(!survives);
                }
                if survives {
                    let at = write.at + n * SECTOR;
                    self.medium[at..at + sector.len()].copy_from_slice(sector);
                }
            }
        }
        self.present.clone_from(&self.medium);
        (self.armed, self.struck) = (false, false);
        cut
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_flushed_or_forced_survives_every_cut_and_the_rest_by_chance() {
        let (mut lost, mut kept) = (0, 0);
        for seed in 0..64 {
            let mut disk = Disk::new(vec![0; 8 * SECTOR]);
            assert!(disk.write(0, vec![1; 2 * SECTOR], false));
            disk.flush();
            assert!(disk.write(2 * SECTOR as u64, vec![2; SECTOR], true));
            assert!(disk.write(4 * SECTOR as u64, vec![3; 4 * SECTOR], false));
            assert_eq!(disk.read(4 * SECTOR as u64, 1), Some(&[3][..]));
            let cut = disk.cut(&mut Random(seed));
            assert_eq!(cut.cached, 4);
            let content = disk.read(0, 8 * SECTOR).unwrap().to_vec();
            assert_eq!(content[..2 * SECTOR], vec![1; 2 * SECTOR]);
            assert_eq!(content[2 * SECTOR..3 * SECTOR], vec![2; SECTOR]);
            let threes = content.chunks(SECTOR).filter(|s| *s == [3; SECTOR]);
            assert_eq!(threes.count() as u64, 4 - cut.lost);
            lost += cut.lost;
            kept += 4 - cut.lost;
            // What is gone is gone: a later flush does not bring it back.
            disk.flush();
            assert_eq!(disk.read(0, 8 * SECTOR).unwrap(), content);
        }
        assert!(lost > 0 && kept > 0);
    }

    #[test]
    fn an_armed_disk_strikes_at_a_flush_that_has_something_to_write() {
        let mut disk = Disk::new(vec![0; SECTOR]);
        disk.armed = true;
        assert!(!disk.strikes());
        assert!(disk.write(0, vec![1; SECTOR], false));
        assert!(disk.strikes());
        disk.cut(&mut Random(1));
        assert!(disk.write(0, vec![1; SECTOR], false));
        assert!(!disk.strikes());
    }

    #[test]
    fn nothing_beyond_the_end_is_read_or_written() {
        let mut disk = Disk::new(vec![0; SECTOR]);
        assert!(disk.read(1, SECTOR).is_none());
        assert!(disk.read(u64::MAX, 1).is_none());
        assert!(!disk.write(SECTOR as u64, vec![1], false));
        assert_eq!(disk.cut(&mut Random(1)), Cut::default());
    }
}
