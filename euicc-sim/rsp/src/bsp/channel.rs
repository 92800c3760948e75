//! One end of a BSP session: MAC chain and block counter over the segments, in order.
//! SGP.22 §2.5.4, GlobalPlatform SCP03 §6.2.4-§6.2.6. Called once per segment.

use super::{MAC_LEN, MAX_PLAIN, MAX_PLAIN_MAC_ONLY, SessionKeys};
use crate::tlv::{Tag, Tlv, Writer, length_len};
use aes::{
    Aes128,
    cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit},
};
use alloc::vec::Vec;
use cmac::{Cmac, Mac};
use core::fmt;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// Why a segment can't be protected or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BspError {
    /// The MAC is wrong: altered, out of order, or another key.
    #[error("MAC of the segment does not verify")]
    Mac,
    /// The segment is shorter than its MAC, or its ciphertext not a whole number of blocks.
    #[error("segment of {got} bytes has no valid structure")]
    Structure {
        /// Bytes of the value.
        got: usize,
    },
    /// The padding after decryption is wrong.
    #[error("padding of the segment is wrong")]
    Padding,
    /// The plaintext doesn't fit in one segment.
    #[error("{got} bytes do not fit in one segment of at most {max}")]
    TooLong {
        /// Bytes given.
        got: usize,
        /// Most bytes that fit.
        max: usize,
    },
}

/// A BSP session. After an error the session is of no use: the installation has failed.
pub struct Bsp {
    enc: Aes128,
    mac: Cmac<Aes128>,
    chaining: [u8; 16],
    /// Number of the next segment, from 1; it makes the ICV.
    counter: u32,
}

impl Bsp {
    /// A session that starts with these keys.
    #[must_use]
    pub fn new(keys: &SessionKeys) -> Self {
        Self {
            enc: Aes128::new(&keys.enc.into()),
            mac: <Cmac<Aes128> as KeyInit>::new(&keys.mac.into()),
            chaining: keys.chaining,
            counter: 1,
        }
    }

    /// Continues with replaced keys (ReplaceSessionKeys, SGP.22 §5.5.4): the chain and the counter
    /// start anew.
    pub fn replace_keys(&mut self, keys: &SessionKeys) {
        *self = Self::new(keys);
    }

    /// Encrypts and authenticates one segment; appends the whole data object to `out`.
    ///
    /// # Errors
    /// [`BspError::TooLong`] beyond [`MAX_PLAIN`] bytes.
    pub fn protect(&mut self, tag: Tag, plain: &[u8], out: &mut Vec<u8>) -> Result<(), BspError> {
        if plain.len() > MAX_PLAIN {
            return Err(BspError::TooLong {
                got: plain.len(),
                max: MAX_PLAIN,
            });
        }
        let cipher_len = (plain.len() + 1).next_multiple_of(16);
        let mut buf = Vec::with_capacity(cipher_len);
        buf.extend_from_slice(plain);
        buf.push(0x80);
        buf.resize(cipher_len, 0);
        let mut chain = self.icv();
        for block in buf.chunks_exact_mut(16) {
            xor(block, &chain);
            let block: &mut [u8; 16] = block.try_into().map_err(|_| BspError::Padding)?;
            self.enc.encrypt_block(block.into());
            chain = *block;
        }
        self.seal(tag, &buf, out);
        Ok(())
    }

    /// Authenticates one segment without encryption; appends the whole data object to `out`.
    ///
    /// # Errors
    /// [`BspError::TooLong`] beyond [`MAX_PLAIN_MAC_ONLY`] bytes.
    pub fn mac_only(&mut self, tag: Tag, plain: &[u8], out: &mut Vec<u8>) -> Result<(), BspError> {
        if plain.len() > MAX_PLAIN_MAC_ONLY {
            return Err(BspError::TooLong {
                got: plain.len(),
                max: MAX_PLAIN_MAC_ONLY,
            });
        }
        self.seal(tag, plain, out);
        Ok(())
    }

