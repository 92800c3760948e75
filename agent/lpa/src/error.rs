//! What can go wrong, with the codes of the card and of the SM-DP+.
//! Made by all modules of this crate; the agent asks for `code` and `permanent`.

use aid_port::TransportError;
use aid_rsp::es8::SegmentError;
use aid_rsp::es9::FunctionExecutionStatus;
use aid_rsp::es10::{BppCommandId, ErrorReason, ppr};
use aid_rsp::tlv::TlvError;

/// Why the card did not do it.
#[derive(Debug, thiserror::Error)]
pub enum CardError {
    /// No R-APDU.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// A status other than success.
    #[error("the card answered {sw:04X} to {what}{}", hint(*sw))]
    Status {
        /// The command.
        what: &'static str,
        /// SW1 SW2.
        sw: u16,
    },
    /// The response is not what it should be.
    #[error("the card's answer to {what} cannot be read: {source}")]
    Answer {
        /// The command.
        what: &'static str,
        /// What is malformed.
        source: TlvError,
    },
    /// The response goes on without end.
    #[error("the card's answer to {what} has more than {max} bytes")]
    TooLong {
        /// The command.
        what: &'static str,
        /// Limit, bytes.
        max: usize,
    },
    /// ES10 result other than ok.
    #[error("the card refused {what}: {name} ({code})")]
    Refused {
        /// The function.
        what: &'static str,
        /// Result code of SGP.22 §5.7.
        code: u8,
        /// Its name in RSPDefinitions.
        name: &'static str,
    },
}

/// Profile Policy Rules by their names in SGP.22 §2.9.1.
fn rules_named(rules: u32) -> String {
    let names = [(ppr::PPR1, "PPR1"), (ppr::PPR2, "PPR2")];
    let named = names.iter().filter(|(bit, _)| rules & bit != 0);
    let mut list: Vec<String> = named.map(|(_, name)| (*name).to_owned()).collect();
    let known = names.iter().fold(0, |all, (bit, _)| all | bit);
    if rules & !known != 0 {
        list.push(format!("unknown rules ({:08X})", rules & !known));
    }
    list.join(" and ")
}

/// What people do about the status words that they meet.
fn hint(sw: u16) -> &'static str {
    match sw {
        0x6A81 | 0x6881 => "; all logical channels may be taken: reset the card",
        0x6A82 => "; is it an eUICC, and the AID of its ISD-R right?",
        _ => "",
    }
}

/// Why the server did not do it.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// No HTTP response.
    #[error("{0}")]
    Http(#[from] crate::es9::HttpError),
    /// An HTTP status that SGP.22 §6.5 does not have for success.
    #[error("{server} answered {function} with HTTP status {status}")]
    Status {
        /// FQDN.
        server: String,
        /// ES9+ function.
        function: &'static str,
        /// Status.
        status: u16,
    },
    /// Not the JSON of this function.
    #[error("{server} answered {function} with something else: {what}")]
    Json {
        /// FQDN.
        server: String,
        /// ES9+ function.
        function: &'static str,
        /// What is wrong.
        what: String,
    },
    /// The function failed; subject and reason codes of SGP.22 §5.2.6.
    #[error("{server} refused {function}: {status}")]
    Failed {
        /// FQDN.
        server: String,
        /// ES9+ function.
        function: &'static str,
        /// Subject, reason, text.
        status: Box<FunctionExecutionStatus>,
    },
}

impl ServerError {
    /// Subject and reason code, e.g. `8.1.1` and `3.8`.
    #[must_use]
    pub fn subject_reason(&self) -> Option<(&str, &str)> {
        let Self::Failed { status, .. } = self else {
            return None;
        };
        let data = status.status_code_data.as_ref()?;
        Some((data.subject_code.as_str(), data.reason_code.as_str()))
    }
}

