//! What became of a function: the CHOICE of AuthenticateServer and PrepareDownload (SGP.22 §5.7.13, §5.7.5), and the
//! result of an installation (§2.5.6). What is inside goes to the server as it came, and is the server's to read.

use super::ListedNotification;
use super::notification::metadata_of;
use aid_rsp::es10::{BppCommandId, ErrorReason};
use aid_rsp::tlv::{Tag, Tlv, TlvError, universal};

/// Why a card refuses a server: the INTEGER of its error, undefinedError (127) where it has none that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal(pub(crate) u64);

/// Whether the card did it. The content of a success is not looked at.
///
/// # Errors
/// The answer is no such CHOICE.
pub(crate) fn refusal(answer: &[u8], tag: Tag) -> Result<Option<Refusal>, TlvError> {
    let choice = Tlv::parse_tag(answer, tag)?.children().any()?;
    match choice.tag {
        // A card that leaves out the tag of the CHOICE begins with what it signed.
        0xA0 | universal::SEQUENCE => Ok(None),
        0xA1 => {
            let mut inside = choice.children();
            let mut code = None;
            while let Ok(Some(tlv)) = inside.read() {
                if matches!(tlv.tag, universal::INTEGER | 0x81) {
                    code = tlv.uint().ok();
                }
            }
            Ok(Some(Refusal(code.unwrap_or(127))))
        }
        got => Err(TlvError::UnexpectedTag {
            expected: 0xA0,
            got,
        }),
    }
}

/// The result of an installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Where and why it failed; `None` for a success.
    pub(crate) failure: Option<(BppCommandId, ErrorReason)>,
    /// TransactionId, as far as readable.
    pub(crate) transaction_id: Option<Vec<u8>>,
    /// The notification that this is.
    pub(crate) notification: ListedNotification,
}

/// Reads a ProfileInstallationResult.
///
/// # Errors
/// It does not say whether the profile was installed.
pub(crate) fn installation(answer: &[u8]) -> Result<Outcome, TlvError> {
    let mut data = Tlv::parse_tag(answer, 0xBF37)?
        .children()
        .expect(0xBF27)?
        .children();
    let mut transaction_id = None;
    let mut failure = None;
    while let Some(field) = data.read()? {
        match field.tag {
            0x80 => transaction_id = Some(field.value.to_vec()),
            0xA2 => failure = Some(final_result(&field)?),
            _ => {}
        }
    }
    Ok(Outcome {
        failure: failure.ok_or(TlvError::Missing { expected: 0xA2 })?,
        transaction_id,
        notification: metadata_of(answer).unwrap_or_default(),
    })
}

fn final_result(field: &Tlv<'_>) -> Result<Option<(BppCommandId, ErrorReason)>, TlvError> {
    let choice = field.children().any()?;
    match choice.tag {
        0xA0 => Ok(None),
        0xA1 => {
            let mut inside = choice.children();
            let mut code = |tag| {
                let found = inside.find(tag).ok().flatten();
                found.and_then(|tlv| tlv.uint().ok())
            };
            let command =
                code(0x80).map_or(BppCommandId::LoadProfileElements, BppCommandId::from_code);
            let reason = code(0x81).map_or(ErrorReason::UnknownError, ErrorReason::from_code);
            Ok(Some((command, reason)))
        }
        got => Err(TlvError::UnexpectedTag {
            expected: 0xA0,
            got,
        }),
    }
}
