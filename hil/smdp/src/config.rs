//! The configuration file: TOML, paths relative to the file.

use aid_cli::cli::Failure;
use aid_cli::config;
use aid_rsp::cert::Certificate;
use aid_rsp::crypto::{Crypto, PrivateKey};
use aid_serve::admin;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::core::{Dp, Limits, Protection, Signer, Signers};
use crate::crypto::ServerCrypto;
use crate::operators::{self, Operators};
use crate::progress;
use crate::store::Retention;
use crate::template::{self, Template};

/// What `example-config` prints.
pub const EXAMPLE: &str = include_str!("../aid-smdp.example.toml");

/// Largest certificate or key file, bytes.
const MAX_FILE: u64 = 64 * 1024;

/// The whole file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// SQLite file, created when absent.
    pub database: PathBuf,
    /// Folder with SAIP packages (`.der`), and metadata beside them (`.toml`).
    pub inventory: PathBuf,
    /// FQDN, with port where it is not 443; port 0 becomes the real port of ES9+.
    pub address: String,
    /// Certificates of the CIs that eUICCs may be of, DER.
    pub ci: Vec<PathBuf>,
    /// Revocation lists of these CIs, DER; each is served under the name of its file.
    #[serde(default)]
    pub crl: Vec<PathBuf>,
    /// The listener for LPAs.
    pub es9: Es9,
    /// The listener for operators.
    pub es2: Es2,
    /// The listener for whoever runs the server: `/healthz`, `/readyz`, `/metrics`.
    #[serde(default)]
    pub admin: admin::Config,
    /// The operators that may call there; an empty list admits no one.
    #[serde(default)]
    pub operator: Vec<operators::Entry>,
    /// CERT.DPauth and its key.
    pub dpauth: Identity,
    /// CERT.DPpb and its key.
    pub dppb: Identity,
    /// The same under further CIs.
    #[serde(default)]
    pub further: Vec<Further>,
    /// How often and how long an order can be tried.
    #[serde(default)]
    pub orders: Limits,
    /// How operators are told of downloads.
    pub progress: Option<progress::Config>,
    /// Profiles that are made on demand.
    #[serde(default)]
    pub template: Vec<template::Entry>,
    /// For how long what is over is kept.
    #[serde(default)]
    pub retention: Retention,
    /// Keys of packages whose file in the inventory says nothing else.
    #[serde(default)]
    pub protection: Protection,
}

/// `[[further]]`: the server's certificates under another CI.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Further {
    /// CERT.DPauth and its key.
    pub dpauth: Identity,
    /// CERT.DPpb and its key.
    pub dppb: Identity,
}

/// `[es9]`: TLS.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Es9 {
    /// HOST:PORT.
    pub listen: String,
    /// Server certificate (CERT.DPtls), PEM or DER.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// `[es2]`: mutual TLS.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Es2 {
    /// HOST:PORT.
    pub listen: String,
    /// Server certificate, PEM or DER.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// CA of the operators' client certificates, PEM or DER.
    pub client_ca: PathBuf,
}

/// `[dpauth]`, `[dppb]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Certificate, DER.
    pub cert: PathBuf,
    /// Key, PEM or DER.
    pub key: PathBuf,
}

impl Config {
    /// Reads the file and makes its paths relative to it.
    ///
    /// # Errors
    /// Unreadable, not TOML, or with keys that are missing or unknown.
    pub fn load(file: &Path) -> Result<Self, Failure> {
        let mut config: Self = config::load(file)?;
        let paths = [
            &mut config.database,
            &mut config.inventory,
            &mut config.es9.cert,
            &mut config.es9.key,
            &mut config.es2.cert,
            &mut config.es2.key,
            &mut config.es2.client_ca,
            &mut config.dpauth.cert,
            &mut config.dpauth.key,
            &mut config.dppb.cert,
            &mut config.dppb.key,
        ];
        let further = config.further.iter_mut().flat_map(|f| {
            let Further { dpauth, dppb } = f;
            [
                &mut dpauth.cert,
                &mut dpauth.key,
                &mut dppb.cert,
                &mut dppb.key,
            ]
        });
        let lists = config.ci.iter_mut().chain(&mut config.crl);
        for path in paths.into_iter().chain(lists).chain(further) {
            *path = config::beside(file, path);
        }
        for icon in template::icons(&mut config.template) {
            *icon = config::beside(file, icon);
        }
        if let Some(progress) = &mut config.progress {
            progress.resolve(file);
        }
        config.admin.resolve(file);
        let address = &config.address;
        let valid = |b: u8| b.is_ascii_alphanumeric() || b".:-".contains(&b);
        if address.is_empty() || address.len() > 255 || !address.bytes().all(valid) {
            return Err(Failure::new(format!(
                "{}: address {address:?} is no host name; give it as activation codes shall carry it, e.g. \"smdp.example.com\"",
                file.display()
            )));
        }
        if let Err(why) = config.orders.check() {
            return Err(Failure::new(format!("{}: [orders] {why}", file.display())));
        }
        if config.ci.is_empty() {
            return Err(Failure::new(format!(
                "{}: ci is empty; give at least one CI certificate in DER",
                file.display()
            )));
        }
        Ok(config)
    }

