//! Installs a profile: profile elements in, a [`ProfileImage`] out, or a PEStatus.
//! TCA eUICC Profile Package §8, PEStatus. Called by the card for each element of LoadProfileElements.

mod template;

#[cfg(test)]
mod tests;

use crate::auth::{Algorithm, Key, Milenage, TestAlgorithm};
use crate::fs::{Kind, MF, Node, ProfileImage};
use crate::pin::{Pin, Puk};
use aid_rsp::saip::{
    AkaAlgorithm, AkaConfiguration, AkaParameter, Fcp, FileCommand, FilePe, GfmCommand, PeHeader,
    PeKind, PinCodes, ProfileElement, ProfileHeader,
};
use alloc::{boxed::Box, vec, vec::Vec};

/// Largest content of one EF, in bytes.
const MAX_FILE: usize = 32_767;
/// Most files in a profile.
const MAX_FILES: usize = 1_000;

/// PEStatus: why an element can't be installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("profile element {identification:?}: status {status}")]
pub struct PeStatus {
    /// status: 1 not supported, 3 bad values, 4 memory, 5 format, 6 parameter, 9 template, 10 feature.
    pub status: u16,
    /// identification of the element, when it was readable.
    pub identification: Option<u16>,
}

const BAD_VALUES: u16 = 3;
const NOT_ENOUGH_MEMORY: u16 = 4;
const INVALID_FORMAT: u16 = 5;
const INVALID_PARAMETER: u16 = 6;
const TEMPLATE_NOT_SUPPORTED: u16 = 9;
const FEATURE_NOT_SUPPORTED: u16 = 10;
const UNSUPPORTED_VERSION: u16 = 31;

