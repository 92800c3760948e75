//! Bound profile packages through a card with an open session. SGP.22 §2.5, §5.5, §5.7.6.
//! Structure of an input: options, edits of what is protected afterwards (so that MACs verify), edits of
//! the protected package, bytes per piece. Whatever was altered after protection is never installed.

use super::world;
use crate::source::{Source, edit};
use crate::world::{Plain, metadata, profile};
use crate::{Reader, one_time_key};
use aid_euicc::card::Options;
use aid_euicc::nvm::{Key, Memory, Nvm as _};
use aid_rsp::bsp::MAX_PLAIN;
use aid_rsp::es8::segments;
use aid_rsp::es10::{
    DataObject, EnableProfileRequest, FinalResult, ProfileIdentifier, ProfileInfoListRequest,
    ProfileInfoListResponse,
};
use std::sync::OnceLock;

/// What a card has for profiles in this target, bytes.
const MEMORY: u32 = 48 * 1024;

/// The requests that open a session on a new card, recorded once: the card repeats itself.
struct Recorded {
    authenticate: Vec<u8>,
    prepare: Vec<u8>,
    prepared: aid_rsp::es10::PrepareDownloadResponse,
}

fn recorded() -> &'static Recorded {
    static RECORDED: OnceLock<Recorded> = OnceLock::new();
    RECORDED.get_or_init(|| {
        use aid_rsp::es10::{
            AuthenticateServerResponse, GetEuiccChallengeRequest, GetEuiccChallengeResponse,
        };
        let mut reader = new_card();
        let challenge: GetEuiccChallengeResponse = reader.call(&GetEuiccChallengeRequest);
        let authenticate = world().authenticate_server(challenge.challenge);
        let response: AuthenticateServerResponse = reader.call(&authenticate);
        let AuthenticateServerResponse::Ok(ok) = response else {
            panic!("{response:?}");
        };
        let prepare = world().prepare_download(&ok);
        Recorded {
            prepared: reader.call(&prepare),
            authenticate: authenticate.to_vec(),
            prepare: prepare.to_vec(),
        }
    })
}

fn new_card() -> Reader<Memory> {
    let options = Options {
        memory: MEMORY,
        ..Options::default()
    };
    Reader::new(world().card(Memory::new(), 9, options))
}

fn card_with_session() -> Reader<Memory> {
    let recorded = recorded();
    let mut reader = new_card();
    reader.es10(&[0xBF, 0x2E, 0x00]).expect("a challenge");
    reader
        .es10(&recorded.authenticate)
        .expect("AuthenticateServer");
    reader.es10(&recorded.prepare).expect("PrepareDownload");
    reader
}

/// The target.
pub(crate) fn run(data: &[u8]) {
    let mut source = Source::new(data);
    let options = source.byte();
    let mut plain = Plain {
        own_keys: options & 1 != 0,
        ..Plain::of(1)
    };
    if options & 2 != 0 {
        plain.configure = vec![0xBF, 0x24, 6, 0xB8, 4, 1, 2, 3, 4];
    }
    if options & 4 != 0 {
        plain.segment = (usize::from(source.byte()) * 4 + 1).min(MAX_PLAIN);
    }
    edit(&mut source, &mut plain.configure);
    edit(&mut source, &mut plain.metadata);
    edit(&mut source, &mut plain.elements);
    let bound = world().bind(&recorded().prepared, &one_time_key(world()), &plain);
    let mut package = bound.clone();
    edit(&mut source, &mut package);
    let piece = usize::from(source.word());
    let mut reader = card_with_session();
    let installed = load(&mut reader, &package, piece);
    if installed && package != bound {
        // Only an encoding of length that nothing protects may differ.
        let mut other = card_with_session();
        assert!(
            load(&mut other, &bound, 0),
            "a package nobody bound was installed"
        );
        let (a, b) = (record(&mut reader), record(&mut other));
        assert_eq!(a, b, "an altered package was installed");
    }
    let untouched = plain.metadata == metadata(1).to_vec() && plain.elements == profile(1);
    if !installed && untouched && package == bound && piece == 0 && source.is_empty() {
        let configured = plain.configure.len() == 3 || options & 2 != 0;
        assert!(
            !configured || plain_configure_altered(&plain, options),
            "refused as it was made"
        );
    }
    aftermath(reader, installed);
}