/// Why an operation of the LPA failed.
#[derive(Debug, thiserror::Error)]
pub enum LpaError {
    /// The card.
    #[error(transparent)]
    Card(#[from] CardError),
    /// The server.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The activation code is malformed.
    #[error("not an activation code: {0}")]
    Code(#[from] aid_id::ActivationCodeError),
    /// The code has no SM-DP+ and the card no default one.
    #[error("neither the activation code nor the card names an SM-DP+")]
    NoAddress,
    /// The server signed for somebody else: another address, challenge or transaction.
    #[error("{server} sent {what} that does not belong to this session")]
    Mismatch {
        /// FQDN.
        server: String,
        /// Which object.
        what: &'static str,
    },
    /// The SM-DP+ has another OID than the activation code says.
    #[error("{server} is not the SM-DP+ with OID {expected} that the activation code wants")]
    Oid {
        /// FQDN.
        server: String,
        /// OID of the activation code.
        expected: String,
    },
    /// The server proves itself with a certificate of another name (SGP.22 §4.1).
    #[error("{server} shows a certificate for {names}; it is not the SM-DP+ that was asked")]
    ServerName {
        /// FQDN.
        server: String,
        /// The names in CERT.DPauth.
        names: String,
    },
    /// A confirmation code is needed.
    #[error("this profile needs a confirmation code; give it with the download")]
    ConfirmationCode,
    /// The card refuses the server: AuthenticateErrorCode or DownloadErrorCode (§5.7.5, §5.7.13).
    #[error("the card refuses {server} in {what}: {name} ({code})")]
    ServerRefused {
        /// FQDN.
        server: String,
        /// ES10b function.
        what: &'static str,
        /// Its error code.
        code: u8,
        /// The code's name in RSPDefinitions.
        name: &'static str,
    },
    /// The profile has a policy rule that the card's table does not allow.
    #[error(
        "the card's Rules Authorisation Table does not allow this operator a profile with {}; ask the \
         operator for one without",
        rules_named(*rules)
    )]
    PolicyRules {
        /// PprIds, ASN.1 bit 0 first.
        rules: u32,
    },
    /// The package has other metadata than were shown before.
    #[error("the profile package has other metadata than {server} announced")]
    Metadata {
        /// FQDN.
        server: String,
    },
    /// The package can't be cut up.
    #[error(transparent)]
    Package(#[from] SegmentError),
    /// The card took all pieces of the package and gave no result.
    #[error("the card gave no installation result at the end of the profile package")]
    NoResult,
    /// The card did not install the profile.
    #[error("the card did not install the profile: {reason} at {command}")]
    Installation {
        /// The command of the package that failed.
        command: BppCommandId,
        /// The card's reason (SGP.22 §2.5.6).
        reason: ErrorReason,
    },
}

impl LpaError {
    /// Result code of the card (SGP.22 §5.7), status word, HTTP status, or reason code of the
    /// SM-DP+ times 100 (3.8 is 308); 0 where there is none.
    #[must_use]
    pub fn code(&self) -> u16 {
        match self {
            Self::Card(CardError::Refused { code, .. }) | Self::ServerRefused { code, .. } => {
                u16::from(*code)
            }
            Self::Card(CardError::Status { sw, .. }) => *sw,
            Self::Server(ServerError::Status { status, .. }) => *status,
            Self::Server(error) => error.subject_reason().map_or(0, |(_, reason)| {
                let mut parts = reason
                    .split('.')
                    .map(|n| n.parse::<u16>().unwrap_or(0).min(99));
                parts.next().unwrap_or(0) * 100 + parts.next().unwrap_or(0)
            }),
            Self::Installation { reason, .. } => u16::from(reason.code()),
            _ => 0,
        }
    }

    /// True when the profile did not fit: the card said so while installing it, or the SM-DP+ before
    /// it sent it (reason 4.8, SGP.22 §5.6.3).
    #[must_use]
    pub fn card_full(&self) -> bool {
        match self {
            Self::Installation { reason, .. } => {
                matches!(reason, ErrorReason::InsufficientMemory)
            }
            Self::Server(error) => error
                .subject_reason()
                .is_some_and(|(_, reason)| reason == "4.8"),
            _ => false,
        }
    }
}
