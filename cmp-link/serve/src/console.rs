//! What the operators' consoles of all servers have in common: the frame with who is signed in, the way in and out, lists,
//! deeds, rows as tables and cards with links to what they name, files for spreadsheets, tokens of forms. What is listed, who
//! may sign in and what a deed does is the server's.

pub mod cell;
pub mod csv;
pub mod deed;
pub mod form;
pub mod frame;
pub mod list;
pub mod once;
pub mod sign_in;
pub mod token;
pub mod trouble;
pub mod way;

pub use cell::Cells;
pub use frame::{Console, Member, Seat, Staff};
pub use once::Once;
pub use trouble::{Answer, Trouble};
