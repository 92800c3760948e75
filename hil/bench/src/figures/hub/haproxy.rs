//! haproxy as a bare reverse proxy: TLS with client certificates on both sides, nothing else.

use crate::leftovers::{self, LEASH};
use crate::process::spawn_at_gate;
use crate::site::Site;
use aid_cli::cli::Failure;
use aid_cli::private;
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Where Debian has it.
const PROGRAM: &str = "/usr/sbin/haproxy";
/// Longest wait for it to listen.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running haproxy. Dropping it ends it.
pub(super) struct Haproxy(Child);

impl Haproxy {
    /// Starts it on a port, in front of another.
    ///
    /// # Errors
    /// It is not installed, or does not start.
    pub(super) fn start(site: &Site, port: u16, target: u16) -> Result<Self, Failure> {
        if !Path::new(PROGRAM).exists() {
            let text = "haproxy is not installed; Debian: apt-get install haproxy";
            return Err(Failure::new(text));
        }
        let pki = site.path("pki/aid");
        // It reads certificate and key from one file.
        for name in ["hub-server", "hub"] {
            let read = |end: &str| std::fs::read_to_string(pki.join(format!("{name}.{end}")));
            let _open = leftovers::gate();
            private::write(
                &pki.join(format!("{name}.both")),
                (read("pem")? + &read("key")?).as_bytes(),
            )?;
        }
        let pki = pki.display();
        let config = format!(
            "global\n  ssl-default-bind-options ssl-min-ver TLSv1.3 no-tls-tickets\n\
             defaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n  http-reuse always\n\
             frontend in\n  bind 127.0.0.1:{port} ssl crt {pki}/hub-server.both ca-file {pki}/partners-ca.pem verify required\n  default_backend out\n\
             backend out\n  server target 127.0.0.1:{target} ssl crt {pki}/hub.both ca-file {pki}/ca.pem verify required verifyhost localhost sni str(localhost)\n"
        );
        let file = site.path("haproxy.cfg");
        let log = site.path("logs/haproxy.log");
        let open = leftovers::gate();
        private::write(&file, config.as_bytes())?;
        let out = private::options()
            .create(true)
            .write(true)
            .truncate(true)
            .open(&log)?;
        drop(open);
        let mut command = Command::new(PROGRAM);
        command
            .args(["-db", "-f"])
            .arg(&file)
            .env(LEASH, "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(out);
        let mut running = Self(spawn_at_gate(&mut command)?);
        let end = Instant::now() + PATIENCE;
        let (_keep, never) = mpsc::channel::<()>();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            let ended = running.0.try_wait()?.is_some();
            if ended || Instant::now() > end {
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                return Err(Failure::new(format!(
                    "haproxy does not listen: {}",
                    said.trim()
                )));
            }
            let _ = never.recv_timeout(Duration::from_millis(20));
        }
        Ok(running)
    }

    /// Its process.
    pub(super) fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
