//! Serves one card in all the ways that were asked for, until SIGTERM or SIGINT.

use crate::at;
use crate::config::{CardArgs, Wanted};
use crate::served::Served;
use crate::setup::{self, Setup};
use crate::transport::{self, Listener};
use aid_cli::cli::{self, Failure};
use aid_cli::validity::Certificates;
use aid_cli::{ready, signal};
use std::path::PathBuf;
use std::sync::Arc;

/// Bound listeners with what they speak, under their names in the ready line.
type Listeners = Vec<(&'static str, Listener, transport::Talk)>;

/// The listener of vpcd's second reader; it is not announced.
const SECOND: &str = "vpcd-listen-2";

pub(crate) fn run(args: &CardArgs) -> Result<(), Failure> {
    let wanted = Wanted::read(args)?;
    wanted.reachable()?;
    let setup = Setup::new(wanted)?;
    let mut remove: Vec<PathBuf> = Vec::new();
    let result = bind(&setup.wanted, &mut remove).and_then(|ways| serve(&setup, ways, &mut remove));
    for path in &remove {
        // It may be gone already.
        let _ = std::fs::remove_file(path);
    }
    result
}

/// Listens in all ways that were asked for; `remove` gets the files that this makes.
fn bind(wanted: &Wanted, remove: &mut Vec<PathBuf>) -> Result<Listeners, Failure> {
    let mut listeners: Listeners = Vec::new();
    for (name, address, talk) in [
        ("apdu", &wanted.socket, transport::apdus as transport::Talk),
        ("vpcd-listen", &wanted.vpcd_listen, transport::apdus),
        ("lpac-stdio", &wanted.lpac_stdio, transport::lpac),
    ] {
        if let Some(address) = address {
            let listener = Listener::bind(address)?;
            if let Listener::Unix(_, path) = &listener {
                remove.push(path.clone());
            }
            listeners.push((name, listener, talk));
        }
    }
    // vpcd has two readers and connects to the next port for the second. Where nobody answers there,
    // vpcd 3.3 ends pcscd, so there is a card that can do nothing.
    if let Some((_, Listener::Tcp(first), _)) = listeners.iter().find(|(n, ..)| *n == "vpcd-listen")
        && let Some(next) = second_reader(first)
    {
        match Listener::bind(&next) {
            Ok(listener) => listeners.push((SECOND, listener, transport::blank)),
            Err(e) => tracing::warn!("{e}; the second reader of a vpcd has nobody to connect to"),
        }
    }
    Ok(listeners)
}

fn serve(setup: &Setup, listeners: Listeners, remove: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let wanted = &setup.wanted;
    let stats = setup.crypto.shared_stats();
    let card = Arc::new(Served::new(setup.card()?, Arc::clone(&stats)));
    let mut ready: Vec<(&str, String)> = Vec::new();
    for (name, listener, _) in &listeners {
        if *name != SECOND {
            ready.push((name, listener.address()));
        }
    }
    if let Some(path) = &wanted.at {
        at::start(path, &card, &wanted.quirks)?;
        ready.push(("at", path.display().to_string()));
        remove.push(path.clone());
    }
    if let Some(address) = &wanted.vpcd {
        ready.push(("vpcd", address.clone()));
    }
    let result = cli::block_on(async {
        let stop = signal::stop()?;
        for (name, listener, talk) in listeners {
            let card = Arc::clone(&card);
            spawn(name, move || listener.accept_all(&card, talk))?;
        }
        if let Some(address) = wanted.vpcd.clone() {
            let card = Arc::clone(&card);
            spawn("vpcd", move || transport::vpcd(&address, &card))?;
        }
        let eid = setup.eid();
        for (way, address) in &ready {
            tracing::info!(card = wanted.name, eid, way, address, "serving");
        }
        ready::announce("euicc-sim", &ready)?;
        // Until the stop.
        let certificates = Certificates::new(setup::certificates(wanted));
        certificates.watch(stop).await;
        Ok(())
    });
    let ops = stats.counts();
    let (sign, verify, ecdh, keygen) = (ops.sign, ops.verify, ops.ecdh, ops.keygen);
    tracing::info!(
        sign,
        verify,
        ecdh,
        keygen,
        "stopped; the card's cryptographic operations"
    );
    let flushed = card.stop().map_err(|e| {
        let path = wanted.nvm.as_ref();
        let path = path.map_or_else(|| "the memory".into(), |p| p.display().to_string());
        Failure::new(format!("cannot write {path} to disk: {e}"))
    });
    result.and(flushed)
}

/// Where vpcd looks for the card of its second reader.
fn second_reader(first: &std::net::TcpListener) -> Option<String> {
    let address = first.local_addr().ok()?;
    let port = address.port().checked_add(1)?;
    Some(std::net::SocketAddr::new(address.ip(), port).to_string())
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    std::thread::Builder::new()
        .name(name.into())
        .spawn(work)
        .map(drop)
        .map_err(|e| Failure::new(format!("cannot start a thread: {e}")))
}
