//! Our own default profile package: MF, PINs, a USIM with its files, the authentication key.
//! TCA eUICC Profile Package 2.3, TS 31.102 §4.2.

use crate::tlv::Writer;
use alloc::{string::String, vec, vec::Vec};
use core::fmt;

/// The AID of our USIM: RID of 3GPP, USIM (1002), country and provider unspecified.
pub const USIM_AID: [u8; 12] = [
    0xA0, 0, 0, 0, 0x87, 0x10, 0x02, 0xFF, 0x49, 0xFF, 0x05, 0x89,
];

/// The algorithm of AUTHENTICATE and its keys.
#[derive(Clone, PartialEq, Eq)]
pub enum Algorithm {
    /// Milenage with K and OPc.
    Milenage {
        /// K.
        k: [u8; 16],
        /// OPc.
        opc: [u8; 16],
    },
    /// TUAK with a key of 128 bits and TOPc; RES and MAC of 64 bits, CK and IK of 128, one iteration of Keccak.
    Tuak {
        /// K.
        k: [u8; 16],
        /// TOPc.
        topc: [u8; 32],
    },
    /// The test algorithm of TS 34.108 with K.
    UsimTest {
        /// K.
        k: [u8; 16],
    },
}

impl fmt::Debug for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Milenage { .. } => "Milenage(****)",
            Self::Tuak { .. } => "Tuak(****)",
            Self::UsimTest { .. } => "UsimTest(****)",
        })
    }
}

/// Why no package can be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// Wrong digits.
    #[error("{what} must be {expected}, got {got:?}")]
    Digits {
        /// The field.
        what: &'static str,
        /// The rule.
        expected: &'static str,
        /// What was given.
        got: String,
    },
    /// A text is too long.
    #[error("{what} has {got} bytes, at most {max} fit")]
    TooLong {
        /// The field.
        what: &'static str,
        /// Its length.
        got: usize,
        /// The limit.
        max: usize,
    },
}

/// What goes into the package. [`ProfileBuilder::new`] fills in the rest with defaults.
#[derive(Clone)]
pub struct ProfileBuilder {
    /// ICCID, 18 to 20 digits.
    pub iccid: String,
    /// IMSI, 6 to 15 digits.
    pub imsi: String,
    /// Digits of the MNC inside the IMSI: 2 or 3.
    pub mnc_len: u8,
    /// Algorithm and keys.
    pub algorithm: Algorithm,
    /// profileType of the header and service provider name (EF.SPN, first 16 bytes).
    pub name: String,
    /// Service centre address in international digits, without `+`.
    pub smsp: Option<String>,
    /// PIN 1, 4 to 8 digits (disabled at first).
    pub pin: String,
    /// PUK 1, 8 digits.
    pub puk: String,
    /// PIN 2, 4 to 8 digits.
    pub pin2: String,
    /// PUK 2, 8 digits.
    pub puk2: String,
    /// ADM 1, 8 bytes.
    pub adm1: [u8; 8],
}

impl ProfileBuilder {
    /// A profile with PIN 1 0000 (disabled), PUKs of eight digits, and a two-digit MNC.
    #[must_use]
    pub fn new(iccid: impl Into<String>, imsi: impl Into<String>, algorithm: Algorithm) -> Self {
        Self {
            iccid: iccid.into(),
            imsi: imsi.into(),
            mnc_len: 2,
            algorithm,
            name: "aid OP".into(),
            smsp: None,
            pin: "0000".into(),
            puk: "12345678".into(),
            pin2: "0000".into(),
            puk2: "12345678".into(),
            adm1: *b"55555555",
        }
    }

    /// The package in DER.
    ///
    /// # Errors
    /// [`BuildError`] names the field.
    pub fn build(&self) -> Result<Vec<u8>, BuildError> {
        let iccid = iccid(&self.iccid)?;
        let imsi = imsi(&self.imsi)?;
        if self.name.is_empty() || self.name.len() > 100 {
            return Err(BuildError::TooLong {
                what: "name",
                got: self.name.len(),
                max: 100,
            });
        }
        let mut w = Writer::new();
        self.header(&mut w, &iccid);
        mf(&mut w, &iccid);
        self.codes(&mut w)?;
        self.usim(&mut w, &imsi)?;
        self.aka(&mut w);
        w.constructed(0xAA, |w| pe_header(w, 8));
        Ok(w.into_vec())
    }

