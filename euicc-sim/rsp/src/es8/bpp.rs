//! Builds a Bound Profile Package: SGP.22 §2.5.4, §2.5.5.
//!
//! Without ReplaceSessionKeys the whole package is under the session keys; with it the profile is
//! under keys of its own (PPK), so that it can be protected once for many cards. Segments are as
//! long as §2.5.5 allows, because every further one costs the car APDUs.

use super::channel::{
    ConfigureIsdpRequest, InitialiseSecureChannelRequest, ReplaceSessionKeysRequest,
};
use super::tags;
use crate::bsp::{Bsp, BspError, MAX_PLAIN, MAX_PLAIN_MAC_ONLY, SessionKeys};
use crate::es10::{DataObject, StoreMetadataRequest};
use crate::tlv::{Tag, Writer};
use alloc::vec::Vec;

/// What goes into a BPP.
#[derive(Debug)]
pub struct BoundProfilePackage<'a> {
    /// Signed already.
    pub initialise: &'a InitialiseSecureChannelRequest,
    /// Settings of the ISD-P.
    pub configure: &'a ConfigureIsdpRequest,
    /// Metadata of the profile.
    pub metadata: &'a StoreMetadataRequest,
    /// The unprotected profile package: SAIP profile elements, DER.
    pub upp: &'a [u8],
    /// Keys of the profile itself, which ReplaceSessionKeys hands over; `None`: the session keys.
    pub own_keys: Option<&'a SessionKeys>,
}

fn sequence(bsp: &mut Bsp, segment: Tag, plain: &[u8], chunk: usize) -> Result<Vec<u8>, BspError> {
    let mut out = Vec::with_capacity(plain.len() + plain.len() / 32 + 64);
    for part in plain.chunks(chunk) {
        if segment == tags::SEGMENT_88 {
            bsp.mac_only(segment, part, &mut out)?;
        } else {
            bsp.protect(segment, part, &mut out)?;
        }
    }
    Ok(out)
}

/// The BPP, DER.
///
/// # Errors
/// None in practice: every part is cut to what a segment takes.
pub fn build_bpp(parts: &BoundProfilePackage<'_>, keys: &SessionKeys) -> Result<Vec<u8>, BspError> {
    let mut bsp = Bsp::new(keys);
    let configure = sequence(
        &mut bsp,
        tags::SEGMENT_87,
        &parts.configure.to_vec(),
        MAX_PLAIN,
    )?;
    let metadata = sequence(
        &mut bsp,
        tags::SEGMENT_88,
        &parts.metadata.to_vec(),
        MAX_PLAIN_MAC_ONLY,
    )?;
    let replace = match parts.own_keys {
        None => None,
        Some(keys) => {
            let request = ReplaceSessionKeysRequest { keys: keys.clone() };
            let plain = zeroize::Zeroizing::new(request.to_vec());
            let segments = sequence(&mut bsp, tags::SEGMENT_87, &plain, MAX_PLAIN)?;
            bsp.replace_keys(keys);
            Some(segments)
        }
    };
    let elements = sequence(&mut bsp, tags::SEGMENT_86, parts.upp, MAX_PLAIN)?;
    let mut w = Writer::with_capacity(elements.len() + metadata.len() + configure.len() + 300);
    w.constructed(tags::BPP, |w| {
        parts.initialise.write(w);
        w.primitive(tags::FIRST_87, &configure)
            .primitive(tags::SEQUENCE_OF_88, &metadata)
            .optional(tags::SECOND_87, replace.as_deref())
            .primitive(tags::SEQUENCE_OF_86, &elements);
    });
    Ok(w.into_vec())
}
