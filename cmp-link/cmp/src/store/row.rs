//! Rows into our types.
