//! CancelSession: SGP.22 §5.7.14.

use super::code::result_codes;
use super::object::{DataObject, Signature, Signed, TransactionId};
use crate::tlv::{Reader, Tag, TlvError, Writer, universal};
use alloc::vec::Vec;

result_codes! {
    /// CancelSessionReason.
    CancelSessionReason otherwise UndefinedReason {
        /// The user said no.
        EndUserRejection = 0 "endUserRejection",
        /// The user wants to decide later.
        Postponed = 1 "postponed",
        /// No answer from the user.
        Timeout = 2 "timeout",
        /// A Profile Policy Rule is not allowed here.
        PprNotAllowed = 3 "pprNotAllowed",
        /// The metadata differ from those that were shown.
        MetadataMismatch = 4 "metadataMismatch",
        /// The card could not load the BPP.
        LoadBppExecutionError = 5 "loadBppExecutionError",
        /// Anything else.
        UndefinedReason = 127 "undefinedReason",
    }
}

result_codes! {
    /// Why the card can't cancel.
    CancelSessionErrorCode otherwise UndefinedError {
        /// No such session.
        InvalidTransactionId = 5 "invalidTransactionId",
        /// Anything else.
        UndefinedError = 127 "undefinedError",
    }
}

/// CancelSessionRequest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CancelSessionRequest {
    /// The session.
    pub transaction_id: TransactionId,
    /// The reason for ending the session.
    pub reason: CancelSessionReason,
}

impl DataObject for CancelSessionRequest {
    const TAG: Tag = 0xBF41;
    fn write_value(&self, w: &mut Writer) {
        self.transaction_id.write(w);
        w.uint(0x81, u64::from(self.reason.code()));
    }
    fn read_value(r: &mut Reader<'_>) -> Result<Self, TlvError> {
        Ok(Self {
            transaction_id: TransactionId::expect(r)?,
            reason: CancelSessionReason::from_code(r.expect(0x81)?.uint()?),
        })
    }
}

/// EuiccCancelSessionSigned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EuiccCancelSessionSigned {
    /// The session.
    pub transaction_id: TransactionId,
    /// OID of the SM-DP+ out of CERT.DPauth, contents octets.
    pub smdp_oid: Vec<u8>,
    /// The reason for ending the session.
    pub reason: CancelSessionReason,
}

impl DataObject for EuiccCancelSessionSigned {
    const TAG: Tag = universal::SEQUENCE;
    fn write_value(&self, w: &mut Writer) {
        self.transaction_id.write(w);
        w.primitive(0x81, &self.smdp_oid)
            .uint(0x82, u64::from(self.reason.code()));
    }
    fn read_value(r: &mut Reader<'_>) -> Result<Self, TlvError> {
        Ok(Self {
            transaction_id: TransactionId::expect(r)?,
            smdp_oid: r.expect(0x81)?.bytes(1, 64)?.to_vec(),
            reason: CancelSessionReason::from_code(r.expect(0x82)?.uint()?),
        })
    }
}

/// CancelSessionResponse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CancelSessionResponse {
    /// The session is over.
    Ok {
        /// Signed by the card.
        signed: Signed<EuiccCancelSessionSigned>,
        /// Its signature.
        signature: Signature,
    },
    /// It is not.
    Error(CancelSessionErrorCode),
}

impl DataObject for CancelSessionResponse {
    const TAG: Tag = 0xBF41;
    fn write_value(&self, w: &mut Writer) {
        match self {
            Self::Ok { signed, signature } => w.constructed(0xA0, |w| {
                w.raw(signed.bytes());
                signature.write(w);
            }),
            Self::Error(code) => w.uint(0x81, u64::from(code.code())),
        };
    }
    fn read_value(r: &mut Reader<'_>) -> Result<Self, TlvError> {
        let tlv = r.any()?;
        match tlv.tag {
            0xA0 => {
                let mut r = tlv.children();
                Ok(Self::Ok {
                    signed: Signed::read(&r.expect(universal::SEQUENCE)?)?,
                    signature: Signature::expect(&mut r)?,
                })
            }
            0x81 => Ok(Self::Error(CancelSessionErrorCode::from_code(tlv.uint()?))),
            got => Err(TlvError::UnexpectedTag {
                expected: 0xA0,
                got,
            }),
        }
    }
}
