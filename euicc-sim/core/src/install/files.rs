//! Files: from templates and from GenericFileManagement.
//! TCA eUICC Profile Package §8.3.

use super::shape::{Shape, fill};
use super::template::Template;
use super::{Pattern, ProfileInstaller, code, has_rules_of_mf};
use crate::fs::{ACTIVATED, Content, Kind, MAX_FILE, MF, Node, ProfileImage};
use aid_rsp::saip::{Fcp, FileCommand, FilePe, GfmCommand, PeHeader, PeKind};
use alloc::{vec, vec::Vec};

/// Most files in a profile.
const MAX_FILES: usize = 1_000;
/// Most bytes of content in a profile.
const MAX_CONTENT: usize = 1024 * 1024;

/// What is known of a file before the package speaks.
struct Defaults {
    fid: u16,
    shape: Shape,
    rule: u8,
    sfi: Option<u8>,
    pattern: Pattern,
}

impl Defaults {
    /// In GenericFileManagement only the package speaks.
    const fn none(shape: Shape) -> Self {
        Self {
            fid: 0,
            shape,
            rule: 0,
            sfi: None,
            pattern: Pattern::Fill(&[0xFF]),
        }
    }
}

impl ProfileInstaller {
    pub(super) fn template_files(&mut self, header: PeHeader, pe: &FilePe) -> Result<(), u16> {
        let template = Template::find(&pe.template).filter(|t| t.kind() == pe.kind);
        let Some(template) = template else {
            // The minimal profile of IoT, and whatever comes later.
            return match header.mandated {
                true => Err(code::TEMPLATE_NOT_SUPPORTED),
                false => Ok(()),
            };
        };
        let base = self.base(pe.kind)?;
        let has = |component: &u32| pe.files.iter().any(|(n, _)| n == component);
        if !mandatory(pe.kind).iter().all(has) {
            return Err(code::INVALID_FORMAT);
        }
        let mut first = base;
        let mut current = base;
        for (component, commands) in components(template, pe) {
            if commands.contains(&FileCommand::DoNotCreate) && pe.kind != PeKind::Mf {
                continue;
            }
            let row = template
                .row(component)
                .ok_or(code::TEMPLATE_NOT_SUPPORTED)?;
            let defaults = Defaults {
                fid: row.1,
                shape: row.2,
                rule: row.3,
                sfi: Some(row.4),
                pattern: row.5,
            };
            let directory = row.2 == Shape::Dir;
            let parent = match (directory, component) {
                (true, 2) => base,
                (true, _) => first,
                (false, _) => current,
            };
            let file = self.files_of(parent, &commands, &defaults)?;
            if directory {
                current = file;
                if component == 2 {
                    first = file;
                }
            }
        }
        match pe.kind {
            PeKind::Usim => self.usim = Some(first),
            PeKind::Isim => self.isim = Some(first),
            PeKind::Csim => self.csim = Some(first),
            _ => {}
        }
        if matches!(pe.kind, PeKind::Usim | PeKind::Isim | PeKind::Csim) {
            self.application = first;
        }
        self.directory = first;
        Ok(())
    }

    /// Where the files of an element go.
    fn base(&self, kind: PeKind) -> Result<u16, u16> {
        let base = match kind {
            // A second MF is one too many.
            PeKind::Mf => self.image.is_none().then_some(MF),
            PeKind::OptIsim => self.isim,
            PeKind::OptCsim => self.csim,
            PeKind::Eap => (self.application != MF).then_some(self.application),
            PeKind::Cd | PeKind::Telecom | PeKind::Usim | PeKind::Isim | PeKind::Csim => {
                self.image.is_some().then_some(MF)
            }
            _ => self.usim,
        };
        base.ok_or(code::INVALID_FORMAT)
    }

    /// The file of one component, or the files: each further descriptor begins another one.
    fn files_of(
        &mut self,
        parent: u16,
        commands: &[FileCommand],
        defaults: &Defaults,
    ) -> Result<u16, u16> {
        let empty = Fcp::default();
        let begins = |c: &FileCommand| matches!(c, FileCommand::Descriptor(_));
        let mut last = None;
        let (mut position, mut grow) = (0, false);
        // Content without a descriptor goes into a file with the template's attributes.
        if !commands.first().is_some_and(begins) {
            last = Some(self.create(parent, &empty, defaults)?);
            if commands.is_empty() {
                self.defaulted.extend(last);
            }
            grow = !has_size(&empty, defaults.shape);
        }
        for command in commands {
            match command {
                FileCommand::Descriptor(fcp) => {
                    last = Some(self.create(parent, fcp, defaults)?);
                    position = 0;
                    grow = !has_size(fcp, defaults.shape);
                }
                FileCommand::Skip(n) => position += usize::from(*n),
                FileCommand::Content(c) => {
                    let file = last.ok_or(code::INVALID_FORMAT)?;
                    position = self.fill(file, position, c, grow)?;
                }
                FileCommand::DoNotCreate => {}
            }
        }
        last.ok_or(code::INVALID_FORMAT)
    }

