//! One set-up of `aid-hil init --hub` with a second CMP, a second MSP and a second car beside the first, all with every
//! partner behind the hub, and the programs that run in it.

use aid_cli::private;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair};
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;
use toml::Table;

/// How a party is called.
#[derive(Clone, Copy)]
pub(crate) struct Name {
    /// Its client-id.
    pub(crate) id: &'static str,
    /// The client-id under which its partners know it.
    pub(crate) known_as: &'static str,
    /// Its client certificate: file and common name.
    certificate: &'static str,
    /// For people.
    pub(crate) title: &'static str,
}

const fn name(
    id: &'static str,
    known_as: &'static str,
    certificate: &'static str,
    title: &'static str,
) -> Name {
    Name {
        id,
        known_as,
        certificate,
        title,
    }
}

/// Two of aid-msp, and a mock that its partners know by another name.
pub(crate) const MSPS: [Name; 3] = [
    name("mspExample", "mspExample", "msp", "MspOne"),
    name("mspTwo", "mspTwo", "msp-2", "MspTwo"),
    name("mspMock", "Mobile3", "msp-3", "MspThree"),
];
/// Two of aid-cmp, and a mock that its partners know by another name.
pub(crate) const CMPS: [Name; 3] = [
    name("cmpAid", "cmpAid", "cmp", "CmpOne"),
    name("cmpTwo", "cmpTwo", "cmp-2", "CmpTwo"),
    name("cmpMock", "Cars3", "cmp-3", "CmpThree"),
];
/// Which of each is the mock.
pub(crate) const MOCK: usize = 2;

/// The API key with which a party calls the hub (`in`) or is called by it (`out`).
pub(crate) fn key(direction: &str, id: &str) -> String {
    format!("{direction}{id}0123456789abcdef0123456789abcdef")
}

/// What an MSP and a CMP have agreed, which does not concern the hub.
pub(crate) fn account_id_secret(m: usize, c: usize) -> String {
    format!("the account id secret of MSP {m} and CMP {c}")
}

