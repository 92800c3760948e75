//! Given whole packages, when installed, then the image has the files of the package and the template,
//! or the PEStatus says what is wrong.
mod status;
mod templates;
mod ts48;

use super::{PeStatus, ProfileInstaller};
use crate::fs::ProfileImage;
use aid_rsp::saip::PeSplitter;
use aid_rsp::saip::builder::{Algorithm, ProfileBuilder};
use aid_rsp::tlv::Writer;
use alloc::{string::String, vec::Vec};
use proptest::prelude::*;

/// Installs a package as it comes from ES8+: in pieces.
pub(crate) fn install(der: &[u8]) -> Result<ProfileImage, PeStatus> {
    let malformed = PeStatus {
        status: super::code::INVALID_FORMAT,
        identification: None,
    };
    let mut splitter = PeSplitter::new();
    let mut installer = ProfileInstaller::new();
    for piece in der.chunks(1007) {
        splitter.push(piece);
        while let Some(pe) = splitter.next_pe().map_err(|_| malformed)? {
            installer.push(&pe)?;
        }
    }
    let image = installer.finish()?;
    // What NVM gives back is the same.
    assert_eq!(
        ProfileImage::from_bytes(&image.to_bytes()).as_ref(),
        Some(&image)
    );
    Ok(image)
}

/// The packages of TS.48 with their value notation.
pub(crate) fn ts48() -> Vec<(String, Vec<u8>, String)> {
    let Some(dir) = aid_needs::shared("data/ts48-v7") else {
        return Vec::new();
    };
    let dir = std::fs::read_dir(dir).unwrap();
    let mut all: Vec<_> = dir
        .flatten()
        .filter(|e| e.path().extension().is_some_and(|x| x == "der"))
        .map(|e| {
            let name = e.file_name().to_string_lossy().into_owned();
            let notation = std::fs::read_to_string(e.path().with_extension("txt"));
            (name, std::fs::read(e.path()).unwrap(), notation.unwrap())
        })
        .collect();
    all.sort();
    all
}

/// Our own default package.
pub(crate) fn own() -> Vec<u8> {
    let algorithm = Algorithm::Milenage {
        k: [1; 16],
        opc: [2; 16],
    };
    ProfileBuilder::new("8988123456789012345", "001010123456789", algorithm)
        .build()
        .unwrap()
}

/// The elements of our own package.
pub(crate) fn own_elements() -> Vec<Vec<u8>> {
    split(&own())
}

fn split(package: &[u8]) -> Vec<Vec<u8>> {
    let mut splitter = PeSplitter::new();
    splitter.push(package);
    let mut all = Vec::new();
    while let Some(pe) = splitter.next_pe().unwrap() {
        all.push(pe);
    }
    all
}

/// Our own package with more elements before its end.
pub(crate) fn own_with(more: &[Vec<u8>]) -> Vec<u8> {
    with_elements(&own(), more)
}

/// A package with more elements before its end.
pub(crate) fn with_elements(package: &[u8], more: &[Vec<u8>]) -> Vec<u8> {
    let mut all = split(package);
    let end = all.pop().unwrap();
    all.extend_from_slice(more);
    all.push(end);
    all.concat()
}

/// A profile element; `fill` writes what follows its header.
pub(crate) fn element(
    tag: u32,
    mandated: bool,
    identification: u16,
    fill: impl FnOnce(&mut Writer),
) -> Vec<u8> {
    let mut w = Writer::new();
    w.constructed(tag, |w| {
        w.constructed(0xA0, |w| {
            if mandated {
                w.primitive(0x80, &[]);
            }
            w.uint(0x81, identification.into());
        });
        fill(w);
    });
    w.into_vec()
}

/// GenericFileManagement with these commands.
pub(crate) fn gfm(fill: impl FnOnce(&mut Writer)) -> Vec<u8> {
    element(0xA1, true, 60, |w| {
        w.constructed(0xA1, |w| {
            w.constructed(0x30, fill);
        });
    })
}

/// createFCP: descriptor, identifier, EF.ARR of the USIM and record, size.
pub(crate) fn create(w: &mut Writer, descriptor: &[u8], fid: u16, record: u8, size: u16) {
    w.constructed(0x62, |w| {
        w.primitive(0x82, descriptor);
        w.primitive(0x83, &fid.to_be_bytes());
        w.primitive(0x8B, &[0x6F, 0x06, record]);
        w.primitive(0x80, &size.to_be_bytes());
    });
}

#[test]
fn our_own_package_is_a_profile() {
    let image = install(&own()).unwrap();
    assert_eq!(image.imsi().as_deref(), Some("001010123456789"));
    assert_eq!(image.iccid[0], 0x98);
    assert_eq!((image.keys.len(), image.pins.len()), (1, 3));
}

#[test]
fn an_image_is_compact() {
    for (name, der, _) in ts48() {
        let image = install(&der).unwrap();
        let content: usize = image.files.iter().map(|f| f.data.len()).sum();
        let stored = image.to_bytes().len();
        // Half of the content is padding.
        assert!(
            stored < 16 * 1024 && stored < content,
            "{name}: {} files, {content} bytes of content, {stored} stored",
            image.files.len()
        );
        assert!(core::mem::size_of::<crate::fs::Node>() <= 64);
    }
}

proptest! {
    #[test]
    fn mutated_packages_never_panic(edits in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..8), pick in any::<u8>()) {
        let mut all: Vec<Vec<u8>> = ts48().into_iter().map(|(_, der, _)| der).collect();
        all.push(own());
        let n = usize::from(pick) % all.len();
        let mut der = all.swap_remove(n);
        for (at, b) in edits {
            let at = usize::from(at) % der.len();
            der[at] = b;
        }
        if let Ok(image) = install(&der) {
            crate::usim::tests::touch(image);
        }
    }

    #[test]
    fn damaged_images_never_panic(edits in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..8)) {
        let mut bytes = install(&own()).unwrap().to_bytes();
        for (at, b) in edits {
            let at = 1 + usize::from(at) % (bytes.len() - 1);
            bytes[at] = b;
        }
        if let Some(image) = ProfileImage::from_bytes(&bytes) {
            crate::usim::tests::touch(image);
        }
    }
}
