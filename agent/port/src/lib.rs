//! How an eUICC is reached: one syntax ([`Address`]), one table of a configuration ([`EuiccTable`]), one
//! port ([`CardPort`]) over a socket, an AT modem, PC/SC, SPI, I2C, or a helper program.
//!
//! Protocols are sans-IO; files, processes and clocks are in thin shells. docs/euicc.md says which
//! syntax serves which hardware.
#![forbid(unsafe_code)]

mod address;
mod apdu;
pub mod at;
#[cfg(feature = "bus")]
pub mod bus;
pub mod exec;
mod fd;
mod lines;
#[cfg(feature = "pcsc")]
mod pcsc;
mod port;
mod socket;
mod table;

pub use address::{Address, AddressError, DEFAULT_BAUD, DEFAULT_SPI_HZ, MAX_ADDRESS, SYNTAX};
pub use apdu::{Apdu, MAX_CHANNEL, MAX_COMMAND, MAX_RESPONSE, Opened, TransportError, channel_of};
pub use at::AtCard;
pub use exec::ExecCard;
#[cfg(feature = "pcsc")]
pub use pcsc::PcscCard;
pub use port::{CardPort, PortError};
pub use socket::SocketCard;
pub use table::{Device, DeviceTable, EuiccTable, Settings, TableError, Timing};
