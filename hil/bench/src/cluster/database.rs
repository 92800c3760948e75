//! PostgreSQL under Patroni: an etcd, a primary and a standby, each with a Patroni of its own. A node is killed whole,
//! with its Patroni, as a machine that loses its power; a standby takes over when the key of the leader in etcd expires.

use super::foreign::{Foreign, LOOK, NOBODY, Start, children, find, lives, signal};
use crate::leftovers;
use aid_cli::cli::Failure;
use aid_cli::private;
use rustix::process::{Signal, geteuid};
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Life of the leader's key, seconds: the least that Patroni allows.
pub(super) const TTL: u32 = 20;
/// Longest wait for the cluster to be whole: a node may have to be copied anew.
const PATIENCE: Duration = Duration::from_secs(300);
/// Longest wait for an answer of Patroni.
const ANSWER: Duration = Duration::from_secs(3);
/// Longest answer that is read, bytes.
const MAX_ANSWER: u64 = 64 * 1024;

/// A node: its ports and its Patroni.
#[derive(Debug)]
struct Node {
    name: String,
    sql: u16,
    rest: u16,
    patroni: Option<Foreign>,
}

/// The database of the cluster.
#[derive(Debug)]
pub(super) struct Database {
    dir: PathBuf,
    binaries: PathBuf,
    patroni: PathBuf,
    /// Whether a commit waits for the standby.
    synchronous: bool,
    nodes: Vec<Node>,
    // Ends last.
    _etcd: Foreign,
}

impl Database {
    /// Starts etcd and both nodes, and waits until the standby follows. `dir` is a folder that others may enter; six
    /// ports are taken.
    pub(super) async fn start(
        dir: &Path,
        ports: &mut impl Iterator<Item = u16>,
        synchronous: bool,
    ) -> Result<Self, Failure> {
        let mut port = || {
            let next = ports.next();
            next.ok_or_else(|| Failure::new("no port is left for the database"))
        };
        let etcd = port()?;
        let store = start_etcd(dir, etcd, port()?)?;
        let mut nodes = Vec::new();
        for n in 1..=2 {
            nodes.push(Node {
                name: format!("db{n}"),
                sql: port()?,
                rest: port()?,
                patroni: None,
            });
        }
        let mut database = Self {
            dir: dir.to_owned(),
            binaries: binaries()?,
            patroni: find("patroni", "patroni")?,
            synchronous,
            nodes,
            _etcd: store,
        };
        database.wait_for_etcd(etcd).await?;
        for n in 0..database.nodes.len() {
            database.prepare(n, etcd)?;
            database.restart(n)?;
            database.wait(async |d| d.primary().await.is_some()).await?;
        }
        database.wait_whole().await?;
        Ok(database)
    }

    /// How aid-cmp names it: both nodes, of which the one that can be written serves.
    pub(super) fn url(&self) -> String {
        let hosts: Vec<String> = self.hosts();
        let hosts = hosts.join(",");
        format!("postgres://cmp@{hosts}/cmp?target_session_attrs=read-write&sslmode=disable")
    }

    fn hosts(&self) -> Vec<String> {
        let host = |node: &Node| format!("127.0.0.1:{}", node.sql);
        self.nodes.iter().map(host).collect()
    }

    /// Runs statements at the primary as the superuser.
    pub(super) async fn sql(&self, database: &str, statements: &[&str]) -> Result<(), Failure> {
        let primary = self.primary().await;
        let node = primary.ok_or_else(|| Failure::new("there is no primary"))?;
        let mut psql = Command::new(self.binaries.join("psql"));
        let port = self.nodes[node].sql.to_string();
        psql.args(["-h", "127.0.0.1", "-U", "postgres", "-X", "-q"])
            .args(["-v", "ON_ERROR_STOP=1", "-p", &port, "-d", database]);
        for statement in statements {
            psql.args(["-c", statement]);
        }
        let output = psql.output()?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(Failure::new(format!("PostgreSQL refused: {said}")))
    }

    /// The node that is the primary, as its Patroni says.
    pub(super) async fn primary(&self) -> Option<usize> {
        for (n, node) in self.nodes.iter().enumerate() {
            if is_ok(node.rest, "primary").await {
                return Some(n);
            }
        }
        None
    }

    /// The node that is not.
    pub(super) const fn other(node: usize) -> usize {
        1 - node
    }

