//! The MQTT broker: mosquitto with the configuration that `aid-cmp gateway mosquitto` writes, so with certificates of the
//! cars' CA and an access control list. It is one node: docs/adr/0022 says why not a cluster of them. All instances of
//! aid-cmp share one subscription at it.

use super::foreign::{Foreign, LOOK, Start, find};
use crate::site::Site;
use crate::story::books;
use aid_cli::cli::Failure;
use rustix::process::geteuid;
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Longest wait for it to serve.
const PATIENCE: Duration = Duration::from_secs(60);

/// The broker of the cluster.
#[derive(Debug)]
pub(super) struct Broker {
    program: PathBuf,
    dir: PathBuf,
    log: PathBuf,
    port: u16,
    process: Option<Foreign>,
}

impl Broker {
    /// Has aid-cmp write its configuration for these names of its instances, and starts it on the set-up's gateway port.
    pub(super) async fn start(site: &Site, instances: &[String]) -> Result<Self, Failure> {
        let port = site.ports.gateway;
        let listen = format!("127.0.0.1:{port}");
        let mut args = vec!["gateway", "mosquitto", "--dir", "broker"];
        for name in instances {
            args.extend(["--cmp", name]);
        }
        args.extend(["--listen", &listen, "--config", "cmp.toml"]);
        args.extend(["--cert", "pki/aid/cmp-server.pem"]);
        args.extend(["--key", "pki/aid/cmp-server.key"]);
        // As root it would become another user, who may not read the key.
        if geteuid().is_root() {
            args.extend(["--user", "root"]);
        }
        books::output(site, "aid-cmp", &args, "")?;
        let mut broker = Self {
            program: find("mosquitto", "mosquitto")?,
            dir: site.dir.clone(),
            log: site.path("logs/mosquitto.log"),
            port,
            process: None,
        };
        broker.restart().await?;
        Ok(broker)
    }

    /// Where the cars and the CMP connect.
    pub(super) const fn port(&self) -> u16 {
        self.port
    }

    /// SIGKILL.
    pub(super) fn kill(&mut self) {
        // Dropped and so killed.
        self.process = None;
    }

    /// Starts it, and waits until it serves.
    pub(super) async fn restart(&mut self) -> Result<(), Failure> {
        let args = ["-c".to_owned(), "broker/mosquitto.conf".to_owned()];
        let mut process = Foreign::start(&Start {
            name: "mosquitto",
            program: &self.program,
            args: &args,
            env: &[],
            dir: &self.dir,
            log: &self.log,
            never_root: false,
        })?;
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            if process.has_ended() || Instant::now() > until {
                let log = self.log.display();
                return Err(Failure::new(format!(
                    "mosquitto does not serve; {log} says why"
                )));
            }
            tokio::time::sleep(LOOK).await;
        }
        self.process = Some(process);
        Ok(())
    }
}