    pub(super) fn manage(&mut self, commands: &[GfmCommand]) -> Result<(), u16> {
        let mut parent = MF;
        let mut file = None;
        let mut position = 0;
        for command in commands {
            match command {
                GfmCommand::Path(path) => {
                    let at = self.walk(path).ok_or(code::INVALID_PARAMETER)?;
                    let node = self.image()?.node(at).ok_or(code::INVALID_PARAMETER)?;
                    // The path of an EF is for filling it.
                    (parent, file) = match node.is_directory() {
                        true => (at, None),
                        false => (node.parent, Some(at)),
                    };
                    position = 0;
                }
                GfmCommand::Create(fcp) => {
                    let shape = match fcp.descriptor.as_deref() {
                        Some([b, ..]) if b & 0x3F == 0x38 => Shape::Dir,
                        Some(_) => Shape::T(0),
                        None => return Err(code::INVALID_PARAMETER),
                    };
                    let sized = fcp.size.is_some() || fcp.link_path.is_some();
                    if shape != Shape::Dir && !sized {
                        return Err(code::INVALID_PARAMETER);
                    }
                    file = Some(self.create(parent, fcp, &Defaults::none(shape))?);
                    position = 0;
                }
                GfmCommand::Skip(n) => position += usize::from(*n),
                GfmCommand::Content(c) => {
                    let file = file.ok_or(code::INVALID_FORMAT)?;
                    position = self.fill(file, position, c, false)?;
                }
            }
        }
        Ok(())
    }

    /// A path of the package: file identifiers from the MF, ADFs by their temporary ones.
    pub(super) fn walk(&self, path: &[u8]) -> Option<u16> {
        let image = self.image.as_ref()?;
        let path = path.strip_prefix(&[0x3F, 0x00]).unwrap_or(path);
        image.walk(MF, path)
    }

    fn create(&mut self, parent: u16, fcp: &Fcp, defaults: &Defaults) -> Result<u16, u16> {
        let is_mf = self.image.is_none();
        let fid = fcp.file_id.unwrap_or(defaults.fid);
        if fid == 0 && !(defaults.shape == Shape::Dir && fcp.df_name.is_some()) {
            return Err(code::INVALID_PARAMETER);
        }
        let (kind, descriptor, record_len) = kind(fcp, defaults.shape)?;
        let is_link = fcp.link_path.as_ref().is_some_and(|p| !p.is_empty());
        let size = size(fcp, defaults.shape, kind, record_len);
        if size > MAX_FILE {
            return Err(code::NOT_ENOUGH_MEMORY);
        }
        let (content, reserved) = match kind {
            _ if is_link => (Vec::new(), 0),
            Kind::Df | Kind::Adf => (Vec::new(), 0),
            Kind::BerTlv => {
                let reserved = fcp.proprietary.maximum_size.or(fcp.size).unwrap_or(0);
                (Vec::new(), reserved.min(MAX_FILE as u32))
            }
            _ => (initial(fcp, defaults.pattern, record_len, size), 0),
        };
        self.size += content.len() + reserved as usize;
        let node = Node {
            fid,
            parent,
            kind,
            descriptor,
            record_len,
            sfi: sfi(fcp, defaults, kind, fid),
            rule: rule(fcp, defaults, parent)?,
            lcsi: fcp.lcsi.unwrap_or(ACTIVATED),
            special: fcp.proprietary.special.unwrap_or(0),
            link: None,
            reserved,
            data: Content::new(&content),
        };
        if is_mf {
            let mut image = ProfileImage::bare();
            image.files[0] = node;
            self.image = Some(image);
            self.templates(MF, fcp)?;
            return Ok(MF);
        }
        let index = self.place(node)?;
        if let Some(path) = fcp.link_path.as_ref().filter(|_| is_link) {
            self.links.push((index, path.clone()));
        }
        if kind == Kind::Adf {
            let aid = fcp.df_name.clone().unwrap_or_default();
            let image = self.image()?;
            if image.applications.iter().any(|(_, known)| *known == aid) {
                return Err(code::INVALID_PARAMETER);
            }
            image.applications.push((index, aid));
        }
        self.templates(index, fcp)?;
        Ok(index)
    }

