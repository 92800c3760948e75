//! Certificates for a fleet of light vehicles under the set-up's own CA, all with one key: what is
//! measured is the gateway, not the generation of keys.

use super::{Site, aid_pki};
use aid_cli::cli::Failure;
use aid_cli::private;
use aid_id::Eid;
use rcgen::{ExtendedKeyUsagePurpose, Issuer, KeyPair};
use std::path::PathBuf;
use std::time::SystemTime;

/// A vehicle of the fleet.
#[derive(Debug, Clone)]
pub(crate) struct FleetVehicle {
    /// Its eUICC.
    pub(crate) eid: Eid,
    /// Its certificate, DER.
    pub(crate) certificate: Vec<u8>,
}

/// The fleet.
#[derive(Debug)]
pub(crate) struct Fleet {
    /// All vehicles.
    pub(crate) vehicles: Vec<FleetVehicle>,
    /// Their key, PKCS#8.
    pub(crate) key: Vec<u8>,
    /// The CA of the gateway's certificate.
    pub(crate) ca: PathBuf,
}

impl Fleet {
    /// Makes so many vehicles, and adds their CA to those that the gateway trusts.
    pub(crate) fn mint(site: &Site, count: u32) -> Result<Self, Failure> {
        let (ca, issuer) = aid_pki::fleet_ca(SystemTime::now())?;
        let pki = site.path("pki/aid");
        let trusted = pki.join(aid_pki::CARS_CA);
        let cars = std::fs::read_to_string(&trusted)?;
        // The gateway trusts the fleet's CA beside that of the set-up's cars.
        private::write(&trusted, format!("{cars}{ca}").as_bytes())?;
        let key = KeyPair::generate()?;
        let vehicles = (0..count)
            .map(|n| vehicle(&issuer, &key, n))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            vehicles,
            key: key.serialize_der(),
            ca: pki.join(aid_pki::CA),
        })
    }
}

fn vehicle(issuer: &Issuer<'_, KeyPair>, key: &KeyPair, n: u32) -> Result<FleetVehicle, Failure> {
    let eid = Eid::with_check_digits(&format!("89049032{n:022}"))?;
    let mut params = aid_pki::params(eid.as_str(), SystemTime::now())?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(key, issuer)?.der().to_vec();
    Ok(FleetVehicle { eid, certificate })
}
