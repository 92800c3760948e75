//! The two buses through `embedded-hal` 1.0: hosts that drive one, and cards that are on one.
//! GPC_FST_172, physical layers. embedded-hal has no traits for a bus's other end: the cards here
//! implement the host's traits, so that any driver written to them can talk to a card in memory.

mod card;
mod faults;
mod host;
mod i2c;
mod spi;

pub use card::Apdus;
pub use faults::Faults;
pub use host::BusError;
pub use i2c::{I2cCard, I2cHost};
pub use spi::{SpiCard, SpiHost};
