//! Who is at the other end of a TLS connection: common name and fingerprint of a verified client certificate, and the
//! lists that say which certificates are admitted.

pub use aid_cli::certificate::common_name;
pub use aid_id::partner::{Certificate, Several, Shown, admits, certificates, in_common};
use sha2::{Digest as _, Sha256};

/// SHA-256 of the whole certificate.
#[must_use]
pub fn fingerprint(certificate: &[u8]) -> [u8; 32] {
    Sha256::digest(certificate).into()
}
