//! Installs a profile: profile elements in, a [`ProfileImage`] out, or a PEStatus.
//! TCA eUICC Profile Package §8.

mod files;
mod rows;
mod secrets;
mod shape;
mod status;
mod template;

#[cfg(test)]
pub(crate) mod tests;

pub use status::{PeStatus, code};

use crate::fs::{Content, Kind, MF, ProfileImage};
use aid_rsp::saip::{PeHeader, PeKind, ProfileElement, ProfileHeader, service_name};
use alloc::{string::String, vec::Vec};
use shape::Pattern;
use template::Template;

/// SAIP major versions that are understood.
const VERSIONS: core::ops::RangeInclusive<u8> = 2..=3;

/// Components of ServicesList that this card has: USIM, ISIM, CSIM (its files), Milenage, TUAK with
/// keys of 128 and 256 bits, several of each application, test algorithm, BER-TLV files, linked
/// directories, GET IDENTITY with both profiles.
const SERVICES: u64 = 1 << 1
    | 1 << 2
    | 1 << 3
    | 1 << 4
    | 1 << 5
    | 1 << 13
    | 1 << 14
    | 1 << 15
    | 1 << 16
    | 1 << 17
    | 1 << 18
    | 1 << 19
    | 1 << 21
    | 1 << 22
    | 1 << 23;

/// javacard and multos of ServicesList.
const RUNTIMES: u64 = 1 << 11 | 1 << 12;

/// Services in EF.UST that need functions of a card which this one has not: GBA, MBMS security,
/// GBA-based local keys (TS 31.102 §4.2.8).
const NOT_OF_USIM: [u8; 3] = [68, 69, 76];
/// The same in EF.IST (TS 31.103 §4.2.7).
const NOT_OF_ISIM: [u8; 2] = [2, 4];

/// An installation in progress.
#[derive(Debug, Default)]
pub struct ProfileInstaller {
    header: Option<ProfileHeader>,
    image: Option<ProfileImage>,
    links: Vec<(u16, Vec<u8>)>,
    /// Files that exist only because a template creates them by default.
    defaulted: Vec<u16>,
    /// Bytes of content so far.
    size: usize,
    /// Where PIN codes belong.
    directory: u16,
    /// The application that came last: where keys belong.
    application: u16,
    /// The last USIM, ISIM and CSIM: where their optional files belong.
    usim: Option<u16>,
    isim: Option<u16>,
    csim: Option<u16>,
    ended: bool,
}

impl ProfileInstaller {
    /// Nothing installed yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The header, once it was pushed.
    #[must_use]
    pub const fn header(&self) -> Option<&ProfileHeader> {
        self.header.as_ref()
    }

    /// Installs one profile element (its whole data object).
    ///
    /// # Errors
    /// [`PeStatus`]; drop the installer then.
    pub fn push(&mut self, pe_bytes: &[u8]) -> Result<(), PeStatus> {
        let pe = ProfileElement::parse(pe_bytes).map_err(|_| PeStatus {
            status: code::INVALID_FORMAT,
            identification: None,
        })?;
        let header = pe.pe_header();
        self.element(pe).map_err(|status| PeStatus {
            status,
            identification: Some(header.identification),
        })
    }

    /// The installed profile.
    ///
    /// # Errors
    /// [`PeStatus`] when the package was incomplete or a link leads nowhere.
    pub fn finish(mut self) -> Result<ProfileImage, PeStatus> {
        let fail = |status| PeStatus {
            status,
            identification: None,
        };
        let header = self.header.take().filter(|_| self.ended);
        let (Some(header), Some(mut image)) = (header, self.image.take()) else {
            return Err(fail(code::INVALID_FORMAT));
        };
        files::resolve_links(&mut image, &self.links).map_err(fail)?;
        secrets::check_unblocking(&image).map_err(fail)?;
        clear_services(&mut image);
        image.iccid = header.iccid_swapped();
        image.profile_type = header.profile_type.unwrap_or_default();
        image.files.shrink_to_fit();
        Ok(image)
    }

    fn element(&mut self, pe: ProfileElement) -> Result<(), u16> {
        let first = self.header.is_none();
        match pe {
            ProfileElement::Header(h) if first => {
                check_header(&h)?;
                self.header = Some(h);
                Ok(())
            }
            _ if first || self.ended => Err(code::INVALID_FORMAT),
            ProfileElement::Header(_) => Err(code::INVALID_FORMAT),
            ProfileElement::GenericFileManagement(_, commands) => self.manage(&commands),
            ProfileElement::PinCodes(_, codes) => self.pin_codes(codes),
            ProfileElement::PukCodes(_, puks) => self.puk_codes(&puks),
            ProfileElement::AkaParameter(_, aka) => self.aka(&aka),
            ProfileElement::Files(header, pe) => self.template_files(header, &pe),
            ProfileElement::Opaque(header, kind) => opaque(header, kind),
            ProfileElement::End(_) => {
                self.ended = true;
                Ok(())
            }
        }
    }

