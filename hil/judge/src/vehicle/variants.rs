//! Broken vehicles: what a correct one says or hears is changed on its way, so that the test that is named has to find it.
//! The first is no broken one but a correct vehicle that says everything twice, as MQTT allows.

use super::book::Letter;
use super::shared::State;
use crate::lpa::server::Script;
use crate::rsp::dp::Fault;
use aid_id::AccountRef;
use aid_wire::{Aup, Down, Envelope, LoginOutcome, OrderKind, OrderOutcome, Status, Up};

/// One of [`ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Variant {
    Habits,
    ListsNothing,
    AsksAlthoughPresent,
    AsksAnew,
    IgnoresRefusals,
    ObeysExpired,
    ObeysRetained,
    StaysEnabled,
    RepeatsNothing,
    LeavesGaps,
    OnlySaysDone,
    DeletesTooMuch,
    DoneForUnknown,
    ReportsTwice,
    NamesAnother,
    KeepsOnDeleteAll,
    EnabledAfterPowerCut,
    HidesFailures,
    TakesChanged,
}

/// Each with its name, the test that has to find it, and what it does.
pub(super) const ALL: &[(Variant, &str, &str, &str)] = &[
    (
        Variant::Habits,
        "habits",
        "",
        "a correct vehicle that publishes each message twice, and does not number the repetitions",
    ),
    (
        Variant::ListsNothing,
        "lists-nothing",
        "R-3.2-4/hello",
        "lists no profiles when it connects",
    ),
    (
        Variant::AsksAlthoughPresent,
        "asks-again",
        "R-4.3-4/present",
        "requests a code although the user's profile is there",
    ),
    (
        Variant::AsksAnew,
        "asks-anew",
        "R-4.3-9/repeated",
        "repeats a request under a new id",
    ),
    (
        Variant::IgnoresRefusals,
        "no-refusals",
        "R-2-10/refused",
        "lets users in whom the CMP refused",
    ),
    (
        Variant::ObeysExpired,
        "obeys-expired",
        "R-3.2-4/expired",
        "carries out orders whose time is over",
    ),
    (
        Variant::ObeysRetained,
        "obeys-retained",
        "R-3.2-4/retained",
        "carries out retained orders",
    ),
    (
        Variant::StaysEnabled,
        "stays-enabled",
        "R-4.3-14",
        "does not disable the profile at logout",
    ),
    (
        Variant::RepeatsNothing,
        "reports-once",
        "R-4.3-12/repeated",
        "does not repeat a report that was not acknowledged",
    ),
    (
        Variant::LeavesGaps,
        "gaps",
        "R-4.3-12/numbers",
        "leaves gaps in the numbers of its reports",
    ),
    (
        Variant::OnlySaysDone,
        "only-says-done",
        "R-4.5-4",
        "says that it deleted a profile, and only disabled it",
    ),
    (
        Variant::DeletesTooMuch,
        "deletes-more",
        "R-A.3-2",
        "deletes everybody's profiles when one user is erased",
    ),
    (
        Variant::DoneForUnknown,
        "done-for-unknown",
        "R-4.4.1-9/unknown",
        "says that it deleted a profile that it never had",
    ),
    (
        Variant::ReportsTwice,
        "reports-twice",
        "R-4.4.1-9/repeated",
        "reports one deletion under two numbers",
    ),
    (
        Variant::NamesAnother,
        "names-another",
        "R-4.3-4",
        "requests a code for another account",
    ),
    (
        Variant::KeepsOnDeleteAll,
        "keeps-some",
        "R-A.4-4",
        "only logs out at the end of a rental",
    ),
    (
        Variant::EnabledAfterPowerCut,
        "enabled-after-cut",
        "R-4.3-14/power",
        "has a profile enabled after a power cut, with nobody logged in",
    ),
    (
        Variant::HidesFailures,
        "hides-failures",
        "R-4.3-12/failure",
        "does not report a failed installation",
    ),
    (
        Variant::TakesChanged,
        "takes-changed",
        "R-3.2-5",
        "installs a profile that was changed on its way",
    ),
];

const NOBODY: AccountRef = AccountRef([0x4A; 16]);

