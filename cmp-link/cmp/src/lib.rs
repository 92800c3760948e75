//! The reference CMP backend
