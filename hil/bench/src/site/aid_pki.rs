//! The X.509 certificates of the AID side: one CA; servers on localhost; CMP, MSP and car as clients.
//! TLS only, so rcgen makes them; the RSP certificates come from `aid_rsp::pki`.

use super::{Car, write};
use aid_shell::cli::Failure;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Servers: AID1, portal and gateway of the CMP, AID1 and touchpoint of the MSP, ES2+ of the SM-DP+.
const SERVERS: [&str; 3] = ["cmp-server", "msp-server", "smdp-server"];
/// Clients on AID1 and ES2+.
const CLIENTS: [&str; 2] = ["cmp", "msp"];

const DAY: Duration = Duration::from_secs(86_400);

/// Writes `ca.pem`, `<name>.pem` and `<name>.key` for each server and client, and for each car `car.pem`
/// and `car.key` (with its suffix), whose common name is the EID.
pub(super) fn write(dir: &Path, cars: &[Car], now: SystemTime) -> Result<(), Failure> {
    let mut ca = params("AID test CA", now)?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate()?)?;
    write::file(&dir.join("ca.pem"), ca.pem().as_bytes())?;
    for name in SERVERS {
        let mut server = params(name, now)?;
        server.subject_alt_names = vec![
            SanType::DnsName("localhost".try_into()?),
            SanType::IpAddress(Ipv4Addr::LOCALHOST.into()),
        ];
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf(dir, name, server, &ca)?;
    }
    let clients = CLIENTS.iter().map(|n| ((*n).to_owned(), *n));
    let cars = cars
        .iter()
        .map(|car| (format!("car{}", car.suffix), car.eid.as_str()));
    for (file, common_name) in clients.chain(cars) {
        let mut client = params(common_name, now)?;
        client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        leaf(dir, &file, client, &ca)?;
    }
    Ok(())
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
    let mut ca = params("AID fleet CA", now)?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate()?;
    let pem = ca.self_signed(&key)?.pem();
    Ok((pem, Issuer::new(ca, key)))
}

fn leaf(
    dir: &Path,
    file: &str,
    mut params: CertificateParams,
    ca: &CertifiedIssuer<'_, KeyPair>,
) -> Result<(), Failure> {
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, ca)?;
    write::file(
        &dir.join(format!("{file}.pem")),
        certificate.pem().as_bytes(),
    )?;
    write::secret(
        &dir.join(format!("{file}.key")),
        key.serialize_pem().as_bytes(),
    )
}
