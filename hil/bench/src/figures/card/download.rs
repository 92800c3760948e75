//! One download through the card, replayed, against the same cryptographic operations alone.
//!
//! A session is recorded once: the card's random numbers repeat, so a new card takes the same APDUs. Its
//! cryptography is recorded too, each call with its arguments, and the package that it opened. Both are
//! then run in turns in one thread: the card, and the bare operations with the same code on the same
//! bytes (ECDSA, ECDH, SHA-256 of what is signed, key derivation, AES and CMAC of every segment).

use super::processor_us;
use crate::site::Subject;
use aid_cli::cli::Failure;
use aid_euicc::card::{Card, Options};
use aid_euicc::nvm::Memory;
use aid_hostile::world::{Plain, World, metadata};
use aid_hostile::{Reader, Seeded, one_time_key};
use aid_rsp::bsp::Bsp;
use aid_rsp::crypto::{
    Crypto, CryptoError, CryptoStats, Curve, KeyPair, PrivateKey, PublicKey, SharedSecret,
    Signature, SoftwareCrypto,
};
use aid_rsp::es8::{segments, tags};
use aid_rsp::es10::{DataObject, FinalResult, PrepareDownloadResponse, StoreMetadataRequest};
use aid_rsp::saip::ProfileHeader;
use aid_rsp::tlv::Tlv;
use serde::Serialize;
use std::sync::{Arc, Mutex, PoisonError};

/// Rounds; the fastest third counts, so that a disturbance does not.
const ROUNDS: usize = 90;

/// What a download costs the card.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Download {
    /// Processor time in the card, microseconds.
    pub(super) card_us: f64,
    /// Processor time of its cryptography alone, microseconds.
    pub(super) crypto_us: f64,
    /// The first by the second.
    pub(super) ratio: f64,
    /// Commands.
    pub(super) apdus: usize,
    /// What the cryptography was.
    pub(super) operations: String,
}

/// One call of the card to its cryptography.
#[derive(Clone)]
enum Call {
    Sign(PrivateKey, Vec<u8>),
    Verify(PublicKey, Vec<u8>, Vec<u8>),
    Ecdh(PrivateKey, PublicKey),
    Generate(Curve),
    PublicKey(PrivateKey),
}

/// Cryptography that keeps what it was asked.
#[derive(Default)]
struct Recorder {
    inner: SoftwareCrypto,
    calls: Mutex<Vec<Call>>,
}

impl Recorder {
    fn keep(&self, call: Call) {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.push(call);
    }
}

impl Crypto for Recorder {
    fn sign(&self, key: &PrivateKey, parts: &[&[u8]]) -> Result<Signature, CryptoError> {
        self.keep(Call::Sign(key.clone(), parts.concat()));
        self.inner.sign(key, parts)
    }

    fn verify(&self, key: &PublicKey, parts: &[&[u8]], sig: &[u8]) -> Result<(), CryptoError> {
        self.keep(Call::Verify(*key, parts.concat(), sig.to_vec()));
        self.inner.verify(key, parts, sig)
    }

    fn ecdh(&self, own: &PrivateKey, peer: &PublicKey) -> Result<SharedSecret, CryptoError> {
        self.keep(Call::Ecdh(own.clone(), *peer));
        self.inner.ecdh(own, peer)
    }

    fn generate(&self, curve: Curve, rng: &mut dyn rand_core::CryptoRng) -> KeyPair {
        self.keep(Call::Generate(curve));
        self.inner.generate(curve, rng)
    }

    fn public_key(&self, key: &PrivateKey) -> Result<PublicKey, CryptoError> {
        self.keep(Call::PublicKey(key.clone()));
        self.inner.public_key(key)
    }

    fn stats(&self) -> &CryptoStats {
        self.inner.stats()
    }
}

/// A session that can be repeated.
struct Session {
    world: World,
    apdus: Vec<Vec<u8>>,
    calls: Vec<Call>,
    package: Vec<u8>,
}

impl Session {
    fn record(subject: &Subject) -> Result<Self, Failure> {
        let world = World::mint(Arc::new(SoftwareCrypto::new()), 1);
        let recorder = Arc::new(Recorder::default());
        let asked: Arc<dyn Crypto> = recorder.clone();
        let mut reader = Reader::new(card(&world, asked)?);
        recorder
            .calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        reader.record();
        // What an LPA asks first, and how it ends.
        let refused = |sw: u16| Failure::new(format!("the card answered {sw:04X}"));
        reader.es10(&[0xBF, 0x20, 0x00]).map_err(refused)?;
        let prepared = reader.open_session(&world);
        let plain = plain(subject)?;
        let package = world.bind(&prepared, &one_time_key(&world), &plain);
        let result = reader.load(&segments(&package)?).map_err(refused)?;
        if !matches!(result, Some(FinalResult::Success { .. })) {
            return Err(Failure::new(format!(
                "the card refused the profile: {result:?}"
            )));
        }
        reader.es10(&[0xBF, 0x2B, 0x00]).map_err(refused)?;
        reader.es10(&[0xBF, 0x30, 3, 0x80, 1, 0]).map_err(refused)?;
        let apdus = reader.recorded();
        let calls = recorder
            .calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let session = Self {
            world,
            apdus,
            calls,
            package,
        };
        session.check(&prepared)?;
        Ok(session)
    }

