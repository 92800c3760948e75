//! Identifiers of AID.02 and SGP.22, and of partners by their certificates, each parsed once at the edge and never a bare
//! string inside.
//! AID.02 §5.2 to §5.4, SGP.22 §4.1, SGP.29. Used by every part; no I/O, no clock, no_std.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod account;
mod activation_code;
mod eid;
mod iccid;
mod msp_token;
pub mod partner;
mod pasted;
mod secret;
pub mod smdp_address;

pub use account::{AccountRef, Id};
pub use activation_code::{ActivationCode, ActivationCodeError, MAX_ACTIVATION_CODE};
pub use eid::{Eid, EidError};
pub use iccid::{Iccid, IccidError};
pub use msp_token::{MspToken, MspTokenError};
pub use secret::Secret;
