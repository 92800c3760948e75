//! A vehicle takes part with one certificate, and no other of the gateway's CA will do: bound as it is, or issued from the
//! vehicle's request (PKCS#10), at the desk or at the end of the assembly line.

use super::fleet::{Wanting, locked_car};
use super::{Operator, Refusal, changes};
use crate::store::Tx;
use aid_cmp_core::change::{Change, FleetChange, Lock};
use aid_cmp_core::decide::{Context, deletion};
use aid_cmp_core::model::Vehicle;
use aid_id::Eid;
use aid_serve::peer::{common_name, fingerprint};
use rcgen::{
    CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose, Issuer,
    KeyPair, KeyUsagePurpose, PublicKeyData as _,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer};
use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

/// A day; a certificate is valid from the day before, because a car's clock may be behind.
const DAY: Duration = Duration::from_secs(86_400);

/// A vehicle and the only certificate that it may come with.
#[derive(Debug, Clone)]
pub struct Binding {
    /// Its eUICC.
    pub eid: Eid,
    /// Its vehicle identification number.
    pub vin: Option<String>,
    /// SHA-256 of the certificate, hexadecimal.
    pub certificate: String,
    /// Why its unit was exchanged, where the VIN had another EID before, which is cut off now (A.4).
    pub exchange: Option<String>,
    /// Only a vehicle that is not bound yet, to a VIN that no other has: nothing that is bound is replaced.
    pub only_new: bool,
}

impl Binding {
    /// The binding of a certificate, whose common name is the EID.
    ///
    /// # Errors
    /// It names somebody else.
    pub fn of(eid: Eid, vin: Option<String>, certificate: &[u8]) -> Result<Self, String> {
        match common_name(certificate) {
            Some(name) if name == eid.as_str() => Ok(Self {
                eid,
                vin,
                certificate: hex::encode(fingerprint(certificate)),
                exchange: None,
                only_new: false,
            }),
            name => Err(format!(
                "names {}, not {eid}; a vehicle's common name is its EID",
                name.as_deref().unwrap_or("nobody")
            )),
        }
    }
}

/// Issues the certificate of a request (PEM or DER), whoever it says that it is for: this EID, TLS client only, PEM. `key`
/// is that of the CA, PEM.
///
/// # Errors
/// What can't be used, and why.
pub fn issue(
    request: &[u8],
    ca: &CertificateDer<'_>,
    key: &str,
    eid: Eid,
    days: u16,
) -> Result<String, String> {
    let asked = asked_by(request, eid)?;
    let key = KeyPair::from_pem(key).map_err(|e| format!("the CA's key can't be used: {e}"))?;
    let ca = Issuer::from_ca_cert_der(ca, key)
        .map_err(|e| format!("the CA's certificate can't be used: {e}"))?;
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
    Ok(issued
        .map_err(|e| format!("the certificate was not issued: {e}"))?
        .pem())
}

/// A certificate request (PEM or DER) whose signature shows that whoever asks has the key, and that names this EID or
/// nobody.
fn asked_by(request: &[u8], eid: Eid) -> Result<CertificateSigningRequestParams, String> {
    let der = if request.first() == Some(&0x30) {
        CertificateSigningRequestDer::from(request.to_vec())
    } else {
        CertificateSigningRequestDer::from_pem_slice(request)
            .map_err(|e| format!("the certificate request can't be used: {e}"))?
    };
    // The signature is checked here: who asks has the key.
    let asked = CertificateSigningRequestParams::from_der(&der)
        .map_err(|e| format!("the certificate request can't be used: {e}"))?;
    let name = asked.params.distinguished_name.get(&DnType::CommonName);
    let name = name.map(|n| match n {
        rcgen::DnValue::PrintableString(text) => text.to_string(),
        rcgen::DnValue::Utf8String(text) => text.clone(),
        other => format!("{other:?}"),
    });
    if let Some(name) = name.filter(|n| n != eid.as_str()) {
        return Err(format!(
            "the certificate request can't be used: it is for {name:?}, not for {eid}"
        ));
    }
    Ok(asked)
}

/// Shortest RSA key, bytes of its public part: 2048 bits of the modulus, and what DER adds.
const RSA_2048: usize = 256;
/// Longest RSA key, bytes of its public part: 4096 bits of the modulus, and what DER adds.
const RSA_4096: usize = 512 + 32;

