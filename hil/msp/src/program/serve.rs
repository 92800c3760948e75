//! `serve`: the listeners, the outbox, and what replaces keys and certificates meanwhile.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use aid_aid1::contract::openapi;
use aid_aid1::operation::MspOperation;
use aid_aid1::span;
use aid_cli::cli::Failure;
use aid_cli::config::Values;
use aid_cli::signal::{self, Stop};
use aid_cli::validity;
use aid_cli::{private, ready, tls, weak};
use aid_serve::admin::Shown;
use aid_serve::limit::logins;
use aid_serve::live::Live;
use aid_serve::peer::Certificate;
use aid_serve::slots::Listener;
use aid_serve::{door, http, telemetry};
use rustls::ServerConfig;
use tokio::net::TcpListener;

use super::renewal::{self, Renewal};
use crate::agreed::Agreed;
use crate::config::{Config, EXAMPLE, Es2};
use crate::msp::Msp;
use crate::{api, control, desk, es2_server, orders, outbox};

/// TLS of the listeners that others reach.
pub(super) struct ListenersTls {
    pub(super) aid1: Arc<ServerConfig>,
    pub(super) touchpoint: Arc<ServerConfig>,
    /// Of the SM-DP+'s calls, where they are listened for.
    pub(super) es2: Option<Arc<ServerConfig>>,
    /// Of the admin listener, where it has TLS.
    pub(super) admin: Option<Arc<ServerConfig>>,
    /// Who may look at the admin listener, where it demands client certificates.
    pub(super) admin_admitted: Option<Vec<Certificate>>,
    /// Who may call as the SM-DP+, where that is listened for.
    pub(super) es2_admitted: Option<Vec<Certificate>>,
}

/// Reads the listeners' certificates and keys.
///
/// # Errors
/// A file is not usable.
pub(super) fn listeners_tls(config: &Config) -> Result<ListenersTls, Failure> {
    let mutual = |cert: &Path, key: &Path, ca: &Path| tls::server_config(cert, key, Some(ca));
    let aid1 = &config.aid1;
    Ok(ListenersTls {
        aid1: mutual(&aid1.cert, &aid1.key, &aid1.client_ca)?,
        touchpoint: tls::server_config(&config.touchpoint.cert, &config.touchpoint.key, None)?,
        es2: config
            .es2
            .as_ref()
            .map(|es2| mutual(&es2.cert, &es2.key, &es2.client_ca))
            .transpose()?,
        admin: config.admin.tls()?,
        admin_admitted: config.admin.admitted()?,
        es2_admitted: config.es2.as_ref().map(Es2::admitted).transpose()?,
    })
}

/// Checks what the configuration of this file names, without opening anything.
///
/// # Errors
/// A file or a value is not usable.
pub(super) fn check(path: &Path, config: &Config) -> Result<(), Failure> {
    listeners_tls(config)?;
    config.touchpoint.theme()?;
    weak::check_secrets(path, EXAMPLE)?;
    weak::check_files([path].into_iter().chain(config.secrets()))?;
    if let Some(telemetry) = &config.telemetry {
        telemetry.check()?;
    }
    let apart = Agreed::new(config)?.certificates_apart();
    apart.map_err(Failure::new)?;
    validity::check_now(&renewal::certificates(config))
}

/// Addresses that are ours now.
struct Bound {
    aid1: TcpListener,
    touchpoint: TcpListener,
    control: Option<TcpListener>,
    es2: Option<TcpListener>,
}

impl Bound {
    async fn new(config: &Config) -> Result<Self, Failure> {
        let control = config.control.as_ref().map(|c| c.listen.to_string());
        let es2 = config.es2.as_ref().map(|e| e.listen.clone());
        Ok(Self {
            aid1: http::bind(&config.aid1.listen).await?,
            touchpoint: http::bind(&config.touchpoint.listen).await?,
            control: some(control).await?,
            es2: some(es2).await?,
        })
    }

    fn addresses(&self) -> Result<Vec<(&'static str, SocketAddr)>, Failure> {
        let all = [
            ("aid1", Some(&self.aid1)),
            ("touchpoint", Some(&self.touchpoint)),
            ("control", self.control.as_ref()),
            ("es2", self.es2.as_ref()),
        ];
        let open = all.into_iter().filter_map(|(name, at)| Some((name, at?)));
        open.map(|(name, at)| Ok((name, at.local_addr()?)))
            .collect()
    }
}

async fn some(address: Option<String>) -> Result<Option<TcpListener>, Failure> {
    match address {
        Some(address) => http::bind(&address).await.map(Some),
        None => Ok(None),
    }
}

