//! ES10a/b/c: what LPA and card say to each other, and the signed objects that travel on to the SM-DP+.
//! SGP.22 §5.7 and Annex H (RSPDefinitions v2.x).
//!
//! Every object is a [`DataObject`]: `to_vec()` writes DER, `from_slice()` reads any definite-length
//! BER, bounded and typed. Objects that are signed travel as [`Signed`]: the value together with the
//! bytes as they were received, because a signature covers bytes.

mod auth;
mod cancel;
mod code;
mod crl;
mod eid;
mod event;
mod info;
mod install;
mod manage;
mod metadata;
mod notify;
mod object;
mod prepare;
mod profiles;

pub use auth::{
    AuthenticateErrorCode, AuthenticateResponseOk, AuthenticateServerRequest,
    AuthenticateServerResponse, CtxParams1, DeviceCapabilities, DeviceInfo, EuiccSigned1,
    GetEuiccChallengeRequest, GetEuiccChallengeResponse, ServerSigned1,
};
pub use cancel::{
    CancelSessionErrorCode, CancelSessionReason, CancelSessionRequest, CancelSessionResponse,
    EuiccCancelSessionSigned,
};
pub use crl::{LoadCrlError, LoadCrlRequest, LoadCrlResponse};
pub use eid::{
    GetEuiccDataRequest, GetEuiccDataResponse, eid_check_digits_fit, eid_digits, eid_from_digits,
};
pub use event::{NotificationEvent, NotificationMetadata};
pub use info::{
    EuiccInfo1, EuiccInfo2, GetEuiccInfo1Request, GetEuiccInfo2Request, SubjectKeyIdentifier,
    Version, rsp_capability, uicc_capability,
};
pub use install::{
    BppCommandId, ErrorReason, FinalResult, ProfileInstallationResult,
    ProfileInstallationResultData,
};
pub use manage::{
    DeleteProfileRequest, DeleteProfileResponse, DeleteResult, DisableProfileRequest,
    DisableProfileResponse, DisableResult, EnableProfileRequest, EnableProfileResponse,
    EnableResult, EuiccConfiguredAddressesRequest, EuiccConfiguredAddressesResponse,
    EuiccMemoryResetRequest, EuiccMemoryResetResponse, GetRatRequest, GetRatResponse,
    ProfileIdentifier, ResetResult, SetDefaultDpAddressRequest, SetDefaultDpAddressResponse,
    SetDefaultDpAddressResult, SetNicknameRequest, SetNicknameResponse, SetNicknameResult,
    reset_options,
};
pub use metadata::{
    IconType, NotificationConfigurationInformation, OperatorId, ProfileClass, StoreMetadataRequest,
    UpdateMetadataRequest, ppr,
};
pub use notify::{
    ListNotificationRequest, ListNotificationResponse, NotificationSearch, NotificationSentRequest,
    NotificationSentResponse, NotificationSentStatus, OtherSignedNotification, PendingNotification,
    RetrieveNotificationsListRequest, RetrieveNotificationsListResponse,
};
pub use object::{DataObject, Signature, Signed, TransactionId};
pub use prepare::{
    DownloadErrorCode, EuiccSigned2, PrepareDownloadRequest, PrepareDownloadResponse, SmdpSigned2,
};
pub use profiles::{
    ProfileInfo, ProfileInfoListError, ProfileInfoListRequest, ProfileInfoListResponse,
    ProfileSearch, ProfileState,
};

/// Tags that more than one object uses.
pub(crate) mod tag {
    use crate::tlv::Tag;
    pub(crate) const ICCID: Tag = 0x5A;
    pub(crate) const AID: Tag = 0x4F;
    pub(crate) const SIGNATURE: Tag = 0x5F37;
    pub(crate) const OTPK: Tag = 0x5F49;
    pub(crate) const TAG_LIST: Tag = 0x5C;
    pub(crate) const TRANSACTION_ID: Tag = 0x80;
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
