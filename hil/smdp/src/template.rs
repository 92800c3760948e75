//! Profiles made on demand: `[[template]]` of the configuration. When an order finds no profile of the template's type,
//! the next one of its ICCID and IMSI ranges is made, with random keys and codes, and stored with the order, so that the
//! operator's network can be given them (`aid-smdp profile keys`).

use crate::core::{Profile, Protection, Stock};
use crate::inventory::Side;
use aid_cli::cli::Failure;
use aid_rsp::es10::{DataObject as _, StoreMetadataRequest};
use aid_rsp::saip::ProfileHeader;
use aid_rsp::saip::builder::{Algorithm, ProfileBuilder};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// `[[template]]` as it is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Name of the template, for lists; its numbers go on under this name.
    pub name: String,
    /// profileType for DownloadOrder.
    pub profile_type: String,
    /// First ICCID, 18 digits without the check digit, which is added.
    pub iccid_first: String,
    /// First IMSI, 14 or 15 digits.
    pub imsi_first: String,
    /// How many profiles there can be.
    pub count: u32,
    /// Digits of the MNC: 2 or 3.
    #[serde(default = "two")]
    pub mnc_digits: u8,
    /// Algorithm of AUTHENTICATE.
    #[serde(default)]
    pub algorithm: Aka,
    /// PIN 1, 4 to 8 digits; disabled at first.
    #[serde(default = "four_zeros")]
    pub pin: String,
    /// PIN 2, 4 to 8 digits.
    #[serde(default = "four_zeros")]
    pub pin2: String,
    /// Service centre address in international digits, without `+`.
    #[serde(default)]
    pub smsp: Option<String>,
    /// As the file beside a package has it: name, icon, policy_rules, notifications, requires and so on.
    #[serde(default)]
    pub metadata: Side,
}

const fn two() -> u8 {
    2
}

fn four_zeros() -> String {
    "0000".into()
}

/// Algorithm of the profiles of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Aka {
    /// Milenage (TS 35.206) with K and OPc.
    #[default]
    Milenage,
    /// TUAK (TS 35.231) with K of 128 bits and TOPc.
    Tuak,
}

/// What a network needs to know of a profile, and its codes. Secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are those of the field")]
pub struct Secrets {
    pub imsi: String,
    pub algorithm: Aka,
    /// Hexadecimal, 16 bytes.
    pub k: String,
    /// OPc or TOPc, hexadecimal, 16 or 32 bytes.
    pub opc: String,
    pub pin: String,
    pub puk: String,
    pub pin2: String,
    pub puk2: String,
    /// Hexadecimal, 8 bytes.
    pub adm1: String,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets(…)")
    }
}

/// A profile that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// How it stands in the books.
    pub stock: Stock,
    /// Name of its template.
    pub template: String,
    /// Its number there, from 0.
    pub number: u32,
    /// For the operator's network.
    pub secrets: Secrets,
    /// SAIP, DER.
    pub package: Vec<u8>,
    /// StoreMetadataRequest, DER.
    pub metadata: Vec<u8>,
    /// Under which keys the package travels.
    pub protection: Protection,
}

impl Made {
    /// The profile that is delivered. What it demands of a card is the template's to say now.
    ///
    /// # Errors
    /// What is stored is no profile.
    pub fn profile(self, templates: &[Template]) -> Result<Profile, String> {
        let header = ProfileHeader::of_package(&self.package).map_err(|e| e.to_string())?;
        let metadata = StoreMetadataRequest::from_slice(&self.metadata);
        let template = templates.iter().find(|t| t.entry.name == self.template);
        Ok(Profile {
            iccid: self.stock.iccid,
            file: self.stock.file,
            profile_type: self.stock.profile_type,
            saip_major: header.major,
            services: header.services,
            requires: template
                .map(|t| t.entry.metadata.requires.clone())
                .unwrap_or_default(),
            metadata: metadata.map_err(|e| e.to_string())?,
            package: self.package,
            protection: self.protection,
        })
    }
}

/// A template that was checked.
#[derive(Debug, Clone)]
pub struct Template {
    entry: Entry,
    iccid_first: u64,
    imsi_first: u64,
    icon: Option<(aid_rsp::es10::IconType, Vec<u8>)>,
    address: String,
    protection: Protection,
}

impl Template {
    /// Checks the entries, by making a profile of each. `file` is the configuration, `address` where cards report,
    /// `protection` that of templates that say nothing else.
    ///
    /// # Errors
    /// The first that can't make profiles, or two with one name or overlapping ranges.
    pub fn all(
        entries: &[Entry],
        file: &Path,
        address: &str,
        protection: Protection,
    ) -> Result<Vec<Self>, Failure> {
        let mut all: Vec<Self> = Vec::new();
        for entry in entries {
            let at = |why: String| Failure::new(format!("[[template]] {:?}: {why}", entry.name));
            let template = Self::new(entry, file, address, protection).map_err(at)?;
            for other in &all {
                if other.entry.name == entry.name {
                    return Err(at("another template has this name".into()));
                }
                let end = |t: &Self| t.iccid_first + u64::from(t.entry.count);
                if template.iccid_first < end(other) && other.iccid_first < end(&template) {
                    return Err(at(format!(
                        "its ICCIDs are those of template {:?}, too",
                        other.entry.name
                    )));
                }
            }
            all.push(template);
        }
        Ok(all)
    }

