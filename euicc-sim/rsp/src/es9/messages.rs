//! The five functions of ES9+: SGP.22 §5.6.1-§5.6.5, JSON of §6.5.2.6-§6.5.2.10.

use super::{Base64, Function, Hex, ResponseHeader, Text};
use serde::{Deserialize, Serialize};

/// Bytes of DER that a request may carry: a chain of two certificates and signed data.
const MAX_REQUEST_DER: usize = 16 * 1024;
/// Bytes of signed data in an answer.
const MAX_SIGNED: usize = 4096;
/// Bytes of a certificate.
const MAX_CERT: usize = crate::cert::MAX_CERT_LEN;
/// Bytes of a bound profile package.
const MAX_BPP: usize = 1024 * 1024;

/// An answer: the header, and the output where the function was executed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response<T> {
    /// What became of the call.
    pub header: ResponseHeader,
    /// The output; absent when the call failed, or when it is not what it should be.
    #[serde(flatten)]
    pub output: Option<T>,
}

impl<T> Response<T> {
    /// A successful answer.
    pub const fn ok(output: T) -> Self {
        Self {
            header: ResponseHeader::success(),
            output: Some(output),
        }
    }

    /// A failure.
    pub const fn failed(header: ResponseHeader) -> Self {
        Self {
            header,
            output: None,
        }
    }
}

/// No output beside the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Empty {}

/// ES9+.InitiateAuthentication.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InitiateAuthenticationRequest {
    /// 16 bytes from the card.
    pub euicc_challenge: Base64<64>,
    /// EUICCInfo1, DER.
    pub euicc_info1: Base64<4096>,
    /// The address as the LPA knows it.
    pub smdp_address: Text<260>,
}

/// Output of InitiateAuthentication.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InitiateAuthenticationOk {
    /// The session.
    pub transaction_id: Hex<16>,
    /// ServerSigned1, DER.
    pub server_signed1: Base64<MAX_SIGNED>,
    /// Data object 5F37.
    pub server_signature1: Base64<256>,
    /// Data object 04: SubjectKeyIdentifier of the CI.
    #[serde(rename = "euiccCiPKIdToBeUsed")]
    pub euicc_ci_pkid_to_be_used: Base64<128>,
    /// CERT.DPauth.ECDSA, DER.
    pub server_certificate: Base64<MAX_CERT>,
}

impl Function for InitiateAuthenticationRequest {
    const PATH: &'static str = "/gsma/rsp2/es9plus/initiateAuthentication";
    type Output = InitiateAuthenticationOk;
}

/// ES9+.AuthenticateClient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthenticateClientRequest {
    /// The session.
    pub transaction_id: Hex<16>,
    /// AuthenticateServerResponse, DER.
    pub authenticate_server_response: Base64<MAX_REQUEST_DER>,
}

/// Output of AuthenticateClient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthenticateClientOk {
    /// The session.
    pub transaction_id: Hex<16>,
    /// StoreMetadataRequest, DER.
    pub profile_metadata: Base64<MAX_SIGNED>,
    /// SmdpSigned2, DER.
    pub smdp_signed2: Base64<MAX_SIGNED>,
    /// Data object 5F37.
    pub smdp_signature2: Base64<256>,
    /// CERT.DPpb.ECDSA, DER.
    pub smdp_certificate: Base64<MAX_CERT>,
}

impl Function for AuthenticateClientRequest {
    const PATH: &'static str = "/gsma/rsp2/es9plus/authenticateClient";
    type Output = AuthenticateClientOk;
}

/// ES9+.GetBoundProfilePackage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GetBoundProfilePackageRequest {
    /// The session.
    pub transaction_id: Hex<16>,
    /// PrepareDownloadResponse, DER.
    pub prepare_download_response: Base64<MAX_REQUEST_DER>,
}

/// Output of GetBoundProfilePackage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GetBoundProfilePackageOk {
    /// The session.
    pub transaction_id: Hex<16>,
    /// BoundProfilePackage, DER.
    pub bound_profile_package: Base64<MAX_BPP>,
}

impl Function for GetBoundProfilePackageRequest {
    const PATH: &'static str = "/gsma/rsp2/es9plus/getBoundProfilePackage";
    type Output = GetBoundProfilePackageOk;
}

/// ES9+.HandleNotification; the answer is 204 without a body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HandleNotificationRequest {
    /// PendingNotification, DER.
    pub pending_notification: Base64<MAX_REQUEST_DER>,
}

impl Function for HandleNotificationRequest {
    const PATH: &'static str = "/gsma/rsp2/es9plus/handleNotification";
    type Output = Empty;
}

/// ES9+.CancelSession.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CancelSessionRequest {
    /// The session.
    pub transaction_id: Hex<16>,
    /// CancelSessionResponse, DER.
    pub cancel_session_response: Base64<MAX_REQUEST_DER>,
}

impl Function for CancelSessionRequest {
    const PATH: &'static str = "/gsma/rsp2/es9plus/cancelSession";
    type Output = Empty;
}
