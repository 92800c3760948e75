//! Orders by command, beside a running server: what they allow, when they end, and what the folder brings.

use crate::bench::{
    ADDRESS, Bench, EID_DIGITS, ICCID, ICCID2, NOW, OPERATOR, mint, package, refused,
};
use crate::card::Card;
use crate::program::{Running, client, program, site, start};
use aid_rsp::es2::{DownloadOrderRequest, ReleaseProfileRequest};
use aid_rsp::es9::{Function, RequestHeader, Response, Text};
use aid_rsp::es10::ppr;
use aid_smdp::core::{Limits, OrderState, Protection, TicketKey};
use aid_smdp::inventory::{Reader, load};
use aid_smdp::service::{By, Desk, Placing};
use aid_smdp::template::Template;
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;

/// Runs `aid-smdp order … --config smdp.toml`; standard output, or the error.
fn order(dir: &Path, args: &[&str]) -> Result<String, String> {
    let out = program(dir)
        .args(["order", args[0], "--config", "smdp.toml"])
        .args(&args[1..])
        .env("TZ", "UTC")
        .output()
        .unwrap();
    match out.status.success() {
        true => Ok(String::from_utf8(out.stdout).unwrap()),
        false => Err(String::from_utf8(out.stderr).unwrap()),
    }
}

fn json(dir: &Path, args: &[&str]) -> Value {
    let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
    let text = order(dir, &args).unwrap();
    let list: Value = serde_json::from_str(&text).unwrap();
    list[0].clone()
}

/// A call of ES2+ with the operator's certificate.
async fn es2<F: Function>(dir: &Path, host: &str, request: &F) -> Response<F::Output> {
    let (cert, key) = (dir.join("client.pem"), dir.join("client.key"));
    let client = client(&dir.join("ca.pem"), Some((&cert, &key)));
    let url = format!("https://{host}{}", F::PATH);
    let answer = client.post(url).json(request).send().await.unwrap();
    answer.json().await.unwrap()
}

