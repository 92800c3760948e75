//! Profile packages that an operator's SM-DP+ protected properly, but that are hostile inside.
//! Structure of an input: bytes per piece, commands for the profile that comes out of it, the package.
//! TCA eUICC Profile Package §8.

use super::world;
use crate::source::Source;
use crate::world::{Plain, metadata};
use crate::{Reader, one_time_key};
use aid_euicc::card::Options;
use aid_euicc::fs::ProfileImage;
use aid_euicc::install::ProfileInstaller;
use aid_euicc::nvm::Memory;
use aid_rsp::es8::segments;
use aid_rsp::es10::{
    DataObject, EnableProfileRequest, FinalResult, ProfileIdentifier, StoreMetadataRequest,
};
use aid_rsp::saip::{PeSplitter, ProfileElement, ProfileHeader, elements};
use aid_rsp::tlv::Tlv;

/// Longest package that a target looks at; larger ones only take longer.
const MAX_PACKAGE: usize = 64 * 1024;

/// The target.
pub(crate) fn run(data: &[u8]) {
    let mut source = Source::new(data);
    let size = usize::from(source.byte()).max(1);
    let commands = source.short();
    let package = source.rest();
    if package.len() > MAX_PACKAGE {
        return;
    }
    let _ = ProfileHeader::of_package(package);
    let whole = elements(package);
    let (pieces, image) = install(package, size);
    if let Ok(whole) = whole {
        assert_eq!(pieces, whole, "the same elements in pieces of {size} bytes");
    }
    if let Some(image) = image {
        let bytes = image.to_bytes();
        assert_eq!(ProfileImage::from_bytes(&bytes).as_ref(), Some(&image));
        exercise(package, &image, commands);
    }
}

fn install(package: &[u8], size: usize) -> (Vec<ProfileElement>, Option<ProfileImage>) {
    let mut splitter = PeSplitter::new();
    let mut installer = Some(ProfileInstaller::new());
    let mut seen = Vec::new();
    for piece in package.chunks(size) {
        splitter.push(piece);
        loop {
            match splitter.next_pe() {
                Ok(Some(pe)) => {
                    seen.extend(ProfileElement::parse(&pe));
                    installer = installer.and_then(|mut i| i.push(&pe).is_ok().then_some(i));
                }
                Ok(None) => break,
                Err(_) => return (seen, None),
            }
        }
    }
    let image = installer.filter(|_| splitter.finish().is_ok());
    (seen, image.and_then(|i| i.finish().ok()))
}

/// Installs the package on a card, enables it, and runs every kind of command on its files.
fn exercise(package: &[u8], image: &ProfileImage, extra: &[u8]) {
    let Some(mut reader) = enabled(package) else {
        return;
    };
    // Everything that a secret of the package allows is allowed.
    for pin in image.pins.iter().take(8) {
        let mut verify = vec![0x00, 0x20, 0x00, pin.key, 8];
        verify.extend_from_slice(&pin.value);
        reader.command(&verify);
    }
    for file in 0..image.files.len().min(48) {
        let path = path_of(image, file);
        let Some(record) = select(&mut reader, &path) else {
            continue;
        };
        for apdu in [
            &[0x80, 0xF2, 0, 0, 0][..],
            &[0x00, 0xB0, 0, 0, 0],
            &[0x00, 0xB2, 1, 4, 0],
            &[0x00, 0xB2, 0, 3, 0],
            &[0x80, 0xCB, 0x80, 0, 1, 0x5C, 0],
            &[0x00, 0xD6, 0, 0, 3, 1, 2, 3],
            &[0x80, 0x32, 0, 0, 1, 1, 0],
            &[0x00, 0xA2, 1, 4, 1, 1, 0],
        ] {
            reader.command(apdu);
        }
        for mode in [3, 4] {
            let mut update = vec![0x00, 0xDC, mode & 1 ^ 1, mode, record];
            update.extend(core::iter::repeat_n(mode, usize::from(record)));
            reader.command(&update);
        }
    }
    for application in APPLICATIONS {
        reader.command(&application_apdu(application));
        let mut authenticate = vec![0x00, 0x88, 0x00, 0x81, 34, 16];
        authenticate.extend_from_slice(&[7; 33]);
        authenticate[22] = 16;
        reader.command(&authenticate);
    }
    let mut source = Source::new(extra);
    while !source.is_empty() {
        let mut apdu = vec![
            source.byte() & 0x80,
            source.byte(),
            source.byte(),
            source.byte(),
        ];
        let data = source.short();
        if !data.is_empty() {
            apdu.push(data.len() as u8);
            apdu.extend_from_slice(data);
        }
        apdu.push(source.byte());
        reader.command(&apdu);
    }
}

