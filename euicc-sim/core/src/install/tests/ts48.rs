//! Given the packages of TS.48, then every file is what their value notation says.
use super::{install, ts48};
use crate::fs::{Kind, MF, ProfileImage};
use alloc::{format, string::String, vec, vec::Vec};

/// The value notation as a tree: a name, a value, children.
#[derive(Debug, Clone, Default)]
struct Item {
    name: String,
    value: String,
    children: Vec<Item>,
}

impl Item {
    fn get(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|c| c.name == name)
    }

    /// `'00FF'H`.
    fn bytes(&self) -> Vec<u8> {
        let hex = self.value.trim_end_matches('H').trim_matches('\'');
        hex::decode(hex).unwrap_or_else(|e| panic!("{}: {e}", self.value))
    }

    fn number(&self) -> usize {
        let bytes = self.bytes();
        bytes.iter().fold(0, |n, b| n << 8 | usize::from(*b))
    }
}

/// Reads `name value`, `name { ... }` and `name : value`.
fn parse(text: &str) -> Vec<Item> {
    let spaced = text
        .replace('{', " { ")
        .replace('}', " } ")
        .replace(',', " , ");
    // Texts in quotation marks are not looked at.
    let mut tokens = spaced.split_whitespace().filter(|t| *t != ":").peekable();
    fn items<'a>(tokens: &mut core::iter::Peekable<impl Iterator<Item = &'a str>>) -> Vec<Item> {
        let mut all = Vec::new();
        let mut item = Item::default();
        while let Some(token) = tokens.next() {
            match token {
                "{" => item.children = items(tokens),
                "}" | "," => {
                    if !item.name.is_empty() || !item.children.is_empty() {
                        all.push(core::mem::take(&mut item));
                    }
                    if token == "}" {
                        return all;
                    }
                }
                token if item.name.is_empty() => item.name = token.into(),
                token => {
                    item.value.push_str(token);
                }
            }
        }
        all
    }
    items(&mut tokens)
}

/// The profile elements: kind, and fields.
fn elements(notation: &str) -> Vec<Item> {
    notation
        .split("ProfileElement ::= ")
        .skip(1)
        .map(|text| {
            let (kind, rest) = text.split_once(':').unwrap();
            let end = rest.rfind('}').unwrap();
            let start = rest.find('{').unwrap();
            Item {
                name: kind.trim().into(),
                value: String::new(),
                children: parse(&format!("{}}}", &rest[start + 1..end])),
            }
        })
        .collect()
}

/// One file as the notation has it.
#[derive(Debug, Default)]
struct Expected {
    fcp: Item,
    /// Offset and content.
    fills: Vec<(usize, Vec<u8>)>,
    position: usize,
}

impl Expected {
    fn new(fcp: &Item) -> Self {
        Self {
            fcp: fcp.clone(),
            ..Self::default()
        }
    }

    fn take(&mut self, command: &Item) {
        match command.name.as_str() {
            "fillFileOffset" => self.position += command.value.parse::<usize>().unwrap(),
            "fillFileContent" => {
                let bytes = command.bytes();
                let len = bytes.len();
                self.fills.push((self.position, bytes));
                self.position += len;
            }
            other => panic!("{other}"),
        }
    }

