//! MSP counterpart: subscriptions, OP pool, touchpoint, AID1 both ways
