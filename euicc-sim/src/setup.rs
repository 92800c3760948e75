//! Makes the card that was asked for: identity, memory, randomness, quirks.

use crate::config::{Pki, Wanted};
use crate::credentials::{self, ChainFiles, Places, TEST_EID};
use crate::nvm::{CardNvm, Enables, FileNvm};
use crate::port::{CardPort, Port};
use crate::seeded::Seeded;
use aid_cli::cli::Failure;
use aid_euicc::card::{Card, Credentials, Identity, IdentityError, Options};
use aid_rsp::crypto::SoftwareCrypto;
use aid_rsp::es10::{eid_check_digits_fit, eid_digits, eid_from_digits};
use aid_rsp::pki::RspPki;
use getrandom::SysRng;
use rand_core::{CryptoRng, UnwrapErr};
use std::path::PathBuf;
use std::sync::Arc;

/// Everything that is needed to serve a card.
pub(crate) struct Setup {
    pub(crate) wanted: Wanted,
    pub(crate) crypto: SoftwareCrypto,
    pub(crate) identity: Arc<Identity>,
    options: Options,
    /// A PKI that was minted for this run and is not on disk yet.
    minted: Option<Minted>,
}

/// A new PKI, and the folder where it is to be kept.
struct Minted {
    pki: RspPki,
    folder: PathBuf,
}

impl Setup {
    /// Reads everything that is named, and checks that it makes one card.
    pub(crate) fn new(wanted: Wanted) -> Result<Self, Failure> {
        let eid = match &wanted.eid {
            None => None,
            Some(digits) => Some(eid_from_digits(digits).ok_or_else(|| {
                let source = &wanted.source;
                Failure::new(format!(
                    "{source}: eid = {digits:?} is no EID; write its 32 digits"
                ))
            })?),
        };
        let mut minted = None;
        let (credentials, places) = match &wanted.pki {
            Pki::Files(files) => {
                let chain = ChainFiles {
                    euicc: files.euicc.clone(),
                    eum: files.eum.clone(),
                    key: files.key.clone(),
                };
                let places = Places {
                    chains: vec![chain],
                    ci: files.ci.clone(),
                };
                (places.read()?, Some(places))
            }
            Pki::Folder(dir) => {
                let places = Places::of(dir)?;
                (places.read()?, Some(places))
            }
            Pki::Own => {
                let (credentials, places, new) = own(&wanted, eid.as_ref())?;
                minted = new;
                (credentials, places)
            }
        };
        let eid = match eid {
            Some(eid) => eid,
            None => match credentials.chains.first() {
                Some(chain) => chain.euicc.eid()?,
                None => {
                    let folder = match &wanted.pki {
                        Pki::Folder(dir) => dir.display().to_string(),
                        _ => wanted.source.clone(),
                    };
                    return Err(Failure::new(format!(
                        "{folder}: there is no eUICC certificate; put eUICC/CERT_EUICC_ECDSA_NIST.der and \
                         eUICC/SK_EUICC_ECDSA_NIST.pem there, or make a whole PKI with euicc-sim mint-pki"
                    )));
                }
            },
        };
        if !eid_check_digits_fit(&eid) {
            let wrong = wrong_check_digits(&eid_digits(&eid));
            if wanted.strict_eid {
                let source = &wanted.source;
                return Err(Failure::new(format!("{source}: {wrong}")));
            }
            tracing::warn!("{wrong}");
        }
        let crypto = SoftwareCrypto::new();
        let identity = Identity::new(eid, credentials, &crypto)
            .map_err(|error| mismatch(&wanted, places.as_ref(), &error))?;
        let options = Options::default();
        let options = Options {
            memory: wanted.memory.unwrap_or(options.memory),
            root_ds: wanted.root_ds.clone(),
            rules: wanted.rules.clone().unwrap_or(options.rules),
            test_profiles: wanted.test_profiles,
            first_notification: match wanted.quirks.first_notification {
                Some(number) => number,
                None => options.first_notification,
            },
        };
        Ok(Self {
            wanted,
            crypto,
            identity: Arc::new(identity),
            options,
            minted,
        })
    }

    /// The EID, digits.
    pub(crate) fn eid(&self) -> String {
        eid_digits(self.identity.eid())
    }

    /// Makes the card from its memory, with its quirks around it. Where something fails, neither a new
    /// memory nor a new PKI is left behind.
    pub(crate) fn card(&self) -> Result<Box<dyn Port>, Failure> {
        let new = self.wanted.nvm.as_deref().filter(|nvm| !nvm.exists());
        let card = self.open().and_then(|card| {
            // Only now: the memory is there, is ours, and belongs to this card.
            if let Some(Minted { pki, folder }) = &self.minted {
                credentials::write(pki, folder)?;
                tracing::info!(folder = %folder.display(), "minted a PKI; an SM-DP+ needs it too");
            }
            Ok(card)
        });
        if let (Err(_), Some(nvm)) = (&card, new) {
            // It may not have come so far.
            let _ = std::fs::remove_file(nvm);
        }
        card
    }

