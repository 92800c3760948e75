//! The worker that removes what is over.

use super::Service;
use crate::store::{Gone, Pruned, Retention, Stored};
use aid_cli::signal::Stop;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How often it looks.
const EVERY: Duration = Duration::from_secs(60);

impl Service {
    /// Removes what is older than it may be; `now` in unix seconds. An inventory that is empty or has broken files says
    /// nothing about what is gone (its folder may not be mounted), so that no profile is forgotten meanwhile.
    ///
    /// # Errors
    /// The database; what was removed until then is gone.
    pub async fn prune(&self, retention: Retention, now: u64) -> Stored<Pruned> {
        let inventory = self.inventory();
        let gone = match inventory.is_empty() || !inventory.broken().is_empty() {
            true => Gone::Keep,
            false => Gone::Forget,
        };
        self.store.prune(retention, gone, now).await
    }
}

/// Prunes at once and then every minute, until the program ends. What fails is tried again the next time.
pub async fn upkeep(service: Arc<Service>, retention: Retention, stop: Stop) {
    loop {
        match service.prune(retention, crate::web::now()).await {
            Ok(pruned) if pruned == Pruned::default() => {}
            Ok(pruned) => tracing::info!(?pruned, "what was over is removed"),
            Err(error) => tracing::warn!(%error, "what is over could not be removed"),
        }
        if let Ok(count) = service.store.count_sessions().await {
            service.sessions.store(count, Ordering::Relaxed);
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.clone().wait() => return,
        }
    }
}
