//! Writes and signs one certificate. SGP.22 §4.5.2.1.0.1-§4.5.2.1.0.7 tell what is in which.
//! rcgen cannot write registeredID names, so the TBSCertificate is written here.

use super::{Identity, MintParams};
use crate::cert::{
    Certificate, ECDSA_SHA256, KEY_USAGE_CERT_SIGN, KEY_USAGE_CRL_SIGN,
    KEY_USAGE_DIGITAL_SIGNATURE, Role, oid, signature_to_der, time_to_der,
};
use crate::crypto::{Crypto, CryptoError, KeyPair};
use crate::tlv::{Writer, universal};
use alloc::{string::String, vec::Vec};
use sha1::{Digest, Sha1};

const PRINTABLE_STRING: u32 = 0x13;
/// serverAuth and clientAuth (SGP.26 has both in TLS certificates).
const TLS_KEY_USAGES: [&[u8]; 2] = [
    &[0x2B, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01],
    &[0x2B, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02],
];

/// Subject attributes.
pub(super) struct Subject<'a> {
    pub(super) organization: Option<&'a str>,
    pub(super) common_name: &'a str,
    pub(super) serial_number: Option<String>,
}

/// What an EUM may certify.
pub(super) struct Constraint<'a> {
    pub(super) organization: &'a str,
    pub(super) iin: &'a str,
}

/// What a certificate says, keys and dates aside.
pub(super) struct Profile<'a> {
    role: Role,
    subject: Subject<'a>,
    /// Contents octets of the registeredID; empty: none.
    registered_id: &'a [u8],
    pub(super) constraint: Option<Constraint<'a>>,
    /// Prefixes of EIDs that an EUM may certify, in the form of later editions; empty: none.
    pub(super) permitted_eins: &'a [&'a str],
    is_ca: bool,
}

impl<'a> Profile<'a> {
    pub(super) fn ca(role: Role, subject: Subject<'a>, registered_id: &'a [u8]) -> Self {
        Self {
            role,
            subject,
            registered_id,
            constraint: None,
            permitted_eins: &[],
            is_ca: true,
        }
    }

    pub(super) fn leaf(role: Role, subject: Subject<'a>, registered_id: &'a [u8]) -> Self {
        Self {
            is_ca: false,
            ..Self::ca(role, subject, registered_id)
        }
    }

    const fn key_usage(&self) -> u32 {
        match self.role {
            Role::Ci => KEY_USAGE_CERT_SIGN | KEY_USAGE_CRL_SIGN,
            Role::Eum => KEY_USAGE_CERT_SIGN,
            _ => KEY_USAGE_DIGITAL_SIGNATURE,
        }
    }
}

/// Writes the certificate; no issuer means self-signed.
pub(super) fn issue(
    params: &MintParams<'_>,
    crypto: &dyn Crypto,
    issuer: Option<&Identity>,
    profile: &Profile<'_>,
    key: &KeyPair,
    serial: &[u8],
) -> Result<Vec<u8>, CryptoError> {
    let mut subject = Writer::new();
    write_subject(&mut subject, &profile.subject);
    let issuer_certificate = issuer.and_then(|i| Certificate::from_der(&i.certificate).ok());
    let issuer_name = issuer_certificate
        .as_ref()
        .map_or(subject.as_slice(), |c| c.subject().as_der());
    let issuer_key = issuer.map_or(key, |i| &i.key);

    let mut tbs = Writer::with_capacity(700);
    tbs.constructed(universal::SEQUENCE, |w| {
        w.constructed(0xA0, |w| {
            w.uint(universal::INTEGER, 2);
        });
        w.primitive(universal::INTEGER, serial);
        w.raw(&ECDSA_SHA256).raw(issuer_name);
        w.constructed(universal::SEQUENCE, |w| {
            time_to_der(w, params.not_before);
            time_to_der(w, params.not_after);
        });
        w.raw(subject.as_slice()).raw(&key.public.to_spki());
        w.constructed(0xA3, |w| {
            w.constructed(universal::SEQUENCE, |w| {
                write_extensions(w, params, profile, key, issuer.map(|i| &i.key));
            });
        });
    });
    let signature = crypto.sign(&issuer_key.private, &[tbs.as_slice()])?;
    let mut bits = alloc::vec![0];
    bits.extend_from_slice(&signature_to_der(&signature));
    let mut out = Writer::with_capacity(800);
    out.constructed(universal::SEQUENCE, |w| {
        w.raw(tbs.as_slice()).raw(&ECDSA_SHA256);
        w.primitive(universal::BIT_STRING, &bits);
    });
    Ok(out.into_vec())
}

fn attribute(w: &mut Writer, kind: &[u8], string: u32, value: &str) {
    w.constructed(universal::SET, |w| {
        w.constructed(universal::SEQUENCE, |w| {
            w.primitive(universal::OID, kind)
                .primitive(string, value.as_bytes());
        });
    });
}