fn served(dir: &Path) -> (aid_rsp::pki::RspPki, Running, String, String) {
    let pki = site(dir);
    let (running, es9, es2) = start(dir);
    (pki, running, es9, es2)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_orders_by_command_beside_the_running_server() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let (pki, _running, es9, es2_host) = served(dir);
    let card = Card::new(&pki, crate::bench::EID, pki.euicc.clone());
    let lpa = client(&dir.join("CertificateIssuer/CERT_CI_ECDSA_NIST.der"), None);
    let offered = |id: Option<&'static str>| {
        let (card, lpa, es9) = (&card, &lpa, &es9);
        async move { crate::program::offered(lpa, es9, card, id).await }
    };

    // A default order, found at once by the EID alone.
    let view = json(
        dir,
        &["add", "--iccid", ICCID, "--eid", EID_DIGITS, "--default"],
    );
    assert_eq!(
        (&view["state"], &view["matching_id"]),
        (&"released".into(), &"".into())
    );
    assert_eq!(view["file"], "op");
    assert_eq!(offered(None).await, Ok(()));

    // It is nobody's over ES2+.
    let release = ReleaseProfileRequest {
        iccid: Text::new(ICCID).unwrap(),
        ..Default::default()
    };
    let status = es2(dir, &es2_host, &release)
        .await
        .header
        .function_execution_status;
    assert!(status.to_string().contains("8.2.1"), "{status}");

    // Cancelled and placed again with a code; the server sees each at once.
    order(dir, &["cancel", ICCID]).unwrap();
    assert_eq!(offered(None).await, Err("8.1.1/3.8".into()));
    let said = order(
        dir,
        &[
            "add",
            "--iccid",
            ICCID,
            "--matching-id",
            "BY-HAND-1",
            "--confirmation-code",
            "1234",
            "--expires",
            "2d",
        ],
    )
    .unwrap();
    assert!(said.contains(ICCID) && said.contains("BY-HAND-1"), "{said}");
    assert_eq!(offered(Some("BY-HAND-1")).await, Ok(()));
    let view = json(dir, &["show", ICCID]);
    assert_eq!(view["confirmation_code_required"], true);
    let expires: jiff::Timestamp = view["expires_at"].as_str().unwrap().parse().unwrap();
    let tomorrow = i64::try_from(aid_smdp::web::now()).unwrap() + 86_400;
    assert!(expires.as_second() > tomorrow);
    for text in [
        order(dir, &["list"]).unwrap(),
        order(dir, &["show", ICCID]).unwrap(),
    ] {
        for part in [ICCID, "released", "BY-HAND-1", "op", "20"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("1234"), "{text}");
    }

    // An operator's order: reserved, confirmed, released by hand, and the operator may change it.
    order(dir, &["cancel", ICCID]).unwrap();
    order(
        dir,
        &["add", "--package", "op", "--operator", "msp", "--reserve"],
    )
    .unwrap();
    assert_eq!(json(dir, &["show", ICCID])["state"], "allocated");
    order(dir, &["confirm", ICCID, "--matching-id", "HELD", "--hold"]).unwrap();
    assert_eq!(offered(Some("HELD")).await, Err("8.2/1.2".into()));
    let status = es2(dir, &es2_host, &release)
        .await
        .header
        .function_execution_status;
    assert!(!status.to_string().contains("8.2"), "{status}");
    assert_eq!(offered(Some("HELD")).await, Ok(()));
    order(dir, &["cancel", ICCID]).unwrap();

    // And one that has expired is refused with its own code.
    order(
        dir,
        &[
            "add",
            "--iccid",
            ICCID,
            "--matching-id",
            "LATE",
            "--expires",
            "0s",
        ],
    )
    .unwrap();
    assert_eq!(offered(Some("LATE")).await, Err("8.8.5/4.10".into()));
    assert_eq!(json(dir, &["show", ICCID])["expired"], true);

    // Wrong commands say what to do, and change nothing.
    for (args, says) in [
        (&["add", "--iccid", "1"][..], "8.2.1/3.9"),
        (&["add", "--iccid", ICCID], "8.2.1/3.3"),
        (&["add", "--profile-type", "none"], "8.2.5/3.9"),
        (&["add", "--iccid", ICCID, "--default"], "--eid"),
        (
            &["add", "--iccid", ICCID, "--expires", "soon"],
            "2026-12-24",
        ),
        (
            &["add", "--package", "op", "--operator", "nobody"],
            "[[operator]]",
        ),
        (&["show", "1"], "order list"),
        (&["release", ICCID, "--json", "x"], "Usage"),
    ] {
        let error = order(dir, args).unwrap_err();
        assert!(error.contains(says), "{args:?}: {error}");
    }
    assert_eq!(json(dir, &["show", ICCID])["matching_id"], "LATE");

    // A file that comes is served, one that is broken is not, and neither stops the server.
    std::fs::write(dir.join("profiles/bad.der"), b"no package").unwrap();
    std::fs::write(dir.join("profiles/new.der"), package(ICCID2)).unwrap();
    let wish = DownloadOrderRequest {
        iccid: Text::new(ICCID2),
        ..Default::default()
    };
    let ordered = async {
        while es2(dir, &es2_host, &wish).await.output.is_none() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let limit = std::time::Duration::from_secs(60);
    tokio::time::timeout(limit, ordered).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_and_the_server_lose_no_decision_of_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let _pki = site(dir);
    const PROFILES: usize = 24;
    for n in 0..PROFILES {
        let iccid = crate::disk::iccid(n);
        std::fs::write(dir.join(format!("profiles/{n}.der")), package(&iccid)).unwrap();
    }
    let (_running, _es9, es2_host) = start(dir);
    let path = dir.to_owned();
    // Half of them by command, half over ES2+, at the same time.
    let by_command = tokio::task::spawn_blocking(move || {
        for n in (0..PROFILES).step_by(2) {
            let id = format!("CMD-{n}");
            order(
                &path,
                &[
                    "add",
                    "--iccid",
                    &crate::disk::iccid(n),
                    "--matching-id",
                    &id,
                ],
            )
            .unwrap();
        }
    });
    for n in (1..PROFILES).step_by(2) {
        let wish = DownloadOrderRequest {
            iccid: Text::new(crate::disk::iccid(n)),
            ..Default::default()
        };
        let answer = es2(dir, &es2_host, &wish).await;
        assert!(answer.output.is_some(), "{:?}", answer.header);
    }
    by_command.await.unwrap();
    let list: Value = serde_json::from_str(&order(dir, &["list", "--json"]).unwrap()).unwrap();
    for n in 0..PROFILES {
        let iccid = crate::disk::iccid(n);
        let row = list
            .as_array()
            .unwrap()
            .iter()
            .find(|r| r["iccid"] == *iccid)
            .unwrap();
        let state = if n % 2 == 0 { "released" } else { "allocated" };
        assert_eq!(row["state"], state, "{row}");
    }
}

