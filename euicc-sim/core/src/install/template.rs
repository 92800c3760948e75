//! What a template gives a file that the package leaves open: identifier, type, size, SFI, rule, content.
//! TCA eUICC Profile Package Annex A.

use super::rows::{self, Row};
use super::shape::{Pattern, Shape};
use aid_rsp::saip::PeKind;

/// A template that this card knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Template {
    kind: PeKind,
    version: u8,
}

/// Object identifier of the templates: 2.23.143.1.2 in contents octets.
const PREFIX: [u8; 5] = [0x67, 0x81, 0x0F, 0x01, 0x02];

/// Template number, element, newest version.
const KNOWN: [(u8, PeKind, u8); 16] = [
    (1, PeKind::Mf, 1),
    (2, PeKind::Cd, 1),
    (3, PeKind::Telecom, 2),
    (4, PeKind::Usim, 2),
    (5, PeKind::OptUsim, 3),
    (6, PeKind::Phonebook, 1),
    (7, PeKind::GsmAccess, 1),
    (8, PeKind::Isim, 1),
    (9, PeKind::OptIsim, 2),
    (10, PeKind::Csim, 2),
    (11, PeKind::OptCsim, 2),
    (12, PeKind::Eap, 1),
    (13, PeKind::Df5gs, 4),
    (14, PeKind::DfSaip, 1),
    (15, PeKind::DfSnpn, 1),
    (16, PeKind::Df5gProse, 1),
];

impl Template {
    /// The template with this identifier (contents octets of the OID).
    pub(super) fn find(oid: &[u8]) -> Option<Self> {
        let (number, version) = match oid.strip_prefix(&PREFIX)? {
            [number] => (*number, 1),
            [number, version] if *version > 1 => (*number, *version),
            _ => return None,
        };
        let known = KNOWN.iter().find(|k| k.0 == number && version <= k.2);
        known.map(|k| Self { kind: k.1, version })
    }

    pub(super) const fn kind(self) -> PeKind {
        self.kind
    }

    /// Does it create files that the element does not mention?
    pub(super) const fn is_by_default(self) -> bool {
        matches!(self.kind, PeKind::Mf | PeKind::Usim | PeKind::Isim)
    }

    /// Its files.
    pub(super) const fn rows(self) -> &'static [Row] {
        match self.kind {
            PeKind::Mf => rows::MF,
            PeKind::Cd => rows::CD,
            PeKind::Telecom => rows::TELECOM,
            PeKind::Usim => rows::USIM,
            PeKind::OptUsim => rows::OPT_USIM,
            PeKind::Phonebook => rows::PHONEBOOK,
            PeKind::GsmAccess => rows::GSM_ACCESS,
            PeKind::Isim => rows::ISIM,
            PeKind::OptIsim => rows::OPT_ISIM,
            PeKind::Csim => rows::CSIM,
            PeKind::OptCsim => rows::OPT_CSIM,
            PeKind::Eap => rows::EAP,
            PeKind::Df5gs => rows::DF_5GS,
            PeKind::DfSaip => rows::DF_SAIP,
            PeKind::DfSnpn => rows::DF_SNPN,
            PeKind::Df5gProse => rows::DF_5GPROSE,
            _ => &[],
        }
    }

    /// The file of a component, as this version of the template has it.
    pub(super) fn row(self, component: u32) -> Option<Row> {
        let found = self.rows().iter().find(|r| u32::from(r.0) == component);
        found.map(|row| self.of_version(*row))
    }

    /// Where older versions of a template differ from the newest.
    pub(super) const fn of_version(self, mut row: Row) -> Row {
        match (self.kind, self.version, row.1) {
            // EF.UST had 14 bytes.
            (PeKind::Usim, 1, 0x6F38) => row.2 = Shape::T(14),
            // One record of 57 bytes in EF.5GS3GPPNSC and EF.5GSN3GPPNSC.
            (PeKind::Df5gs, 1 | 2, 0x4F03 | 0x4F04) => row.2 = Shape::L(1, 57),
            _ => {}
        }
        if matches!(
            (self.kind, self.version, row.1),
            (PeKind::Df5gs, 1..=3, 0x4F0A)
        ) {
            row.5 = Pattern::Fill(&[0xF0, 0xFF]);
        }
        row
    }
}
