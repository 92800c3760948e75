//! A set-up of `aid-hil init`: its programs find their configurations, and `init` adds cars, drivers and profiles to it
//! that are as good as the first ones, without a change to these.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed expectation is a failed test"
)]

use aid_cli::tls;
use aid_rsp::cert::{Certificate, TrustAnchor};
use aid_rsp::crypto::SoftwareCrypto;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, ServerConnection};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::SystemTime;

fn init(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aid-hil"))
        .args(["init", "--json", "--dir"])
        .arg(dir)
        .args(args)
        .output()
        .unwrap()
}

fn added(dir: &Path, args: &[&str]) -> Value {
    let output = init(dir, args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Every file below a folder with its content.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let content = std::fs::read(&path).unwrap();
                found.insert(path, content);
            }
        }
    }
    found
}

fn check_config(dir: &Path, part: &str, config: &str) {
    let output = Command::new(env!("CARGO_BIN_EXE_aid-hil"))
        .args(["part", part, "check-config", "--log", "off", "--config"])
        .arg(dir.join(config))
        .output()
        .unwrap();
    assert!(output.status.success(), "{part} {config}: {output:?}");
}

/// The gateway's TLS lets this car in.
fn gateway_accepts(dir: &Path, suffix: &str) {
    let pki = dir.join("pki/aid");
    let file = |name: &str| pki.join(name);
    let server = tls::server_config(
        &file("cmp-server.pem"),
        &file("cmp-server.key"),
        Some(&file("cars-ca.pem")),
    )
    .unwrap();
    let (cert, key) = (
        file(&format!("car{suffix}.pem")),
        file(&format!("car{suffix}.key")),
    );
    let client = tls::client_config(&file("ca.pem"), Some((&cert, &key))).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = ClientConnection::new(client, name).unwrap();
    let mut server = ServerConnection::new(server).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets().unwrap();
        wire.clear();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets().unwrap();
    }
}

/// The EID that a card's certificate chain proves.
fn proved_eid(dir: &Path, suffix: &str) -> String {
    let read = |file: &str| {
        let der = std::fs::read(dir.join("pki/rsp").join(file)).unwrap();
        Certificate::from_der(&der).unwrap()
    };
    let crypto = SoftwareCrypto::new();
    let anchor = TrustAnchor::new(read("CertificateIssuer/CERT_CI_ECDSA_NIST.der"), &crypto);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let eid = anchor.unwrap().verify_euicc(
        &read("EUM/CERT_EUM_ECDSA_NIST.der"),
        &read(&format!("eUICC/CERT_EUICC_ECDSA_NIST{suffix}.der")),
        &crypto,
        Some(now.unwrap().as_secs()),
    );
    hex::encode(eid.unwrap())
}

#[test]
fn programs_find_their_configuration_in_the_folder_that_they_start_in() {
    let folder = tempfile::tempdir().unwrap();
    let (site, empty) = (folder.path().join("site"), folder.path().join("empty"));
    added(&site, &["--hub"]);
    std::fs::create_dir(&empty).unwrap();
    let ci = "ci = [\"pki/rsp/CertificateIssuer/CERT_CI_ECDSA_NIST.der\"]\n";
    std::fs::write(site.join("lpa.toml"), ci).unwrap();
    let hmi = "agent = \"agent.sock\"\nlisten = \"127.0.0.1:0\"\n";
    std::fs::write(site.join("hmi.toml"), hmi).unwrap();
    let check = |place: &Path, part: &str, args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aid-hil"));
        command.args(["part", part, "check-config"]).args(args);
        command.env_remove("AID_LOG").current_dir(place);
        command.output().unwrap()
    };
    for (part, variable, file) in [
        ("aid-cmp", "AID_CMP_CONFIG", "cmp.toml"),
        ("aid-msp", "AID_MSP_CONFIG", "msp.toml"),
        ("aid-hub", "AID_HUB_CONFIG", "hub.toml"),
        ("aid-smdp", "AID_SMDP_CONFIG", "smdp.toml"),
        ("aid-agent", "AID_AGENT_CONFIG", "agent.toml"),
        ("aidctl", "AID_AGENT_CONFIG", "agent.toml"),
        ("aid-hmi", "AID_HMI_CONFIG", "hmi.toml"),
        ("aid-lpa", "AID_LPA_CONFIG", "lpa.toml"),
        ("euicc-sim", "AID_EUICC_CONFIG", "euicc.toml"),
    ] {
        let found = check(&site, part, &["-v"]);
        assert!(found.status.success(), "{part}: {found:?}");
        let log = String::from_utf8(found.stderr).unwrap();
        assert!(
            log.contains("configuration") && log.contains(file),
            "{part}: {log}"
        );
        // The variable wins over the file that is here.
        let mut other = Command::new(env!("CARGO_BIN_EXE_aid-hil"));
        other.args(["part", part, "check-config"]);
        let other = other
            .env(variable, empty.join("other.toml"))
            .current_dir(&site)
            .output();
        let other = other.unwrap();
        let error = String::from_utf8(other.stderr).unwrap();
        assert!(
            !other.status.success() && error.contains("other.toml"),
            "{part}: {error}"
        );
        let none = check(&empty, part, &[]);
        assert_eq!(
            (none.status.code(), none.stdout.len()),
            (Some(2), 0),
            "{part}: {none:?}"
        );
        let error = String::from_utf8(none.stderr).unwrap();
        assert!(error.contains("--config"), "{part}: {error}");
    }
}

