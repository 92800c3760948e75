//! Customers, their subscriptions and pools, API keys, and the audit trail.

use aid_id::Iccid;
use aid_store::{Fields, params};

use crate::core::account::{ApiKey, Entry};
use crate::core::model::{Onboarding, Subscription};
use crate::store::page::{by_number, by_time};
use crate::store::tx::flag;
use crate::store::{Page, Stored, Tx};

/// A SELECT of subscriptions, to be followed by what it is to find.
macro_rules! subscriptions {
    ($($rest:tt)*) => {
        concat!(
            "SELECT id, user_name, label, msisdn, kind, customer_group, max_profiles, swap, fee, eligible, state, created_at
             FROM subscription ",
            $($rest)*
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

/// A SELECT of the audit trail, to be followed by what it is to find.
macro_rules! entries {
    ($($rest:tt)*) => {
        concat!("SELECT seq, at, actor, action, detail, reason FROM audit ", $($rest)*)
    };
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

    /// A part of the customers by their name, each with when they were made (ms since 1970). Places have the name only.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn customers(self, page: &Page) -> Stored<Vec<(String, i64)>> {
        let sql = "SELECT user_name, created_at FROM customer WHERE user_name > $1 ORDER BY user_name LIMIT $2";
        let after = page.after.as_ref().map_or("", |place| place.1.as_str());
        let read = |row: &mut Fields<'_>| Ok((row.text()?, row.number()?));
        let values = params![after, i64::from(page.limit)];
        self.all(sql, values, read).await
    }

    /// When a customer was made (ms since 1970).
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn customer(self, user: &str) -> Stored<Option<i64>> {
        let sql = "SELECT created_at FROM customer WHERE user_name = $1";
        self.first(sql, params![user], |row| row.number()).await
    }

    /// The subscriptions of a customer, oldest first.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn subscriptions_of(self, user: &str) -> Stored<Vec<Subscription>> {
        let sql = subscriptions!("WHERE user_name = $1 ORDER BY created_at, id");
        self.all(sql, params![user], subscription).await
    }

    /// A part of the subscriptions by their time, each with it (ms since 1970).
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn subscriptions(self, page: &Page) -> Stored<Vec<(i64, Subscription)>> {
        let sql = by_time!(subscriptions, "created_at", "id");
        let dated = |row: &mut Fields<'_>| {
            let subscription = subscription(row)?;
            Ok((row.number()?, subscription))
        };
        self.part_by_time(sql, page, None, dated).await
    }

    /// The subscriptions with this phone number.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn subscriptions_with(self, msisdn: &str) -> Stored<Vec<Subscription>> {
        let sql = subscriptions!("WHERE msisdn = $1 ORDER BY created_at, id LIMIT 100");
        self.all(sql, params![msisdn], subscription).await
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
            let all = self.subscriptions_of(&onboarding.user).await?;
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

    /// A part of the audit trail.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn audits(self, page: &Page) -> Stored<Vec<Entry>> {
        let sql = by_number!(entries, "seq");
        let read = |row: &mut Fields<'_>| {
            Ok(Entry {
                seq: row.number()?,
                at: row.number()?,
                actor: row.text()?,
                action: row.text()?,
                detail: row.text()?,
                reason: row.text()?,
            })
        };
        self.part_by_number(sql, page, read).await
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
