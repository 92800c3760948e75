//! The X.509 certificates of the AID side, with a CA for each role, so that a certificate is accepted at no door but its
//! own: servers on localhost; CMP and MSP as clients of each other and of the SM-DP+; cars, and the CMP as a client beside
//! them where the gateway is a broker. TLS only, so rcgen makes them; the RSP certificates come from `aid_rsp::pki`.

use super::{Car, write};
use aid_cli::cli::Failure;
use aid_cli::config;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Servers: AID1, portal and gateway of the CMP, AID1 and touchpoint of the MSP, ES2+ of the SM-DP+, AID1 of the hub.
const SERVERS: [&str; 4] = ["cmp-server", "msp-server", "smdp-server", "hub-server"];
/// Clients on AID1 and ES2+.
const PARTNERS: [&str; 3] = ["cmp", "msp", "hub"];
/// The CMP as a client of a broker: files, and common name, which is its MQTT client id there.
const BROKER_CLIENT: (&str, &str) = ("cmp-broker", "aid-cmp");

/// CA of the servers: what clients trust.
pub(super) const CA: &str = "ca.pem";
/// CA of CMP and MSP as clients: what AID1 and ES2+ trust.
pub(super) const PARTNERS_CA: &str = "partners-ca.pem";
/// CA of the cars: what the gateway trusts.
pub(super) const CARS_CA: &str = "cars-ca.pem";

const DAY: Duration = Duration::from_secs(86_400);
/// Common name of the cars' CA: what [`cars_issuer`] signs as.
const CARS: &str = "AID test cars CA";
/// Largest key file, bytes.
const MAX_KEY: u64 = 16 << 10;

/// Writes the three CAs' certificates and keys, `<name>.pem` and `<name>.key` for each server and client, and for each car
/// `car.pem` and `car.key` (with its suffix), whose common name is the EID. `instances` is how many instances the CMP has
/// beyond the first: a broker tells them apart by `aid-cmp-2` and so on, of `cmp-broker-2.pem` and so on.
pub(super) fn write(
    dir: &Path,
    cars: &[Car],
    instances: usize,
    now: SystemTime,
) -> Result<(), Failure> {
    let ca = authority(dir, CA, "AID test servers CA", now)?;
    for name in SERVERS {
        let mut server = params(name, now)?;
        server.subject_alt_names = vec![
            SanType::DnsName("localhost".try_into()?),
            SanType::IpAddress(Ipv4Addr::LOCALHOST.into()),
        ];
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf(dir, name, server, &ca)?;
    }
    let ca = authority(dir, PARTNERS_CA, "AID test partners CA", now)?;
    for name in PARTNERS {
        client(dir, name, name, &ca, now)?;
    }
    let ca = authority(dir, CARS_CA, CARS, now)?;
    let (file, name) = BROKER_CLIENT;
    client(dir, file, name, &ca, now)?;
    for n in 2..instances + 2 {
        client(
            dir,
            &format!("{file}-{n}"),
            &format!("{name}-{n}"),
            &ca,
            now,
        )?;
    }
    for one in cars {
        car(dir, one, &ca, now)?;
    }
    Ok(())
}

/// Writes the certificate and key of one car.
pub(super) fn car(
    dir: &Path,
    car: &Car,
    ca: &Issuer<'_, KeyPair>,
    now: SystemTime,
) -> Result<(), Failure> {
    client(dir, &format!("car{}", car.suffix), &car.eid, ca, now)
}

/// The cars' CA of a set-up that was written before.
pub(super) fn cars_issuer(
    dir: &Path,
    now: SystemTime,
) -> Result<Issuer<'static, KeyPair>, Failure> {
    let file = dir.join(CARS_CA).with_extension("key");
    let wrong = |e: &dyn std::fmt::Display| {
        Failure::new(format!(
            "the key of the cars' CA, {}, can't be used: {e}; set-ups of releases before 0.2 kept none: make a new one",
            file.display()
        ))
    };
    let key = config::read(&file, MAX_KEY, "key").map_err(|e| wrong(&e.text))?;
    let key = String::from_utf8(key).map_err(|e| wrong(&e))?;
    let key = KeyPair::from_pem(&key).map_err(|e| wrong(&e))?;
    Ok(Issuer::new(authority_params(CARS, now)?, key))
}

fn authority_params(name: &str, now: SystemTime) -> Result<CertificateParams, Failure> {
    let mut ca = params(name, now)?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(ca)
}

fn authority(
    dir: &Path,
    file: &str,
    name: &str,
    now: SystemTime,
) -> Result<CertifiedIssuer<'static, KeyPair>, Failure> {
    let ca = CertifiedIssuer::self_signed(authority_params(name, now)?, KeyPair::generate()?)?;
    let file = dir.join(file);
    write::file(&file, ca.pem().as_bytes())?;
    // Kept, so that cars and certificates can be added later.
    let key = ca.key().serialize_pem();
    write::file(&file.with_extension("key"), key.as_bytes())?;
    Ok(ca)
}

fn client(
    dir: &Path,
    file: &str,
    common_name: &str,
    ca: &Issuer<'_, KeyPair>,
    now: SystemTime,
) -> Result<(), Failure> {
    let mut client = params(common_name, now)?;
    client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    leaf(dir, file, client, ca)
}

pub(super) fn params(common_name: &str, now: SystemTime) -> Result<CertificateParams, Failure> {
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    // A day back, because a car's clock may be behind.
    params.not_before = (now - DAY).into();
    params.not_after = (now + 730 * DAY).into();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    Ok(params)
}

/// Another CA, for the vehicles of a fleet: its certificate in PEM, and what signs.
pub(super) fn fleet_ca(now: SystemTime) -> Result<(String, Issuer<'static, KeyPair>), Failure> {
    let ca = authority_params("AID fleet CA", now)?;
    let key = KeyPair::generate()?;
    let pem = ca.self_signed(&key)?.pem();
    Ok((pem, Issuer::new(ca, key)))
}

fn leaf(
    dir: &Path,
    file: &str,
    mut params: CertificateParams,
    ca: &Issuer<'_, KeyPair>,
) -> Result<(), Failure> {
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, ca)?;
    write::file(
        &dir.join(format!("{file}.pem")),
        certificate.pem().as_bytes(),
    )?;
    write::file(
        &dir.join(format!("{file}.key")),
        key.serialize_pem().as_bytes(),
    )
}