    /// One is the primary, and the other follows it.
    async fn is_whole(&self) -> bool {
        let Some(primary) = self.primary().await else {
            return false;
        };
        let standby = &self.nodes[Self::other(primary)];
        let role = match self.synchronous {
            true => "synchronous",
            // How far behind it may be, bytes.
            false => "replica?lag=1048576",
        };
        is_ok(standby.rest, role).await && self.is_streaming(primary)
    }

    /// Whether the standby receives the log of the primary.
    fn is_streaming(&self, primary: usize) -> bool {
        self.receiver(Self::other(primary)).is_some()
    }

    /// Waits until a primary serves and the standby follows.
    pub(super) async fn wait_whole(&self) -> Result<(), Failure> {
        self.wait(async |d| d.is_whole().await).await
    }

    async fn wait(&self, is_so: impl AsyncFn(&Self) -> bool) -> Result<(), Failure> {
        let until = Instant::now() + PATIENCE;
        while !is_so(self).await {
            if Instant::now() > until {
                let logs = self.dir.display();
                return Err(Failure::new(format!(
                    "the database is not whole after {} s; see the logs in {logs}",
                    PATIENCE.as_secs()
                )));
            }
            tokio::time::sleep(LOOK * 4).await;
        }
        Ok(())
    }

    async fn wait_for_etcd(&self, port: u16) -> Result<(), Failure> {
        self.wait(async |_| is_ok(port, "health").await).await
    }

    /// Kills a node: Patroni first, so that it does not start PostgreSQL again.
    pub(super) async fn kill(&mut self, node: usize) {
        // Dropped and so killed.
        self.nodes[node].patroni = None;
        let killed = self.kill_server(node);
        while killed.iter().any(|pid| lives(*pid)) {
            tokio::time::sleep(LOOK).await;
        }
        // Where nobody collects orphans, the next start would take the dead process for a running server.
        let _ = std::fs::remove_file(self.data(node).join("postmaster.pid"));
    }

    /// Kills PostgreSQL with all its processes; yields them.
    fn kill_server(&self, node: usize) -> Vec<i32> {
        let process = postmaster(&self.data(node).join("postmaster.pid"));
        let mut all: Vec<i32> = process.into_iter().collect();
        all.extend(process.into_iter().flat_map(children));
        for pid in &all {
            signal(*pid, Signal::KILL);
        }
        all
    }

    /// Starts the Patroni of a node, which does the rest.
    pub(super) fn restart(&mut self, node: usize) -> Result<(), Failure> {
        let name = self.nodes[node].name.clone();
        let file = self.dir.join(format!("{name}.yml"));
        let log = self.dir.join(format!("{name}.log"));
        let started = Foreign::start(&Start {
            name: "patroni",
            program: &self.patroni,
            args: &[file.display().to_string()],
            env: &[("LC_ALL", "C.UTF-8")],
            dir: &self.dir.join(&name),
            log: &log,
            never_root: true,
        })?;
        self.nodes[node].patroni = Some(started);
        Ok(())
    }

    /// Stops what receives the log at the standby (SIGSTOP): what the primary writes from now on exists once. Yields the
    /// process, for [`Database::thaw`].
    pub(super) fn freeze(&self, standby: usize) -> Option<i32> {
        let receiver = self.receiver(standby)?;
        signal(receiver, Signal::STOP);
        Some(receiver)
    }

    /// Lets it go on, to its end: what waits in its socket it does not read any more. The standby starts another.
    pub(super) fn thaw(receiver: Option<i32>) {
        if let Some(receiver) = receiver {
            signal(receiver, Signal::TERM);
            signal(receiver, Signal::CONT);
        }
    }

    fn receiver(&self, standby: usize) -> Option<i32> {
        let process = postmaster(&self.data(standby).join("postmaster.pid"))?;
        let receives = |pid: &i32| {
            let title = std::fs::read_to_string(format!("/proc/{pid}/cmdline"));
            title.is_ok_and(|title| title.contains("walreceiver"))
        };
        children(process).into_iter().find(receives)
    }

    fn data(&self, node: usize) -> PathBuf {
        self.dir.join(&self.nodes[node].name).join("data")
    }

