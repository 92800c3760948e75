//! Certificates that vehicles asked for over AID2, as an operator sees them.

use super::fleet::vehicle;
use super::{Operator, Refusal, eid, id_text, time};
use crate::store::Tx;
use aid_cmp_core::model::{Vehicle, VehicleCertificate};
use serde_json::{Value, json};

/// Certificates of a vehicle that are shown, newest first.
const SHOWN: u32 = 50;

/// What has become of a certificate.
fn state(vehicle: &Vehicle, row: &VehicleCertificate) -> &'static str {
    let Some(issued) = &row.issued else {
        return "asked";
    };
    let own = Some(&issued.certificate);
    if vehicle.certificate.as_ref() == own {
        "bound"
    } else if vehicle.next_certificate.as_ref() == own {
        "issued"
    } else if vehicle.certificate.is_some() {
        "ended"
    } else if row.used_at.is_some() {
        "used"
    } else {
        "issued"
    }
}

pub(super) async fn rows(tx: &Tx<'_>, vehicle: &Vehicle) -> Result<Vec<Value>, Refusal> {
    let found = tx.vehicle_certificates(vehicle.eid, SHOWN).await?;
    let row = |row: &VehicleCertificate| {
        let issued = row.issued.as_ref();
        json!({
            "request_id": id_text(row.request_id), "state": state(vehicle, row),
            "certificate": issued.map(|i| &i.certificate), "not_after": time(issued.map(|i| i.not_after)),
            "asked_at": time(row.asked_at), "issued_at": time(issued.map(|i| i.at)),
            "used_at": time(row.used_at), "bootstrap": row.bootstrap,
        })
    };
    let mut rows: Vec<Value> = found.iter().map(row).collect();
    let enrolled = vehicle.certificate.as_ref().filter(|bound| {
        let is =
            |r: &VehicleCertificate| r.issued.as_ref().is_some_and(|i| i.certificate == **bound);
        !found.iter().any(is)
    });
    if let Some(bound) = enrolled {
        // By `vehicle enrol`, at the end of the assembly line, or by an import.
        rows.push(json!({"state": "enrolled", "certificate": bound}));
    }
    Ok(rows)
}

impl Operator<'_> {
    /// The certificates of a vehicle: those that it asked for over AID2, newest first, and the one that it was enrolled
    /// with.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn vehicle_certificates(&self, text: &str) -> Result<Vec<Value>, Refusal> {
        let eid = eid(text)?;
        let read = async move |tx: &Tx<'_>| {
            let vehicle = vehicle(tx, eid).await?;
            rows(tx, &vehicle).await
        };
        self.look(read).await
    }
}