    fn header(&self, w: &mut Writer, iccid: &[u8; 10]) {
        w.constructed(0xA0, |w| {
            w.uint(0x80, 2).uint(0x81, 3);
            w.primitive(0x82, self.name.as_bytes())
                .primitive(0x83, iccid);
            w.constructed(0xA5, |w| {
                w.primitive(0x81, &[]);
                match self.algorithm {
                    Algorithm::Milenage { .. } => w.primitive(0x84, &[]),
                    Algorithm::Tuak { .. } => w.primitive(0x85, &[]),
                    Algorithm::UsimTest { .. } => w.primitive(0x91, &[]),
                };
            });
            w.constructed(0xA6, |w| {
                for n in [1, 4, 5] {
                    w.primitive(0x06, &template(n));
                }
            });
        });
    }

    fn codes(&self, w: &mut Writer) -> Result<(), BuildError> {
        let puk = digits(&self.puk, 8, 8, "puk", "8 digits")?;
        let puk2 = digits(&self.puk2, 8, 8, "puk2", "8 digits")?;
        let pin = digits(&self.pin, 4, 8, "pin", "4 to 8 digits")?;
        w.constructed(0xA3, |w| {
            pe_header(w, 2);
            w.constructed(0xA1, |w| {
                for (key, value) in [(1, puk), (129, puk2)] {
                    w.constructed(0x30, |w| {
                        w.uint(0x80, key).primitive(0x81, &value);
                    });
                }
            });
        });
        w.constructed(0xA2, |w| {
            pe_header(w, 3);
            w.constructed(0xA1, |w| {
                w.constructed(0xA0, |w| {
                    w.constructed(0x30, |w| {
                        w.uint(0x80, 1).primitive(0x81, &pin);
                        w.uint(0x82, 1).uint(0x83, 6);
                    });
                    w.constructed(0x30, |w| {
                        w.uint(0x80, 10).primitive(0x81, &self.adm1);
                        w.uint(0x83, 3).uint(0x84, 170);
                    });
                });
            });
        });
        Ok(())
    }

