//! Given a recorded download with P-256, when any byte of AuthenticateServer, PrepareDownload or the bound
//! profile package is flipped on its way, then the card refuses.
// Helpers of tests are tests.
#![allow(clippy::unwrap_used, clippy::panic)]

use aid_euicc::card::Options;
use aid_euicc::nvm::Memory;
use aid_hostile::world::{Plain, World};
use aid_hostile::{Reader, one_time_key};
use aid_rsp::crypto::SoftwareCrypto;
use aid_rsp::es8::segments;
use aid_rsp::es10::{
    AuthenticateServerResponse, DataObject, FinalResult, GetEuiccChallengeRequest,
    GetEuiccChallengeResponse, PrepareDownloadResponse,
};
use std::sync::{Arc, OnceLock};

/// A download whose every request is known beforehand: the card's random numbers repeat.
struct Recorded {
    world: World,
    authenticate: Vec<u8>,
    /// Bytes at its end that the LPA gives and no server signs: ctxParams1.
    unsigned: usize,
    prepare: Vec<u8>,
    package: Vec<u8>,
}

fn new_card(world: &World) -> Reader<Memory> {
    let mut reader = Reader::new(world.card(Memory::new(), 5, Options::default()));
    let _: GetEuiccChallengeResponse = reader.call(&GetEuiccChallengeRequest);
    reader
}

fn recorded() -> &'static Recorded {
    static RECORDED: OnceLock<Recorded> = OnceLock::new();
    RECORDED.get_or_init(|| {
        let world = World::mint(Arc::new(SoftwareCrypto::new()), 1);
        let mut reader = Reader::new(world.card(Memory::new(), 5, Options::default()));
        let challenge: GetEuiccChallengeResponse = reader.call(&GetEuiccChallengeRequest);
        let authenticate = world.authenticate_server(challenge.challenge);
        let AuthenticateServerResponse::Ok(ok) = reader.call(&authenticate) else {
            panic!("refused");
        };
        let prepare = world.prepare_download(&ok);
        let prepared: PrepareDownloadResponse = reader.call(&prepare);
        let package = world.bind(&prepared, &one_time_key(&world), &Plain::of(1));
        Recorded {
            unsigned: authenticate.ctx_params1.bytes().len(),
            authenticate: authenticate.to_vec(),
            prepare: prepare.to_vec(),
            package,
            world,
        }
    })
}

/// Flips a bit of every byte; `refused` says what became of it. Spread over threads: curves take time.
fn every_byte(of: &[u8], refused: impl Fn(&[u8]) -> bool + Sync) {
    let threads = 4;
    std::thread::scope(|scope| {
        for first in 0..threads {
            let refused = &refused;
            scope.spawn(move || {
                for at in (first..of.len()).step_by(threads) {
                    let mut altered = of.to_vec();
                    altered[at] ^= 1 << (at % 8);
                    assert!(refused(&altered), "byte {at} of {}", of.len());
                }
            });
        }
    });
}

fn authenticated(request: &[u8]) -> Option<AuthenticateServerResponse> {
    let answer = new_card(&recorded().world).es10(request).ok()?;
    AuthenticateServerResponse::from_slice(&answer).ok()
}

#[test]
fn every_flipped_byte_of_authenticate_server_is_refused() {
    let r = recorded();
    let accepted = |request: &[u8]| match authenticated(request) {
        Some(AuthenticateServerResponse::Ok(ok)) => Some(ok),
        _ => None,
    };
    assert!(accepted(&r.authenticate).is_some());
    let signed = r.authenticate.len() - r.unsigned;
    every_byte(&r.authenticate, |altered| match accepted(altered) {
        None => true,
        // ctxParams1 is the LPA's own: the card signs it as it came, so that the server sees it.
        Some(ok) => {
            altered[..signed] == r.authenticate[..signed]
                && ok.euicc_signed1.bytes().ends_with(&altered[signed..])
        }
    });
}

#[test]
fn every_flipped_byte_of_prepare_download_is_refused() {
    let r = recorded();
    let accepted = |request: &[u8]| {
        let mut reader = new_card(&r.world);
        reader.es10(&r.authenticate).unwrap();
        let answer = reader.es10(request).unwrap_or_default();
        let response = PrepareDownloadResponse::from_slice(&answer);
        matches!(response, Ok(PrepareDownloadResponse::Ok { .. }))
    };
    assert!(accepted(&r.prepare));
    every_byte(&r.prepare, |altered| !accepted(altered));
}

// R-3.2-5
#[test]
fn every_flipped_byte_of_the_bound_profile_package_is_refused() {
    let r = recorded();
    let accepted = |package: &[u8]| {
        let mut reader = new_card(&r.world);
        reader.es10(&r.authenticate).unwrap();
        reader.es10(&r.prepare).unwrap();
        let pieces = match segments(package) {
            Ok(pieces) => pieces,
            Err(_) => package.chunks(1020).collect(),
        };
        let result = reader.load(&pieces);
        matches!(result, Ok(Some(FinalResult::Success { .. })))
    };
    assert!(accepted(&r.package));
    every_byte(&r.package, |altered| !accepted(altered));
}
