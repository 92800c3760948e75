//! The bare HTTP server: the listener of all our servers with a router that reads the body and answers an
//! empty 201. With a database it commits the body as one row first, by the store of all our servers. A part of its own,
//! so that its processor time is its own: `aid-hil part bare-http`.

use aid_cli::cli::{self, Failure, LogArgs, block_on_all_cores};
use aid_cli::{ready, signal, tls};
use aid_cmp::service::fresh;
use aid_serve::http;
use aid_store::{Database, Options, Schema, Sql, Step, Store, StoreError, Tx, params};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// What the part is called.
pub(in crate::figures) const PROGRAM: &str = "bare-http";

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
    /// An SQLite file that gets a row for each request, on disk before it is answered.
    #[arg(long)]
    database: Option<PathBuf>,
}

/// Its only table.
static SCHEMA: Schema = Schema::new(&[Step {
    version: 1,
    name: "request",
    sql: Sql::Both("CREATE TABLE request (id BLOB PRIMARY KEY NOT NULL, body TEXT NOT NULL)"),
}]);

impl cli::Arguments for Args {
    fn logs(&self) -> &LogArgs {
        &self.logs
    }
}

/// Arguments for a server that listens here with the certificate that the CMP has.
pub(in crate::figures) fn arguments(listen: &str) -> [&str; 8] {
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

/// Answers 201 when the body is on disk, otherwise what is wrong.
async fn keep(State(store): State<Store>, body: Bytes) -> (StatusCode, String) {
    let (id, body) = (fresh(), String::from_utf8_lossy(&body).into_owned());
    let insert = async move |tx: &Tx<'_>| {
        let sql = "INSERT INTO request (id, body) VALUES ($1, $2)";
        tx.run(sql, params![id, body.as_str()]).await
    };
    match store.change::<_, StoreError>(insert).await {
        Ok(_) => (StatusCode::CREATED, String::new()),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

async fn serve(args: &Args) -> Result<(), Failure> {
    let stop = signal::stop()?;
    let tls = tls::server_config(&args.cert, &args.key, Some(&args.client_ca))?;
    let listener = http::bind(&args.listen).await?;
    ready::announce(PROGRAM, &[("aid1", listener.local_addr()?)])?;
    let router = match &args.database {
        None => Router::new().fallback(|_: Bytes| async { StatusCode::CREATED }),
        Some(path) => {
            let database = Database::Sqlite(path.clone());
            let store = Store::open(&database, &SCHEMA, Options::default()).await?;
            store.reserve_log().await?;
            Router::new().fallback(keep).with_state(store)
        }
    };
    http::serve(listener, Some(tls), router, stop).await;
    Ok(())
}
