//! PEM armour (RFC 7468), lax in what surrounds the blocks, strict in the base64.

use crate::tlv::TlvError;
use alloc::{string::String, vec::Vec};
use base64::{Engine, engine::general_purpose::STANDARD};

/// Why a PEM file can't be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    /// There is no block with the expected label.
    #[error("no PEM block \"{expected}\"")]
    NoBlock {
        /// The label, or labels.
        expected: &'static str,
    },
    /// A block has no end line, or its content is not base64.
    #[error("PEM block is damaged (no END line, or not base64)")]
    Damaged,
    /// The content of the block is not what its label says.
    #[error("content of the PEM block: {0}")]
    Content(#[from] TlvError),
}

/// The PEM blocks of a text: label and content.
pub fn pem_blocks(text: &str) -> impl Iterator<Item = Result<(&str, Vec<u8>), PemError>> {
    let mut rest = text;
    core::iter::from_fn(move || {
        let start = rest.find("-----BEGIN ")?;
        let after = &rest[start + "-----BEGIN ".len()..];
        let block = read_block(after);
        rest = block.map_or("", |(_, _, tail)| tail);
        Some(match block {
            Some((label, body, _)) => {
                let compact: Vec<u8> = body.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
                STANDARD
                    .decode(&compact)
                    .map(|der| (label, der))
                    .map_err(|_| PemError::Damaged)
            }
            None => Err(PemError::Damaged),
        })
    })
}

/// Label, body and what follows the end line.
fn read_block(after_begin: &str) -> Option<(&str, &str, &str)> {
    let (label, body) = after_begin.split_once("-----")?;
    let (body, tail) = body.split_once("-----END ")?;
    Some((label, body, tail.split_once("-----")?.1))
}

/// Writes a PEM block with lines of 64 characters.
#[must_use]
pub fn pem_block(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut out = String::with_capacity(text.len() * 65 / 64 + 2 * label.len() + 34);
    out.push_str("-----BEGIN ");
    out.push_str(label);
    out.push_str("-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        out.push_str(line);
        out.push('\n');
        rest = tail;
    }
    out.push_str("-----END ");
    out.push_str(label);
    out.push_str("-----\n");
    out
}
