//! The MQTT broker: three nodes of rmqtt with its Raft plugin (docs/adr/0022). Its program is a small cargo project of its
//! own, which is written and built here: our workspace has nothing of it. It asks for certificates of the cars' CA, takes
//! their common name as the user's, and has an access control list for each.

use super::foreign::{Foreign, LOOK, Start};
use crate::leftovers;
use crate::site::Site;
use aid_cli::cli::{self, Failure};
use aid_cli::private;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Nodes.
pub(super) const NODES: usize = 3;
/// Longest wait for a node to serve.
const PATIENCE: Duration = Duration::from_secs(60);
/// In the log of a node that found nobody and is a cluster of its own.
const ALONE: &str = "running in leader mode";

const MANIFEST: &str = include_str!("broker/manifest.toml");
const PROGRAM: &str = include_str!("broker/program.rs");
const ACL: &str = r#"rules = [
    ["allow", "all", "connect"],
    ["allow", { user = "aid-cmp" }, "subscribe", ["aid/v1/+/up"]],
    ["allow", { user = "aid-cmp" }, "publish", ["aid/v1/+/down"]],
    ["allow", "all", "publish", ["aid/v1/%u/up"]],
    ["allow", "all", "subscribe", ["aid/v1/%u/down"]],
    ["deny", "all"]
]
disconnect_if_pub_rejected = false
"#;

#[derive(Debug)]
struct Node {
    cars: u16,
    rpc: u16,
    raft: u16,
    process: Option<Foreign>,
}

/// The broker of the cluster.
#[derive(Debug)]
pub(super) struct Broker {
    dir: PathBuf,
    program: PathBuf,
    pki: PathBuf,
    nodes: Vec<Node>,
}