#[tokio::test]
async fn an_order_expires_and_what_a_card_has_it_keeps() {
    let limits = Limits {
        expire_after_days: Some(1),
        ..Limits::default()
    };
    let bench = Bench::with_limits(limits).await;
    let matching_id = bench.order(None, None).await;
    let end = bench.stored().await.expires_at.unwrap();
    assert_eq!(end, NOW + 86_400);
    let card = bench.card();
    let at = |now| {
        let (bench, card, id) = (&bench, &card, &matching_id);
        async move {
            let request = card.initiate(ADDRESS);
            let ok = bench
                .service
                .initiate_authentication(&request, now)
                .unwrap();
            let response = crate::card::ok_response(card.authenticate(&ok, Some(id)));
            let id = ok.transaction_id.as_bytes();
            bench.authenticate_client(id, response, now).await
        }
    };
    refused(at(end).await, ("8.8.5", "4.10"));
    refused(at(end + 1000 * 86_400).await, ("8.8.5", "4.10"));
    at(end - 1).await.unwrap();
    // Also between the offer and the request for the package.
    let mut card = bench.card();
    let offer = bench.authenticate(&card, Some(&matching_id)).await.unwrap();
    let id = offer.transaction_id.as_bytes().to_vec();
    let prepared = card.prepare(&offer, None);
    let session = aid_rsp::es10::TransactionId::new(&id).unwrap();
    bench.bpp(&id, prepared).await.unwrap();
    let report = card.installed(session, 1, [0x98; 10]);
    bench.notify_at(report, end + 1).await.unwrap();
    assert_eq!(bench.stored().await.state, OrderState::Installed);
    assert!(!bench.stored().await.is_expired(end + 1));
}

#[tokio::test]
async fn limits_are_those_of_the_configuration() {
    let limits = Limits {
        attempts: 2,
        code_failures: 1,
        ..Limits::default()
    };
    let bench = Bench::with_limits(limits).await;
    let matching_id = bench.order(None, Some("1234")).await;
    let mut card = bench.card();
    let offer = bench.authenticate(&card, Some(&matching_id)).await.unwrap();
    let id = offer.transaction_id.as_bytes().to_vec();
    for _ in 0..2 {
        let prepared = card.prepare(&offer, Some("1234"));
        bench.bpp(&id, prepared).await.unwrap();
    }
    let got = bench.authenticate(&card, Some(&matching_id)).await;
    refused(got, ("8.8.5", "6.4"));
    bench.cancel().await;
    let matching_id = bench.order(None, Some("1234")).await;
    let offer = bench.authenticate(&card, Some(&matching_id)).await.unwrap();
    let wrong = card.prepare(&offer, Some("1235"));
    let got = bench.bpp(offer.transaction_id.as_bytes(), wrong).await;
    refused(got, ("8.2.7", "6.4"));
}

#[tokio::test]
async fn a_profile_with_rules_that_the_card_forbids_is_not_offered() {
    let bench = Bench::new().await;
    let profiles = bench.folder.path().join("profiles");
    let side = "policy_rules = [\"ppr1\"]\nmcc_mnc = \"00101\"\n";
    std::fs::write(profiles.join(format!("{ICCID}.toml")), side).unwrap();
    let inventory = load(&profiles, ADDRESS, Protection::default()).unwrap();
    bench.service.renew(inventory, NOW).await.unwrap();
    let matching_id = bench.order(None, None).await;
    let card = bench.card();
    let id = matching_id.as_str();
    let lie = |ppr| {
        move |s: &mut aid_rsp::es10::EuiccSigned1| {
            s.euicc_info2.forbidden_ppr = Some(ppr);
            let mut context = s.ctx_params1.value().clone();
            context.matching_id = Some(id.to_owned());
            s.ctx_params1 = aid_rsp::es10::Signed::new(context);
        }
    };
    let got = bench.authenticate_lying(&card, lie(ppr::PPR1)).await;
    refused(got, ("8.2.5", "4.3"));
    bench
        .authenticate_lying(&card, lie(ppr::PPR2))
        .await
        .unwrap();
}

