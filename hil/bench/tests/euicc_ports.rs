//! Given the software eUICC with its quirks, when it is reached over each kind of port, then whatever an LPA
//! does with a card gives the same results: list, download, notifications, enable, disable, delete, a card
//! that vanishes and comes back.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot set itself up has failed"
)]

use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A running part; killed when it goes.
struct Part(Child, Value);

impl Drop for Part {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Part {
    fn address(&self, way: &str) -> String {
        self.1["listen"][way].as_str().expect("address").to_owned()
    }
}

fn aid_hil(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aid-hil"));
    command.args(args).current_dir(dir).stdin(Stdio::null());
    command
}

fn start(dir: &Path, args: &[&str]) -> Part {
    let mut child = aid_hil(dir, &[&["part"], args].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    let ready: Value = serde_json::from_str(&line).expect("the readiness line");
    assert_eq!(ready["ready"], true, "{args:?}");
    Part(child, ready)
}

/// A set-up with an SM-DP+; cards come and go.
struct Bench {
    dir: PathBuf,
    smdp: Part,
    _folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let done = aid_hil(folder.path(), &["init", "--dir", "site"])
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(done.success());
        let dir = folder.path().join("site");
        let smdp = start(&dir, &["aid-smdp", "serve", "--config", "smdp.toml"]);
        Self {
            dir,
            smdp,
            _folder: folder,
        }
    }

    /// The card with these flags; its memory stays.
    fn card(&self, flags: &[&str]) -> Part {
        let serve = ["euicc-sim", "serve", "--config", "euicc.toml"];
        start(&self.dir, &[&serve[..], flags].concat())
    }

    /// A function of ES2+ as the operator calls it.
    fn es2(&self, function: &str, mut body: Value) -> Value {
        body["header"] =
            json!({"functionRequesterIdentifier": "1.2.3", "functionCallIdentifier": "test"});
        let address = self.smdp.address("es2");
        let port: u16 = address.rsplit(':').next().unwrap().parse().unwrap();
        let pki = self.dir.join("pki/aid");
        let own = (pki.join("msp.pem"), pki.join("msp.key"));
        let config = aid_cli::tls::client_config(&pki.join("ca.pem"), Some((&own.0, &own.1)));
        let name = "localhost".try_into().unwrap();
        let client = rustls::ClientConnection::new(config.unwrap(), name).unwrap();
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let mut tls = rustls::StreamOwned::new(client, stream);
        let body = body.to_string();
        let length = body.len();
        let request = format!(
            "POST /gsma/rsp2/es2plus/{function} HTTP/1.1\r\nHost: localhost:{port}\r\n\
             Content-Type: application/json\r\nX-Admin-Protocol: gsma/rsp/v2.2.0\r\n\
             Connection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        tls.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        // The server may close without a farewell.
        let _ = tls.read_to_string(&mut answer);
        let start = answer.find("\r\n\r\n").expect("a response") + 4;
        serde_json::from_str(&answer[start..]).expect("JSON")
    }

    /// Orders a profile; its ICCID and activation code.
    fn order(&self) -> (String, String) {
        let iccid = inventory(&self.dir);
        let order = self.es2("downloadOrder", json!({"iccid": iccid}));
        let iccid = order["iccid"]
            .as_str()
            .unwrap_or_else(|| panic!("{order}"))
            .to_owned();
        let confirm = json!({"iccid": iccid, "releaseFlag": true});
        let confirmed = self.es2("confirmOrder", confirm);
        let id = confirmed["matchingId"]
            .as_str()
            .unwrap_or_else(|| panic!("{confirmed}"));
        let address = self.smdp.address("es9");
        let port = address.rsplit(':').next().unwrap();
        (digits(&iccid), format!("LPA:1$localhost:{port}${id}"))
    }

    fn lpa(&self, port: &str, args: &[&str]) -> Output {
        let ci = "pki/rsp/CertificateIssuer/CERT_CI_ECDSA_NIST.der";
        let always = [
            "part",
            "aid-lpa",
            "--json",
            "--private-smdp",
            "--ci",
            ci,
            "--euicc",
            port,
        ];
        aid_hil(&self.dir, &[&always[..], args].concat())
            .env("PCSCLITE_CSOCK_NAME", self.dir.join("pcscd/pcscd.comm"))
            .output()
            .unwrap()
    }

    fn ok(&self, port: &str, args: &[&str]) -> Value {
        let output = self.lpa(port, args);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{port} {args:?}: {errors}");
        let mut envelope: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        envelope["result"].take()
    }

    fn fails(&self, port: &str, args: &[&str]) -> String {
        let output = self.lpa(port, args);
        assert!(!output.status.success(), "{port} {args:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// State of each profile.
    fn profiles(&self, port: &str) -> Vec<(String, String)> {
        let list = self.ok(port, &["profile", "list"]);
        let list = list
            .as_array()
            .or(list["profiles"].as_array())
            .expect("a list");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_lowercase();
        list.iter()
            .map(|p| (text(&p["iccid"]), text(&p["state"])))
            .collect()
    }
}

/// ICCIDs without the filler.
fn digits(iccid: &str) -> String {
    iccid.trim_end_matches(['f', 'F']).to_owned()
}

/// ICCID of the profile in the set-up's inventory.
fn inventory(dir: &Path) -> String {
    let list = aid_hil(
        dir,
        &[
            "part",
            "aid-smdp",
            "order",
            "list",
            "--json",
            "--config",
            "smdp.toml",
        ],
    )
    .output()
    .unwrap();
    let list: Value = serde_json::from_slice(&list.stdout).expect("JSON");
    let first = list
        .as_array()
        .or(list["orders"].as_array())
        .expect("a list")[0]
        .clone();
    first["iccid"].as_str().expect("ICCID").to_owned()
}

/// What an LPA does with a card, from a new one to a new one again. `restart` ends the card and starts
/// another one with the same memory.
fn suite(bench: &Bench, port: &str, restart: &mut dyn FnMut(&mut dyn FnMut())) {
    let info = bench.ok(port, &["chip", "info"]);
    let eid = std::fs::read_to_string(bench.dir.join("euicc.toml")).unwrap();
    assert!(eid.contains(info["eid"].as_str().unwrap()), "{info}");
    assert!(bench.profiles(port).is_empty());
    let (iccid, code) = bench.order();
    bench.ok(port, &["profile", "download", &code]);
    let is = |state: &str| vec![(iccid.clone(), state.to_owned())];
    assert_eq!(bench.profiles(port), is("disabled"));
    bench.ok(port, &["notification", "process"]);
    bench.ok(port, &["profile", "enable", &iccid]);
    assert_eq!(bench.profiles(port), is("enabled"));
    let again = bench.fails(port, &["profile", "enable", &iccid]);
    assert!(
        again.contains("profileNotInDisabledState"),
        "{port}: {again}"
    );
    restart(&mut || {
        let gone = bench.fails(port, &["profile", "list"]);
        let scheme = port.split(':').next().unwrap();
        assert!(gone.contains(scheme) || gone.contains("the card"), "{gone}");
    });
    assert_eq!(bench.profiles(port), is("enabled"));
    bench.ok(port, &["profile", "disable", &iccid]);
    assert_eq!(bench.profiles(port), is("disabled"));
    bench.ok(port, &["profile", "delete", &iccid]);
    assert!(bench.profiles(port).is_empty());
    bench.ok(port, &["notification", "process"]);
    let left = bench.ok(port, &["notification", "list"]);
    assert!(left.as_array().is_none_or(Vec::is_empty), "{left}");
}

/// Runs the suite over a port whose card has these flags, once for each set of quirks.
fn over(flags: &[&str], quirks: &[&[&str]], port: &dyn Fn(&Bench, &Part) -> String) {
    for set in quirks {
        let bench = Bench::new();
        let mut all = flags.to_vec();
        for quirk in *set {
            all.extend(["--quirk", quirk]);
        }
        let mut card = Some(bench.card(&all));
        let address = port(&bench, card.as_ref().unwrap());
        suite(&bench, &address, &mut |meanwhile| {
            drop(card.take());
            meanwhile();
            let again = bench.card(&all);
            assert_eq!(port(&bench, &again), address);
            card = Some(again);
        });
    }
}

#[test]
fn over_a_socket() {
    over(
        &["--socket", "card.sock"],
        &[
            &[],
            &["61xx=all", "stale-channel=3", "first-notification"],
            &["small-segments=17", "slow=3"],
        ],
        &|bench, _| format!("socket:{}", bench.dir.join("card.sock").display()),
    );
}

#[test]
fn over_a_modem() {
    over(
        &["--at", "modem"],
        &[
            &["urc-noise=2", "61xx", "first-notification"],
            &["refresh-drops-tty"],
            &["mute-refresh", "stale-channel=2"],
            &["no-terminal-profile", "small-segments=40"],
        ],
        &|bench, _| format!("at:{}", bench.dir.join("modem").display()),
    );
}

/// The card's JSON lines on standard streams, by a helper in the shell.
#[test]
fn over_a_helper_in_the_shell() {
    over(
        &["--lpac-stdio", "127.0.0.1:0"],
        &[&[], &["stale-channel=2", "slow=3"]],
        &|bench, card| {
            // The port is another one after a restart.
            let address = card.address("lpac-stdio");
            let port = address.rsplit(':').next().unwrap();
            let file = bench.dir.join("helper.sh");
            let script = format!(
                "exec 3<>/dev/tcp/127.0.0.1/{port} || exit 4\ncat <&3 & cat >&3; kill $!\n"
            );
            std::fs::write(&file, script).unwrap();
            format!("exec:bash {}", file.display())
        },
    );
}

/// The card's socket, by a helper in Perl that manages channels itself.
#[test]
fn over_a_helper_in_perl() {
    let helper = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lpac_stdio_to_socket.pl");
    over(
        &["--socket", "card.sock"],
        &[&[], &["small-segments=40", "slow=3"]],
        &|bench, _| {
            format!(
                "exec:perl {helper} {}",
                bench.dir.join("card.sock").display()
            )
        },
    );
}

/// A soldered eUICC: T=1' blocks over buses in memory, the card behind them reached over its socket.
mod bus {
    use super::*;
    use aid_lpa::{Apdu as _, Bearer, Card, HttpsClient, Lpa, SocketCard, Tally};
    use aid_port::bus::{BusCard, Link};
    use aid_rsp::es10::ProfileState;
    use aid_t1::{Apdus, Cip, Faults, I2cCard, I2cHost, SpiCard, SpiHost};
    use std::sync::Arc;

    struct Behind(SocketCard);

    impl Apdus for Behind {
        fn reset(&mut self) {
            self.0.reset().unwrap();
        }
        fn transmit(&mut self, apdu: &[u8]) -> Vec<u8> {
            self.0.transmit(apdu).unwrap()
        }
    }

    struct NoDelay;

    impl embedded_hal::delay::DelayNs for NoDelay {
        fn delay_ns(&mut self, _: u32) {}
    }

    #[test]
    fn over_spi_and_i2c() {
        for spi in [true, false] {
            let bench = Bench::new();
            let _card = bench.card(&["--socket", "card.sock", "--quirk", "61xx=all"]);
            let socket = bench.dir.join("card.sock").display().to_string();
            let (iccid, code) = bench.order();
            bench.ok(&format!("socket:{socket}"), &["profile", "download", &code]);
            // Lost blocks and wrong bits are the protocol's business.
            let faults = Faults {
                wrong_bit: 40,
                lost: 50,
                slow: 10,
                seed: 1,
            };
            let open = move || -> std::io::Result<Box<dyn Link>> {
                let behind = Behind(SocketCard::new(&socket));
                Ok(match spi {
                    true => Box::new(SpiHost::new(
                        SpiCard::new(behind, Cip::spi(), faults),
                        NoDelay,
                    )),
                    false => {
                        let card = I2cCard::new(behind, 0x48, Cip::i2c(), faults);
                        Box::new(I2cHost::new(card, 0x48, NoDelay))
                    }
                })
            };
            let meter = Arc::new(Tally::default());
            let ci = bench
                .dir
                .join("pki/rsp/CertificateIssuer/CERT_CI_ECDSA_NIST.der");
            let https = HttpsClient::new(&[ci], Bearer::default(), true, meter.clone()).unwrap();
            let port = BusCard::new("bus".into(), Box::new(open));
            let mut lpa = Lpa::new(Card::new(port, meter), https);
            let text = std::fs::read_to_string(bench.dir.join("euicc.toml")).unwrap();
            assert!(text.contains(&lpa.eid().unwrap()));
            let state = |lpa: &mut Lpa<BusCard, HttpsClient>| lpa.profiles().unwrap()[0].state;
            let iccid = iccid.parse().unwrap();
            assert_eq!(state(&mut lpa), Some(ProfileState::Disabled));
            // The card is reset after each switch: nothing else performs its REFRESH.
            lpa.enable(&iccid).unwrap();
            assert_eq!(state(&mut lpa), Some(ProfileState::Enabled));
            lpa.disable(&iccid).unwrap();
            assert_eq!(state(&mut lpa), Some(ProfileState::Disabled));
            assert!(lpa.deliver(None).unwrap().waiting.is_empty());
            lpa.delete(&iccid).unwrap();
            assert!(lpa.profiles().unwrap().is_empty());
        }
    }
}

/// Waits until the agent's status is as wanted; each look is a process of its own.
fn wait_for(dir: &Path, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let end = Instant::now() + Duration::from_secs(120);
    loop {
        let output = aid_hil(
            dir,
            &["part", "aidctl", "--api", "agent.sock", "--json", "status"],
        )
        .stderr(Stdio::null())
        .output()
        .unwrap();
        let status: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        if wanted(&status) {
            return status;
        }
        assert!(Instant::now() < end, "{what}: {status}");
    }
}

/// Given an agent without a card, when the modem (or what the helper talks to) comes, goes and comes
/// again, then the agent says so and goes on.
#[test]
fn an_agent_waits_for_the_card_over_a_modem_and_a_helper() {
    let helper = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lpac_stdio_to_socket.pl");
    let exec = format!("exec:perl {helper} card.sock");
    for (port, flags, named) in [
        ("at:modem", ["--at", "modem"], "at:modem"),
        (&exec, ["--socket", "card.sock"], "exec:perl"),
    ] {
        let bench = Bench::new();
        let dir = &bench.dir;
        let file = dir.join("agent.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let is_socket = |line: &&str| line.starts_with("socket = ");
        let old = text.lines().find(is_socket).expect("the old key");
        let text = text.replace(old, &format!("port = \"{port}\"\nbusy_s = 1"));
        std::fs::write(&file, text).unwrap();
        let _agent = start(dir, &["aid-agent", "run", "--config", "agent.toml"]);
        {
            let status = wait_for(dir, "missing", |s| s["card"]["state"] == "missing");
            let error = status["card"]["error"].as_str().expect("a reason");
            assert!(error.contains(named), "{error}");
            let card = bench.card(&flags);
            wait_for(dir, "present", |s| s["card"]["state"] == "present");
            drop(card);
        }
    }
}

#[cfg(feature = "pcsc")]
mod pcsc {
    use super::*;
    use std::net::TcpListener;

    const READER: &str = "pcsc:Virtual PCD 00 00";

    /// A daemon of our own: its folder is put over /run/pcscd in a mount namespace. Its reader connects to
    /// the card on loopback.
    fn daemon(bench: &Bench, port: u16) -> Part {
        let dir = bench.dir.join("pcscd");
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir(&dir).unwrap();
        let conf = bench.dir.join("reader.conf");
        let text = format!(
            "FRIENDLYNAME \"Virtual PCD\"\nDEVICENAME 127.0.0.1:0x{port:04X}\n\
             LIBPATH /usr/lib/pcsc/drivers/serial/libifdvpcd.so\nCHANNELID 0x{port:04X}\n"
        );
        std::fs::write(&conf, text).unwrap();
        let script = "mkdir -p /run/pcscd && mount --bind \"$1\" /run/pcscd && \
             exec /usr/sbin/pcscd --foreground --config \"$2\"";
        let child = Command::new("unshare")
            .args(["-m", "sh", "-c", script, "sh"])
            .args([&dir, &conf])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let part = Part(child, Value::Null);
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let output = bench.lpa(READER, &["chip", "info"]);
            if output.status.success() {
                break;
            }
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(Instant::now() < end, "no card in the reader: {errors}");
        }
        part
    }

    /// A port with another one behind it, for vpcd's two readers.
    fn two_ports() -> u16 {
        loop {
            let first = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = first.local_addr().unwrap().port();
            if port < u16::MAX && TcpListener::bind(("127.0.0.1", port + 1)).is_ok() {
                return port;
            }
        }
    }

    #[test]
    fn over_a_reader() {
        if !Path::new("/usr/lib/pcsc/drivers/serial/libifdvpcd.so").exists() {
            return aid_needs::missing(aid_needs::Need::Pcscd, "there is no pcscd with vpcd");
        }
        for quirks in [&[][..], &["--quirk", "stale-channel=2", "--quirk", "61xx"]] {
            let bench = Bench::new();
            let port = two_ports();
            let listen = format!("127.0.0.1:{port}");
            let flags = [&["--vpcd-listen", &listen][..], quirks].concat();
            // vpcd 3.3 ends its daemon when nobody answers: both go and come together.
            let card = bench.card(&flags);
            let mut both = Some((daemon(&bench, port), card));
            suite(&bench, READER, &mut |meanwhile| {
                drop(both.take());
                meanwhile();
                let card = bench.card(&flags);
                both = Some((daemon(&bench, port), card));
            });
            // vpcd's second reader has a card, too.
            let several = bench.fails("pcsc", &["chip", "info"]);
            assert!(
                several.contains("name one of: Virtual PCD 00 00"),
                "{several}"
            );
            let none = bench.fails("pcsc:Omnikey", &["chip", "info"]);
            assert!(none.contains("there are: Virtual PCD 00 00"), "{none}");
        }
    }
}