    fn open(&self) -> Result<Box<dyn Port>, Failure> {
        let quirks = &self.wanted.quirks;
        let enables = Enables::default();
        let nvm = match &self.wanted.nvm {
            Some(path) => CardNvm::file(FileNvm::open(path)?),
            None => CardNvm::memory(),
        };
        let nvm = nvm.cut(quirks.power_cut).forget(&enables);
        let rng: Box<dyn CryptoRng + Send> = match self.wanted.seed {
            Some(seed) => Box::new(Seeded::new(seed, "card")),
            None => Box::new(UnwrapErr(SysRng)),
        };
        let crypto = Arc::new(self.crypto.clone());
        let identity = Arc::clone(&self.identity);
        let card = Card::new(nvm, crypto, rng, identity, self.options.clone());
        let mut card = card.map_err(|error| {
            let path = self.wanted.nvm.as_ref();
            let path = path.map_or_else(|| "memory".into(), |p| p.display().to_string());
            Failure::new(format!("{path}: {error}; configure another nvm"))
        })?;
        card.set_clock(Box::new(self.wanted.time));
        let port = Box::new(CardPort::new(card, enables, quirks.enable_lost));
        Ok(quirks.wrap(port, self.wanted.seed.unwrap_or(0)))
    }
}

/// What is said of an EID whose check digits are wrong.
pub(crate) fn wrong_check_digits(eid: &str) -> String {
    format!(
        "the check digits of EID {eid} are wrong (SGP.29): others may refuse this card; \
         correct the last two digits"
    )
}

/// The files of the card's certificates, where it has some.
pub(crate) fn certificates(wanted: &Wanted) -> Vec<PathBuf> {
    let places = match &wanted.pki {
        Pki::Files(files) => {
            let own = [&files.euicc, &files.eum].into_iter().chain(&files.ci);
            return own.cloned().collect();
        }
        Pki::Folder(dir) => Places::of(dir),
        Pki::Own => match wanted.nvm.as_deref().map(Wanted::own_pki) {
            Some(folder) => Places::of(&folder),
            None => return Vec::new(),
        },
    };
    // A folder that is not usable is reported when it is read.
    let Ok(places) = places else {
        return Vec::new();
    };
    let chains = places.chains.into_iter();
    let chains = chains.flat_map(|chain| [chain.euicc, chain.eum]);
    chains.chain(places.ci).collect()
}

/// A PKI of the card's own: what was minted for this memory before, or a new one.
fn own(
    wanted: &Wanted,
    eid: Option<&[u8; 16]>,
) -> Result<(Credentials, Option<Places>, Option<Minted>), Failure> {
    let folder = wanted.nvm.as_deref().map(Wanted::own_pki);
    if let Some(folder) = folder.as_deref().filter(|f| f.exists()) {
        let places = Places::of(folder)?;
        return Ok((places.read()?, Some(places), None));
    }
    let test = eid_from_digits(TEST_EID);
    let eid = eid
        .or(test.as_ref())
        .ok_or_else(|| Failure::new("no EID"))?;
    let pki = credentials::mint(eid, "localhost", None, wanted.seed)?;
    let credentials = credentials::minted(&pki)?;
    let minted = folder.map(|folder| Minted { pki, folder });
    if minted.is_none() {
        tracing::info!(
            "minted a PKI that nobody else has; --pki or --nvm gives one that an SM-DP+ can share"
        );
    }
    Ok((credentials, None, minted))
}

fn mismatch(wanted: &Wanted, places: Option<&Places>, error: &IdentityError) -> Failure {
    let Some(places) = places else {
        return Failure::new(error.to_string());
    };
    let files = |pick: fn(&ChainFiles) -> &PathBuf| {
        let names = places.chains.iter().map(|c| pick(c).display().to_string());
        names.collect::<Vec<_>>().join(", ")
    };
    let remedy = match error {
        IdentityError::Eid { .. } => {
            let euicc = files(|c| &c.euicc);
            format!("correct eid, or the eUICC certificate, which is {euicc}")
        }
        IdentityError::NoChain | IdentityError::SameCi { .. } => {
            "check the eUICC certificates".into()
        }
        IdentityError::NoCi => "list it under certificates.ci".into(),
        IdentityError::Ci { number, .. } => {
            let path = places.ci.get(number - 1).map(|p| p.display().to_string());
            format!("it is {}", path.unwrap_or_default())
        }
        IdentityError::Chain(_) => format!(
            "check the CI, EUM ({}) and eUICC ({}) certificates",
            files(|c| &c.eum),
            files(|c| &c.euicc)
        ),
        IdentityError::Key | IdentityError::BadKey(_) => {
            format!("the key is {}", files(|c| &c.key))
        }
    };
    Failure::new(format!("{}: {error}; {remedy}", wanted.source))
}
