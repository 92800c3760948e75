//! Tells addresses outside of orders and alarms: HTTPS POST of JSON, signed (HMAC-SHA256), at least once, each event with an
//! id. Events that were not acknowledged are sent again with growing pauses, for a week.

use crate::config::Webhooks;
use crate::gauges;
use crate::service::{Service, now};
use crate::store::{Stored, Tx, Unheard};
use aid_cli::cli::Failure;
use aid_cli::signal::Stop;
use aid_cli::tls;
use aid_cmp_core::change::{Change, DeskChange};
use aid_cmp_core::decide::call::pause;
use aid_cmp_core::decide::policy::DAY_MS;
use aid_id::Id;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use uuid::Uuid;

/// Pause between two looks for events.
const TICK: Duration = Duration::from_secs(1);
/// Longest time for one call.
const LIMIT: Duration = Duration::from_secs(10);
/// Events that one address is sent at the same time.
const AT_ONCE: u32 = 4;
/// An event that is being told is not told by others, ms.
const CLAIM: u64 = 60_000;
/// What was not heard within this time is dropped, ms.
const PATIENCE: u64 = 7 * DAY_MS;

/// The signature of a body: `t=SECONDS,v1=HEX` of `SECONDS.BODY`. Empty where the library refuses the key.
#[must_use]
pub fn signature(secret: &str, seconds: u64, body: &str) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        return String::new();
    };
    mac.update(format!("{seconds}.{body}").as_bytes());
    format!(
        "t={seconds},v1={}",
        hex::encode(mac.finalize().into_bytes())
    )
}

/// The client that calls the addresses.
///
/// # Errors
/// The CA can't be used.
pub fn client(config: &Webhooks) -> Result<reqwest::Client, Failure> {
    let tls = tls::client_config(&config.ca, None)?;
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured((*tls).clone())
        .redirect(reqwest::redirect::Policy::none())
        .timeout(LIMIT)
        .no_proxy()
        .build();
    Ok(client?)
}

/// Sends events until the stop. Each address has a lane of its own: one that does not answer keeps no other waiting.
pub async fn run(service: Arc<Service>, client: reqwest::Client, stop: Stop) {
    let stopped = stop.wait();
    tokio::pin!(stopped);
    let mut lanes = Lanes::default();
    loop {
        tokio::select! {
            () = &mut stopped => return,
            () = tokio::time::sleep(TICK) => {}
        }
        tokio::select! {
            () = &mut stopped => return,
            due = lanes.begin(&service, &client) => if let Err(error) = due {
                tracing::error!(%error, "the store failed: events for webhooks");
            }
        }
    }
}

/// The addresses that are being sent events. Dropped, all of it ends.
#[derive(Default)]
struct Lanes {
    tasks: JoinSet<Id>,
    at_work: BTreeSet<Id>,
}

impl Lanes {
    /// Begins with the addresses that have something due and are not at work.
    async fn begin(&mut self, service: &Arc<Service>, client: &reqwest::Client) -> Stored<()> {
        while let Some(ended) = self.tasks.try_join_next() {
            match ended {
                Ok(webhook) => drop(self.at_work.remove(&webhook)),
                Err(error) => tracing::error!(%error, "a lane of webhooks failed"),
            }
        }
        // A lane that failed did not say whose it was.
        if self.tasks.is_empty() {
            self.at_work.clear();
        }
        let at = now();
        let look = async move |tx: &Tx<'_>| tx.due_webhooks(at).await;
        for webhook in service.store.read(look).await? {
            if self.at_work.insert(webhook) {
                let (service, client) = (Arc::clone(service), client.clone());
                self.tasks.spawn(async move {
                    if let Err(error) = lane(&service, &client, webhook).await {
                        tracing::error!(%error, "the store failed: events for a webhook");
                    }
                    webhook
                });
            }
        }
        Ok(())
    }
}

/// Sends an address what is due, until nothing is.
async fn lane(service: &Arc<Service>, client: &reqwest::Client, webhook: Id) -> Stored<()> {
    loop {
        let at = now();
        let until = at.saturating_add(CLAIM);
        let claim = service.store.claim_events(webhook, at, until, AT_ONCE);
        let events = claim.await?;
        if events.is_empty() {
            return Ok(());
        }
        let mut tasks = JoinSet::new();
        for event in events {
            let client = client.clone();
            tasks.spawn(async move {
                let said = tell(&client, &event).await;
                (event, said)
            });
        }
        let mut changes = Vec::new();
        while let Some(done) = tasks.join_next().await {
            if let Ok((event, said)) = done {
                changes.push(judged(&event, said));
            }
        }
        service.commit(changes).await?;
    }
}

/// What became of an event.
fn judged(event: &Unheard, said: Result<(), String>) -> Change {
    let Unheard {
        webhook, event: id, ..
    } = *event;
    let (name, at) = (Uuid::from_bytes(id), now());
    Change::Desk(match said {
        Ok(()) => {
            gauges::told("heard");
            DeskChange::Heard(webhook, id)
        }
        Err(error) if at.saturating_sub(event.created_at) > PATIENCE => {
            gauges::told("dropped");
            tracing::error!(event = %name, %error, "an event for a webhook is dropped after a week");
            DeskChange::Heard(webhook, id)
        }
        Err(error) => {
            gauges::told("again");
            let attempts = event.attempts.saturating_add(1);
            tracing::warn!(event = %name, attempts, %error, "a webhook was not reached; the event is sent again");
            let draw = Uuid::new_v4().as_u64_pair().1;
            DeskChange::NotHeard {
                webhook,
                event: id,
                attempts,
                next_at: at.saturating_add(pause(attempts, draw)),
                error,
            }
        }
    })
}

async fn tell(client: &reqwest::Client, event: &Unheard) -> Result<(), String> {
    let signature = signature(event.secret.expose(), now() / 1000, &event.body);
    let answer = client
        .post(&event.url)
        .header("content-type", "application/json")
        .header("aid-event", Uuid::from_bytes(event.event).to_string())
        .header("aid-signature", signature)
        .body(event.body.clone())
        .send()
        .await
        .map_err(|e| e.without_url().to_string())?;
    match answer.status() {
        status if status.is_success() => Ok(()),
        status => Err(format!("status {status}")),
    }
}

#[cfg(test)]
mod tests {
    // Of the command `printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac secret`.
    #[test]
    fn a_signature_is_what_others_compute() {
        let signature = super::signature("secret", 1_700_000_000, r#"{"a":1}"#);
        let (time, mac) = signature.split_once(",v1=").unwrap();
        assert_eq!((time, mac.len()), ("t=1700000000", 64));
        assert_eq!(
            mac,
            "49f24e537407743fa4a0242bb63b94b9a47ee99cbbe071ccd8a22550ae411686"
        );
    }
}
