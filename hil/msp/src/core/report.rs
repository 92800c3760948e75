//! What CMPs and SM-DP+s report about profiles: Send CSIM Status (AID.02 §7.8), Request Profile Status (§7.10), and
//! HandleDownloadProgressInfo (SGP.22 §5.3.5).

use aid_aid1::body::{
    Body as _, CsimStatus, ProfileState, ProfileStatus, ProfileStatuses, SendCsimStatus,
};
use aid_aid1::error_code::{ApiError, ErrorCode};
use aid_id::Iccid;
use uuid::Uuid;

use super::call::{Answer, CallView, Key, Said, answered};
use super::model::{Profile, ProfilePhase, Progress, StatusRow};
use super::{Change, Decision};

/// notificationPointId of the installation (SGP.22 §5.3.5).
const INSTALLATION: i64 = 4;

/// Send CSIM Status: stored also for a withdrawn token, because the deletions that follow are reported with it (§4.4.1
/// [5]), and for profiles that are gone: such reports are late. `profile` is the newest of this token and ICCID.
pub(crate) fn send_csim_status(
    view: &CallView,
    profile: Option<&Profile>,
    key: &Key,
    body: Result<SendCsimStatus, ApiError>,
    correlation: Uuid,
    now: i64,
) -> Decision<Said> {
    let onboarding = match view.first(key, now) {
        Ok(onboarding) => onboarding,
        Err(said) => return Decision::nothing(said),
    };
    let body = match body {
        Ok(body) => body,
        Err(error) => return Said::refused(error),
    };
    let Some(profile) = profile else {
        return Said::refused(ApiError::because(ErrorCode::ProfileNotFound, &body.iccid));
    };
    let row = StatusRow {
        seq: 0,
        at: now,
        client_id: key.client.clone(),
        msp_token: onboarding.msp_token,
        iccid: body.iccid.clone(),
        eid: body.eid,
        status: body.status,
        correlation_id: correlation,
    };
    let changes = vec![
        Change::StatusAdded(row),
        Change::ProfileSet(reported(profile, body.status, now)),
    ];
    answered(changes, key, Answer::empty(201), now)
}

/// A profile after a report. A swapped, dead or deleted one stays what it is, whatever arrives late.
fn reported(profile: &Profile, status: CsimStatus, now: i64) -> Profile {
    let phase = match status {
        CsimStatus::Deleted => ProfilePhase::Deleted,
        CsimStatus::InstallationFailed if profile.phase == ProfilePhase::Prepared => {
            ProfilePhase::Failed
        }
        CsimStatus::Installed | CsimStatus::Enabled | CsimStatus::Disabled
            if matches!(profile.phase, ProfilePhase::Prepared | ProfilePhase::Failed) =>
        {
            ProfilePhase::Installed
        }
        _ => profile.phase,
    };
    Profile {
        phase,
        network: profile.network && phase != ProfilePhase::Deleted,
        used_at: if status == CsimStatus::Enabled {
            now
        } else {
            profile.used_at
        },
        ..profile.clone()
    }
}

/// The answer to Request Profile Status: the profiles of a token that take a slot, all or one.
///
/// # Errors
/// 404 with 61 for one that is not there.
pub(crate) fn profile_status(
    profiles: Vec<Profile>,
    wanted: Option<&Iccid>,
) -> Result<Answer, ApiError> {
    let listed = profiles.into_iter().filter(|p| p.phase.is_listed());
    let profiles = listed
        .filter(|p| wanted.is_none_or(|wanted| p.iccid == *wanted))
        // enabled and disabled would only be an echo of what the CMP reported itself (§7.10 remark).
        .map(|p| ProfileStatus {
            iccid: p.iccid,
            status: if p.phase == ProfilePhase::Prepared {
                ProfileState::Prepared
            } else {
                ProfileState::Installed
            },
        })
        .collect::<Vec<_>>();
    if let Some(iccid) = wanted.filter(|_| profiles.is_empty()) {
        return Err(ApiError::because(ErrorCode::ProfileNotFound, iccid));
    }
    let body = ProfileStatuses { profiles }.to_json().to_string();
    Ok(Answer { status: 200, body })
}

/// The progress of a download; yields whether the MSP knows the profile. That the package was installed is known here
/// without the CMP; anything else leaves the state to Send CSIM Status. `profiles` are all with this ICCID.
pub(crate) fn progress(profiles: &[Profile], progress: &Progress, now: i64) -> Decision<bool> {
    let mut changes = vec![Change::ProgressAdded {
        progress: progress.clone(),
        at: now,
    }];
    if progress.point == INSTALLATION && progress.status == "Executed-Success" {
        let prepared = profiles
            .iter()
            .filter(|p| p.phase == ProfilePhase::Prepared);
        changes.extend(prepared.map(|p| {
            Change::ProfileSet(Profile {
                phase: ProfilePhase::Installed,
                ..p.clone()
            })
        }));
    }
    Decision::of(changes, !profiles.is_empty())
}
