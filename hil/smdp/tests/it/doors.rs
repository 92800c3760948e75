//! Who may call ES2+: the operators that the configuration names, by certificate, and nobody else; each its own orders.

use crate::bench::{EID_DIGITS, ICCID};
use crate::program::{client, program, site, start};
use aid_cli::tls;
use aid_rsp::es2::{
    CancelOrderRequest, ConfirmOrderRequest, DownloadOrderRequest, FinalProfileStatus,
    ReleaseProfileRequest,
};
use aid_rsp::es9::{Function, RequestHeader, Text};
use aid_serve::peer;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::{Value, json};
use std::path::Path;

type Ca = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Ca {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Writes certificate and key of a client or server; yields the hash as a configuration has it.
fn issue(dir: &Path, file: &str, common_name: Option<&str>, ca: &Ca) -> String {
    let names = vec!["localhost".into(), "127.0.0.1".into()];
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    if let Some(name) = common_name {
        params.distinguished_name.push(DnType::CommonName, name);
    }
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, ca).unwrap();
    std::fs::write(dir.join(format!("{file}.pem")), certificate.pem()).unwrap();
    std::fs::write(dir.join(format!("{file}.key")), key.serialize_pem()).unwrap();
    let der = &tls::certificates(&dir.join(format!("{file}.pem"))).unwrap()[0];
    hex::encode(peer::fingerprint(der))
}

/// Puts these operators into the configuration of the set-up.
fn operators(dir: &Path, sections: &str) {
    let text = std::fs::read_to_string(dir.join("smdp.toml")).unwrap();
    let (head, rest) = text.split_once("# The operators that").unwrap();
    let (_, tail) = rest.split_once("# CERT.DPauth").unwrap();
    // A second time, the sections of before go.
    let text = format!("{head}# The operators that\n{sections}\n# CERT.DPauth{tail}");
    std::fs::write(dir.join("smdp.toml"), text).unwrap();
}

/// What a client with this certificate hears: status and answer; none where TLS refuses it.
async fn ask<F: Function>(
    dir: &Path,
    es2: &str,
    certificate: Option<&str>,
    request: &F,
) -> Option<(u16, Value)> {
    let files = certificate.map(|name| {
        let file = |end: &str| dir.join(format!("{name}.{end}"));
        (file("pem"), file("key"))
    });
    let identity = files.as_ref().map(|(c, k)| (c.as_path(), k.as_path()));
    let client = client(&dir.join("ca.pem"), identity);
    let url = format!("https://{es2}{}", F::PATH);
    let response = client.post(url).json(request).send().await.ok()?;
    let status = response.status().as_u16();
    Some((status, response.json().await.unwrap_or(Value::Null)))
}

/// `Executed-Success`, or subject and reason of the refusal.
fn result(answer: &Value) -> String {
    let status = &answer["header"]["functionExecutionStatus"];
    let data = &status["statusCodeData"];
    match data["subjectCode"].as_str() {
        Some(subject) => format!("{subject}/{}", data["reasonCode"].as_str().unwrap()),
        None => status["status"].as_str().unwrap().into(),
    }
}

/// A request that every operator may make and that orders nothing.
fn probe() -> DownloadOrderRequest {
    DownloadOrderRequest {
        iccid: Text::new("8900000000000000000"),
        ..Default::default()
    }
}

/// How a caller fares: admitted, refused with 403, or refused by TLS.
async fn fares(dir: &Path, es2: &str, certificate: Option<&str>) -> &'static str {
    match ask(dir, es2, certificate, &probe()).await {
        None => "TLS",
        Some((403, answer)) => {
            assert_eq!(result(&answer), "1.1/1.1", "{certificate:?}");
            "403"
        }
        Some((200, answer)) => {
            assert_eq!(result(&answer), "8.2.1/3.9", "{certificate:?}");
            "admitted"
        }
        Some(other) => panic!("{certificate:?}: {other:?}"),
    }
}

