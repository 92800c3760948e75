//! The port to the storage under the log: a set of numbered segments of fixed size.
//! Implemented by `FileMedia` (Linux) and `sim::SimMedia` (fault injection); called by `Journal`.

use alloc::{string::String, vec::Vec};

/// Storage for segments. After an error the log stops using it until it is opened again.
pub trait Media {
    /// What can go wrong below.
    type Error: core::fmt::Debug + core::fmt::Display;

    /// Numbers of the segments that exist, ascending. Removes leftovers of an interrupted `create`.
    fn list(&mut self) -> Result<Vec<u64>, Self::Error>;

    /// Makes a segment of `size` bytes: `head` followed by zeros. Atomic and durable: after a
    /// power cut the segment is absent or whole, and once this returns it stays.
    fn create(&mut self, segment: u64, size: usize, head: &[u8]) -> Result<(), Self::Error>;

    /// The whole segment.
    fn read(&mut self, segment: u64) -> Result<Vec<u8>, Self::Error>;

    /// Overwrites bytes inside a segment. Durable only after `sync`; a power cut before may leave
    /// any mixture of old, new and garbage in the 512-byte sectors that it touches.
    fn write(&mut self, segment: u64, offset: usize, bytes: &[u8]) -> Result<(), Self::Error>;

    /// Makes earlier writes to the segment durable.
    fn sync(&mut self, segment: u64) -> Result<(), Self::Error>;

    /// Removes a segment. May be lost or done at a power cut.
    fn remove(&mut self, segment: u64) -> Result<(), Self::Error>;

    /// Puts all segments away under `name`, where they are in nobody's way, and says where; `None` when
    /// there are none. What was put away long ago may go, so that there is an end to it.
    fn set_aside(&mut self, name: &str) -> Result<Option<String>, Self::Error>;

    /// Overwrites and removes what was put aside.
    fn erase_aside(&mut self) -> Result<(), Self::Error>;

    /// True when the error says that the device is full (nothing was changed).
    fn is_full(error: &Self::Error) -> bool;
}

impl<M: Media> Media for &mut M {
    type Error = M::Error;

    fn list(&mut self) -> Result<Vec<u64>, M::Error> {
        (**self).list()
    }
    fn create(&mut self, segment: u64, size: usize, head: &[u8]) -> Result<(), M::Error> {
        (**self).create(segment, size, head)
    }
    fn read(&mut self, segment: u64) -> Result<Vec<u8>, M::Error> {
        (**self).read(segment)
    }
    fn write(&mut self, segment: u64, offset: usize, bytes: &[u8]) -> Result<(), M::Error> {
        (**self).write(segment, offset, bytes)
    }
    fn sync(&mut self, segment: u64) -> Result<(), M::Error> {
        (**self).sync(segment)
    }
    fn remove(&mut self, segment: u64) -> Result<(), M::Error> {
        (**self).remove(segment)
    }
    fn set_aside(&mut self, name: &str) -> Result<Option<String>, M::Error> {
        (**self).set_aside(name)
    }
    fn erase_aside(&mut self) -> Result<(), M::Error> {
        (**self).erase_aside()
    }
    fn is_full(error: &M::Error) -> bool {
        M::is_full(error)
    }
}
