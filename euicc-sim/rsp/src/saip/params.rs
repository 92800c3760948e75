//! PIN codes, PUK codes and the authentication algorithm of an application.
//! TCA eUICC Profile Package §8.4, §8.5.  Debug hides every secret.

use super::{SaipError, each, fixed, number};
use alloc::vec::Vec;
use core::fmt;

/// PINConfiguration.
#[derive(Clone, PartialEq, Eq)]
pub struct PinConfiguration {
    /// keyReference: P2 of VERIFY PIN (01..08 global, 0A.. ADM, 81..88 local).
    pub key_reference: u8,
    /// pinValue, padded with FF.
    pub value: [u8; 8],
    /// unblockingPINReference.
    pub unblocking: Option<u8>,
    /// pinAttributes: bit 1 enabled, bit 2 may not be disabled... as coded, 7 by default.
    pub attributes: u8,
    /// Attempts in all, and left.
    pub attempts: (u8, u8),
}

/// PE-PINCodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PinCodes {
    /// pinconfig: the codes of the current directory.
    Codes(Vec<PinConfiguration>),
    /// filePath: the codes are those of another directory.
    SharedWith(Vec<u8>),
}

/// PUKConfiguration.
#[derive(Clone, PartialEq, Eq)]
pub struct PukConfiguration {
    /// keyReference.
    pub key_reference: u8,
    /// pukValue.
    pub value: [u8; 8],
    /// Attempts in all, and left.
    pub attempts: (u8, u8),
}

impl fmt::Debug for PinConfiguration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PinConfiguration({:02X}, ****)", self.key_reference)
    }
}

impl fmt::Debug for PukConfiguration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PukConfiguration({:02X}, ****)", self.key_reference)
    }
}

const fn attempts(n: u64) -> (u8, u8) {
    ((n >> 4) as u8 & 15, n as u8 & 15)
}

impl PinCodes {
    pub(super) fn parse(value: &[u8], base: usize) -> Result<Self, SaipError> {
        let mut out = None;
        each(value, base, |f, at| {
            if f.tag != 0xA1 {
                return Ok(());
            }
            each(f.value, at + 2, |choice, at| {
                out = match choice.tag {
                    0xA0 => {
                        let mut codes = Vec::new();
                        each(choice.value, at + 2, |c, at| {
                            codes.push(PinConfiguration::parse(c.value, at + 2)?);
                            Ok(())
                        })?;
                        Some(Self::Codes(codes))
                    }
                    0x81 => Some(Self::SharedWith(choice.value.to_vec())),
                    got => {
                        return Err(SaipError::Unexpected {
                            offset: at,
                            expected: "pinconfig or filePath",
                            got,
                        });
                    }
                };
                Ok(())
            })
        })?;
        out.ok_or(SaipError::Missing { what: "pinCodes" })
    }
}

impl PinConfiguration {
    fn parse(value: &[u8], base: usize) -> Result<Self, SaipError> {
        let (mut key, mut pin, mut unblocking, mut attributes, mut left) =
            (None, None, None, 7, 51);
        each(value, base, |f, at| {
            match f.tag {
                0x80 => key = Some(number(&f, at, 255, "PIN keyReference")? as u8),
                0x81 => pin = Some(fixed(&f, at, "pinValue")?),
                0x82 => unblocking = Some(number(&f, at, 255, "unblockingPINReference")? as u8),
                0x83 => attributes = number(&f, at, 255, "pinAttributes")? as u8,
                0x84 => left = number(&f, at, 255, "maxNumOfAttemps-retryNumLeft")?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(Self {
            key_reference: key.ok_or(SaipError::Missing {
                what: "PIN keyReference",
            })?,
            value: pin.ok_or(SaipError::Missing { what: "pinValue" })?,
            unblocking,
            attributes,
            attempts: attempts(left),
        })
    }
}

impl PukConfiguration {
    pub(super) fn parse_all(value: &[u8], base: usize) -> Result<Vec<Self>, SaipError> {
        let mut out = Vec::new();
        each(value, base, |f, at| {
            if f.tag != 0xA1 {
                return Ok(());
            }
            each(f.value, at + 2, |c, at| {
                let (mut key, mut puk, mut left) = (None, None, 170);
                each(c.value, at + 2, |f, at| {
                    match f.tag {
                        0x80 => key = Some(number(&f, at, 255, "PUK keyReference")? as u8),
                        0x81 => puk = Some(fixed(&f, at, "pukValue")?),
                        0x82 => left = number(&f, at, 255, "maxNumOfAttemps-retryNumLeft")?,
                        _ => {}
                    }
                    Ok(())
                })?;
                out.push(Self {
                    key_reference: key.ok_or(SaipError::Missing {
                        what: "PUK keyReference",
                    })?,
                    value: puk.ok_or(SaipError::Missing { what: "pukValue" })?,
                    attempts: attempts(left),
                });
                Ok(())
            })
        })?;
        Ok(out)
    }
}

/// algorithmID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AkaAlgorithm {
    /// Milenage, TS 35.206.
    Milenage,
    /// TUAK, TS 35.231.
    Tuak,
    /// The test algorithm of TS 34.108 §8.1.2.
    UsimTest,
}

/// AlgoParameter.
#[derive(Clone, PartialEq, Eq)]
pub struct AlgoParameter {
    /// algorithmID.
    pub algorithm: AkaAlgorithm,
    /// algorithmOptions: lengths of RES, MAC, CK, IK.
    pub options: u8,
    /// key: K, 16 bytes (32 for TUAK-256).
    pub key: Vec<u8>,
    /// opc: OPc of Milenage, TOPc of TUAK.
    pub opc: Vec<u8>,
    /// rotationConstants r1..r5 in bits.
    pub rotation: [u8; 5],
    /// xoringConstants c1..c5.
    pub xoring: [[u8; 16]; 5],
    /// numberOfKeccak: iterations of TUAK's permutation, 1 by default.
    pub iterations: u8,
}

impl fmt::Debug for AlgoParameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AlgoParameter({:?}, ****)", self.algorithm)
    }
}

