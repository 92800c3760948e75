//! Certificates that vehicles asked for over AID2: as statements, and as they are read.

use super::row::{self, select_vehicle_certificate};
use super::write::statement;
use super::{Stored, Tx};
use aid_cmp_core::change::CertificateChange;
use aid_cmp_core::model::VehicleCertificate;
use aid_id::{Eid, Id};
use aid_store::{Fields, Statement, params};

/// The statement of a change.
pub(super) fn statement(change: CertificateChange) -> Statement {
    match change {
        CertificateChange::Ask(asked) => statement!(
            "INSERT INTO vehicle_certificate (eid, request_id, request, asked_at, bootstrap) \
             VALUES ($1, $2, $3, $4, $5)",
            String::from(asked.eid),
            asked.request_id,
            asked.request,
            asked.asked_at,
            asked.bootstrap,
        ),
        CertificateChange::Issue(eid, request_id, issued) => statement!(
            "UPDATE vehicle_certificate SET chain = $1, certificate = $2, not_after = $3, issued_at = $4 \
             WHERE eid = $5 AND request_id = $6",
            issued.chain,
            issued.certificate,
            issued.not_after,
            issued.at,
            String::from(eid),
            request_id,
        ),
        CertificateChange::Next(eid, certificate) => statement!(
            "UPDATE vehicle SET next_certificate = $1 WHERE eid = $2",
            certificate,
            String::from(eid),
        ),
        CertificateChange::Bind(eid, certificate, at) => statement!(
            "UPDATE vehicle SET certificate = $1, next_certificate = NULL, bound_at = $2 WHERE eid = $3",
            certificate,
            at,
            String::from(eid),
        ),
        CertificateChange::Used(eid, certificate, at) => statement!(
            "UPDATE vehicle_certificate SET used_at = $1 \
             WHERE eid = $2 AND certificate = $3 AND used_at IS NULL",
            at,
            String::from(eid),
            certificate,
        ),
    }
}

impl Tx<'_> {
    /// The request of this name, with what came of it.
    ///
    /// # Errors
    /// The database failed.
    pub async fn vehicle_certificate(
        &self,
        eid: Eid,
        request_id: Id,
    ) -> Stored<Option<VehicleCertificate>> {
        let sql = select_vehicle_certificate!("WHERE eid = $1 AND request_id = $2");
        self.tx
            .first(
                sql,
                params![eid.as_str(), request_id],
                row::vehicle_certificate,
            )
            .await
    }

    /// The newest requests of a vehicle, newest first, at most `limit`.
    ///
    /// # Errors
    /// The database failed.
    pub async fn vehicle_certificates(
        &self,
        eid: Eid,
        limit: u32,
    ) -> Stored<Vec<VehicleCertificate>> {
        let sql = select_vehicle_certificate!("WHERE eid = $1 ORDER BY asked_at DESC LIMIT $2");
        self.tx
            .all(sql, params![eid.as_str(), limit], row::vehicle_certificate)
            .await
    }

    /// How many certificates a vehicle has asked for since this time, Unix milliseconds.
    ///
    /// # Errors
    /// The database failed.
    pub async fn vehicle_certificates_since(&self, eid: Eid, since: u64) -> Stored<u64> {
        let sql = "SELECT COUNT(*) FROM vehicle_certificate WHERE eid = $1 AND asked_at > $2";
        let count = |row: &mut Fields<'_>| row.number();
        let count = self
            .tx
            .first(sql, params![eid.as_str(), since], count)
            .await?;
        Ok(count.unwrap_or_default())
    }
}
