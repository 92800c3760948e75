//! Requests for activation codes.

use aid_aid1::headers::PartyId;
use aid_id::MspToken;
use aid_store::{Fields, params};
use uuid::Uuid;

use crate::core::model::{AcRequest, Order};
use crate::store::{Stored, Tx};

/// A SELECT of orders, to be followed by what it is to find.
macro_rules! orders {
    ($rest:literal) => {
        concat!(
            "SELECT client_id, request_id, msp_token, correlation_id, eid, replace_iccid, delivery, state, iccid,
             activation_code, swapped_iccid, error, created_at, leased_until FROM ac_request ",
            $rest
        )
    };
}

fn read(row: &mut Fields<'_>) -> Stored<Order> {
    Ok(Order {
        request: AcRequest {
            client_id: row.parsed()?,
            request_id: row.parsed()?,
            msp_token: row.parsed()?,
            correlation_id: row.parsed()?,
            eid: row.parsed()?,
            replace_iccid: row.maybe_parsed()?,
        },
        delivery: row.parsed()?,
        state: row.parsed()?,
        iccid: row.maybe_parsed()?,
        activation_code: row.maybe_parsed()?,
        swapped: row.maybe_parsed()?,
        error: row.maybe_text()?,
        created_at: row.number()?,
        leased_until: row.number()?,
    })
}

impl Tx<'_> {
    /// The order with this `activationCodeRequestID` of a CMP.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn order(self, client: &PartyId, request_id: Uuid) -> Stored<Option<Order>> {
        let sql = orders!("WHERE client_id = $1 AND request_id = $2");
        let values = params![client.as_str(), request_id.to_string()];
        self.first(sql, values, read).await
    }

    /// All orders, oldest first.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn orders(self) -> Stored<Vec<Order>> {
        let sql = orders!("ORDER BY created_at, request_id /* reads all: an operator's list */");
        self.all(sql, &[], read).await
    }

    /// Orders that are open, oldest first.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn open_orders(self) -> Stored<Vec<Order>> {
        let sql = orders!(
            "WHERE state = 'open' ORDER BY created_at /* reads all: by their index, at a start */"
        );
        self.all(sql, &[], read).await
    }

    /// The newest request of a token.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn newest_request(self, token: MspToken) -> Stored<Option<Uuid>> {
        let sql = "SELECT request_id FROM ac_request WHERE msp_token = $1 ORDER BY created_at DESC LIMIT 1";
        let values = params![token.to_string()];
        self.first(sql, values, |row| row.parsed()).await
    }
}
