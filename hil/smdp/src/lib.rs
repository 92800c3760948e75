//! SM-DP+: ES2+, ES9+, orders, EID binding, notifications
