//! What every program's thin shell shares: logging, TLS material, mTLS listener, error reports
