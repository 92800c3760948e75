//! The decisions of an SM-DP+, without sockets, clock, files or randomness of their own.
//! SGP.22 §3.1 (procedures), §5.3 (ES2+), §5.6 (ES9+).

mod authenticate;
mod bind;
mod cancel;
mod change;
mod eligibility;
mod limits;
mod notify;
mod order;
mod ordering;
mod profile;
mod progress;
mod refusal;
mod session;
mod stock;
mod ticket;

pub use authenticate::Authenticated;
pub use bind::{Binding, Prepared};
pub use change::{Change, Decided};
pub use eligibility::{Minimum, Network, Requirements, Target};
pub use limits::{Limits, MAX_ATTEMPTS, MAX_CODE_FAILURES};
pub use notify::{BoundTo, NotCounted, Notice, Outcome, Received};
pub use order::{Order, OrderState};
pub(crate) use ordering::call_of;
pub(crate) use ordering::plain_iccid;
pub use ordering::{BY_HAND, Confirmation, is_matching_id};
pub use profile::{Profile, Protection};
pub use progress::{Progress, Step};
pub use refusal::Refusal;
pub use session::{
    Euicc, Initiated, MAX_SESSIONS, Offered, OfferedOrder, SESSION_SECONDS, SESSIONS_PER_EUICC,
    StoredSession, has_time,
};
pub use stock::{Known, Stock, restock};
pub use ticket::{Begun, SECRET_LEN, TicketKey};

use aid_rsp::cert::{CertError, Certificate, RevocationList, Role, TrustAnchor};
use aid_rsp::crypto::{Crypto, OpCounts, PrivateKey};
use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

/// A certificate by its CI's key identifier and its serial number.
type Serial = (Vec<u8>, Vec<u8>);

/// The SM-DP+ itself: what it trusts, and with what it signs.
pub struct Dp {
    crypto: Arc<dyn Crypto>,
    anchors: Vec<TrustAnchor>,
    /// At least one; the first that a card can verify is used.
    signers: Vec<Signers>,
    address: String,
    /// What the CIs have revoked.
    revoked: RwLock<BTreeSet<Serial>>,
}

/// A certificate with its private key.
#[derive(Debug, Clone)]
pub struct Signer {
    /// The certificate.
    pub certificate: Certificate,
    /// The key of the certificate.
    pub key: PrivateKey,
}

/// The server's certificates under one CI.
#[derive(Debug, Clone)]
pub struct Signers {
    /// CERT.DPauth.
    pub auth: Signer,
    /// CERT.DPpb.
    pub binding: Signer,
}

/// Why the certificates given cannot be used together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// A CI certificate is not one.
    #[error("the CI certificate is not usable: {0}")]
    Ci(CertError),
    /// DPauth or DPpb is refused.
    #[error("the certificate for {role} is not usable: {error}")]
    Leaf {
        /// The role that it should have.
        role: Role,
        /// What is wrong.
        error: CertError,
    },
    /// The key is another one.
    #[error("the private key does not belong to the certificate for {0}")]
    Key(Role),
    /// SM-DP+ OIDs differ (SGP.22 §5.7.5: the card compares them).
    #[error("the certificates for authentication and binding name different SM-DP+ OIDs, or none")]
    Oid,
    /// DPauth and DPpb are of different CIs (SGP.22 §5.7.5: the card compares them).
    #[error("the certificates for authentication and binding are of different CIs")]
    OtherCi,
    /// There are no certificates.
    #[error("there is no certificate for authentication and binding")]
    None,
}

