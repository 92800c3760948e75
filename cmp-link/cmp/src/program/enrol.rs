//! `vehicle enrol`: a vehicle takes part with one certificate, and no other of the gateway's CA will do.
//! The certificate is given, or issued from the vehicle's request (PKCS#10) by the operator's CA.

use super::admin::Admin;
use crate::config::{BROKER_CLIENT, Gateway};
use crate::gateway::broker::{self, Mosquitto};
use crate::operator::{Binding, Refusal, eid, issue, vin};
use aid_cli::cli::{Failure, say};
use aid_cli::list::show_all;
use aid_cli::{config, private, tls};
use aid_id::Eid;
use aid_serve::peer::{common_name, fingerprint};
use clap::{Args, Subcommand};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Largest file of a request or key, bytes.
const MAX_FILE: u64 = 64 * 1024;

/// A vehicle with its certificate.
#[derive(Debug, Args)]
pub(super) struct Enrol {
    /// Its vehicle identification number, 17 characters.
    #[arg(long)]
    vin: Option<String>,
    /// EID of its eUICC, 32 digits.
    #[arg(long)]
    eid: String,
    /// Its certificate (PEM or DER), whose common name is the EID.
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "csr",
        required_unless_present = "csr"
    )]
    cert: Option<PathBuf>,
    /// Its certificate request (PKCS#10, PEM or DER): the certificate is issued and written to --out.
    #[arg(long, value_name = "FILE", requires_all = ["ca_cert", "ca_key", "out"])]
    csr: Option<PathBuf>,
    /// With --csr: certificate of the issuing CA, one that `gateway.client_ca` has.
    #[arg(long, value_name = "FILE")]
    ca_cert: Option<PathBuf>,
    /// With --csr: its key.
    #[arg(long, value_name = "FILE")]
    ca_key: Option<PathBuf>,
    /// With --csr: where the certificate is written to (PEM); must not exist.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// With --csr: validity of the certificate.
    #[arg(long, default_value_t = 730, value_name = "DAYS")]
    days: u16,
    /// The unit with the eUICC was exchanged: the vehicle of this VIN had another EID, which is cut off
    /// now (A.4). Why, for the audit trail.
    #[arg(long, value_name = "REASON", requires = "vin")]
    exchange: Option<String>,
}

/// What somebody else's broker needs.
#[derive(Debug, Subcommand)]
pub(super) enum GatewayCommand {
    /// Print an access control list in mosquitto's format: each car its own two topics.
    Acl {
        /// Common name of aid-cmp's own certificate at the broker, once per instance; absent: that of gateway.cert where
        /// gateway.broker is set, else aid-cmp.
        #[arg(long, value_name = "NAME")]
        cmp: Vec<String>,
    },
    /// Write mosquitto.conf and aid.acl into a folder; then `mosquitto -c FOLDER/mosquitto.conf`.
    Mosquitto {
        /// The folder; made when absent, files in it are replaced.
        #[arg(long, value_name = "FOLDER")]
        dir: PathBuf,
        /// HOST:PORT where mosquitto listens; absent: gateway.listen, whose place it takes.
        #[arg(long)]
        listen: Option<String>,
        /// Its certificate; absent: gateway.cert, where gateway.listen is set.
        #[arg(long, value_name = "FILE")]
        cert: Option<PathBuf>,
        /// Its key; absent: gateway.key, where gateway.listen is set.
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
        /// Common name of aid-cmp's own certificate at the broker, once per instance; absent: that of gateway.cert where
        /// gateway.broker is set, else aid-cmp.
        #[arg(long, value_name = "NAME")]
        cmp: Vec<String>,
        /// User that mosquitto runs as when it is started by root; absent: its default.
        #[arg(long)]
        user: Option<String>,
    },
}

fn read(file: &Path, what: &str) -> Result<Vec<u8>, Failure> {
    config::read(file, MAX_FILE, what)
}

/// The first certificate of a file.
fn certificate(file: &Path) -> Result<CertificateDer<'static>, Failure> {
    let list = tls::certificates(file)?;
    list.into_iter()
        .next()
        .ok_or_else(|| Failure::new(format!("{} has no certificate", file.display())))
}

impl Enrol {
    /// The certificate, and its PEM where it was issued now.
    fn certificate(&self, eid: Eid) -> Result<(CertificateDer<'static>, Option<String>), Failure> {
        if let Some(file) = &self.cert {
            return Ok((certificate(file)?, None));
        }
        let (Some(csr), Some(ca_cert), Some(ca_key), Some(out)) =
            (&self.csr, &self.ca_cert, &self.ca_key, &self.out)
        else {
            return Err(Failure::usage(
                "give --cert, or --csr with --ca-cert, --ca-key and --out",
            ));
        };
        if out.exists() {
            return Err(Failure::new(format!(
                "{} is there already; name another file",
                out.display()
            )));
        }
        let wrong = |file: &Path, e: &dyn std::fmt::Display| {
            Failure::new(format!("{} can't be used: {e}", file.display()))
        };
        let key = String::from_utf8(read(ca_key, "key")?).map_err(|e| wrong(ca_key, &e))?;
        let request = read(csr, "certificate request")?;
        let pem = issue(&request, &certificate(ca_cert)?, &key, eid, self.days)
            .map_err(|e| wrong(csr, &e))?;
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|e| Failure::new(format!("the certificate was not issued: {e}")))?;
        Ok((certificate, Some(pem)))
    }
}