    fn usim(&self, w: &mut Writer, imsi: &[u8; 9]) -> Result<(), BuildError> {
        let pin2 = digits(&self.pin2, 4, 8, "pin2", "4 to 8 digits")?;
        let smsp = self.smsp.as_deref().map(smsp_record).transpose()?;
        let class = self.imsi.bytes().next_back().map_or(0, |d| d - b'0');
        let plmn = plmn(&self.imsi, usize::from(self.mnc_len));
        let mut spn = vec![0x01];
        spn.extend(self.name.bytes().take(16));
        spn.resize(17, 0xFF);
        // HPLMNwAcT: NG-RAN, E-UTRAN, UTRAN, GSM.
        let mut hplmn = plmn.to_vec();
        hplmn.extend_from_slice(&[0xC8, 0x80]);
        let mut loci = vec![0xFF; 4];
        loci.extend_from_slice(&plmn);
        loci.extend_from_slice(&[0xFF, 0xFE, 0xFF, 0x01]);
        let mut psloci = vec![0xFF; 7];
        psloci.extend_from_slice(&plmn);
        psloci.extend_from_slice(&[0xFF, 0xFE, 0xFF, 0x01]);
        // Services 10 SMS, 12 SMSP, 19 SPN, 27 GSM access off, 43 HPLMNwAcT, 85 EPS.
        let ust = [
            0x00, 0x0A, 0x04, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x00, 0x10, 0x00, 0x00, 0x00,
        ];
        w.constructed(0xB3, |w| {
            pe_header(w, 4);
            w.primitive(0x81, &template(4));
            w.constructed(0xA2, |w| {
                w.constructed(0xA1, |w| {
                    w.primitive(0x83, &[0x7F, 0xD0]).primitive(0x84, &USIM_AID);
                    w.primitive(0x8B, &[0x2F, 0x06, 0x01]);
                    w.primitive(0xC6, &[0x01, 0x81, 0x0A]);
                });
            });
            file(w, 3, READ_PIN, None, imsi);
            arr(w, 4, &[0x6F, 0x06]);
            file(w, 5, PIN_BOTH, None, &key_set_empty());
            file(w, 6, PIN_BOTH, None, &key_set_empty());
            file(w, 7, READ_PIN, None, &[0x02]);
            file(w, 8, READ_PIN, Some(ust.len() as u8), &ust);
            record_file(w, 10, PIN_BOTH, 176, 10, &[]);
            record_file(w, 11, PIN_BOTH, 42, 1, smsp.as_deref().unwrap_or(&[]));
            file(w, 12, PIN_BOTH, None, &[0xFF, 0xFF]);
            file(w, 13, READ_ALWAYS, None, &spn);
            file(w, 14, READ_PIN, None, &[0x00]);
            file(w, 15, PIN_BOTH, None, &[0xF0, 0, 0, 0xF0, 0, 0]);
            file(w, 16, PIN_BOTH, None, &[0xFF, 0xFF, 0xFF]);
            file(w, 17, PIN_BOTH, None, &psloci);
            file(w, 18, READ_PIN, None, &(1u16 << class).to_be_bytes());
            file(w, 19, PIN_BOTH, None, &[0xFF; 12]);
            file(w, 20, PIN_BOTH, None, &loci);
            file(w, 21, READ_ALWAYS, None, &[0x00, 0x00, 0x00, self.mnc_len]);
            record_file(w, 22, READ_ALWAYS, 4, 1, &[0x11, 0xF2, 0xFF, 0x00]);
            let mut epsloci = vec![0xFF; 12];
            epsloci.extend_from_slice(&plmn);
            epsloci.extend_from_slice(&[0xFF, 0xFE, 0x01]);
            file(w, 24, PIN_BOTH, None, &epsloci);
            record_file(w, 25, PIN_BOTH, 54, 1, &[]);
        });
        w.constructed(0xA2, |w| {
            pe_header(w, 5);
            w.constructed(0xA1, |w| {
                w.constructed(0xA0, |w| {
                    w.constructed(0x30, |w| {
                        w.uint(0x80, 129).primitive(0x81, &pin2);
                        w.uint(0x82, 129).uint(0x83, 3);
                    });
                });
            });
        });
        w.constructed(0xB4, |w| {
            pe_header(w, 6);
            w.primitive(0x81, &template(5));
            file(w, 17, READ_PIN, Some(5), &hplmn);
        });
        Ok(())
    }

    fn aka(&self, w: &mut Writer) {
        w.constructed(0xA4, |w| {
            pe_header(w, 7);
            w.constructed(0xA1, |w| {
                w.constructed(0xA1, |w| {
                    match &self.algorithm {
                        Algorithm::Milenage { k, opc } => {
                            w.uint(0x80, 1).primitive(0x81, &[0x01]);
                            w.primitive(0x82, k).primitive(0x83, opc)
                        }
                        Algorithm::Tuak { k, topc } => {
                            w.uint(0x80, 2).primitive(0x81, &[0x01]);
                            w.primitive(0x82, k).primitive(0x83, topc).uint(0x87, 1)
                        }
                        Algorithm::UsimTest { k } => {
                            w.uint(0x80, 3).primitive(0x81, &[0x02]);
                            w.primitive(0x82, k).primitive(0x83, &[0; 16])
                        }
                    };
                });
            });
            w.constructed(0xA5, |w| {
                for _ in 0..32 {
                    w.primitive(0x04, &[0; 6]);
                }
            });
        });
    }
}

