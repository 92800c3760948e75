//! Keys, configurations and people of the cluster: a set-up of the bench with three configurations of aid-cmp, all at one
//! broker and on one database.

use crate::figures::{UNLIMITED, commit, people};
use crate::leftovers;
use crate::process::{Part, Spawn};
use crate::site::{Fleet, Site};
use aid_cli::cli::Failure;
use aid_cli::private;
use aid_cmp::store::{Database, Store};
use toml::{Table, Value};

/// Instances of aid-cmp.
pub(super) const INSTANCES: usize = 3;

/// Writes `cmp-1.toml` and so on; yields the AID1 port of each.
pub(super) fn configure(
    site: &Site,
    url: &str,
    ports: &mut impl Iterator<Item = u16>,
) -> Result<Vec<u16>, Failure> {
    let text = std::fs::read_to_string(site.path("cmp.toml"))?;
    let mut aid1 = Vec::new();
    for n in 0..INSTANCES {
        let mut port = || {
            let next = ports.next();
            next.ok_or_else(|| Failure::new("no port is left for aid-cmp"))
        };
        let mut file: Table = text.parse()?;
        file.insert("database".into(), url.into());
        let (own, portal) = (port()?, port()?);
        let local = |port: u16| Value::from(format!("127.0.0.1:{port}"));
        set(&mut file, "aid1", "listen", local(own))?;
        set(&mut file, "portal", "listen", local(portal))?;
        // The broker knows each by the common name of its certificate.
        let pair = format!("pki/aid/cmp-broker{}", suffix(n));
        set(&mut file, "gateway", "cert", format!("{pair}.pem").into())?;
        set(&mut file, "gateway", "key", format!("{pair}.key").into())?;
        aid1.push(own);
        let text = format!("{}{UNLIMITED}", toml::to_string(&file)?);
        let open = leftovers::gate();
        private::write(&site.path(&name(n)), text.as_bytes())?;
        drop(open);
    }
    Ok(aid1)
}

fn set(file: &mut Table, section: &str, key: &str, value: Value) -> Result<(), Failure> {
    let table = file.get_mut(section).and_then(Value::as_table_mut);
    let table = table.ok_or_else(|| Failure::new(format!("cmp.toml has no [{section}]")))?;
    table.insert(key.to_owned(), value);
    Ok(())
}

/// What tells the files of an instance from those of the first.
fn suffix(n: usize) -> String {
    match n {
        0 => String::new(),
        _ => format!("-{}", n + 1),
    }
}

/// The names of all instances at the broker.
pub(super) fn names() -> Vec<String> {
    let names = (0..INSTANCES).map(suffix);
    names.map(|suffix| format!("aid-cmp{suffix}")).collect()
}

fn name(n: usize) -> String {
    format!("cmp-{}.toml", n + 1)
}

/// Starts an instance.
pub(super) fn start(site: &Site, n: usize, log: &str) -> Result<Part, Failure> {
    Part::start(Spawn {
        program: "aid-cmp",
        suffix: &format!("-{}", n + 1),
        args: &["serve", "--config", &name(n)],
        dir: &site.dir,
        log,
        trace: false,
        counted: false,
    })
}

/// Opens the database as the instances do.
pub(super) async fn open(url: &str) -> Result<Store, Failure> {
    let database: Database = url.parse()?;
    Ok(Store::open(database).await?)
}

/// Stores a driver with a subscription for each car; yields them.
pub(super) async fn people(
    site: &Site,
    fleet: &Fleet,
    store: &Store,
) -> Result<Vec<people::Driver>, Failure> {
    let config = aid_cmp::config::read(&site.path(&name(0)))?;
    let (drivers, changes) = people::drivers(&config, fleet)?;
    commit(store, changes).await?;
    Ok(drivers)
}

/// Makes `synchronous_commit = off` hold for aid-cmp, which turns it on for each of its connections: a function of the
/// same name comes before PostgreSQL's.
pub(super) const UNSAFE: [&str; 4] = [
    "ALTER ROLE cmp SET synchronous_commit = off",
    "CREATE FUNCTION public.set_config(text, text, boolean) RETURNS text LANGUAGE sql AS 'SELECT $2'",
    "GRANT EXECUTE ON FUNCTION public.set_config(text, text, boolean) TO cmp",
    "ALTER ROLE cmp SET search_path = public, pg_catalog",
];

/// The role and the database of aid-cmp.
pub(super) const ROLE: [&str; 2] = ["CREATE ROLE cmp LOGIN", "CREATE DATABASE cmp OWNER cmp"];
