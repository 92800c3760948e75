//! The heart of the reference CMP: the state that it keeps ([`model`]), everything that can change in it ([`change`]), and
//! the decisions of AID.02 §4 and §7 ([`decide`]). Pure: no database, no clock, no network, so that simulations can run it.
#![forbid(unsafe_code)]

pub mod change;
pub mod decide;
pub mod model;