fn plain_configure_altered(plain: &Plain, options: u8) -> bool {
    let made: &[u8] = if options & 2 != 0 {
        &[0xBF, 0x24, 6, 0xB8, 4, 1, 2, 3, 4]
    } else {
        &[0xBF, 0x24, 0]
    };
    plain.configure != made
}

/// Sends a package; 0 bytes per piece: as an LPA cuts it. Was it installed?
fn load(reader: &mut Reader<Memory>, package: &[u8], piece: usize) -> bool {
    let pieces: Vec<&[u8]> = match (piece, segments(package)) {
        (0, Ok(pieces)) => pieces,
        (0, Err(_)) => package.chunks(1020).collect(),
        (n, _) => package.chunks(n.max(8)).collect(),
    };
    let result = reader.load(&pieces);
    matches!(result, Ok(Some(FinalResult::Success { .. })))
}

/// Image and metadata of the first slot.
fn record(reader: &mut Reader<Memory>) -> [Option<Vec<u8>>; 2] {
    let nvm = reader.card().nvm();
    [Key::Image(0), Key::Metadata(0)].map(|key| nvm.get(key).expect("memory works"))
}

/// The card is whole after it: the profile is there and can be used, or nothing of it is there.
fn aftermath(mut reader: Reader<Memory>, installed: bool) {
    // Inside a segment the card takes whatever comes as the rest of it.
    reader.power_on();
    let listed = profiles(&mut reader);
    assert_eq!(listed.len(), usize::from(installed));
    let records = reader.card().nvm().records();
    let profile = |key: &Key| matches!(key, Key::Image(_) | Key::Metadata(_));
    assert_eq!(records.keys().any(profile), installed);
    let used: usize = records
        .iter()
        .filter(|(key, _)| profile(key))
        .map(|(_, bytes)| bytes.len())
        .sum();
    assert!(used <= MEMORY as usize, "{used} bytes of {MEMORY}");
    let nvm = reader.into_card().into_nvm();
    let mut reader = Reader::new(world().card(nvm, 10, Options::default()));
    assert_eq!(profiles(&mut reader), listed, "after a restart");
    if let Some(iccid) = listed.first().and_then(|p| p.iccid) {
        let request = EnableProfileRequest {
            profile: ProfileIdentifier::Iccid(iccid),
            refresh: false,
        };
        reader.es10(&request.to_vec()).expect("EnableProfile");
        reader.power_on();
        for apdu in [
            &[0x00, 0xA4, 0x00, 0x04, 0x02, 0x3F, 0x00, 0x00][..],
            &[0x00, 0xA4, 0x08, 0x04, 0x02, 0x2F, 0xE2, 0x00],
            &[0x00, 0xB0, 0x00, 0x00, 0x00],
            &[
                0x00, 0xA4, 0x04, 0x04, 0x07, 0xA0, 0, 0, 0, 0x87, 0x10, 0x02, 0x00,
            ],
            &[0x00, 0xB0, 0x87, 0x00, 0x00],
            &[0x00, 0x20, 0x00, 0x01],
        ] {
            reader.command(apdu);
        }
    }
}

fn profiles(reader: &mut Reader<Memory>) -> Vec<aid_rsp::es10::ProfileInfo> {
    match reader.call(&ProfileInfoListRequest::default()) {
        ProfileInfoListResponse::Ok(list) => list,
        ProfileInfoListResponse::Error(e) => panic!("{e}"),
    }
}
