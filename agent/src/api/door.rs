//! Connections of the local API: how many each local user may hold open, and for how long.
//!
//! Any process in the car can connect. What one user takes must leave room for the others, and logout must always get
//! through: root and the agent's own user have places that nobody else can fill.

use super::{Api, Peer};
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

/// Most connections of one user id who may use the API.
const PER_USER: usize = 16;
/// Most connections of everybody who may not; they get a refusal that says so.
const STRANGERS: usize = 4;
/// Most connections of all others than root and the agent's own user.
const OTHERS: usize = 48;
/// Longest wait for a request's head, so also the longest idle time of a connection.
const HEAD: Duration = Duration::from_secs(30);
/// Largest head of a request, bytes.
const MAX_HEAD: usize = 16 * 1024;
/// Most clients at once that are told why they are refused; others see the end of the connection.
const REFUSED: usize = 8;
/// Longest time for one of them to read that.
const LINGER: Duration = Duration::from_secs(1);
/// Pause after the operating system refused a connection (too many open files).
const PAUSE: Duration = Duration::from_millis(100);

/// Who holds how many connections.
#[derive(Debug, Default)]
struct Places {
    /// By user id; strangers are `None` together.
    held: BTreeMap<Option<u32>, usize>,
}

impl Places {
    /// Takes a place, or says why there is none.
    fn take(&mut self, who: Option<u32>, privileged: bool) -> Result<(), &'static str> {
        let all: usize = self.held.values().sum();
        let held = self.held.entry(who).or_default();
        let refusal = match who {
            None if *held >= STRANGERS => {
                "too many connections of users who may not use the agent's API"
            }
            Some(_) if *held >= PER_USER => {
                "this user has too many connections to the agent; close some"
            }
            Some(_) | None if !privileged && all >= OTHERS => {
                "too many connections to the agent; try again later"
            }
            _ => {
                *held += 1;
                return Ok(());
            }
        };
        Err(refusal)
    }

    fn give_back(&mut self, who: Option<u32>) {
        if let Some(held) = self.held.get_mut(&who) {
            *held -= 1;
            if *held == 0 {
                self.held.remove(&who);
            }
        }
    }
}

/// One connection's place, given back when it ends.
struct Place {
    places: Arc<Mutex<Places>>,
    who: Option<u32>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.give_back(self.who);
    }
}

/// Accepts until the task is dropped.
pub(super) async fn serve(listener: UnixListener, api: &Api, router: Router) -> io::Result<()> {
    let places = Arc::new(Mutex::new(Places::default()));
    let refused = Arc::new(Semaphore::new(REFUSED));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "no connection to the local API accepted");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let uid = stream.peer_cred().ok().map(|peer| peer.uid());
        let who = uid.filter(|uid| api.uids.contains(uid));
        let privileged = who.is_some_and(|uid| api.privileged.contains(&uid));
        let taken = places
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take(who, privileged);
        if let Err(reason) = taken {
            refuse(stream, reason, &refused);
            continue;
        }
        let place = Place {
            places: Arc::clone(&places),
            who,
        };
        let router = router.clone().layer(Extension(Peer(uid)));
        tokio::spawn(async move {
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD)
                .max_buf_size(MAX_HEAD)
                .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
                .await;
            if let Err(error) = served {
                tracing::debug!(%error, "a connection to the local API ended");
            }
            drop(place);
        });
    }
}

/// Says why. The client gets time to read that, because a close with something unread would discard it; not when many
/// are refused at once.
fn refuse(mut stream: UnixStream, reason: &'static str, refused: &Arc<Semaphore>) {
    let Ok(turn) = Arc::clone(refused).try_acquire_owned() else {
        return;
    };
    tokio::spawn(async move {
        let body = format!("{{\"error\":\"{reason}\"}}");
        let answer = format!(
            "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nconnection: close\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        let said = async {
            stream.write_all(answer.as_bytes()).await?;
            stream.shutdown().await?;
            let mut rest = [0; 512];
            while stream.read(&mut rest).await? > 0 {}
            io::Result::Ok(())
        };
        // A client that went away, or that neither reads nor goes.
        let _ = tokio::time::timeout(LINGER, said).await;
        drop(turn);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_user_fills_the_place_of_another_and_none_that_of_root() {
        let mut places = Places::default();
        let fill = |places: &mut Places, who, privileged| {
            (0..1000)
                .take_while(|_| places.take(who, privileged).is_ok())
                .count()
        };
        assert_eq!(fill(&mut places, None, false), STRANGERS);
        assert_eq!(fill(&mut places, Some(1000), false), PER_USER);
        assert_eq!(fill(&mut places, Some(1001), false), PER_USER);
        let left = OTHERS - STRANGERS - 2 * PER_USER;
        assert_eq!(fill(&mut places, Some(1002), false), left);
        assert_eq!(fill(&mut places, Some(1003), false), 0);
        assert_eq!(fill(&mut places, Some(0), true), PER_USER);
        // What is given back is there again.
        places.give_back(Some(1000));
        // Root's own count towards the total that others may not exceed.
        assert!(places.take(Some(1003), false).is_err());
        (0..PER_USER).for_each(|_| places.give_back(Some(0)));
        assert!(places.take(Some(1003), false).is_ok());
    }
}
