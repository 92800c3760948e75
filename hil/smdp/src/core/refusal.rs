//! Refusals with the subject and reason codes of SGP.22 §5.2.6.1, §5.2.6.2.
//! Each function's table (§5.3.x, §5.6.x) says which pair it may answer.

use aid_rsp::es9::ResponseHeader;

/// Why a function is not executed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({subject}/{reason})")]
pub struct Refusal {
    /// subjectCode.
    pub subject: &'static str,
    /// reasonCode.
    pub reason: &'static str,
    /// For people: which value, and why.
    pub message: String,
}

/// Defines one constructor per pair of codes.
macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident = $subject:literal / $reason:literal;)+) => {
        impl Refusal {
            $($(#[$doc])*
            #[must_use]
            pub fn $name(message: impl Into<String>) -> Self {
                Self { subject: $subject, reason: $reason, message: message.into() }
            })+
        }
    };
}

refusals! {
    /// 1.1/1.1: the caller's certificate is no operator's.
    requester_unknown = "1.1" / "1.1";
    /// 1.1/1.2: the functionRequesterIdentifier is another operator's.
    requester_not_allowed = "1.1" / "1.2";
    /// 1.2/4.2: internal processing error.
    internal = "1.2" / "4.2";
    /// 1.6/2.1: an input parameter is invalid.
    invalid_input = "1.6" / "2.1";
    /// 1.6/2.3: a conditional input parameter is missing.
    missing_input = "1.6" / "2.3";
    /// 8.1/6.1: signature or challenge of the eUICC.
    euicc_signature = "8.1" / "6.1";
    /// 8.1/4.2: the eUICC refused, its error code is in the text.
    euicc_error = "8.1" / "4.2";
    /// 8.1.1/2.1: the EID is no EID.
    eid_invalid = "8.1.1" / "2.1";
    /// 8.1.1/2.2: the EID is needed.
    eid_missing = "8.1.1" / "2.2";
    /// 8.1.1/3.8: another EID than the order's.
    eid_refused = "8.1.1" / "3.8";
    /// 8.1.1/3.10: the order is linked to another EID.
    eid_association = "8.1.1" / "3.10";
    /// 8.1.2/6.1: EUM certificate invalid.
    eum_certificate = "8.1.2" / "6.1";
    /// 8.1.2/6.3: EUM certificate expired.
    eum_expired = "8.1.2" / "6.3";
    /// 8.1.3/6.1: eUICC certificate invalid.
    euicc_certificate = "8.1.3" / "6.1";
    /// 8.1.3/6.3: eUICC certificate expired.
    euicc_expired = "8.1.3" / "6.3";
    /// 8.2/1.2: the profile is not released.
    not_released = "8.2" / "1.2";
    /// 8.2/3.7: no BPP can be made.
    bpp_unavailable = "8.2" / "3.7";
    /// 8.2.1/1.2: the caller may not touch this profile.
    iccid_not_allowed = "8.2.1" / "1.2";
    /// 8.2.1/3.3: the profile is in use.
    iccid_in_use = "8.2.1" / "3.3";
    /// 8.2.1/3.5: the order's state doesn't allow it.
    iccid_transition = "8.2.1" / "3.5";
    /// 8.2.1/3.9: no such profile.
    iccid_unknown = "8.2.1" / "3.9";
    /// 8.2.5/3.7: no profile of this type is left.
    type_unavailable = "8.2.5" / "3.7";
    /// 8.2.5/3.9: no such profile type.
    type_unknown = "8.2.5" / "3.9";
    /// 8.2.5/3.10: the profile is of another type.
    type_association = "8.2.5" / "3.10";
    /// 8.2.5/4.3: no profile suits this eUICC.
    not_eligible = "8.2.5" / "4.3";
    /// 8.2.6/2.1: the MatchingID has characters that it may not have.
    matching_id_invalid = "8.2.6" / "2.1";
    /// 8.2.6/3.3: another order has this MatchingID.
    matching_id_in_use = "8.2.6" / "3.3";
    /// 8.2.6/3.8: no download for this MatchingID.
    matching_id_refused = "8.2.6" / "3.8";
    /// 8.2.6/3.10: the order has another MatchingID.
    matching_id_association = "8.2.6" / "3.10";
    /// 8.2.7/2.2: a Confirmation Code is needed.
    code_missing = "8.2.7" / "2.2";
    /// 8.2.7/3.8: the Confirmation Code is wrong.
    code_refused = "8.2.7" / "3.8";
    /// 8.2.7/6.4: too many wrong Confirmation Codes.
    code_retries = "8.2.7" / "6.4";
    /// 8.8/3.10: the data were made for another SM-DP+.
    dp_association = "8.8" / "3.10";
    /// 8.8.1/3.8: another server's address.
    address_refused = "8.8.1" / "3.8";
    /// 8.8.2/3.1: no CI in common.
    ci_unsupported = "8.8.2" / "3.1";
    /// 8.8.3/3.1: specification version not supported.
    version_unsupported = "8.8.3" / "3.1";
    /// 8.8.4/3.7: no server certificate that the eUICC can verify.
    certificate_unavailable = "8.8.4" / "3.7";
    /// 8.8.5/4.10: the order has expired.
    order_expired = "8.8.5" / "4.10";
    /// 8.8.5/6.4: too many download attempts.
    download_retries = "8.8.5" / "6.4";
    /// 8.9/5.1: the SM-DS can't be reached.
    smds_inaccessible = "8.9" / "5.1";
    /// 8.10.1/3.9: no such session.
    transaction_unknown = "8.10.1" / "3.9";
    /// 8.11.1/3.9: CI unknown.
    ci_unknown = "8.11.1" / "3.9";
}

impl Refusal {
    /// The header of the answer.
    #[must_use]
    pub fn header(&self) -> ResponseHeader {
        ResponseHeader::failed(self.subject, self.reason, None, &self.message)
    }
}
