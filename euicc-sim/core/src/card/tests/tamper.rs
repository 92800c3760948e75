//! Given a recorded AuthenticateServer, PrepareDownload or package, when any byte of it is altered,
//! then the card refuses it. What no signature of the server covers, the card's signature does.
use super::host::*;
use aid_rsp::es10::*;
use std::cell::RefCell;
use std::vec::Vec;

/// One bit of each byte in turn.
fn altered(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1 << (at % 8);
    bytes
}

// R-3.2-5
#[test]
fn every_altered_byte_of_authenticate_server_is_refused() {
    let mut host = Host::new();
    let keep = RefCell::new(None);
    let save = |r: &mut AuthenticateServerRequest| *keep.borrow_mut() = Some(r.clone());
    let tamper = Tamper {
        auth: Some(&save),
        ..Tamper::default()
    };
    assert!(matches!(
        host.authenticate(&tamper),
        AuthenticateServerResponse::Ok(_)
    ));
    let request = keep.into_inner().unwrap();
    let challenge = request.server_signed1.value().euicc_challenge;
    let bytes = request.to_vec();
    let context = request.ctx_params1.bytes();
    let context = bytes.len() - context.len()..bytes.len();
    let mut try_it = |bytes: &[u8]| {
        host.card.session.challenge = Some(challenge);
        let answer = host.es10(bytes).ok()?;
        match AuthenticateServerResponse::from_slice(&answer) {
            Ok(AuthenticateServerResponse::Ok(ok)) => Some(ok),
            _ => None,
        }
    };
    assert!(try_it(&bytes).is_some());
    for at in 0..bytes.len() {
        let altered = altered(&bytes, at);
        match try_it(&altered) {
            None => {}
            // ctxParams1 is the LPA's: nobody has signed it yet. The card signs what came, so that
            // the server sees it.
            Some(ok) if context.contains(&at) => {
                let signed = ok.euicc_signed1.value();
                assert_eq!(signed.ctx_params1.bytes(), &altered[context.clone()]);
            }
            Some(_) => panic!("byte {at} of {} is accepted", bytes.len()),
        }
    }
}

// R-3.2-5
#[test]
fn every_altered_byte_of_prepare_download_is_refused() {
    let mut host = Host::new();
    let keep = RefCell::new(None);
    let save = |r: &mut PrepareDownloadRequest| *keep.borrow_mut() = Some(r.clone());
    let tamper = Tamper {
        prepare: Some(&save),
        ..Tamper::default()
    };
    let AuthenticateServerResponse::Ok(ok) = host.authenticate(&tamper) else {
        panic!()
    };
    let context = host.card.session.context.clone();
    assert!(matches!(
        host.prepare(&ok, &tamper),
        PrepareDownloadResponse::Ok { .. }
    ));
    let bytes = keep.into_inner().unwrap().to_vec();
    let mut accepted = |bytes: &[u8]| {
        host.card.session.reset();
        host.card.session.context.clone_from(&context);
        let answer = host.es10(bytes).unwrap_or_default();
        matches!(
            PrepareDownloadResponse::from_slice(&answer),
            Ok(PrepareDownloadResponse::Ok { .. })
        )
    };
    assert!(accepted(&bytes));
    for at in 0..bytes.len() {
        assert!(
            !accepted(&altered(&bytes, at)),
            "byte {at} of {}",
            bytes.len()
        );
    }
}

fn every_altered_byte_of_a_package_is_refused(own_keys: bool) {
    let mut host = Host::new();
    let tamper = Tamper {
        own_keys,
        ..Tamper::default()
    };
    let AuthenticateServerResponse::Ok(ok) = host.authenticate(&tamper) else {
        panic!()
    };
    let prepared = host.prepare(&ok, &tamper);
    let context = host.card.session.context.clone();
    let pieces = host.bpp(&prepared, &metadata(1), &package(1), &tamper);
    for piece in 0..pieces.len() {
        for at in 0..pieces[piece].len() {
            host.card.session.reset();
            host.card.session.context.clone_from(&context);
            let mut bad = pieces.clone();
            bad[piece] = altered(&pieces[piece], at);
            let result = host.load(&bad);
            let installed = matches!(result, Ok(Some(FinalResult::Success { .. })));
            assert!(!installed, "byte {at} of piece {piece}");
            assert!(host.card.store.state().profiles.is_empty());
        }
    }
    host.card.session.reset();
    host.card.session.context.clone_from(&context);
    let result = host.load(&pieces);
    assert!(
        matches!(result, Ok(Some(FinalResult::Success { .. }))),
        "{result:?}"
    );
}

// R-3.2-5
#[test]
fn every_altered_byte_of_a_package_under_session_keys_is_refused() {
    every_altered_byte_of_a_package_is_refused(false);
}

// R-3.2-5
#[test]
fn every_altered_byte_of_a_package_under_its_own_keys_is_refused() {
    every_altered_byte_of_a_package_is_refused(true);
}
