//! Mints revocation lists of a test CI: RFC 5280 §5 with the extensions of SGP.22 §4.6.

use super::Identity;
use super::issue::extension;
use crate::cert::{Certificate, ECDSA_SHA256, Revoked, oid, signature_to_der, time_to_der};
use crate::crypto::{Crypto, CryptoError};
use crate::tlv::{Writer, universal};
use alloc::vec::Vec;

/// What a revocation list says.
#[derive(Debug, Clone, Copy)]
pub struct CrlParams<'a> {
    /// cRLNumber.
    pub number: u64,
    /// BaseCRLNumber, for a delta list.
    pub base: Option<u64>,
    /// Number of this part and of all parts.
    pub part: Option<(u32, u32)>,
    /// thisUpdate, unix seconds; nextUpdate is 30 days later.
    pub this_update: u64,
    /// What is revoked.
    pub entries: &'a [Revoked],
}

impl Identity {
    /// A revocation list that this CI signs, DER.
    ///
    /// # Errors
    /// [`CryptoError`] from signing.
    pub fn revocation_list(
        &self,
        params: &CrlParams<'_>,
        crypto: &dyn Crypto,
    ) -> Result<Vec<u8>, CryptoError> {
        let certificate = Certificate::from_der(&self.certificate).ok();
        let name = certificate.as_ref().map(|c| c.subject().as_der());
        let key_id = certificate.as_ref().and_then(Certificate::subject_key_id);
        let mut tbs = Writer::new();
        tbs.constructed(universal::SEQUENCE, |w| {
            w.uint(universal::INTEGER, 1).raw(&ECDSA_SHA256);
            w.raw(name.unwrap_or_default());
            time_to_der(w, params.this_update);
            time_to_der(w, params.this_update + 30 * super::DAY);
            if !params.entries.is_empty() {
                w.constructed(universal::SEQUENCE, |w| {
                    for entry in params.entries {
                        write_entry(w, entry, params.this_update);
                    }
                });
            }
            w.constructed(0xA0, |w| {
                w.constructed(universal::SEQUENCE, |w| {
                    write_extensions(w, params, key_id.unwrap_or_default());
                });
            });
        });
        let signature = crypto.sign(&self.key.private, &[tbs.as_slice()])?;
        let mut bits = alloc::vec![0];
        bits.extend_from_slice(&signature_to_der(&signature));
        let mut out = Writer::new();
        out.constructed(universal::SEQUENCE, |w| {
            w.raw(tbs.as_slice()).raw(&ECDSA_SHA256);
            w.primitive(universal::BIT_STRING, &bits);
        });
        Ok(out.into_vec())
    }
}

fn write_entry(w: &mut Writer, entry: &Revoked, date: u64) {
    w.constructed(universal::SEQUENCE, |w| {
        w.primitive(universal::INTEGER, &entry.serial);
        time_to_der(w, date);
        if entry.expires.is_none() && !entry.removed {
            return;
        }
        w.constructed(universal::SEQUENCE, |w| {
            if entry.removed {
                extension(w, oid::CRL_REASON, false, |w| {
                    w.primitive(0x0A, &[8]);
                });
            }
            if let Some(expires) = entry.expires {
                extension(w, oid::RSP_EXPIRATION, true, |w| time_to_der(w, expires));
            }
        });
    });
}

fn write_extensions(w: &mut Writer, params: &CrlParams<'_>, key_id: &[u8]) {
    let integer = |w: &mut Writer, id: &[u8], critical, value: u64| {
        extension(w, id, critical, |w| {
            w.uint(universal::INTEGER, value);
        });
    };
    extension(w, oid::AUTHORITY_KEY_ID, false, |w| {
        w.constructed(universal::SEQUENCE, |w| {
            w.primitive(0x80, key_id);
        });
    });
    integer(w, oid::CRL_NUMBER, false, params.number);
    if let Some(base) = params.base {
        integer(w, oid::DELTA_CRL, true, base);
    }
    if let Some((number, total)) = params.part {
        integer(w, oid::RSP_TOTAL_PARTIAL_CRL, true, total.into());
        integer(w, oid::RSP_PARTIAL_CRL, true, number.into());
    }
}
