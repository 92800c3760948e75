//! The MSP as a whole: what the API, the touchpoint and the outbox share.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use aid_aid1::body::UpdateSubscriptionInfo;
use aid_aid1::headers::PartyId;
use aid_aid1::phone::{EncryptedPhone, PhoneError, PhoneNumber};
use aid_cli::cli::Failure;
use aid_serve::live::Live;
use aid_serve::page::Site;
use tokio::sync::Notify;

use crate::agreed::Agreed;
use crate::config::{CmpParty, Config, Eligibility};
use crate::core::account::{add_subscription, put_customer};
use crate::core::model::Subscription;
use crate::layer::Layer;
use crate::misbehave::Misbehaving;
use crate::store::Store;
use crate::touchpoint;

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
    /// Theme and texts of the touchpoint.
    pub(crate) site: Site,
    /// Wakes the outbox.
    pub(crate) outbox: Notify,
    /// What stands around calls and answers, where a test bench controls the MSP.
    pub(crate) layer: Option<Arc<dyn Layer>>,
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
        for customer in config.subscriber.clone() {
            let put = store.decide(async move |tx| {
                let stored = tx.password_of(&customer.user).await?;
                let (user, password) = (&customer.user, &customer.password);
                Ok(put_customer(stored.as_deref(), user, password, now))
            });
            put.await?;
        }
        for more in config.all_subscriptions() {
            let new = more.checked().map_err(Failure::new)?;
            let iccids = more.iccids.clone();
            let added = store.decide(async move |tx| {
                let exists = tx.subscription(&new.id).await?.is_some();
                Ok(add_subscription(exists, &new, &iccids, now))
            });
            added.await?;
        }
        let layer = config.control.as_ref().map(|_| Arc::new(Misbehaving) as _);
        Ok(Self(Arc::new(Inner {
            agreed: Live::new(Arc::new(Agreed::new(config)?)),
            store,
            eligibility: config.eligibility.clone(),
            base_url: config.touchpoint.base_url.clone(),
            site: Site::new(config.touchpoint.theme()?, touchpoint::TABLES),
            outbox: Notify::new(),
            layer,
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
}

/// Milliseconds since 1970.
#[must_use]
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
