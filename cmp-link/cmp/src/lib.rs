//! The reference CMP backend of AID.02: the AID1 API, the gateway for vehicles (AID2), the portal
//! (AID6), orders, federation and the store. The database is the truth; every decision is made in
//! `aid_cmp_core::decide` without I/O, committed, and only then told to anybody.
//! Run as the program `aid-cmp`.
#![forbid(unsafe_code)]

pub mod api;
pub mod config;
pub mod desk;
pub mod gateway;
mod gauges;
pub mod names;
pub mod openid;
pub mod operator;
pub mod outbox;
pub mod password;
mod pki;
pub mod portal;
pub mod program;
pub mod service;
pub mod smdp;
pub mod store;
pub mod views;
pub mod webhooks;

pub use program::run;
