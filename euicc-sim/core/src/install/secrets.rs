//! PIN codes, PUK codes, authentication keys.
//! TCA eUICC Profile Package §8.4, §8.5.

use super::{ProfileInstaller, code};
use crate::auth::{Algorithm, Key, Lengths, Milenage, Sequence, TestAlgorithm, Tuak};
use crate::fs::{MF, ProfileImage};
use crate::pin::{self, Pin, Puk};
use aid_rsp::saip::{
    AkaAlgorithm, AkaConfiguration, AkaParameter, AlgoParameter, PinCodes, PinConfiguration,
    PukConfiguration,
};
use alloc::boxed::Box;

/// Largest sequence number, without its index of 5 bits, and largest sqnDelta and sqnAgeLimit.
const MAX_SEQ: u64 = 0x07FF_FFFF_FFFF;

/// sqnOptions: check Δ (bit 2), check the age limit (bit 3).
const CHECK_DELTA: u8 = 0x02;
const CHECK_AGE: u8 = 0x04;

/// mappingOptions: the sequence numbers are shared too (bit 2).
const MAP_SEQUENCE: u8 = 0x02;

/// pinAttributes: enabled, may be changed, may be disabled.
const ENABLED: u8 = 1;
const CAN_CHANGE: u8 = 2;
const CAN_DISABLE: u8 = 4;

impl ProfileInstaller {
    pub(super) fn pin_codes(&mut self, codes: PinCodes) -> Result<(), u16> {
        let directory = self.directory;
        match codes {
            PinCodes::Codes(codes) => {
                for c in &codes {
                    self.pin(directory, c)?;
                }
                Ok(())
            }
            PinCodes::SharedWith(path) => {
                let source = self.walk(&path).ok_or(code::INVALID_PARAMETER)?;
                let image = self.image()?;
                let has_pins = image.pins.iter().any(|p| p.directory == source);
                if !has_pins {
                    return Err(code::PIN_CODE_MISSING);
                }
                if source != directory {
                    image.shared_pins.push((directory, source));
                }
                Ok(())
            }
        }
    }

    fn pin(&mut self, directory: u16, c: &PinConfiguration) -> Result<(), u16> {
        let local = pin::is_local(c.key_reference);
        let known = matches!(c.key_reference, 1..=8 | 10..=14 | 0x81..=0x88 | 0x8A..=0x8E);
        let (max, left) = c.attempts;
        if !known || left > max || max == 0 {
            return Err(code::BAD_VALUES);
        }
        let directory = if local { directory } else { MF };
        let image = self.image()?;
        let again = |p: &Pin| p.key == c.key_reference && p.directory == directory;
        if image.pins.iter().any(again) {
            return Err(code::INVALID_PARAMETER);
        }
        image.pins.push(Pin {
            key: c.key_reference,
            directory,
            value: c.value,
            enabled: c.attributes & ENABLED != 0,
            can_change: c.attributes & CAN_CHANGE != 0,
            can_disable: c.attributes & CAN_DISABLE != 0,
            puk: c.unblocking,
            max,
            left,
        });
        Ok(())
    }

    pub(super) fn puk_codes(&mut self, puks: &[PukConfiguration]) -> Result<(), u16> {
        let image = self.image()?;
        for p in puks {
            let known = matches!(p.key_reference, 1..=8 | 0x81..=0x88);
            let (max, left) = p.attempts;
            if !known || left > max {
                return Err(code::BAD_VALUES);
            }
            if image.puks.iter().any(|k| k.key == p.key_reference) {
                return Err(code::INVALID_PARAMETER);
            }
            image.puks.push(Puk {
                key: p.key_reference,
                value: p.value,
                max,
                left,
            });
        }
        Ok(())
    }

