//! Requests for activation codes.

use aid_aid1::headers::PartyId;
use aid_id::MspToken;
use aid_store::{Fields, params};
use uuid::Uuid;

use crate::core::model::{AcRequest, Order, OrderState};
use crate::store::page::by_time;
use crate::store::{Page, Stored, Tx};

/// A SELECT of orders, to be followed by what it is to find.
macro_rules! orders {
    ($($rest:tt)*) => {
        concat!(
            "SELECT client_id, request_id, msp_token, correlation_id, eid, replace_iccid, delivery, state, iccid,
             activation_code, swapped_iccid, error, created_at, leased_until FROM ac_request ",
            $($rest)*
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

    /// A part of the orders by their time, all or those in one state.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn orders(self, state: Option<OrderState>, page: &Page) -> Stored<Vec<Order>> {
        let sql = match state {
            None => by_time!(orders, "created_at", "request_id"),
            Some(_) => by_time!(orders, "created_at", "request_id", "state = $4"),
        };
        let state = state.map(OrderState::as_str);
        self.part_by_time(sql, page, state, read).await
    }

    /// The newest orders of a token, at most 100.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn orders_of(self, token: MspToken) -> Stored<Vec<Order>> {
        let sql = orders!("WHERE msp_token = $1 ORDER BY created_at DESC LIMIT 100");
        self.all(sql, params![token.to_string()], read).await
    }

    /// The orders with this `activationCodeRequestID`, of whichever CMP.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn orders_with(self, request_id: Uuid) -> Stored<Vec<Order>> {
        let sql = orders!("WHERE request_id = $1 ORDER BY created_at DESC LIMIT 100");
        self.all(sql, params![request_id.to_string()], read).await
    }

    /// The orders of a transaction, oldest first, at most 100.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn orders_in(self, correlation: Uuid) -> Stored<Vec<Order>> {
        let sql = orders!("WHERE correlation_id = $1 ORDER BY created_at LIMIT 100");
        self.all(sql, params![correlation.to_string()], read).await
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