/// The phone number key of an MSP and a CMP.
pub(crate) fn phone_key(m: usize, c: usize) -> [u8; 32] {
    [u8::try_from(16 + m * 3 + c).unwrap(); 32]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// A running part; ended when it is dropped.
struct Part(Child);

impl Drop for Part {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The set-up. The parts end before the folder goes.
pub(crate) struct Network {
    parts: Vec<Part>,
    /// What `init` printed of the first car and the driver.
    pub(crate) known: Value,
    /// EIDs of the cars, one of each CMP.
    pub(crate) eids: [String; 2],
    /// AID1 addresses, `https://localhost:PORT`.
    msp_aid1: [String; 3],
    cmp_aid1: [String; 3],
    /// Pages.
    pub(crate) touchpoints: [String; 3],
    pub(crate) portals: [String; 3],
    pub(crate) hub: String,
    dir: PathBuf,
    _folder: TempDir,
}

fn aid_hil(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aid-hil"));
    command.current_dir(dir).args(args).env("AID_LOG", "warn");
    command
}

fn printed(mut command: Command, input: &str) -> String {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    // A program that wants no input may have closed it.
    let _ = pipe.write_all(input.as_bytes());
    drop(pipe);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

fn load(dir: &Path, file: &str) -> Table {
    let text = std::fs::read_to_string(dir.join(file)).unwrap();
    text.parse().unwrap()
}

fn store(dir: &Path, file: &str, table: &Table) {
    let text = toml::to_string(table).unwrap();
    private::write(&dir.join(file), text.as_bytes()).unwrap();
}

fn set(table: &mut Table, section: &str, key: &str, value: &str) {
    let section = table.get_mut(section).unwrap().as_table_mut().unwrap();
    section.insert(key.into(), value.into());
}

/// Port of the listener in a section.
fn port(table: &Table, section: &str) -> u16 {
    let address = table[section]["listen"].as_str().unwrap();
    address.rsplit(':').next().unwrap().parse().unwrap()
}

fn url(port: u16) -> String {
    format!("https://localhost:{port}")
}

/// Client certificates for those that `init` does not know.
fn issue(pki: &Path) {
    let mut ca = CertificateParams::default();
    let common_name = |params: &mut CertificateParams, name: &str| {
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
    };
    common_name(&mut ca, "AID test partners CA");
    let key = std::fs::read_to_string(pki.join("partners-ca.key")).unwrap();
    let issuer = Issuer::new(ca, KeyPair::from_pem(&key).unwrap());
    for name in ["msp-2", "msp-3", "cmp-2", "cmp-3"] {
        let mut params = CertificateParams::default();
        common_name(&mut params, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap().pem();
        let write = |end: &str, text: &str| {
            private::write(&pki.join(format!("{name}.{end}")), text.as_bytes()).unwrap();
        };
        write("pem", &certificate);
        write("key", &key.serialize_pem());
    }
}

impl Network {
    /// Makes the set-up; the mocks listen at these ports.
    pub(crate) fn new(msp_mock: u16, cmp_mock: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let init = aid_hil(folder.path(), &["init", "--hub", "--json", "--dir", "site"]);
        let known: Value = serde_json::from_str(&printed(init, "")).unwrap();
        let dir = folder.path().join("site");
        let init = ["init", "--dir", ".", "--add-car", "1", "--json"];
        let added: Value = serde_json::from_str(&printed(aid_hil(&dir, &init), "")).unwrap();
        let (cmp, msp) = (load(&dir, "cmp.toml"), load(&dir, "msp.toml"));
        // A set-up has 32 ports, of which it uses the first ones, and for further cards the last ones.
        let first = port(&msp, "aid1") + 12;
        let spare = |n: u16| url(first + n);
        issue(&dir.join("pki/aid"));
        let network = Self {
            parts: Vec::new(),
            eids: [
                known["eid"].as_str().unwrap().to_owned(),
                added["cars"][0]["eid"].as_str().unwrap().to_owned(),
            ],
            msp_aid1: [url(port(&msp, "aid1")), spare(0), url(msp_mock)],
            cmp_aid1: [url(port(&cmp, "aid1")), spare(1), url(cmp_mock)],
            touchpoints: [url(port(&msp, "touchpoint")), spare(2), spare(3)],
            portals: [url(port(&cmp, "portal")), spare(4), spare(5)],
            hub: url(port(&load(&dir, "hub.toml"), "aid1")),
            known,
            dir,
            _folder: folder,
        };
        network.configure(&cmp, &msp, &spare(6));
        network.onboard();
        network
    }

    /// Writes the configurations of both CMPs and both MSPs, and has the second car call the second CMP.
    fn configure(&self, cmp: &Table, msp: &Table, second_gateway: &str) {
        let listen = |url: &str| url.replace("https://localhost", "127.0.0.1");
        for (n, own) in MSPS.iter().enumerate().take(MOCK) {
            let (mut cmp, mut msp) = (cmp.clone(), msp.clone());
            if n == 1 {
                cmp.insert("database".into(), "state/cmp-2.sqlite".into());
                set(&mut cmp, "gateway", "listen", &listen(second_gateway));
                msp.insert("database".into(), "state/msp-2.sqlite".into());
            }
            set(&mut cmp, "aid1", "listen", &listen(&self.cmp_aid1[n]));
            set(&mut cmp, "portal", "listen", &listen(&self.portals[n]));
            set(&mut cmp, "portal", "base_url", &self.portals[n]);
            set(&mut msp, "aid1", "listen", &listen(&self.msp_aid1[n]));
            set(&mut msp, "aid1", "own_id", own.id);
            set(&mut msp, "touchpoint", "name", own.title);
            set(
                &mut msp,
                "touchpoint",
                "listen",
                &listen(&self.touchpoints[n]),
            );
            set(&mut msp, "touchpoint", "base_url", &self.touchpoints[n]);
            let partners = |table: &Table, key: &str, entry: &dyn Fn(Table, usize) -> Table| {
                let first = table[key][0].as_table().unwrap();
                let all = (0..3).map(|other| toml::Value::from(entry(first.clone(), other)));
                toml::Value::Array(all.collect())
            };
            let msps = partners(&cmp, "msp", &|entry, m| self.msp_of(entry, m, n));
            let cmps = partners(&msp, "cmp", &|entry, c| self.cmp_of(entry, n, c));
            cmp.insert("msp".into(), msps);
            msp.insert("cmp".into(), cmps);
            store(&self.dir, &format!("cmp-{n}.toml"), &cmp);
            store(&self.dir, &format!("msp-{n}.toml"), &msp);
        }
        let mut agent = load(&self.dir, "agent-2.toml");
        let address = second_gateway.trim_start_matches("https://");
        set(&mut agent, "cmp", "address", address);
        store(&self.dir, "agent-2.toml", &agent);
    }

    /// What both sides' entries of each other have in common; `own` and `other` are the parties.
    fn partner(mut entry: Table, own: Name, other: Name, (m, c): (usize, usize)) -> Table {
        let file = |end: &str| format!("pki/aid/{}.{end}", own.certificate);
        for (key, value) in [
            ("name", other.title.to_owned()),
            ("client_id", other.known_as.to_owned()),
            ("own_client_id", own.id.to_owned()),
            ("cert", file("pem")),
            ("key", file("key")),
            ("api_key_out", key("in", own.id)),
            ("api_key_in", key("out", own.id)),
            ("account_id_secret", account_id_secret(m, c)),
            ("phone_key", hex(&phone_key(m, c))),
        ] {
            entry.insert(key.into(), value.into());
        }
        entry
    }

    /// An MSP as a CMP has it in its configuration.
    fn msp_of(&self, entry: Table, m: usize, c: usize) -> Table {
        let mut entry = Self::partner(entry, CMPS[c], MSPS[m], (m, c));
        let touchpoint = &self.touchpoints[m];
        let page = format!("{touchpoint}/authorize");
        entry.insert("touchpoint".into(), page.into());
        let back = vec![format!("{touchpoint}/return")];
        entry.insert("return_uris".into(), back.into());
        let back = format!("{}/linked", self.portals[c]);
        entry.insert("redirect_uri".into(), back.into());
        entry
    }

    /// A CMP as an MSP has it in its configuration. The second MSP sends activation codes later.
    fn cmp_of(&self, entry: Table, m: usize, c: usize) -> Table {
        let mut entry = Self::partner(entry, MSPS[m], CMPS[c], (m, c));
        let portal = &self.portals[c];
        entry.insert("touchpoint".into(), format!("{portal}/touchpoint").into());
        let back = vec![format!("{portal}/linked")];
        entry.insert("redirect_uris".into(), back.into());
        entry.insert("mode".into(), ["sync", "async"][m].into());
        entry
    }

    /// Makes all parties and pairs known to the hub, and users and cars to their CMPs.
    fn onboard(&self) {
        // `init` has onboarded the first of each.
        let mut add = vec!["party".to_owned(), "add".into(), "--replace".into()];
        for (role, all, urls) in [("msp", MSPS, &self.msp_aid1), ("cmp", CMPS, &self.cmp_aid1)] {
            for (party, url) in all.iter().zip(urls) {
                let (id, common_name) = (party.id, party.certificate);
                let text = format!(
                    "id = \"{id}\"\nrole = \"{role}\"\nurl = \"{url}\"\ncommon_name = \"{common_name}\"\n\
                     api_key_in = \"{}\"\napi_key_out = \"{}\"\n",
                    key("in", id),
                    key("out", id)
                );
                let file = format!("hub-{id}.toml");
                private::write(&self.dir.join(&file), text.as_bytes()).unwrap();
                add.extend(["--file".to_owned(), file]);
            }
        }
        let add: Vec<_> = add.iter().map(String::as_str).collect();
        self.run("aid-hub", "hub.toml", &add, "");
        for msp in MSPS {
            for cmp in CMPS {
                if (msp.id, cmp.id) == (MSPS[0].id, CMPS[0].id) {
                    continue;
                }
                let mut add = vec!["pair", "add", msp.id, cmp.id];
                for (option, party) in [("--msp-as", msp), ("--cmp-as", cmp)] {
                    if party.known_as != party.id {
                        add.extend([option, party.known_as]);
                    }
                }
                self.run("aid-hub", "hub.toml", &add, "");
            }
        }
        for (n, eid) in self.eids.iter().enumerate() {
            let file = format!("cmp-{n}.toml");
            for m in 0..3 {
                let add = ["user", "add", &user(m), "--password-stdin", "--pin-stdin"];
                self.run("aid-cmp", &file, &add, &format!("{PASSWORD}\n{PIN}\n"));
            }
            self.run("aid-cmp", &file, &["vehicle", "add", eid], "");
        }
    }

    /// Starts everything, the called before the callers.
    pub(crate) fn start(&mut self) {
        let serve = "serve";
        for (program, verb, config) in [
            ("aid-hub", serve, "hub.toml"),
            ("aid-smdp", serve, "smdp.toml"),
            ("aid-msp", serve, "msp-0.toml"),
            ("aid-msp", serve, "msp-1.toml"),
            ("aid-cmp", serve, "cmp-0.toml"),
            ("aid-cmp", serve, "cmp-1.toml"),
            ("euicc-sim", serve, "euicc.toml"),
            ("euicc-sim", serve, "euicc-2.toml"),
            ("aid-agent", "run", "agent.toml"),
            ("aid-agent", "run", "agent-2.toml"),
        ] {
            let log = self.dir.join(format!("{config}.log"));
            let mut child = aid_hil(&self.dir, &["part", program, verb, "--config", config])
                .stdout(Stdio::piped())
                .stderr(std::fs::File::create(&log).unwrap())
                .spawn()
                .unwrap();
            let mut line = String::new();
            let mut out = BufReader::new(child.stdout.take().unwrap());
            out.read_line(&mut line).unwrap();
            self.parts.push(Part(child));
            let said = || std::fs::read_to_string(&log).unwrap();
            assert!(line.contains("\"ready\":true"), "{config}: {}", said());
            // What it says later has to go somewhere.
            std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
        }
    }

    /// Runs a command of a program, with this on its standard input.
    pub(crate) fn run(&self, program: &str, config: &str, args: &[&str], input: &str) -> String {
        let all = [&["part", program], args, &["--config", config]].concat();
        printed(aid_hil(&self.dir, &all), input)
    }

    /// The JSON that a command prints.
    pub(crate) fn json(&self, program: &str, config: &str, args: &[&str]) -> Value {
        let text = self.run(program, config, &[args, &["--json"]].concat(), "");
        serde_json::from_str(&text).unwrap()
    }

    /// An activation code that the SM-DP+ makes for this car, and the ICCID of its profile.
    pub(crate) fn order(&self, package: &str, eid: &str) -> (String, String) {
        let id = package.to_uppercase();
        let add = [
            "order",
            "add",
            "--package",
            package,
            "--matching-id",
            &id,
            "--eid",
            eid,
        ];
        let made = self.json("aid-smdp", "smdp.toml", &add);
        let address = load(&self.dir, "smdp.toml");
        let address = address["address"].as_str().unwrap();
        let iccid = made[0]["iccid"].as_str().unwrap();
        (format!("1${address}${id}"), iccid.to_owned())
    }

    /// A file of the PKI.
    pub(crate) fn pki(&self, file: &str) -> PathBuf {
        self.dir.join("pki/aid").join(file)
    }

    /// Certificate and key of a party as a client.
    pub(crate) fn certificate(&self, party: Name) -> (PathBuf, PathBuf) {
        let file = |end: &str| self.pki(&format!("{}.{end}", party.certificate));
        (file("pem"), file("key"))
    }
}

/// The user of a CMP who is a customer of this MSP.
pub(crate) fn user(m: usize) -> String {
    format!("user{m}")
}

/// Password of all users at the CMPs.
pub(crate) const PASSWORD: &str = "correct horse battery staple";
/// PIN of all users in the cars.
pub(crate) const PIN: &str = "471103";
