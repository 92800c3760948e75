//! The whole system in one thread on virtual time: the cores of agent and CMP, the card at its port, MSPs and SM-DP+, with
//! faults of every kind at the worst moments, and the invariants of docs/ARCHITECTURE.md looked at after every step.
//!
//! A *life* has a seed and a plan: what users do, and which fault comes in which state. The same life is lived the same
//! each time (docs/SOAK.md).
#![forbid(unsafe_code)]

pub mod car;
pub mod card;
pub mod cmp;
pub mod day;
pub mod disk;
mod effects;
mod faults;
pub mod ids;
pub mod invariant;
pub mod life;
pub mod log;
pub mod msp;
pub mod plan;
pub mod random;
pub mod record;
pub mod sabotage;
pub mod smdp;
pub mod soak;
pub mod world;
