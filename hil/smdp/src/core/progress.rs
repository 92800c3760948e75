//! What the operator of an order is told of its download: ES2+.HandleDownloadProgressInfo, SGP.22 §3.1.3, §5.3.5.

use super::{BY_HAND, Order, Refusal};
use aid_rsp::es2::{
    HandleDownloadProgressInfoRequest, NotificationPointStatus, notification_point,
};
use aid_rsp::es9::{Base64, ExecutionStatus, RequestHeader, ResponseHeader, Text};

/// A step of a download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Whose order it is.
    pub operator: String,
    /// What the operator is told; who calls is filled in when it is sent.
    pub request: HandleDownloadProgressInfoRequest,
    /// Unix seconds.
    pub at: u64,
}

/// Which step, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Eligibility and retry limit were checked.
    Eligible,
    /// The Confirmation Code was refused, or too many were.
    CodeRefused(Refusal),
    /// The BPP was given out.
    GivenOut,
    /// The card installed the profile; its signed result data.
    Installed(Vec<u8>),
    /// It did not, for this reason.
    NotInstalled(String, Vec<u8>),
}

/// Time as SGP.22 §5.3.5 writes it.
fn timestamp(at: u64) -> Option<Text<32>> {
    let at = jiff::Timestamp::from_second(i64::try_from(at).ok()?).ok()?;
    Text::new(at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

impl Progress {
    /// `None`: nobody is to be told of this order, or it can't be said within the sizes of ES2+.
    #[must_use]
    pub fn of(order: &Order, step: Step, at: u64) -> Option<Self> {
        let operator = order.operator.clone().filter(|name| name != BY_HAND)?;
        let success = NotificationPointStatus {
            status: ExecutionStatus::Success,
            status_code_data: None,
        };
        let failed = |subject: &str, reason: &str, message: &str| {
            let header = ResponseHeader::failed(subject, reason, None, message);
            NotificationPointStatus {
                status: ExecutionStatus::Failed,
                status_code_data: header.function_execution_status.status_code_data,
            }
        };
        let (point, status, result) = match step {
            Step::Eligible => (notification_point::ELIGIBILITY, success, None),
            Step::CodeRefused(why) => (
                notification_point::CONFIRMATION_CODE,
                failed(why.subject, why.reason, &why.message),
                None,
            ),
            Step::GivenOut => (notification_point::DOWNLOAD, success, None),
            Step::Installed(data) => (notification_point::INSTALLATION, success, Some(data)),
            Step::NotInstalled(why, data) => (
                notification_point::INSTALLATION,
                failed("8.1", "4.2", &why),
                Some(data),
            ),
        };
        let request = HandleDownloadProgressInfoRequest {
            header: RequestHeader::default(),
            eid: order.eid.as_deref().and_then(Text::new),
            iccid: Text::new(&order.iccid)?,
            profile_type: Text::new(&order.profile_type)?,
            timestamp: timestamp(at)?,
            notification_point_id: point,
            notification_point_status: status,
            result_data: result.and_then(Base64::new),
        };
        Some(Self {
            operator,
            request,
            at,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_says_what_sgp22_wants() {
        let mut order = Order::available("8949000000000000018".into(), "t".into(), 1);
        let at = 1_790_000_000;
        assert_eq!(Progress::of(&order, Step::GivenOut, at), None, "nobody's");
        order.operator = Some(BY_HAND.into());
        assert_eq!(Progress::of(&order, Step::GivenOut, at), None, "by hand");
        order.operator = Some("msp".into());
        let refusal = Refusal::code_refused("wrong");
        for (step, point, executed) in [
            (Step::Eligible, 1, true),
            (Step::CodeRefused(refusal), 2, false),
            (Step::GivenOut, 3, true),
            (Step::Installed(vec![1]), 4, true),
            (Step::NotInstalled("full".into(), vec![2]), 4, false),
        ] {
            let progress = Progress::of(&order, step, at).unwrap();
            assert_eq!(progress.operator, "msp");
            let request = progress.request;
            assert_eq!(request.notification_point_id, point);
            let status = request.notification_point_status;
            assert_eq!(status.status == ExecutionStatus::Success, executed);
            assert_eq!(status.status_code_data.is_none(), executed);
            assert_eq!(request.timestamp.as_str(), "2026-09-21T14:13:20Z");
        }
    }
}
