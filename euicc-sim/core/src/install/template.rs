//! What a template gives a file that the package leaves open: identifier, type, size, SFI.
//! TCA eUICC Profile Package Annex A, TS 31.102 §4. Called by the installer.

use crate::fs::Kind;
use aid_rsp::saip::PeKind;

/// Defaults of one file.
#[derive(Debug)]
pub(super) struct Defaults {
    pub(super) fid: u16,
    pub(super) kind: Kind,
    pub(super) record_len: u16,
    pub(super) size: usize,
    pub(super) sfi: u8,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            fid: 0,
            kind: Kind::Transparent,
            record_len: 0,
            size: 0,
            sfi: 0,
        }
    }
}

/// Is this component of the element a directory?
pub(super) const fn is_directory(pe: PeKind, component: u32) -> bool {
    match pe {
        PeKind::Telecom => matches!(component, 2 | 9 | 15 | 33 | 36 | 40 | 43),
        PeKind::OptUsim | PeKind::OptIsim | PeKind::OptCsim => false,
        _ => component == 2,
    }
}

/// Component, FID, size in bytes, SFI. Record files have a record length behind.
type Row = (u32, u16, u16, u8, u16);

const MF_ROWS: &[Row] = &[
    (3, 0x2F05, 2, 0x05, 0),
    (4, 0x2FE2, 10, 0x02, 0),
    (5, 0x2F00, 38, 0x1E, 38),
    (6, 0x2F06, 0, 0x06, 0),
    (7, 0x2F08, 5, 0x08, 0),
];

const USIM_ROWS: &[Row] = &[
    (3, 0x6F07, 9, 0x07, 0),
    (4, 0x6F06, 0, 0x17, 0),
    (5, 0x6F08, 33, 0x08, 0),
    (6, 0x6F09, 33, 0x09, 0),
    (7, 0x6F31, 1, 0x12, 0),
    (8, 0x6F38, 17, 0x04, 0),
    (9, 0x6F3B, 26, 0, 26),
    (10, 0x6F3C, 176, 0, 176),
    (11, 0x6F42, 38, 0, 38),
    (12, 0x6F43, 2, 0, 0),
    (13, 0x6F46, 17, 0, 0),
    (14, 0x6F56, 1, 0x05, 0),
    (15, 0x6F5B, 6, 0x0F, 0),
    (16, 0x6F5C, 3, 0x10, 0),
    (17, 0x6F73, 14, 0x0C, 0),
    (18, 0x6F78, 2, 0x06, 0),
    (19, 0x6F7B, 12, 0x0D, 0),
    (20, 0x6F7E, 11, 0x0B, 0),
    (21, 0x6FAD, 4, 0x03, 0),
    (22, 0x6FB7, 4, 0x01, 4),
    (23, 0x6FC4, 128, 0, 0),
    (24, 0x6FE3, 18, 0x1E, 0),
    (25, 0x6FE4, 80, 0x18, 80),
];

const OPT_USIM_ROWS: &[Row] = &[
    (2, 0x6F05, 6, 0x02, 0),
    (3, 0x6F37, 3, 0, 0),
    (7, 0x6F40, 30, 0, 30),
    (8, 0x6F41, 5, 0, 0),
    (9, 0x6F45, 6, 0, 0),
    (10, 0x6F48, 10, 0x0E, 0),
    (15, 0x6F60, 40, 0x0A, 0),
    (16, 0x6F61, 40, 0x11, 0),
    (17, 0x6F62, 10, 0x13, 0),
    (18, 0x6F2C, 16, 0, 0),
    (23, 0x6F4F, 15, 0x16, 15),
    (32, 0x6FB2, 7, 0, 0),
    (34, 0x6FB4, 7, 0, 0),
    (35, 0x6FB5, 2, 0, 0),
    (36, 0x6FB6, 1, 0, 0),
    (37, 0x6FC3, 4, 0, 0),
    (59, 0x6FD9, 12, 0x1D, 0),
    (61, 0x6FDB, 1, 0, 0),
    (62, 0x6FDC, 1, 0, 0),
];

const TELECOM_ROWS: &[Row] = &[
    (2, 0x7F10, 0, 0, 0),
    (9, 0x5F50, 0, 0, 0),
    (15, 0x5F3A, 0, 0, 0),
    (20, 0x4F22, 4, 0, 0),
    (21, 0x4F23, 2, 0, 0),
    (22, 0x4F24, 2, 0, 0),
];

const GSM_ROWS: &[Row] = &[
    (2, 0x5F3B, 0, 0, 0),
    (3, 0x4F20, 9, 0x01, 0),
    (4, 0x4F52, 9, 0x02, 0),
    (6, 0x4F64, 1, 0, 0),
];

const DF_5GS_ROWS: &[Row] = &[
    (2, 0x5FC0, 0, 0, 0),
    (3, 0x4F01, 20, 0x01, 0),
    (4, 0x4F02, 20, 0x02, 0),
    (8, 0x4F06, 4, 0x06, 0),
    (12, 0x4F0A, 4, 0x0A, 0),
];

const DF_SAIP_ROWS: &[Row] = &[(2, 0x5FD0, 0, 0, 0)];
const ISIM_ROWS: &[Row] = &[(7, 0x6FAD, 3, 0x03, 0)];

/// The defaults of a component; unknown ones are transparent, as long as their content.
pub(super) fn of(pe: PeKind, component: u32, fid: Option<u16>) -> Defaults {
    let rows = match pe {
        PeKind::Mf => MF_ROWS,
        PeKind::Usim => USIM_ROWS,
        PeKind::OptUsim => OPT_USIM_ROWS,
        PeKind::Telecom => TELECOM_ROWS,
        PeKind::GsmAccess => GSM_ROWS,
        PeKind::Df5gs => DF_5GS_ROWS,
        PeKind::DfSaip => DF_SAIP_ROWS,
        PeKind::Isim => ISIM_ROWS,
        _ => &[],
    };
    let Some(&(_, own, size, sfi, record_len)) = rows
        .iter()
        .find(|r| r.0 == component && fid.is_none_or(|f| f == r.1 || r.2 == 0))
        .or_else(|| rows.iter().find(|r| Some(r.1) == fid))
    else {
        return Defaults::default();
    };
    Defaults {
        fid: own,
        kind: if record_len > 0 {
            Kind::Linear
        } else {
            Kind::Transparent
        },
        record_len,
        size: usize::from(size),
        sfi,
    }
}
