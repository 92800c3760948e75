//! What was answered to the calls of CMPs.

use aid_store::{Fields, params};

use crate::core::call::{Answer, Earlier, Key};
use crate::store::{Stored, Tx};

impl Tx<'_> {
    /// The earlier call with the id of this one.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn earlier(self, key: &Key) -> Stored<Option<Earlier>> {
        let sql = "SELECT digest, status, body, leased_until FROM answered
                   WHERE client_id = $1 AND request_id = $2";
        let values = params![key.client.as_str(), key.id.to_string()];
        let read = |row: &mut Fields<'_>| {
            let digest = row.text()?;
            let (status, body) = (row.number::<i64>()?, row.text()?);
            Ok(Earlier {
                digest,
                // 0 while it is being answered.
                answer: match u16::try_from(status) {
                    Ok(status) if status != 0 => Some(Answer { status, body }),
                    _ => None,
                },
                leased_until: row.number()?,
            })
        };
        self.first(sql, values, read).await
    }
}