/// Builds the broker's program in a folder of its own, where that was not done before; yields it.
pub(super) fn build(folder: &Path) -> Result<PathBuf, Failure> {
    let program = folder.join("target/release/aid-cluster-broker");
    let same = |file: &str, text: &str| {
        std::fs::read_to_string(folder.join(file)).is_ok_and(|now| now == text)
    };
    let (manifest, source) = ("Cargo.toml", "src/main.rs");
    if program.is_file() && same(manifest, MANIFEST) && same(source, PROGRAM) {
        return Ok(program);
    }
    let name = folder.display();
    cli::line_to_stderr(&format!(
        "building the MQTT broker in {name}: this takes minutes, once"
    ));
    let wrong = |e: std::io::Error| Failure::new(format!("cannot build in {name}: {e}"));
    private::create_dir_all(&folder.join("src")).map_err(wrong)?;
    std::fs::write(folder.join(manifest), MANIFEST).map_err(wrong)?;
    std::fs::write(folder.join(source), PROGRAM).map_err(wrong)?;
    let mut cargo = Command::new("cargo");
    cargo
        .args(["build", "--release", "--target-dir", "target"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    if cargo.status().map_err(wrong)?.success() {
        return Ok(program);
    }
    Err(Failure::new(format!(
        "the MQTT broker could not be built in {name}; Debian: apt-get install protobuf-compiler cmake; \
         or give a built one with --broker"
    )))
}

impl Broker {
    /// Starts all nodes, one after the other; nine ports are taken.
    pub(super) async fn start(
        site: &Site,
        program: PathBuf,
        ports: &mut impl Iterator<Item = u16>,
    ) -> Result<Self, Failure> {
        let mut port = || {
            let next = ports.next();
            next.ok_or_else(|| Failure::new("no port is left for the broker"))
        };
        let mut nodes = Vec::new();
        for _ in 0..NODES {
            nodes.push(Node {
                cars: port()?,
                rpc: port()?,
                raft: port()?,
                process: None,
            });
        }
        let mut broker = Self {
            dir: site.path("broker"),
            program,
            pki: site.path("pki/aid"),
            nodes,
        };
        let open = leftovers::gate();
        private::create_dir_all(&broker.dir)?;
        drop(open);
        for node in 0..NODES {
            broker.configure(node)?;
            broker.restart(node).await?;
        }
        Ok(broker)
    }

    /// Where the cars and the CMP connect.
    pub(super) fn port(&self, node: usize) -> u16 {
        self.nodes[node].cars
    }

    fn folder(&self, node: usize) -> PathBuf {
        self.dir.join(format!("node-{}", node + 1))
    }

    fn configure(&self, node: usize) -> Result<(), Failure> {
        let folder = self.folder(node);
        let open = leftovers::gate();
        private::create_dir_all(&folder)?;
        drop(open);
        let list = |port: fn(&Node) -> u16| {
            let mut text = String::new();
            for (n, node) in self.nodes.iter().enumerate() {
                // Writing to a String cannot fail.
                let _ = write!(text, "\"{}@127.0.0.1:{}\", ", n + 1, port(node));
            }
            text
        };
        let (rpc, raft) = (list(|n| n.rpc), list(|n| n.raft));
        // Elections within a second or two, as in a data centre.
        let text = format!(
            "worker_threads = 1\nnode_grpc_addrs = [{rpc}]\nraft_peer_addrs = [{raft}]\nleader_id = 0\n\
             node_grpc_client_timeout = \"3s\"\n\
             [raft]\ngrpc_reuseaddr = true\ngrpc_timeout = \"2s\"\n"
        );
        private::write(&folder.join("rmqtt-cluster-raft.toml"), text.as_bytes())?;
        private::write(&folder.join("rmqtt-acl.toml"), ACL.as_bytes())?;
        Ok(())
    }

    /// SIGKILL.
    pub(super) fn kill(&mut self, node: usize) {
        // Dropped and so killed.
        self.nodes[node].process = None;
    }

    /// Starts a node, and waits until it serves as a member of the cluster.
    pub(super) async fn restart(&mut self, node: usize) -> Result<(), Failure> {
        // Those that were killed too fast after one another find no leader, and would be clusters of their own.
        let is_first = self.nodes.iter().all(|n| n.process.is_none());
        for _ in 0..20 {
            self.launch(node)?;
            self.wait_serving(node).await?;
            let log = std::fs::read_to_string(self.log(node)).unwrap_or_default();
            if is_first || !log.contains(ALONE) {
                return Ok(());
            }
            self.kill(node);
            tokio::time::sleep(LOOK * 10).await;
        }
        Err(self.failed(node, "finds no leader"))
    }

    fn log(&self, node: usize) -> PathBuf {
        self.dir.join(format!("node-{}.log", node + 1))
    }

    fn launch(&mut self, node: usize) -> Result<(), Failure> {
        let pem = |name: &str| self.pki.join(name).display().to_string();
        let at = |port: u16| format!("127.0.0.1:{port}");
        let args = [
            (node + 1).to_string(),
            at(self.nodes[node].rpc),
            at(self.nodes[node].cars),
            pem("cmp-server.pem"),
            pem("cmp-server.key"),
            pem("cars-ca.pem"),
            self.folder(node).display().to_string(),
        ];
        let started = Foreign::start(&Start {
            name: "the MQTT broker",
            program: &self.program,
            args: &args,
            env: &[("RUST_LOG", "rmqtt_cluster_raft=info,warn")],
            dir: &self.folder(node),
            log: &self.log(node),
            never_root: false,
        })?;
        self.nodes[node].process = Some(started);
        Ok(())
    }

    async fn wait_serving(&mut self, node: usize) -> Result<(), Failure> {
        let until = Instant::now() + PATIENCE;
        let address = (Ipv4Addr::LOCALHOST, self.nodes[node].cars);
        while TcpStream::connect(address).is_err() {
            let process = self.nodes[node].process.as_mut();
            if process.is_none_or(Foreign::has_ended) {
                return Err(self.failed(node, "ended"));
            }
            if Instant::now() > until {
                return Err(self.failed(node, "does not serve"));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    fn failed(&self, node: usize, what: &str) -> Failure {
        let log = std::fs::read_to_string(self.log(node)).unwrap_or_default();
        let last = log.lines().last().unwrap_or_default();
        let number = node + 1;
        Failure::new(format!("node {number} of the MQTT broker {what}: {last}"))
    }
}
