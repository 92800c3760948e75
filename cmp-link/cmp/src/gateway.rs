//! The gateway for vehicles (AID2): an MQTT 5 server that is the only peer of its clients, so it needs
//! neither queues nor retained messages nor a general broker; what has to wait is in the database.
//! A vehicle is who its certificate says, and touches only its own two topics.
//! Called by `serve`.

pub mod broker;
mod session;

use crate::service::Service;
use crate::store::Store;
use aid_cli::signal::Stop;
use aid_id::Eid;
use aid_serve::live::Live;
use aid_serve::peer::{common_name, fingerprint};
use rustls::ServerConfig;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// Longest TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(15);
/// Longest wait for connections to end after a stop.
const DRAIN: Duration = Duration::from_secs(3);

/// Serves vehicles until the stop.
pub async fn serve<S: Store>(
    listener: TcpListener,
    tls: Live<ServerConfig>,
    service: Arc<Service<S>>,
    max_vehicles: usize,
    stop: Stop,
) {
    let free = Arc::new(Semaphore::new(max_vehicles.min(Semaphore::MAX_PERMITS)));
    let mut sessions = JoinSet::new();
    let stopped = stop.clone().wait();
    tokio::pin!(stopped);
    loop {
        let next = async {
            let permit = Arc::clone(&free).acquire_owned().await;
            (permit, listener.accept().await)
        };
        tokio::select! {
            () = &mut stopped => break,
            Some(_) = sessions.join_next() => {}
            (permit, accepted) = next => match accepted {
                Ok((stream, address)) => {
                    let (acceptor, service) = (TlsAcceptor::from(tls.now()), Arc::clone(&service));
                    let stop = stop.clone();
                    sessions.spawn(async move {
                        let _permit = permit;
                        if let Err(reason) = vehicle(stream, acceptor, service, stop).await {
                            tracing::info!(%address, %reason, "a vehicle's connection ended");
                        }
                    });
                }
                Err(error) => {
                    // Out of file descriptors, mostly: give others time to close theirs.
                    let remedy = "raise the limit of open files (ulimit -n)";
                    tracing::warn!(%error, remedy, "cannot accept a vehicle");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }
    drop(listener);
    let drained = async { while sessions.join_next().await.is_some() {} };
    if timeout(DRAIN, drained).await.is_err() {
        tracing::warn!("vehicles were cut off");
    }
}

/// One connection from its first byte.
async fn vehicle<S: Store>(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    service: Arc<Service<S>>,
    stop: Stop,
) -> Result<(), String> {
    stream.set_nodelay(true).map_err(|e| e.to_string())?;
    let stream = timeout(HANDSHAKE, acceptor.accept(stream))
        .await
        .map_err(|_| "the TLS handshake took too long".to_owned())?
        .map_err(|e| format!("TLS: {e}"))?;
    let certificate = stream
        .get_ref()
        .1
        .peer_certificates()
        .and_then(<[_]>::first);
    let name = certificate.and_then(|c| common_name(c)).unwrap_or_default();
    let eid: Option<Eid> = name.parse().ok();
    let known = match (eid, certificate) {
        (Some(eid), Some(certificate)) => {
            let admitted = Box::pin(service.admits(eid, &fingerprint(certificate))).await;
            admitted.map_err(|e| e.to_string())?
        }
        _ => false,
    };
    // Refused with a reason code rather than by silence: the vehicle's log then says why.
    session::Session::new(stream, service, eid.filter(|_| known), stop)
        .run()
        .await
        .map_err(|e| format!("{name}: {e}"))
}
