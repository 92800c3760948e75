//! Customers, their subscriptions, and the profiles that each subscription has (AID.02 §4.3.1, §7.3).

use aid_aid1::body::SubscriptionType;
use aid_id::Iccid;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::{Store, StoreError, Stored, number, optional, parsed, text, words};

words! {
    /// What happens when all profiles of a subscription are in use.
    SwapPolicy {
        /// The CMP's candidate is swapped if it can be, else the least recently used (§4.3.1 2c).
        Candidate = "candidate",
        /// The least recently used is swapped, whatever the candidate.
        Own = "own",
        /// The candidate is swapped; without a usable one there is no code.
        Refuse = "refuse",
    }
}

words! {
    /// Where a subscription stands.
    SubscriptionState {
        /// In use.
        Active = "active",
        /// Blocked for a time: no network, no codes.
        Suspended = "suspended",
        /// Cancelled by its customer.
        Ended = "ended",
    }
}

/// A subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subscription {
    /// Its name here.
    pub(crate) id: String,
    /// Whose.
    pub(crate) user: String,
    /// Shown instead of the MSP's name.
    pub(crate) label: Option<String>,
    /// Phone number.
    pub(crate) msisdn: String,
    /// Kind.
    pub(crate) kind: SubscriptionType,
    /// Reporting group.
    pub(crate) customer_group: Option<String>,
    /// Profiles that may be in use before one is swapped; at least 1.
    pub(crate) max_profiles: u32,
    /// What happens then.
    pub(crate) swap: SwapPolicy,
    /// Shown before the customer agrees.
    pub(crate) fee: Option<String>,
    /// Whether the option can be booked.
    pub(crate) eligible: bool,
    /// Where it stands.
    pub(crate) state: SubscriptionState,
}

/// What a change of a subscription may say; absent members stay.
#[derive(Clone, Debug, Default, serde::Deserialize, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct SubscriptionChange {
    /// Phone number, country code first, no plus.
    #[arg(long)]
    pub(crate) msisdn: Option<String>,
    /// private, business or unknown.
    #[arg(long)]
    pub(crate) kind: Option<String>,
    /// Reporting group.
    #[arg(long)]
    pub(crate) customer_group: Option<String>,
    /// Profiles that may be in use before one is swapped.
    #[arg(long)]
    pub(crate) max_profiles: Option<u32>,
    /// candidate, own or refuse: what happens when all profiles are in use.
    #[arg(long)]
    pub(crate) swap: Option<String>,
    /// Shown before the customer agrees.
    #[arg(long)]
    pub(crate) fee: Option<String>,
    /// Whether the option can be booked: true or false.
    #[arg(long)]
    pub(crate) eligible: Option<bool>,
}

