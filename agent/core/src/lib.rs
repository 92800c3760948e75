//! The agent's sans-IO core: decides everything, does nothing
