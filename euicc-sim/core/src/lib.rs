//! The software eUICC: [`card::Card`] takes command APDUs and gives response APDUs.
//!
//! SGP.22 v2.4 ISD-R (ES10a, ES10b, ES10c, the card's end of ES8+), and the enabled profile as the
//! SIM of ETSI TS 102 221 and TS 31.102. No sockets, no clock, no randomness of its own: the memory
//! is an [`nvm::Nvm`], cryptography and random numbers are given to [`card::Card::new`].
#![cfg_attr(not(test), no_std)]

extern crate alloc;

pub mod apdu;
pub mod auth;
pub mod card;
mod channel;
pub mod fs;
pub mod install;
mod isdr;
pub mod nvm;
pub mod pin;
pub mod usim;