impl Variant {
    /// What a message of the vehicle becomes.
    pub(super) fn up(self, mut envelope: Envelope<Up>, state: &mut State) -> Vec<Envelope<Up>> {
        match (self, &mut envelope.body) {
            (Self::Habits, _) => {
                // Numbers of messages are for traces only.
                let again = Envelope {
                    sequence: 0,
                    ..envelope.clone()
                };
                return vec![envelope, again];
            }
            (Self::ListsNothing, Up::Hello { profiles, .. }) => profiles.clear(),
            (
                Self::AsksAlthoughPresent,
                Up::Status {
                    status: Status::Enabled,
                    account: Some(account),
                    ..
                },
            ) => {
                let id = state.book.random.bytes16();
                let more = Envelope {
                    message_id: id,
                    correlation_id: id,
                    body: Up::RequestActivationCode {
                        request_id: id,
                        account: *account,
                    },
                    ..envelope.clone()
                };
                return vec![envelope, more];
            }
            (Self::AsksAnew, Up::RequestActivationCode { request_id, .. }) => {
                *request_id = state.book.random.bytes16();
            }
            (Self::StaysEnabled, Up::Status { status, .. }) if *status == Status::Disabled => {
                return Vec::new();
            }
            (Self::RepeatsNothing, Up::Status { report_seq, .. }) => {
                let known = |old: &Envelope<Up>| matches!(&old.body, Up::Status { report_seq: seq, .. } if seq == report_seq);
                if state.kept.iter().any(known) {
                    return Vec::new();
                }
                state.kept.push_back(envelope.clone());
            }
            (Self::LeavesGaps, Up::Status { report_seq, .. }) => *report_seq *= 2,
            (Self::DoneForUnknown, Up::OrderResult { outcome, .. })
                if *outcome == OrderOutcome::NotFound =>
            {
                *outcome = OrderOutcome::Done;
            }
            (
                Self::ReportsTwice,
                Up::Status {
                    status: Status::Deleted,
                    report_seq,
                    ..
                },
            ) => {
                let seq = *report_seq + 1_000_000;
                let mut more = envelope.clone();
                if let Up::Status { report_seq, .. } = &mut more.body {
                    *report_seq = seq;
                }
                return vec![envelope, more];
            }
            (Self::NamesAnother, Up::RequestActivationCode { account, .. }) => *account = NOBODY,
            (Self::EnabledAfterPowerCut, Up::Hello { profiles, .. }) => {
                for profile in profiles {
                    profile.state = Status::Enabled;
                }
            }
            (
                Self::EnabledAfterPowerCut,
                Up::Status {
                    status: Status::Disabled,
                    ..
                },
            )
            | (
                Self::HidesFailures,
                Up::Status {
                    status: Status::InstallationFailed,
                    ..
                },
            ) => return Vec::new(),
            _ => {}
        }
        vec![envelope]
    }

    /// What the SM-DP+ does to it becomes.
    pub(super) fn script(self, mut script: Script) -> Script {
        if self == Self::TakesChanged {
            script.fault = Fault::None;
        }
        script
    }

    /// What a message to the vehicle becomes.
    pub(super) fn down(
        self,
        mut letter: Letter,
        mut retain: bool,
        state: &mut State,
    ) -> Vec<(Letter, bool)> {
        match (self, &mut letter.body) {
            (Self::IgnoresRefusals, Down::LoginResult { outcome, .. })
                if matches!(outcome, LoginOutcome::Refused { .. }) =>
            {
                *outcome = LoginOutcome::Accepted {
                    account: NOBODY,
                    aup: Aup {
                        display_name: "nobody".to_owned(),
                        msp_name: String::new(),
                        masked_number: String::new(),
                    },
                    profiles: Vec::new(),
                };
                state.book.logged_in = Some(NOBODY);
            }
            (Self::ObeysExpired, Down::Order { .. }) => letter.expires_at = None,
            (Self::ObeysRetained, _) => retain = false,
            (Self::LeavesGaps, Down::StatusAck { report_seq }) => *report_seq /= 2,
            (Self::OnlySaysDone, Down::Order { kind, .. }) => {
                if let OrderKind::Delete { iccid } | OrderKind::DeleteOf { iccid, .. } = kind {
                    *kind = OrderKind::Disable {
                        iccid: iccid.clone(),
                    };
                }
            }
            (Self::DeletesTooMuch, Down::Order { kind, .. })
                if matches!(kind, OrderKind::Erase { .. }) =>
            {
                *kind = OrderKind::DeleteAll;
            }
            (Self::KeepsOnDeleteAll, Down::Order { kind, .. }) if *kind == OrderKind::DeleteAll => {
                *kind = OrderKind::Logout {
                    account: state.book.logged_in.unwrap_or(NOBODY),
                };
            }
            _ => {}
        }
        vec![(letter, retain)]
    }
}