/// Records of EF.ARR: read always, update ADM.
const READ_ALWAYS: u8 = 1;
/// Read PIN 1, update ADM.
const READ_PIN: u8 = 2;
/// Read and update PIN 1.
const PIN_BOTH: u8 = 3;
const ARR_RECORD: usize = 0x1A;
const ARR: [&[u8]; 3] = [
    &[
        0x80, 1, 0x01, 0x90, 0, 0x80, 1, 0x5A, 0xA4, 6, 0x83, 1, 0x0A, 0x95, 1, 8,
    ],
    &[
        0x80, 1, 0x01, 0xA4, 6, 0x83, 1, 0x01, 0x95, 1, 8, 0x80, 1, 0x5A, 0xA4, 6, 0x83, 1, 0x0A,
        0x95, 1, 8,
    ],
    &[
        0x80, 1, 0x03, 0xA4, 6, 0x83, 1, 0x01, 0x95, 1, 8, 0x80, 1, 0x58, 0xA4, 6, 0x83, 1, 0x0A,
        0x95, 1, 8,
    ],
];

fn template(n: u8) -> [u8; 6] {
    [0x67, 0x81, 0x0F, 0x01, 0x02, n]
}

fn pe_header(w: &mut Writer, identification: u16) {
    w.constructed(0xA0, |w| {
        w.primitive(0x80, &[]).uint(0x81, u64::from(identification));
    });
}

fn key_set_empty() -> [u8; 33] {
    let mut ef = [0xFF; 33];
    ef[0] = 0x07;
    ef
}

/// A transparent file of the USIM: component `n`, its access rule, its size when the template has none.
fn file(w: &mut Writer, n: u32, rule: u8, size: Option<u8>, content: &[u8]) {
    w.constructed(component(n), |w| {
        w.constructed(0xA1, |w| {
            w.primitive(0x8B, &[0x6F, 0x06, rule]);
            if let Some(size) = size {
                w.primitive(0x80, &[size]);
            }
        });
        w.primitive(0x83, content);
    });
}

fn component(n: u32) -> u32 {
    if n < 31 { 0xA0 | n } else { 0xBF00 | n }
}

fn size_bytes(size: usize) -> Vec<u8> {
    let b = (size as u32).to_be_bytes();
    let start = b.iter().position(|b| *b != 0).unwrap_or(3);
    b[start..].to_vec()
}

fn record_file(w: &mut Writer, n: u32, rule: u8, record: u8, count: usize, content: &[u8]) {
    w.constructed(component(n), |w| {
        w.constructed(0xA1, |w| {
            w.primitive(0x82, &[0x42, 0x21, 0x00, record]);
            w.primitive(0x8B, &[0x6F, 0x06, rule]);
            w.primitive(0x80, &size_bytes(usize::from(record) * count));
        });
        if !content.is_empty() {
            w.primitive(0x83, content);
        }
    });
}

fn arr(w: &mut Writer, n: u32, own_file: &[u8; 2]) {
    let mut content = Vec::new();
    for (i, record) in ARR.iter().enumerate() {
        content.extend_from_slice(record);
        content.resize((i + 1) * ARR_RECORD, 0xFF);
    }
    w.constructed(component(n), |w| {
        w.constructed(0xA1, |w| {
            w.primitive(0x82, &[0x42, 0x21, 0x00, ARR_RECORD as u8]);
            w.primitive(0x8B, &[own_file[0], own_file[1], READ_ALWAYS]);
            w.primitive(0x80, &size_bytes(ARR.len() * ARR_RECORD));
        });
        w.primitive(0x83, &content);
    });
}

