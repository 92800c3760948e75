//! Data objects of SGP.22 (Annex H) as fields: names by tag and place.

use super::fields::Fields;
use aid_rsp::tlv::{Reader, Tag, Tlv, parse_header};

/// Deepest nesting that is decoded.
const MAX_DEPTH: usize = 12;

/// The function of ES10 whose request or response begins with this tag (SGP.22 §5.7).
pub(super) fn function(object: &[u8]) -> Option<&'static str> {
    let tag = parse_header(object).ok()??.tag;
    Some(match tag {
        0xBF20 => "ES10b.GetEUICCInfo1",
        0xBF21 => "ES10b.PrepareDownload",
        0xBF22 => "ES10b.GetEUICCInfo2",
        0xBF28 => "ES10b.ListNotification",
        0xBF29 => "ES10c.SetNickname",
        0xBF2B => "ES10b.RetrieveNotificationsList",
        0xBF2D => "ES10c.GetProfilesInfo",
        0xBF2E => "ES10b.GetEUICCChallenge",
        0xBF30 => "ES10b.RemoveNotificationFromList",
        0xBF31 => "ES10c.EnableProfile",
        0xBF32 => "ES10c.DisableProfile",
        0xBF33 => "ES10c.DeleteProfile",
        0xBF34 => "ES10c.eUICCMemoryReset",
        0xBF35 => "ES10b.LoadCRL",
        0xBF36 => "ES10b.LoadBoundProfilePackage initialiseSecureChannel",
        0xBF37 => "ProfileInstallationResult",
        0xBF38 => "ES10b.AuthenticateServer",
        0xBF3C => "ES10a.GetEuiccConfiguredAddresses",
        0xBF3E => "ES10c.GetEID",
        0xBF3F => "ES10a.SetDefaultDpAddress",
        0xBF41 => "ES10b.CancelSession",
        0xBF43 => "ES10b.GetRAT",
        0xA0 | 0x87 => "ES10b.LoadBoundProfilePackage configureISDP",
        0xA1 | 0x88 => "ES10b.LoadBoundProfilePackage storeMetadata",
        0xA2 => "ES10b.LoadBoundProfilePackage replaceSessionKeys",
        0xA3 | 0x86 => "ES10b.LoadBoundProfilePackage loadProfileElements",
        _ => return None,
    })
}

/// Adds the data objects of `bytes`, their names below `name`. What follows a malformed one is shown as bytes.
pub(super) fn decode(bytes: &[u8], name: &str, fields: &mut Fields<'_>) {
    let mut reader = Reader::new(bytes);
    loop {
        match reader.read() {
            Ok(Some(tlv)) => {
                let place = Place {
                    root: tlv.tag,
                    parent: 0,
                    depth: 0,
                };
                object(&tlv, name, place, fields);
            }
            Ok(None) => return,
            Err(_) => {
                let rest = hex::encode_upper(reader.rest());
                fields.text(&join(name, "bytes"), &rest);
                return;
            }
        }
    }
}

/// Where a data object stands: what a tag means depends on it.
#[derive(Clone, Copy)]
struct Place {
    /// Tag of the outermost object.
    root: Tag,
    /// Tag of the object around it; 0 for the outermost.
    parent: Tag,
    depth: usize,
}

fn object(tlv: &Tlv<'_>, path: &str, place: Place, fields: &mut Fields<'_>) {
    let path = match label(place, tlv.tag) {
        // The field of the JSON object that it came in has a name.
        _ if place.depth == 0 && !path.is_empty() => path.to_owned(),
        Some(label) => join(path, label),
        None => join(path, &format!("{:02X}", tlv.tag)),
    };
    // Certificates say nothing when they are taken apart here.
    let is_certificate = tlv.tag == 0x30 && tlv.value.len() > 150;
    if tlv.is_constructed() && place.depth < MAX_DEPTH && !is_certificate {
        let mut children = tlv.children();
        let mut any = false;
        while let Ok(Some(child)) = children.read() {
            let place = Place {
                root: place.root,
                parent: tlv.tag,
                depth: place.depth + 1,
            };
            object(&child, &path, place, fields);
            any = true;
        }
        if !any || !children.is_empty() {
            fields.text(&path, &hex::encode_upper(children.rest()));
        }
        return;
    }
    fields.text(&path, &value(place.root, tlv));
}

