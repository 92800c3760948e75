//! ES2+ in JSON: SGP.22 §5.3, §6.5.2.1-§6.5.2.5. Feature `json`. The operator orders profiles here.

mod messages;

pub use messages::{
    CancelOrderRequest, ConfirmOrderOk, ConfirmOrderRequest, DownloadOrderOk, DownloadOrderRequest,
    FinalProfileStatus, HandleDownloadProgressInfoRequest, NotificationPointStatus,
    ReleaseProfileRequest,
};

/// notificationPointId of HandleDownloadProgressInfo (SGP.22 §5.3.5).
pub mod notification_point {
    /// Eligibility and retry limit check.
    pub const ELIGIBILITY: u8 = 1;
    /// Confirmation Code check.
    pub const CONFIRMATION_CODE: u8 = 2;
    /// Profile download (BPP given).
    pub const DOWNLOAD: u8 = 3;
    /// Profile installation.
    pub const INSTALLATION: u8 = 4;
}
