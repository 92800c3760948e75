//! APDUs over SPI and I2C: the T=1' block protocol of GlobalPlatform "APDU Transport over SPI/I2C"
//! (GPC_FST_172), both ends. Protocol logic is sans-IO ([`Device`], [`Host`]); [`SpiHost`] and
//! [`I2cHost`] drive a bus through `embedded-hal` 1.0, [`SpiCard`] and [`I2cCard`] are a card on one.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod block;
mod bus;
mod cip;
mod crc;
mod device;
mod host;

pub use block::{
    Acknowledge, Block, BlockError, MAX_IFS, NAD_TO_CARD, NAD_TO_HOST, Pcb, Supervisory,
};
pub use bus::{Apdus, BusError, Faults, I2cCard, I2cHost, SpiCard, SpiHost};
pub use cip::{Cip, CipError, Physical};
pub use crc::crc16;
pub use device::{Device, Step};
pub use host::{Host, HostError, Next, Request};
