//! The worker that removes what is over.

use super::Service;
use crate::store::{Pruned, Retention};
use aid_cli::signal::Stop;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How often it looks.
const EVERY: Duration = Duration::from_secs(60);

/// Prunes at once and then every minute, until the program ends. What fails is tried again the next time.
pub async fn upkeep(service: Arc<Service>, retention: Retention, stop: Stop) {
    loop {
        match service.store.prune(retention, crate::web::now()).await {
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
