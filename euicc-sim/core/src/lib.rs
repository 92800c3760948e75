//! The software eUICC: one transmit, NVM behind a trait
#![cfg_attr(not(test), no_std)]

extern crate alloc;

pub mod auth;
pub mod fs;
pub mod install;
pub mod pin;
pub mod usim;
