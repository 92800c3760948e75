//! What a party proves itself with besides its certificate (AID.02 §5.1, §6), kept as a hash: whoever reads the database
//! cannot call with it.

use std::fmt;

use aid_aid1::headers::Credentials;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// SHA-256 of an API key, or of a user name with a password. Keys are made by machines and long, so that a hash without
/// salt and repetition says nothing of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Proof([u8; 32]);

impl Proof {
    /// The hash of these credentials.
    #[must_use]
    pub(crate) fn of(credentials: &Credentials) -> Self {
        let mut hash = Sha256::new();
        match credentials {
            Credentials::ApiKey(key) => {
                hash.update(b"api-key\0");
                hash.update(key.as_bytes());
            }
            // A user name has no colon.
            Credentials::Basic(user, password) => {
                hash.update(b"basic\0");
                hash.update(user.as_bytes());
                hash.update(b":");
                hash.update(password.as_bytes());
            }
        }
        Self(hash.finalize().into())
    }

    /// Whether both are hashes of the same credentials, in constant time.
    #[must_use]
    pub(crate) fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// Reads 64 hexadecimal digits.
    #[must_use]
    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let mut out = [0; 32];
        for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(out))
    }
}

/// 64 hexadecimal digits.
impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proof(<hidden>)")
    }
}