/// An installation in progress.
#[derive(Debug, Default)]
pub struct ProfileInstaller {
    header: Option<ProfileHeader>,
    files: Vec<Node>,
    links: Vec<(u16, Vec<u8>)>,
    pins: Vec<Pin>,
    puks: Vec<Puk>,
    keys: Vec<Key>,
    /// Where PIN codes belong.
    directory: u16,
    /// Where optional files and keys belong.
    application: u16,
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
            status: INVALID_FORMAT,
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
        let header = self
            .header
            .take()
            .filter(|_| self.ended && !self.files.is_empty());
        let header = header.ok_or_else(|| fail(INVALID_FORMAT))?;
        let links = core::mem::take(&mut self.links);
        let mut image = ProfileImage {
            iccid: header.iccid_swapped(),
            profile_type: header.profile_type.unwrap_or_default(),
            files: self.files,
            pins: self.pins,
            puks: self.puks,
            keys: self.keys,
        };
        for (file, path) in links {
            let target = image
                .walk(MF, &path)
                .filter(|t| *t != file)
                .ok_or_else(|| fail(INVALID_PARAMETER))?;
            let target = image.content_of(target);
            image.files[usize::from(file)].link = Some(target);
        }
        Ok(image)
    }

    fn element(&mut self, pe: ProfileElement) -> Result<(), u16> {
        let first = self.header.is_none();
        match pe {
            ProfileElement::Header(h) if first => {
                if !(2..=3).contains(&h.major) {
                    return Err(UNSUPPORTED_VERSION);
                }
                self.header = Some(h);
                Ok(())
            }
            _ if first || self.ended => Err(INVALID_FORMAT),
            ProfileElement::Header(_) => Err(INVALID_FORMAT),
            ProfileElement::GenericFileManagement(_, commands) => self.manage(&commands),
            ProfileElement::PinCodes(_, codes) => self.pin_codes(codes),
            ProfileElement::PukCodes(_, puks) => {
                self.puks.extend(puks.into_iter().map(|p| Puk {
                    key: p.key_reference,
                    value: p.value,
                    max: p.attempts.0,
                    left: p.attempts.1,
                }));
                Ok(())
            }
            ProfileElement::AkaParameter(_, aka) => self.aka(&aka),
            ProfileElement::Files(h, pe) => self.template_files(h, &pe),
            // Remote management, applications, CAVE: accepted, without effect.
            ProfileElement::Opaque(..) => Ok(()),
            ProfileElement::End(_) => {
                self.ended = true;
                Ok(())
            }
        }
    }

    fn aka(&mut self, aka: &AkaParameter) -> Result<(), u16> {
        let algorithm = match &aka.configuration {
            AkaConfiguration::Mapping { source, .. } => {
                let adf = self
                    .files
                    .iter()
                    .position(|f| matches!(&f.kind, Kind::Adf(a) if a == source));
                let key = self
                    .keys
                    .iter()
                    .find(|k| Some(usize::from(k.directory)) == adf);
                key.map(|k| k.algorithm.clone()).ok_or(INVALID_PARAMETER)?
            }
            AkaConfiguration::Algorithm(a) => {
                let k = a.key.as_slice().try_into().map_err(|_| BAD_VALUES);
                match a.algorithm {
                    AkaAlgorithm::Milenage => Algorithm::Milenage(Box::new(Milenage {
                        k: k?,
                        opc: a.opc.as_slice().try_into().map_err(|_| BAD_VALUES)?,
                        r: a.rotation,
                        c: a.xoring,
                    })),
                    AkaAlgorithm::UsimTest => Algorithm::Test(TestAlgorithm { k: k? }),
                    AkaAlgorithm::Tuak => return Err(FEATURE_NOT_SUPPORTED),
                }
            }
        };
        self.keys.push(Key {
            directory: self.application,
            algorithm,
            seq: aka.sqn_init,
        });
        Ok(())
    }

    fn pin_codes(&mut self, codes: PinCodes) -> Result<(), u16> {
        let directory = self.directory;
        match codes {
            PinCodes::Codes(codes) => {
                for c in codes {
                    let global = c.key_reference & 0x80 == 0 || c.key_reference >= 0x8A;
                    self.pins.push(Pin {
                        key: c.key_reference,
                        directory: if global { MF } else { directory },
                        value: c.value,
                        enabled: c.attributes & 1 != 0,
                        can_disable: c.attributes & 4 != 0,
                        puk: c.unblocking,
                        max: c.attempts.0,
                        left: c.attempts.1,
                    });
                }
            }
            PinCodes::SharedWith(path) => {
                let source = self.walk(&path).ok_or(INVALID_PARAMETER)?;
                let mut shared: Vec<Pin> = self
                    .pins
                    .iter()
                    .filter(|p| p.directory == source)
                    .cloned()
                    .collect();
                for p in &mut shared {
                    p.directory = directory;
                }
                if source != directory {
                    self.pins.extend(shared);
                }
            }
        }
        Ok(())
    }

    fn template_files(&mut self, header: PeHeader, pe: &FilePe) -> Result<(), u16> {
        if pe.kind != PeKind::Mf && self.files.is_empty() {
            return Err(INVALID_FORMAT);
        }
        let base = match pe.kind {
            PeKind::Mf
            | PeKind::Cd
            | PeKind::Telecom
            | PeKind::Usim
            | PeKind::Isim
            | PeKind::Csim => MF,
            PeKind::Iot | PeKind::OptIot if header.mandated => return Err(TEMPLATE_NOT_SUPPORTED),
            PeKind::Iot | PeKind::OptIot => return Ok(()),
            _ => self.application,
        };
        let mut first = base;
        let mut current = base;
        for (component, commands) in &pe.files {
            if commands.contains(&FileCommand::DoNotCreate) {
                continue;
            }
            let empty = Fcp::default();
            let fcp = commands
                .iter()
                .find_map(|c| match c {
                    FileCommand::Descriptor(f) => Some(f),
                    _ => None,
                })
                .unwrap_or(&empty);
            let defaults = template::of(pe.kind, *component, fcp.file_id);
            let directory = template::is_directory(pe.kind, *component);
            let parent = if !directory {
                current
            } else if *component == 2 {
                base
            } else {
                first
            };
            let file = self.create(parent, fcp, &defaults, directory)?;
            if directory {
                current = file;
                if *component == 2 {
                    first = file;
                }
            }
            let mut position = 0;
            for command in commands {
                match command {
                    FileCommand::Skip(n) => position += usize::from(*n),
                    FileCommand::Content(c) => {
                        position = self.fill(file, position, c, fcp.size.is_none())?;
                    }
                    FileCommand::Descriptor(_) | FileCommand::DoNotCreate => {}
                }
            }
        }
        if matches!(pe.kind, PeKind::Usim | PeKind::Isim | PeKind::Csim) {
            self.application = first;
        }
        self.directory = first;
        Ok(())
    }

    fn manage(&mut self, commands: &[GfmCommand]) -> Result<(), u16> {
        let mut parent = MF;
        let mut file = None;
        let mut position = 0;
        for command in commands {
            match command {
                GfmCommand::Path(path) => {
                    parent = self.walk(path).ok_or(INVALID_PARAMETER)?;
                }
                GfmCommand::Create(fcp) => {
                    let directory = fcp
                        .descriptor
                        .as_ref()
                        .and_then(|d| d.first())
                        .is_some_and(|b| b & 0x3F == 0x38);
                    file = Some(self.create(
                        parent,
                        fcp,
                        &template::Defaults::default(),
                        directory,
                    )?);
                    position = 0;
                }
                GfmCommand::Skip(n) => position += usize::from(*n),
                GfmCommand::Content(c) => {
                    let file = file.ok_or(INVALID_FORMAT)?;
                    position = self.fill(file, position, c, false)?;
                }
            }
        }
        Ok(())
    }

    fn walk(&self, path: &[u8]) -> Option<u16> {
        let mut at = MF;
        for fid in path.chunks(2) {
            let fid = u16::from_be_bytes(fid.try_into().ok()?);
            if fid == 0x3F00 {
                continue;
            }
            at = self
                .files
                .iter()
                .skip(1)
                .position(|f| f.parent == at && f.fid == fid)
                .map(|i| i as u16 + 1)?;
        }
        (!self.files.is_empty()).then_some(at)
    }

    fn create(
        &mut self,
        parent: u16,
        fcp: &Fcp,
        defaults: &template::Defaults,
        directory: bool,
    ) -> Result<u16, u16> {
        let is_mf = self.files.is_empty();
        let fid = fcp
            .file_id
            .unwrap_or(if is_mf { 0x3F00 } else { defaults.fid });
        if fid == 0 || self.files.len() >= MAX_FILES {
            return Err(if fid == 0 {
                TEMPLATE_NOT_SUPPORTED
            } else {
                NOT_ENOUGH_MEMORY
            });
        }
        let descriptor = fcp.descriptor.as_deref().unwrap_or(&[]);
        let kind = match descriptor.first() {
            _ if directory => fcp.df_name.clone().map_or(Kind::Df, Kind::Adf),
            None => defaults.kind.clone(),
            Some(0x39 | 0x79) => Kind::BerTlv,
            Some(b) => match b & 7 {
                1 => Kind::Transparent,
                2 => Kind::Linear,
                6 => Kind::Cyclic,
                _ => return Err(BAD_VALUES),
            },
        };
        let records = matches!(kind, Kind::Linear | Kind::Cyclic);
        let record_len = match descriptor {
            [_, _, h, l] => u16::from_be_bytes([*h, *l]),
            [_, _, l] => u16::from(*l),
            _ => defaults.record_len,
        };
        if records && !(1..=255).contains(&record_len) {
            return Err(BAD_VALUES);
        }
        let size =
            if matches!(kind, Kind::Df | Kind::Adf(_) | Kind::BerTlv) || fcp.link_path.is_some() {
                0
            } else {
                fcp.size.map_or(defaults.size, |s| s as usize)
            };
        if size > MAX_FILE {
            return Err(NOT_ENOUGH_MEMORY);
        }
        let size = if records && size == 0 && fcp.link_path.is_none() {
            usize::from(record_len)
        } else {
            size
        };
        let rule = match fcp.security.as_deref() {
            Some([h, l, record]) => (u16::from_be_bytes([*h, *l]), *record),
            Some([record]) => (if parent == MF { 0x2F06 } else { 0x6F06 }, *record),
            _ => (0, 0),
        };
        let sfi = match fcp.sfi {
            Some(None) => 0,
            Some(Some(b)) => b >> 3,
            None => defaults.sfi,
        };
        let unit = if records {
            usize::from(record_len)
        } else {
            size
        };
        let index = self.files.len() as u16;
        if let Some(path) = fcp.link_path.as_ref().filter(|p| !p.is_empty()) {
            self.links.push((index, path.clone()));
        }
        self.files.push(Node {
            fid,
            parent,
            kind,
            record_len: if records { record_len } else { 0 },
            sfi,
            rule,
            lcsi: fcp.lcsi.unwrap_or(5),
            pin_references: fcp.pin_status.clone().unwrap_or_default(),
            link: None,
            data: initial(fcp, unit, size),
        });
        Ok(index)
    }

    /// Writes content and returns the position behind it.
    fn fill(&mut self, file: u16, at: usize, content: &[u8], grow: bool) -> Result<usize, u16> {
        let node = self
            .files
            .get_mut(usize::from(file))
            .ok_or(INVALID_FORMAT)?;
        let end = at.saturating_add(content.len());
        if end > MAX_FILE {
            return Err(NOT_ENOUGH_MEMORY);
        }
        if end > node.data.len() {
            let ber = node.kind == Kind::BerTlv;
            if !(grow || ber) {
                return Err(INVALID_PARAMETER);
            }
            let unit = usize::from(node.record_len.max(1));
            node.data.resize(end.next_multiple_of(unit), 0xFF);
        }
        node.data[at..end].copy_from_slice(content);
        Ok(end)
    }
}

/// Content before anything is filled in: per record for record files.
fn initial(fcp: &Fcp, unit: usize, size: usize) -> Vec<u8> {
    let mut data = vec![0xFF; size];
    let p = &fcp.proprietary;
    for chunk in data.chunks_mut(unit.max(1)) {
        if let Some(pattern) = p.repeat_pattern.as_ref().filter(|p| !p.is_empty()) {
            for (b, f) in chunk.iter_mut().zip(pattern.iter().cycle()) {
                *b = *f;
            }
        } else if let Some((last, _)) = p.fill_pattern.as_ref().and_then(|p| p.split_last()) {
            let all = p
                .fill_pattern
                .iter()
                .flatten()
                .chain(core::iter::repeat(last));
            for (b, f) in chunk.iter_mut().zip(all) {
                *b = *f;
            }
        }
    }
    data
}
