//! Many cards in this process, each as real as one alone: its own EID, key, certificate, download with
//! P-256, enabled profile. What one of them needs in memory is the growth of the process by their number.

use super::download::plain;
use super::processor_us;
use crate::site::{Aka, Subject};
use crate::story::{Challenge, challenge};
use aid_cli::cli::Failure;
use aid_euicc::card::{Card, Options};
use aid_euicc::nvm::Memory;
use aid_hostile::world::World;
use aid_hostile::{Reader, one_time_key};
use aid_rsp::crypto::{Crypto, SoftwareCrypto};
use aid_rsp::es8::segments;
use aid_rsp::es10::{DataObject, EnableProfileRequest, FinalResult, ProfileIdentifier};
use aid_rsp::saip::ProfileHeader;
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// AUTHENTICATE commands on one card, to time them.
const AUTHENTICATIONS: u32 = 20_000;

/// What many cards showed.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Crowd {
    /// How many; each was made, and authenticated when all were there.
    pub(super) cards: u32,
    /// Time to make them, seconds.
    pub(super) seconds: f64,
    /// Memory of one, KiB.
    pub(super) kib: f64,
    /// Bytes in the NVM of one, KiB.
    pub(super) nvm_kib: f64,
    /// Processor time of an AUTHENTICATE, microseconds.
    pub(super) authenticate_us: f64,
}

/// A card with an enabled profile, idle.
struct Idle {
    card: Card<Memory>,
    aka: Aka,
    sequence: u64,
}

impl Crowd {
    /// Makes so many cards and asks each of them.
    pub(super) fn measure(profile: Option<&Path>, cards: u32) -> Result<Self, Failure> {
        let world = World::mint(Arc::new(SoftwareCrypto::new()), 1);
        let given = profile.map(Subject::from_file).transpose()?.map(Arc::new);
        let subject = || match &given {
            Some(subject) => Ok(Arc::clone(subject)),
            None => Subject::build().map(Arc::new),
        };
        // The first one pays for tables and pages that all of them share.
        drop(Idle::make(&world, &*subject()?, 0)?);
        let before = resident_kib()?;
        let start = Instant::now();
        let mut crowd = Vec::with_capacity(cards as usize);
        for number in 1..=cards {
            crowd.push(Idle::make(&world, &*subject()?, number)?);
        }
        let seconds = start.elapsed().as_secs_f64();
        let kib = (resident_kib()? - before) / f64::from(cards);
        for idle in &mut crowd {
            idle.authenticate()?;
        }
        let first = crowd.first_mut();
        let first = first.ok_or_else(|| Failure::usage("--cards must be at least 1"))?;
        let nvm: usize = first.card.nvm().records().values().map(Vec::len).sum();
        let mut time = 0.0;
        for _ in 0..AUTHENTICATIONS {
            time += first.authenticate()?;
        }
        Ok(Self {
            cards,
            seconds,
            kib,
            nvm_kib: nvm as f64 / 1024.0,
            authenticate_us: time / f64::from(AUTHENTICATIONS),
        })
    }
}

impl Idle {
    fn make(world: &World, subject: &Subject, number: u32) -> Result<Self, Failure> {
        let eid = aid_id::Eid::with_check_digits(&format!("89049032{number:022}"))?;
        // A card has an instance of its own: its counters.
        let crypto: Arc<dyn Crypto> = Arc::new(SoftwareCrypto::new());
        let world = world.with_eid(eid.to_bcd(), crypto, u64::from(number) + 100);
        let card = world.card(Memory::new(), u64::from(number), Options::default());
        let mut reader = Reader::new(card);
        let prepared = reader.open_session(&world);
        let package = world.bind(&prepared, &one_time_key(&world), &plain(subject)?);
        let refused = |sw: u16| Failure::new(format!("card {number} answered {sw:04X}"));
        let result = reader.load(&segments(&package)?).map_err(refused)?;
        if !matches!(result, Some(FinalResult::Success { .. })) {
            return Err(Failure::new(format!("card {number}: {result:?}")));
        }
        let iccid = ProfileHeader::of_package(&subject.package)?.iccid_swapped();
        let request = EnableProfileRequest {
            profile: ProfileIdentifier::Iccid(iccid),
            refresh: false,
        };
        reader.es10(&request.to_vec()).map_err(refused)?;
        reader.power_on();
        let mut idle = Self {
            card: reader.into_card(),
            sequence: subject.next_sequence,
            aka: subject.aka.clone(),
        };
        idle.select()?;
        idle.authenticate()?;
        Ok(idle)
    }

    fn select(&mut self) -> Result<(), Failure> {
        let select = [0x00, 0xA4, 0x04, 0x0C, 7, 0xA0, 0, 0, 0, 0x87, 0x10, 0x02];
        match self.card.transmit(&select)[..] {
            [0x90, 0x00] => Ok(()),
            _ => Err(Failure::new("the card has no USIM")),
        }
    }

