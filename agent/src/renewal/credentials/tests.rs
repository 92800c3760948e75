//! A power cut at every step of a renewal, and once more in the life after it.

use super::*;
use crate::keys::{KeyName, RealDisk};
use aid_cli::validity;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, IsCa, Issuer,
    KeyPair,
};
use std::io;

const EID: &str = "89049032000000000000000000000001";

/// Does so many steps, and none after them.
struct CutDisk {
    left: usize,
}

impl CutDisk {
    fn step(&mut self, work: impl FnOnce(&mut RealDisk) -> io::Result<()>) -> io::Result<()> {
        let Some(left) = self.left.checked_sub(1) else {
            return Err(io::Error::other("power cut"));
        };
        self.left = left;
        work(&mut RealDisk)
    }
}

impl Disk for CutDisk {
    fn write(&mut self, file: &Path, bytes: &[u8]) -> io::Result<()> {
        self.step(|disk| disk.write(file, bytes))
    }
    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(|disk| disk.rename(from, to))
    }
    fn remove(&mut self, file: &Path) -> io::Result<()> {
        self.step(|disk| disk.remove(file))
    }
}

struct Site {
    folder: tempfile::TempDir,
    ca: Issuer<'static, KeyPair>,
    ca_der: Vec<u8>,
    own: Credentials,
    first: Vec<u8>,
}

fn site() -> Site {
    let folder = tempfile::tempdir().expect("folder");
    let mut params = CertificateParams::new(vec![]).expect("params");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("key");
    let ca_der = params.self_signed(&key).expect("CA").der().to_vec();
    let ca = Issuer::new(params, key);
    let (cert, key_file) = (folder.path().join("v.pem"), folder.path().join("v.key"));
    let key = KeyPair::generate().expect("key");
    let first = params_of(EID).signed_by(&key, &ca).expect("certificate");
    std::fs::write(&cert, first.pem()).expect("write");
    std::fs::write(&key_file, key.serialize_pem()).expect("write");
    let own = Credentials::new(&cert, KeyStore::new(KeyName::File(key_file)));
    Site {
        folder,
        ca,
        ca_der,
        own,
        first: first.der().to_vec(),
    }
}

fn params_of(eid: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec![]).expect("params");
    params.distinguished_name.push(DnType::CommonName, eid);
    params
}

impl Site {
    /// The CMP's answer to a request, of a certificate with these parameters.
    fn chain_of(&self, request: &[u8], params: &CertificateParams) -> Vec<Vec<u8>> {
        let der = request.into();
        let asked = CertificateSigningRequestParams::from_der(&der).expect("request");
        let own = params
            .signed_by(&asked.public_key, &self.ca)
            .expect("certificate");
        vec![own.der().to_vec(), self.ca_der.clone()]
    }

    /// A life of the car: it ends with the renewal done, or with a power cut.
    fn life(&self, disk: &mut dyn Disk, asked: &mut Vec<Id>) -> Result<(), KeyError> {
        // What the service's check of the configuration demands before anything is mended.
        self.own.resolver(Slot::Current).expect("a pair that fits");
        let mut pending = self.own.settle(disk)?;
        loop {
            let current = first(&self.own.cert).expect("certificate");
            pending = match pending {
                Pending::None if current.as_ref() != self.first => return Ok(()),
                Pending::None => {
                    let id = uuid::Uuid::new_v4().into_bytes();
                    self.own.begin(disk, (EID, id), &[])?
                }
                Pending::Requested { id, request } => {
                    asked.push(id);
                    let chain = self.chain_of(&request, &params_of(EID));
                    let now = validity::now();
                    self.own.accept(disk, (EID, &request), &chain, now)?;
                    Pending::Issued
                }
                Pending::Issued => {
                    self.own.resolver(Slot::Next).expect("the new pair fits");
                    self.own.promote(disk)?;
                    Pending::None
                }
            };
        }
    }
}

#[test]
fn a_power_cut_at_every_step_leaves_a_pair_that_works() {
    let mut cuts = 0;
    for first_cut in 0..64 {
        let mut second_cut = 0;
        let mut is_whole = false;
        loop {
            let site = site();
            let mut asked = Vec::new();
            let mut disk = CutDisk { left: first_cut };
            is_whole |= site.life(&mut disk, &mut asked).is_ok();
            let before = asked.clone();
            let mut disk = CutDisk { left: second_cut };
            let done = site.life(&mut disk, &mut asked).is_ok();
            cuts += 1;
            site.life(&mut RealDisk, &mut asked)
                .expect("the third life has no cut");
            // What was sent is asked for again, and nothing else.
            if let Some(id) = before.first() {
                assert!(asked.iter().all(|a| a == id), "{first_cut} {second_cut}");
            }
            site.own.resolver(Slot::Current).expect("the new pair");
            site.own.resolver(Slot::Previous).expect("the pair before");
            let names = std::fs::read_dir(site.folder.path()).expect("folder");
            let mut names: Vec<_> = names
                .map(|n| n.expect("name").file_name().into_string().expect("UTF-8"))
                .collect();
            names.sort();
            assert_eq!(names, ["v.key", "v.key.old", "v.pem", "v.pem.old"]);
            second_cut += 1;
            if done {
                break;
            }
        }
        if is_whole {
            // Two for the request, one for the certificate, five of the exchange.
            assert_eq!(first_cut, 8);
            assert!(cuts > 30, "{cuts}");
            return;
        }
    }
    panic!("a renewal has no end");
}

#[test]
fn what_was_not_asked_for_is_not_used() {
    let site = site();
    let pending = site.own.begin(&mut RealDisk, (EID, [1; 16]), &[]);
    let Ok(Pending::Requested { request, .. }) = pending else {
        panic!("{pending:?}");
    };
    let now = validity::now();
    let good = site.chain_of(&request, &params_of(EID));
    let mut expired = params_of(EID);
    expired.not_before = rcgen::date_time_ymd(2020, 1, 1);
    expired.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let other = KeyPair::generate().expect("key");
    let foreign = params_of(EID)
        .signed_by(&other, &site.ca)
        .expect("certificate");
    let stranger = self::site();
    for (chain, expected) in [
        (vec![], "there is none"),
        (vec![good[0].clone(); 5], "more than 4"),
        (site.chain_of(&request, &params_of("somebody")), "names"),
        (site.chain_of(&request, &expired), "expired"),
        (vec![foreign.der().to_vec()], "another key"),
        (vec![good[0].clone(), stranger.ca_der], "peer certificate"),
    ] {
        let error = site.own.accept(&mut RealDisk, (EID, &request), &chain, now);
        let error = error.expect_err(expected).to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
    assert!(!site.own.cert_file(Slot::Next).exists());
    // A clock of 1970 judges no dates.
    for at in [now, 0] {
        let taken = site.own.accept(&mut RealDisk, (EID, &request), &good, at);
        taken.expect("what was asked for");
    }
    assert_eq!(site.own.settle(&mut RealDisk), Ok(Pending::Issued));
    site.own.discard(&mut RealDisk).expect("given up");
    assert_eq!(site.own.settle(&mut RealDisk), Ok(Pending::None));
    site.own.resolver(Slot::Current).expect("as before");
}