/// algoConfiguration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AkaConfiguration {
    /// mappingParameter: the keys are those of the application with this AID.
    Mapping {
        /// mappingOptions.
        options: u8,
        /// mappingSource.
        source: Vec<u8>,
    },
    /// algoParameter.
    Algorithm(AlgoParameter),
}

/// PE-AKAParameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AkaParameter {
    /// algoConfiguration.
    pub configuration: AkaConfiguration,
    /// sqnOptions, 02 by default.
    pub sqn_options: u8,
    /// sqnDelta: the largest step forward.
    pub sqn_delta: u64,
    /// sqnAgeLimit.
    pub sqn_age_limit: u64,
    /// sqnInit: the 32 sequence numbers without their index.
    pub sqn_init: [u64; 32],
}

/// DEFAULT of rotationConstants.
const ROTATION: [u8; 5] = [0x40, 0x00, 0x20, 0x40, 0x60];

const fn default_xoring() -> [[u8; 16]; 5] {
    let mut c = [[0; 16]; 5];
    c[1][15] = 1;
    c[2][15] = 2;
    c[3][15] = 4;
    c[4][15] = 8;
    c
}

fn sqn(b: [u8; 6]) -> u64 {
    b.iter().fold(0, |n, b| n << 8 | u64::from(*b))
}

impl AkaParameter {
    pub(super) fn parse(value: &[u8], base: usize) -> Result<Self, SaipError> {
        let mut configuration = None;
        let mut out = (2u8, 0x1000_0000u64, 0x1000_0000u64, [0u64; 32]);
        each(value, base, |f, at| {
            match f.tag {
                0xA1 => each(f.value, at + 2, |c, at| {
                    configuration = Some(configuration_of(&c, at)?);
                    Ok(())
                })?,
                0x82 => out.0 = fixed::<1>(&f, at, "sqnOptions")?[0],
                0x83 => out.1 = sqn(fixed(&f, at, "sqnDelta")?),
                0x84 => out.2 = sqn(fixed(&f, at, "sqnAgeLimit")?),
                0xA5 => {
                    let mut n = 0;
                    each(f.value, at + 2, |s, at| {
                        let value = sqn(fixed(&s, at, "sqnInit")?);
                        let slot = out.3.get_mut(n).ok_or(SaipError::BadValue {
                            offset: at,
                            what: "sqnInit (more than 32)",
                            got: n,
                        })?;
                        *slot = value;
                        n += 1;
                        Ok(())
                    })?;
                }
                _ => {}
            }
            Ok(())
        })?;
        Ok(Self {
            configuration: configuration.ok_or(SaipError::Missing {
                what: "algoConfiguration",
            })?,
            sqn_options: out.0,
            sqn_delta: out.1,
            sqn_age_limit: out.2,
            sqn_init: out.3,
        })
    }
}

fn configuration_of(c: &crate::tlv::Tlv<'_>, at: usize) -> Result<AkaConfiguration, SaipError> {
    match c.tag {
        0xA0 => {
            let (mut options, mut source) = (0, None);
            each(c.value, at + 2, |f, at| {
                match f.tag {
                    0x80 => options = fixed::<1>(&f, at, "mappingOptions")?[0],
                    0x81 => source = Some(f.value.to_vec()),
                    _ => {}
                }
                Ok(())
            })?;
            Ok(AkaConfiguration::Mapping {
                options,
                source: source.ok_or(SaipError::Missing {
                    what: "mappingSource",
                })?,
            })
        }
        0xA1 => algorithm(c.value, at + 2).map(AkaConfiguration::Algorithm),
        got => Err(SaipError::Unexpected {
            offset: at,
            expected: "mappingParameter or algoParameter",
            got,
        }),
    }
}

fn algorithm(value: &[u8], base: usize) -> Result<AlgoParameter, SaipError> {
    let (mut id, mut key, mut opc) = (None, None, None);
    let (mut options, mut rotation, mut xoring) = (0, ROTATION, default_xoring());
    let mut iterations = 1;
    each(value, base, |f, at| {
        match f.tag {
            0x80 => {
                id = Some(match number(&f, at, 255, "algorithmID")? {
                    1 => AkaAlgorithm::Milenage,
                    2 => AkaAlgorithm::Tuak,
                    3 => AkaAlgorithm::UsimTest,
                    got => {
                        return Err(SaipError::BadValue {
                            offset: at,
                            what: "algorithmID",
                            got: got as usize,
                        });
                    }
                });
            }
            0x81 => options = fixed::<1>(&f, at, "algorithmOptions")?[0],
            0x82 => key = Some(f.value.to_vec()),
            0x83 => opc = Some(f.value.to_vec()),
            0x84 => rotation = fixed(&f, at, "rotationConstants")?,
            0x85 => {
                let raw: [u8; 80] = fixed(&f, at, "xoringConstants")?;
                for (c, raw) in xoring.iter_mut().zip(raw.chunks_exact(16)) {
                    c.copy_from_slice(raw);
                }
            }
            0x87 => iterations = number(&f, at, 255, "numberOfKeccak")? as u8,
            _ => {}
        }
        Ok(())
    })?;
    Ok(AlgoParameter {
        algorithm: id.ok_or(SaipError::Missing {
            what: "algorithmID",
        })?,
        options,
        key: key.ok_or(SaipError::Missing { what: "key" })?,
        opc: opc.ok_or(SaipError::Missing { what: "opc" })?,
        rotation,
        xoring,
        iterations,
    })
}
