//! The CHOICE ProfileElement: which element it is, its PEHeader, its typed content.
//! TCA eUICC Profile Package §8.1 (PEDefinitions).

use super::{
    AkaParameter, FilePe, GfmCommand, PinCodes, ProfileHeader, PukConfiguration, SaipError,
    context_number, each, number,
};
use crate::tlv::{Tag, Tlv};
use alloc::vec::Vec;

macro_rules! kinds {
    ($($(#[$m:meta])* $name:ident = $n:literal),* $(,)?) => {
        /// The kind of a profile element: the number of its context tag.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum PeKind { $($(#[$m])* $name,)* #[doc = "A number this version does not know."] Unknown(u32) }
        impl PeKind {
            /// From the number of the context tag.
            #[must_use]
            pub const fn from_number(n: u32) -> Self { match n { $($n => Self::$name,)* n => Self::Unknown(n) } }
            /// The number of the context tag.
            #[must_use]
            pub const fn number(self) -> u32 { match self { $(Self::$name => $n,)* Self::Unknown(n) => n } }
        }
    };
}

kinds! {
    /// header: ProfileHeader.
    Header = 0,
    /// genericFileManagement.
    GenericFileManagement = 1,
    /// pinCodes.
    PinCodes = 2,
    /// pukCodes.
    PukCodes = 3,
    /// akaParameter.
    AkaParameter = 4,
    /// cdmaParameter.
    CdmaParameter = 5,
    /// securityDomain.
    SecurityDomain = 6,
    /// rfm.
    Rfm = 7,
    /// application.
    Application = 8,
    /// nonStandard.
    NonStandard = 9,
    /// end.
    End = 10,
    /// mf.
    Mf = 16,
    /// cd.
    Cd = 17,
    /// telecom.
    Telecom = 18,
    /// usim.
    Usim = 19,
    /// opt-usim.
    OptUsim = 20,
    /// isim.
    Isim = 21,
    /// opt-isim.
    OptIsim = 22,
    /// phonebook.
    Phonebook = 23,
    /// gsm-access.
    GsmAccess = 24,
    /// csim.
    Csim = 25,
    /// opt-csim.
    OptCsim = 26,
    /// eap.
    Eap = 27,
    /// df-5gs.
    Df5gs = 28,
    /// df-saip.
    DfSaip = 29,
    /// df-snpn.
    DfSnpn = 30,
    /// df-5gprose.
    Df5gProse = 31,
    /// iot.
    Iot = 32,
    /// opt-iot.
    OptIot = 33,
}

impl PeKind {
    /// The kind behind the tag of a profile element; `None` when no profile element starts so.
    #[must_use]
    pub fn from_tag(tag: Tag) -> Option<Self> {
        let constructed = matches!(tag, 0xA0..=0xBE | 0xBF1F..=0xBF7F);
        context_number(tag)
            .filter(|_| constructed)
            .map(Self::from_number)
    }

    /// Does the element create files from a template?
    #[must_use]
    pub const fn is_template(self) -> bool {
        let n = self.number();
        n >= 16 && n <= 33
    }
}

/// PEHeader: is the element mandated, and its number in status reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PeHeader {
    /// Installation must fail when the element is not supported.
    pub mandated: bool,
    /// identification (0 in a ProfileHeader, which has none).
    pub identification: u16,
}

/// One profile element with its content parsed as far as we act on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProfileElement {
    /// ProfileHeader.
    Header(ProfileHeader),
    /// PE-GenericFileManagement: its commands in order.
    GenericFileManagement(PeHeader, Vec<GfmCommand>),
    /// PE-PINCodes.
    PinCodes(PeHeader, PinCodes),
    /// PE-PUKCodes.
    PukCodes(PeHeader, Vec<PukConfiguration>),
    /// PE-AKAParameter.
    AkaParameter(PeHeader, alloc::boxed::Box<AkaParameter>),
    /// An element that creates files from a template.
    Files(PeHeader, FilePe),
    /// An element that is kept as it is: security domains, RFM, applications, non-standard, unknown.
    Opaque(PeHeader, PeKind),
    /// PE-End.
    End(PeHeader),
}

