//! The agent's bearers on real interfaces: a car and a network in namespaces of their own, with two links between them.
//! The CMP is behind both; a link is cut, swallows packets, is slow, and comes back.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

use aid_needs::Need;
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for what has to happen.
const PATIENCE: Duration = Duration::from_secs(60);
/// The CMP's address, behind both links.
const CMP: &str = "10.77.9.1";

/// A process that ends with its owner.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Namespaces, held by a process that sleeps in them.
struct Place {
    holder: Running,
}

impl Place {
    fn new() -> Self {
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "sh", "-c", "echo ready; exec sleep 600"]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let output = child.stdout.take().unwrap();
        BufReader::new(output).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        let place = Self {
            holder: Running(child),
        };
        place.sh("ip link set lo up");
        place
    }

    fn pid(&self) -> u32 {
        self.holder.0.id()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        let pid = self.pid().to_string();
        command.args(["--target", &pid, "--net", "--mount", "--wdns=/", program]);
        command
    }

    fn sh(&self, script: &str) {
        let output = self.command("sh").args(["-ec", script]).output().unwrap();
        assert!(output.status.success(), "{script}: {output:?}");
    }

    /// Starts a part of the set-up, and waits until it says that it is ready.
    fn part(&self, site: &Path, part: &str, args: &[&str], config: &str) -> Running {
        let mut command = self.command(env!("CARGO_BIN_EXE_aid-hil"));
        command.args(["part", part]).args(args);
        command.arg("--config").arg(site.join(config));
        let log = std::fs::File::create(site.join(format!("{part}.log"))).unwrap();
        command.stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        let output = child.stdout.take().unwrap();
        BufReader::new(output).read_line(&mut line).unwrap();
        assert!(line.contains("ready"), "{part}: {line}");
        Running(child)
    }
}

/// May this process make namespaces with interfaces in them?
fn namespaces_work() -> bool {
    let mut probe = Command::new("unshare");
    probe.args([
        "--net", "--mount", "ip", "link", "add", "veth-a", "type", "veth",
    ]);
    let works = probe.output().is_ok_and(|output| output.status.success());
    if !works {
        aid_needs::missing(
            Need::Netns,
            "network namespaces can't be made, or there is no ip",
        );
    }
    works
}

fn hil(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_aid-hil"))
        .args(args)
        .output()
        .unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A set-up whose CMP is at [`CMP`] and whose car has the bearers `car-a` and `car-b`.
struct World {
    car: Place,
    net: Place,
    site: PathBuf,
    _running: Vec<Running>,
    _folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let site = folder.path().join("site");
        let made = hil(&["init", "--json", "--dir", site.to_str().unwrap()]);
        let made: Value = serde_json::from_str(&made).unwrap();
        let (car, net) = (Place::new(), Place::new());
        for (link, n) in [("a", 1), ("b", 2)] {
            net.sh(&format!(
                "ip link add net-{link} type veth peer name car-{link} netns {car}
                 ip addr add 10.77.{n}.1/24 dev net-{link}; ip link set net-{link} up",
                car = car.pid()
            ));
            car.sh(&format!(
                "ip addr add 10.77.{n}.2/24 dev car-{link}; ip link set car-{link} up
                 ip route add {CMP} via 10.77.{n}.1 dev car-{link} metric {n}"
            ));
        }
        net.sh(&format!("ip addr add {CMP}/32 dev lo"));
        // The CMP's certificate is for localhost.
        let hosts = folder.path().join("hosts");
        std::fs::write(&hosts, format!("{CMP} localhost\n")).unwrap();
        car.sh(&format!("mount --bind {} /etc/hosts", hosts.display()));

        edit(&site.join("cmp.toml"), |config| {
            let gateway = config["gateway"].as_table_mut().unwrap();
            let listen = gateway["listen"].as_str().unwrap();
            let listen = listen.replace("127.0.0.1", CMP);
            gateway.insert("listen".into(), listen.into());
        });
        edit(&site.join("agent.toml"), |config| {
            let bearers = ["car-a", "car-b"].map(|name| {
                toml::Table::from_iter([("interface".to_owned(), toml::Value::from(name))])
            });
            config.insert("bearer".into(), bearers.to_vec().into());
        });
        let config = site.join("cmp.toml").display().to_string();
        let eid = made["eid"].as_str().unwrap();
        hil(&[
            "part", "aid-cmp", "vehicle", "add", eid, "--config", &config,
        ]);
        let running = vec![
            net.part(&site, "aid-cmp", &["serve"], "cmp.toml"),
            car.part(&site, "euicc-sim", &["serve"], "euicc.toml"),
        ];
        Self {
            car,
            net,
            site,
            _running: running,
            _folder: folder,
        }
    }

    fn start_agent(&self) -> Running {
        self.car
            .part(&self.site, "aid-agent", &["run"], "agent.toml")
    }

    /// Waits until the link is up through this bearer.
    #[allow(
        clippy::disallowed_methods,
        reason = "the agent is asked again until it says so, with a deadline"
    )]
    fn await_bearer(&self, name: &str) {
        let config = self.site.join("agent.toml").display().to_string();
        let end = Instant::now() + PATIENCE;
        loop {
            let status = hil(&["part", "aidctl", "--json", "--config", &config, "status"]);
            let status: Value = serde_json::from_str(&status).unwrap();
            if status["link"] == "up" && status["bearer"] == name {
                return;
            }
            if Instant::now() >= end {
                let log = std::fs::read_to_string(self.site.join("aid-agent.log"));
                panic!("no link through {name}: {status}\n{}", log.unwrap());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn edit(file: &Path, change: impl FnOnce(&mut toml::Table)) {
    let mut config = toml::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    change(&mut config);
    std::fs::write(file, toml::to_string(&config).unwrap()).unwrap();
}

// R-2-12
#[test]
fn the_link_moves_to_the_next_bearer_and_back() {
    if !namespaces_work() {
        return;
    }
    let world = World::new();
    let agent = world.start_agent();
    world.await_bearer("car-a");
    // The mast is gone: no carrier.
    world.net.sh("ip link set net-a down");
    world.await_bearer("car-b");
    world.net.sh("ip link set net-a up");
    world.await_bearer("car-a");
    // Both gone, and the worse one back first.
    world
        .net
        .sh("ip link set net-a down; ip link set net-b down");
    world.net.sh("ip link set net-b up");
    world.await_bearer("car-b");
    drop(agent);
}

#[test]
fn a_bearer_that_swallows_packets_is_passed_over_and_a_slow_one_is_used() {
    if !namespaces_work() {
        return;
    }
    let world = World::new();
    // What the network sends to the car goes to a station that is not there.
    let swallow = "ip neigh replace 10.77.1.2 lladdr 02:00:00:00:00:99 dev net-a nud permanent";
    world.net.sh(swallow);
    // A TLS handshake takes longer than 5 s through it.
    let slow = "tc qdisc add dev net-b root tbf rate 6kbit burst 1600 latency 20s";
    world.net.sh(slow);
    let agent = world.start_agent();
    world.await_bearer("car-b");
    drop(agent);
}