impl Dp {
    /// Checks that certificates, keys and CI belong together. `address` is the FQDN (with port
    /// where it is not 443) that activation codes and notifications carry; `now` in unix seconds.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn new(
        crypto: Arc<dyn Crypto>,
        ci: Vec<Certificate>,
        signers: Vec<Signers>,
        address: String,
        now: u64,
    ) -> Result<Self, IdentityError> {
        let anchors = ci
            .into_iter()
            .map(|c| TrustAnchor::new(c, &*crypto).map_err(IdentityError::Ci))
            .collect::<Result<Vec<_>, _>>()?;
        for one in &signers {
            for (signer, role) in [(&one.auth, Role::DpAuth), (&one.binding, Role::DpPb)] {
                let leaf = |error| IdentityError::Leaf { role, error };
                let anchor = TrustAnchor::find(&anchors, &signer.certificate).map_err(leaf)?;
                anchor
                    .verify_leaf(&signer.certificate, role, &*crypto, Some(now))
                    .map_err(leaf)?;
                if crypto.public_key(&signer.key).ok() != Some(*signer.certificate.public_key()) {
                    return Err(IdentityError::Key(role));
                }
            }
            let (auth, binding) = (&one.auth.certificate, &one.binding.certificate);
            if auth.authority_key_id() != binding.authority_key_id() {
                return Err(IdentityError::OtherCi);
            }
        }
        let first = signers.first().ok_or(IdentityError::None)?;
        let oid = first.auth.certificate.registered_id();
        let other = |s: &Signers| {
            s.auth.certificate.registered_id() != oid
                || s.binding.certificate.registered_id() != oid
        };
        if oid.is_none() || signers.iter().any(other) {
            return Err(IdentityError::Oid);
        }
        Ok(Self {
            crypto,
            anchors,
            signers,
            address,
            revoked: RwLock::default(),
        })
    }

    /// Whether a CI that is trusted here issued and signed this list.
    #[must_use]
    pub fn is_of_trusted_issuer(&self, list: &RevocationList) -> bool {
        let anchor = self.anchors.iter();
        let anchor = anchor.filter(|a| a.key_id() == list.authority_key_id());
        anchor
            .map(TrustAnchor::certificate)
            .any(|ci| list.is_issuer(ci) && list.verify(ci, &*self.crypto))
    }

    /// Refuses the certificates of these lists from now on, instead of those of earlier ones. The lists must be of
    /// trusted issuers ([`Self::is_of_trusted_issuer`]).
    pub fn revoke<'a>(&self, lists: impl Iterator<Item = &'a RevocationList>) {
        let serials = lists.flat_map(|list| {
            let revoked = list.entries.iter().filter(|entry| !entry.removed);
            revoked.map(|entry| (list.authority_key_id().to_vec(), entry.serial.clone()))
        });
        let serials = serials.collect();
        *self.revoked.write().unwrap_or_else(PoisonError::into_inner) = serials;
    }

    /// Whether its CI has revoked this certificate.
    fn is_revoked(&self, certificate: &Certificate) -> bool {
        let revoked = self.revoked.read().unwrap_or_else(PoisonError::into_inner);
        if revoked.is_empty() {
            return false;
        }
        let ci = certificate.authority_key_id().unwrap_or_default();
        revoked.contains(&(ci.to_vec(), certificate.serial_number().to_vec()))
    }

    /// FQDN, with port where it is not 443.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Counters of the cryptographic operations so far.
    #[must_use]
    pub fn operations(&self) -> OpCounts {
        self.crypto.stats().counts()
    }

    /// SM-DP+ OID, contents octets.
    fn oid(&self) -> &[u8] {
        let first = self.signers.first();
        let oid = first.and_then(|s| s.auth.certificate.registered_id());
        oid.unwrap_or_default()
    }

    /// The certificates that a session uses.
    fn signers(&self, index: usize) -> Result<&Signers, Refusal> {
        let signers = self.signers.get(index);
        signers.ok_or_else(|| Refusal::internal("the session's certificates are gone"))
    }

    /// Is this how a client may call us? The host alone is accepted for host and port, because
    /// lpac sends only that, and port 443 where it means the same as none.
    fn is_own_address(&self, address: &str) -> bool {
        let host = self.address.split(':').next().unwrap_or_default();
        let without_port = |address: &str| {
            let end = address.len().checked_sub(":443".len())?;
            (address.get(end..)? == ":443").then(|| address[..end].to_owned())
        };
        let given = without_port(address).unwrap_or_else(|| address.to_owned());
        let own = without_port(&self.address).unwrap_or_else(|| self.address.clone());
        given.eq_ignore_ascii_case(&own) || address.eq_ignore_ascii_case(host)
    }
}