    /// The image; there is none before the MF.
    fn image(&mut self) -> Result<&mut ProfileImage, u16> {
        self.image.as_mut().ok_or(code::INVALID_FORMAT)
    }
}

/// What a package mandates in its header that this card does not offer, in words for people: "mandates
/// javacard, which this card does not offer". `None` when the card would take the header.
#[must_use]
pub fn not_offered(header: &ProfileHeader) -> Option<String> {
    if check_header(header).is_ok() {
        return None;
    }
    let missing = header.services & !SERVICES;
    let services = (0..64)
        .filter(|n| missing >> n & 1 == 1)
        .map(|n| service_name(n).map_or_else(|| alloc::format!("service {n}"), String::from));
    let mut names: Vec<String> = services.collect();
    if header.unknown_services {
        names.push("a service without a known name".into());
    }
    if !VERSIONS.contains(&header.major) {
        names.push(alloc::format!(
            "version {} of the package format",
            header.major
        ));
    }
    if !header
        .templates
        .iter()
        .all(|oid| Template::find(oid).is_some())
    {
        names.push("a file template that is not known".into());
    }
    if !header.mandatory_aids.is_empty() {
        names.push("an application or library on the card".into());
    }
    let names = names.join(" and ");
    Some(alloc::format!(
        "mandates {names}, which this card does not offer"
    ))
}

/// Does the card have what the header says the profile can't do without?
fn check_header(header: &ProfileHeader) -> Result<(), u16> {
    if !VERSIONS.contains(&header.major) {
        return Err(code::UNSUPPORTED_VERSION);
    }
    let missing = header.services & !SERVICES;
    if missing & RUNTIMES != 0 {
        return Err(code::RUNTIME_NOT_SUPPORTED);
    }
    if missing != 0 || header.unknown_services {
        return Err(code::FEATURE_NOT_SUPPORTED);
    }
    let known = |oid: &Vec<u8>| Template::find(oid).is_some();
    if !header.templates.iter().all(known) {
        return Err(code::TEMPLATE_NOT_SUPPORTED);
    }
    if !header.mandatory_aids.is_empty() {
        return Err(code::LIB_NOT_SUPPORTED);
    }
    Ok(())
}

/// Elements without effect here. Security domains and RFM are accepted: nobody can reach them without
/// OTA. The keys of CAVE are accepted with the files of the CSIM; who needs CAVE demands the service.
/// Applications have no runtime to run in, and what is not known is no profile element of this card.
const fn opaque(header: PeHeader, kind: PeKind) -> Result<(), u16> {
    match kind {
        PeKind::SecurityDomain | PeKind::Rfm | PeKind::CdmaParameter => Ok(()),
        _ if !header.mandated => Ok(()),
        PeKind::Application => Err(code::RUNTIME_NOT_SUPPORTED),
        _ => Err(code::PE_NOT_SUPPORTED),
    }
}

/// The card clears the service bits of functions that it doesn't have (comments on ef-ust and ef-ist
/// in PEDefinitions).
fn clear_services(image: &mut ProfileImage) {
    for index in 0..image.applications.len() {
        let (adf, aid) = &image.applications[index];
        let (table, services): (u16, &[u8]) = match aid.get(5..7) {
            Some([0x10, 0x02]) => (0x6F38, &NOT_OF_USIM),
            Some([0x10, 0x04]) => (0x6F07, &NOT_OF_ISIM),
            _ => continue,
        };
        let Some(file) = image.child(*adf, table) else {
            continue;
        };
        let file = usize::from(image.content_of(file));
        let Some(node) = image.files.get_mut(file) else {
            continue;
        };
        if node.kind != Kind::Transparent {
            continue;
        }
        let mut bytes = node.data.to_vec();
        for service in services {
            let bit = usize::from(*service) - 1;
            if let Some(b) = bytes.get_mut(bit / 8) {
                *b &= !(1 << (bit % 8));
            }
        }
        node.data = Content::new(&bytes);
    }
}

/// Is it the MF, or a directory (ADF) right below it? Their rules are in 2F06.
const fn has_rules_of_mf(parent: u16) -> bool {
    parent == MF
}