    /// The bare operations must be the card's: they open the same package.
    fn check(&self, prepared: &PrepareDownloadResponse) -> Result<(), Failure> {
        let PrepareDownloadResponse::Ok { euicc_signed2, .. } = prepared else {
            return Err(Failure::new("the card refused PrepareDownload"));
        };
        let otpk = &euicc_signed2.value().euicc_otpk;
        let keys = self.world.session_keys(otpk, &one_time_key(&self.world));
        let opened = open(&mut Bsp::new(&keys), &self.package)?;
        if opened == 0 || self.bare()? != opened {
            return Err(Failure::new(
                "the bare operations are not those of the card",
            ));
        }
        Ok(())
    }

    /// A new card takes the session; processor time in microseconds.
    fn card(&self) -> Result<f64, Failure> {
        let crypto = Arc::new(SoftwareCrypto::new());
        let mut reader = Reader::new(card(&self.world, crypto)?);
        let card = reader.card();
        let start = processor_us();
        for apdu in &self.apdus {
            let answer = card.transmit(apdu);
            if !matches!(answer.get(answer.len() - 2), Some(0x90 | 0x91 | 0x61)) {
                return Err(Failure::new("the session can't be repeated"));
            }
        }
        Ok(processor_us() - start)
    }

    /// The operations alone; the bytes that were opened.
    fn bare(&self) -> Result<usize, Failure> {
        let crypto = SoftwareCrypto::new();
        let mut rng = Seeded::new(3);
        let mut opened = 0;
        for call in &self.calls {
            match call {
                Call::Sign(key, message) => drop(crypto.sign(key, &[message])?),
                Call::Verify(key, message, sig) => crypto.verify(key, &[message], sig)?,
                Call::Generate(curve) => drop(crypto.generate(*curve, &mut rng)),
                Call::PublicKey(key) => drop(crypto.public_key(key)?),
                Call::Ecdh(own, peer) => {
                    let secret = crypto.ecdh(own, peer)?;
                    let mut bsp = Bsp::new(&self.world.derive(&secret));
                    opened = open(&mut bsp, &self.package)?;
                }
            }
        }
        Ok(opened)
    }

    fn operations(&self) -> String {
        let count = |wanted: fn(&Call) -> bool| self.calls.iter().filter(|c| wanted(c)).count();
        format!(
            "{} signatures, {} verifications, {} key agreements, {} key pairs, and {} bytes of package",
            count(|c| matches!(c, Call::Sign(..))),
            count(|c| matches!(c, Call::Verify(..))),
            count(|c| matches!(c, Call::Ecdh(..))),
            count(|c| matches!(c, Call::Generate(..) | Call::PublicKey(..))),
            self.package.len(),
        )
    }
}

fn card(world: &World, crypto: Arc<dyn Crypto>) -> Result<Card<Memory>, Failure> {
    let rng = Box::new(Seeded::new(2));
    let identity = Arc::clone(&world.identity);
    Ok(Card::new(
        Memory::new(),
        crypto,
        rng,
        identity,
        Options::default(),
    )?)
}

/// What the package carries: this profile with metadata that fit.
pub(super) fn plain(subject: &Subject) -> Result<Plain, Failure> {
    let header = ProfileHeader::of_package(&subject.package)?;
    let metadata = StoreMetadataRequest {
        iccid: header.iccid_swapped(),
        ..metadata(1)
    };
    Ok(Plain {
        elements: subject.package.clone(),
        metadata: metadata.to_vec(),
        ..Plain::of(1)
    })
}

/// Opens every segment of a package; the bytes inside.
fn open(bsp: &mut Bsp, package: &[u8]) -> Result<usize, Failure> {
    let mut plain = Vec::new();
    for sequence in Tlv::parse(package)?.children() {
        let sequence = sequence?;
        if !matches!(
            sequence.tag,
            tags::FIRST_87 | tags::SEQUENCE_OF_88 | tags::SEQUENCE_OF_86
        ) {
            continue;
        }
        for segment in sequence.children() {
            let segment = segment?;
            if segment.tag == tags::SEGMENT_88 {
                plain.extend_from_slice(bsp.verify(&segment)?);
            } else {
                bsp.open(&segment, &mut plain)?;
            }
        }
    }
    Ok(plain.len())
}

fn fastest_third(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    let third = &times[..times.len() / 3];
    third.iter().sum::<f64>() / third.len() as f64
}

impl Download {
    /// Records a session and runs it beside its cryptography, in turns.
    pub(super) fn measure(subject: &Subject) -> Result<Self, Failure> {
        let session = Session::record(subject)?;
        let (mut card, mut bare) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            card.push(session.card()?);
            let start = processor_us();
            session.bare()?;
            bare.push(processor_us() - start);
        }
        let (card_us, crypto_us) = (fastest_third(card), fastest_third(bare));
        Ok(Self {
            card_us,
            crypto_us,
            ratio: card_us / crypto_us,
            apdus: session.apdus.len(),
            operations: session.operations(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_download_is_repeated_by_the_card_and_by_its_cryptography_alone() {
        let session = Session::record(&Subject::build().unwrap()).unwrap();
        assert!(session.card().unwrap() > 0.0);
        assert!(session.bare().unwrap() > 1000);
        assert!(
            session.operations().starts_with("3 signatures"),
            "{}",
            session.operations()
        );
    }
}
