//! ProfileInstallationResult: SGP.22 §2.5.6.

use super::code::result_codes;
use super::event::NotificationMetadata;
use super::object::{DataObject, Signature, Signed, TransactionId};
use super::tag;
use crate::tlv::{Reader, Tag, TlvError, Writer, universal};
use alloc::vec::Vec;

/// Longest simaResponse kept, bytes.
const MAX_SIMA_RESPONSE: usize = 4096;

result_codes! {
    /// BppCommandId: where in the BPP it happened.
    BppCommandId otherwise LoadProfileElements {
        /// InitialiseSecureChannel.
        InitialiseSecureChannel = 0 "initialiseSecureChannel",
        /// ConfigureISDP.
        ConfigureIsdp = 1 "configureISDP",
        /// StoreMetadata.
        StoreMetadata = 2 "storeMetadata",
        /// StoreMetadata, second part.
        StoreMetadata2 = 3 "storeMetadata2",
        /// ReplaceSessionKeys.
        ReplaceSessionKeys = 4 "replaceSessionKeys",
        /// LoadProfileElements.
        LoadProfileElements = 5 "loadProfileElements",
    }
}

result_codes! {
    /// ErrorReason: why a profile was not installed.
    ErrorReason otherwise UnknownError {
        /// A value is out of range.
        IncorrectInputValues = 1 "incorrectInputValues",
        /// smdpSign does not verify.
        InvalidSignature = 2 "invalidSignature",
        /// Another session.
        InvalidTransactionId = 3 "invalidTransactionId",
        /// Key type or length.
        UnsupportedCrtValues = 4 "unsupportedCrtValues",
        /// Not installBoundProfilePackage.
        UnsupportedRemoteOperationType = 5 "unsupportedRemoteOperationType",
        /// A class that the card does not take.
        UnsupportedProfileClass = 6 "unsupportedProfileClass",
        /// BSP: structure.
        Scp03tStructureError = 7 "scp03tStructureError",
        /// BSP: MAC.
        Scp03tSecurityError = 8 "scp03tSecurityError",
        /// The profile is on the card already.
        IccidAlreadyExists = 9 "installFailedDueToIccidAlreadyExistsOnEuicc",
        /// Not enough memory.
        InsufficientMemory = 10 "installFailedDueToInsufficientMemoryForProfile",
        /// Interrupted.
        Interruption = 11 "installFailedDueToInterruption",
        /// A profile element could not be processed.
        PeProcessingError = 12 "installFailedDueToPEProcessingError",
        /// ICCID of metadata and package differ.
        DataMismatch = 13 "installFailedDueToDataMismatch",
        /// A test profile with a key that is no test key.
        TestProfileInvalidNaaKey = 14 "testProfileInstallFailedDueToInvalidNaaKey",
        /// A Profile Policy Rule that is not allowed here.
        PprNotAllowed = 15 "pprNotAllowed",
        /// Anything else.
        UnknownError = 127 "installFailedDueToUnknownError",
    }
}

/// finalResult.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FinalResult {
    /// Installed.
    Success {
        /// AID of the ISD-P, 5 to 16 bytes.
        aid: Vec<u8>,
        /// EUICCResponse of SAIP.
        sima_response: Vec<u8>,
    },
    /// Not installed.
    Error {
        /// The function that failed.
        command: BppCommandId,
        /// ErrorReason.
        reason: ErrorReason,
        /// EUICCResponse of SAIP, where there is one.
        sima_response: Option<Vec<u8>>,
    },
}

/// ProfileInstallationResultData.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileInstallationResultData {
    /// The session.
    pub transaction_id: TransactionId,
    /// The notification that this is.
    pub notification: NotificationMetadata,
    /// OID of the SM-DP+ out of CERT.DPpb, contents octets.
    pub smdp_oid: Vec<u8>,
    /// What became of it.
    pub result: FinalResult,
}

impl DataObject for ProfileInstallationResultData {
    const TAG: Tag = 0xBF27;
    fn write_value(&self, w: &mut Writer) {
        self.transaction_id.write(w);
        self.notification.write(w);
        w.primitive(universal::OID, &self.smdp_oid);
        w.constructed(0xA2, |w| match &self.result {
            FinalResult::Success { aid, sima_response } => {
                w.constructed(0xA0, |w| {
                    w.primitive(tag::AID, aid)
                        .primitive(universal::OCTET_STRING, sima_response);
                });
            }
            FinalResult::Error {
                command,
                reason,
                sima_response,
            } => {
                w.constructed(0xA1, |w| {
                    w.uint(0x80, u64::from(command.code()))
                        .uint(0x81, u64::from(reason.code()))
                        .optional(0x82, sima_response.as_deref());
                });
            }
        });
    }
    fn read_value(r: &mut Reader<'_>) -> Result<Self, TlvError> {
        let transaction_id = TransactionId::expect(r)?;
        let notification = NotificationMetadata::read(&r.any()?)?;
        let smdp_oid = r.expect(universal::OID)?.bytes(1, 64)?.to_vec();
        let choice = r.expect(0xA2)?.children().any()?;
        let mut inside = choice.children();
        let result = match choice.tag {
            0xA0 => FinalResult::Success {
                aid: inside.expect(tag::AID)?.bytes(5, 16)?.to_vec(),
                sima_response: inside
                    .expect(universal::OCTET_STRING)?
                    .bytes(0, MAX_SIMA_RESPONSE)?
                    .to_vec(),
            },
            0xA1 => FinalResult::Error {
                command: BppCommandId::from_code(inside.expect(0x80)?.uint()?),
                reason: ErrorReason::from_code(inside.expect(0x81)?.uint()?),
                sima_response: match inside.optional(0x82)? {
                    None => None,
                    Some(t) => Some(t.bytes(0, MAX_SIMA_RESPONSE)?.to_vec()),
                },
            },
            got => {
                return Err(TlvError::UnexpectedTag {
                    expected: 0xA0,
                    got,
                });
            }
        };
        Ok(Self {
            transaction_id,
            notification,
            smdp_oid,
            result,
        })
    }
}

/// ProfileInstallationResult.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileInstallationResult {
    /// Signed by the card.
    pub data: Signed<ProfileInstallationResultData>,
    /// Its signature, euiccSignPIR.
    pub signature: Signature,
}

impl DataObject for ProfileInstallationResult {
    const TAG: Tag = 0xBF37;
    fn write_value(&self, w: &mut Writer) {
        w.raw(self.data.bytes());
        self.signature.write(w);
    }
    fn read_value(r: &mut Reader<'_>) -> Result<Self, TlvError> {
        Ok(Self {
            data: Signed::read(&r.any()?)?,
            signature: Signature::expect(r)?,
        })
    }
}