/// Judges a request that came over AID2 (DER): proof of possession, subject, kind and size of the key.
///
/// # Errors
/// Why no certificate is issued for it.
pub fn judge(request: &[u8], eid: Eid) -> Result<(), String> {
    let asked = asked_by(request, eid)?;
    let (key, size) = (&asked.public_key, asked.public_key.der_bytes().len());
    let algorithm = key.algorithm();
    let is_curve = [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
    ]
    .contains(&algorithm);
    let is_rsa = [&rcgen::PKCS_RSA_SHA256, &rcgen::PKCS_RSA_SHA384].contains(&algorithm);
    match (is_curve, is_rsa, size) {
        (true, ..) | (_, true, RSA_2048..=RSA_4096) => Ok(()),
        (_, true, _) => Err("an RSA key has 2048 to 4096 bits".into()),
        _ => Err("a vehicle's key is on P-256 or P-384, or RSA of 2048 to 4096 bits".into()),
    }
}

/// The changes that bind a vehicle, with the locks of whomever they concern. None where it is bound like that already.
pub(super) async fn bind(
    tx: &Tx<'_>,
    context: &Context,
    binding: &Binding,
    wanting: &Wanting,
) -> Result<Vec<Change>, Refusal> {
    let Binding { eid, vin, .. } = binding;
    let eid = *eid;
    if binding.only_new && binding.exchange.is_some() {
        return Err(Refusal::forbidden("an exchange needs the role admin"));
    }
    let retired = || {
        let text = format!("the vehicle {eid} was retired; its eUICC takes part no more");
        Err(Refusal::conflict(text))
    };
    let is_retired = |v: &Option<Vehicle>| v.as_ref().is_some_and(|v| v.retired_at.is_some());
    if is_retired(&tx.vehicle(eid).await?) {
        return retired();
    }
    let mut enrolled = Vec::new();
    let mut held = None;
    if let Some(vin) = vin {
        // Two enrolments with one VIN come one after the other, whichever cars they are about. A row of attempts
        // without an attempt is a lock for whatever its key names.
        tx.lock(Lock::Attempts(format!("vin:{vin}"))).await?;
        held = tx.vehicle_with_vin(vin, eid).await?;
    }
    if let Some(old) = held {
        let Some(reason) = &binding.exchange else {
            return Err(Refusal::conflict(format!(
                "the vehicle with this VIN has EID {}; if its unit was exchanged, say so with \
                 --exchange REASON",
                old.eid
            )));
        };
        // All cars before the users, in their order.
        for car in BTreeSet::from([old.eid, eid]) {
            tx.lock(Lock::Vehicle(car)).await?;
        }
        let car = locked_car(tx, old.eid, wanting).await?;
        enrolled.extend(deletion::gone(context, &car, None, reason).changes);
    }
    tx.lock(Lock::Vehicle(eid)).await?;
    let known = tx.vehicle(eid).await?;
    if is_retired(&known) {
        return retired();
    }
    let is_bound = |v: &Vehicle| {
        v.certificate.as_ref() == Some(&binding.certificate) && (vin.is_none() || v.vin == *vin)
    };
    match &known {
        Some(vehicle) if is_bound(vehicle) => return Ok(enrolled),
        Some(vehicle) if binding.only_new && vehicle.certificate.is_some() => {
            return Err(Refusal::forbidden(format!(
                "the vehicle {eid} is bound already; another certificate or VIN needs the role admin"
            )));
        }
        Some(_) => {}
        None => enrolled.push(Change::AddVehicle(Vehicle::new(eid, context.now))),
    }
    enrolled.push(Change::Fleet(FleetChange::Enrol {
        eid,
        vin: vin.clone(),
        certificate: binding.certificate.clone(),
        at: context.now,
    }));
    let detail = format!("{eid} certificate {}", binding.certificate);
    enrolled.push(context.audit("operator", "vehicle enrolled", detail));
    Ok(enrolled)
}

impl Operator<'_> {
    /// Lets a vehicle take part with this certificate and no other, or gives it another one.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn enrol_vehicle(&self, binding: Binding) -> Result<(), Refusal> {
        self.enrol_issued(binding, None).await.map(drop)
    }

    /// As [`Self::enrol_vehicle`], with the certificate where it was issued now; yields it, or the one that was issued when
    /// the same was asked for before.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn enrol_issued(
        &self,
        binding: Binding,
        issued: Option<String>,
    ) -> Result<Option<String>, Refusal> {
        let wanting = self.wanting();
        self.decide(async move |tx, context| {
            let bound = bind(tx, context, &binding, &wanting).await?;
            Ok((changes(bound), issued.clone()))
        })
        .await
    }
}
