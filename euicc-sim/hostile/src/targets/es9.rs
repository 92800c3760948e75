//! ES9+ and ES2+ as JSON from a hostile peer, and the package that an LPA cuts up.
//! Structure of an input: number of the message, then its text. SGP.22 §2.5.5, §5.3, §5.6.

use aid_rsp::es2;
use aid_rsp::es8::segments;
use aid_rsp::es9::*;
use core::fmt::Debug;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Reads and writes one message.
type RoundTrip = fn(&[u8]);

const MESSAGES: &[RoundTrip] = &[
    round_trip::<Response<InitiateAuthenticationOk>>,
    round_trip::<Response<AuthenticateClientOk>>,
    round_trip::<Response<GetBoundProfilePackageOk>>,
    round_trip::<Response<Empty>>,
    round_trip::<InitiateAuthenticationRequest>,
    round_trip::<AuthenticateClientRequest>,
    round_trip::<GetBoundProfilePackageRequest>,
    round_trip::<HandleNotificationRequest>,
    round_trip::<CancelSessionRequest>,
    round_trip::<es2::DownloadOrderRequest>,
    round_trip::<es2::ConfirmOrderRequest>,
    round_trip::<es2::CancelOrderRequest>,
    round_trip::<es2::ReleaseProfileRequest>,
    round_trip::<es2::HandleDownloadProgressInfoRequest>,
    cut,
];

/// Number of the message that is a package, not JSON.
pub(crate) const PACKAGE: u8 = 14;

/// The target.
pub(crate) fn run(data: &[u8]) {
    if let Some((number, text)) = data.split_first() {
        MESSAGES[usize::from(*number) % MESSAGES.len()](text);
    }
}

fn round_trip<T: Serialize + DeserializeOwned + Debug>(text: &[u8]) {
    let Ok(value) = serde_json::from_slice::<T>(text) else {
        return;
    };
    let written = serde_json::to_vec(&value).expect("what was read can be written");
    let again: T = serde_json::from_slice(&written).expect("what was written can be read");
    assert_eq!(written, serde_json::to_vec(&again).expect("again"));
    assert_eq!(format!("{value:?}"), format!("{again:?}"));
}

/// Pieces are whole or refused: none is lost, none is empty.
fn cut(package: &[u8]) {
    if let Ok(pieces) = segments(package) {
        assert!(pieces.iter().all(|p| !p.is_empty()));
        assert_eq!(pieces.concat(), package);
    }
}
