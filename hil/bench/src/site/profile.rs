//! The profile that a set-up serves: one of our own, or a file; and what must be true of the SIM that
//! it becomes.

use super::random;
use aid_cli::cli::Failure;
use aid_rsp::saip::{
    self, AkaAlgorithm, AkaConfiguration, ProfileElement, ProfileHeader,
    builder::{Algorithm, ProfileBuilder},
};
use std::path::Path;

/// Largest profile file read, bytes.
const MAX_FILE: u64 = 4 << 20;

/// Keys of AUTHENTICATE, for an independent computation.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Aka {
    /// Milenage with K and OPc.
    Milenage {
        /// K.
        k: [u8; 16],
        /// OPc.
        opc: [u8; 16],
    },
    /// The test algorithm of TS 34.108 with K.
    Xor {
        /// K.
        k: [u8; 16],
    },
}

impl Aka {
    /// Name for people.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Milenage { .. } => "Milenage",
            Self::Xor { .. } => "XOR test algorithm",
        }
    }
}

impl std::fmt::Debug for Aka {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A profile and what is known of it.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    /// SAIP package, DER.
    pub(crate) package: Vec<u8>,
    /// Digits.
    pub(crate) iccid: String,
    /// Digits.
    pub(crate) imsi: String,
    /// Keys.
    pub(crate) aka: Aka,
    /// First sequence number that the SIM accepts, without its index.
    pub(crate) next_sequence: u64,
}

impl Subject {
    /// Builds a profile with keys and numbers of its own.
    pub(crate) fn build() -> Result<Self, Failure> {
        let (k, opc) = (random::bytes()?, random::bytes()?);
        let iccid = random::iccid()?;
        // 001-01 is the test network.
        let imsi = format!("00101{}", random::digits(10)?);
        let package =
            ProfileBuilder::new(iccid.clone(), imsi.clone(), Algorithm::Milenage { k, opc })
                .build()?;
        Ok(Self {
            package,
            iccid,
            imsi,
            aka: Aka::Milenage { k, opc },
            next_sequence: 1,
        })
    }

    /// Reads a profile and judges whether the card can take it.
    pub(crate) fn from_file(file: &Path) -> Result<Self, Failure> {
        let name = file.display();
        let read = |e: std::io::Error| {
            Failure::new(format!(
                "cannot read the profile {name}: {e}; give a SAIP package in DER, such as those of TS.48"
            ))
        };
        let length = std::fs::metadata(file).map_err(read)?.len();
        if length > MAX_FILE {
            return Err(Failure::new(format!(
                "{name} has {length} bytes; a profile package has at most {MAX_FILE}"
            )));
        }
        let package = std::fs::read(file).map_err(read)?;
        let wrong = |e: &dyn std::fmt::Display| {
            Failure::new(format!(
                "{name} is no SAIP profile package in DER: {e}; give one such as the .der files of TS.48"
            ))
        };
        let header = ProfileHeader::of_package(&package).map_err(|e| wrong(&e))?;
        if let Some(reason) = aid_euicc::install::not_offered(&header) {
            return Err(Failure::new(format!(
                "{name} {reason}; give a package without it, such as those of TS.48 V5 or later"
            )));
        }
        let elements = saip::elements(&package).map_err(|e| wrong(&e))?;
        let (aka, next_sequence) = elements
            .iter()
            .find_map(aka_of)
            .ok_or_else(|| wrong(&"it has no AKA parameters"))?
            .map_err(|e| wrong(&e))?;
        let imsi = imsi_of(&package).map_err(|e| wrong(&e))?;
        Ok(Self {
            iccid: header.iccid_digits(),
            package,
            imsi,
            aka,
            next_sequence,
        })
    }
}

fn aka_of(element: &ProfileElement) -> Option<Result<(Aka, u64), String>> {
    let ProfileElement::AkaParameter(_, aka) = element else {
        return None;
    };
    let AkaConfiguration::Algorithm(parameter) = &aka.configuration else {
        return None;
    };
    let sixteen = |bytes: &[u8]| {
        <[u8; 16]>::try_from(bytes)
            .map_err(|_| format!("its key has {} bytes, not 16", bytes.len()))
    };
    let keys = match parameter.algorithm {
        AkaAlgorithm::Milenage => sixteen(&parameter.key).and_then(|k| {
            Ok(Aka::Milenage {
                k,
                opc: sixteen(&parameter.opc)?,
            })
        }),
        AkaAlgorithm::UsimTest => sixteen(&parameter.key).map(|k| Aka::Xor { k }),
        AkaAlgorithm::Tuak => {
            Err("it wants TUAK, which the network of the bench does not have".into())
        }
    };
    let last = aka.sqn_init.iter().copied().max().unwrap_or_default();
    Some(keys.map(|keys| (keys, last + 1)))
}

/// The IMSI of a package, by installing it into memory.
fn imsi_of(package: &[u8]) -> Result<String, String> {
    let mut installer = aid_euicc::install::ProfileInstaller::new();
    let mut splitter = saip::PeSplitter::new();
    splitter.push(package);
    while let Some(element) = splitter.next_pe().map_err(|e| e.to_string())? {
        installer.push(&element).map_err(|e| e.to_string())?;
    }
    let image = installer.finish().map_err(|e| e.to_string())?;
    image.imsi().ok_or_else(|| "it has no IMSI".to_owned())
}
