//! What was answered to the calls of CMPs.

use sqlx::query;

use crate::core::call::{Answer, Earlier, Key};
use crate::store::tx::{number, text};
use crate::store::{Stored, Tx};

impl Tx {
    /// The earlier call with the id of this one.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn earlier(&mut self, key: &Key) -> Stored<Option<Earlier>> {
        let sql = query("SELECT * FROM answered WHERE client_id = $1 AND request_id = $2")
            .bind(key.client.as_str())
            .bind(key.id.to_string());
        let Some(row) = self.one(sql).await? else {
            return Ok(None);
        };
        // 0 while it is being answered.
        let answer = match u16::try_from(number(&row, "status")?) {
            Ok(status) if status != 0 => Some(Answer {
                status,
                body: text(&row, "body")?,
            }),
            _ => None,
        };
        Ok(Some(Earlier {
            digest: text(&row, "digest")?,
            answer,
            leased_until: number(&row, "leased_until")?,
        }))
    }
}
