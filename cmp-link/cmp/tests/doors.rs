//! Who passes a door with mutual TLS: those that the configuration or the database names, and nobody else that a CA knows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use aid_cli::tls;
use aid_serve::peer;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use world::car::{Car, Seen};
use world::{World, eid};

type Ca = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Ca {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Writes certificate and key; yields the hash as a configuration has it.
fn issue(folder: &Path, file: &str, common_name: Option<&str>, ca: &Ca) -> String {
    let mut params = CertificateParams::new(vec!["localhost".into()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    if let Some(name) = common_name {
        params.distinguished_name.push(DnType::CommonName, name);
    }
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, ca).unwrap();
    std::fs::write(folder.join(format!("{file}.pem")), certificate.pem()).unwrap();
    std::fs::write(folder.join(format!("{file}.key")), key.serialize_pem()).unwrap();
    let der = &tls::certificates(&folder.join(format!("{file}.pem"))).unwrap()[0];
    hex::encode(peer::fingerprint(der))
}

/// A door of the CMP for partners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    Aid1,
    Document,
    Admin,
}

const DOORS: [Door; 3] = [Door::Aid1, Door::Document, Door::Admin];

/// One client for each certificate: what it connected with once it goes on with.
struct Clients(BTreeMap<Option<&'static str>, reqwest::Client>);

impl Clients {
    /// How a request at the door ends: 200 for whoever is admitted, 401 or 403 for others, 0 where TLS refuses.
    async fn fares(&self, world: &World, door: Door, certificate: Option<&'static str>) -> u16 {
        let client = &self.0[&certificate];
        let nobody = uuid::Uuid::new_v4().to_string();
        let at = |address: std::net::SocketAddr, path: &str| {
            format!("https://localhost:{}{path}", address.port())
        };
        let request = match door {
            Door::Aid1 => client
                .post(at(
                    world.aid1,
                    &format!("/cesim/msp/v1/users/{nobody}/invalidate"),
                ))
                .header("cmp-request-id", &nobody)
                .header("correlation-id", &nobody)
                .header("client-id", "mspone")
                .header("target-id", "theCmp")
                .header("api-key", "mspkey"),
            Door::Document => client.get(at(world.aid1, "/openapi.json")),
            Door::Admin => client.get(at(world.admin, "/healthz")),
        };
        match request.send().await.map(|answer| answer.status().as_u16()) {
            Ok(status @ (401 | 403)) => status,
            // Admitted: an empty body, no such token, the document, the health.
            Ok(200 | 400 | 404 | 422) => 200,
            Ok(other) => panic!("{door:?} {certificate:?}: {other}"),
            Err(_) => 0,
        }
    }
}

// R-5.1-5, R-6-2, R-6-4, R-6-5, R-6-6
#[tokio::test(flavor = "multi_thread")]
async fn only_named_partners_pass() {
    let mut world = World::new().await;
    let folder = world.folder.path().to_owned();
    let [first, second, rogue] = ["first", "second", "rogue-partners"].map(authority);
    std::fs::write(folder.join("doors.pem"), first.pem() + &second.pem()).unwrap();
    let old = issue(&folder, "old", Some("partner"), &first);
    let new = issue(&folder, "new", Some("partner-2027"), &first);
    let renamed = issue(&folder, "renamed", Some("somebody"), &first);
    issue(&folder, "twin", Some("partner"), &second);
    issue(&folder, "foreign", Some("partner"), &rogue);
    issue(&folder, "car", Some(world.eid.as_str()), &first);
    issue(&folder, "another", Some("another"), &first);
    issue(&folder, "server-of-ours", Some("server"), &first);
    issue(&folder, "nameless", None, &first);
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
        let tls = name.map_or_else(|| world.pki.anonymous(), |name| world.pki.client(name));
        let client = reqwest::Client::builder().tls_backend_preconfigured((*tls).clone());
        (name, client.build().unwrap())
    };
    let clients = names.into_iter().map(Some).chain([None]).map(client);
    let clients = Clients(clients.collect());

    let start = std::fs::read_to_string(world.config()).unwrap();
    let start = start.replacen("client_ca = \"ca.pem\"", "client_ca = \"doors.pem\"", 1)
        + "[admin]\nlisten = \"127.0.0.1:0\"\ncert = \"server.pem\"\nkey = \"server.key\"\nclient_ca = \"doors.pem\"\n# admin\n";
    std::fs::write(world.config(), &start).unwrap();
    world.restart().await;
    for (round, list) in [
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
            .replace("common_name = \"msp\"\n", aid1)
            .replace("# admin\n", &list);
        std::fs::write(world.config(), text).unwrap();
        let expected = |door: Door, certificate: Option<&str>| match certificate {
            Some("foreign") | None => 0,
            Some("old") if ["old", "both"].contains(&round) => 200,
            Some("new") if ["both", "new"].contains(&round) => 200,
            _ if door == Door::Admin => 403,
            _ => 401,
        };
        // Until the change holds, which nothing but its effect says.
        let end = Instant::now() + Duration::from_secs(60);
        for door in DOORS {
            for pivot in [Some("old"), Some("new")] {
                while clients.fares(&world, door, pivot).await != expected(door, pivot) {
                    assert!(Instant::now() < end, "{round}: {door:?} {pivot:?}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
        for door in DOORS {
            for certificate in names.into_iter().map(Some).chain([None]) {
                let got = clients.fares(&world, door, certificate).await;
                assert_eq!(
                    got,
                    expected(door, certificate),
                    "{round}: {door:?} {certificate:?}"
                );
            }
        }
    }
}

// R-3.2-2, R-3.2-3
#[tokio::test(flavor = "multi_thread")]
async fn only_cars_that_take_part_pass_the_gateway() {
    let mut world = World::new().await;
    let folder = world.folder.path().to_owned();
    let [cars, second, rogue] = ["cars", "more-cars", "rogue-cars"].map(authority);
    std::fs::write(folder.join("doors.pem"), cars.pem() + &second.pem()).unwrap();
    let text = std::fs::read_to_string(world.config()).unwrap();
    let (head, gateway) = text.split_once("[gateway]").unwrap();
    let gateway = gateway.replacen("client_ca = \"ca.pem\"", "client_ca = \"doors.pem\"", 1);
    std::fs::write(world.config(), format!("{head}[gateway]{gateway}")).unwrap();
    world.restart().await;
    let own = world.eid;
    let stranger = eid(77);
    issue(&folder, "car", Some(own.as_str()), &cars);
    issue(&folder, "twin", Some(own.as_str()), &second);
    issue(&folder, "foreign", Some(own.as_str()), &rogue);
    issue(&folder, "stranger", Some(stranger.as_str()), &cars);
    issue(&folder, "spaced", Some(&format!(" {own}")), &cars);
    issue(&folder, "partner", Some("msp"), &cars);
    issue(&folder, "server-of-ours", Some("server"), &cars);
    issue(&folder, "nameless", None, &cars);
    let enrol = |file: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_aid-cmp"))
            .args(["vehicle", "enrol", "--eid", own.as_str(), "--cert"])
            .arg(folder.join(file))
            .arg("--config")
            .arg(world.config())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    let passes = async |certificate: Option<&str>| {
        let tls = certificate.map_or_else(|| world.pki.anonymous(), |c| world.pki.client(c));
        // Whatever the client calls itself.
        let mut car = Car::dial(world.gateway, tls, own, own.as_str());
        matches!(car.next().await, Seen::Connected)
    };
    for (bound, admitted) in [("car.pem", "car"), ("twin.pem", "twin")] {
        enrol(bound);
        for certificate in [
            Some("car"),
            Some("twin"),
            Some("foreign"),
            Some("stranger"),
            Some("spaced"),
            Some("partner"),
            Some("server-of-ours"),
            Some("nameless"),
            // Of the CA of the partners, which is another one here.
            Some("msp"),
            Some("server"),
            None,
        ] {
            let expected = certificate == Some(admitted);
            assert_eq!(
                passes(certificate).await,
                expected,
                "{bound}: {certificate:?}"
            );
        }
    }
}

// R-5.1-5, R-6-6
#[tokio::test(flavor = "multi_thread")]
async fn check_config_reports_who_is_named_wrongly() {
    let world = World::new().await;
    let good = std::fs::read_to_string(world.config()).unwrap();
    let path = world.folder.path().join("wrong.toml");
    let check = |text: &str| {
        std::fs::write(&path, text).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_aid-cmp"))
            .args(["check-config", "--config"])
            .arg(&path)
            .output()
            .unwrap();
        (
            output.status.success(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    assert!(check(&good).0);
    let (one, two) = ("common_name = \"msp\"", "common_name = \"msp2\"");
    let hash =
        "certificate_sha256 = \"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"";
    let admin = "[admin]\ncert = \"server.pem\"\nkey = \"server.key\"\n";
    for (text, says) in [
        (good.replace(one, ""), "common_name or certificate_sha256"),
        (good.replace(one, "common_name = \"msp \""), "names nobody"),
        (
            good.replace(one, "certificate_sha256 = \"AB:CD\""),
            "malformed",
        ),
        (
            good.replace(two, "common_name = [\"x\", \"msp\"]"),
            "common_name \"msp\"",
        ),
        (
            good.replace(one, &format!("{one}\n{hash}"))
                .replace(two, &format!("{two}\n{hash}")),
            "certificate_sha256 0123",
        ),
        (
            format!("{good}{admin}client_ca = \"ca.pem\"\ncommon_name = \"\"\n"),
            "admin.common_name",
        ),
        (
            format!("{good}{admin}common_name = \"a\"\n"),
            "admin.client_ca",
        ),
    ] {
        let (ok, error) = check(&text);
        assert!(!ok && error.contains(says), "{says}: {error}");
    }
    // The same name is no trouble where hashes keep the two apart.
    let other = hash.replace("0123", "3210");
    let apart = good
        .replace(two, &format!("common_name = \"msp\"\n{other}"))
        .replace(&format!("{one}\nreturn"), &format!("{one}\n{hash}\nreturn"));
    assert!(check(&apart).0, "{}", check(&apart).1);
    // Nobody at all is possible, and said.
    let (ok, error) = check(&format!("{good}{admin}client_ca = \"ca.pem\"\n"));
    assert!(ok && error.contains("[admin] names no client"), "{error}");
}

// Strangers open what connections they can and say nothing on them: cars get in all the same, and those that are in
// leave the share of their address to others.
#[tokio::test(flavor = "multi_thread")]
async fn strangers_do_not_take_the_places_of_cars() {
    let mut world = World::new().await;
    let text = std::fs::read_to_string(world.config()).unwrap();
    let text = text.replace("[gateway]\n", "[gateway]\nmax_vehicles = 40\n");
    let text = text.replace("[aid1]\n", "[connections]\nper_address = 1\n[aid1]\n");
    std::fs::write(world.config(), text).unwrap();
    world.restart().await;
    let mut strangers = Vec::new();
    for _ in 0..60 {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.3:0".parse().unwrap()).unwrap();
        strangers.push(socket.connect(world.gateway).await.unwrap());
    }
    let cars = [
        Car::connect_as(&world, eid(1)).await,
        Car::connect_as(&world, eid(2)).await,
    ];
    for mut car in cars {
        let hello = aid_wire::Up::Hello {
            software: "1".into(),
            profiles: Vec::new(),
        };
        car.send([7; 16], hello).await;
        assert!(matches!(
            car.next().await,
            Seen::Message(_) | Seen::Acked(_)
        ));
    }
}

// A crash must not write keys and passwords into a file.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_writes_no_core_dump() {
    let _world = World::new().await;
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|l| l.starts_with("Max core file size"));
    let values: Vec<_> = line.unwrap().split_whitespace().skip(4).take(2).collect();
    assert_eq!(values, ["0", "0"]);
}
