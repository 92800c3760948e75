//! `serve`: the listeners, the deliveries, and what replaces certificates meanwhile.

use std::path::Path;
use std::sync::Arc;

use aid_aid1::span;
use aid_cli::cli::Failure;
use aid_cli::config::Values;
use aid_cli::{private, ready, signal, tls, validity, weak};
use aid_serve::admin::Shown;
use aid_serve::live::Live;
use aid_serve::peer::Certificate;
use aid_serve::slots::Listener;
use aid_serve::{door, http, telemetry};
use rustls::ServerConfig;

use super::renewal::{self, Renewal};
use crate::carriers::OwnTls;
use crate::config::{Config, Console, EXAMPLE};
use crate::hub::Hub;
use crate::{api, console, delivery, upkeep};

/// TLS of the listeners that others reach.
pub(super) struct ListenersTls {
    pub(super) aid1: Arc<ServerConfig>,
    pub(super) console: Option<Arc<ServerConfig>>,
    pub(super) console_admitted: Option<Vec<Certificate>>,
    pub(super) admin: Option<Arc<ServerConfig>>,
    pub(super) admin_admitted: Option<Vec<Certificate>>,
}

/// Reads the listeners' certificates and keys.
///
/// # Errors
/// A file is not usable.
pub(super) fn listeners_tls(config: &Config) -> Result<ListenersTls, Failure> {
    let mutual = |cert: &Path, key: &Path, ca: &Path| tls::server_config(cert, key, Some(ca));
    let (aid1, console) = (&config.aid1, config.console.as_ref());
    Ok(ListenersTls {
        aid1: mutual(&aid1.cert, &aid1.key, &aid1.client_ca)?,
        console: console
            .map(|c| mutual(&c.cert, &c.key, &c.client_ca))
            .transpose()?,
        console_admitted: console.map(Console::admitted).transpose()?,
        admin: config.admin.tls()?,
        admin_admitted: config.admin.admitted()?,
    })
}

/// Checks what the configuration of this file names, without opening anything.
///
/// # Errors
/// A file or a value is not usable.
pub(super) fn check(path: &Path, config: &Config) -> Result<(), Failure> {
    listeners_tls(config)?;
    OwnTls::read(&config.client)?;
    weak::check_secrets(path, EXAMPLE)?;
    weak::check_files([path].into_iter().chain(config.secrets()))?;
    if let Some(telemetry) = &config.telemetry {
        telemetry.check()?;
    }
    validity::check_now(&renewal::certificates(config))
}

/// Serves until SIGTERM or SIGINT. `path` is the file that `config` was read from.
///
/// # Errors
/// The configuration, a certificate, the database or an address is not usable.
pub(super) async fn serve(path: &Path, config: &Config) -> Result<(), Failure> {
    private::forbid_core_dumps();
    let values = Values::read(path)?;
    let tls = listeners_tls(config)?;
    let hub = Hub::open(config).await?;
    if let Err(error) = hub.store.reserve_log().await {
        tracing::warn!(%error, "no space is reserved for the database's log: commits take longer");
    }
    let aid1 = http::bind(&config.aid1.listen).await?;
    let mut listen = vec![("aid1", aid1.local_addr()?)];
    let console = match &config.console {
        None => None,
        Some(console) => {
            let bound = http::bind(&console.listen).await?;
            listen.push(("console", bound.local_addr()?));
            Some(bound)
        }
    };
    let admin = config.admin.open().await?;
    listen.push(("admin", admin.address()?));
    let export = match &config.telemetry {
        None => None,
        Some(telemetry) => {
            let (exporter, export) = telemetry::start("aid-hub", telemetry)?;
            span::record_with(move |span| exporter.send(span));
            Some(export)
        }
    };
    let stop = signal::stop()?;
    upkeep::resume(&hub).await?;
    let certificates = aid_serve::expiry::certificates(renewal::certificates(config));
    let renewal = Renewal {
        path: path.to_owned(),
        values,
        aid1: Live::new(tls.aid1),
        console: tls.console.map(Live::new),
        console_admitted: tls.console_admitted.map(door::live),
        admin: admin.renewable(),
        certificates: certificates.clone(),
    };
    let counted = |tcp| Listener::new(tcp, &config.connections);
    let (aid1, aid1_tls) = (counted(aid1), renewal.aid1.clone());
    let console = console.map(counted);
    let console = console.zip(
        renewal
            .console
            .clone()
            .zip(renewal.console_admitted.clone()),
    );
    let for_operators = async {
        if let Some((listener, (tls, admitted))) = console {
            let router = door::guard(console::router(hub.clone()), "console", admitted);
            http::serve(listener, tls, router, stop.clone()).await;
        }
    };
    let following = renewal.follow(renewal::files(path, config), &hub, stop.clone());
    private::warn_of_open([path].into_iter().chain(config.secrets()));
    ready::announce("aid-hub", &listen)?;
    tokio::join!(
        http::serve_refusing(
            aid1,
            aid1_tls,
            api::router(hub.clone()),
            api::refuse,
            stop.clone()
        ),
        for_operators,
        admin.serve(shown(&hub), stop.clone()),
        delivery::run(hub.clone(), stop.clone()),
        upkeep::run(hub.clone(), stop.clone()),
        following,
        certificates.watch(stop.clone()),
    );
    // What the last requests counted, after the listeners have ended.
    hub.flush().await;
    if let Some(export) = export {
        export.finish().await;
    }
    let store = hub.store.clone();
    drop(hub);
    store.close().await;
    Ok(())
}

/// What the admin listener shows: ready as long as the database can be written.
fn shown(hub: &Hub) -> Shown {
    let hub = hub.clone();
    Shown {
        ready: Arc::new(move || {
            let hub = hub.clone();
            Box::pin(async move { hub.store.check().await.map_err(|error| error.to_string()) })
        }),
        openapi: None,
    }
}