/// USIM and ISIM, as AIDs begin.
const APPLICATIONS: [[u8; 7]; 2] = [
    [0xA0, 0, 0, 0, 0x87, 0x10, 0x02],
    [0xA0, 0, 0, 0, 0x87, 0x10, 0x04],
];

/// A card on which the package is installed and enabled, if it takes it.
fn enabled(package: &[u8]) -> Option<Reader<Memory>> {
    let iccid = ProfileHeader::of_package(package).ok()?.iccid_swapped();
    let mut reader = Reader::new(world().card(Memory::new(), 11, Options::default()));
    let prepared = reader.open_session(world());
    let plain = Plain {
        elements: package.to_vec(),
        metadata: StoreMetadataRequest {
            iccid,
            ..metadata(1)
        }
        .to_vec(),
        ..Plain::of(1)
    };
    let bound = world().bind(&prepared, &one_time_key(world()), &plain);
    let result = reader.load(&segments(&bound).expect("our own package"));
    if !matches!(result, Ok(Some(FinalResult::Success { .. }))) {
        return None;
    }
    let request = EnableProfileRequest {
        profile: ProfileIdentifier::Iccid(iccid),
        refresh: false,
    };
    reader.es10(&request.to_vec()).expect("EnableProfile");
    reader.power_on();
    Some(reader)
}

fn application_apdu(aid: [u8; 7]) -> Vec<u8> {
    let mut apdu = vec![0x00, 0xA4, 0x04, 0x04, 7];
    apdu.extend_from_slice(&aid);
    apdu.push(0);
    apdu
}

/// Selects a file from the MF or from an application; the length of its records.
fn select(reader: &mut Reader<Memory>, path: &[u8]) -> Option<u8> {
    let by_path = |path: &[u8]| {
        let mut apdu = vec![0x00, 0xA4, 0x08, 0x04, path.len() as u8];
        apdu.extend_from_slice(path);
        apdu.push(0);
        apdu
    };
    let (mut fcp, status) = reader.command(&by_path(path));
    if status != 0x9000 {
        let tail = path.get(2..).unwrap_or_default();
        let in_application = [&[0x7F, 0xFF], tail].concat();
        let found = APPLICATIONS.into_iter().find_map(|aid| {
            reader.command(&application_apdu(aid));
            let (fcp, status) = reader.command(&by_path(&in_application));
            (status == 0x9000).then_some(fcp)
        });
        fcp = found?;
    }
    let template = Tlv::parse(&fcp).expect("FCP");
    let descriptor = template.children().flatten().find(|t| t.tag == 0x82);
    let descriptor = descriptor.expect("a file descriptor").value;
    Some(descriptor.get(3).copied().unwrap_or(0))
}

/// The path of a file from the MF.
fn path_of(image: &ProfileImage, mut file: usize) -> Vec<u8> {
    let mut path = Vec::new();
    for _ in 0..8 {
        let node = &image.files[file];
        if file == 0 {
            break;
        }
        path.splice(0..0, node.fid.to_be_bytes());
        file = usize::from(node.parent);
    }
    if path.is_empty() {
        path.extend_from_slice(&[0x3F, 0x00]);
    }
    path
}
