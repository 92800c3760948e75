//! The agent's durable log: a segmented record format and its file shell
