//! ProfileHeader: version, ICCID, profile type, mandatory services.
//! TCA eUICC Profile Package §8.2.

use super::{SaipError, context_number, each, fixed, number};
use alloc::{string::String, vec::Vec};

/// What a package says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileHeader {
    /// major-version of SAIP.
    pub major: u8,
    /// minor-version of SAIP.
    pub minor: u8,
    /// profileType, at most 100 characters.
    pub profile_type: Option<String>,
    /// ICCID, two digits a byte in reading order, padded with F (SAIP order, unlike EF.ICCID).
    pub iccid: [u8; 10],
    /// eUICC-Mandatory-services as a set: bit n is component n of ServicesList (1 = usim, 4 = milenage, ...).
    pub services: u64,
    /// eUICC-Mandatory-GFSTEList: the templates in use, OIDs in DER contents octets.
    pub templates: Vec<Vec<u8>>,
    /// Is there a component of ServicesList that this parser has no number for?
    pub unknown_services: bool,
    /// eUICC-Mandatory-AIDs: packages that must be on the card.
    pub mandatory_aids: Vec<Vec<u8>>,
}

/// Names of ServicesList, by the number of their tags (PEDefinitions 3.3.1).
const SERVICES: [&str; 30] = [
    "contactless",
    "usim",
    "isim",
    "csim",
    "milenage",
    "tuak128",
    "cave",
    "gba-usim",
    "gba-isim",
    "mbms",
    "eap",
    "javacard",
    "multos",
    "multiple-usim",
    "multiple-isim",
    "multiple-csim",
    "tuak256",
    "usim-test-algorithm",
    "ber-tlv",
    "dfLink",
    "cat-tp",
    "get-identity",
    "profile-a-x25519",
    "profile-b-p256",
    "suciCalculatorApi",
    "dns-resolution",
    "scp11ac",
    "scp11c-authorization-mechanism",
    "s16mode",
    "eaka",
];

/// The name of a service in eUICC-Mandatory-services, for people; `None` for one that is not known.
#[must_use]
pub fn service_name(number: u8) -> Option<&'static str> {
    SERVICES.get(usize::from(number)).copied()
}

impl ProfileHeader {
    /// The ICCID in digits.
    #[must_use]
    pub fn iccid_digits(&self) -> String {
        self.iccid
            .iter()
            .flat_map(|b| [b >> 4, b & 15])
            .filter(|d| *d < 10)
            .map(|d| char::from(b'0' + d))
            .collect()
    }

    /// The ICCID in the order of EF.ICCID (nibbles swapped), as SGP.22 data objects carry it.
    #[must_use]
    pub fn iccid_swapped(&self) -> [u8; 10] {
        self.iccid.map(|b| b.rotate_left(4))
    }

    /// Is component `n` of ServicesList demanded?
    #[must_use]
    pub const fn requires(&self, n: u32) -> bool {
        n < 64 && self.services >> n & 1 == 1
    }

    /// Parses the first element of a package and leaves the rest alone.
    ///
    /// # Errors
    /// [`SaipError`].
    pub fn of_package(package: &[u8]) -> Result<Self, SaipError> {
        let mut splitter = super::PeSplitter::new();
        splitter.push(package);
        match splitter.next_pe()? {
            Some(pe) => match super::ProfileElement::parse(&pe)? {
                super::ProfileElement::Header(h) => Ok(h),
                _ => Err(SaipError::Missing {
                    what: "ProfileHeader",
                }),
            },
            None => Err(SaipError::Truncated {
                offset: package.len(),
                expected: "a ProfileHeader",
            }),
        }
    }

    pub(super) fn parse(value: &[u8], base: usize) -> Result<Self, SaipError> {
        let (mut major, mut minor, mut iccid) = (None, None, None);
        let (mut profile_type, mut services, mut templates) = (None, 0u64, Vec::new());
        let (mut unknown_services, mut mandatory_aids) = (false, Vec::new());
        each(value, base, |f, at| {
            match f.tag {
                0x80 => major = Some(number(&f, at, 255, "major-version")? as u8),
                0x81 => minor = Some(number(&f, at, 255, "minor-version")? as u8),
                0x82 => {
                    let text = f.text(400).map_err(|_| SaipError::BadValue {
                        offset: at,
                        what: "profileType",
                        got: f.value.len(),
                    })?;
                    profile_type = Some(String::from(text));
                }
                0x83 => {
                    let raw: [u8; 10] = fixed(&f, at, "iccid")?;
                    let mut padding = false;
                    for digit in raw.iter().flat_map(|b| [b >> 4, b & 15]) {
                        match digit {
                            15 => padding = true,
                            0..=9 if !padding => {}
                            _ => {
                                return Err(SaipError::BadValue {
                                    offset: at,
                                    what: "iccid (digits)",
                                    got: 10,
                                });
                            }
                        }
                    }
                    iccid = Some(raw);
                }
                0xA5 => each(f.value, at + 2, |s, _| {
                    match context_number(s.tag) {
                        Some(n @ 0..64) => services |= 1 << n,
                        _ => unknown_services = true,
                    }
                    Ok(())
                })?,
                0xA6 => each(f.value, at + 2, |s, _| {
                    templates.push(s.value.to_vec());
                    Ok(())
                })?,
                0xA8 => each(f.value, at + 2, |entry, at| {
                    let aid = entry.children().flatten().find(|t| t.tag == 0x80);
                    let aid = aid.ok_or(SaipError::BadValue {
                        offset: at,
                        what: "eUICC-Mandatory-AIDs",
                        got: entry.value.len(),
                    })?;
                    mandatory_aids.push(aid.value.to_vec());
                    Ok(())
                })?,
                _ => {}
            }
            Ok(())
        })?;
        let missing = |what| SaipError::Missing { what };
        Ok(Self {
            major: major.ok_or_else(|| missing("ProfileHeader major-version"))?,
            minor: minor.ok_or_else(|| missing("ProfileHeader minor-version"))?,
            profile_type,
            iccid: iccid.ok_or_else(|| missing("ProfileHeader iccid"))?,
            services,
            templates,
            unknown_services,
            mandatory_aids,
        })
    }
}
