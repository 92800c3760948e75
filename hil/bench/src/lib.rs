//! The bench: demo, scenarios, figures
