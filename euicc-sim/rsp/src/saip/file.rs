//! Files: the FCP of SAIP, the commands of a template element and of GenericFileManagement.
//! TCA eUICC Profile Package §8.3, ETSI TS 102 222.

use super::{PeKind, SaipError, context_number, each, fixed, number};
use alloc::vec::Vec;

/// ProprietaryInfo of an EF.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Proprietary {
    /// specialFileInformation (bit 8: high update activity, bit 7: readable when deactivated).
    pub special: Option<u8>,
    /// fillPattern, 1..200 bytes: the last byte is repeated.
    pub fill_pattern: Option<Vec<u8>>,
    /// repeatPattern, 1..200 bytes: the whole is repeated.
    pub repeat_pattern: Option<Vec<u8>>,
    /// maximumFileSize of a BER-TLV EF, in bytes.
    pub maximum_size: Option<u32>,
}

/// Fcp: what a package says about a file; absent fields come from the template.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fcp {
    /// fileDescriptor: 2 bytes, and 2 of record length for record files.
    pub descriptor: Option<Vec<u8>>,
    /// fileID.
    pub file_id: Option<u16>,
    /// dfName: the AID of an ADF, 5..16 bytes.
    pub df_name: Option<Vec<u8>>,
    /// lcsi, 05 (activated) by default.
    pub lcsi: Option<u8>,
    /// securityAttributesReferenced, 1..3 bytes.
    pub security: Option<Vec<u8>>,
    /// efFileSize in bytes.
    pub size: Option<u32>,
    /// pinStatusTemplateDO of a DF.
    pub pin_status: Option<Vec<u8>>,
    /// shortEFID: `Some(None)` says that there is none, `Some(Some(b))` has the identifier in bits 8 to 4.
    pub sfi: Option<Option<u8>>,
    /// proprietaryEFInfo.
    pub proprietary: Proprietary,
    /// linkPath: file identifiers of two bytes each.
    pub link_path: Option<Vec<u8>>,
}

impl Fcp {
    fn parse(value: &[u8], base: usize) -> Result<Self, SaipError> {
        let mut out = Self::default();
        each(value, base, |f, at| {
            match f.tag {
                0x82 => out.descriptor = Some(sized(f.value, at, 2, 4, "fileDescriptor")?),
                0x83 => {
                    out.file_id = Some(u16::from_be_bytes(fixed(&f, at, "fileID")?));
                }
                0x84 => out.df_name = Some(sized(f.value, at, 5, 16, "dfName")?),
                0x8A => out.lcsi = Some(fixed::<1>(&f, at, "lcsi")?[0]),
                0x8B => {
                    out.security = Some(sized(f.value, at, 1, 3, "securityAttributesReferenced")?);
                }
                0x80 => out.size = Some(size(f.value, at, "efFileSize")?),
                0xC6 => out.pin_status = Some(sized(f.value, at, 0, 64, "pinStatusTemplateDO")?),
                0x88 => {
                    out.sfi = Some(match f.value {
                        [] => None,
                        [b] => Some(*b),
                        v => return Err(bad(at, "shortEFID", v.len())),
                    });
                }
                0xA5 => each(f.value, at + 2, |p, at| {
                    let prop = &mut out.proprietary;
                    match p.tag {
                        0xC0 => {
                            prop.special = Some(fixed::<1>(&p, at, "specialFileInformation")?[0]);
                        }
                        0xC1 => {
                            prop.fill_pattern = Some(sized(p.value, at, 1, 200, "fillPattern")?);
                        }
                        0xC2 => {
                            prop.repeat_pattern =
                                Some(sized(p.value, at, 1, 200, "repeatPattern")?);
                        }
                        0x86 => prop.maximum_size = Some(size(p.value, at, "maximumFileSize")?),
                        _ => {}
                    }
                    Ok(())
                })?,
                0xC7 => {
                    let path = sized(f.value, at, 0, 8, "linkPath")?;
                    if path.len() % 2 != 0 {
                        return Err(bad(at, "linkPath", path.len()));
                    }
                    out.link_path = Some(path);
                }
                _ => {}
            }
            Ok(())
        })?;
        Ok(out)
    }
}

