//! Every object of ES10 and ES8+: whatever parses is written, read again, and is the same.
//! Structure of an input: number of the type, then the object. SGP.22 §5.5, §5.7.

use aid_rsp::es8::{
    ConfigureIsdpRequest, InitialiseSecureChannelRequest, ReplaceSessionKeysRequest,
};
use aid_rsp::es10::*;
use core::fmt::Debug;

/// Reads and writes one type.
type RoundTrip = fn(&[u8]);

macro_rules! types {
    ($($name:ident),* $(,)?) => {
        /// One function a type, in the order of the seeds.
        const TYPES: &[(&str, u32, RoundTrip)] = &[
            $((stringify!($name), <$name as DataObject>::TAG, round_trip::<$name>)),*
        ];
    };
}

types! {
    AuthenticateServerRequest, AuthenticateServerResponse, CancelSessionRequest,
    CancelSessionResponse, ConfigureIsdpRequest, CtxParams1, DeleteProfileRequest,
    DeleteProfileResponse, DisableProfileRequest, DisableProfileResponse, EnableProfileRequest,
    EnableProfileResponse, EuiccCancelSessionSigned, EuiccConfiguredAddressesRequest,
    EuiccConfiguredAddressesResponse, EuiccInfo1, EuiccInfo2, EuiccMemoryResetRequest,
    EuiccMemoryResetResponse, EuiccSigned1, EuiccSigned2, GetEuiccChallengeRequest,
    GetEuiccChallengeResponse, GetEuiccDataRequest, GetEuiccDataResponse, GetEuiccInfo1Request,
    GetEuiccInfo2Request, GetRatRequest, GetRatResponse, InitialiseSecureChannelRequest,
    ListNotificationRequest, ListNotificationResponse, LoadCrlRequest, LoadCrlResponse,
    NotificationMetadata,
    NotificationSentRequest, NotificationSentResponse, OtherSignedNotification,
    PrepareDownloadRequest, PrepareDownloadResponse, ProfileInfo, ProfileInfoListRequest,
    ProfileInfoListResponse, ProfileInstallationResult, ProfileInstallationResultData,
    RetrieveNotificationsListRequest, RetrieveNotificationsListResponse, ServerSigned1,
    SetDefaultDpAddressRequest, SetDefaultDpAddressResponse, SetNicknameRequest,
    SetNicknameResponse, SmdpSigned2, StoreMetadataRequest, UpdateMetadataRequest,
}

/// Number of the type with this tag that parses these bytes, for seeds.
pub(crate) fn number_of(name: &str) -> u8 {
    let position = TYPES.iter().position(|t| t.0 == name);
    position.unwrap_or_else(|| panic!("no type {name}")) as u8
}

/// The target.
pub(crate) fn run(data: &[u8]) {
    let Some((number, object)) = data.split_first() else {
        return;
    };
    TYPES[usize::from(*number) % TYPES.len()].2(object);
    // What the card does first with any request: the type by its tag.
    if let Ok(Some(header)) = aid_rsp::tlv::parse_header(object) {
        for (_, _, read) in TYPES.iter().filter(|t| t.1 == header.tag) {
            read(object);
        }
    }
    keys(object);
    let _ = PendingNotification::from_slice(object);
    let _ = Signature::from_tlv(object);
}

fn round_trip<T: DataObject + PartialEq + Debug>(object: &[u8]) {
    let Ok(value) = T::from_slice(object) else {
        return;
    };
    let written = value.to_vec();
    let again = T::from_slice(&written)
        .unwrap_or_else(|e| panic!("{e}: {value:?} written as {written:02X?}"));
    assert_eq!(value, again);
    assert_eq!(written, again.to_vec());
}

/// Secrets have no equality; their bytes have.
fn keys(object: &[u8]) {
    if let Ok(request) = ReplaceSessionKeysRequest::from_slice(object) {
        let written = request.to_vec();
        let again = ReplaceSessionKeysRequest::from_slice(&written).expect("as it was written");
        assert_eq!(written, again.to_vec());
    }
}
