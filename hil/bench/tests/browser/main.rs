//! Portal, touchpoint and the console of aid-cmp in a real browser: the stories of AID.02 §4.1, §4.2, §4.4 and §4.5 from end to end with all parts
//! running, and on the way each page in desktop and phone size, light and dark, judged by axe-core (WCAG 2.2 A and AA).
//! Screenshots are in `target/screenshots`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot set itself up has failed"
)]

mod consoles;
mod parts;
mod stories;
