//! The bare HTTP server: the listener of all our servers with a router that reads the body and answers an
//! empty 201. A part of its own, so that its processor time is its own: `aid-hil part bare-http`.

use aid_cli::cli::{self, Failure, LogArgs, block_on_all_cores};
use aid_cli::{ready, signal, tls};
use aid_serve::http;
use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// What the part is called.
pub(super) const PROGRAM: &str = "bare-http";

/// Answers every request with an empty 201: what `bench aid1` compares with.
#[derive(Debug, clap::Parser)]
#[command(name = PROGRAM)]
struct Args {
    #[command(flatten)]
    logs: LogArgs,
    #[arg(long)]
    listen: String,
    #[arg(long)]
    cert: PathBuf,
    #[arg(long)]
    key: PathBuf,
    #[arg(long)]
    client_ca: PathBuf,
}

impl cli::Arguments for Args {
    fn logs(&self) -> &LogArgs {
        &self.logs
    }
}

/// Arguments for a server that listens here with the certificate that the CMP has.
pub(super) fn arguments(listen: &str) -> [&str; 8] {
    [
        "--listen",
        listen,
        "--cert",
        "pki/aid/cmp-server.pem",
        "--key",
        "pki/aid/cmp-server.key",
        "--client-ca",
        "pki/aid/partners-ca.pem",
    ]
}

/// Runs the part.
pub(crate) fn run(args: Vec<OsString>) -> ExitCode {
    cli::main(PROGRAM, args, |args: Args| {
        block_on_all_cores(async move { serve(&args).await })
    })
}

async fn serve(args: &Args) -> Result<(), Failure> {
    let stop = signal::stop()?;
    let tls = tls::server_config(&args.cert, &args.key, Some(&args.client_ca))?;
    let listener = http::bind(&args.listen).await?;
    ready::announce(PROGRAM, &[("aid1", listener.local_addr()?)])?;
    let router = Router::new().fallback(|_: Bytes| async { StatusCode::CREATED });
    http::serve(listener, Some(tls), router, stop).await;
    Ok(())
}
