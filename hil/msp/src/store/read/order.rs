//! Requests for activation codes.

use aid_aid1::headers::PartyId;
use aid_id::MspToken;
use sqlx::any::AnyRow;
use sqlx::query;
use uuid::Uuid;

use crate::core::model::{AcRequest, Order};
use crate::store::tx::{number, optional, parsed, parsed_optional};
use crate::store::{Stored, Tx};

fn read(row: &AnyRow) -> Stored<Order> {
    Ok(Order {
        request: AcRequest {
            client_id: parsed(row, "client_id")?,
            request_id: parsed(row, "request_id")?,
            msp_token: parsed(row, "msp_token")?,
            correlation_id: parsed(row, "correlation_id")?,
            eid: parsed(row, "eid")?,
            replace_iccid: parsed_optional(row, "replace_iccid")?,
        },
        delivery: parsed(row, "delivery")?,
        state: parsed(row, "state")?,
        iccid: parsed_optional(row, "iccid")?,
        activation_code: parsed_optional(row, "activation_code")?,
        swapped: parsed_optional(row, "swapped_iccid")?,
        error: optional(row, "error")?,
        created_at: number(row, "created_at")?,
        leased_until: number(row, "leased_until")?,
    })
}

impl Tx {
    /// The order with this `activationCodeRequestID` of a CMP.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn order(
        &mut self,
        client: &PartyId,
        request_id: Uuid,
    ) -> Stored<Option<Order>> {
        let sql = query("SELECT * FROM ac_request WHERE client_id = $1 AND request_id = $2")
            .bind(client.as_str())
            .bind(request_id.to_string());
        self.one(sql).await?.as_ref().map(read).transpose()
    }

    /// All orders, oldest first.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn orders(&mut self) -> Stored<Vec<Order>> {
        let sql = query("SELECT * FROM ac_request ORDER BY created_at, request_id");
        self.all(sql).await?.iter().map(read).collect()
    }

    /// Orders that are open, oldest first.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn open_orders(&mut self) -> Stored<Vec<Order>> {
        let sql = query("SELECT * FROM ac_request WHERE state = 'open' ORDER BY created_at");
        self.all(sql).await?.iter().map(read).collect()
    }

    /// The newest request of a token.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn newest_request(&mut self, token: MspToken) -> Stored<Option<Uuid>> {
        let sql = query(
            "SELECT request_id FROM ac_request WHERE msp_token = $1 ORDER BY created_at DESC LIMIT 1",
        )
        .bind(token.to_string());
        let row = self.one(sql).await?;
        row.map(|row| parsed(&row, "request_id")).transpose()
    }
}
