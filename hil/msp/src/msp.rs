//! The MSP as a whole: what the API, the touchpoint and the outbox share.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use aid_aid1::body::UpdateSubscriptionInfo;
use aid_aid1::headers::PartyId;
use aid_aid1::phone::{EncryptedPhone, PhoneError, PhoneNumber};
use aid_cli::cli::Failure;
use aid_serve::live::Live;
use tokio::sync::{Mutex, Notify};

use crate::agreed::Agreed;
use crate::config::{CmpParty, Config, Eligibility};
use crate::misbehave::{Fired, Name, Place};
use crate::store::{Store, Subscription};

/// The MSP. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Msp(Arc<Inner>);

/// What [`Msp`] points to.
#[derive(Debug)]
pub(crate) struct Inner {
    /// The database.
    pub(crate) store: Store,
    /// What is agreed with the CMPs and the SM-DP+.
    agreed: Live<Agreed>,
    /// Which cars get a profile.
    pub(crate) eligibility: Eligibility,
    /// Of the touchpoint, as browsers see it.
    pub(crate) base_url: Option<String>,
    /// Shown to customers.
    pub(crate) name: String,
    /// Wakes the outbox.
    pub(crate) outbox: Notify,
    /// Held while a profile is chosen and reserved.
    pub(crate) ordering: Mutex<()>,
    /// Misbehaviours may be asked for.
    pub(crate) controlled: bool,
}

impl std::ops::Deref for Msp {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Msp {
    /// Opens the database and prepares the clients.
    ///
    /// # Errors
    /// A file or a value of the configuration is not usable.
    pub(crate) async fn open(config: &Config) -> Result<Self, Failure> {
        let store = Store::open(&config.database).await?;
        let now = now_ms();
        for customer in &config.subscriber {
            store
                .put_customer(&customer.user, &customer.password, now)
                .await?;
        }
        for more in config.all_subscriptions() {
            let subscription = more.checked().map_err(Failure::new)?;
            store
                .add_subscription(&subscription, &more.iccids, now)
                .await?;
        }
        Ok(Self(Arc::new(Inner {
            agreed: Live::new(Arc::new(Agreed::new(config)?)),
            store,
            eligibility: config.eligibility.clone(),
            base_url: config.touchpoint.base_url.clone(),
            name: config.touchpoint.name.clone(),
            outbox: Notify::new(),
            ordering: Mutex::new(()),
            controlled: config.control.is_some(),
        })))
    }

    /// What is agreed now. Whoever asks twice for one request may see two agreements.
    #[must_use]
    pub(crate) fn agreed(&self) -> Arc<Agreed> {
        self.agreed.now()
    }

    /// Puts another agreement into force: the next request is judged by it, the next call made with it.
    pub(crate) fn renew(&self, agreed: Agreed) {
        self.agreed.renew(Arc::new(agreed));
    }

    /// The CMP with this name, as it is agreed now.
    #[must_use]
    pub(crate) fn cmp(&self, client: &PartyId) -> Option<Arc<CmpParty>> {
        self.agreed().cmp(client).cloned()
    }

    /// The misbehaviours that act now. A failure of the database is none.
    pub(crate) async fn fire(
        &self,
        place: Place,
        client: &PartyId,
        fits: impl Fn(Name) -> bool + Send,
    ) -> Vec<Fired> {
        if !self.controlled {
            return Vec::new();
        }
        self.store
            .fire(place, client, fits, now_ms())
            .await
            .unwrap_or_else(|error| {
                tracing::error!(%error, "misbehaviours");
                Vec::new()
            })
    }
}

impl Subscription {
    /// What a CMP learns about the subscription, its number encrypted under a fresh random vector (AID.02 §7.3, §7.6).
    ///
    /// # Errors
    /// The number is not usable, or there is no randomness.
    pub(crate) fn information(&self, cmp: &CmpParty) -> Result<UpdateSubscriptionInfo, PhoneError> {
        let number: PhoneNumber = self.msisdn.parse()?;
        let mut iv = [0; aid_aid1::phone::IV_LENGTH];
        getrandom::fill(&mut iv).map_err(|_| PhoneError::Decryption)?;
        let phone: EncryptedPhone = cmp.phone_key.encrypt(&number, iv)?;
        Ok(UpdateSubscriptionInfo {
            phone,
            subscription_type: self.kind,
            customer_group: self.customer_group.clone(),
        })
    }

    /// The phone number with digits masked.
    #[must_use]
    pub(crate) fn masked(&self) -> String {
        let number = self.msisdn.parse::<PhoneNumber>();
        number.map(|n| n.masked()).unwrap_or_default()
    }
}

/// Milliseconds since 1970.
#[must_use]
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
