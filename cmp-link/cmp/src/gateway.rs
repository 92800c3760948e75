//! The gateway for vehicles (AID2): an MQTT 5 server that is the only peer of its clients, so it needs
//! neither queues nor retained messages nor a general broker; what has to wait is in the database.
//! A vehicle is who its certificate says, and touches only its own two topics.

pub mod broker;
mod headers;
mod patience;
mod session;

use crate::config::Gateway;
use crate::service::Service;
use aid_cli::cli::Failure;
use aid_cli::signal::Stop;
use aid_cli::tls;
use aid_id::Eid;
use aid_serve::live::Live;
use aid_serve::peer::{common_name, fingerprint};
use aid_serve::slots::{Listener, Slot, Slots};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use session::Session;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
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
    doors: Live<Doors>,
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
                Ok((stream, address)) => {
                    let (doors, service) = (doors.now(), Arc::clone(&service));
                    let arrived = Arrived { stream, address, permit, slots: slots.clone(), doors };
                    sessions.spawn(vehicle(arrived, service, stop.clone()));
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

/// A connection that has sent nothing yet.
struct Arrived {
    stream: TcpStream,
    address: SocketAddr,
    permit: Option<OwnedSemaphorePermit>,
    slots: Slots,
    doors: Arc<Doors>,
}

/// TLS of the gateway, and which of the certificates that it lets in are good for everything.
#[derive(Debug)]
pub struct Doors {
    tls: Arc<ServerConfig>,
    /// Verifies certificates of `gateway.client_ca` alone; none where there is no `gateway.bootstrap_ca`.
    operational: Option<Arc<dyn ClientCertVerifier>>,
}

impl Doors {
    /// Reads certificates and key.
    ///
    /// # Errors
    /// One can't be used.
    pub fn new(gateway: &Gateway) -> Result<Self, Failure> {
        let (all, bootstrap) = (&gateway.client_ca, &gateway.bootstrap_ca);
        let cas: Vec<&Path> = all.iter().chain(bootstrap).map(PathBuf::as_path).collect();
        let tls = tls::server_config_of(&gateway.cert, &gateway.key, &cas)?;
        // MQTT has no ALPN that vehicles would offer; HTTP's must not be in the way.
        let mut tls = (*tls).clone();
        tls.alpn_protocols.clear();
        let operational = match (all, bootstrap) {
            (Some(ca), Some(_)) => Some(tls::client_verifier(&[ca])?),
            _ => None,
        };
        Ok(Self {
            tls: Arc::new(tls),
            operational,
        })
    }

    /// Whether a chain that TLS has verified is good for renewal only.
    fn is_bootstrap(&self, chain: &[CertificateDer<'_>]) -> bool {
        match (&self.operational, chain) {
            (Some(operational), [own, issuers @ ..]) => operational
                .verify_client_cert(own, issuers, UnixTime::now())
                .is_err(),
            _ => false,
        }
    }
}

/// A vehicle whose certificate was judged.
struct Known {
    eid: Eid,
    /// SHA-256 of the certificate.
    certificate: [u8; 32],
    /// It showed its bootstrap certificate.
    bootstrap: bool,
}

/// One connection from its first byte to its last.
async fn vehicle(arrived: Arrived, service: Arc<Service>, stop: Stop) {
    // Boxed: what only a handshake needs is not part of every connection that is silent.
    let entered = Box::pin(enter(arrived, service, stop)).await;
    let Some((mut session, slot)) = entered else {
        return;
    };
    if let Err(reason) = session.run().await {
        ended(slot.client(), &reason);
    }
}

fn ended(address: SocketAddr, reason: &str) {
    tracing::info!(%address, %reason, "a vehicle's connection ended");
}

/// The connection's place, its handshake, and whether the vehicle takes part.
async fn enter(arrived: Arrived, service: Arc<Service>, stop: Stop) -> Option<(Session, Slot)> {
    let Arrived {
        mut stream,
        address,
        permit,
        slots,
        doors,
    } = arrived;
    let mut slot = match slots.begin(permit, &mut stream, address).await {
        Ok(slot) => slot,
        Err(error) => {
            tracing::debug!(%address, %error, "connection refused");
            return None;
        }
    };
    match shake_hands(stream, &doors, &mut slot, service, stop).await {
        Ok(session) => Some((session, slot)),
        Err(reason) => {
            ended(slot.client(), &reason);
            None
        }
    }
}

async fn shake_hands(
    stream: TcpStream,
    doors: &Doors,
    slot: &mut Slot,
    service: Arc<Service>,
    stop: Stop,
) -> Result<Session, String> {
    stream.set_nodelay(true).map_err(|e| e.to_string())?;
    let tls = TlsAcceptor::from(Arc::clone(&doors.tls));
    let stream = timeout(HANDSHAKE, tls.accept(stream))
        .await
        .map_err(|_| "the TLS handshake took too long".to_owned())?
        .map_err(|e| format!("TLS: {e}"))?;
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let bootstrap = doors.is_bootstrap(chain);
    let certificate = chain.first();
    let name = certificate.and_then(|c| common_name(c)).unwrap_or_default();
    let eid: Option<Eid> = name.parse().ok();
    let car = match (eid, certificate) {
        (Some(eid), Some(certificate)) => {
            let fingerprint = fingerprint(certificate);
            let admitted = match bootstrap {
                true => service.takes_part(eid).await,
                false => service.admits(eid, &fingerprint).await,
            };
            let admitted = admitted.map_err(|e| e.to_string())?;
            // Vehicles share addresses of their carriers: one that takes part has a place of its own.
            if admitted && slot.identify(fingerprint).is_err() {
                return Err(format!("{name}: too many connections of this vehicle"));
            }
            admitted.then_some(Known {
                eid,
                certificate: fingerprint,
                bootstrap,
            })
        }
        _ => None,
    };
    // Refused with a reason code rather than by silence: the vehicle's log then says why.
    Ok(Session::new(stream, service, name.into(), car, stop))
}
