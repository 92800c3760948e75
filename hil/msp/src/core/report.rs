//! What CMPs and SM-DP+s report about profiles: Send CSIM Status (AID.02 §7.8), Request Profile Status (§7.10), and
//! HandleDownloadProgressInfo (SGP.22 §5.3.5).

use aid_aid1::body::{CsimStatus, ProfileState, ProfileStatus, ProfileStatuses, SendCsimStatus};
use aid_aid1::error_code::{ApiError, ErrorCode};
use aid_aid1::operation::RequestProfileStatus;
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
        return Said::refused(ApiError::naming(ErrorCode::ProfileNotFound, &[&body.iccid]));
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
    answered(changes, key, Answer::success::<SendCsimStatus>(&()), now)
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
        return Err(ApiError::naming(ErrorCode::ProfileNotFound, &[iccid]));
    }
    let body = ProfileStatuses { profiles };
    Ok(Answer::success::<RequestProfileStatus>(&body))
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

#[cfg(test)]
mod tests {
    use aid_id::MspToken;

    use super::*;

    fn profile(phase: ProfilePhase) -> Profile {
        Profile {
            iccid: "8944500805172032953".parse().unwrap(),
            msp_token: MspToken::from_bytes([7; 16]),
            eid: "89049032000001000000000831934057".parse().unwrap(),
            matching_id: "M".into(),
            phase,
            network: true,
            created_at: 1,
            used_at: 1,
        }
    }

    #[test]
    fn a_late_report_revives_nothing() {
        use CsimStatus as S;
        use ProfilePhase as P;
        let table = [
            (P::Prepared, S::Installed, P::Installed),
            (P::Prepared, S::InstallationFailed, P::Failed),
            (P::Failed, S::Enabled, P::Installed),
            (P::Installed, S::InstallationFailed, P::Installed),
            (P::Installed, S::Disabled, P::Installed),
            (P::Swapped, S::Enabled, P::Swapped),
            (P::Returned, S::Installed, P::Returned),
            (P::Cancelled, S::Disabled, P::Cancelled),
            (P::Invalid, S::Enabled, P::Invalid),
            (P::Deleted, S::Installed, P::Deleted),
            (P::Swapped, S::Deleted, P::Deleted),
        ];
        for (phase, status, wanted) in table {
            let after = reported(&profile(phase), status, 9);
            assert_eq!(after.phase, wanted, "{phase:?} {status:?}");
            assert_eq!(after.network, wanted != P::Deleted, "{phase:?} {status:?}");
            let used = if status == S::Enabled { 9 } else { 1 };
            assert_eq!(after.used_at, used, "{phase:?} {status:?}");
        }
    }

    #[test]
    fn only_the_success_of_an_installation_says_that_a_profile_is_installed() {
        let known = [
            profile(ProfilePhase::Prepared),
            profile(ProfilePhase::Deleted),
        ];
        let step = |point, status: &str| Progress {
            iccid: known[0].iccid.clone(),
            eid: None,
            point,
            status: status.into(),
            message: None,
        };
        let installed = progress(&known, &step(4, "Executed-Success"), 9);
        let set = Change::ProfileSet(profile(ProfilePhase::Installed));
        assert_eq!(installed.changes[1..], [set]);
        for (point, status) in [(3, "Executed-Success"), (4, "Failed")] {
            let other = progress(&known, &step(point, status), 9);
            assert_eq!((other.changes.len(), other.outcome), (1, true));
        }
        let unknown = progress(&[], &step(4, "Executed-Success"), 9);
        assert_eq!((unknown.changes.len(), unknown.outcome), (1, false));
    }
}