fn mf(w: &mut Writer, iccid: &[u8; 10]) {
    let mut dir = vec![0x61, 0x15, 0x4F, USIM_AID.len() as u8];
    dir.extend_from_slice(&USIM_AID);
    dir.extend_from_slice(&[0x50, 0x05]);
    dir.extend_from_slice(b"USIM1");
    w.constructed(0xB0, |w| {
        pe_header(w, 1);
        w.primitive(0x81, &template(1));
        w.constructed(0xA2, |w| {
            w.constructed(0xA1, |w| {
                w.primitive(0x8B, &[0x2F, 0x06, READ_ALWAYS]);
                w.primitive(0xC6, &[0x01, 0x0A]);
            });
        });
        w.constructed(0xA3, |w| {
            w.constructed(0xA1, |w| {
                w.primitive(0x8B, &[0x2F, 0x06, READ_ALWAYS])
                    .primitive(0x80, &[2]);
            });
            w.primitive(0x83, b"en");
        });
        w.constructed(0xA4, |w| {
            w.constructed(0xA1, |w| {
                w.primitive(0x8B, &[0x2F, 0x06, READ_ALWAYS]);
            });
            w.primitive(0x83, &iccid.map(|b| b.rotate_left(4)));
        });
        w.constructed(0xA5, |w| {
            w.constructed(0xA1, |w| {
                w.primitive(0x82, &[0x42, 0x21, 0x00, 0x26]);
                w.primitive(0x8B, &[0x2F, 0x06, READ_ALWAYS])
                    .primitive(0x80, &[0x26]);
            });
            w.primitive(0x83, &dir);
        });
        arr(w, 6, &[0x2F, 0x06]);
    });
}

fn digits(
    text: &str,
    min: usize,
    max: usize,
    what: &'static str,
    expected: &'static str,
) -> Result<[u8; 8], BuildError> {
    if !(min..=max).contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(BuildError::Digits {
            what,
            expected,
            got: "****".into(),
        });
    }
    let mut out = [0xFF; 8];
    out[..text.len()].copy_from_slice(text.as_bytes());
    Ok(out)
}

fn checked<'a>(
    text: &'a str,
    min: usize,
    max: usize,
    what: &'static str,
    expected: &'static str,
) -> Result<&'a [u8], BuildError> {
    if !(min..=max).contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(BuildError::Digits {
            what,
            expected,
            got: text.into(),
        });
    }
    Ok(text.as_bytes())
}

fn iccid(text: &str) -> Result<[u8; 10], BuildError> {
    let d = checked(text, 18, 20, "iccid", "18 to 20 digits")?;
    let mut nibbles = [15u8; 20];
    for (n, d) in nibbles.iter_mut().zip(d) {
        *n = d - b'0';
    }
    let mut out = [0; 10];
    for (o, n) in out.iter_mut().zip(nibbles.chunks_exact(2)) {
        *o = n[0] << 4 | n[1];
    }
    Ok(out)
}

/// EF.IMSI of TS 31.102 §4.2.2: length, parity nibble, digits swapped.
fn imsi(text: &str) -> Result<[u8; 9], BuildError> {
    let d = checked(text, 6, 15, "imsi", "6 to 15 digits")?;
    let mut nibbles = [15u8; 16];
    nibbles[0] = if d.len() % 2 == 1 { 9 } else { 1 };
    for (n, d) in nibbles[1..].iter_mut().zip(d) {
        *n = d - b'0';
    }
    let mut out = [0xFF; 9];
    out[0] = (d.len() / 2 + 1) as u8;
    for (o, n) in out[1..].iter_mut().zip(nibbles.chunks_exact(2)) {
        *o = n[1] << 4 | n[0];
    }
    Ok(out)
}

/// MCC and MNC of an IMSI as TS 24.008 codes them.
fn plmn(imsi: &str, mnc_len: usize) -> [u8; 3] {
    let d = |i: usize| imsi.as_bytes().get(i).map_or(15, |b| b - b'0');
    let third = if mnc_len == 3 { d(5) } else { 15 };
    [d(1) << 4 | d(0), third << 4 | d(2), d(4) << 4 | d(3)]
}

/// EF.SMSP of TS 31.102 §4.2.27 with a service centre address only.
fn smsp_record(number: &str) -> Result<Vec<u8>, BuildError> {
    let d = checked(number, 3, 20, "smsp", "3 to 20 digits")?;
    let mut out = vec![0xFF; 42];
    out[14] = 0xFD;
    out[27] = (d.len().div_ceil(2) + 1) as u8;
    out[28] = 0x91;
    for (i, pair) in d.chunks(2).enumerate() {
        let high = pair.get(1).map_or(15, |b| b - b'0');
        out[29 + i] = high << 4 | (pair[0] - b'0');
    }
    Ok(out)
}
