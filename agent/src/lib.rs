//! The vehicle-side AID.02 agent for a Linux TCU
