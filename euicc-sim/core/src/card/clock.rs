//! The time, where somebody tells it to the card. Implemented by the programs; asked for the validity
//! of certificates (SGP.22 §4.5.2.2).

/// A source of time. A card has no clock of its own: what it isn't told it doesn't judge.
pub trait Clock: Send {
    /// Seconds since 1970, `None` when the time is not known.
    fn unix_seconds(&self) -> Option<u64>;
}

/// The time is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NoClock;

impl Clock for NoClock {
    fn unix_seconds(&self) -> Option<u64> {
        None
    }
}

/// A time that was told once and does not move on.
impl Clock for u64 {
    fn unix_seconds(&self) -> Option<u64> {
        Some(*self)
    }
}
