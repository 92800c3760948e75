//! The profiles that the judge installs or orders: a small SAIP package with known keys, and its metadata.

use super::seeded::Seeded;
use aid_rsp::es10::{
    NotificationConfigurationInformation, NotificationEvent, OperatorId, ProfileClass,
    StoreMetadataRequest,
};
use aid_rsp::saip::builder::{Algorithm, ProfileBuilder};

/// A profile: its number, metadata and package.
#[derive(Debug, Clone)]
pub(crate) struct Profile {
    /// ICCID as on the card, swapped BCD.
    pub(crate) iccid: [u8; 10],
    /// What the SM-DP+ says about it.
    pub(crate) metadata: StoreMetadataRequest,
    /// SAIP profile elements, DER.
    pub(crate) elements: Vec<u8>,
}

impl Profile {
    /// A profile with a number out of the seed: 8988 9, the run's seven digits, six that count, and a check digit. Its
    /// notifications of each event go to `address`.
    pub(crate) fn new(rng: &mut Seeded, serial: u32, address: &str) -> Result<Self, String> {
        let run = rng.below(10_000_000);
        let mut digits = format!("89889{run:07}{:06}", serial % 1_000_000);
        digits.push(check_digit(&digits));
        let imsi = format!("00101{:010}", serial % 1_000_000);
        let algorithm = Algorithm::Milenage {
            k: rng.bytes(),
            opc: rng.bytes(),
        };
        let elements = ProfileBuilder::new(digits.as_str(), imsi, algorithm)
            .build()
            .map_err(|e| format!("the judge's profile cannot be built: {e}"))?;
        let iccid = swapped(&digits);
        let metadata = StoreMetadataRequest {
            iccid,
            service_provider_name: "aid judge".to_owned(),
            profile_name: format!("judge {serial}"),
            icon_type: None,
            icon: None,
            profile_class: ProfileClass::Operational,
            notifications: vec![NotificationConfigurationInformation {
                events: NotificationEvent::ALL,
                address: address.to_owned(),
            }],
            profile_owner: OperatorId::from_digits("00101"),
            policy_rules: None,
        };
        Ok(Self {
            iccid,
            metadata,
            elements,
        })
    }
}

/// Luhn's check digit of a number.
fn check_digit(digits: &str) -> char {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(at, b)| {
            let digit = u32::from(b - b'0') * if at % 2 == 0 { 2 } else { 1 };
            digit / 10 + digit % 10
        })
        .sum();
    char::from_digit((10 - sum % 10) % 10, 10).unwrap_or('0')
}

/// Up to 20 digits as swapped BCD, filled with F.
pub(crate) fn swapped(digits: &str) -> [u8; 10] {
    let mut bcd = [0xFF; 10];
    let digits: Vec<u8> = digits.bytes().map(|b| b & 0x0F).collect();
    for (byte, pair) in bcd.iter_mut().zip(digits.chunks(2)) {
        *byte = pair.get(1).unwrap_or(&0x0F) << 4 | pair[0];
    }
    bcd
}

/// The digits of swapped BCD, without filler.
pub(crate) fn digits(iccid: &[u8; 10]) -> String {
    iccid
        .iter()
        .flat_map(|b| [b & 0x0F, b >> 4])
        .filter(|digit| *digit < 10)
        .filter_map(|digit| char::from_digit(u32::from(digit), 10))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_check_digits_and_survive_bcd() {
        // The example of ISO/IEC 7812-1.
        assert_eq!(check_digit("7992739871"), '3');
        let mut rng = Seeded::new(7);
        let profile = Profile::new(&mut rng, 3, "smdp.example.com").unwrap();
        let text = digits(&profile.iccid);
        assert_eq!((text.len(), &text[..5]), (19, "89889"));
        assert_eq!(swapped(&text), profile.iccid);
    }
}
