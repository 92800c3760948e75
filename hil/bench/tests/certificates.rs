//! Every program's `check-config` judges the dates of every certificate that its configuration names.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

const DAY: i64 = 86_400;

/// Exit code, stdout, stderr of `check-config`.
fn check(part: &str, config: &Path) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_aid-hil"))
        .args(["part", part, "check-config", "--log", "off", "--config"])
        .arg(config)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// All texts of a TOML document.
fn texts(value: &toml::Value, found: &mut Vec<String>) {
    match value {
        toml::Value::String(text) => found.push(text.clone()),
        toml::Value::Array(items) => items.iter().for_each(|v| texts(v, found)),
        toml::Value::Table(table) => table.iter().for_each(|(_, v)| texts(v, found)),
        _ => {}
    }
}

/// The certificate files that a configuration names.
fn certificates(config: &Path) -> BTreeSet<PathBuf> {
    let text = std::fs::read_to_string(config).unwrap();
    let mut found = Vec::new();
    texts(
        &toml::Value::Table(toml::from_str(&text).unwrap()),
        &mut found,
    );
    let dir = config.parent().unwrap();
    let files = found.into_iter().map(|name| dir.join(name));
    let files = files.filter(|file| {
        std::fs::read(file).is_ok_and(|bytes| {
            file.extension().is_some_and(|e| e == "der")
                || bytes.windows(17).any(|w| w == b"BEGIN CERTIFICATE")
        })
    });
    files.collect()
}

/// A certificate for the key that lies beside this file, in DER: every reader takes that.
fn minted(file: &Path, from: i64, to: i64) -> Vec<u8> {
    let at = |offset: i64| {
        let seconds = Duration::from_secs(offset.unsigned_abs());
        let now = SystemTime::now();
        if offset < 0 {
            now - seconds
        } else {
            now + seconds
        }
    };
    let mut params = CertificateParams::new(vec!["localhost".into()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "dated");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    (params.not_before, params.not_after) = (at(from).into(), at(to).into());
    let key = std::fs::read_to_string(file.with_extension("key"));
    let key = match key {
        Ok(pem) => KeyPair::from_pem(&pem).unwrap(),
        Err(_) => KeyPair::generate().unwrap(),
    };
    params.self_signed(&key).unwrap().der().to_vec()
}

/// One element of DER with a length of two bytes at most: its header's length, and its own.
fn element(der: &[u8]) -> (usize, usize) {
    match der[1] {
        0x81 => (3, 3 + usize::from(der[2])),
        0x82 => (4, 4 + usize::from(der[2]) * 256 + usize::from(der[3])),
        length => (2, 2 + usize::from(length)),
    }
}

fn sequence(content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
    let header = match (high, low) {
        (0, 0..=0x7F) => vec![0x30, low],
        (0, _) => vec![0x30, 0x81, low],
        _ => vec![0x30, 0x82, high, low],
    };
    [&header, content].concat()
}

/// The same certificate as X.509 version 1: without version and extensions.
fn version_1(der: &[u8]) -> Vec<u8> {
    let (header, _) = element(der);
    let (tbs, rest) = der[header..].split_at(element(&der[header..]).1);
    let mut fields = Vec::new();
    let mut at = element(tbs).0;
    while at < tbs.len() {
        let end = at + element(&tbs[at..]).1;
        if !matches!(tbs[at], 0xA0 | 0xA3) {
            fields.extend_from_slice(&tbs[at..end]);
        }
        at = end;
    }
    sequence(&[&sequence(&fields)[..], rest].concat())
}

#[test]
fn every_certificate_of_every_program_is_judged() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("site");
    let made = Command::new(env!("CARGO_BIN_EXE_aid-hil"))
        .args(["init", "--json", "--dir"])
        .arg(&dir)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let lpa = "ci = [\"pki/rsp/CertificateIssuer/CERT_CI_ECDSA_NIST.der\"]\n";
    std::fs::write(dir.join("lpa.toml"), lpa).unwrap();
    for (part, config, least) in [
        ("aid-cmp", "cmp.toml", 3),
        ("aid-msp", "msp.toml", 3),
        ("aid-smdp", "smdp.toml", 6),
        ("aid-agent", "agent.toml", 3),
        ("aid-lpa", "lpa.toml", 1),
        ("euicc-sim", "euicc.toml", 3),
    ] {
        let config = dir.join(config);
        let (code, _, stderr) = check(part, &config);
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{part}");
        let files = certificates(&config);
        assert!(files.len() >= least, "{part}: {files:?}");
        for file in files {
            let good = std::fs::read(&file).unwrap();
            let name = file.file_name().unwrap().to_str().unwrap();
            for (from, to, says) in [
                (-9 * DAY, -DAY, "expired on 20"),
                (-9 * DAY, -60, "expired on 20"),
                (3600, 90 * DAY, "not valid before 20"),
            ] {
                std::fs::write(&file, minted(&file, from, to)).unwrap();
                let (code, stdout, stderr) = check(part, &config);
                assert_eq!(
                    (code, stdout.as_str()),
                    (Some(1), ""),
                    "{part} {name}: {stderr}"
                );
                assert_eq!(stderr.lines().count(), 1, "{part} {name}: {stderr}");
                assert!(stderr.contains(name), "{part} {name}: {stderr}");
                assert!(stderr.contains(says), "{part} {name}: {stderr}");
            }
            // Chains of RSP certificates are tested where they are minted.
            if !file.starts_with(dir.join("pki/rsp")) {
                for (days, warns) in [(29, true), (31, false)] {
                    std::fs::write(&file, minted(&file, -DAY, days * DAY + 3600)).unwrap();
                    let (code, _, stderr) = check(part, &config);
                    assert_eq!(code, Some(0), "{part} {name}: {stderr}");
                    let said = stderr.contains(name) && stderr.contains("in 29 days");
                    assert_eq!(said, warns, "{part} {name}: {stderr}");
                }
            }
            let old = version_1(&minted(&file, -DAY, 90 * DAY));
            std::fs::write(&file, &old).unwrap();
            let (code, _, stderr) = check(part, &config);
            // An anchor may be of any version (RFC 5280 §6.1.1).
            if file.with_extension("key").exists() && !name.ends_with("ca.pem") {
                assert_eq!(code, Some(1), "{part} {name}");
            }
            if code == Some(1) {
                assert!(stderr.contains(name), "{part} {name}: {stderr}");
                assert!(stderr.contains("version"), "{part} {name}: {stderr}");
            }
            std::fs::write(&file, good).unwrap();
        }
    }
}
