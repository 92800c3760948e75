//! Customers, their subscriptions and pools, API keys, and the audit trail.

use aid_id::Iccid;
use aid_store::{Fields, params};

use crate::core::account::ApiKey;
use crate::core::model::{Onboarding, Subscription};
use crate::store::tx::flag;
use crate::store::{Stored, Tx};

/// A SELECT of subscriptions, to be followed by what it is to find.
macro_rules! subscriptions {
    ($rest:literal) => {
        concat!(
            "SELECT id, user_name, label, msisdn, kind, customer_group, max_profiles, swap, fee, eligible, state
             FROM subscription ",
            $rest
        )
    };
}

fn subscription(row: &mut Fields<'_>) -> Stored<Subscription> {
    Ok(Subscription {
        id: row.text()?,
        user: row.text()?,
        label: row.maybe_text()?,
        msisdn: row.text()?,
        kind: row.parsed()?,
        customer_group: row.maybe_text()?,
        max_profiles: u32::try_from(row.number::<i64>()?)
            .unwrap_or(u32::MAX)
            .max(1),
        swap: row.parsed()?,
        fee: row.maybe_text()?,
        eligible: flag(row)?,
        state: row.parsed()?,
    })
}

impl Tx<'_> {
    /// The password hash of a customer.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn password_of(self, user: &str) -> Stored<Option<String>> {
        let sql = "SELECT password FROM customer WHERE user_name = $1";
        self.first(sql, params![user], |row| row.text()).await
    }

    /// All customers with when they were made (ms since 1970), by name.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn customers(self) -> Stored<Vec<(String, i64)>> {
        let sql = "/* reads all: an operator's list */ SELECT user_name, created_at FROM customer ORDER BY user_name";
        let read = |row: &mut Fields<'_>| Ok((row.text()?, row.number()?));
        self.all(sql, &[], read).await
    }

    /// The subscriptions, of one customer or of all, oldest first.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn subscriptions(self, user: Option<&str>) -> Stored<Vec<Subscription>> {
        let (of_user, all) = (
            subscriptions!("WHERE user_name = $1 ORDER BY created_at, id"),
            subscriptions!("ORDER BY created_at, id /* reads all: an operator's list */"),
        );
        match user {
            Some(user) => self.all(of_user, params![user], subscription).await,
            None => self.all(all, &[], subscription).await,
        }
    }

    /// The subscription of this name.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn subscription(self, id: &str) -> Stored<Option<Subscription>> {
        let sql = subscriptions!("WHERE id = $1");
        self.first(sql, params![id], subscription).await
    }

    /// The subscription of an onboarding.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn subscription_of(
        self,
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
    pub(crate) async fn pool_of(self, subscription: &str) -> Stored<Vec<Iccid>> {
        let sql = "SELECT iccid FROM pool WHERE subscription = $1 ORDER BY position";
        self.all(sql, params![subscription], |row| row.parsed())
            .await
    }

    /// The profiles of a subscription's own that a customer has or had, or that an open order has chosen.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn taken_of(self, subscription: &str) -> Stored<Vec<Iccid>> {
        let sql = "SELECT iccid FROM pool WHERE subscription = $1 AND (
             EXISTS (SELECT 1 FROM profile p WHERE p.iccid = pool.iccid AND p.state <> 'cancelled')
             OR EXISTS (SELECT 1 FROM ac_request r WHERE r.iccid = pool.iccid AND r.state = 'open'))";
        self.all(sql, params![subscription], |row| row.parsed())
            .await
    }

    /// The audit trail: when, who, what, on what; oldest first.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn audits(self) -> Stored<Vec<(i64, String, String, String)>> {
        let sql = "/* reads all: an operator's list */ SELECT at, actor, action, detail FROM audit ORDER BY seq";
        let read =
            |row: &mut Fields<'_>| Ok((row.number()?, row.text()?, row.text()?, row.text()?));
        self.all(sql, &[], read).await
    }

    /// All further API keys, oldest first.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn api_keys(self) -> Stored<Vec<ApiKey>> {
        let sql = "/* reads all: there are few keys */ SELECT client_id, api_key, created_at FROM api_key ORDER BY created_at";
        let read = |row: &mut Fields<'_>| {
            Ok(ApiKey {
                client: row.parsed()?,
                key: row.text()?,
                created_at: row.number()?,
            })
        };
        self.all(sql, &[], read).await
    }
}
