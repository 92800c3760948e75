//! How many lines of configuration make an MSP reach a hundred CMPs: its description gets one (`pairs = "all"`), is given
//! to the hub that serves, and the MSP calls every CMP through it.

use super::Caller;
use crate::figures::aid1::load;
use crate::site::Site;
use crate::story::books;
use aid_aid1::body::SendMspToken;
use aid_cli::cli::Failure;
use aid_cli::{private, signal, tls};
use aid_serve::http;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use serde::Serialize;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// CMPs behind the hub.
const CMPS: usize = 100;
/// Most lines that a description may need for all of them.
const LINES: usize = 1;
/// Longest wait for a call to be let through.
const PATIENCE: Duration = Duration::from_secs(20);
/// Pause between two attempts.
const AGAIN: Duration = Duration::from_millis(20);

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Reached {
    /// CMPs behind the hub.
    cmps: usize,
    /// Those that got a call of the MSP, under their own name.
    reached: usize,
    /// Lines that the MSP's description needed for it.
    lines: usize,
    /// From the change of the description until the last CMP was reached, seconds.
    seconds: f64,
}

/// The names by which calls came.
type Names = Arc<Mutex<BTreeSet<String>>>;

async fn note(State(names): State<Names>, request: Request) -> StatusCode {
    let name = request.headers().get("target-id");
    if let Some(name) = name.and_then(|name| name.to_str().ok()) {
        let mut names = names.lock().unwrap_or_else(PoisonError::into_inner);
        names.insert(name.to_owned());
    }
    StatusCode::CREATED
}

/// Onboards the CMPs, then the MSP with the one line, and calls.
///
/// # Errors
/// A part fails, or a CMP is not reached in time.
pub(super) async fn measure(site: &Site, issuer: &Caller) -> Result<Reached, Failure> {
    let pki = |name: &str| site.path("pki/aid").join(name);
    let (cert, key) = (pki("cmp-server.pem"), pki("cmp-server.key"));
    let config = tls::server_config(&cert, &key, Some(&pki("partners-ca.pem")))?;
    let listener = http::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let names = Names::default();
    let router = Router::new().fallback(note).with_state(Arc::clone(&names));
    let (trigger, stop) = signal::manual();
    let serving = tokio::spawn(http::serve(listener, Some(config), router, stop));

    let cmps: Vec<String> = (0..CMPS).map(|n| format!("cmp{n}")).collect();
    let mut args = vec!["party", "add", "--config", "hub.toml"];
    let mut files = Vec::new();
    for name in &cmps {
        let file = format!("hub-{name}.toml");
        let text = format!(
            "id = \"{name}\"\nrole = \"cmp\"\nurl = \"https://localhost:{port}\"\ncommon_name = \"{name}\"\n"
        );
        private::write(&site.path(&file), text.as_bytes())?;
        files.push(file);
    }
    args.extend(files.iter().flat_map(|file| ["--file", file.as_str()]));
    books::output(site, "aid-hub", &args, "")?;

    let before = std::fs::read_to_string(site.path("hub-msp.toml"))?;
    let after = format!("pairs = \"all\"\n{before}");
    let lines = after.lines().count() - before.lines().count();
    private::write(&site.path("hub-msp.toml"), after.as_bytes())?;
    let begin = Instant::now();
    let add = ["party", "add", "--replace", "--file", "hub-msp.toml"];
    let add = [&add[..], &["--config", "hub.toml"]].concat();
    books::output(site, "aid-hub", &add, "")?;
    for name in &cmps {
        call(site, issuer, name).await?;
    }
    let seconds = begin.elapsed().as_secs_f64();
    trigger.stop();
    serving.await?;
    let names = names.lock().unwrap_or_else(PoisonError::into_inner);
    let reached = cmps.iter().filter(|name| names.contains(*name)).count();
    Ok(Reached {
        cmps: CMPS,
        reached,
        lines,
        seconds,
    })
}

/// Calls a CMP until the hub, which reads its parties again within a second, lets it through.
async fn call(site: &Site, issuer: &Caller, name: &str) -> Result<(), Failure> {
    let end = Instant::now() + PATIENCE;
    loop {
        let body = format!("{{\"msp_token\":\"{}\"}}", Uuid::new_v4());
        let request = issuer.request_to::<SendMspToken>(name, "a.b.c", &body)?;
        let line = load::open(&issuer.tls, 1, site.ports.hub).await;
        let mut line = line.map_err(Failure::new)?;
        match line.send(vec![request], StatusCode::CREATED).await {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() > end => {
                return Err(Failure::new(format!("{name} is not reached: {error}")));
            }
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
    }
}

/// A line for people.
pub(super) fn text(found: &Reached) -> String {
    let verdict = |good: bool| if good { "reached" } else { "MISSED" };
    let Reached {
        cmps,
        reached,
        lines,
        seconds,
    } = found;
    format!(
        "an MSP reaches {reached} of {cmps} CMPs with {lines} line of configuration, all within {seconds:.2} s of it \
         (goals {CMPS} CMPs: {}, {LINES} line: {})\n",
        verdict(reached == cmps),
        verdict(*lines <= LINES)
    )
}
