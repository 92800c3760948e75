//! PrepareDownload: SGP.22 §5.7.5.

use super::code::result_codes;
use super::object::{DataObject, Signature, Signed, TransactionId, read_refusal, write_refusal};
use super::tag;
use crate::tlv::{Reader, Tag, TlvError, Writer, universal};
use alloc::vec::Vec;

/// An uncompressed point with room for other curves.
const MAX_POINT: usize = 133;

fn point(r: &mut Reader<'_>) -> Result<Option<Vec<u8>>, TlvError> {
    match r.optional(tag::OTPK)? {
        None => Ok(None),
        Some(tlv) => Ok(Some(tlv.bytes(1, MAX_POINT)?.to_vec())),
    }
}

fn hash(r: &mut Reader<'_>) -> Result<Option<[u8; 32]>, TlvError> {
    r.optional(universal::OCTET_STRING)?
        .map(|t| t.array())
        .transpose()
}

/// As [`hash`], with an empty hash taken as none: some clients write one where they have no Confirmation Code.
fn hash_or_empty(r: &mut Reader<'_>) -> Result<Option<[u8; 32]>, TlvError> {
    match r.optional(universal::OCTET_STRING)? {
        Some(tlv) if !tlv.value.is_empty() => tlv.array().map(Some),
        _ => Ok(None),
    }
}

/// SmdpSigned2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmdpSigned2 {
    /// The session.
    pub transaction_id: TransactionId,
    /// Must the user give a Confirmation Code?
    pub cc_required: bool,
    /// otPK.EUICC.ECKA that an earlier BPP was bound to, 65 bytes on P-256.
    pub bpp_euicc_otpk: Option<Vec<u8>>,
}

impl DataObject for SmdpSigned2 {
    const TAG: Tag = universal::SEQUENCE;
    fn write_value(&self, w: &mut Writer) {
        self.transaction_id.write(w);
        w.boolean(universal::BOOLEAN, self.cc_required)
            .optional(tag::OTPK, self.bpp_euicc_otpk.as_deref());
    }
    fn read_value(r: &mut Reader<'_>) -> Result<Self, TlvError> {
        Ok(Self {
            transaction_id: TransactionId::expect(r)?,
            cc_required: r.expect(universal::BOOLEAN)?.boolean()?,
            bpp_euicc_otpk: point(r)?,
        })
    }
}

/// PrepareDownloadRequest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrepareDownloadRequest {
    /// Signed by the SM-DP+.
    pub smdp_signed2: Signed<SmdpSigned2>,
    /// Its signature, over smdpSigned2 and euiccSignature1 (the whole data object).
    pub smdp_signature2: Signature,
    /// SHA-256 chain of the Confirmation Code and the TransactionID, where required.
    pub hash_cc: Option<[u8; 32]>,
    /// CERT.DPpb.ECDSA, DER.
    pub smdp_certificate: Vec<u8>,
}

impl DataObject for PrepareDownloadRequest {
    const TAG: Tag = 0xBF21;
    fn write_value(&self, w: &mut Writer) {
        w.raw(self.smdp_signed2.bytes());
        self.smdp_signature2.write(w);
        w.optional(
            universal::OCTET_STRING,
            self.hash_cc.as_ref().map(|h| &h[..]),
        )
        .raw(&self.smdp_certificate);
    }
    fn read_value(r: &mut Reader<'_>) -> Result<Self, TlvError> {
        Ok(Self {
            smdp_signed2: Signed::read(&r.expect(universal::SEQUENCE)?)?,
            smdp_signature2: Signature::expect(r)?,
            hash_cc: hash(r)?,
            smdp_certificate: r.expect(universal::SEQUENCE)?.raw.to_vec(),
        })
    }
}

/// EUICCSigned2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EuiccSigned2 {
    /// The session.
    pub transaction_id: TransactionId,
    /// otPK.EUICC.ECKA, 65 bytes on P-256.
    pub euicc_otpk: Vec<u8>,
    /// As in the request. An empty one reads as none.
    pub hash_cc: Option<[u8; 32]>,
}

impl DataObject for EuiccSigned2 {
    const TAG: Tag = universal::SEQUENCE;
    fn write_value(&self, w: &mut Writer) {
        self.transaction_id.write(w);
        w.primitive(tag::OTPK, &self.euicc_otpk).optional(
            universal::OCTET_STRING,
            self.hash_cc.as_ref().map(|h| &h[..]),
        );
    }
    fn read_value(r: &mut Reader<'_>) -> Result<Self, TlvError> {
        Ok(Self {
            transaction_id: TransactionId::expect(r)?,
            euicc_otpk: point(r)?.ok_or(TlvError::Missing {
                expected: tag::OTPK,
            })?,
            hash_cc: hash_or_empty(r)?,
        })
    }
}

result_codes! {
    /// DownloadErrorCode.
    DownloadErrorCode otherwise UndefinedError {
        /// CERT.DPpb is invalid.
        InvalidCertificate = 1 "invalidCertificate",
        /// smdpSignature2 does not verify.
        InvalidSignature = 2 "invalidSignature",
        /// A curve that the card does not have.
        UnsupportedCurve = 3 "unsupportedCurve",
        /// No session is open.
        NoSessionContext = 4 "noSessionContext",
        /// Another session is open.
        InvalidTransactionId = 5 "invalidTransactionId",
        /// Anything else.
        UndefinedError = 127 "undefinedError",
    }
}

/// PrepareDownloadResponse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrepareDownloadResponse {
    /// The card is ready.
    Ok {
        /// Signed by the card.
        euicc_signed2: Signed<EuiccSigned2>,
        /// Its signature, over euiccSigned2 and smdpSignature2 (the whole data object).
        euicc_signature2: Signature,
    },
    /// The card refuses.
    Error {
        /// The session.
        transaction_id: TransactionId,
        /// DownloadErrorCode.
        code: DownloadErrorCode,
    },
}

impl DataObject for PrepareDownloadResponse {
    const TAG: Tag = 0xBF21;
    fn write_value(&self, w: &mut Writer) {
        match self {
            Self::Ok {
                euicc_signed2,
                euicc_signature2,
            } => {
                w.constructed(0xA0, |w| {
                    w.raw(euicc_signed2.bytes());
                    euicc_signature2.write(w);
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
            0xA0 => Ok(Self::Ok {
                euicc_signed2: Signed::read(&r.expect(universal::SEQUENCE)?)?,
                euicc_signature2: Signature::expect(&mut r)?,
            }),
            0xA1 => read_refusal(&mut r).map(|(transaction_id, code)| Self::Error {
                transaction_id,
                code: DownloadErrorCode::from_code(code),
            }),
            got => Err(TlvError::UnexpectedTag {
                expected: 0xA0,
                got,
            }),
        }
    }
}
