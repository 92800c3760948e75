//! Serves the software eUICC