#[tokio::test]
async fn only_named_operators_may_order() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    site(dir);
    let [first, second, rogue] = ["first", "second", "rogue"].map(authority);
    std::fs::write(dir.join("ca.pem"), first.pem() + &second.pem()).unwrap();
    issue(dir, "server", Some("smdp"), &first);
    let old = issue(dir, "old", Some("msp"), &first);
    let new = issue(dir, "new", Some("msp-2027"), &first);
    let pinned = issue(dir, "pinned", None, &first);
    let renamed = issue(dir, "renamed", Some("other"), &first);
    issue(dir, "named", Some("other-msp"), &first);
    issue(dir, "car", Some(EID_DIGITS), &first);
    issue(dir, "cmp", Some("cmp"), &first);
    issue(dir, "twin", Some("msp"), &second);
    issue(dir, "nameless", None, &first);
    issue(dir, "foreign", Some("msp"), &rogue);
    let rest = format!(
        "[[operator]]\nname = \"Pinned\"\ncertificate_sha256 = \"{pinned}\"\n\
         [[operator]]\ncommon_name = \"other-msp\"\n"
    );
    // Before, during and after the rotation of the first operator's certificate, and with nobody named.
    for (stage, one) in [
        (
            "old",
            format!("common_name = \"msp\"\ncertificate_sha256 = [\"{old}\", \"{renamed}\"]"),
        ),
        (
            "both",
            format!(
                "common_name = [\"msp-2027\", \"msp\"]\ncertificate_sha256 = [\"{new}\", \"{old}\", \"{renamed}\"]"
            ),
        ),
        (
            "new",
            format!("common_name = \"msp-2027\"\ncertificate_sha256 = \"{new}\""),
        ),
        ("nobody", String::new()),
    ] {
        let sections = match stage {
            "nobody" => String::new(),
            _ => format!("[[operator]]\nname = \"One\"\n{one}\n{rest}"),
        };
        operators(dir, &sections);
        let check = program(dir)
            .args(["check-config", "--config", "smdp.toml"])
            .output()
            .unwrap();
        assert!(check.status.success(), "{check:?}");
        let (_running, _, es2) = start(dir);
        let admitted = |stages: &[&str]| match stages.contains(&stage) {
            true => "admitted",
            false => "403",
        };
        let all = ["old", "both", "new"];
        for (certificate, expected) in [
            (Some("old"), admitted(&all[..2])),
            (Some("new"), admitted(&all[1..])),
            (Some("pinned"), admitted(&all)),
            (Some("named"), admitted(&all)),
            // The right name from another CA of the file, and a hash of the list under the wrong name.
            (Some("twin"), "403"),
            (Some("renamed"), "403"),
            (Some("nameless"), "403"),
            // Others that the CA knows.
            (Some("car"), "403"),
            (Some("cmp"), "403"),
            (Some("server"), "403"),
            // Of no CA of the file, and no certificate at all.
            (Some("foreign"), "TLS"),
            (None, "TLS"),
        ] {
            let got = fares(dir, &es2, certificate).await;
            assert_eq!(got, expected, "{stage}: {certificate:?}");
        }
        // Nor does a stranger learn which paths there are.
        let car = client(
            &dir.join("ca.pem"),
            Some((&dir.join("car.pem"), &dir.join("car.key"))),
        );
        let other = car.get(format!("https://{es2}/")).send().await.unwrap();
        assert_eq!(other.status(), 403);
    }
}

#[tokio::test]
async fn an_order_is_its_operators_alone() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    site(dir);
    let ca = authority("ca");
    std::fs::write(dir.join("ca.pem"), ca.pem()).unwrap();
    for name in ["server", "one", "one-new", "two"] {
        issue(dir, name, Some(name), &ca);
    }
    operators(
        dir,
        "[[operator]]\nname = \"One\"\ncommon_name = [\"one-new\", \"one\"]\nrequester = \"1.2.3\"\n\
         [[operator]]\ncommon_name = \"two\"\n",
    );
    let (_running, _, es2) = start(dir);
    let header = |requester: &str| RequestHeader {
        function_requester_identifier: Text::new(requester).unwrap(),
        function_call_identifier: Text::new("call-1").unwrap(),
    };
    let iccid = Text::new(ICCID).unwrap();
    let download = |requester| DownloadOrderRequest {
        header: header(requester),
        eid: Text::new(EID_DIGITS),
        iccid: Text::new(ICCID),
        profile_type: None,
    };
    let confirm = |requester| ConfirmOrderRequest {
        header: header(requester),
        iccid: iccid.clone(),
        ..Default::default()
    };
    let release = |requester| ReleaseProfileRequest {
        header: header(requester),
        iccid: iccid.clone(),
    };
    let cancel = |requester| CancelOrderRequest {
        header: header(requester),
        eid: Text::new(EID_DIGITS),
        iccid: iccid.clone(),
        matching_id: None,
        final_profile_status_indicator: FinalProfileStatus::Unavailable,
    };
    let state = || {
        let out = program(dir)
            .args(["order", "list", "--json", "--config", "smdp.toml"])
            .output()
            .unwrap();
        let orders: Value = serde_json::from_slice(&out.stdout).unwrap();
        orders[0]["state"].clone()
    };
    /// Calls all of a list as somebody who may not, and expects one refusal.
    macro_rules! refused {
        ($certificate:literal, $requester:literal, $codes:literal, $($request:ident),+) => {$(
            let (_, answer) = ask(dir, &es2, Some($certificate), &$request($requester)).await.unwrap();
            assert_eq!(result(&answer), $codes, "{}: {}", stringify!($request), $certificate);
        )+};
    }
    macro_rules! done {
        ($certificate:literal, $request:ident) => {
            let (_, answer) = ask(dir, &es2, Some($certificate), &$request("1.2.3"))
                .await
                .unwrap();
            assert_eq!(
                result(&answer),
                "Executed-Success",
                "{}",
                stringify!($request)
            );
        };
    }
    // In another's name.
    refused!(
        "one", "1.2.4", "1.1/1.2", download, confirm, release, cancel
    );
    assert_eq!(state(), json!("available"));
    done!("one", download);
    // Also with the identifiers of the operator's own calls, a repetition among them.
    refused!(
        "two",
        "1.2.3",
        "8.2.1/1.2",
        download,
        confirm,
        release,
        cancel
    );
    assert_eq!(state(), json!("linked"));
    // With the operator's next certificate.
    done!("one-new", confirm);
    refused!(
        "two",
        "1.2.3",
        "8.2.1/1.2",
        download,
        confirm,
        release,
        cancel
    );
    refused!("one", "", "1.1/1.2", release, cancel);
    assert_eq!(state(), json!("confirmed"));
    done!("one", release);
    refused!(
        "two",
        "1.2.3",
        "8.2.1/1.2",
        download,
        confirm,
        release,
        cancel
    );
    assert_eq!(state(), json!("released"));
    done!("one-new", cancel);
    assert_eq!(state(), json!("unavailable"));
}
