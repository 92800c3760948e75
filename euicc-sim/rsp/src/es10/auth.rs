//! Common mutual authentication: GetEUICCChallenge and AuthenticateServer.
//! SGP.22 §3.1.2, §5.7.7, §5.7.13.

use super::code::{empty_request, result_codes};
use super::info::{EuiccInfo2, SubjectKeyIdentifier};
use super::object::{DataObject, Signature, Signed, TransactionId, read_refusal, write_refusal};
use crate::tlv::{Reader, Tag, Tlv, TlvError, Writer, universal};
use alloc::{string::String, vec::Vec};

/// Longest RSP server address, bytes (a host name has at most 253, `:port` six more).
const MAX_ADDRESS: usize = 260;
/// Longest MatchingID, bytes.
const MAX_MATCHING_ID: usize = 255;

empty_request!(
    /// GetEuiccChallengeRequest.
    GetEuiccChallengeRequest, 0xBF2E
);

/// GetEuiccChallengeResponse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GetEuiccChallengeResponse {
    /// Good for one AuthenticateServer.
    pub challenge: [u8; 16],
}

impl DataObject for GetEuiccChallengeResponse {
    const TAG: Tag = 0xBF2E;
    fn write_value(&self, w: &mut Writer) {
        w.primitive(0x80, &self.challenge);
    }
    fn read_value(r: &mut Reader<'_>) -> Result<Self, TlvError> {
        Ok(Self {
            challenge: r.expect(0x80)?.array()?,
        })
    }
}

/// ServerSigned1: what the server signs to prove itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSigned1 {
    /// The session.
    pub transaction_id: TransactionId,
    /// The card's challenge, returned.
    pub euicc_challenge: [u8; 16],
    /// The server's address as the LPA knows it.
    pub server_address: String,
    /// The server's challenge.
    pub server_challenge: [u8; 16],
}

impl DataObject for ServerSigned1 {
    const TAG: Tag = universal::SEQUENCE;
    fn write_value(&self, w: &mut Writer) {
        self.transaction_id.write(w);
        w.primitive(0x81, &self.euicc_challenge)
            .primitive(0x83, self.server_address.as_bytes())
            .primitive(0x84, &self.server_challenge);
    }
    fn read_value(r: &mut Reader<'_>) -> Result<Self, TlvError> {
        Ok(Self {
            transaction_id: TransactionId::expect(r)?,
            euicc_challenge: r.expect(0x81)?.array()?,
            server_address: r.expect(0x83)?.text(MAX_ADDRESS)?.into(),
            server_challenge: r.expect(0x84)?.array()?,
        })
    }
}

/// DeviceCapabilities: releases supported, in the order of the ASN.1 (gsm, utran, cdma2000onex,
/// cdma2000hrpd, cdma2000ehrpd, eutranEpc, contactless, rspCrl, nrEpc, nr5gc, eutran5gc).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeviceCapabilities(pub [Option<[u8; 3]>; 11]);

/// DeviceInfo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Type Allocation Code, swapped BCD.
    pub tac: [u8; 4],
    /// What the device supports.
    pub capabilities: DeviceCapabilities,
    /// IMEI, swapped BCD.
    pub imei: Option<[u8; 8]>,
}

impl DeviceInfo {
    fn write_value(&self, w: &mut Writer) {
        w.primitive(0x80, &self.tac);
        w.constructed(0xA1, |w| {
            for (number, release) in (0u32..).zip(&self.capabilities.0) {
                w.optional(0x80 + number, release.as_ref().map(|r| &r[..]));
            }
        });
        w.optional(0x82, self.imei.as_ref().map(|i| &i[..]));
    }

    fn read(tlv: &Tlv<'_>) -> Result<Self, TlvError> {
        let mut r = tlv.children();
        let tac = r.expect(0x80)?.array()?;
        let mut capabilities = DeviceCapabilities::default();
        let mut inside = r.expect(0xA1)?.children();
        while let Some(release) = inside.read()? {
            let slot = release.tag.checked_sub(0x80).map(|n| n as usize);
            if let Some(slot) = slot.and_then(|n| capabilities.0.get_mut(n)) {
                *slot = Some(release.array()?);
            }
        }
        let imei = r.optional(0x82)?.map(|t| t.array()).transpose()?;
        Ok(Self {
            tac,
            capabilities,
            imei,
        })
    }
}

/// CtxParams1 (ctxParamsForCommonAuthentication).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CtxParams1 {
    /// Token of the activation code, an event id, empty, or absent.
    pub matching_id: Option<String>,
    /// The device.
    pub device_info: DeviceInfo,
}

impl DataObject for CtxParams1 {
    const TAG: Tag = 0xA0;
    fn write_value(&self, w: &mut Writer) {
        w.optional(0x80, self.matching_id.as_ref().map(|m| m.as_bytes()));
        w.constructed(0xA1, |w| self.device_info.write_value(w));
    }
    fn read_value(r: &mut Reader<'_>) -> Result<Self, TlvError> {
        Ok(Self {
            matching_id: match r.optional(0x80)? {
                None => None,
                Some(tlv) => Some(tlv.text(MAX_MATCHING_ID)?.into()),
            },
            device_info: DeviceInfo::read(&r.expect(0xA1)?)?,
        })
    }
}

/// AuthenticateServerRequest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthenticateServerRequest {
    /// Signed by the server.
    pub server_signed1: Signed<ServerSigned1>,
    /// Its signature.
    pub server_signature1: Signature,
    /// The CI key under which the card is to sign.
    pub euicc_ci_pkid: SubjectKeyIdentifier,
    /// CERT.DPauth.ECDSA, DER.
    pub server_certificate: Vec<u8>,
    /// Context; the card returns it byte for byte as it came.
    pub ctx_params1: Signed<CtxParams1>,
}

