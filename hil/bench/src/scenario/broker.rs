//! Cars that reach their CMP by an MQTT broker which is not ours: mosquitto, with what `aid-cmp gateway mosquitto`
//! writes for it. Skipped where it is not installed.

use crate::leftovers::LEASH;
use crate::process::spawn_at_gate;
use crate::site::Site;
use crate::story::books;
use aid_cli::cli::Failure;
use aid_cli::printable::printable;
use std::fs::File;
use std::io::{BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// What is said where there is none.
pub(super) const MISSING: &str = "mosquitto is not installed";

/// Longest wait for mosquitto to say that it runs.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where mosquitto is; Debian keeps it away from the PATH of those who are not root.
pub(super) fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|folder| folder.join("mosquitto"))
        .find(|file| file.is_file())
}

/// A running mosquitto. Dropping it ends it.
pub(super) struct Broker(Child);

impl Broker {
    /// Has aid-cmp write its configuration, and starts it on the set-up's gateway port.
    pub(super) fn start(site: &Site) -> Result<Self, Failure> {
        let program = program().ok_or_else(|| Failure::new(MISSING))?;
        let listen = format!("127.0.0.1:{}", site.ports.gateway);
        let mut args = vec![
            "gateway",
            "mosquitto",
            "--dir",
            "broker",
            "--cmp",
            "aid-cmp",
        ];
        args.extend(["--listen", &listen, "--config", "cmp.toml"]);
        args.extend(["--cert", "pki/aid/cmp-server.pem"]);
        args.extend(["--key", "pki/aid/cmp-server.key"]);
        // As root it would become another user, who may not read the key.
        if rustix::process::geteuid().is_root() {
            args.extend(["--user", "root"]);
        }
        books::output(site, "aid-cmp", &args, "")?;
        let mut options = aid_cli::private::options();
        let options = options.write(true).create(true).truncate(true);
        let log = options.open(site.path("logs/mosquitto.log"))?;
        let mut command = Command::new(program);
        command
            .args(["-c", "broker/mosquitto.conf"])
            .current_dir(&site.dir)
            // It does not end with us, but the next start knows it by that.
            .env(LEASH, "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = spawn_at_gate(&mut command)
            .map_err(|e| Failure::new(format!("cannot start mosquitto: {e}")))?;
        let (tell, told) = mpsc::channel();
        if let Some(pipe) = child.stderr.take() {
            std::thread::spawn(move || keep(BufReader::new(pipe), log, &tell));
        }
        let broker = Self(child);
        match told.recv_timeout(PATIENCE) {
            Ok(()) => Ok(broker),
            Err(_) => Err(Failure::new(
                "mosquitto does not run; logs/mosquitto.log says why",
            )),
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Keeps what mosquitto says, and tells when it runs.
fn keep(pipe: impl std::io::BufRead, mut log: File, tell: &mpsc::Sender<()>) {
    for line in pipe.lines().map_while(Result::ok) {
        let _ = writeln!(log, "{}", printable(&line));
        if line.ends_with(" running") {
            let _ = tell.send(());
        }
    }
}