    fn new(
        entry: &Entry,
        file: &Path,
        address: &str,
        protection: Protection,
    ) -> Result<Self, String> {
        let range = |what: &str, first: &str, lengths: &[usize]| {
            let number = first.parse::<u64>().ok();
            let number = number.filter(|_| first.bytes().all(|b| b.is_ascii_digit()));
            let number = number.filter(|_| lengths.contains(&first.len()));
            let number = number
                .ok_or_else(|| format!("{what} {first:?} does not have {lengths:?} digits"))?;
            let last = number + u64::from(entry.count.saturating_sub(1));
            if last.to_string().len() > first.len() {
                return Err(format!(
                    "{what} {first} has no {} numbers after it",
                    entry.count
                ));
            }
            Ok(number)
        };
        let printable = |text: &str| {
            !text.is_empty() && text.len() <= 64 && !text.chars().any(char::is_control)
        };
        if !printable(&entry.name) || !printable(&entry.profile_type) {
            return Err("name and profile_type must be 1 to 64 printable characters".into());
        }
        if entry.count == 0 {
            return Err("count must be at least 1".into());
        }
        if !matches!(entry.mnc_digits, 2 | 3) {
            return Err("mnc_digits must be 2 or 3".into());
        }
        let template = Self {
            iccid_first: range("iccid_first", &entry.iccid_first, &[18])?,
            imsi_first: range("imsi_first", &entry.imsi_first, &[14, 15])?,
            icon: entry.metadata.icon(file)?,
            entry: entry.clone(),
            address: address.to_owned(),
            protection: entry.metadata.protection.unwrap_or(protection),
        };
        // A profile that can't be made is found here, and not by the first order.
        template.make(0, &mut getrandom::rand_core::UnwrapErr(getrandom::SysRng))?;
        Ok(template)
    }

    /// Name of the template.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.entry.name
    }

    /// profileType of its profiles.
    #[must_use]
    pub fn profile_type(&self) -> &str {
        &self.entry.profile_type
    }

    /// How many profiles it can make.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.entry.count
    }

    /// The ICCID of the profile with this number; `None` from [`Self::count`] on.
    #[must_use]
    pub fn iccid(&self, number: u32) -> Option<String> {
        let digits = || format!("{:018}", self.iccid_first + u64::from(number));
        (number < self.entry.count).then(|| with_check_digit(&digits()))
    }

    /// The profile of this number, from 0, with new keys.
    ///
    /// # Errors
    /// There are no more, or the template can't make one.
    pub fn make(&self, number: u32, rng: &mut dyn CryptoRng) -> Result<Made, String> {
        let entry = &self.entry;
        let iccid = self
            .iccid(number)
            .ok_or_else(|| format!("all {} profiles are made", entry.count))?;
        let width = entry.imsi_first.len();
        let imsi = format!("{:0width$}", self.imsi_first + u64::from(number));
        let (mut k, mut opc, mut topc) = ([0; 16], [0; 16], [0; 32]);
        rng.fill_bytes(&mut k);
        let algorithm = match entry.algorithm {
            Aka::Milenage => {
                rng.fill_bytes(&mut opc);
                Algorithm::Milenage { k, opc }
            }
            Aka::Tuak => {
                rng.fill_bytes(&mut topc);
                Algorithm::Tuak { k, topc }
            }
        };
        let opc = match entry.algorithm {
            Aka::Milenage => hex::encode_upper(opc),
            Aka::Tuak => hex::encode_upper(topc),
        };
        let mut adm1 = [0; 8];
        rng.fill_bytes(&mut adm1);
        let name = entry
            .metadata
            .name
            .as_deref()
            .unwrap_or(&entry.profile_type);
        let builder = ProfileBuilder {
            mnc_len: entry.mnc_digits,
            name: name.to_owned(),
            smsp: entry.smsp.clone(),
            pin: entry.pin.clone(),
            puk: digits(8, rng),
            pin2: entry.pin2.clone(),
            puk2: digits(8, rng),
            adm1,
            ..ProfileBuilder::new(iccid.clone(), imsi.clone(), algorithm)
        };
        let package = builder.build().map_err(|e| e.to_string())?;
        let header = ProfileHeader::of_package(&package).map_err(|e| e.to_string())?;
        let icon = self.icon.clone();
        let metadata =
            entry
                .metadata
                .metadata(header.iccid_swapped(), name, &self.address, icon)?;
        Ok(Made {
            stock: Stock {
                iccid,
                file: format!("template {}", entry.name),
                profile_type: entry.profile_type.clone(),
                name: metadata.profile_name.clone(),
            },
            template: entry.name.clone(),
            number,
            secrets: Secrets {
                imsi,
                algorithm: entry.algorithm,
                k: hex::encode_upper(k),
                opc,
                pin: builder.pin,
                puk: builder.puk,
                pin2: builder.pin2,
                puk2: builder.puk2,
                adm1: hex::encode_upper(adm1),
            },
            package,
            metadata: metadata.to_vec(),
            protection: self.protection,
        })
    }
}

