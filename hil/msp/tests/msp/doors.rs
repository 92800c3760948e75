//! Who passes a door with mutual TLS: those that the configuration names, and nobody else that a CA knows.

use crate::stage::*;
use aid_cli::tls;
use aid_serve::peer;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use std::collections::BTreeMap;
use std::time::Instant;

type Ca = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Ca {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Writes certificate and key; yields the hash as a configuration has it.
fn issue(folder: &Folder, file: &str, common_name: Option<&str>, ca: &Ca) -> String {
    let mut params = CertificateParams::new(vec!["localhost".into()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    if let Some(name) = common_name {
        params.distinguished_name.push(DnType::CommonName, name);
    }
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, ca).unwrap();
    std::fs::write(folder.path(&format!("{file}.pem")), certificate.pem()).unwrap();
    std::fs::write(folder.path(&format!("{file}.key")), key.serialize_pem()).unwrap();
    let der = &tls::certificates(&folder.path(&format!("{file}.pem"))).unwrap()[0];
    let hash = peer::fingerprint(der);
    hash.iter()
        .map(|byte| format!("{byte:02X}:"))
        .collect::<String>()
        .trim_end_matches(':')
        .into()
}

/// A door of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Door {
    Aid1,
    Document,
    Es2,
    Admin,
}

const DOORS: [Door; 4] = [Door::Aid1, Door::Document, Door::Es2, Door::Admin];

/// One client for each certificate: what it connected with once it goes on with.
struct Clients(BTreeMap<Option<&'static str>, reqwest::Client>);

impl Clients {
    /// How a request at the door ends: 200 for whoever is admitted, 401 or 403 for others, 0 where TLS refuses.
    async fn fares(&self, stage: &Stage, door: Door, certificate: Option<&'static str>) -> u16 {
        let client = &self.0[&certificate];
        let nobody = Uuid::new_v4();
        let request = match door {
            Door::Aid1 => client
                .delete(format!("{}/v1/users/{nobody}", stage.msp.aid1))
                .header("cmp-request-id", nobody.to_string())
                .header("correlation-id", nobody.to_string())
                .header("client-id", "CmpOne")
                .header("target-id", "MspOne")
                .header("api-key", "keyIn1"),
            Door::Document => client.get(format!("{}/openapi.json", stage.msp.aid1)),
            Door::Es2 => {
                let es2 = stage.msp.es2.clone().unwrap();
                client.post(format!(
                    "{es2}/gsma/rsp2/es2plus/handleDownloadProgressInfo"
                ))
            }
            Door::Admin => client.get(format!("{}/healthz", stage.msp.admin)),
        };
        match request.send().await.map(|answer| answer.status().as_u16()) {
            Ok(401 | 403) if door == Door::Aid1 || door == Door::Document => 401,
            Ok(403) => 403,
            // Admitted: no such token, no notification in the body, the document, the health.
            Ok(200 | 400 | 404 | 415) => 200,
            Ok(other) => panic!("{door:?} {certificate:?}: {other}"),
            Err(_) => 0,
        }
    }
}

// R-5.1-5, R-6-2, R-6-4, R-6-5, R-6-6
#[tokio::test]
async fn only_named_certificates_pass() {
    let listener = "listen = \"127.0.0.1:0\"\ncert = \"server.pem\"\nkey = \"server.key\"\nclient_ca = \"ca.pem\"\n";
    let stage = Stage::new(
        "",
        &format!("\n[es2]\n{listener}# es2\n[admin]\n{listener}# admin\n"),
    )
    .await;
    let folder = &stage.folder;
    let [first, second, rogue] = ["first", "second", "rogue"].map(authority);
    std::fs::write(
        folder.path("doors.pem"),
        first.pem() + second.pem().as_str(),
    )
    .unwrap();
    let old = issue(folder, "old", Some("partner"), &first);
    let new = issue(folder, "new", Some("partner-2027"), &first);
    let renamed = issue(folder, "renamed", Some("somebody"), &first);
    issue(folder, "twin", Some("partner"), &second);
    issue(folder, "foreign", Some("partner"), &rogue);
    issue(folder, "car", Some(EID), &first);
    issue(folder, "another", Some("another"), &first);
    issue(folder, "server-of-ours", Some("server"), &first);
    issue(folder, "nameless", None, &first);
    let names = [
        "old",
        "new",
        "renamed",
        "twin",
        "foreign",
        "car",
        "another",
        "server-of-ours",
        "nameless",
    ];
    let client = |name: Option<&'static str>| {
        let client = reqwest::Client::builder().tls_backend_preconfigured(folder.client_tls(name));
        (name, client.build().unwrap())
    };
    let clients = names.into_iter().map(Some).chain([None]).map(client);
    let clients = Clients(clients.collect());

    let path = folder.path("msp.toml");
    let start = std::fs::read_to_string(&path).unwrap();
    let start = start.replace("client_ca = \"ca.pem\"", "client_ca = \"doors.pem\"");
    for (round, list) in [
        // Nobody is named at the doors that may have an empty list.
        ("nobody", String::new()),
        (
            "old",
            format!("common_name = \"partner\"\ncertificate_sha256 = [\"{old}\", \"{renamed}\"]\n"),
        ),
        (
            "both",
            format!(
                "common_name = [\"partner-2027\", \"partner\"]\n\
                 certificate_sha256 = [\"{new}\", \"{old}\", \"{renamed}\"]\n"
            ),
        ),
        (
            "new",
            format!("common_name = \"partner-2027\"\ncertificate_sha256 = \"{new}\"\n"),
        ),
    ] {
        let aid1 = match round {
            "nobody" => "common_name = \"nobody-has-this-name\"\n",
            _ => &list,
        };
        let text = start
            .replace("common_name = \"cmp\"\n", aid1)
            .replace("# es2\n", &list)
            .replace("# admin\n", &list);
        std::fs::write(&path, text).unwrap();
        let expected = |door: Door, certificate: Option<&str>| match certificate {
            Some("foreign") | None => 0,
            Some("old") if ["old", "both"].contains(&round) => 200,
            Some("new") if ["both", "new"].contains(&round) => 200,
            _ if door == Door::Aid1 || door == Door::Document => 401,
            _ => 403,
        };
        // Until the change holds, which nothing but its effect says.
        let end = Instant::now() + Duration::from_secs(60);
        for door in DOORS {
            for pivot in [Some("old"), Some("new")] {
                while clients.fares(&stage, door, pivot).await != expected(door, pivot) {
                    assert!(Instant::now() < end, "{round}: {door:?} {pivot:?}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
        for door in DOORS {
            for certificate in names.into_iter().map(Some).chain([None]) {
                let got = clients.fares(&stage, door, certificate).await;
                assert_eq!(
                    got,
                    expected(door, certificate),
                    "{round}: {door:?} {certificate:?}"
                );
            }
        }
    }
}

// R-5.1-5, R-6-6
#[tokio::test]
async fn check_config_reports_who_is_named_wrongly() {
    let folder = Folder::new();
    let config = Program::configure(
        &folder,
        "https://localhost:1",
        "https://localhost:2",
        ["", "", "", ""],
    );
    let good = std::fs::read_to_string(&config).unwrap();
    let second = good
        .split_once("[[cmp]]")
        .and_then(|(_, rest)| rest.split_once("[[subscriber]]"))
        .map(|(block, _)| {
            block
                .replace("CmpOne", "CmpTwo")
                .replace(SECRET, "another secret of thirty-two bytes")
        })
        .unwrap();
    let es2 = "[es2]\nlisten = \"127.0.0.1:0\"\ncert = \"server.pem\"\nkey = \"server.key\"\nclient_ca = \"ca.pem\"\n";
    let admin = es2.replace("[es2]", "[admin]");
    let check = |text: &str| {
        std::fs::write(&config, text).unwrap();
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_aid-msp"))
            .args(["check-config", "--config"])
            .arg(&config)
            .output()
            .unwrap();
        (
            output.status.success(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    assert_eq!(check(&good), (true, String::new()));
    let common = "common_name = \"cmp\"";
    for (text, says) in [
        (
            good.replace(common, ""),
            "common_name or certificate_sha256",
        ),
        (
            good.replace(common, "common_name = \" cmp\""),
            "names nobody",
        ),
        (
            good.replace(common, "certificate_sha256 = \"AB:CD\""),
            "malformed",
        ),
        (
            good.replace(
                common,
                &format!("certificate_sha256 = \"{}\"", "0".repeat(64)),
            ),
            "certificate_sha256",
        ),
        (format!("{good}\n[[cmp]]{second}"), "common_name \"cmp\""),
        (
            format!("{good}\n{es2}common_name = \"\"\n"),
            "es2.common_name",
        ),
        (
            format!("{good}\n{es2}certificate_sha256 = \"xyz\"\n"),
            "es2.certificate_sha256",
        ),
        (
            format!("{good}\n{admin}common_name = \"a \"\n"),
            "admin.common_name",
        ),
        (
            format!("{good}\n[admin]\ncommon_name = \"a\"\n"),
            "admin.client_ca",
        ),
    ] {
        let (ok, error) = check(&text);
        assert!(!ok && error.contains(says), "{says}: {error}");
    }
    // Nobody at all is possible, and said.
    let (ok, error) = check(&format!("{good}\n{es2}{admin}"));
    assert!(
        ok && error.contains("[es2] names no client") && error.contains("[admin] names"),
        "{error}"
    );
}
