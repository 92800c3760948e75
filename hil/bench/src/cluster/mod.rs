//! `aid-hil cluster`: three aid-cmp, a PostgreSQL primary with a synchronous standby under Patroni, and an MQTT broker at
//! which the instances share a subscription, all on loopback; a load of MSPs and cars; and kills of every kind (docs/cluster.md). At the end the books
//! are compared from outside: nothing that was acknowledged may be lost or doubled.

mod books;
mod broker;
mod car;
mod chaos;
mod compare;
mod database;
mod foreign;
mod msp;
mod partner;
mod report;
mod setup;

use crate::figures::Dialer;
use crate::figures::people::{Driver, first};
use crate::leftovers::Workshop;
use crate::site::{Fleet, More, Options, Ports, Site};
use aid_cli::cli::{self, Failure, LogArgs, block_on_all_cores};
use aid_cli::{signal, tls};
use aid_cmp::store::{Store, Tx};
use aid_serve::http;
use axum::Router;
use books::Books;
use broker::Broker;
use car::Car;
use chaos::{Cluster, Draw, Kind};
use database::Database;
use foreign::LOOK;
use msp::Desk;
use partner::Partner;
use report::Report;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Ports beside those of the set-up: six of the database, six of aid-cmp.
const PORTS: usize = 12;
/// Connections of the MSP that update subscriptions.
const PARTNERS: usize = 4;
/// Kills of the control run.
const CONTROL_KILLS: usize = 2;
/// Longest wait for the load to end, and for the outbox to be empty.
const PATIENCE: Duration = Duration::from_secs(300);

/// Options of `aid-hil cluster`.
#[derive(Debug, clap::Args)]
pub(crate) struct ClusterArgs {
    /// Kills of each kind: aid-cmp, broker, database primary, database standby; in a control run, of the primary.
    #[arg(long, value_name = "N")]
    kills: Option<usize>,
    /// Where the order of the kills comes from; default: the time.
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Cars, each with a driver and a subscription.
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=1000))]
    cars: u32,
    /// With synchronous_commit = off and an asynchronous standby, which loses what was acknowledged: the run succeeds
    /// if the comparison finds that.
    #[arg(long)]
    control: bool,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub(crate) fn run(args: &ClusterArgs, logs: &LogArgs) -> Result<(), Failure> {
    let report = block_on_all_cores(play(args, logs))?;
    let text = match args.json {
        true => format!("{}\n", serde_json::to_string(&report)?),
        false => report.text(),
    };
    cli::print(&text)?;
    let is_wrong = report.lost + report.doubled + report.refused > 0;
    match (args.control, is_wrong) {
        (false, false) => Ok(()),
        (false, true) => Err(Failure::new("what was acknowledged is not in the books")),
        (true, _) if report.lost > 0 => Ok(()),
        (true, _) => Err(Failure::new(
            "the control run lost nothing: the comparison has proved nothing",
        )),
    }
}

/// Starts everything, plays the kills, and compares.
async fn play(args: &ClusterArgs, logs: &LogArgs) -> Result<Report, Failure> {
    let time = std::time::SystemTime::UNIX_EPOCH.elapsed();
    let seed = args.seed.unwrap_or(time.map_or(1, |t| t.as_secs()));
    cli::line_to_stderr(&format!("seed {seed}"));
    let temporary = Workshop::new("cluster", &std::env::temp_dir())?;
    let open = Workshop::new("cluster-db", &std::env::temp_dir())?;
    let folder = open.path();
    for folder in folder.parent().into_iter().chain([folder]) {
        database::open_to_others(folder)?;
    }
    let options = Options {
        more: More {
            broker: true,
            instances: setup::INSTANCES - 1,
            ..More::default()
        },
        ..Options::default()
    };
    let site = Site::create(temporary.path(), options)?;
    site.make_logs()?;
    let fleet = Fleet::mint(&site, args.cars)?;
    let (_block, ports) = Ports::free(PORTS)?;
    let mut ports = ports.into_iter();

    cli::line_to_stderr("starting etcd, PostgreSQL under Patroni, and the broker");
    let database = Database::start(folder, &mut ports, !args.control).await?;
    database.sql("postgres", &setup::ROLE).await?;
    if args.control {
        database.sql("cmp", &setup::UNSAFE).await?;
    }
    let broker = Broker::start(&site, &setup::names()).await?;
    let url = database.url();
    let aid1 = setup::configure(&site, &url, &mut ports)?;
    let store = setup::open(&url).await?;
    let drivers = setup::people(&site, &fleet, &store).await?;
    let mut cmps = Vec::new();
    for n in 0..setup::INSTANCES {
        cmps.push(setup::start(&site, n, &logs.log)?);
    }
    let mut cluster = Cluster {
        site: &site,
        database,
        broker,
        cmps,
        log: &logs.log,
        always_freeze: args.control,
    };

    cli::line_to_stderr("the load begins");
    let begin = Instant::now();
    let books = Arc::new(Books::new());
    let load = Load::start(&cluster, &fleet, &aid1, drivers, &books).await?;
    let (kinds, each) = match args.control {
        true => (&[Kind::Primary][..], args.kills.unwrap_or(CONTROL_KILLS)),
        false => (&Kind::ALL[..], args.kills.unwrap_or(25)),
    };
    let mut draw = Draw(seed);
    let order = draw.order(kinds, each);
    let kills = cluster.play(order, &mut draw, &books).await?;

    cli::line_to_stderr("the load ends; the books are compared");
    let desk = load.end(&store, &books).await?;
    let config = aid_cmp::config::read(&site.path("cmp.toml"))?;
    let msp = first(&config)?;
    let pages = std::mem::take(&mut *books.pages());
    let heard = std::mem::take(&mut *desk.heard());
    let client = msp.client_id.to_string();
    let verdict = compare::compare(&store, &pages, &heard, &client, &msp.name).await?;
    store.close().await;
    let run = (seed, args.control);
    let repeated = heard.repeated;
    Ok(Report::new(run, begin, &kills, &pages, &verdict, repeated))
}

