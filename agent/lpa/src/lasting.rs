//! Which failures stay and which pass: the one place where that is decided.
//!
//! Only an answer that says so is lasting: a refusal of the SM-DP+ about the code or the card, the
//! card's result that this profile can't be installed or this server not trusted, a code that is no
//! code. Whatever else goes wrong on the way (no network, a proxy's page, a broken answer, a card
//! that is away) says nothing about the profile, and the same code is tried again.

use crate::error::{CardError, LpaError, ServerError};
use crate::es9::HttpError;
use aid_rsp::es9::{ExecutionStatus, FunctionExecutionStatus};
use aid_rsp::es10::ErrorReason;

impl LpaError {
    /// True when the same again can't succeed: somebody refused for a reason that stays.
    #[must_use]
    pub fn permanent(&self) -> bool {
        match self {
            Self::Card(error) => error.permanent(),
            Self::Server(error) => error.permanent(),
            // Judged by the code alone.
            Self::Code(_) | Self::NoAddress => true,
            // Another server or session answered, or a damaged package came: the next answer may be
            // the right one.
            Self::Mismatch { .. }
            | Self::Oid { .. }
            | Self::ServerName { .. }
            | Self::Package(_)
            | Self::NoResult => false,
            // Nobody can type one here.
            Self::ConfirmationCode => true,
            Self::ServerRefused { name, .. } => !matches!(
                *name,
                // The card was reset meanwhile, or does not say why.
                "noSessionContext"
                    | "euiccChallengeMismatch"
                    | "invalidTransactionId"
                    | "undefinedError"
            ),
            // The session was cancelled with this reason, which ends the order (SGP.22 §3.1.3.1).
            Self::PolicyRules { .. } | Self::Metadata { .. } => true,
            Self::Installation { reason, .. } => installation(*reason),
        }
    }
}

impl CardError {
    /// True when the card refuses for a reason that stays.
    #[must_use]
    pub fn permanent(&self) -> bool {
        match self {
            Self::Transport(_)
            | Self::Status { .. }
            | Self::Answer { .. }
            | Self::TooLong { .. } => false,
            // catBusy (5) passes.
            Self::Refused { code, .. } => *code != 5,
        }
    }
}

impl ServerError {
    /// True when the SM-DP+ itself refuses for a reason that stays.
    #[must_use]
    pub fn permanent(&self) -> bool {
        match self {
            Self::Http(error) => match error {
                HttpError::Unreachable { .. }
                | HttpError::Tls { .. }
                | HttpError::Later { .. }
                | HttpError::TooLong { .. } => false,
            },
            // A function that failed is answered with status 200 (§6.5.1.4): any other status, 404
            // and 403 included, is that of a proxy or of a server in trouble.
            Self::Status { .. } | Self::Json { .. } => false,
            Self::Failed { status, .. } => refusal(status),
        }
    }
}

/// Whether a function execution status stays (§5.2.6).
fn refusal(status: &FunctionExecutionStatus) -> bool {
    match status.status {
        ExecutionStatus::Failed => {}
        // Not done in time; the others are no refusals.
        ExecutionStatus::Expired | ExecutionStatus::Success | ExecutionStatus::WithWarning => {
            return false;
        }
    }
    let Some(data) = &status.status_code_data else {
        return false;
    };
    let (subject, reason) = (data.subject_code.as_str(), data.reason_code.as_str());
    let passes = match (subject, reason) {
        // Not released yet; the session got lost, as after a restart of the server.
        ("8.2", "1.2") | ("8.10.1", "3.9") => true,
        // No package for another binding of this profile.
        ("8.2", "3.7") => false,
        // Unavailable; execution error; something behind the server can't be reached (5.x).
        (_, "3.7" | "4.2") => true,
        (_, reason) if reason.starts_with("5.") => true,
        // About the function call (1.x) or nothing at all, not about profile, card or server.
        (subject, reason) => subject.starts_with("1.") || subject.is_empty() || reason.is_empty(),
    };
    !passes
}