impl Admin<'_> {
    pub(super) async fn enrol_vehicle(&self, enrol: Enrol) -> Result<(), Failure> {
        let eid = eid(&enrol.eid)?;
        let vin = enrol.vin.as_deref().map(vin).transpose()?;
        let (certificate, pem) = enrol.certificate(eid)?;
        let mut binding = Binding::of(eid, vin, &certificate).map_err(|e| {
            let file = enrol.cert.as_deref().unwrap_or(Path::new("(issued)"));
            Failure::new(format!("the certificate {} {e}", file.display()))
        })?;
        binding.exchange = enrol.exchange;
        // The file first: what is bound without it could never connect.
        let issued = pem.zip(enrol.out);
        if let Some((pem, out)) = &issued {
            private::write(out, pem.as_bytes())
                .map_err(|e| Failure::new(format!("cannot write {}: {e}", out.display())))?;
        }
        if let Err(refused) = self.operator.enrol_vehicle(binding).await {
            // Where the database fails, nobody knows whether the certificate is bound: then the file stays.
            if let (Some((_, out)), false) = (&issued, matches!(refused, Refusal::Store(_))) {
                let _ = std::fs::remove_file(out);
            }
            return Err(refused.into());
        }
        self.show(self.operator.show_vehicle(eid.as_str()).await)
    }
}

/// Largest file of vehicles, bytes.
const MAX_LIST: u64 = 64 << 20;

impl Admin<'_> {
    /// Lets the vehicles of a file take part.
    pub(super) async fn import_vehicles(&self, file: &Path) -> Result<(), Failure> {
        let text = config::read(file, MAX_LIST, "list of vehicles")?;
        match self
            .operator
            .import_vehicles(&text, self.dry_run, false)
            .await
        {
            Ok(lines) => {
                let row = json!({"lines": lines, "stored": !self.dry_run});
                self.show(Ok(row))
            }
            Err(Refusal::Lines(lines)) => {
                let rows = lines
                    .iter()
                    .map(|w| json!({"line": w.line, "text": w.text}));
                show_all(&["line", "text"], rows.collect(), self.json)?;
                let file = file.display();
                Err(Failure::new(format!(
                    "nothing was stored: lines of {file} are wrong"
                )))
            }
            Err(other) => Err(other.into()),
        }
    }
}

/// SHA-256 of a client certificate, hexadecimal.
pub(super) fn hash_of(file: &Path) -> Result<String, Failure> {
    Ok(hex::encode(fingerprint(&certificate(file)?)))
}

/// `gateway acl` and `gateway mosquitto`.
pub(super) fn gateway(
    gateway: &Gateway,
    command: &GatewayCommand,
    as_json: bool,
) -> Result<(), Failure> {
    // As long as aid-cmp is the server itself, gateway.cert is the server's, and no client's.
    let own = |given: &[String]| match (given, &gateway.broker) {
        ([], None) => Ok(vec![BROKER_CLIENT.to_owned()]),
        ([], Some(_)) => match common_name(&certificate(&gateway.cert)?) {
            Some(name) => Ok(vec![name]),
            None => {
                let file = gateway.cert.display();
                Err(Failure::new(format!(
                    "{file} has no common name; give --cmp"
                )))
            }
        },
        (names, _) => Ok(names.to_vec()),
    };
    let acl_of = |given: &[String]| broker::acl(&own(given)?).map_err(Failure::usage);
    match command {
        GatewayCommand::Acl { cmp } => {
            let acl = acl_of(cmp)?;
            say(acl.trim_end(), json!({"acl": acl}), as_json)
        }
        GatewayCommand::Mosquitto {
            dir,
            listen,
            cert,
            key,
            cmp,
            user,
        } => {
            let client_ca = gateway.client_ca.as_ref().ok_or_else(|| {
                Failure::new("gateway.client_ca is needed: the CA of the vehicles' certificates")
            })?;
            let listen = listen.as_ref().or(gateway.listen.as_ref());
            let listen = listen.ok_or_else(|| Failure::usage("give --listen HOST:PORT"))?;
            let server = |given: &Option<PathBuf>, own: &PathBuf, option: &str| match given {
                Some(file) => Ok(file.clone()),
                None if gateway.listen.is_some() => Ok(own.clone()),
                None => Err(Failure::usage(format!(
                    "give {option}: with gateway.broker, {} is aid-cmp's own, and not the broker's",
                    own.display()
                ))),
            };
            let (cert, key) = (
                server(cert, &gateway.cert, "--cert")?,
                server(key, &gateway.key, "--key")?,
            );
            let list = acl_of(cmp)?;
            let wrong =
                |e: std::io::Error| Failure::new(format!("cannot write to {}: {e}", dir.display()));
            private::create_dir_all(dir).map_err(wrong)?;
            let dir = dir.canonicalize().map_err(wrong)?;
            let whole = |file: &Path| file.canonicalize().unwrap_or_else(|_| file.to_owned());
            let (acl, conf) = (dir.join("aid.acl"), dir.join("mosquitto.conf"));
            let text = broker::mosquitto(Mosquitto {
                listen,
                cert: &whole(&cert),
                key: &whole(&key),
                client_ca: &whole(client_ca),
                acl: &acl,
                user: user.as_deref(),
            });
            let text = text.map_err(Failure::usage)?;
            private::write(&acl, list.as_bytes()).map_err(wrong)?;
            private::write(&conf, text.as_bytes()).map_err(wrong)?;
            let (acl, conf) = (acl.display().to_string(), conf.display().to_string());
            let start = format!("mosquitto -c {conf}");
            let row = json!({"acl": acl, "conf": conf, "start": start});
            say(&start, row, as_json)
        }
    }
}