    /// The operators that may call ES2+.
    ///
    /// # Errors
    /// An entry names nobody, has a malformed hash, or shares a certificate with another.
    pub fn operators(&self) -> Result<Operators, Failure> {
        let operators = Operators::new(&self.operator)?;
        if operators.is_empty() {
            tracing::warn!("no [[operator]] is named: nobody can order over ES2+");
        }
        Ok(operators)
    }

    /// The templates of profiles; `address` is where cards report.
    ///
    /// # Errors
    /// One that can't make profiles.
    pub fn templates(&self, address: &str) -> Result<Vec<Template>, Failure> {
        // Icons are named in full already.
        Template::all(&self.template, Path::new("."), address, self.protection)
    }

    /// The files of its certificates.
    #[must_use]
    pub fn certificates(&self) -> Vec<PathBuf> {
        let further = self.further.iter();
        let further = further.flat_map(|f| [&f.dpauth.cert, &f.dppb.cert]);
        [
            &self.es9.cert,
            &self.es2.cert,
            &self.es2.client_ca,
            &self.dpauth.cert,
            &self.dppb.cert,
        ]
        .into_iter()
        .chain(&self.ci)
        .chain(further)
        .chain(&self.admin.cert)
        .chain(&self.admin.client_ca)
        .chain(self.progress.iter().flat_map(|p| [&p.ca, &p.cert]))
        .cloned()
        .collect()
    }

    /// The files of its private keys.
    pub fn keys(&self) -> impl Iterator<Item = &Path> {
        let further = self.further.iter();
        let further = further.flat_map(|f| [&f.dpauth.key, &f.dppb.key]);
        let keys = [
            &self.es9.key,
            &self.es2.key,
            &self.dpauth.key,
            &self.dppb.key,
        ];
        let progress = self.progress.iter().map(|p| &p.key);
        let keys = keys.into_iter().chain(further).chain(&self.admin.key);
        let keys = keys.chain(progress);
        keys.map(PathBuf::as_path)
    }

    /// The SM-DP+'s identity from its files; `port` is the real one of ES9+, `now` in unix seconds.
    ///
    /// # Errors
    /// A file is unreadable or not what it should be, or they don't belong together.
    pub fn identity(&self, port: u16, now: u64) -> Result<Dp, Failure> {
        let ci = self
            .ci
            .iter()
            .map(|file| certificate(file))
            .collect::<Result<Vec<_>, _>>()?;
        let address = match self.address.strip_suffix(":0") {
            Some(host) => format!("{host}:{port}"),
            None => self.address.clone(),
        };
        let crypto: Arc<dyn Crypto> = Arc::new(ServerCrypto::new());
        let pairs = self.further.iter().map(|f| (&f.dpauth, &f.dppb));
        let signers = std::iter::once((&self.dpauth, &self.dppb))
            .chain(pairs)
            .map(|(auth, binding)| {
                Ok(Signers {
                    auth: auth.signer()?,
                    binding: binding.signer()?,
                })
            })
            .collect::<Result<Vec<_>, Failure>>()?;
        Dp::new(crypto, ci, signers, address, now).map_err(|e| {
            Failure::new(format!(
                "{e}; check [dpauth] {}, [dppb] {}, [[further]] and ci",
                self.dpauth.cert.display(),
                self.dppb.cert.display()
            ))
        })
    }
}

impl Identity {
    fn signer(&self) -> Result<Signer, Failure> {
        let bytes = config::read(&self.key, MAX_FILE, "key")?;
        let key = PrivateKey::from_pem_or_der(&bytes).map_err(|e| {
            Failure::new(format!(
                "{} has no usable key on NIST P-256 or brainpoolP256r1: {e}; give PKCS#8 or SEC1, unencrypted",
                self.key.display()
            ))
        })?;
        Ok(Signer {
            certificate: certificate(&self.cert)?,
            key,
        })
    }
}

fn certificate(file: &Path) -> Result<Certificate, Failure> {
    let bytes = config::read(file, MAX_FILE, "certificate")?;
    Certificate::from_der(&bytes).map_err(|e| {
        Failure::new(format!(
            "{} is no RSP certificate: {e}; give it in DER",
            file.display()
        ))
    })
}