fn value(root: Tag, tlv: &Tlv<'_>) -> String {
    let bytes = hex::encode_upper(tlv.value);
    match tlv.tag {
        // ICCID: digits swapped in pairs. (In the answer to GetEID, 5A is the EID, whose digits are in order.)
        0x5A if root != 0xBF3E => {
            let pairs = bytes.as_bytes().chunks(2);
            let digits = pairs.flat_map(|pair| pair.iter().rev().copied().map(char::from));
            digits.filter(|digit| *digit != 'F').collect()
        }
        0x01 | 0x02 | 0x81 if tlv.value.len() == 1 => {
            tlv.value.first().map_or(bytes, u8::to_string)
        }
        0x0C | 0x80 | 0x81 | 0x83 | 0x90 | 0x91 | 0x92 => match std::str::from_utf8(tlv.value) {
            Ok(text) if text.len() > 2 && text.bytes().all(|b| (0x20..0x7F).contains(&b)) => {
                text.to_owned()
            }
            Ok(text) if tlv.tag >= 0x90 || tlv.tag == 0x0C => text.to_owned(),
            _ => bytes,
        },
        _ => bytes,
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

/// Name of a data object.
fn label(place: Place, tag: Tag) -> Option<&'static str> {
    let Place {
        root,
        parent,
        depth,
    } = place;
    if depth == 0 {
        return Some(match tag {
            0xBF20 => "euiccInfo1",
            0xBF21 => "prepareDownload",
            0xBF22 => "euiccInfo2",
            0xBF25 => "storeMetadata",
            0xBF28 => "listNotification",
            0xBF29 => "setNickname",
            0xBF2B => "retrieveNotificationsList",
            0xBF2D => "profileInfoList",
            0xBF2E => "getEuiccChallenge",
            0xBF30 => "notificationSent",
            0xBF31 => "enableProfile",
            0xBF32 => "disableProfile",
            0xBF33 => "deleteProfile",
            0xBF34 => "euiccMemoryReset",
            0xBF35 => "loadCrl",
            0xBF36 => "boundProfilePackage",
            0xBF37 => "profileInstallationResult",
            0xBF38 => "authenticateServer",
            0xBF3C => "euiccConfiguredAddresses",
            0xBF3E => "getEuiccData",
            0xBF3F => "setDefaultDpAddress",
            0xBF41 => "cancelSession",
            0xBF43 => "getRat",
            _ => return None,
        });
    }
    // Names that mean the same everywhere.
    let common = match tag {
        0x5A if root == 0xBF3E => "eid",
        0x5A => "iccid",
        0x4F => "isdpAid",
        0x5C => "tagList",
        0x5F37 => "signature",
        0x5F49 => "otPK",
        0x9F70 => "profileState",
        0xBF22 => "euiccInfo2",
        0xBF23 => "initialiseSecureChannel",
        0xBF27 => "profileInstallationResultData",
        0xBF2F => "notificationMetadata",
        0xBF37 => "profileInstallationResult",
        _ => "",
    };
    if !common.is_empty() {
        return Some(common);
    }
    let named = match (root, tag) {
        // Depth 1 of the answers of simple functions.
        (0xBF28 | 0xBF2B | 0xBF2D, 0x81) if depth == 1 => "error",
        (0xBF29..=0xBF3F, 0x80) if depth == 1 => match root {
            0xBF2E => "euiccChallenge",
            0xBF30 => "seqNumber",
            0xBF3C | 0xBF3F => "defaultDpAddress",
            _ => "result",
        },
        (0xBF3C, 0x81) => "rootDsAddress",
        (0xBF31 | 0xBF32, 0xA0) => "profileIdentifier",
        (0xBF31 | 0xBF32, 0x81) => "refreshFlag",
        (0xBF29, 0x90) | (0xBF2D, 0x90) => "profileNickname",
        (0xBF2D | 0xBF25, 0x91) => "serviceProviderName",
        (0xBF2D | 0xBF25, 0x92) => "profileName",
        (0xBF2D | 0xBF25, 0x95) => "profileClass",
        (0xBF2D, 0xE3) => "profileInfo",
        // AuthenticateServer: request and answer.
        (0xBF38, 0xA0) => "ctxParams1",
        (0xBF38, 0xA1) if depth == 1 => "error",
        (0xBF38, 0xA1) => "deviceInfo",
        (0xBF38, 0x30) if depth <= 2 => "signed1",
        (0xBF38 | 0xBF21 | 0xBF41, 0x02) => "errorCode",
        (0xBF38, 0x81) => "euiccChallenge",
        (0xBF38, 0x83) => "serverAddress",
        (0xBF38, 0x84) => "serverChallenge",
        (0xBF38, 0x80) if parent == 0xA0 => "matchingId",
        (0xBF38, 0x80) if parent == 0xA1 && depth >= 3 => "tac",
        (0xBF38, 0x82) if parent == 0xA1 && depth >= 3 => "imei",
        (0xBF38, 0x80) => "transactionId",
        // serverSigned1 and smdpSigned2 as ES9+ carries them.
        (0x30, 0x80) => "transactionId",
        (0x30, 0x81) => "euiccChallenge",
        (0x30, 0x83) => "serverAddress",
        (0x30, 0x84) => "serverChallenge",
        (0x30, 0x01) => "ccRequiredFlag",
        // PrepareDownload.
        (0xBF21, 0x30) if depth <= 2 => "signed2",
        (0xBF21, 0x80) => "transactionId",
        (0xBF21, 0x01) => "ccRequiredFlag",
        (0xBF21, 0x04) => "hashCc",
        (0xBF21, 0xA0) => "ok",
        (0xBF21, 0xA1) => "error",
        // Installation.
        (0xBF37 | 0xBF2B, 0xA2) => "finalResult",
        (0xBF37 | 0xBF2B, 0xA0) if depth >= 3 => "success",
        (0xBF37 | 0xBF2B, 0xA1) if depth >= 3 => "error",
        (0xBF37 | 0xBF2B | 0xBF28, 0x0C) => "notificationAddress",
        (0xBF41, 0x80) => "transactionId",
        (0xBF41, 0x81) => "reason",
        (0xBF20 | 0xBF22, 0x82) => "svn",
        (0xBF20 | 0xBF22, 0xA9) => "euiccCiPKIdListForVerification",
        (0xBF20 | 0xBF22, 0xAA) => "euiccCiPKIdListForSigning",
        (0xBF22, 0x81) => "profileVersion",
        (0xBF22, 0x83) => "euiccFirmwareVer",
        (0xBF22, 0x84) => "extCardResource",
        (0xBF22, 0x85) => "uiccCapability",
        (0xBF22, 0x88) => "rspCapability",
        _ => return None,
    };
    Some(named)
}