/// Random digits.
fn digits(count: usize, rng: &mut dyn CryptoRng) -> String {
    let mut text = String::with_capacity(count);
    while text.len() < count {
        let mut byte = [0];
        rng.fill_bytes(&mut byte);
        // 250 is a multiple of ten: each digit is as likely as the others.
        if byte[0] < 250 {
            text.push(char::from(b'0' + byte[0] % 10));
        }
    }
    text
}

/// The digits with the check digit of ITU-T E.118 (Luhn) at their end.
fn with_check_digit(digits: &str) -> String {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(at, digit)| {
            let digit = u32::from(digit - b'0');
            match at % 2 {
                0 if digit >= 5 => 2 * digit - 9,
                0 => 2 * digit,
                _ => digit,
            }
        })
        .sum();
    format!("{digits}{}", (10 - sum % 10) % 10)
}

/// The files that the templates name, made relative to the configuration.
pub(crate) fn icons(entries: &mut [Entry]) -> impl Iterator<Item = &mut PathBuf> {
    entries
        .iter_mut()
        .filter_map(|entry| entry.metadata.icon.as_mut())
}

#[cfg(test)]
mod tests {
    use super::*;
    use getrandom::SysRng;
    use getrandom::rand_core::UnwrapErr;

    fn entry(algorithm: Aka) -> Entry {
        Entry {
            name: "t".into(),
            profile_type: "Lab".into(),
            iccid_first: "894900000000000001".into(),
            imsi_first: "001010000000001".into(),
            count: 3,
            mnc_digits: 2,
            algorithm,
            pin: "1234".into(),
            pin2: "0000".into(),
            smsp: None,
            metadata: Side::default(),
        }
    }

    fn all(entries: &[Entry]) -> Result<Vec<Template>, Failure> {
        Template::all(
            entries,
            Path::new("smdp.toml"),
            "smdp.example",
            Protection::default(),
        )
    }

    #[test]
    fn profiles_count_up_and_have_keys_of_their_own() {
        let mut rng = UnwrapErr(SysRng);
        for algorithm in [Aka::Milenage, Aka::Tuak] {
            let template = all(&[entry(algorithm)]).unwrap().remove(0);
            let (one, two) = (
                template.make(0, &mut rng).unwrap(),
                template.make(1, &mut rng).unwrap(),
            );
            // Luhn: the well-known 7992739871 has check digit 3.
            assert_eq!(with_check_digit("7992739871"), "79927398713");
            assert_eq!(one.stock.iccid.len(), 19);
            assert!(one.stock.iccid.starts_with("894900000000000001"));
            assert_eq!(two.secrets.imsi, "001010000000002");
            assert_ne!(one.secrets.k, two.secrets.k);
            assert_ne!(one.secrets.opc, two.secrets.opc);
            assert_eq!(one.secrets.pin, "1234");
            let profile = one.clone().profile(&[]).unwrap();
            assert_eq!(profile.iccid, one.stock.iccid);
            assert_eq!(profile.metadata.notifications[0].address, "smdp.example");
            assert!(template.make(3, &mut rng).is_err());
            assert!(!format!("{one:?}").contains(&one.secrets.k));
        }
    }

    #[test]
    fn a_template_that_can_make_no_profile_is_named() {
        let change = |change: fn(&mut Entry)| {
            let mut entry = entry(Aka::Milenage);
            change(&mut entry);
            all(&[entry]).unwrap_err().text
        };
        for (change_it, says) in [
            (
                (|e| e.iccid_first = "8949".into()) as fn(&mut Entry),
                "iccid_first",
            ),
            (|e| e.imsi_first = "00101x000000001".into(), "imsi_first"),
            (|e| e.imsi_first = "999999999999999".into(), "no 3 numbers"),
            (|e| e.count = 0, "count"),
            (|e| e.mnc_digits = 4, "mnc_digits"),
            (|e| e.pin = "12".into(), "pin"),
            (|e| e.metadata.icon = Some("none.png".into()), "none.png"),
            (
                |e| e.metadata.policy_rules = vec![crate::inventory::Rule::Ppr1],
                "mcc_mnc",
            ),
        ] {
            let text = change(change_it);
            assert!(text.contains("\"t\"") && text.contains(says), "{text}");
        }
        let mut other = entry(Aka::Tuak);
        assert!(all(&[entry(Aka::Milenage), other.clone()]).is_err());
        other.name = "u".into();
        assert!(
            all(&[entry(Aka::Milenage), other])
                .unwrap_err()
                .text
                .contains("ICCIDs")
        );
    }
}