    /// Checks the MAC of an encrypted segment and appends its plaintext to `out`.
    ///
    /// # Errors
    /// [`BspError::Mac`], [`BspError::Structure`], [`BspError::Padding`]; `out` is then unchanged.
    pub fn open(&mut self, segment: &Tlv<'_>, out: &mut Vec<u8>) -> Result<(), BspError> {
        let counter = self.counter;
        let data = self.verify(segment)?;
        if data.is_empty() || data.len() % 16 != 0 {
            return Err(BspError::Structure {
                got: segment.value.len(),
            });
        }
        let start = out.len();
        out.extend_from_slice(data);
        let mut chain = self.icv_of(counter);
        for (block, cipher) in out[start..].chunks_exact_mut(16).zip(data.chunks_exact(16)) {
            if let Ok(block) = <&mut [u8; 16]>::try_from(&mut *block) {
                self.enc.decrypt_block(block.into());
            }
            xor(block, &chain);
            chain.copy_from_slice(cipher);
        }
        match out[start..].iter().rposition(|b| *b != 0) {
            Some(end) if out[start + end] == 0x80 && data.len() - end <= 16 => {
                out.truncate(start + end);
                Ok(())
            }
            _ => {
                out[start..].zeroize();
                out.truncate(start);
                Err(BspError::Padding)
            }
        }
    }

    /// Checks the MAC of a segment; the result is what the MAC covers (plaintext for tag 0x88).
    ///
    /// # Errors
    /// [`BspError::Mac`], [`BspError::Structure`].
    pub fn verify<'a>(&mut self, segment: &Tlv<'a>) -> Result<&'a [u8], BspError> {
        let Some(data_len) = segment.value.len().checked_sub(MAC_LEN) else {
            return Err(BspError::Structure {
                got: segment.value.len(),
            });
        };
        let (data, mac) = segment.value.split_at(data_len);
        let full = self.compute_mac(segment.tag, data);
        if bool::from(full[..MAC_LEN].ct_eq(mac)) {
            self.advance(full);
            Ok(data)
        } else {
            Err(BspError::Mac)
        }
    }

    fn seal(&mut self, tag: Tag, data: &[u8], out: &mut Vec<u8>) {
        let full = self.compute_mac(tag, data);
        out.reserve(4 + data.len() + MAC_LEN);
        let mut header = Writer::with_capacity(4);
        header.header(tag, data.len() + MAC_LEN);
        out.extend_from_slice(header.as_slice());
        out.extend_from_slice(data);
        out.extend_from_slice(&full[..MAC_LEN]);
        self.advance(full);
    }

    /// CMAC over chaining value ‖ tag ‖ length (MAC included) ‖ data.
    fn compute_mac(&self, tag: Tag, data: &[u8]) -> [u8; 16] {
        let mut header = Writer::with_capacity(5);
        header.header(tag, data.len() + MAC_LEN);
        debug_assert_eq!(
            header.as_slice().len(),
            1 + length_len(data.len() + MAC_LEN)
        );
        let mut mac = self.mac.clone();
        mac.update(&self.chaining);
        mac.update(header.as_slice());
        mac.update(data);
        mac.finalize().into_bytes().into()
    }

    fn advance(&mut self, full_mac: [u8; 16]) {
        self.chaining = full_mac;
        self.counter += 1;
    }

    fn icv(&self) -> [u8; 16] {
        self.icv_of(self.counter)
    }

    /// The ICV is the segment's number, 16 bytes big-endian, encrypted.
    fn icv_of(&self, counter: u32) -> [u8; 16] {
        let mut block = u128::from(counter).to_be_bytes();
        self.enc.encrypt_block((&mut block).into());
        block
    }
}

impl Drop for Bsp {
    fn drop(&mut self) {
        self.chaining.zeroize();
    }
}

impl fmt::Debug for Bsp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bsp")
            .field("counter", &self.counter)
            .finish_non_exhaustive()
    }
}

fn xor(block: &mut [u8], with: &[u8; 16]) {
    for (b, w) in block.iter_mut().zip(with) {
        *b ^= w;
    }
}
