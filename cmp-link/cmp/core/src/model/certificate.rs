//! Certificates of vehicles that were asked for over AID2. Read by `decide`, stored by `store`; times are Unix milliseconds.

use aid_id::{Eid, Id};

/// A certificate that a vehicle has asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VehicleCertificate {
    /// The vehicle.
    pub eid: Eid,
    /// The vehicle's name for its request.
    pub request_id: Id,
    /// PKCS#10 request, DER.
    pub request: Vec<u8>,
    /// When it was asked for.
    pub asked_at: u64,
    /// The vehicle showed its bootstrap certificate, because the one before had expired.
    pub bootstrap: bool,
    /// What came of it; none: the PKI has not answered yet.
    pub issued: Option<Issued>,
    /// When the vehicle first connected with it.
    pub used_at: Option<u64>,
}

/// A certificate that was issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// The chain, the vehicle's own certificate first, PEM.
    pub chain: String,
    /// SHA-256 of the vehicle's certificate, hexadecimal.
    pub certificate: String,
    /// When it expires.
    pub not_after: u64,
    /// When it was issued.
    pub at: u64,
}
