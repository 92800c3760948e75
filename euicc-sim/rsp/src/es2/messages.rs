//! The functions of ES2+: SGP.22 §5.3.1-§5.3.5.
//! Digits stay text here; the SM-DP+ judges them and answers with subject and reason code.

use crate::es9::{
    Base64, Empty, ExecutionStatus, Function, RequestHeader, Secret, StatusCodeData, Text,
};
use serde::{Deserialize, Serialize};

/// An EID, 32 digits.
type Eid = Text<32>;
/// An ICCID, 18 to 20 digits (a padding F may end it).
type Iccid = Text<20>;
/// A MatchingID: digits, letters and hyphens (SGP.22 §4.1.1).
type MatchingId = Text<255>;

/// ES2+.DownloadOrder: reserves a profile.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DownloadOrderRequest {
    /// Who calls.
    pub header: RequestHeader,
    /// For this eUICC only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eid: Option<Eid>,
    /// This profile, or
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iccid: Option<Iccid>,
    /// any of this type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile_type: Option<Text<128>>,
}

/// Output of DownloadOrder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DownloadOrderOk {
    /// The profile that is reserved.
    pub iccid: Iccid,
}

impl Function for DownloadOrderRequest {
    const PATH: &'static str = "/gsma/rsp2/es2plus/downloadOrder";
    type Output = DownloadOrderOk;
}

/// ES2+.ConfirmOrder: gives the order its MatchingID and secrets.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfirmOrderRequest {
    /// Who calls.
    pub header: RequestHeader,
    /// The profile that was reserved.
    pub iccid: Iccid,
    /// For this eUICC only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eid: Option<Eid>,
    /// MatchingID of the operator's choice; otherwise the SM-DP+ makes one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matching_id: Option<MatchingId>,
    /// The user must know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmation_code: Option<Secret<255>>,
    /// SM-DS where an event shall be registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smds_address: Option<Text<255>>,
    /// Release at once?
    pub release_flag: bool,
}

/// Output of ConfirmOrder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfirmOrderOk {
    /// The eUICC, where the order is bound to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eid: Option<Eid>,
    /// The MatchingID of the order.
    pub matching_id: MatchingId,
    /// Address for the activation code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smdp_address: Option<Text<255>>,
    /// SM-DS where the event is registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smds_address: Option<Text<255>>,
}

impl Function for ConfirmOrderRequest {
    const PATH: &'static str = "/gsma/rsp2/es2plus/confirmOrder";
    type Output = ConfirmOrderOk;
}

/// finalProfileStatusIndicator of CancelOrder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FinalProfileStatus {
    /// The profile can be ordered again.
    Available,
    /// It can never be ordered again.
    Unavailable,
}

/// ES2+.CancelOrder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CancelOrderRequest {
    /// Who calls.
    pub header: RequestHeader,
    /// The eUICC, where the order is bound to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eid: Option<Eid>,
    /// The profile.
    pub iccid: Iccid,
    /// MatchingID of the order, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matching_id: Option<MatchingId>,
    /// What becomes of the profile.
    pub final_profile_status_indicator: FinalProfileStatus,
}

impl Function for CancelOrderRequest {
    const PATH: &'static str = "/gsma/rsp2/es2plus/cancelOrder";
    type Output = Empty;
}

/// ES2+.ReleaseProfile: lets a confirmed order be downloaded.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ReleaseProfileRequest {
    /// Who calls.
    pub header: RequestHeader,
    /// The profile.
    pub iccid: Iccid,
}

impl Function for ReleaseProfileRequest {
    const PATH: &'static str = "/gsma/rsp2/es2plus/releaseProfile";
    type Output = Empty;
}

/// notificationPointStatus of HandleDownloadProgressInfo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NotificationPointStatus {
    /// What became of the step.
    pub status: ExecutionStatus,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_code_data: Option<StatusCodeData>,
}

/// ES2+.HandleDownloadProgressInfo: the SM-DP+ tells the operator how a download goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HandleDownloadProgressInfoRequest {
    /// Who calls.
    pub header: RequestHeader,
    /// The eUICC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eid: Option<Eid>,
    /// The profile.
    pub iccid: Iccid,
    /// Its type.
    pub profile_type: Text<128>,
    /// When, `YYYY-MM-DDThh:mm:ssZ`.
    pub timestamp: Text<32>,
    /// Which step, see [`super::notification_point`].
    pub notification_point_id: u8,
    /// What became of it.
    pub notification_point_status: NotificationPointStatus,
    /// ProfileInstallationResultData, DER.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_data: Option<Base64<8192>>,
}

impl Function for HandleDownloadProgressInfoRequest {
    const PATH: &'static str = "/gsma/rsp2/es2plus/handleDownloadProgressInfo";
    type Output = Empty;
}