#[test]
fn what_is_added_is_as_good_as_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("site");
    added(&dir, &[]);
    let before = files(&dir);

    let first = added(&dir, &["--add-car", "--add-driver", "bob"]);
    let second = added(
        &dir,
        &[
            "--add-car",
            "2",
            "--add-profile",
            "2",
            "--add-driver",
            "cyd",
            "--add-driver",
            "eve",
        ],
    );
    let cars = |added: &Value| added["cars"].as_array().unwrap().clone();
    assert_eq!((cars(&first).len(), cars(&second).len()), (1, 2));
    let mut ports = BTreeSet::new();
    for (n, car) in cars(&first).iter().chain(&cars(&second)).enumerate() {
        let suffix = format!("-{}", n + 2);
        assert_eq!(car["agent"], format!("agent{suffix}.toml"));
        assert!(ports.insert(car["port"].as_u64().unwrap()), "{car}");
        gateway_accepts(&dir, &suffix);
        assert_eq!(car["eid"], proved_eid(&dir, &suffix));
        check_config(&dir, "aid-agent", &format!("agent{suffix}.toml"));
        check_config(&dir, "euicc-sim", &format!("euicc{suffix}.toml"));
    }
    let msp = std::fs::read_to_string(dir.join("msp.toml")).unwrap();
    let msp: toml::Table = toml::from_str(&msp).unwrap();
    let subscribers = msp["subscriber"].as_array().unwrap();
    let distinct = |key: &str| {
        let values = subscribers.iter().map(|one| one[key].as_str().unwrap());
        values.collect::<BTreeSet<_>>().len()
    };
    assert_eq!((distinct("user"), distinct("msisdn")), (4, 4));
    check_config(&dir, "aid-msp", "msp.toml");
    check_config(&dir, "aid-smdp", "smdp.toml");
    let after = files(&dir);
    let profiles = |files: &BTreeMap<PathBuf, Vec<u8>>| {
        let inventory = dir.join("inventory");
        files
            .keys()
            .filter(|file| file.starts_with(&inventory))
            .count()
    };
    assert_eq!(profiles(&after), profiles(&before) + 2);
    for (file, content) in &before {
        let now = &after[file];
        if file.ends_with("msp.toml") {
            assert!(now.starts_with(content), "msp.toml is only appended to");
        } else {
            assert_eq!(now, content, "{}", file.display());
        }
    }
}

#[test]
fn a_failure_leaves_the_set_up_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("site");
    added(&dir, &[]);
    added(&dir, &["--add-driver", "bob"]);

    let before = files(&dir);
    for wrong in [
        // Known already: found after the cars were made.
        &["--add-car", "3", "--add-profile", "--add-driver", "bob"][..],
        &["--add-driver", "ada"],
        &["--add-driver", "Robert'); DROP TABLE"],
        &["--add-car", "0"],
        &["--add-car", "--async-ac"],
    ] {
        let output = init(&dir, wrong);
        assert!(!output.status.success(), "{wrong:?}");
        assert!(output.stdout.is_empty(), "{wrong:?}: {output:?}");
        assert_eq!(files(&dir), before, "{wrong:?}");
    }

    std::fs::remove_file(dir.join("pki/aid/cars-ca.key")).unwrap();
    let before = files(&dir);
    let output = init(&dir, &["--add-car"]);
    assert!(!output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("cars-ca.key"), "{text}");
    assert_eq!(files(&dir), before);

    let elsewhere = folder.path().join("empty");
    let output = init(&elsewhere, &["--add-car"]);
    assert!(
        !output.status.success() && !elsewhere.exists(),
        "{output:?}"
    );
}