    /// Writes the configuration and the folder of a node.
    fn prepare(&self, node: usize, etcd: u16) -> Result<(), Failure> {
        let Node {
            name, sql, rest, ..
        } = &self.nodes[node];
        folder(&self.dir.join(name))?;
        let (data, dir) = (self.data(node), self.dir.join(name));
        let (data, dir) = (data.display(), dir.display());
        let (binaries, synchronous) = (self.binaries.display(), self.synchronous);
        let mut text = format!(
            "scope: aid\nname: {name}\n\
             restapi: {{listen: '127.0.0.1:{rest}', connect_address: '127.0.0.1:{rest}'}}\n\
             etcd3: {{host: '127.0.0.1:{etcd}'}}\n"
        );
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "bootstrap:\n  dcs:\n    ttl: {TTL}\n    loop_wait: 2\n    retry_timeout: 5\n    \
             maximum_lag_on_failover: 1073741824\n    synchronous_mode: {synchronous}\n    \
             postgresql: {{use_pg_rewind: true, use_slots: true}}\n  \
             initdb: [{{encoding: UTF8}}, {{locale: C}}]\n\
             postgresql:\n  listen: '127.0.0.1:{sql}'\n  connect_address: '127.0.0.1:{sql}'\n  \
             data_dir: '{data}'\n  bin_dir: '{binaries}'\n  pgpass: '{dir}/pgpass'\n  \
             remove_data_directory_on_rewind_failure: true\n  remove_data_directory_on_diverged_timelines: true\n  \
             authentication: {{superuser: {{username: postgres}}, replication: {{username: replicator}}}}\n  \
             pg_hba: ['host all all 127.0.0.1/32 trust', 'host replication all 127.0.0.1/32 trust']\n  \
             parameters: {{unix_socket_directories: '', shared_buffers: 32MB, wal_keep_size: 512MB, max_connections: 100}}\n"
        );
        let file = self.dir.join(format!("{name}.yml"));
        private::write(&file, text.as_bytes())?;
        own(&file)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        for node in 0..self.nodes.len() {
            self.nodes[node].patroni = None;
            let until = Instant::now() + ANSWER;
            let killed = self.kill_server(node);
            // What they still write would be left in a folder that is being removed.
            while killed.iter().any(|pid| lives(*pid)) && Instant::now() < until {
                leftovers::pause();
            }
        }
    }
}

/// Whether a GET over HTTP is answered 200, as Patroni and etcd do where the answer is yes.
async fn is_ok(port: u16, path: &str) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        let request = format!("GET /{path} HTTP/1.0\r\nhost: 127.0.0.1\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(MAX_ANSWER).read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = tokio::time::timeout(ANSWER, ask).await;
    let Ok(Ok(answer)) = answer else { return false };
    answer.split(|b| *b == b' ').nth(1) == Some(b"200")
}

fn start_etcd(dir: &Path, client: u16, peer: u16) -> Result<Foreign, Failure> {
    let url = |port: u16| format!("http://127.0.0.1:{port}");
    let args = [
        "--data-dir=etcd".to_owned(),
        format!("--listen-client-urls={}", url(client)),
        format!("--advertise-client-urls={}", url(client)),
        format!("--listen-peer-urls={}", url(peer)),
        format!("--initial-advertise-peer-urls={}", url(peer)),
        format!("--initial-cluster=default={}", url(peer)),
    ];
    Foreign::start(&Start {
        name: "etcd",
        program: &find("etcd", "etcd-server")?,
        args: &args,
        env: &[],
        dir,
        log: &dir.join("etcd.log"),
        never_root: false,
    })
}

/// The main process that a file names.
fn postmaster(file: &Path) -> Option<i32> {
    let text = std::fs::read_to_string(file).ok()?;
    text.lines().next()?.parse().ok()
}

/// Makes a folder of the user that runs PostgreSQL.
fn folder(folder: &Path) -> Result<(), Failure> {
    private::create_dir_all(folder)?;
    own(folder)
}

fn own(path: &Path) -> Result<(), Failure> {
    if geteuid().is_root() {
        chown(path, Some(NOBODY), Some(NOBODY))?;
    }
    Ok(())
}

/// Lets others enter a folder, of which they are told the names.
pub(super) fn open_to_others(folder: &Path) -> Result<(), Failure> {
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// The folder of PostgreSQL's programs: the newest of those that Debian has.
fn binaries() -> Result<PathBuf, Failure> {
    let none = || Failure::new("PostgreSQL is not installed; Debian: apt-get install postgresql");
    let versions = std::fs::read_dir("/usr/lib/postgresql").map_err(|_| none())?;
    let mut found: Vec<PathBuf> = versions
        .filter_map(|version| Some(version.ok()?.path().join("bin")))
        .filter(|folder| folder.join("initdb").is_file())
        .collect();
    found.sort();
    found.pop().ok_or_else(none)
}
