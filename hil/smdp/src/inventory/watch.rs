//! Follows the folder of the inventory while the server runs.

use super::Reader;
use crate::service::Service;
use aid_cli::cli::Failure;
use aid_cli::signal::Stop;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How often the folder is looked at.
const EVERY: Duration = Duration::from_secs(1);
/// Looks at the folder alone between two at each of its files: one that is written over in place changes only itself.
const FOLDER_ONLY: u32 = 10;

/// What the folder's own time was, so that files that come and go are seen at the next look.
fn folder_time(folder: &Path) -> Option<SystemTime> {
    std::fs::metadata(folder).ok()?.modified().ok()
}

/// Serves what comes, until the program ends. A file that is being written is broken at first, and read again at each
/// look until it isn't.
pub async fn watch(service: Arc<Service>, mut reader: Reader, stop: Stop) {
    let mut reported: BTreeSet<String> = service.inventory().broken().iter().cloned().collect();
    let mut at = None;
    let mut looks = 0;
    // The last change is not in the books yet.
    let mut pending = false;
    let mut unreadable = false;
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.clone().wait() => return,
        }
        looks += 1;
        let folder = reader.folder.clone();
        let time = tokio::task::spawn_blocking(move || folder_time(&folder)).await;
        let time = time.ok().flatten();
        if time == at && looks % FOLDER_ONLY != 0 && reported.is_empty() && !pending {
            continue;
        }
        let read = tokio::task::spawn_blocking(move || {
            let read = reader.read();
            (reader, read)
        });
        let Ok((same, read)) = read.await else {
            return;
        };
        reader = same;
        let (inventory, changed) = match read {
            Ok(read) => read,
            Err(Failure { text, .. }) => {
                if !unreadable {
                    tracing::error!(error = text, "the inventory stays as it was");
                }
                unreadable = true;
                continue;
            }
        };
        unreadable = false;
        at = time;
        if !changed && !pending {
            continue;
        }
        for why in inventory
            .broken()
            .iter()
            .filter(|why| !reported.contains(*why))
        {
            tracing::error!(error = why, "left out of the inventory");
        }
        reported = inventory.broken().iter().cloned().collect();
        let profiles = inventory.len();
        match service.renew(inventory, crate::web::now()).await {
            Ok(()) => {
                tracing::info!(
                    profiles,
                    broken = reported.len(),
                    "the inventory has changed"
                );
                pending = false;
            }
            Err(error) => {
                tracing::error!(%error, "the changed inventory is not stored; it will be tried again");
                pending = true;
            }
        }
    }
}
