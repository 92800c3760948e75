//! The file control parameters that SELECT and STATUS answer.
//! ETSI TS 102 221 §11.1.1.3. Called by [`crate::usim`].

use super::{Kind, MF, ProfileImage};
use crate::pin;
use aid_rsp::tlv::Writer;
use alloc::vec::Vec;

/// The FCP template of a file.
pub(crate) fn fcp(image: &ProfileImage, file: u16) -> Vec<u8> {
    let mut w = Writer::new();
    let Some(node) = image.node(file) else {
        return w.into_vec();
    };
    let content = image.node(image.content_of(file)).unwrap_or(node);
    w.constructed(0x62, |w| {
        let descriptor = match node.kind {
            Kind::Df | Kind::Adf(_) => 0x78,
            Kind::Transparent => 0x41,
            Kind::Linear => 0x42,
            Kind::Cyclic => 0x46,
            Kind::BerTlv => 0x79,
        };
        if content.record_len > 0 {
            let [h, l] = content.record_len.to_be_bytes();
            let count = content.data.len() / usize::from(content.record_len);
            w.primitive(0x82, &[descriptor, 0x21, h, l, count as u8]);
        } else {
            w.primitive(0x82, &[descriptor, 0x21]);
        }
        match &node.kind {
            Kind::Adf(aid) => {
                w.primitive(0x84, aid);
            }
            _ => {
                w.primitive(0x83, &node.fid.to_be_bytes());
            }
        }
        if file == MF || matches!(node.kind, Kind::Adf(_)) {
            w.constructed(0xA5, |w| {
                w.primitive(0x80, &[0x71]);
            });
        }
        w.primitive(0x8A, &[node.lcsi]);
        if node.rule.1 > 0 {
            let [h, l] = node.rule.0.to_be_bytes();
            w.primitive(0x8B, &[h, l, node.rule.1]);
        }
        if node.is_directory() {
            pin_status(image, file, w);
        } else {
            let size = (content.data.len().min(0xFFFF)) as u16;
            w.primitive(0x80, &size.to_be_bytes());
            if node.sfi > 0 {
                w.primitive(0x88, &[node.sfi << 3]);
            } else {
                w.primitive(0x88, &[]);
            }
        }
    });
    w.into_vec()
}

fn pin_status(image: &ProfileImage, file: u16, w: &mut Writer) {
    let keys = image
        .node(file)
        .map_or(&[][..], |n| n.pin_references.as_slice());
    let mut enabled = 0u8;
    for (i, key) in keys.iter().take(8).enumerate() {
        let on = pin::find(image, file, *key)
            .and_then(|p| image.pins.get(p))
            .is_some_and(|p| p.enabled);
        enabled |= u8::from(on) << (7 - i);
    }
    w.constructed(0xC6, |w| {
        w.primitive(0x90, &[enabled]);
        for key in keys {
            w.primitive(0x83, &[*key]);
        }
    });
}
