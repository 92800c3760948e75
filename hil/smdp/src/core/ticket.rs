//! Transaction ids and challenges that need no memory. Anybody may call InitiateAuthentication, so that a server which
//! kept something for each call could be filled by a stranger, or would end the sessions of real cards to make room.
//! SGP.22 §3.1.2 asks for an id that is unique and for a challenge that is fresh: both are derived from a secret of the
//! server, and recognised when the card returns them. They outlive a restart.

use aid_rsp::es10::TransactionId;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rand_core::CryptoRng;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// Bytes of the secret.
pub const SECRET_LEN: usize = 32;

/// Where the parts of a transaction id end: time in unix seconds, random bytes, check.
const TIME: usize = 4;
const RANDOM: usize = 12;

/// The secret that ids and challenges are made with.
#[derive(Clone)]
pub struct TicketKey(Zeroizing<[u8; SECRET_LEN]>);

impl std::fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TicketKey(…)")
    }
}

/// What a challenge was made for; another address, CI or certificate gets another challenge.
#[derive(Debug, Clone, Copy)]
pub struct Begun<'a> {
    /// The session.
    pub transaction_id: &'a TransactionId,
    /// What the LPA called us.
    pub server_address: &'a str,
    /// Key identifier of the CI for the card's chain.
    pub ci_key_id: &'a [u8],
    /// Which of the server's certificates are used.
    pub signers: usize,
}

impl TicketKey {
    /// With this secret.
    #[must_use]
    pub fn new(secret: [u8; SECRET_LEN]) -> Self {
        Self(Zeroizing::new(secret))
    }

    /// With a new secret.
    pub fn random(rng: &mut dyn CryptoRng) -> Self {
        let mut secret = Zeroizing::new([0; SECRET_LEN]);
        rng.fill_bytes(&mut *secret);
        Self(secret)
    }

    /// The secret, to be stored.
    #[must_use]
    pub fn expose(&self) -> &[u8; SECRET_LEN] {
        &self.0
    }

    fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        // HMAC takes keys of any length, so that this can't fail.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&*self.0) else {
            return [0; 32];
        };
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    /// The id of a session that begins `now`, unix seconds.
    pub fn issue(&self, now: u64, rng: &mut dyn CryptoRng) -> Option<TransactionId> {
        let mut id = [0; 16];
        // Seconds since 1970 fit until 2106, and only differences count.
        let [_, _, _, _, time @ ..] = now.to_be_bytes();
        id[..TIME].copy_from_slice(&time);
        rng.fill_bytes(&mut id[TIME..RANDOM]);
        let check = self.mac(&[b"id", &id[..RANDOM]]);
        id[RANDOM..].copy_from_slice(&check[..16 - RANDOM]);
        TransactionId::new(&id)
    }

    /// When a session of ours began, unix seconds near `now`; `None` for an id that this server did not give out.
    #[must_use]
    pub fn began(&self, id: &TransactionId, now: u64) -> Option<u64> {
        let id: &[u8; 16] = id.as_bytes().try_into().ok()?;
        let check = self.mac(&[b"id", &id[..RANDOM]]);
        if !bool::from(check[..16 - RANDOM].ct_eq(&id[RANDOM..])) {
            return None;
        }
        let mut time = now.to_be_bytes();
        time[8 - TIME..].copy_from_slice(&id[..TIME]);
        Some(u64::from_be_bytes(time))
    }

    /// What the card must sign.
    #[must_use]
    pub fn challenge(&self, begun: Begun<'_>) -> [u8; 16] {
        let mac = self.mac(&[
            b"challenge",
            begun.transaction_id.as_bytes(),
            begun.server_address.as_bytes(),
            begun.ci_key_id,
            &(begun.signers as u64).to_be_bytes(),
        ]);
        let mut challenge = [0; 16];
        challenge.copy_from_slice(&mac[..16]);
        challenge
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use getrandom::SysRng;
    use getrandom::rand_core::UnwrapErr;

    const NOW: u64 = 1_790_000_000;

    #[test]
    fn an_id_is_known_to_its_server_alone() {
        let mut rng = UnwrapErr(SysRng);
        let (own, other) = (TicketKey::random(&mut rng), TicketKey::random(&mut rng));
        let id = own.issue(NOW, &mut rng).unwrap();
        assert_eq!(own.began(&id, NOW + 5), Some(NOW));
        assert_eq!(TicketKey::new(*own.expose()).began(&id, NOW), Some(NOW));
        assert_eq!(other.began(&id, NOW), None);
        assert_ne!(id, own.issue(NOW, &mut rng).unwrap());
        let bytes = id.as_bytes().to_vec();
        for bit in 0..128 {
            let mut forged = bytes.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            let forged = TransactionId::new(&forged).unwrap();
            assert_eq!(own.began(&forged, NOW), None, "bit {bit}");
        }
        for cut in 1..16 {
            let short = TransactionId::new(&bytes[..cut]).unwrap();
            assert_eq!(own.began(&short, NOW), None, "{cut} bytes");
        }
    }

    #[test]
    fn a_challenge_is_for_one_session_address_ci_and_certificate() {
        let mut rng = UnwrapErr(SysRng);
        let key = TicketKey::random(&mut rng);
        let (one, two) = (
            key.issue(NOW, &mut rng).unwrap(),
            key.issue(NOW, &mut rng).unwrap(),
        );
        let begun = |transaction_id, server_address, ci_key_id, signers| {
            key.challenge(Begun {
                transaction_id,
                server_address,
                ci_key_id,
                signers,
            })
        };
        let all = [
            begun(&one, "a", b"ci", 0),
            begun(&two, "a", b"ci", 0),
            begun(&one, "b", b"ci", 0),
            begun(&one, "a", b"cj", 0),
            begun(&one, "a", b"ci", 1),
            begun(&one, "ac", b"i", 0),
        ];
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
        assert_eq!(all[0], begun(&one, "a", b"ci", 0));
    }
}