/// Two packages with one ICCID: the type says which one the card gets, and one can be ordered at a time.
#[tokio::test]
async fn packages_with_one_iccid_are_ordered_by_their_type() {
    let bench = Bench::new().await;
    let profiles = bench.folder.path().join("profiles");
    let other = aid_rsp::saip::builder::ProfileBuilder {
        name: "other".into(),
        ..aid_rsp::saip::builder::ProfileBuilder::new(
            ICCID,
            "001010000000001",
            aid_rsp::saip::builder::Algorithm::UsimTest { k: [9; 16] },
        )
    };
    let other = other.build().unwrap();
    std::fs::write(profiles.join("other.der"), &other).unwrap();
    let mut reader = Reader::new(&profiles, ADDRESS, Protection::default());
    let (inventory, _) = reader.read().unwrap();
    bench.service.renew(inventory, NOW).await.unwrap();
    let wish = |kind: &str| DownloadOrderRequest {
        header: RequestHeader::default(),
        profile_type: Text::new(kind),
        ..Default::default()
    };
    let s = &bench.service;
    let got = s
        .download_order(&wish("other"), OPERATOR, NOW)
        .await
        .unwrap();
    assert_eq!(got.iccid.as_str(), ICCID);
    refused(
        s.download_order(&wish("other"), OPERATOR, NOW).await,
        ("8.2.5", "3.7"),
    );
    let confirm = aid_rsp::es2::ConfirmOrderRequest {
        iccid: got.iccid,
        release_flag: true,
        ..Default::default()
    };
    let confirmed = s.confirm_order(&confirm, OPERATOR, NOW).await.unwrap();
    let mut card = bench.card();
    let (_, bpp) = bench
        .download(&mut card, confirmed.matching_id.as_str())
        .await;
    let dp_pb = bench.pki.dp_pb.key.public;
    assert_eq!(card.open(&bpp, &dp_pb).package, other);
    // By hand, by its file.
    let none: Arc<[Template]> = Arc::new([]);
    let desk = Desk::new(s.store(), Limits::default(), &none);
    let placing = Placing {
        download: DownloadOrderRequest::default(),
        package: Some("other".into()),
        confirm: None,
        expires_at: None,
    };
    let by = By::Hand(None);
    let again = desk.place(&placing, &by, NOW).await.unwrap();
    assert_eq!(again.result.unwrap_err().subject, "8.2.5");
    bench.cancel().await;
    let order = desk
        .place(&placing, &by, NOW)
        .await
        .unwrap()
        .result
        .unwrap();
    assert_eq!(order.package.as_deref(), Some("other"));
    assert_eq!(order.profile_type, "other");
}

/// `host`, `host:443` and what stands in the configuration are the same server; nothing else is.
#[tokio::test]
async fn port_443_is_the_same_as_none() {
    for (own, given, same) in [
        ("smdp.example.com", "smdp.example.com:443", true),
        ("smdp.example.com", "SMDP.example.com:443", true),
        ("smdp.example.com:443", "smdp.example.com", true),
        ("smdp.example.com:443", "smdp.example.com:443", true),
        ("smdp.example.com", "smdp.example.com:4430", false),
        ("smdp.example.com", "smdp.example.com:443:443", false),
        ("smdp.example.com", "other.example.com:443", false),
        ("smdp.example.com:8443", "smdp.example.com:443", false),
        ("smdp.example.com:8443", "smdp.example.com:8443", true),
        ("smdp.example.com", ":443", false),
    ] {
        let pki = mint();
        let dp = crate::bench::dp_named(&[&pki], own);
        let card = Card::new(&pki, crate::bench::EID, pki.euicc.clone());
        let mut rng = getrandom::rand_core::UnwrapErr(getrandom::SysRng);
        let tickets = TicketKey::random(&mut rng);
        let got = dp.initiate(&card.initiate(given), &tickets, &mut rng, NOW);
        assert_eq!(got.is_ok(), same, "{own} {given}");
    }
}
