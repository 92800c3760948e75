//! What an SM-DP+ tells us: ES2+.HandleDownloadProgressInfo (SGP.22 §5.3.5, §6.5.2.5), over mutual TLS.

use aid_aid1::error_code::clean;
use aid_id::Iccid;
use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use serde::{Deserialize, Serialize};

use crate::core::model::Progress;
use crate::core::report;
use crate::msp::{Msp, now_ms};

/// Largest notification, bytes.
const MAX_BODY: usize = 64 * 1024;
/// `X-Admin-Protocol` (SGP.22 §6.5.1.1).
const PROTOCOL: (HeaderName, &str) = (
    HeaderName::from_static("x-admin-protocol"),
    "gsma/rsp/v2.4.0",
);

/// The one function.
pub(crate) fn router(msp: Msp) -> Router {
    Router::new()
        .route(
            "/gsma/rsp2/es2plus/handleDownloadProgressInfo",
            post(progress),
        )
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(msp)
}

/// The notification, as far as we keep it.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Notification {
    iccid: String,
    #[serde(default)]
    eid: Option<String>,
    notification_point_id: i64,
    notification_point_status: PointStatus,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct PointStatus {
    status: String,
    #[serde(default)]
    status_code_data: Option<CodeData>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct CodeData {
    #[serde(default)]
    subject_code: String,
    #[serde(default)]
    reason_code: String,
    #[serde(default)]
    message: String,
}

fn refused(status: StatusCode, why: &str) -> Response {
    tracing::warn!(why, "HandleDownloadProgressInfo");
    (status, [PROTOCOL]).into_response()
}

/// A notification has no answer but 204 (SGP.22 §6.5.1.2).
async fn progress(State(msp): State<Msp>, body: Result<Bytes, BytesRejection>) -> Response {
    let read = body
        .ok()
        .map(|body| aid_serve::json::read::<Notification>(&body));
    let Some(Ok(told)) = read else {
        return refused(
            StatusCode::BAD_REQUEST,
            "the notification has not the members of SGP.22 §5.3.5",
        );
    };
    // On ES2+ a filler F may end an ICCID of 19 digits.
    let Ok(iccid) = told.iccid.trim_end_matches(['F', 'f']).parse::<Iccid>() else {
        return refused(StatusCode::BAD_REQUEST, "iccid is none");
    };
    let message = told.notification_point_status.status_code_data.map(|data| {
        clean(
            &format!(
                "{}/{} {}",
                data.subject_code, data.reason_code, data.message
            ),
            300,
        )
    });
    let progress = Progress {
        iccid,
        eid: told.eid.map(|eid| clean(&eid, 32)),
        point: told.notification_point_id,
        status: clean(&told.notification_point_status.status, 40),
        message,
    };
    let reported = progress.clone();
    let noted = msp.store.decide(async move |tx| {
        let profiles = tx.profiles_with(&reported.iccid).await?;
        Ok(report::progress(&profiles, &reported, now_ms()))
    });
    match noted.await {
        Ok(ours) => {
            tracing::info!(iccid = %progress.iccid, point = progress.point, status = progress.status, ours, "download");
            (StatusCode::NO_CONTENT, [PROTOCOL]).into_response()
        }
        Err(error) => refused(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}