const fn bad(offset: usize, what: &'static str, got: usize) -> SaipError {
    SaipError::BadValue { offset, what, got }
}

fn sized(
    value: &[u8],
    at: usize,
    min: usize,
    max: usize,
    what: &'static str,
) -> Result<Vec<u8>, SaipError> {
    if (min..=max).contains(&value.len()) {
        Ok(value.to_vec())
    } else {
        Err(bad(at, what, value.len()))
    }
}

fn size(value: &[u8], at: usize, what: &'static str) -> Result<u32, SaipError> {
    if value.is_empty() || value.len() > 4 {
        return Err(bad(at, what, value.len()));
    }
    Ok(value.iter().fold(0, |n, b| n << 8 | u32::from(*b)))
}

/// One entry of a File: what to do with the file of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileCommand {
    /// doNotCreate.
    DoNotCreate,
    /// fileDescriptor.
    Descriptor(Fcp),
    /// fillFileOffset: skip so many bytes from where the last content ended.
    Skip(u16),
    /// fillFileContent.
    Content(Vec<u8>),
}

/// An element that creates files from a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePe {
    /// Which element.
    pub kind: PeKind,
    /// templateID: the contents octets of the OID.
    pub template: Vec<u8>,
    /// The files: the number of the component in the element (2 is the first file), and its entries.
    pub files: Vec<(u32, Vec<FileCommand>)>,
}

impl FilePe {
    pub(super) fn parse(kind: PeKind, value: &[u8], base: usize) -> Result<Self, SaipError> {
        let mut template = None;
        let mut files = Vec::new();
        each(value, base, |f, at| {
            match context_number(f.tag) {
                Some(0) => {}
                Some(1) => template = Some(f.value.to_vec()),
                Some(n) => files.push((n, commands(f.value, at + f.raw.len() - f.value.len())?)),
                None => {
                    return Err(SaipError::Unexpected {
                        offset: at,
                        expected: "a file of the template",
                        got: f.tag,
                    });
                }
            }
            Ok(())
        })?;
        Ok(Self {
            kind,
            template: template.ok_or(SaipError::Missing { what: "templateID" })?,
            files,
        })
    }
}

fn commands(value: &[u8], base: usize) -> Result<Vec<FileCommand>, SaipError> {
    let mut out = Vec::new();
    each(value, base, |c, at| {
        out.push(match c.tag {
            0x80 => FileCommand::DoNotCreate,
            0xA1 => FileCommand::Descriptor(Fcp::parse(c.value, at + 2)?),
            0x82 => FileCommand::Skip(number(&c, at, 65535, "fillFileOffset")? as u16),
            0x83 => FileCommand::Content(c.value.to_vec()),
            got => {
                return Err(SaipError::Unexpected {
                    offset: at,
                    expected: "an entry of a File",
                    got,
                });
            }
        });
        Ok(())
    })?;
    Ok(out)
}

/// One entry of a FileManagement list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GfmCommand {
    /// filePath: the DF where the next files are; empty is the MF.
    Path(Vec<u8>),
    /// createFCP.
    Create(Fcp),
    /// fillFileOffset.
    Skip(u16),
    /// fillFileContent.
    Content(Vec<u8>),
}

impl GfmCommand {
    pub(super) fn parse_all(value: &[u8], base: usize) -> Result<Vec<Self>, SaipError> {
        let mut out = Vec::new();
        each(value, base, |f, at| {
            if f.tag != 0xA1 {
                return Ok(());
            }
            each(f.value, at + 2, |list, at| {
                each(list.value, at + 2, |c, at| {
                    out.push(match c.tag {
                        0x80 => Self::Path(sized(c.value, at, 0, 8, "filePath")?),
                        0x62 => Self::Create(Fcp::parse(c.value, at + 2)?),
                        0x02 => Self::Skip(number(&c, at, 65535, "fillFileOffset")? as u16),
                        0x81 => Self::Content(c.value.to_vec()),
                        got => {
                            return Err(SaipError::Unexpected {
                                offset: at,
                                expected: "a file management command",
                                got,
                            });
                        }
                    });
                    Ok(())
                })
            })
        })?;
        Ok(out)
    }
}