    pub(super) fn aka(&mut self, aka: &AkaParameter) -> Result<(), u16> {
        let application = self.application;
        if application == MF {
            return Err(code::INVALID_PARAMETER);
        }
        let sequence = sequence(aka)?;
        let image = self.image()?;
        let key = match &aka.configuration {
            AkaConfiguration::Mapping { options, source } => {
                let adf = image.applications.iter().find(|(_, aid)| aid == source);
                let adf = adf.ok_or(code::INVALID_PARAMETER)?.0;
                let index = image.key_of(adf).ok_or(code::INVALID_PARAMETER)?;
                if options & MAP_SEQUENCE != 0 {
                    image.shared_keys.push((application, index as u16));
                    return Ok(());
                }
                Key {
                    directory: application,
                    algorithm: image.keys[index].algorithm.clone(),
                    sequence,
                }
            }
            AkaConfiguration::Algorithm(a) => Key {
                directory: application,
                algorithm: algorithm(a)?,
                sequence,
            },
        };
        if image.key_of(application).is_some() {
            return Err(code::INVALID_PARAMETER);
        }
        image.keys.push(key);
        Ok(())
    }
}

fn sequence(aka: &AkaParameter) -> Result<Sequence, u16> {
    let values = [aka.sqn_delta, aka.sqn_age_limit];
    if values.iter().chain(&aka.sqn_init).any(|n| *n > MAX_SEQ) {
        return Err(code::BAD_VALUES);
    }
    Ok(Sequence {
        array: aka.sqn_init,
        delta: (aka.sqn_options & CHECK_DELTA != 0).then_some(aka.sqn_delta),
        age_limit: (aka.sqn_options & CHECK_AGE != 0).then_some(aka.sqn_age_limit),
    })
}

fn algorithm(a: &AlgoParameter) -> Result<Algorithm, u16> {
    let k128 = || <[u8; 16]>::try_from(a.key.as_slice()).map_err(|_| code::BAD_VALUES);
    Ok(match a.algorithm {
        AkaAlgorithm::Milenage => {
            // Rotations are whole bytes in TS 35.206, below 128 bits.
            if a.rotation.iter().any(|r| *r > 127) {
                return Err(code::BAD_VALUES);
            }
            Algorithm::Milenage(Box::new(Milenage {
                k: k128()?,
                opc: a.opc.as_slice().try_into().map_err(|_| code::BAD_VALUES)?,
                r: a.rotation,
                c: a.xoring,
            }))
        }
        AkaAlgorithm::UsimTest => Algorithm::Test(TestAlgorithm {
            k: k128()?,
            res_len: match a.options & 7 {
                1 => 8,
                _ => 16,
            },
        }),
        AkaAlgorithm::Tuak => {
            if !matches!(a.key.len(), 16 | 32) || a.iterations == 0 {
                return Err(code::BAD_VALUES);
            }
            Algorithm::Tuak(Box::new(Tuak {
                k: a.key.clone(),
                topc: a.opc.as_slice().try_into().map_err(|_| code::BAD_VALUES)?,
                lengths: lengths(a.options)?,
                iterations: a.iterations,
            }))
        }
    })
}

/// algorithmOptions: bits 3 to 1 RES (32, 64, 128, 256 bits), bits 6 to 4 MAC (64, 128, 256 bits),
/// bit 7 CK and IK (128, 256 bits).
const fn lengths(options: u8) -> Result<Lengths, u16> {
    let key = if options & 0x40 != 0 { 32 } else { 16 };
    let res = match options & 7 {
        n @ 0..=3 => 4 << n,
        _ => return Err(code::BAD_VALUES),
    };
    let mac = match options >> 3 & 7 {
        n @ 0..=2 => 8 << n,
        _ => return Err(code::BAD_VALUES),
    };
    Ok(Lengths {
        mac,
        res,
        ck: key,
        ik: key,
    })
}

/// Every PIN's PUK must have come (PINConfiguration, unblockingPINReference).
pub(super) fn check_unblocking(image: &ProfileImage) -> Result<(), u16> {
    let known = |key: u8| image.puks.iter().any(|p| p.key == key);
    let all = image.pins.iter().filter_map(|p| p.puk).all(known);
    all.then_some(()).ok_or(code::PIN_CODE_MISSING)
}
