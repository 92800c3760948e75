//! What the hub decides, without sockets, files or clocks: who calls, whom a call is for, under which names it goes on,
//! whose a token is, and what becomes of a call (AID.02 §1.1, §5).

pub(crate) mod answer;
pub(crate) mod delivery;
pub(crate) mod directory;
pub(crate) mod operation;
pub(crate) mod pair;
pub(crate) mod party;
pub(crate) mod proof;
pub(crate) mod token;

#[cfg(test)]
mod tests;