impl DataObject for AuthenticateServerRequest {
    const TAG: Tag = 0xBF38;
    fn write_value(&self, w: &mut Writer) {
        w.raw(self.server_signed1.bytes());
        self.server_signature1.write(w);
        w.primitive(universal::OCTET_STRING, &self.euicc_ci_pkid)
            .raw(&self.server_certificate)
            .raw(self.ctx_params1.bytes());
    }
    fn read_value(r: &mut Reader<'_>) -> Result<Self, TlvError> {
        Ok(Self {
            server_signed1: Signed::read(&r.expect(universal::SEQUENCE)?)?,
            server_signature1: Signature::expect(r)?,
            euicc_ci_pkid: r.expect(universal::OCTET_STRING)?.bytes(0, 64)?.to_vec(),
            server_certificate: r.expect(universal::SEQUENCE)?.raw.to_vec(),
            ctx_params1: Signed::read(&r.any()?)?,
        })
    }
}

/// EuiccSigned1: what the card signs to prove itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EuiccSigned1 {
    /// The session.
    pub transaction_id: TransactionId,
    /// As in ServerSigned1.
    pub server_address: String,
    /// The server's challenge, returned.
    pub server_challenge: [u8; 16],
    /// The card.
    pub euicc_info2: EuiccInfo2,
    /// As in the request, byte for byte.
    pub ctx_params1: Signed<CtxParams1>,
}

impl DataObject for EuiccSigned1 {
    const TAG: Tag = universal::SEQUENCE;
    fn write_value(&self, w: &mut Writer) {
        self.transaction_id.write(w);
        w.primitive(0x83, self.server_address.as_bytes())
            .primitive(0x84, &self.server_challenge);
        self.euicc_info2.write(w);
        w.raw(self.ctx_params1.bytes());
    }
    fn read_value(r: &mut Reader<'_>) -> Result<Self, TlvError> {
        Ok(Self {
            transaction_id: TransactionId::expect(r)?,
            server_address: r.expect(0x83)?.text(MAX_ADDRESS)?.into(),
            server_challenge: r.expect(0x84)?.array()?,
            euicc_info2: EuiccInfo2::read(&r.any()?)?,
            ctx_params1: Signed::read(&r.any()?)?,
        })
    }
}

result_codes! {
    /// AuthenticateErrorCode.
    AuthenticateErrorCode otherwise UndefinedError {
        /// CERT.DPauth is invalid.
        InvalidCertificate = 1 "invalidCertificate",
        /// serverSignature1 does not verify.
        InvalidSignature = 2 "invalidSignature",
        /// A curve that the card does not have.
        UnsupportedCurve = 3 "unsupportedCurve",
        /// No challenge is open.
        NoSessionContext = 4 "noSessionContext",
        /// The OID in the certificate is invalid.
        InvalidOid = 5 "invalidOid",
        /// Another challenge than the one that is open.
        EuiccChallengeMismatch = 6 "euiccChallengeMismatch",
        /// A CI that the card does not have.
        CiPkUnknown = 7 "ciPKUnknown",
        /// Anything else.
        UndefinedError = 127 "undefinedError",
    }
}

/// AuthenticateResponseOk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthenticateResponseOk {
    /// Signed by the card.
    pub euicc_signed1: Signed<EuiccSigned1>,
    /// Its signature.
    pub euicc_signature1: Signature,
    /// CERT.EUICC.ECDSA, DER.
    pub euicc_certificate: Vec<u8>,
    /// CERT.EUM.ECDSA, DER.
    pub eum_certificate: Vec<u8>,
}

/// AuthenticateServerResponse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthenticateServerResponse {
    /// The server is who it says; here is the card.
    Ok(alloc::boxed::Box<AuthenticateResponseOk>),
    /// The card refuses the server.
    Error {
        /// The session.
        transaction_id: TransactionId,
        /// AuthenticateErrorCode.
        code: AuthenticateErrorCode,
    },
}

impl DataObject for AuthenticateServerResponse {
    const TAG: Tag = 0xBF38;
    fn write_value(&self, w: &mut Writer) {
        match self {
            Self::Ok(ok) => {
                w.constructed(0xA0, |w| {
                    w.raw(ok.euicc_signed1.bytes());
                    ok.euicc_signature1.write(w);
                    w.raw(&ok.euicc_certificate).raw(&ok.eum_certificate);
                });
            }
            Self::Error {
                transaction_id,
                code,
            } => write_refusal(w, *transaction_id, code.code()),
        }
    }
    fn read_value(r: &mut Reader<'_>) -> Result<Self, TlvError> {
        let tlv = r.any()?;
        let mut r = tlv.children();
        match tlv.tag {
            0xA0 => Ok(Self::Ok(alloc::boxed::Box::new(AuthenticateResponseOk {
                euicc_signed1: Signed::read(&r.expect(universal::SEQUENCE)?)?,
                euicc_signature1: Signature::expect(&mut r)?,
                euicc_certificate: r.expect(universal::SEQUENCE)?.raw.to_vec(),
                eum_certificate: r.expect(universal::SEQUENCE)?.raw.to_vec(),
            }))),
            0xA1 => read_refusal(&mut r).map(|(transaction_id, code)| Self::Error {
                transaction_id,
                code: AuthenticateErrorCode::from_code(code),
            }),
            got => Err(TlvError::UnexpectedTag {
                expected: 0xA0,
                got,
            }),
        }
    }
}