    /// Puts a file into the tree: as a new one, or over one that only a template had made.
    fn place(&mut self, node: Node) -> Result<u16, u16> {
        let known = self.image()?.child(node.parent, node.fid);
        // An ADF needs no identifier.
        let known = known.filter(|_| node.fid != 0);
        if self.size > MAX_CONTENT {
            return Err(code::NOT_ENOUGH_MEMORY);
        }
        if let Some(known) = known {
            let at = self.defaulted.iter().position(|f| *f == known);
            self.defaulted.swap_remove(at.ok_or(code::FILE_EXISTS)?);
            self.image()?.files[usize::from(known)] = node;
            return Ok(known);
        }
        let image = self.image()?;
        if image.files.len() >= MAX_FILES {
            return Err(code::NOT_ENOUGH_MEMORY);
        }
        image.files.push(node);
        Ok((image.files.len() - 1) as u16)
    }

    fn templates(&mut self, directory: u16, fcp: &Fcp) -> Result<(), u16> {
        if let Some(keys) = fcp.pin_status.as_ref().filter(|k| !k.is_empty()) {
            self.image()?.pin_templates.push((directory, keys.clone()));
        }
        Ok(())
    }

    /// Writes content and returns the position behind it.
    fn fill(&mut self, file: u16, at: usize, content: &[u8], grow: bool) -> Result<usize, u16> {
        let end = at.saturating_add(content.len());
        if end > MAX_FILE {
            return Err(code::NOT_ENOUGH_MEMORY);
        }
        let image = self.image()?;
        let node = image.files.get_mut(usize::from(file));
        let node = node.ok_or(code::INVALID_FORMAT)?;
        if node.is_directory() {
            return Err(code::INVALID_PARAMETER);
        }
        let mut bytes = node.data.to_vec();
        let before = bytes.len();
        if end > bytes.len() {
            let room = node.kind == Kind::BerTlv && end <= node.reserved as usize;
            if !(grow || room) {
                return Err(code::INVALID_PARAMETER);
            }
            let unit = usize::from(node.record_len.max(1));
            bytes.resize(end.next_multiple_of(unit), 0xFF);
        }
        bytes[at..end].copy_from_slice(content);
        let grown = bytes.len() - before;
        node.data = Content::new(&bytes);
        self.size += grown;
        if self.size > MAX_CONTENT {
            return Err(code::NOT_ENOUGH_MEMORY);
        }
        Ok(end)
    }
}

/// The components of an element in the order of the template; those that it creates by default are
/// there with no commands, if the template knows all about them.
fn components(template: Template, pe: &FilePe) -> Vec<(u32, Vec<FileCommand>)> {
    let mut all = pe.files.clone();
    if template.is_by_default() {
        for row in template.rows() {
            let component = u32::from(row.0);
            let complete = matches!(
                template.of_version(*row).2,
                Shape::T(1..) | Shape::L(1.., 1..)
            );
            if complete && all.iter().all(|(n, _)| *n != component) {
                all.push((component, Vec::new()));
            }
        }
        all.sort_by_key(|(n, _)| *n);
    }
    all
}

/// Components that PEDefinitions does not call optional.
const fn mandatory(kind: PeKind) -> &'static [u32] {
    match kind {
        PeKind::Mf => &[2, 4, 5, 6],
        PeKind::Usim => &[2, 3, 4, 8, 13, 14, 18, 22],
        PeKind::Isim => &[2, 3, 4, 5, 6, 8],
        PeKind::OptUsim | PeKind::OptIsim | PeKind::OptCsim => &[],
        _ => &[2],
    }
}

/// Is the size of the file known, from the package or the template?
const fn has_size(fcp: &Fcp, shape: Shape) -> bool {
    fcp.size.is_some() || !matches!(shape, Shape::T(0) | Shape::L(0, _) | Shape::C(0, _))
}

/// Kind, first byte of the file descriptor, record length.
fn kind(fcp: &Fcp, shape: Shape) -> Result<(Kind, u8, u8), u16> {
    if shape == Shape::Dir {
        let kind = match fcp.df_name {
            Some(_) => Kind::Adf,
            None => Kind::Df,
        };
        return Ok((kind, 0x78, 0));
    }
    let descriptor = fcp.descriptor.as_deref().unwrap_or(&[]);
    let (kind, byte) = match (descriptor.first(), shape) {
        (Some(b @ (0x39 | 0x79)), _) => (Kind::BerTlv, *b),
        (Some(b), _) => match b & 0x3F {
            0x01 => (Kind::Transparent, *b),
            0x02 => (Kind::Linear, *b),
            0x06 => (Kind::Cyclic, *b),
            _ => return Err(code::BAD_VALUES),
        },
        (None, Shape::L(..)) => (Kind::Linear, 0x42),
        (None, Shape::C(..)) => (Kind::Cyclic, 0x46),
        (None, Shape::B) => (Kind::BerTlv, 0x79),
        (None, _) => (Kind::Transparent, 0x41),
    };
    if !matches!(kind, Kind::Linear | Kind::Cyclic) {
        return Ok((kind, byte, 0));
    }
    let length = match (descriptor, shape) {
        ([_, _, h, l], _) => u16::from_be_bytes([*h, *l]),
        ([_, _, l], _) => u16::from(*l),
        (_, Shape::L(_, len) | Shape::C(_, len)) => u16::from(len),
        _ => 0,
    };
    match u8::try_from(length) {
        Ok(len) if len > 0 => Ok((kind, byte, len)),
        _ => Err(code::BAD_VALUES),
    }
}

