//! Which CMP may call with which key and certificate (AID.02 §5.1, §6).
//! Made by `serve`, asked by `api` for every request.

use std::sync::Arc;
use std::time::Duration;

use aid_aid1::headers::Credentials;
use aid_aid1::server::{Gate, Party};
use aid_cli::signal::Stop;
use tokio::sync::watch;

use crate::agreed::Agreed;
use crate::msp::Msp;
use crate::store::StoreError;

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
        let gate = gate(&msp.agreed(), &msp.store.api_keys().await?);
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
                match msp.store.api_keys().await {
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

fn gate(agreed: &Agreed, keys: &[(String, String, i64)]) -> Gate {
    let parties = agreed.cmps.iter().map(|cmp| {
        let more = keys
            .iter()
            .filter(|(client, _, _)| client == cmp.client_id.as_str());
        let more = more.filter_map(|(_, key, _)| Credentials::api_key(key).ok());
        Party {
            client_id: cmp.client_id.clone(),
            credentials: cmp.credentials.iter().cloned().chain(more).collect(),
            certificates: cmp.certificates.clone(),
            target_id: agreed.own_id.clone(),
        }
    });
    Gate::new(parties.collect())
}