fn write_subject(w: &mut Writer, subject: &Subject<'_>) {
    w.constructed(universal::SEQUENCE, |w| {
        attribute(w, oid::COUNTRY, PRINTABLE_STRING, "DE");
        if let Some(organization) = subject.organization {
            attribute(w, oid::ORGANIZATION, universal::UTF8_STRING, organization);
        }
        if let Some(number) = &subject.serial_number {
            attribute(w, oid::SERIAL_NUMBER, PRINTABLE_STRING, number);
        }
        attribute(
            w,
            oid::COMMON_NAME,
            universal::UTF8_STRING,
            subject.common_name,
        );
    });
}

/// Key identifier, method 1 of RFC 5280 §4.2.1.2.
fn key_id(key: &KeyPair) -> [u8; 20] {
    Sha1::digest(key.public.as_bytes()).into()
}

pub(super) fn extension(w: &mut Writer, id: &[u8], critical: bool, fill: impl FnOnce(&mut Writer)) {
    w.constructed(universal::SEQUENCE, |w| {
        w.primitive(universal::OID, id);
        if critical {
            w.boolean(universal::BOOLEAN, true);
        }
        w.constructed(universal::OCTET_STRING, fill);
    });
}

fn write_extensions(
    w: &mut Writer,
    params: &MintParams<'_>,
    profile: &Profile<'_>,
    key: &KeyPair,
    issuer: Option<&KeyPair>,
) {
    if let Some(issuer) = issuer {
        extension(w, oid::AUTHORITY_KEY_ID, false, |w| {
            w.constructed(universal::SEQUENCE, |w| {
                w.primitive(0x80, &key_id(issuer));
            });
        });
    }
    extension(w, oid::SUBJECT_KEY_ID, false, |w| {
        w.primitive(universal::OCTET_STRING, &key_id(key));
    });
    extension(w, oid::KEY_USAGE, true, |w| {
        w.bits(universal::BIT_STRING, profile.key_usage());
    });
    // TLS stacks refuse critical policies, and SGP.26 marks them so except for TLS.
    extension(w, oid::POLICIES, profile.role != Role::DpTls, |w| {
        w.constructed(universal::SEQUENCE, |w| {
            w.constructed(universal::SEQUENCE, |w| {
                w.primitive(universal::OID, &profile.role.policy_oid());
            });
        });
    });
    if profile.is_ca {
        extension(w, oid::BASIC_CONSTRAINTS, true, |w| {
            w.constructed(universal::SEQUENCE, |w| {
                w.boolean(universal::BOOLEAN, true);
                if profile.role == Role::Eum {
                    w.uint(universal::INTEGER, 0);
                }
            });
        });
    }
    if !profile.registered_id.is_empty() || profile.role == Role::DpTls {
        extension(w, oid::SUBJECT_ALT_NAME, false, |w| {
            w.constructed(universal::SEQUENCE, |w| {
                if profile.role == Role::DpTls {
                    for name in params.tls_names {
                        w.primitive(0x82, name.as_bytes());
                    }
                    for address in params.tls_addresses {
                        w.primitive(0x87, address);
                    }
                }
                if !profile.registered_id.is_empty() {
                    w.primitive(0x88, profile.registered_id);
                }
            });
        });
    }
    if profile.role == Role::DpTls {
        extension(w, oid::EXT_KEY_USAGE, true, |w| {
            w.constructed(universal::SEQUENCE, |w| {
                for usage in TLS_KEY_USAGES {
                    w.primitive(universal::OID, usage);
                }
            });
        });
    }
    let of_dp = matches!(profile.role, Role::DpAuth | Role::DpPb | Role::DpTls);
    if let Some(url) = params.crl_url.filter(|_| of_dp) {
        extension(w, oid::CRL_POINTS, false, |w| {
            w.constructed(universal::SEQUENCE, |w| {
                w.constructed(universal::SEQUENCE, |w| {
                    w.constructed(0xA0, |w| {
                        w.constructed(0xA0, |w| {
                            w.primitive(0x86, url.as_bytes());
                        });
                    });
                });
            });
        });
    }
    if !profile.permitted_eins.is_empty() {
        extension(w, oid::PERMITTED_EINS, false, |w| {
            w.constructed(universal::SEQUENCE, |w| {
                for ein in profile.permitted_eins {
                    w.primitive(PRINTABLE_STRING, ein.as_bytes());
                }
            });
        });
    }
    if let Some(constraint) = &profile.constraint {
        extension(w, oid::NAME_CONSTRAINTS, true, |w| {
            w.constructed(universal::SEQUENCE, |w| {
                w.constructed(0xA0, |w| {
                    w.constructed(universal::SEQUENCE, |w| {
                        w.constructed(0xA4, |w| write_constraint(w, constraint));
                    });
                });
            });
        });
    }
}

fn write_constraint(w: &mut Writer, constraint: &Constraint<'_>) {
    w.constructed(universal::SEQUENCE, |w| {
        attribute(
            w,
            oid::ORGANIZATION,
            universal::UTF8_STRING,
            constraint.organization,
        );
        attribute(w, oid::SERIAL_NUMBER, PRINTABLE_STRING, constraint.iin);
    });
}
