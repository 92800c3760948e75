//! Certificate roles: id-rspRole, SGP.22 §4.5.2.1.0 (ASN.1 module RSPDefinitions).

use core::fmt;

/// Arc of id-rspRole, 2.23.146.1.2.1, as DER contents octets.
const ARC: [u8; 6] = [0x67, 0x81, 0x12, 0x01, 0x02, 0x01];

/// What a certificate is for; the value is the last arc of its policy OID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Role {
    /// id-rspRole-ci: certificate issuer.
    Ci = 0,
    /// id-rspRole-euicc(-v2).
    Euicc = 1,
    /// id-rspRole-eum(-v2).
    Eum = 2,
    /// id-rspRole-dp-tls(-v2): SM-DP+ for TLS.
    DpTls = 3,
    /// id-rspRole-dp-auth(-v2): SM-DP+ for authentication.
    DpAuth = 4,
    /// id-rspRole-dp-pb(-v2): SM-DP+ for profile package binding.
    DpPb = 5,
    /// id-rspRole-ds-tls(-v2): SM-DS for TLS.
    DsTls = 6,
    /// id-rspRole-ds-auth(-v2): SM-DS for authentication.
    DsAuth = 7,
}

impl Role {
    /// The policy OID as DER contents octets.
    #[must_use]
    pub const fn policy_oid(self) -> [u8; 7] {
        let [a, b, c, d, e, f] = ARC;
        [a, b, c, d, e, f, self as u8]
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, arc) = match self {
            Self::Ci => ("ci", 0),
            Self::Euicc => ("euicc", 1),
            Self::Eum => ("eum", 2),
            Self::DpTls => ("dp-tls", 3),
            Self::DpAuth => ("dp-auth", 4),
            Self::DpPb => ("dp-pb", 5),
            Self::DsTls => ("ds-tls", 6),
            Self::DsAuth => ("ds-auth", 7),
        };
        write!(f, "id-rspRole-{name} (2.23.146.1.2.1.{arc})")
    }
}
