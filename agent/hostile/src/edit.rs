//! Edits of answers, as they stand in an input: place, kind, position, length, bytes.
//! Made of an input by [`crate::run`], applied by card and server.

/// Places of edits: data objects by number, then what is around them.
pub(crate) const PLACES: u8 = 40;

/// The JSON of an answer of the server, after its fields were edited: place of the first function.
pub(crate) const JSON: u8 = 30;
/// The HTTP status of the server's answers.
pub(crate) const STATUS: u8 = 35;
/// The R-APDU with the number that the edit's position gives.
pub(crate) const RESPONSE: u8 = 36;

/// Most edits of one input.
const MAX_EDITS: usize = 24;

/// What an edit does to bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Other bytes instead of all of them.
    Replace,
    /// Other bytes over those at a position.
    Overwrite,
    /// Bytes in between.
    Insert,
    /// The end is missing.
    Cut,
}

#[derive(Debug, Clone)]
struct Edit {
    place: u8,
    kind: Kind,
    at: usize,
    bytes: Vec<u8>,
}

/// All edits of an input.
#[derive(Debug, Default)]
pub(crate) struct Edits {
    edits: Vec<Edit>,
}

impl Edits {
    /// Reads as many edits as there are; an incomplete one takes what is left.
    pub(crate) fn parse(mut data: &[u8]) -> Self {
        let mut edits = Vec::new();
        while let [place, kind, high, low, length, rest @ ..] = data {
            let length = usize::from(*length).min(rest.len());
            let (bytes, rest) = rest.split_at(length);
            edits.push(Edit {
                place: place % PLACES,
                kind: match kind % 4 {
                    0 => Kind::Replace,
                    1 => Kind::Overwrite,
                    2 => Kind::Insert,
                    _ => Kind::Cut,
                },
                at: usize::from(u16::from_be_bytes([*high, *low])),
                bytes: bytes.to_vec(),
            });
            if edits.len() == MAX_EDITS {
                break;
            }
            data = rest;
        }
        Self { edits }
    }

    /// Applies all edits of a place.
    pub(crate) fn apply(&self, place: u8, bytes: &mut Vec<u8>) {
        for edit in self.edits.iter().filter(|e| e.place == place) {
            edit.apply(bytes);
        }
    }

    /// The R-APDU that an edit puts in place of the one with this number.
    pub(crate) fn response(&self, number: usize) -> Option<&[u8]> {
        let mut edits = self.edits.iter().filter(|e| e.place == RESPONSE);
        let found = edits.find(|e| e.at == number);
        found.map(|e| e.bytes.as_slice())
    }

    /// The HTTP status that an edit gives to the answer with this number.
    pub(crate) fn status(&self, number: usize) -> Option<u16> {
        let mut edits = self.edits.iter().filter(|e| e.place == STATUS);
        let found = edits.find(|e| e.at == number)?;
        match found.bytes[..] {
            [high, low, ..] => Some(u16::from_be_bytes([high, low])),
            _ => None,
        }
    }
}

impl Edit {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let at = self.at.min(bytes.len());
        match self.kind {
            Kind::Replace => bytes.clone_from(&self.bytes),
            Kind::Overwrite => {
                for (slot, b) in bytes[at..].iter_mut().zip(&self.bytes) {
                    *slot = *b;
                }
            }
            Kind::Insert => {
                bytes.splice(at..at, self.bytes.iter().copied());
            }
            Kind::Cut => bytes.truncate(at),
        }
    }
}

/// Edits that are worth starting from.
pub(crate) fn examples(place: u8) -> Vec<Vec<u8>> {
    let edit = |kind: u8, at: u16, bytes: &[u8]| {
        let [high, low] = at.to_be_bytes();
        let mut edit = vec![place, kind, high, low, bytes.len() as u8];
        edit.extend_from_slice(bytes);
        edit
    };
    match place {
        STATUS => vec![edit(0, 0, &[1, 0xF4]), edit(0, 2, &[0, 204])],
        RESPONSE => [
            &[0x61, 0x10][..],
            &[0x6C, 0x01],
            &[0x6A, 0x81],
            &[0x91, 0x0B],
            &[],
        ]
        .into_iter()
        .flat_map(|answer| [1u16, 2, 3].map(|at| edit(0, at, answer)))
        .collect(),
        _ => vec![
            edit(1, 3, &[0]),
            edit(1, 8, &[1]),
            edit(2, 5, &[0x80, 1, 0]),
            edit(3, 6, &[]),
            edit(0, 0, &[]),
        ],
    }
}
