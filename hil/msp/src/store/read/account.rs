//! Customers, their subscriptions and pools, API keys, and the audit trail.

use aid_id::Iccid;
use sqlx::any::AnyRow;
use sqlx::query;

use crate::core::account::ApiKey;
use crate::core::model::{Onboarding, Subscription};
use crate::store::tx::{number, optional, parsed, text};
use crate::store::{StoreError, Stored, Tx};

fn subscription(row: &AnyRow) -> Stored<Subscription> {
    let kind = text(row, "kind")?;
    let max = number(row, "max_profiles")?;
    Ok(Subscription {
        id: text(row, "id")?,
        user: text(row, "user_name")?,
        label: optional(row, "label")?,
        msisdn: text(row, "msisdn")?,
        kind: kind.parse().map_err(|_| StoreError::Value {
            column: "kind",
            value: kind,
        })?,
        customer_group: optional(row, "customer_group")?,
        max_profiles: u32::try_from(max).unwrap_or(u32::MAX).max(1),
        swap: parsed(row, "swap")?,
        fee: optional(row, "fee")?,
        eligible: number(row, "eligible")? != 0,
        state: parsed(row, "state")?,
    })
}

impl Tx {
    /// The password hash of a customer.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn password_of(&mut self, user: &str) -> Stored<Option<String>> {
        let sql = query("SELECT password FROM customer WHERE user_name = $1").bind(user);
        let row = self.one(sql).await?;
        row.map(|row| text(&row, "password")).transpose()
    }

    /// All customers with when they were made (ms since 1970), by name.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn customers(&mut self) -> Stored<Vec<(String, i64)>> {
        let sql = query("SELECT user_name, created_at FROM customer ORDER BY user_name");
        let rows = self.all(sql).await?;
        rows.iter()
            .map(|row| Ok((text(row, "user_name")?, number(row, "created_at")?)))
            .collect()
    }

    /// The subscriptions, of one customer or of all, oldest first.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn subscriptions(&mut self, user: Option<&str>) -> Stored<Vec<Subscription>> {
        let sql = match user {
            Some(user) => {
                query("SELECT * FROM subscription WHERE user_name = $1 ORDER BY created_at, id")
                    .bind(user)
            }
            None => query("SELECT * FROM subscription ORDER BY created_at, id"),
        };
        let rows = self.all(sql).await?;
        rows.iter().map(subscription).collect()
    }

    /// The subscription of this name.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn subscription(&mut self, id: &str) -> Stored<Option<Subscription>> {
        let sql = query("SELECT * FROM subscription WHERE id = $1").bind(id);
        let row = self.one(sql).await?;
        row.as_ref().map(subscription).transpose()
    }

    /// The subscription of an onboarding.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn subscription_of(
        &mut self,
        onboarding: &Onboarding,
    ) -> Stored<Option<Subscription>> {
        if onboarding.subscription.is_empty() {
            let all = self.subscriptions(Some(&onboarding.user)).await?;
            return Ok(all.into_iter().next());
        }
        self.subscription(&onboarding.subscription).await
    }

    /// The profiles that are a subscription's own, in the order of their use.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn pool_of(&mut self, subscription: &str) -> Stored<Vec<Iccid>> {
        let sql = query("SELECT iccid FROM pool WHERE subscription = $1 ORDER BY position")
            .bind(subscription);
        let rows = self.all(sql).await?;
        rows.iter().map(|row| parsed(row, "iccid")).collect()
    }

    /// The profiles of a subscription's own that a customer has or had, or that an open order has chosen.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn taken_of(&mut self, subscription: &str) -> Stored<Vec<Iccid>> {
        let sql = query(
            "SELECT iccid FROM pool WHERE subscription = $1 AND (
             EXISTS (SELECT 1 FROM profile p WHERE p.iccid = pool.iccid AND p.state <> 'cancelled')
             OR EXISTS (SELECT 1 FROM ac_request r WHERE r.iccid = pool.iccid AND r.state = 'open'))",
        )
        .bind(subscription);
        let rows = self.all(sql).await?;
        rows.iter().map(|row| parsed(row, "iccid")).collect()
    }

    /// The audit trail: when, who, what, on what; oldest first.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn audits(&mut self) -> Stored<Vec<(i64, String, String, String)>> {
        let sql = query("SELECT at, actor, action, detail FROM audit ORDER BY seq");
        let read = |row: &AnyRow| -> Stored<_> {
            Ok((
                number(row, "at")?,
                text(row, "actor")?,
                text(row, "action")?,
                text(row, "detail")?,
            ))
        };
        self.all(sql).await?.iter().map(read).collect()
    }

    /// All further API keys, oldest first.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn api_keys(&mut self) -> Stored<Vec<ApiKey>> {
        let sql = query("SELECT client_id, api_key, created_at FROM api_key ORDER BY created_at");
        let read = |row: &AnyRow| {
            Ok(ApiKey {
                client: parsed(row, "client_id")?,
                key: text(row, "api_key")?,
                created_at: number(row, "created_at")?,
            })
        };
        self.all(sql).await?.iter().map(read).collect()
    }
}