impl ProfileElement {
    /// Parses exactly one profile element.
    ///
    /// # Errors
    /// [`SaipError`] with the offset inside `bytes`.
    pub fn parse(bytes: &[u8]) -> Result<Self, SaipError> {
        let pe = Tlv::parse(bytes).map_err(|source| SaipError::Tlv { offset: 0, source })?;
        Self::from_tlv(&pe)
    }

    fn from_tlv(pe: &Tlv<'_>) -> Result<Self, SaipError> {
        let Some(kind) = PeKind::from_tag(pe.tag) else {
            return Err(SaipError::Unexpected {
                offset: 0,
                expected: "a profile element",
                got: pe.tag,
            });
        };
        let base = pe.raw.len() - pe.value.len();
        if kind == PeKind::Header {
            return ProfileHeader::parse(pe.value, base).map(Self::Header);
        }
        let header = pe_header(pe.value, base)?;
        Ok(match kind {
            PeKind::GenericFileManagement => {
                Self::GenericFileManagement(header, GfmCommand::parse_all(pe.value, base)?)
            }
            PeKind::PinCodes => Self::PinCodes(header, PinCodes::parse(pe.value, base)?),
            PeKind::PukCodes => {
                Self::PukCodes(header, PukConfiguration::parse_all(pe.value, base)?)
            }
            PeKind::AkaParameter => {
                Self::AkaParameter(header, AkaParameter::parse(pe.value, base)?.into())
            }
            PeKind::End => Self::End(header),
            k if k.is_template() => Self::Files(header, FilePe::parse(k, pe.value, base)?),
            k => Self::Opaque(header, k),
        })
    }

    /// The kind of the element.
    #[must_use]
    pub const fn kind(&self) -> PeKind {
        match self {
            Self::Header(_) => PeKind::Header,
            Self::GenericFileManagement(..) => PeKind::GenericFileManagement,
            Self::PinCodes(..) => PeKind::PinCodes,
            Self::PukCodes(..) => PeKind::PukCodes,
            Self::AkaParameter(..) => PeKind::AkaParameter,
            Self::Files(_, f) => f.kind,
            Self::Opaque(_, k) => *k,
            Self::End(_) => PeKind::End,
        }
    }

    /// Its PEHeader (a ProfileHeader has none: mandated, number 0).
    #[must_use]
    pub const fn pe_header(&self) -> PeHeader {
        match self {
            Self::Header(_) => PeHeader {
                mandated: true,
                identification: 0,
            },
            Self::GenericFileManagement(h, _)
            | Self::PinCodes(h, _)
            | Self::PukCodes(h, _)
            | Self::AkaParameter(h, _)
            | Self::Files(h, _)
            | Self::Opaque(h, _)
            | Self::End(h) => *h,
        }
    }
}

fn pe_header(value: &[u8], base: usize) -> Result<PeHeader, SaipError> {
    let mut out = None;
    each(value, base, |field, at| {
        if field.tag == 0xA0 && out.is_none() {
            let mut header = PeHeader::default();
            each(field.value, at + 2, |f, at| {
                match f.tag {
                    0x80 => header.mandated = true,
                    0x81 => {
                        header.identification = number(&f, at, 32767, "identification")? as u16;
                    }
                    _ => {}
                }
                Ok(())
            })?;
            out = Some(header);
        }
        Ok(())
    })?;
    out.ok_or(SaipError::Missing { what: "PEHeader" })
}

/// Parses a whole package: a ProfileHeader first, an End last, nothing behind it.
///
/// # Errors
/// [`SaipError`]; its offset counts from the start of the package for the outer structure.
pub fn elements(package: &[u8]) -> Result<Vec<ProfileElement>, SaipError> {
    let mut splitter = super::PeSplitter::new();
    splitter.push(package);
    let mut out = Vec::new();
    while let Some(pe) = splitter.next_pe()? {
        out.push(ProfileElement::parse(&pe)?);
    }
    splitter.finish()?;
    Ok(out)
}