/// Size in bytes; at least one record.
fn size(fcp: &Fcp, shape: Shape, kind: Kind, record_len: u8) -> usize {
    let default = match shape {
        Shape::T(size) => usize::from(size),
        Shape::L(records, _) | Shape::C(records, _) => {
            usize::from(records) * usize::from(record_len)
        }
        Shape::Dir | Shape::B => 0,
    };
    let size = fcp.size.map_or(default, |s| s as usize);
    match kind {
        Kind::Linear | Kind::Cyclic => {
            let len = usize::from(record_len);
            size.max(len).next_multiple_of(len)
        }
        _ => size,
    }
}

/// Content before anything is filled in: per record for record files.
fn initial(fcp: &Fcp, pattern: Pattern, record_len: u8, size: usize) -> Vec<u8> {
    let unit = match record_len {
        0 => size,
        len => usize::from(len),
    };
    let p = &fcp.proprietary;
    let one = match (p.repeat_pattern.as_deref(), p.fill_pattern.as_deref()) {
        (Some(repeat), _) => repeat.iter().copied().cycle().take(unit).collect(),
        (_, Some(head)) => fill(head, unit),
        _ => pattern.bytes(unit),
    };
    match one.is_empty() {
        true => vec![0xFF; size],
        false => one.iter().copied().cycle().take(size).collect(),
    }
}

/// Short file identifier: the package's, the template's, or the last five bits of the identifier.
fn sfi(fcp: &Fcp, defaults: &Defaults, kind: Kind, fid: u16) -> u8 {
    if matches!(kind, Kind::Df | Kind::Adf) {
        return 0;
    }
    match (fcp.sfi, defaults.sfi) {
        (Some(given), _) => given.map_or(0, |b| b >> 3),
        (None, Some(of_template)) => of_template,
        // 0 and 31 are no identifiers.
        (None, None) => ((fid & 0x1F) as u8) % 31,
    }
}

/// EF.ARR and record: given in full, the record alone, or from the template.
fn rule(fcp: &Fcp, defaults: &Defaults, parent: u16) -> Result<(u16, u8), u16> {
    let implied = if has_rules_of_mf(parent) {
        0x2F06
    } else {
        0x6F06
    };
    match fcp.security.as_deref() {
        Some([h, l, record]) => Ok((u16::from_be_bytes([*h, *l]), *record)),
        Some([record]) => Ok((implied, *record)),
        None => Ok((implied, defaults.rule)),
        Some(_) => Err(code::BAD_VALUES),
    }
}

/// Links lead to files that are no links themselves; they look like their targets.
pub(super) fn resolve_links(image: &mut ProfileImage, links: &[(u16, Vec<u8>)]) -> Result<(), u16> {
    let mut targets = Vec::with_capacity(links.len());
    for (file, path) in links {
        let path = path.strip_prefix(&[0x3F, 0x00]).unwrap_or(path);
        let target = image.walk(MF, path).filter(|t| t != file);
        targets.push((*file, target.ok_or(code::INVALID_PARAMETER)?));
    }
    for (file, mut target) in targets.iter().copied() {
        // A link to a link leads to the end of the chain.
        for _ in 0..targets.len() {
            match targets.iter().find(|(f, _)| *f == target) {
                Some((_, next)) => target = *next,
                None => break,
            }
        }
        let of = image.node(target).cloned().ok_or(code::INVALID_PARAMETER)?;
        let node = &mut image.files[usize::from(file)];
        let circle = targets.iter().any(|(f, _)| *f == target);
        if circle || node.is_directory() != of.is_directory() {
            return Err(code::INVALID_PARAMETER);
        }
        if !node.is_directory() {
            node.kind = of.kind;
            node.descriptor = of.descriptor;
            node.record_len = of.record_len;
        }
        node.link = Some(target);
    }
    Ok(())
}