    /// What the file must contain, if it is as long as this.
    fn content(&self, len: usize, record: usize) -> Vec<u8> {
        let unit = if record > 0 { record } else { len };
        let info = self.fcp.get("proprietaryEFInfo");
        let pattern = |name| info.and_then(|i| i.get(name)).map(Item::bytes);
        let mut one = vec![0xFF; unit];
        if let Some(p) = pattern("fillPattern") {
            for (i, b) in one.iter_mut().enumerate() {
                *b = p[i.min(p.len() - 1)];
            }
        }
        if let Some(p) = pattern("repeatPattern") {
            for (i, b) in one.iter_mut().enumerate() {
                *b = p[i % p.len()];
            }
        }
        let mut all: Vec<u8> = one.iter().copied().cycle().take(len).collect();
        for (at, bytes) in &self.fills {
            all[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        all
    }
}

/// Compares one file; template defaults apply where the notation is silent.
fn compare(image: &ProfileImage, file: u16, expected: &Expected, at: &str) {
    let node = image.node(file).unwrap();
    let field = |name: &str| expected.fcp.get(name).map(Item::bytes);
    if let Some(fid) = field("fileID") {
        assert_eq!(node.fid.to_be_bytes()[..], fid[..], "{at}");
    }
    assert_eq!(node.lcsi, field("lcsi").map_or(5, |b| b[0]), "{at}");
    if let Some(rule) = field("securityAttributesReferenced") {
        let own = [(node.rule.0 >> 8) as u8, node.rule.0 as u8, node.rule.1];
        assert_eq!(rule, own, "{at}");
    }
    let fcp = hex::encode(crate::fs::fcp(image, file));
    if let Some(keys) = field("pinStatusTemplateDO") {
        assert_eq!(image.pin_references(file), keys, "{at}");
        let listed: String = keys.iter().map(|k| format!("8301{k:02x}")).collect();
        assert!(fcp.contains(&listed), "{at}: {fcp}");
    }
    if node.is_directory() {
        if let Some(aid) = field("dfName") {
            assert_eq!(image.aid(file), Some(&aid[..]), "{at}");
            assert!(fcp.contains(&format!("84{:02x}{}", aid.len(), hex::encode(&aid))));
        }
        return;
    }
    match field("shortEFID") {
        Some(sfi) if sfi.is_empty() => assert_eq!(node.sfi, 0, "{at}"),
        Some(sfi) => assert_eq!(node.sfi << 3, sfi[0], "{at}"),
        None => {}
    }
    let special = expected.fcp.get("proprietaryEFInfo");
    let special = special.and_then(|i| i.get("specialFileInformation"));
    assert_eq!(node.special, special.map_or(0, |s| s.bytes()[0]), "{at}");
    if let Some(path) = field("linkPath") {
        let target = image.walk(MF, &path).unwrap();
        assert_eq!(image.content_of(file), image.content_of(target), "{at}");
        return;
    }
    if let Some(descriptor) = field("fileDescriptor") {
        assert!(fcp.contains(&hex::encode(&descriptor[..2])), "{at}: {fcp}");
        if descriptor.len() == 4 {
            assert_eq!(
                usize::from(node.record_len),
                usize::from(descriptor[3]),
                "{at}"
            );
        }
        assert_eq!(descriptor[0], node.descriptor, "{at}");
    }
    if node.kind == Kind::BerTlv {
        let size = expected.fcp.get("efFileSize").unwrap().number();
        assert_eq!(node.reserved as usize, size, "{at}");
        let filled: Vec<u8> = expected.fills.iter().flat_map(|(_, b)| b.clone()).collect();
        assert_eq!(node.data.to_vec(), filled, "{at}");
        return;
    }
    if let Some(size) = expected.fcp.get("efFileSize") {
        assert_eq!(node.data.len(), size.number(), "{at}");
    }
    let content = expected.content(node.data.len(), usize::from(node.record_len));
    let silent = expected.fills.is_empty()
        && expected
            .fcp
            .get("proprietaryEFInfo")
            .is_none_or(|i| i.get("fillPattern").is_none() && i.get("repeatPattern").is_none());
    if !silent {
        // Between what is filled in, a template may have put something else than FF.
        let got = node.data.to_vec();
        for (at_byte, bytes) in &expected.fills {
            assert_eq!(got[*at_byte..at_byte + bytes.len()], bytes[..], "{at}");
        }
        if expected.fills.is_empty() {
            assert_eq!(hex::encode(&got), hex::encode(&content), "{at}");
        }
    }
}

/// Walks the notation and compares; returns how many files were seen.
fn check(image: &ProfileImage, notation: &str) -> usize {
    let mut seen = 0;
    let mut base = MF;
    for element in elements(notation) {
        if element.name == "genericFileManagement" {
            seen += check_management(image, &element);
            continue;
        }
        let templated = element.get("templateID").is_some();
        if !templated {
            continue;
        }
        let mut current = match element.name.as_str() {
            "mf" | "telecom" | "usim" | "isim" | "csim" => MF,
            _ => base,
        };
        let first = current;
        for component in &element.children {
            if component.name.ends_with("eader") || component.name == "templateID" {
                continue;
            }
            let at = format!("{} {}", element.name, component.name);
            let mut expected = Expected::default();
            for command in &component.children {
                match command.name.as_str() {
                    "fileDescriptor" => expected.fcp = command.clone(),
                    _ => expected.take(command),
                }
            }
            let name = component.name.as_str();
            let directory = name == "mf" || name.starts_with("df-") || name.starts_with("adf-");
            let fid = expected.fcp.get("fileID").map(|f| f.number() as u16);
            let file = if name == "mf" {
                MF
            } else {
                let nested = directory && current != first && element.name == "telecom";
                let parent = if nested {
                    image.walk(MF, &[0x7F, 0x10]).unwrap()
                } else {
                    current
                };
                let fid = fid.unwrap_or_else(|| panic!("{at}: no fileID"));
                let found = image.child(parent, fid);
                found.unwrap_or_else(|| panic!("{at}: {fid:04X} is not there"))
            };
            compare(image, file, &expected, &at);
            seen += 1;
            if directory {
                current = file;
                if name.starts_with("adf-") {
                    base = file;
                }
            }
        }
    }
    seen
}

fn check_management(image: &ProfileImage, element: &Item) -> usize {
    let mut seen = 0;
    for list in &element.get("fileManagementCMD").unwrap().children {
        let mut parent = MF;
        let mut open: Option<Expected> = None;
        let mut finish = |open: &mut Option<Expected>, parent: u16| {
            if let Some(expected) = open.take() {
                let fid = expected.fcp.get("fileID").unwrap().number() as u16;
                let file = image.child(parent, fid);
                let file = file.unwrap_or_else(|| panic!("{fid:04X} is not there"));
                compare(image, file, &expected, &format!("gfm {fid:04X}"));
                seen += 1;
            }
        };
        for command in &list.children {
            match command.name.as_str() {
                "filePath" => {
                    finish(&mut open, parent);
                    parent = image.walk(MF, &command.bytes()).unwrap();
                }
                "createFCP" => {
                    finish(&mut open, parent);
                    open = Some(Expected::new(command));
                }
                _ => open.as_mut().unwrap().take(command),
            }
        }
        finish(&mut open, parent);
    }
    seen
}

#[test]
fn every_file_is_what_the_value_notation_says() {
    for (name, der, notation) in ts48() {
        let image = install(&der).unwrap_or_else(|e| panic!("{name}: {e}"));
        let seen = check(&image, &notation);
        // Every fileDescriptor and createFCP of the notation was looked at.
        let wanted =
            notation.matches("createFCP").count() + notation.matches("fileDescriptor : {").count();
        assert_eq!(seen, wanted, "{name}");
        assert!(seen > 200, "{name}: {seen}");
        assert_eq!(image.imsi().as_deref(), Some("001010123456789"));
        assert_eq!(image.applications.len(), 3, "{name}");
        assert_eq!((image.keys.len(), image.puks.len()), (2, 2), "{name}");
    }
}
