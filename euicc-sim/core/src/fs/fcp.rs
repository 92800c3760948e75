//! The file control parameters that SELECT and STATUS answer.
//! ETSI TS 102 221 §11.1.1.3, §11.1.1.4.

use super::{Kind, MF, Node, ProfileImage, find_pin};
use crate::pin;
use aid_rsp::tlv::Writer;
use alloc::vec::Vec;

/// UICC characteristics: clock stop allowed, no preferred level (§11.1.1.4.6.1).
const CHARACTERISTICS: u8 = 0x71;
/// Supported system commands: TERMINAL CAPABILITY (§11.1.1.4.6.8).
const SYSTEM_COMMANDS: u8 = 0x01;

/// Access mode byte of a directory (ISO/IEC 7816-4 §9.3.2): delete, terminate, activate and deactivate
/// it, create and delete files in it.
const ALL_OF_A_DIRECTORY: u8 = 0x7F;
/// Access mode byte of an EF: read and search. That is what a file without a rule allows.
const READ: u8 = 0x01;

/// The FCP template of a file.
pub(crate) fn fcp(image: &ProfileImage, file: u16) -> Vec<u8> {
    let mut w = Writer::new();
    let Some(node) = image.node(file) else {
        return w.into_vec();
    };
    let content = image.node(image.content_of(file)).unwrap_or(node);
    w.constructed(0x62, |w| {
        if content.record_len > 0 {
            let count = content.records() as u8;
            w.primitive(0x82, &[node.descriptor, 0x21, 0, content.record_len, count]);
        } else {
            w.primitive(0x82, &[node.descriptor, 0x21]);
        }
        match image.aid(file) {
            Some(aid) => w.primitive(0x84, aid),
            None => w.primitive(0x83, &node.fid.to_be_bytes()),
        };
        proprietary(w, file, node, content);
        w.primitive(0x8A, &[node.lcsi]);
        match node.rule {
            // Security attributes are mandatory (§11.1.1.3). Without a rule of EF.ARR they are those of
            // the bare MF: its administration is never allowed (§9.2.4, expanded format).
            (_, 0) if node.is_directory() => w.constructed(0xAB, |w| {
                w.primitive(0x80, &[ALL_OF_A_DIRECTORY]);
                w.primitive(0x97, &[]);
            }),
            (_, 0) => w.constructed(0xAB, |w| {
                w.primitive(0x80, &[READ]);
                w.primitive(0x90, &[]);
            }),
            (arr, record) => {
                let [h, l] = arr.to_be_bytes();
                w.primitive(0x8B, &[h, l, record])
            }
        };
        if node.is_directory() {
            pin_status(image, file, w);
            return;
        }
        let size = content.data.len() as u16;
        w.primitive(0x80, &size.to_be_bytes());
        match node.sfi {
            0 => w.primitive(0x88, &[]),
            sfi => w.primitive(0x88, &[sfi << 3]),
        };
    });
    w.into_vec()
}

/// Proprietary information (§11.1.1.4.6), when there is any.
fn proprietary(w: &mut Writer, file: u16, node: &Node, content: &Node) {
    let mut inner = Writer::new();
    if file == MF {
        inner.primitive(0x80, &[CHARACTERISTICS]);
        inner.primitive(0x87, &[SYSTEM_COMMANDS]);
    }
    if node.special != 0 {
        inner.primitive(0xC0, &[node.special]);
    }
    if node.kind == Kind::BerTlv {
        // File details: DER coding supported. Reserved file size, maximum file size.
        let size = content.reserved.to_be_bytes();
        let start = size.iter().position(|b| *b != 0).unwrap_or(3);
        inner.primitive(0x84, &[0x01]);
        inner.primitive(0x85, &size[start..]);
        inner.primitive(0x86, &size[start..]);
    }
    if !inner.as_slice().is_empty() {
        w.primitive(0xA5, inner.as_slice());
    }
}

fn pin_status(image: &ProfileImage, file: u16, w: &mut Writer) {
    let keys = image.pin_references(file);
    let mut enabled = alloc::vec![0u8; keys.len().div_ceil(8).max(1)];
    for (i, key) in keys.iter().enumerate() {
        let on = find_pin(image, file, *key)
            .and_then(|p| image.pins.get(p))
            .is_some_and(|p| p.enabled);
        enabled[i / 8] |= u8::from(on) << (7 - i % 8);
    }
    w.constructed(0xC6, |w| {
        w.primitive(0x90, &enabled);
        for key in keys {
            // Usage qualifier of the universal PIN: no profile element can define one, so it is not used.
            if *key == pin::UNIVERSAL {
                w.primitive(0x95, &[0x00]);
            }
            w.primitive(0x83, &[*key]);
        }
    });
}