    /// One AUTHENTICATE with a new sequence number, whose RES is checked; its processor time,
    /// microseconds.
    fn authenticate(&mut self) -> Result<f64, Failure> {
        let wrong = |answer: &[u8]| {
            let answer = hex::encode(answer);
            Failure::new(format!("AUTHENTICATE was answered with {answer}"))
        };
        let bytes = (self.sequence << 5).to_be_bytes();
        self.sequence += 1;
        let mut sqn = [0; 6];
        sqn.copy_from_slice(&bytes[2..]);
        let rand = core::array::from_fn(|i| bytes[2 + i % 6] ^ i as u8);
        let Challenge { autn, res, .. } = challenge(&self.aka, rand, sqn);
        let mut apdu = vec![0x00, 0x88, 0x00, 0x81, 34, 16];
        apdu.extend_from_slice(&rand);
        apdu.push(16);
        apdu.extend_from_slice(&autn);
        apdu.push(0);
        let start = processor_us();
        let answer = self.card.transmit(&apdu);
        let time = processor_us() - start;
        match &answer[..] {
            [0xDB, length, rest @ .., 0x90, 0x00]
                if *length >= 8
                    && rest.starts_with(&res[..usize::from(*length).min(res.len())]) =>
            {
                Ok(time)
            }
            other => Err(wrong(other)),
        }
    }
}

/// Memory of this process that is in RAM, KiB.
pub(in crate::figures) fn resident_kib() -> Result<f64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")
        .map_err(|e| Failure::new(format!("cannot read /proc/self/status: {e}; needs Linux")))?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    line.and_then(|l| l.trim().strip_suffix(" kB"))
        .and_then(|n| n.trim().parse().ok())
        .ok_or_else(|| Failure::new("/proc/self/status has no VmRSS"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_in_one_process_are_each_their_own() {
        let crowd = Crowd::measure(None, 3).unwrap();
        assert_eq!(crowd.cards, 3);
        assert!(crowd.nvm_kib > 1.0);
        assert!(crowd.authenticate_us > 0.0);
    }

    /// A profile that aid-smdp makes on demand is downloaded, installed and enabled, and the SIM answers a network that
    /// has the keys which the operator is given.
    #[test]
    fn a_profile_made_on_demand_authenticates() {
        use aid_smdp::template::{Aka, Entry, Template};
        use getrandom::{SysRng, rand_core::UnwrapErr};
        let entry = |algorithm| Entry {
            name: format!("{algorithm:?}"),
            profile_type: "Lab".into(),
            iccid_first: match algorithm {
                Aka::Milenage => "894901000000000000".into(),
                Aka::Tuak => "894902000000000000".into(),
            },
            imsi_first: "001010000000001".into(),
            count: 10,
            mnc_digits: 2,
            algorithm,
            pin: "1234".into(),
            pin2: "5678".into(),
            smsp: None,
            metadata: Default::default(),
        };
        let entries = [entry(Aka::Milenage), entry(Aka::Tuak)];
        let here = Path::new(".");
        let templates = Template::all(&entries, here, "localhost", Default::default()).unwrap();
        let mut made = templates
            .iter()
            .map(|t| t.make(7, &mut UnwrapErr(SysRng)).unwrap());
        let (milenage, tuak) = (made.next().unwrap(), made.next().unwrap());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("made.der");
        std::fs::write(&file, &milenage.package).unwrap();
        let subject = Subject::from_file(&file).unwrap();
        assert_eq!(
            (&subject.iccid, &subject.imsi),
            (&milenage.stock.iccid, &milenage.secrets.imsi)
        );
        let bytes = |text: &str| <[u8; 16]>::try_from(hex::decode(text).unwrap()).unwrap();
        let aka = crate::site::Aka::Milenage {
            k: bytes(&milenage.secrets.k),
            opc: bytes(&milenage.secrets.opc),
        };
        assert!(subject.aka == aka, "the keys are those of the network");
        let crowd = Crowd::measure(Some(&file), 1).unwrap();
        assert!(crowd.authenticate_us > 0.0);
        // The bench's network has no TUAK: the card takes the profile, with the keys that the operator is given.
        let mut installer = aid_euicc::install::ProfileInstaller::new();
        let mut splitter = aid_rsp::saip::PeSplitter::new();
        splitter.push(&tuak.package);
        while let Some(element) = splitter.next_pe().unwrap() {
            installer.push(&element).unwrap();
        }
        let image = installer.finish().unwrap();
        assert_eq!(image.imsi().as_deref(), Some(tuak.secrets.imsi.as_str()));
        let aid_euicc::auth::Algorithm::Tuak(key) = &image.keys[0].algorithm else {
            panic!("another algorithm");
        };
        assert_eq!(hex::encode_upper(&key.k), tuak.secrets.k);
        assert_eq!(hex::encode_upper(key.topc), tuak.secrets.opc);
    }
}
