//! `serve`: opens everything, says that it is ready, runs until a signal.

use super::renewal::{self, LiveVehicles, Renewal};
use super::upkeep;
use crate::config::{Config, EXAMPLE, Gateway, check};
use crate::gateway::Doors;
use crate::gateway::broker::{AtBroker, Broker};
use crate::service::{Service, now};
use crate::store::Store;
use crate::{api, desk, gateway, outbox, portal, webhooks};
use aid_aid1::contract::openapi;
use aid_aid1::operation::CmpOperation;
use aid_aid1::span;
use aid_cli::cli::Failure;
use aid_cli::config::Values;
use aid_cli::signal::Stop;
use aid_cli::{private, ready, signal, tls, weak};
use aid_serve::admin::Shown;
use aid_serve::limit::logins;
use aid_serve::live::Live;
use aid_serve::peer::Certificate;
use aid_serve::slots::Listener;
use aid_serve::{http, metrics, telemetry};
use rustls::{ClientConfig, ServerConfig};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// TLS of the listeners, and towards vehicles.
pub(super) struct Tls {
    pub(super) aid1: Arc<ServerConfig>,
    pub(super) portal: Arc<ServerConfig>,
    pub(super) vehicles: Vehicles,
    /// Of the admin listener, where it has TLS.
    pub(super) admin: Option<Arc<ServerConfig>>,
    /// Who may look at the admin listener, where it demands client certificates.
    pub(super) admin_admitted: Option<Vec<Certificate>>,
}

/// How vehicles are reached.
pub(super) enum Vehicles {
    /// They connect to us.
    Server(Arc<Doors>),
    /// They connect to a broker, as we do.
    Broker(Arc<ClientConfig>),
}

/// Loads certificates and keys.
pub(super) fn listeners_tls(config: &Config) -> Result<Tls, Failure> {
    let file = &config.fixed.file;
    Ok(Tls {
        aid1: tls::server_config(&file.aid1.cert, &file.aid1.key, Some(&file.aid1.client_ca))?,
        portal: tls::server_config(&file.portal.cert, &file.portal.key, None)?,
        vehicles: vehicles(&file.gateway)?,
        admin: file.admin.tls()?,
        admin_admitted: file.admin.admitted()?,
    })
}

fn vehicles(gateway: &Gateway) -> Result<Vehicles, Failure> {
    let identity = (gateway.cert.as_path(), gateway.key.as_path());
    if gateway.broker.is_some()
        && let Some(ca) = gateway.ca.as_ref().or(gateway.client_ca.as_ref())
    {
        return Ok(Vehicles::Broker(tls::client_config(ca, Some(identity))?));
    }
    Ok(Vehicles::Server(Arc::new(Doors::new(gateway)?)))
}

