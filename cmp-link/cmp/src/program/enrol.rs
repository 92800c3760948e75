//! `vehicle enrol`: a vehicle takes part with one certificate, and no other of the gateway's CA will do.
//! The certificate is given, or issued from the vehicle's request (PKCS#10) by the operator's CA.

use super::admin::{Admin, changes, eid, show};
use super::procedures::{locked_car, vehicle, vehicle_row};
use crate::config::{BROKER_CLIENT, Gateway};
use crate::gateway::broker::{self, Mosquitto};
use crate::store::Tx;
use aid_cli::cli::{Failure, say};
use aid_cli::{config, private, tls};
use aid_cmp_core::change::{Change, FleetChange, Lock};
use aid_cmp_core::decide::{Context, Decision, deletion};
use aid_cmp_core::model::Vehicle;
use aid_id::Eid;
use aid_serve::peer::{common_name, fingerprint};
use clap::{Args, Subcommand};
use rcgen::{
    CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose, Issuer,
    KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer};
use serde_json::json;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Largest file of a request or key, bytes.
const MAX_FILE: u64 = 64 * 1024;
/// A day; a certificate is valid from the day before, because a car's clock may be behind.
const DAY: Duration = Duration::from_secs(86_400);

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

/// Issues the certificate of a request, whoever it says that it is for: this EID, TLS client only.
fn issue(
    csr: &Path,
    ca_cert: &Path,
    ca_key: &Path,
    eid: Eid,
    days: u16,
) -> Result<String, Failure> {
    let wrong = |file: &Path, e: &dyn std::fmt::Display| {
        Failure::new(format!("{} can't be used: {e}", file.display()))
    };
    let bytes = read(csr, "certificate request")?;
    let der = if bytes.first() == Some(&0x30) {
        CertificateSigningRequestDer::from(bytes)
    } else {
        CertificateSigningRequestDer::from_pem_slice(&bytes).map_err(|e| wrong(csr, &e))?
    };
    // The signature is checked here: who asks has the key.
    let asked = CertificateSigningRequestParams::from_der(&der).map_err(|e| wrong(csr, &e))?;
    let name = asked.params.distinguished_name.get(&DnType::CommonName);
    let name = name.map(|n| match n {
        rcgen::DnValue::PrintableString(text) => text.to_string(),
        rcgen::DnValue::Utf8String(text) => text.clone(),
        other => format!("{other:?}"),
    });
    if let Some(name) = name.filter(|n| n != eid.as_str()) {
        return Err(wrong(csr, &format!("it is for {name:?}, not for {eid}")));
    }
    let key = String::from_utf8(read(ca_key, "key")?).map_err(|e| wrong(ca_key, &e))?;
    let key = KeyPair::from_pem(&key).map_err(|e| wrong(ca_key, &e))?;
    let ca = certificate(ca_cert)?;
    let ca = Issuer::from_ca_cert_der(&ca, key).map_err(|e| wrong(ca_cert, &e))?;
    // Nothing of what the request wishes for is taken over but its key.
    let now = SystemTime::now();
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, eid.as_str());
    params.not_before = (now - DAY).into();
    params.not_after = (now + DAY * u32::from(days)).into();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    let issued = params.signed_by(&asked.public_key, &ca);
    Ok(issued.map_err(|e| wrong(ca_cert, &e))?.pem())
}

impl Enrol {
    /// The certificate, and its PEM where it was issued now.
    fn certificate(&self, eid: Eid) -> Result<(CertificateDer<'static>, Option<String>), Failure> {
        if let Some(file) = &self.cert {
            let certificate = certificate(file)?;
            let name = common_name(&certificate);
            if name.as_deref() == Some(eid.as_str()) {
                return Ok((certificate, None));
            }
            return Err(Failure::new(format!(
                "the certificate {} names {}, not {eid}; a vehicle's common name is its EID",
                file.display(),
                name.as_deref().unwrap_or("nobody")
            )));
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
        let pem = issue(csr, ca_cert, ca_key, eid, self.days)?;
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|e| Failure::new(format!("the certificate was not issued: {e}")))?;
        Ok((certificate, Some(pem)))
    }
}

impl Admin<'_> {
    pub(super) async fn enrol_vehicle(&self, enrol: Enrol) -> Result<(), Failure> {
        let eid = eid(&enrol.eid)?;
        let vin = enrol
            .vin
            .as_deref()
            .map(super::procedures::vin)
            .transpose()?;
        let (certificate, pem) = enrol.certificate(eid)?;
        let fingerprint = hex::encode(fingerprint(&certificate));
        // The file first: what is bound without it could never connect.
        let issued = pem.zip(enrol.out);
        if let Some((pem, out)) = &issued {
            private::write(out, pem.as_bytes())
                .map_err(|e| Failure::new(format!("cannot write {}: {e}", out.display())))?;
        }
        let (wanting, exchange) = (self.wanting(), enrol.exchange);
        let bind = async move |tx: &Tx<'_>, context: &Context| {
            let refused = |text: String| Ok((Decision::default(), Err(Failure::new(text))));
            let retired = format!("the vehicle {eid} was retired; its eUICC takes part no more");
            let is_retired =
                |v: &Option<Vehicle>| v.as_ref().is_some_and(|v| v.retired_at.is_some());
            if is_retired(&tx.vehicle(eid).await?) {
                return refused(retired);
            }
            let mut enrolled = Vec::new();
            if let Some(vin) = &vin {
                // Two enrolments with one VIN come one after the other, whichever cars they are about. A row of attempts
                // without an attempt is a lock for whatever its key names.
                tx.lock(Lock::Attempts(format!("vin:{vin}"))).await?;
            }
            if let Some(old) = holder(tx, vin.as_deref(), eid).await? {
                let Some(reason) = &exchange else {
                    return refused(format!(
                        "the vehicle with this VIN has EID {}; if its unit was exchanged, say so with \
                         --exchange REASON",
                        old.eid
                    ));
                };
                // All cars before the users, in their order.
                for car in BTreeSet::from([old.eid, eid]) {
                    tx.lock(Lock::Vehicle(car)).await?;
                }
                let car = locked_car(tx, old.eid, &wanting).await?;
                enrolled.extend(deletion::gone(context, &car, None, reason).changes);
            }
            tx.lock(Lock::Vehicle(eid)).await?;
            let known = tx.vehicle(eid).await?;
            if is_retired(&known) {
                return refused(retired);
            }
            if known.is_none() {
                enrolled.push(Change::AddVehicle(Vehicle::new(eid, context.now)));
            }
            enrolled.push(Change::Fleet(FleetChange::Enrol {
                eid,
                vin: vin.clone(),
                certificate: fingerprint.clone(),
                at: context.now,
            }));
            let detail = format!("{eid} certificate {fingerprint}");
            enrolled.push(context.audit("operator", "vehicle enrolled", detail));
            Ok((changes(enrolled), Ok(())))
        };
        // Where the database fails, nobody knows whether the certificate is bound: then the file stays.
        if let Err(refused) = self.decide(bind).await? {
            if let Some((_, out)) = &issued {
                let _ = std::fs::remove_file(out);
            }
            return Err(refused);
        }
        let vehicle = self.look(async move |tx| vehicle(tx, eid).await).await?;
        show(vec![vehicle_row(&vehicle)], self.json)
    }
}

/// Who has this VIN and takes part, other than `eid`.
async fn holder(tx: &Tx<'_>, vin: Option<&str>, eid: Eid) -> Result<Option<Vehicle>, Failure> {
    match vin {
        Some(vin) => Ok(tx.vehicle_with_vin(vin, eid).await?),
        None => Ok(None),
    }
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
