//! What the operators' consoles of all servers have in common: rows as tables and cards with links to what they name, files
//! for spreadsheets, tokens of forms, fields of filters. Pages, roles and deeds are the server's.

pub mod cell;
pub mod csv;
pub mod form;
pub mod token;
pub mod way;

pub use cell::Cells;
