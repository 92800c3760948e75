//! What a hostile card and a hostile server may not do to the LPA: the body of the fuzz target `lpa`.
//!
//! An input is a number (what the LPA is asked for) and a list of edits. Without edits card and server
//! answer as they should, so that the fuzzer starts behind the checks; each edit alters one answer,
//! as a data object, as the JSON around it, or as the R-APDU that carries it. A broken promise is a
//! panic: a command that is none, a request to what is no server, a success that the card never
//! reported, an exchange without end.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a broken promise is a panic: that is what the fuzzer sees"
)]

mod answers;
mod card;
mod edit;
pub mod port;
mod server;

use aid_id::{ActivationCode, Iccid};
use aid_lpa::{Card, Delivered, DownloadRequest, Lpa, LpaError, Tally};
use aid_rsp::es10::CancelSessionReason;
use card::HostileCard;
use edit::Edits;
use server::HostileServer;
use std::sync::{Arc, Mutex};
use zeroize::Zeroizing;

/// What the LPA can be asked for; the first byte of an input, modulo their number.
pub const OPERATIONS: u8 = 14;

/// The target.
///
/// # Panics
/// When a promise is broken.
pub fn run(data: &[u8]) {
    let Some((operation, edits)) = data.split_first() else {
        return;
    };
    let edits = Arc::new(Mutex::new(Edits::parse(edits)));
    let card = HostileCard::new(Arc::clone(&edits));
    let server = HostileServer::new(edits);
    let port = Card::new(card.clone(), Arc::new(Tally::default()));
    let mut lpa = Lpa::new(port, server);
    operate(&mut lpa, operation % OPERATIONS, &card);
    lpa.release();
}

/// The profile that a download without edits installs: the fuzzer starts from there.
///
/// # Errors
/// None, unless the answers of this crate are wrong.
pub fn download_unedited() -> Result<Iccid, LpaError> {
    let edits = Arc::new(Mutex::new(Edits::default()));
    let card = HostileCard::new(Arc::clone(&edits));
    let port = Card::new(card, Arc::new(Tally::default()));
    let mut lpa = Lpa::new(port, HostileServer::new(edits));
    let downloaded = lpa.download(&request(0), &mut |_| {})?;
    assert_eq!(downloaded.notification_error, None);
    Ok(downloaded.iccid)
}

/// Asks for one thing; whatever comes is an answer, an error or a broken promise.
fn operate(lpa: &mut Lpa<HostileCard, HostileServer>, operation: u8, card: &HostileCard) {
    let iccid = Iccid::from_bcd(&answers::ICCID).expect("ICCID");
    match operation {
        0..=2 => download(lpa, operation, card),
        3 => ignore(lpa.chip_info()),
        4 => ignore(lpa.profiles()),
        5 => {
            if let Ok(delivered) = lpa.deliver(None) {
                check_delivered(&delivered);
            }
        }
        6 => ignore(lpa.enable(&iccid)),
        7 => ignore(lpa.disable(&iccid)),
        8 => {
            ignore(lpa.set_nickname(&iccid, "name"));
            ignore(lpa.delete(&iccid));
        }
        9 => {
            ignore(lpa.notifications());
            ignore(lpa.remove_notification(7));
        }
        10 => {
            ignore(lpa.profile_list());
            ignore(lpa.notification(7));
            ignore(lpa.set_default_smdp("smdp.example.com"));
            ignore(lpa.purge());
        }
        11 => reject(lpa),
        12 => {
            if let Ok(Some(offer)) = lpa.discover_smdp(None, &mut |_| {}) {
                lpa.postpone(offer);
            }
        }
        _ => {
            let events = lpa.discover_smds(answers::SERVER, &mut |_| {});
            assert!(events.as_ref().is_ok_and(|e| e.len() <= 256) || events.is_err());
            ignore(events);
        }
    }
}

/// An offer that is looked at and rejected.
fn reject(lpa: &mut Lpa<HostileCard, HostileServer>) {
    let request = request(0);
    match lpa.offer(request.code.as_ref(), &mut |_| {}) {
        Ok(offer) => {
            let read = Iccid::from_bcd(&offer.metadata.iccid).ok();
            assert_eq!(read.as_ref(), Some(&offer.iccid));
            assert!(!offer.server().is_empty());
            ignore(lpa.reject(offer, CancelSessionReason::EndUserRejection));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// An answer or an error, and either can be written into a log.
fn ignore<T: core::fmt::Debug, E: std::error::Error>(result: Result<T, E>) {
    match result {
        Ok(answer) => drop(format!("{answer:?}")),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// With an activation code, with one that names OID and confirmation code, without one.
fn request(operation: u8) -> DownloadRequest {
    let code = format!("LPA:1${}$M-1", answers::SERVER);
    let code = match operation {
        0 => Some(code),
        1 => Some(format!("{code}$2.999.10$1")),
        _ => None,
    };
    DownloadRequest {
        code: code.map(|c| ActivationCode::from_pasted(&c).expect("activation code")),
        confirmation_code: (operation == 1).then(|| Zeroizing::new("1234".to_owned())),
    }
}

fn download(lpa: &mut Lpa<HostileCard, HostileServer>, operation: u8, card: &HostileCard) {
    let request = request(operation);
    let result: Result<_, LpaError> = lpa.download(&request, &mut |stage| {
        assert!(!stage.name().is_empty());
    });
    if let Ok(downloaded) = &result {
        assert!(card.reported_success(), "a profile that no card installed");
        assert_eq!(
            Iccid::from_bcd(&downloaded.metadata.iccid).ok().as_ref(),
            Some(&downloaded.iccid)
        );
    }
    ignore(result);
}

/// A notification is accepted or waits, never both; who waits has a reason.
fn check_delivered(delivered: &Delivered) {
    for (number, why) in &delivered.waiting {
        assert!(!why.is_empty());
        let both = delivered.accepted.contains(number);
        // A hostile card may list one number twice.
        assert!(!both || delivered.error.is_some(), "{number}");
    }
}

/// Valid inputs: every operation, and every edit that has a place of its own.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = (0..OPERATIONS).map(|operation| vec![operation]).collect();
    for place in 0..edit::PLACES {
        for edit in edit::examples(place) {
            for operation in [0, 1, 2, 3, 4, 5, 6, 9, 10, 11, 12, 13] {
                let mut seed = vec![operation];
                seed.extend_from_slice(&edit);
                seeds.push(seed);
            }
        }
    }
    seeds
}