fn read(row: &AnyRow) -> Stored<Subscription> {
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

impl Store {
    /// Makes a customer, or gives him another password hash.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn put_customer(&self, user: &str, password: &str, now: i64) -> Stored<()> {
        sqlx::query(
            "INSERT INTO customer (user_name, password, created_at) VALUES ($1, $2, $3)
             ON CONFLICT (user_name) DO UPDATE SET password = excluded.password WHERE customer.password <> excluded.password",
        )
        .bind(user)
        .bind(password)
        .bind(now)
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// The password hash of a customer.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn password_of(&self, user: &str) -> Stored<Option<String>> {
        let row = sqlx::query("SELECT password FROM customer WHERE user_name = $1")
            .bind(user)
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| text(&row, "password")).transpose()
    }

    /// All customers with when they were made, by name.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn customers(&self) -> Stored<Vec<(String, i64)>> {
        let rows = sqlx::query("SELECT user_name, created_at FROM customer ORDER BY user_name")
            .fetch_all(&self.pool)
            .await?;
        rows.iter()
            .map(|row| Ok((text(row, "user_name")?, number(row, "created_at")?)))
            .collect()
    }

    /// Adds a subscription with its profiles; `false` if there is one of this name, which stays as it is.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn add_subscription(
        &self,
        new: &Subscription,
        iccids: &[Iccid],
        now: i64,
    ) -> Stored<bool> {
        let mut tx = self.write().await?;
        let added = sqlx::query(
            "INSERT INTO subscription (id, user_name, label, msisdn, kind, customer_group, max_profiles, swap, fee, eligible, state, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT (id) DO NOTHING",
        )
        .bind(&new.id)
        .bind(&new.user)
        .bind(new.label.clone())
        .bind(&new.msisdn)
        .bind(new.kind.as_str())
        .bind(new.customer_group.clone())
        .bind(i64::from(new.max_profiles))
        .bind(new.swap.as_str())
        .bind(new.fee.clone())
        .bind(i64::from(new.eligible))
        .bind(new.state.as_str())
        .bind(now)
        .execute(&mut tx)
        .await?
        .rows_affected()
            > 0;
        for (position, iccid) in (0_i64..).zip(iccids) {
            sqlx::query(
                "INSERT INTO pool (iccid, subscription, position) VALUES ($1, $2, $3) ON CONFLICT (iccid) DO NOTHING",
            )
            .bind(iccid.as_str())
            .bind(&new.id)
            .bind(position)
            .execute(&mut tx)
            .await?;
        }
        tx.commit().await?;
        Ok(added)
    }

    /// Writes what can change of a subscription.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn update_subscription(&self, s: &Subscription) -> Stored<()> {
        sqlx::query(
            "UPDATE subscription SET msisdn = $1, kind = $2, customer_group = $3, max_profiles = $4, swap = $5, fee = $6,
             eligible = $7, state = $8 WHERE id = $9",
        )
        .bind(&s.msisdn)
        .bind(s.kind.as_str())
        .bind(s.customer_group.clone())
        .bind(i64::from(s.max_profiles))
        .bind(s.swap.as_str())
        .bind(s.fee.clone())
        .bind(i64::from(s.eligible))
        .bind(s.state.as_str())
        .bind(&s.id)
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// The subscriptions, of one customer or of all, oldest first.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn subscriptions(&self, user: Option<&str>) -> Stored<Vec<Subscription>> {
        let rows = sqlx::query(
            "SELECT * FROM subscription WHERE user_name = $1 OR $2 = 1 ORDER BY created_at, id",
        )
        .bind(user.unwrap_or_default())
        .bind(i64::from(user.is_none()))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(read).collect()
    }

    /// The subscription of this name.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn subscription(&self, id: &str) -> Stored<Option<Subscription>> {
        let row = sqlx::query("SELECT * FROM subscription WHERE id = $1")
            .bind(id)
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// The subscription of an onboarding.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn subscription_of(
        &self,
        onboarding: &super::Onboarding,
    ) -> Stored<Option<Subscription>> {
        if onboarding.subscription.is_empty() {
            let all = self.subscriptions(Some(&onboarding.user)).await?;
            return Ok(all.into_iter().next());
        }
        self.subscription(&onboarding.subscription).await
    }

    /// The profiles that are a subscription's own.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn pool_of(&self, subscription: &str) -> Stored<Vec<Iccid>> {
        let rows = sqlx::query("SELECT iccid FROM pool WHERE subscription = $1 ORDER BY position")
            .bind(subscription)
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|row| parsed(row, "iccid")).collect()
    }

    /// Notes what somebody did.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn audit(
        &self,
        actor: &str,
        action: &str,
        detail: &str,
        now: i64,
    ) -> Stored<()> {
        sqlx::query("INSERT INTO audit (at, actor, action, detail) VALUES ($1, $2, $3, $4)")
            .bind(now)
            .bind(actor)
            .bind(action)
            .bind(detail)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// The audit trail: when, who, what, on what; oldest first.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn audits(&self) -> Stored<Vec<(i64, String, String, String)>> {
        let rows = sqlx::query("SELECT at, actor, action, detail FROM audit ORDER BY seq")
            .fetch_all(&self.pool)
            .await?;
        let read = |row: &AnyRow| -> Stored<_> {
            Ok((
                number(row, "at")?,
                text(row, "actor")?,
                text(row, "action")?,
                text(row, "detail")?,
            ))
        };
        rows.iter().map(read).collect()
    }

    /// Lets a CMP use one more API key, and forgets those from before `forget` (ms since 1970).
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn add_api_key(&self, client: &str, key: &str, now: i64) -> Stored<()> {
        sqlx::query("INSERT INTO api_key (client_id, api_key, created_at) VALUES ($1, $2, $3)")
            .bind(client)
            .bind(key)
            .bind(now)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// Forgets the keys of a CMP except the newest; yields how many there were.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn drop_old_keys(&self, client: &str) -> Stored<u64> {
        let done = sqlx::query(
            "DELETE FROM api_key WHERE client_id = $1 AND created_at < (SELECT MAX(created_at) FROM api_key WHERE client_id = $1)",
        )
        .bind(client)
        .execute(&self.writer)
        .await?;
        Ok(done.rows_affected())
    }

    /// All further API keys: client-id and key, oldest first.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn api_keys(&self) -> Stored<Vec<(String, String, i64)>> {
        let rows =
            sqlx::query("SELECT client_id, api_key, created_at FROM api_key ORDER BY created_at")
                .fetch_all(&self.pool)
                .await?;
        rows.iter()
            .map(|row| {
                Ok((
                    text(row, "client_id")?,
                    text(row, "api_key")?,
                    number(row, "created_at")?,
                ))
            })
            .collect()
    }

    /// Notes the progress of a download; yields whether we ordered that profile (SGP.22 §5.3.5).
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn note_progress(&self, progress: &Progress, now: i64) -> Stored<bool> {
        let mut tx = self.write().await?;
        sqlx::query(
            "INSERT INTO progress (at, iccid, eid, point, status, message) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(now)
        .bind(progress.iccid.as_str())
        .bind(progress.eid.clone())
        .bind(progress.point)
        .bind(&progress.status)
        .bind(progress.message.clone())
        .execute(&mut tx)
        .await?;
        // That the package was installed is known here without the CMP. Anything else leaves the state to Send CSIM Status.
        let installed = progress.point == INSTALLATION && progress.status == "Executed-Success";
        let known = sqlx::query("SELECT iccid FROM profile WHERE iccid = $1")
            .bind(progress.iccid.as_str())
            .fetch_optional(&mut tx)
            .await?
            .is_some();
        if installed {
            sqlx::query(
                "UPDATE profile SET state = 'installed' WHERE iccid = $1 AND state = 'prepared'",
            )
            .bind(progress.iccid.as_str())
            .execute(&mut tx)
            .await?;
        }
        tx.commit().await?;
        Ok(known)
    }

    /// The progress of downloads, oldest first, with when it came.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn progress(&self) -> Stored<Vec<(i64, Progress)>> {
        let rows = sqlx::query("SELECT * FROM progress ORDER BY seq")
            .fetch_all(&self.pool)
            .await?;
        let read = |row: &AnyRow| -> Stored<_> {
            let progress = Progress {
                iccid: parsed(row, "iccid")?,
                eid: optional(row, "eid")?,
                point: row.try_get("point")?,
                status: text(row, "status")?,
                message: optional(row, "message")?,
            };
            Ok((number(row, "at")?, progress))
        };
        rows.iter().map(read).collect()
    }
}

/// notificationPointId of the installation (SGP.22 §5.3.5).
const INSTALLATION: i64 = 4;

/// A step of a download, as an SM-DP+ tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The profile.
    pub(crate) iccid: Iccid,
    /// The eUICC.
    pub(crate) eid: Option<String>,
    /// notificationPointId: 1 eligibility, 2 confirmation code, 3 download, 4 installation.
    pub(crate) point: i64,
    /// notificationPointStatus.
    pub(crate) status: String,
    /// Its words.
    pub(crate) message: Option<String>,
}
