//! Communication Interface Parameters: what the card tells about itself and its bus before the first
//! APDU. GPC_FST_172, S(CIP). Made by [`crate::Device`], read by [`crate::Host`].

use crate::block::MAX_IFS;
use alloc::vec::Vec;

/// What the bus needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Physical {
    /// SPI, physical layer id 1.
    Spi {
        /// Power wake-up time, ms.
        wake_up: u8,
        /// Highest clock, kHz.
        clock: u16,
        /// Power saving timeout, ms.
        power_saving: u8,
        /// Time between two polls, units of 100 µs.
        polling: u8,
        /// Guard time between two accesses, µs.
        guard: u16,
        /// Most bytes in one access.
        access: u16,
        /// Wake-up time from power saving, µs.
        wake: u16,
    },
    /// I2C, physical layer id 2.
    I2c {
        /// Power wake-up time, ms.
        wake_up: u8,
        /// Highest clock, kHz.
        clock: u16,
        /// Power saving timeout, ms.
        power_saving: u8,
        /// Time between two polls, units of 100 µs.
        polling: u8,
        /// Guard time between write and read, µs.
        guard: u16,
    },
}

impl Physical {
    /// Time between two polls, µs.
    #[must_use]
    pub fn polling_us(&self) -> u32 {
        let (Self::Spi { polling, .. } | Self::I2c { polling, .. }) = self;
        u32::from((*polling).max(1)) * 100
    }

    /// Guard time, µs.
    #[must_use]
    pub fn guard_us(&self) -> u32 {
        let (Self::Spi { guard, .. } | Self::I2c { guard, .. }) = self;
        u32::from(*guard)
    }
}

/// Communication Interface Parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cip {
    /// Issuer identification number of the card's maker, at most 255 bytes.
    pub iin: Vec<u8>,
    /// The bus.
    pub physical: Physical,
    /// Block waiting time, ms.
    pub bwt: u16,
    /// Largest information field that the card takes.
    pub ifsc: u16,
    /// Historical bytes, as in an answer to reset; at most 32.
    pub historical: Vec<u8>,
}

/// Why bytes are no parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CipError {
    /// A length does not fit.
    #[error("the card's interface parameters have a wrong length")]
    Length,
    /// The bus is neither SPI nor I2C.
    #[error("the card's interface parameters name an unknown bus")]
    Bus,
    /// The size of the information field is out of range.
    #[error("the card's interface parameters have an impossible size of blocks")]
    Ifsc,
}

const VERSION: u8 = 1;

impl Cip {
    /// Parameters of a card on SPI.
    #[must_use]
    pub fn spi() -> Self {
        Self::with(Physical::Spi {
            wake_up: 25,
            clock: 10_000,
            power_saving: 0,
            polling: 10,
            guard: 200,
            access: 512,
            wake: 0,
        })
    }

    /// Parameters of a card on I2C.
    #[must_use]
    pub fn i2c() -> Self {
        Self::with(Physical::I2c {
            wake_up: 25,
            clock: 400,
            power_saving: 0,
            polling: 10,
            guard: 10,
        })
    }

    fn with(physical: Physical) -> Self {
        Self {
            iin: alloc::vec![0x89, 0x04, 0x90, 0x32],
            physical,
            bwt: 300,
            ifsc: 254,
            historical: Vec::new(),
        }
    }

    /// The information field of S(CIP response).
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = alloc::vec![VERSION];
        let iin = &self.iin[..self.iin.len().min(255)];
        out.push(iin.len() as u8);
        out.extend_from_slice(iin);
        match self.physical {
            Physical::Spi {
                wake_up,
                clock,
                power_saving,
                polling,
                guard,
                access,
                wake,
            } => {
                out.extend_from_slice(&[1, 12, 0, wake_up]);
                out.extend_from_slice(&clock.to_be_bytes());
                out.extend_from_slice(&[power_saving, polling]);
                for value in [guard, access, wake] {
                    out.extend_from_slice(&value.to_be_bytes());
                }
            }
            Physical::I2c {
                wake_up,
                clock,
                power_saving,
                polling,
                guard,
            } => {
                out.extend_from_slice(&[2, 8, 0, wake_up]);
                out.extend_from_slice(&clock.to_be_bytes());
                out.extend_from_slice(&[power_saving, polling]);
                out.extend_from_slice(&guard.to_be_bytes());
            }
        }
        out.push(4);
        out.extend_from_slice(&self.bwt.to_be_bytes());
        out.extend_from_slice(&self.ifsc.to_be_bytes());
        let historical = &self.historical[..self.historical.len().min(32)];
        out.push(historical.len() as u8);
        out.extend_from_slice(historical);
        out
    }

    /// Reads the parameters; fields that a later version adds to the end are passed over.
    ///
    /// # Errors
    /// [`CipError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, CipError> {
        let (_version, rest) = bytes.split_first().ok_or(CipError::Length)?;
        let (iin, rest) = field(rest)?;
        let (bus, rest) = rest.split_first().ok_or(CipError::Length)?;
        let (plp, rest) = field(rest)?;
        let two = |at: usize| {
            let two = plp.get(at..at + 2)?;
            Some(u16::from_be_bytes([two[0], two[1]]))
        };
        let one = |at: usize| plp.get(at).copied();
        let physical = match bus {
            1 => (|| {
                Some(Physical::Spi {
                    wake_up: one(1)?,
                    clock: two(2)?,
                    power_saving: one(4)?,
                    polling: one(5)?,
                    guard: two(6)?,
                    access: two(8)?,
                    wake: two(10)?,
                })
            })(),
            2 => (|| {
                Some(Physical::I2c {
                    wake_up: one(1)?,
                    clock: two(2)?,
                    power_saving: one(4)?,
                    polling: one(5)?,
                    guard: two(6)?,
                })
            })(),
            _ => return Err(CipError::Bus),
        };
        let physical = physical.ok_or(CipError::Length)?;
        let (dllp, rest) = field(rest)?;
        let [b1, b2, i1, i2, ..] = *dllp else {
            return Err(CipError::Length);
        };
        let ifsc = u16::from_be_bytes([i1, i2]);
        if !(1..=MAX_IFS).contains(&ifsc) {
            return Err(CipError::Ifsc);
        }
        let historical = match rest {
            [] => &[],
            _ => field(rest)?.0,
        };
        Ok(Self {
            iin: iin.to_vec(),
            physical,
            bwt: u16::from_be_bytes([b1, b2]),
            ifsc,
            historical: historical.to_vec(),
        })
    }
}

/// A field with a byte of length, and what follows it.
fn field(bytes: &[u8]) -> Result<(&[u8], &[u8]), CipError> {
    let (len, rest) = bytes.split_first().ok_or(CipError::Length)?;
    rest.split_at_checked(usize::from(*len))
        .ok_or(CipError::Length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_survive_the_bus_and_no_cut_is_taken() {
        for mut cip in [Cip::spi(), Cip::i2c()] {
            cip.historical = alloc::vec![0x80, 0x31];
            let bytes = cip.encode();
            assert_eq!(Cip::decode(&bytes), Ok(cip.clone()));
            let without = bytes.len() - 3;
            for len in (0..bytes.len()).filter(|len| *len != without) {
                assert!(Cip::decode(&bytes[..len]).is_err(), "{len}");
            }
        }
        let mut bytes = Cip::spi().encode();
        bytes[6] = 3;
        assert_eq!(Cip::decode(&bytes), Err(CipError::Bus));
        let cip = Cip {
            ifsc: 0,
            ..Cip::i2c()
        };
        assert_eq!(Cip::decode(&cip.encode()), Err(CipError::Ifsc));
    }
}
