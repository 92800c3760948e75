//! The audit trail: who changed what, when and why.

use aid_store::{Fields, Tx, params};

use super::{Store, Stored};

/// An entry.
#[derive(Clone, Debug)]
pub(crate) struct AuditRow {
    /// ms since 1970
    pub(crate) at: i64,
    /// `operator` for the command line, otherwise the common name of a certificate of the console.
    pub(crate) actor: String,
    /// What was done, such as `party suspended`.
    pub(crate) action: String,
    /// To whom or what.
    pub(crate) subject: String,
    /// Why; may be empty.
    pub(crate) reason: String,
}

fn read(row: &mut Fields<'_>) -> Stored<AuditRow> {
    Ok(AuditRow {
        at: row.number()?,
        actor: row.text()?,
        action: row.text()?,
        subject: row.text()?,
        reason: row.text()?,
    })
}

pub(super) async fn note(tx: &Tx<'_>, row: &AuditRow) -> Stored<()> {
    let sql = "INSERT INTO audit (at, actor, action, subject, reason) VALUES ($1, $2, $3, $4, $5)";
    let values = params![
        row.at,
        row.actor.as_str(),
        row.action.as_str(),
        row.subject.as_str(),
        row.reason.as_str(),
    ];
    tx.run(sql, values).await.map(|_| ())
}

impl Store {
    /// The entries since a time, oldest first, the last `limit` of them.
    ///
    /// # Errors
    /// The database failed.
    pub(crate) async fn audit(&self, since: i64, limit: i64) -> Stored<Vec<AuditRow>> {
        let look = async move |tx: &Tx<'_>| {
            let sql = "SELECT at, actor, action, subject, reason FROM audit WHERE at >= $1 \
                       ORDER BY at DESC, id DESC LIMIT $2";
            let mut rows = tx.all(sql, params![since, limit], read).await?;
            rows.reverse();
            Ok(rows)
        };
        self.0.read(look).await
    }
}
