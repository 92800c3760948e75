//! The software eUICC: one transmit, NVM behind a trait
