//! GET IDENTITY: the SUCI, concealed by the USIM itself.
//! ETSI TS 102 221 §11.1.24, TS 31.102 §4.4.11.8, §7.5.

use super::authenticate::{Application, UST, application, current_application};
use super::suci::{Protection, Scheme, conceal};
use super::{ChannelState, Outcome, Response};
use crate::apdu::{Command, sw};
use crate::fs::{ProfileImage, imsi_digits};
use crate::pin::Verified;
use aid_rsp::tlv::{Reader, Writer};
use alloc::{string::String, vec, vec::Vec};
use rand_core::CryptoRng;

/// UST: subscription identifier privacy, SUCI calculation by the USIM, SUPI as NAI.
const PRIVACY: usize = 124;
const BY_USIM: usize = 125;
const NAI: usize = 130;

/// Identity contexts in P2: SUCI, SUCI for non-seamless WLAN offload.
const SUCI: u8 = 0x01;
const SUCI_NSWO: u8 = 0x02;

/// SUPI format IMSI and type of identity SUCI (TS 24.501 §9.11.3.4).
const SUCI_OF_IMSI: u8 = 0x01;

pub(super) fn get_identity(
    image: &ProfileImage,
    state: &ChannelState,
    verified: &Verified,
    c: &Command<'_>,
    rng: &mut dyn CryptoRng,
) -> Outcome {
    if c.p1 != 0 || !matches!(c.p2, SUCI | SUCI_NSWO) {
        return Err(sw::WRONG_P1P2);
    }
    if !c.data.is_empty() {
        return Err(sw::WRONG_LENGTH);
    }
    let adf = current_application(image, state, verified)?;
    let has = |service| image.has_service(adf, UST, service);
    let available = application(image, adf) == Application::Usim && has(PRIVACY) && has(BY_USIM);
    // A SUPI that is a network access identifier is not concealed here (docs/GAPS.md).
    if !available || has(NAI) {
        return Err(sw::CONDITIONS);
    }
    let subscriber = Subscriber::read(image, adf).ok_or(sw::CONDITIONS)?;
    let info = file(image, adf, &[0x5F, 0xD0, 0x4F, 0x01]).ok_or(sw::CONDITIONS)?;
    let protection = protection(&info).ok_or(sw::CONDITIONS)?;
    let output = conceal(&protection, &subscriber.msin(), rng).map_err(|_| sw::CONDITIONS)?;
    let mut value = vec![SUCI_OF_IMSI];
    value.extend_from_slice(&subscriber.plmn());
    value.extend_from_slice(&subscriber.routing);
    value.push(protection.scheme as u8);
    value.push(protection.key_id);
    value.extend_from_slice(&output);
    let mut w = Writer::new();
    w.primitive(0xA1, &value);
    Ok(Response::data(w.into_vec()))
}

fn file(image: &ProfileImage, adf: u16, path: &[u8]) -> Option<Vec<u8>> {
    Some(image.content(image.walk(adf, path)?)?.to_vec())
}

/// Who is to be concealed.
struct Subscriber {
    /// IMSI.
    digits: String,
    /// Digits of the MNC.
    mnc_len: usize,
    /// Routing indicator, two bytes of BCD.
    routing: [u8; 2],
}

impl Subscriber {
    fn read(image: &ProfileImage, adf: u16) -> Option<Self> {
        let digits = imsi_digits(&file(image, adf, &[0x6F, 0x07])?)?;
        let ad = file(image, adf, &[0x6F, 0xAD])?;
        let mnc_len = match ad.get(3).map(|b| b & 15) {
            Some(3) => 3,
            _ => 2,
        };
        // Without EF.Routing_Indicator it is 0 (TS 31.102 §4.4.11.11).
        let routing = file(image, adf, &[0x5F, 0xC0, 0x4F, 0x0A]);
        let routing = routing.and_then(|r| r.first_chunk().copied());
        (digits.len() > 3 + mnc_len).then_some(Self {
            digits,
            mnc_len,
            routing: routing.unwrap_or([0xF0, 0xFF]),
        })
    }

    fn digit(&self, at: usize) -> u8 {
        self.digits.as_bytes().get(at).map_or(15, |b| b - b'0')
    }

    /// MCC and MNC as in TS 24.501 figure 9.11.3.4.3.
    fn plmn(&self) -> [u8; 3] {
        let third = if self.mnc_len == 3 { self.digit(5) } else { 15 };
        [
            self.digit(1) << 4 | self.digit(0),
            third << 4 | self.digit(2),
            self.digit(4) << 4 | self.digit(3),
        ]
    }

    /// The rest of the IMSI, two digits a byte, the first in the low half.
    fn msin(&self) -> Vec<u8> {
        let first = 3 + self.mnc_len;
        (first..self.digits.len())
            .step_by(2)
            .map(|i| self.digit(i + 1) << 4 | self.digit(i))
            .collect()
    }
}

/// The scheme with the highest priority that this card knows, in EF.SUCI_Calc_Info. An empty list,
/// or a key that is missing, means the null scheme (TS 31.102 §5.3.47).
fn protection(info: &[u8]) -> Option<Protection> {
    let mut reader = Reader::new(info);
    let schemes = reader.read().ok().flatten().filter(|t| t.tag == 0xA0)?;
    let mut keys: Vec<(u8, Vec<u8>)> = Vec::new();
    if let Ok(Some(list)) = reader.read()
        && list.tag == 0xA1
    {
        let mut id = None;
        for field in list.children().flatten() {
            match (field.tag, field.value) {
                (0x80, [n]) => id = Some(*n),
                (0x81, key) => keys.push((id.take()?, key.to_vec())),
                _ => return None,
            }
        }
    }
    for entry in schemes.value.chunks_exact(2) {
        let scheme = match entry[0] {
            0 => return Some(Protection::null()),
            1 => Scheme::ProfileA,
            2 => Scheme::ProfileB,
            _ => continue,
        };
        // The index counts from 1.
        let at = usize::from(entry[1]).checked_sub(1);
        if let Some((key_id, key)) = at.and_then(|i| keys.get(i)) {
            return Some(Protection {
                scheme,
                key_id: *key_id,
                key: key.clone(),
            });
        }
    }
    Some(Protection::null())
}