/// Serves until the process is told to stop. `path` is the file that `config` was read from.
///
/// # Errors
/// The configuration, a certificate, the database or an address is not usable.
pub(super) async fn serve(path: &Path, config: &Config) -> Result<(), Failure> {
    private::forbid_core_dumps();
    let values = Values::read(path)?;
    let tls = listeners_tls(config)?;
    let msp = Msp::open(config).await?;
    if let Err(shared) = msp.agreed().certificates_apart() {
        tracing::warn!("{shared}");
    }
    if let Err(error) = msp.store.reserve_log().await {
        tracing::warn!(%error, "no space is reserved for the database's log: commits take longer");
    }
    let bound = Bound::new(config).await?;
    let admin = config.admin.open().await?;
    let console = desk::router(msp.clone(), config.limits.login)?;
    let mut listen = bound.addresses()?;
    listen.push(("admin", admin.address()?));
    let export = match &config.telemetry {
        None => None,
        Some(telemetry) => {
            let (exporter, export) = telemetry::start("aid-msp", telemetry)?;
            span::record_with(move |span| exporter.send(span));
            Some(export)
        }
    };
    let stop = signal::stop()?;
    orders::resume(&msp).await?;
    let keys = api::Keys::new(&msp).await?;
    let certificates = aid_serve::expiry::certificates(renewal::certificates(config));
    let renewal = Renewal {
        path: path.to_owned(),
        values,
        aid1: Live::new(tls.aid1),
        touchpoint: Live::new(tls.touchpoint),
        es2: tls.es2.map(Live::new),
        es2_admitted: tls.es2_admitted.map(door::live),
        admin: admin.renewable(),
        certificates: certificates.clone(),
    };
    let listeners = listeners(&msp, config, bound, &renewal, &keys, &stop);
    let renewal = renewal.follow(renewal::files(path, config), &msp, stop.clone());
    private::warn_of_open([path].into_iter().chain(config.secrets()));
    if let Err(weak) = weak::check_secrets(path, EXAMPLE) {
        tracing::warn!("{weak}");
    }
    ready::announce("aid-msp", &listen)?;
    tokio::join!(
        listeners,
        admin.serve_beside(shown(&msp), console, stop.clone()),
        outbox::run(msp.clone(), stop.clone()),
        keys.follow(&msp, stop.clone()),
        renewal,
        certificates.watch(stop.clone()),
    );
    if let Some(export) = export {
        export.finish().await;
    }
    msp.store.close().await;
    Ok(())
}

/// Serves all of them until the stop.
fn listeners<'a>(
    msp: &'a Msp,
    config: &'a Config,
    bound: Bound,
    tls: &Renewal,
    keys: &api::Keys,
    stop: &'a Stop,
) -> impl Future<Output = ()> + use<'a> {
    let (aid1_tls, pages_tls) = (tls.aid1.clone(), tls.touchpoint.clone());
    let counted = |tcp| Listener::new(tcp, &config.connections);
    let (aid1, touchpoint) = (counted(bound.aid1), counted(bound.touchpoint));
    let es2 = bound.es2.map(counted);
    let es2 = es2.zip(tls.es2.clone().zip(tls.es2_admitted.clone()));
    let api = api::router(msp.clone(), keys, config.limits.aid1);
    let pages = logins(
        crate::touchpoint::router(msp.clone()),
        crate::touchpoint::GUESSES,
        config.limits.login,
        crate::touchpoint::too_many(msp.clone()),
    );
    let controlled = async move {
        if let Some(control) = bound.control {
            http::serve(control, None, control::router(msp.clone()), stop.clone()).await;
        }
    };
    let told = async move {
        if let Some((es2, (tls, admitted))) = es2 {
            let router = door::guard(es2_server::router(msp.clone()), "es2", admitted);
            http::serve(es2, tls, router, stop.clone()).await;
        }
    };
    async move {
        tokio::join!(
            http::serve_refusing(aid1, aid1_tls, api, api::refuse, stop.clone()),
            http::serve(touchpoint, pages_tls, pages, stop.clone()),
            controlled,
            told,
        );
    }
}

/// What the admin listener shows: ready as long as the database can be written.
fn shown(msp: &Msp) -> Shown {
    let msp = msp.clone();
    Shown {
        ready: Arc::new(move || {
            let msp = msp.clone();
            Box::pin(async move {
                let written = msp.store.check().await;
                written.map_err(|error| error.to_string())
            })
        }),
        openapi: Some(openapi::<MspOperation>().into()),
    }
}
