//! aid-cmp as a process of its own.

use aid_needs::shim::Environment;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The program, as a process.
pub struct Program {
    pub child: Child,
    pub aid1: SocketAddr,
    pub admin: SocketAddr,
}

impl Program {
    /// Begins to start; the limit of file sizes is an error to it, and no signal.
    pub fn spawn(config: &Path, environment: Environment) -> Child {
        Command::new("sh")
            .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
            .arg(env!("CARGO_BIN_EXE_aid-cmp"))
            .args(["serve", "--config"])
            .arg(config)
            .envs(environment)
            .stdout(Stdio::piped())
            .stderr(full())
            .spawn()
            .unwrap()
    }

    pub fn start(config: &Path) -> Self {
        Self::with(config, Environment::new())
    }

    pub fn with(config: &Path, environment: Environment) -> Self {
        let mut child = Self::spawn(config, environment);
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        let ready: serde_json::Value = serde_json::from_str(&line).expect("it has started");
        let at = |name: &str| ready["listen"][name].as_str().unwrap().parse().unwrap();
        let (aid1, admin) = (at("aid1"), at("admin"));
        Self { child, aid1, admin }
    }

    /// What `/readyz` says.
    pub async fn is_ready(&self) -> bool {
        let mut stream = TcpStream::connect(self.admin).await.unwrap();
        let request = b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        match text.split(' ').nth(1) {
            Some("200") => true,
            Some("503") => false,
            _ => panic!("{text}"),
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where the program logs: nothing fits on that disk either.
fn full() -> Stdio {
    let full = std::fs::File::options().write(true).open("/dev/full");
    full.map_or_else(|_| Stdio::null(), Stdio::from)
}
