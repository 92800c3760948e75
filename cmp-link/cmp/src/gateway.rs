//! The gateway for vehicles (AID2): an MQTT 5 server that is the only peer of its clients, so it needs
//! neither queues nor retained messages nor a general broker; what has to wait is in the database.
//! A vehicle is who its certificate says, and touches only its own two topics.
//! Called by `serve`.

pub mod broker;
mod patience;
mod session;

use crate::service::Service;
use aid_cli::signal::Stop;
use aid_id::Eid;
use aid_serve::live::Live;
use aid_serve::peer::{common_name, fingerprint};
use aid_serve::slots::{Listener, Slot, Slots};
use rustls::ServerConfig;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// Longest TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(15);
/// Longest wait for connections to end after a stop.
const DRAIN: Duration = Duration::from_secs(3);
/// Connections of one vehicle: the present one, and those of before that have not noticed their end.
const PER_VEHICLE: usize = 8;

/// Serves vehicles until the stop.
pub async fn serve(
    listener: Listener,
    tls: Live<ServerConfig>,
    service: Arc<Service>,
    max_vehicles: usize,
    stop: Stop,
) {
    let (listener, config) = listener.into_parts();
    let slots = Slots::new(max_vehicles, PER_VEHICLE, config);
    let mut sessions = JoinSet::new();
    let stopped = stop.clone().wait();
    tokio::pin!(stopped);
    loop {
        let next = async {
            let permit = slots.free().await;
            (permit, listener.accept().await)
        };
        tokio::select! {
            () = &mut stopped => break,
            Some(_) = sessions.join_next() => {}
            (permit, accepted) = next => match accepted {
                Ok((mut stream, address)) => {
                    let (acceptor, service) = (TlsAcceptor::from(tls.now()), Arc::clone(&service));
                    let (slots, stop) = (slots.clone(), stop.clone());
                    sessions.spawn(async move {
                        match slots.begin(permit, &mut stream, address).await {
                            Ok(slot) => {
                                let address = slot.client();
                                let ended = vehicle(stream, slot, acceptor, service, stop).await;
                                if let Err(reason) = ended {
                                    tracing::info!(%address, %reason, "a vehicle's connection ended");
                                }
                            }
                            Err(error) => tracing::debug!(%address, %error, "connection refused"),
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
async fn vehicle(
    stream: TcpStream,
    mut slot: Slot,
    acceptor: TlsAcceptor,
    service: Arc<Service>,
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
    let car = match (eid, certificate) {
        (Some(eid), Some(certificate)) => {
            let fingerprint = fingerprint(certificate);
            let admitted = Box::pin(service.admits(eid, &fingerprint)).await;
            let admitted = admitted.map_err(|e| e.to_string())?;
            // Vehicles share addresses of their carriers: one that takes part has a place of its own.
            if admitted && slot.identify(fingerprint).is_err() {
                return Err(format!("{name}: too many connections of this vehicle"));
            }
            admitted.then_some((eid, fingerprint))
        }
        _ => None,
    };
    // Refused with a reason code rather than by silence: the vehicle's log then says why.
    session::Session::new(stream, service, car, stop)
        .run()
        .await
        .map_err(|e| format!("{name}: {e}"))
}
