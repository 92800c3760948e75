//! Which CMP may call with which key and certificate (AID.02 §5.1, §6).

use std::sync::Arc;
use std::time::Duration;

use aid_aid1::headers::Credentials;
use aid_aid1::server::{Gate, Party};
use aid_cli::signal::Stop;
use tokio::sync::watch;

use crate::agreed::Agreed;
use crate::core::account::ApiKey;
use crate::msp::Msp;
use crate::store::{StoreError, Stored};

/// Who may call with which key; follows what is agreed, and the keys that `cmp rotate-key` makes.
pub(crate) struct Keys {
    pub(super) gate: watch::Sender<Arc<Gate>>,
}

/// How often the keys are looked at.
const LOOK: Duration = Duration::from_secs(1);

impl Keys {
    /// The present keys.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn new(msp: &Msp) -> Result<Self, StoreError> {
        let gate = gate(&msp.agreed(), &api_keys(msp).await?);
        Ok(Self {
            gate: watch::Sender::new(Arc::new(gate)),
        })
    }

    /// Looks for changed keys until stopped.
    pub(crate) async fn follow(&self, msp: &Msp, stop: Stop) {
        let look = async {
            let mut known: Option<(Arc<Agreed>, _)> = None;
            loop {
                let agreed = msp.agreed();
                match api_keys(msp).await {
                    Ok(keys) => {
                        let same = known
                            .as_ref()
                            .is_some_and(|(a, k)| Arc::ptr_eq(a, &agreed) && *k == keys);
                        if !same {
                            let gate = gate(&agreed, &keys);
                            self.gate.send_replace(Arc::new(gate));
                            known = Some((agreed, keys));
                        }
                    }
                    Err(error) => tracing::error!(%error, "API keys"),
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::select! {
            () = look => {}
            () = stop.wait() => {}
        }
    }
}

async fn api_keys(msp: &Msp) -> Stored<Vec<ApiKey>> {
    msp.store.read(async |tx| tx.api_keys().await).await
}

fn gate(agreed: &Agreed, keys: &[ApiKey]) -> Gate {
    let parties = agreed.cmps.iter().map(|cmp| {
        let more = keys.iter().filter(|key| key.client == cmp.client_id);
        let more = more.filter_map(|key| Credentials::api_key(&key.key).ok());
        Party {
            client_id: cmp.client_id.clone(),
            credentials: cmp.credentials.iter().cloned().chain(more).collect(),
            certificates: cmp.certificates.clone(),
            target_id: agreed.own_id.clone(),
            operations: cmp.operations.clone(),
        }
    });
    Gate::new(parties.collect())
}