/// Whether a result of the installation stays (§2.5.6).
fn installation(reason: ErrorReason) -> bool {
    match reason {
        ErrorReason::Interruption | ErrorReason::UnknownError => false,
        ErrorReason::IncorrectInputValues
        | ErrorReason::InvalidSignature
        | ErrorReason::InvalidTransactionId
        | ErrorReason::UnsupportedCrtValues
        | ErrorReason::UnsupportedRemoteOperationType
        | ErrorReason::UnsupportedProfileClass
        | ErrorReason::Scp03tStructureError
        | ErrorReason::Scp03tSecurityError
        | ErrorReason::IccidAlreadyExists
        | ErrorReason::InsufficientMemory
        | ErrorReason::PeProcessingError
        | ErrorReason::DataMismatch
        | ErrorReason::TestProfileInvalidNaaKey
        | ErrorReason::PprNotAllowed => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aid_port::TransportError;
    use aid_rsp::es8::SegmentError;
    use aid_rsp::es9::{ResponseHeader, StatusCodeData};
    use aid_rsp::es10::{AuthenticateErrorCode, BppCommandId, DownloadErrorCode};
    use aid_rsp::tlv::TlvError;
    use std::io::{Error, ErrorKind};

    fn server() -> String {
        "smdp.example.com".into()
    }

    fn failed(subject: &str, reason: &str) -> LpaError {
        let header = ResponseHeader::failed(subject, reason, None, "no");
        executed(header.function_execution_status)
    }

    fn executed(status: FunctionExecutionStatus) -> LpaError {
        let (server, function) = (server(), "authenticateClient");
        let status = Box::new(status);
        LpaError::Server(ServerError::Failed {
            server,
            function,
            status,
        })
    }

    fn without_codes(status: ExecutionStatus) -> LpaError {
        executed(FunctionExecutionStatus {
            status,
            status_code_data: None,
        })
    }

    fn refused(what: &'static str, code: u8, name: &'static str) -> LpaError {
        LpaError::ServerRefused {
            server: server(),
            what,
            code,
            name,
        }
    }

    fn check(lasting: bool, errors: impl IntoIterator<Item = LpaError>) {
        for error in errors {
            assert_eq!(error.permanent(), lasting, "{error}");
        }
    }

    #[test]
    fn no_network_no_server_and_broken_answers_pass() {
        let what = || "connection refused".to_owned();
        let http = [
            HttpError::Unreachable {
                server: server(),
                what: what(),
            },
            HttpError::Tls {
                server: server(),
                what: what(),
            },
            HttpError::TooLong {
                server: server(),
                max: 9,
            },
        ];
        check(false, http.map(|e| LpaError::Server(e.into())));
        let statuses = [
            201, 204, 301, 302, 400, 401, 403, 404, 407, 408, 410, 413, 418, 421, 429,
        ];
        let statuses = statuses
            .into_iter()
            .chain([451, 500, 501, 502, 503, 504, 511, 599]);
        check(
            false,
            statuses.map(|status| {
                let (server, function) = (server(), "getBoundProfilePackage");
                LpaError::Server(ServerError::Status {
                    server,
                    function,
                    status,
                })
            }),
        );
        let (server, function) = (server(), "initiateAuthentication");
        let json = ServerError::Json {
            server,
            function,
            what: "EOF".into(),
        };
        check(false, [LpaError::Server(json)]);
    }

    #[test]
    fn a_card_that_is_away_or_in_trouble_passes() {
        let address = || "/run/card".to_owned();
        let kinds = [
            ErrorKind::NotFound,
            ErrorKind::ConnectionRefused,
            ErrorKind::BrokenPipe,
            ErrorKind::TimedOut,
            ErrorKind::UnexpectedEof,
        ];
        // 5 is EIO.
        let sources = || {
            kinds
                .map(Error::from)
                .into_iter()
                .chain([Error::from_raw_os_error(5)])
        };
        let transport = |e: TransportError| LpaError::Card(e.into());
        check(
            false,
            sources().map(|source| {
                transport(TransportError::Connect {
                    address: address(),
                    source,
                })
            }),
        );
        check(
            false,
            sources().map(|source| {
                transport(TransportError::Broken {
                    address: address(),
                    source,
                })
            }),
        );
        let length = TransportError::Length {
            address: address(),
            got: 1,
        };
        check(false, [transport(length)]);
        let what = "LoadBoundProfilePackage";
        for sw in [
            0x6581, 0x6881, 0x6985, 0x6A82, 0x6A84, 0x6D00, 0x6F00, 0x6F01,
        ] {
            check(false, [LpaError::Card(CardError::Status { what, sw })]);
        }
        let source = TlvError::Value {
            tag: 0x5A,
            reason: "short",
        };
        check(
            false,
            [
                LpaError::Card(CardError::Answer { what, source }),
                LpaError::Card(CardError::TooLong { what, max: 9 }),
                LpaError::NoResult,
            ],
        );
    }

    #[test]
    fn results_of_the_cards_functions() {
        let refused = |code, name| {
            let what = "EnableProfile";
            LpaError::Card(CardError::Refused { what, code, name })
        };
        check(false, [refused(5, "catBusy")]);
        check(
            true,
            [
                refused(1, "iccidOrAidNotFound"),
                refused(3, "disallowedByPolicy"),
                refused(127, "undefinedError"),
            ],
        );
    }

    #[test]
    fn answers_of_another_session_or_server_pass() {
        let what = "a transactionID";
        let expected = "2.999.10".into();
        check(
            false,
            [
                LpaError::Mismatch {
                    server: server(),
                    what,
                },
                LpaError::Oid {
                    server: server(),
                    expected,
                },
                LpaError::Package(SegmentError::from(TlvError::Value {
                    tag: 0xBF36,
                    reason: "cut off",
                })),
            ],
        );
    }

    #[test]
    fn what_the_code_or_the_profile_itself_excludes_stays() {
        let bad = "hello".parse::<aid_id::ActivationCode>();
        let bad = bad.expect_err("no code");
        check(
            true,
            [
                LpaError::Code(bad),
                LpaError::NoAddress,
                LpaError::ConfirmationCode,
                LpaError::PolicyRules { rules: 1 },
                LpaError::Metadata { server: server() },
            ],
        );
    }

    #[test]
    fn the_card_does_not_trust_the_server() {
        let what = "AuthenticateServer";
        for code in AuthenticateErrorCode::ALL {
            let passes = matches!(
                code,
                AuthenticateErrorCode::NoSessionContext
                    | AuthenticateErrorCode::EuiccChallengeMismatch
                    | AuthenticateErrorCode::UndefinedError
            );
            check(!passes, [refused(what, code.code(), code.name())]);
        }
        for code in DownloadErrorCode::ALL {
            let passes = matches!(
                code,
                DownloadErrorCode::NoSessionContext
                    | DownloadErrorCode::InvalidTransactionId
                    | DownloadErrorCode::UndefinedError
            );
            check(
                !passes,
                [refused("PrepareDownload", code.code(), code.name())],
            );
        }
    }

    #[test]
    fn results_of_the_installation() {
        for reason in ErrorReason::ALL.iter().copied() {
            let passes = matches!(
                reason,
                ErrorReason::Interruption | ErrorReason::UnknownError
            );
            let command = BppCommandId::LoadProfileElements;
            check(!passes, [LpaError::Installation { command, reason }]);
        }
    }

    // R-4.3-6
    #[test]
    fn refusals_of_the_server() {
        // SGP.22 §5.6.1 to §5.6.3: address, security, version, certificates, signatures, memory,
        // issuer, EID, eligibility, matching id, attempts, order expired, confirmation code, binding.
        let stay = [
            ("8.8.1", "3.8"),
            ("8.8.2", "3.1"),
            ("8.8.3", "3.1"),
            ("8.1.2", "6.1"),
            ("8.1.2", "6.3"),
            ("8.1.3", "6.1"),
            ("8.1.3", "6.3"),
            ("8.1", "6.1"),
            ("8.1", "4.8"),
            ("8.11.1", "3.9"),
            ("8.1.1", "3.8"),
            ("8.2.5", "4.3"),
            ("8.2.6", "3.8"),
            ("8.8.5", "6.4"),
            ("8.8.5", "4.10"),
            ("8.2.7", "2.2"),
            ("8.2.7", "3.8"),
            ("8.2.7", "6.4"),
            ("8.2", "3.7"),
            // Not in the tables, but a refusal with codes.
            ("8.99", "9.9"),
        ];
        check(true, stay.map(|(subject, reason)| failed(subject, reason)));
        let pass = [
            ("8.2", "1.2"),
            ("8.10.1", "3.9"),
            ("8.8.4", "3.7"),
            ("8.2.5", "3.7"),
            ("8.1", "4.2"),
            ("8.8", "5.1"),
            ("8.9", "5.1"),
            ("1.2", "4.2"),
            ("1.6", "2.1"),
            ("", ""),
            ("8.2.6", ""),
            ("", "3.8"),
        ];
        check(false, pass.map(|(subject, reason)| failed(subject, reason)));
        check(false, [without_codes(ExecutionStatus::Failed)]);
        check(false, [without_codes(ExecutionStatus::Expired)]);
        let late = FunctionExecutionStatus {
            status: ExecutionStatus::Expired,
            status_code_data: Some(StatusCodeData {
                subject_code: aid_rsp::es9::Text::new("8.2.6").expect("subject"),
                reason_code: aid_rsp::es9::Text::new("3.8").expect("reason"),
                subject_identifier: None,
                message: None,
            }),
        };
        check(false, [executed(late)]);
    }
}