/// MSP and cars at work.
struct Load {
    desk: Arc<Desk>,
    tasks: JoinSet<()>,
    /// End with the run: the MSP as a server, and the codes that it sends later.
    served: JoinSet<()>,
}

impl Load {
    async fn start(
        cluster: &Cluster<'_>,
        fleet: &Fleet,
        aid1: &[u16],
        drivers: Vec<Driver>,
        books: &Arc<Books>,
    ) -> Result<Self, Failure> {
        let site = cluster.site;
        let config = aid_cmp::config::read(&site.path("cmp.toml"))?;
        let (later, waiting) = mpsc::unbounded_channel();
        let desk = Arc::new(Desk::new(&config, later)?);
        let mut served = JoinSet::new();
        let pki = |name: &str| site.path("pki/aid").join(name);
        let tls = tls::server_config(
            &pki("msp-server.pem"),
            &pki("msp-server.key"),
            Some(&pki("partners-ca.pem")),
        )?;
        let listener = http::bind(&format!("127.0.0.1:{}", site.ports.msp_aid1)).await?;
        let router = Router::new()
            .fallback(msp::handle)
            .with_state(Arc::clone(&desk));
        served.spawn(async move {
            // Nobody stops it: it ends with the run.
            let (_trigger, stop) = signal::manual();
            http::serve(listener, Some(tls), router, stop).await;
        });
        let partner = Arc::new(Partner::new(site, aid1, books)?);
        served.spawn(Arc::clone(&partner).send_later(waiting));

        let dialer = Arc::new(Dialer::new(fleet, cluster.broker.port())?);
        let mut tasks = JoinSet::new();
        let mut shares: Vec<Vec<Driver>> = vec![Vec::new(); PARTNERS];
        for (n, (driver, vehicle)) in drivers.into_iter().zip(&fleet.vehicles).enumerate() {
            shares[n % PARTNERS].push(driver.clone());
            tasks.spawn(Car::new(n, vehicle.eid, &dialer, driver, books).drive());
        }
        for (n, share) in shares
            .into_iter()
            .enumerate()
            .filter(|(_, s)| !s.is_empty())
        {
            tasks.spawn(Arc::clone(&partner).update(share, n));
        }
        Ok(Self {
            desk,
            tasks,
            served,
        })
    }

    /// Waits until all that is open is acknowledged and all calls to the MSP are made; yields the MSP.
    async fn end(mut self, store: &Store, books: &Books) -> Result<Arc<Desk>, Failure> {
        books.end();
        let late = |what: &str| {
            let seconds = PATIENCE.as_secs();
            Failure::new(format!("{what} after {seconds} s"))
        };
        let ended = async {
            while let Some(task) = self.tasks.join_next().await {
                task.map_err(|e| Failure::new(format!("a part of the load failed: {e}")))?;
            }
            Ok::<(), Failure>(())
        };
        let ended = tokio::time::timeout(PATIENCE, ended).await;
        ended.map_err(|_| late("something was not acknowledged"))??;
        let drained = async {
            // Beside calls that wait there may be codes that the MSP has to send.
            let lanes = async |tx: &Tx<'_>| tx.due_lanes(0).await;
            while !store.read(lanes).await?.is_empty() {
                tokio::time::sleep(LOOK).await;
            }
            Ok::<(), Failure>(())
        };
        let drained = tokio::time::timeout(PATIENCE, drained).await;
        drained.map_err(|_| late("the outbox was not empty"))??;
        self.served.shutdown().await;
        Ok(self.desk)
    }
}