/// Names and addresses of the listeners.
pub type Listening = [(&'static str, SocketAddr)];

pub(super) async fn serve(path: &Path) -> Result<(), Failure> {
    let stop = signal::stop()?;
    serve_until(path, stop, |listen| ready::announce("aid-cmp", listen)).await
}

/// Serves until the stop; `announce` hears where, once everything is bound.
///
/// # Errors
/// The configuration, a certificate, the database or an address is not usable.
pub async fn serve_until(
    path: &Path,
    stop: Stop,
    announce: impl FnOnce(&Listening) -> Result<(), Failure>,
) -> Result<(), Failure> {
    private::forbid_core_dumps();
    metrics::build_info("aid-cmp", env!("CARGO_PKG_VERSION"));
    let values = Values::read(path)?;
    let config = check(path)?;
    if let Err(weak) = weak::check_secrets(path, EXAMPLE) {
        tracing::warn!("{weak}");
    }
    let tls = listeners_tls(&config)?;
    if let Err(shared) = config.agreed.certificates_apart() {
        tracing::warn!("{shared}");
    }
    let certificates =
        aid_serve::expiry::certificates(renewal::certificates(path, &config.fixed.file));
    let file = &config.fixed.file;
    let store = Store::open(file.database.clone()).await?;
    if let Err(error) = store.reserve_log().await {
        tracing::warn!(%error, "no space is reserved for the database's log: commits take longer");
    }
    let aid1 = http::bind(&file.aid1.listen).await?;
    let pages = http::bind(&file.portal.listen).await?;
    let admin = file.admin.open().await?;
    let export = match &file.telemetry {
        None => None,
        Some(telemetry) => {
            let (exporter, export) = telemetry::start("aid-cmp", telemetry)?;
            span::record_with(move |span| exporter.send(span));
            Some(export)
        }
    };
    let mut listen = vec![
        ("aid1", aid1.local_addr()?),
        ("portal", pages.local_addr()?),
        ("admin", admin.address()?),
    ];
    let gateway = &file.gateway;
    let (most, cars) = (gateway.max_vehicles, gateway.listen.clone());
    let cars = match cars {
        Some(address) => Some(http::bind(&address).await?),
        None => None,
    };
    if let Some(cars) = &cars {
        listen.push(("gateway", cars.local_addr()?));
        open_files(most);
    }
    let counted = |tcp| Listener::new(tcp, &file.connections);
    let (aid1, pages, cars) = (counted(aid1), counted(pages), cars.map(counted));
    let (files, dated) = (
        renewal::files(path, file),
        renewal::certificates(path, file),
    );
    let service = Arc::new(Service::new(store, config));
    service.attend(now()).await?;
    let (aid1_tls, portal_tls) = (Live::new(tls.aid1), Live::new(tls.portal));
    let (vehicles, reach, at_broker) = reach(&service, tls.vehicles, cars, most, &stop)?;
    let renewal = Renewal {
        path: path.to_owned(),
        values,
        aid1: aid1_tls.clone(),
        portal: portal_tls.clone(),
        vehicles,
        admin: admin.renewable(),
        certificates: certificates.clone(),
    };
    let mut workers = vec![
        tokio::spawn(renewal.follow(files, Arc::clone(&service), stop.clone())),
        reach,
        tokio::spawn(admin.serve_beside(
            shown(&service, at_broker),
            desk::router(Arc::clone(&service), dated),
            stop.clone(),
        )),
        tokio::spawn(http::serve_refusing(
            aid1,
            aid1_tls,
            api::router(Arc::clone(&service), service.config.file.limits.aid1),
            api::refuse,
            stop.clone(),
        )),
        tokio::spawn(http::serve(
            pages,
            portal_tls,
            logins(
                portal::router(Arc::clone(&service)),
                portal::GUESSES,
                service.config.file.limits.login,
                portal::too_many(Arc::clone(&service)),
            ),
            stop.clone(),
        )),
        tokio::spawn(outbox::run(Arc::clone(&service), stop.clone())),
        tokio::spawn(certificates.watch(stop.clone())),
    ];
    workers.extend(upkeep::start(&service, &stop));
    if let Some(webhooks) = &service.config.file.webhooks {
        let client = webhooks::client(webhooks)?;
        workers.push(tokio::spawn(webhooks::run(
            Arc::clone(&service),
            client,
            stop.clone(),
        )));
    }
    let secrets = service.config.file.secrets();
    private::warn_of_open([path].into_iter().chain(secrets));
    announce(&listen)?;
    stop.wait().await;
    for worker in workers {
        let _ = worker.await;
    }
    if let Err(error) = service.leave(now()).await {
        tracing::warn!(%error, "vehicles count as connected until the lease of this instance ends");
    }
    // Whoever holds the service still ends with the process; SQLite folds its log at the next start then.
    if let Some(service) = Arc::into_inner(service) {
        service.store.close().await;
    }
    if let Some(export) = export {
        export.finish().await;
    }
    Ok(())
}

/// Behind a broker: whether it is reached.
type BrokerState = Option<watch::Receiver<AtBroker>>;

/// Begins to serve vehicles; yields what is replaced when certificates are, and whether a broker is reached.
fn reach(
    service: &Arc<Service>,
    tls: Vehicles,
    cars: Option<Listener>,
    most: usize,
    stop: &Stop,
) -> Result<(LiveVehicles, JoinHandle<()>, BrokerState), Failure> {
    let (service, stop) = (Arc::clone(service), stop.clone());
    match (tls, cars) {
        (Vehicles::Server(tls), Some(cars)) => {
            let tls = Live::new(tls);
            let serve = gateway::serve(cars, tls.clone(), service, most, stop);
            Ok((LiveVehicles::Server(tls), tokio::spawn(serve), None))
        }
        (Vehicles::Broker(tls), _) => {
            let tls = Live::new(tls);
            let broker = Broker::new(&service.config.file.gateway, tls.clone())
                .ok_or_else(|| Failure::new("gateway.broker must be mqtts://HOST[:PORT]"))?;
            let state = Some(broker.reached());
            let serve = broker.serve(service, stop);
            Ok((LiveVehicles::Broker(tls), tokio::spawn(serve), state))
        }
        (Vehicles::Server(_), None) => Err(Failure::new("the gateway has no address to listen on")),
    }
}

/// What the admin listener shows: ready as long as the database can be written, and the broker is reached where there is one.
fn shown(service: &Arc<Service>, at_broker: BrokerState) -> Shown {
    let service = Arc::clone(service);
    Shown {
        ready: Arc::new(move || {
            let service = Arc::clone(&service);
            let vehicles = at_broker.as_ref().map_or(Ok(()), |b| b.borrow().clone());
            Box::pin(async move {
                let written = service.store.check().await;
                written.map_err(|error| error.to_string())?;
                vehicles
            })
        }),
        openapi: Some(openapi::<CmpOperation>().into()),
    }
}

/// Raises the limit of open files as far as it may go, and says so where it does not suffice.
fn open_files(vehicles: usize) {
    use rustix::process::{Resource, getrlimit, setrlimit};
    // Listeners, databases, MSPs: what is open beside the vehicles.
    let needed = vehicles as u64 + 256;
    let mut limit = getrlimit(Resource::Nofile);
    let enough = |current: Option<u64>| current.is_none_or(|c| c >= needed);
    if !enough(limit.current) {
        limit.current = limit.maximum.map_or(Some(needed), |m| Some(m.min(needed)));
        if setrlimit(Resource::Nofile, limit).is_err() || !enough(limit.current) {
            tracing::warn!(
                max_vehicles = vehicles,
                open_files = limit.current,
                "fewer open files are allowed than gateway.max_vehicles needs; raise ulimit -n, or lower it"
            );
        }
    }
}
