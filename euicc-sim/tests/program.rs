//! Given the program with a minted PKI, when clients talk to it, then it is a card that survives.
// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

use aid_rsp::crypto::SoftwareCrypto;
use aid_rsp::pki::{MintParams, RspPki};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

const EID: [u8; 16] = [
    0x89, 0x04, 0x90, 0x32, 0x12, 0x34, 0x51, 0x23, 0x45, 0x12, 0x34, 0x56, 0x78, 0x90, 0x12, 0x35,
];

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_euicc-sim"));
    command.env_remove("AID_TRACE").env_remove("AID_LOG");
    command
}

/// A folder with certificates and `euicc.toml`.
fn folder(listen: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let crypto = SoftwareCrypto::new();
    let params = MintParams::loopback(&EID, 1_700_000_000, 2_000_000_000);
    let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
    let pki = RspPki::mint(&params, &crypto, &mut rng).unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    write("ci.der", &pki.ci.certificate);
    write("eum.der", &pki.eum.certificate);
    write("euicc.der", &pki.euicc.certificate);
    let key = &pki.euicc.key;
    write("key.pem", key.private.to_pkcs8_pem(&key.public).as_bytes());
    let config = format!(
        "nvm = \"euicc.nvm\"\nlisten = \"{listen}\"\neid = \"89049032123451234512345678901235\"\n\
         [certificates]\neum = \"eum.der\"\neuicc = \"euicc.der\"\nkey = \"key.pem\"\nci = [\"ci.der\"]\n"
    );
    write("euicc.toml", config.as_bytes());
    folder
}

struct Served(Child, String);

impl Drop for Served {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn serve(folder: &Path) -> Served {
    let mut child = program()
        .args(["serve", "--log", "warn", "--config"])
        .arg(folder.join("euicc.toml"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    assert!(
        line.contains("\"ready\":true") && line.contains("\"program\":\"euicc-sim\""),
        "{line}"
    );
    let address = line.split("\"apdu\":\"").nth(1).unwrap();
    let address = address.split('"').next().unwrap().to_owned();
    Served(child, address)
}

fn transmit(stream: &mut (impl Read + Write), hex: &str) -> String {
    let apdu = hex::decode(hex).unwrap();
    stream
        .write_all(&(apdu.len() as u16).to_be_bytes())
        .unwrap();
    stream.write_all(&apdu).unwrap();
    let mut len = [0; 2];
    stream.read_exact(&mut len).unwrap();
    let mut answer = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut answer).unwrap();
    hex::encode(answer)
}

const SELECT: &str = "01a4040010a0000005591010ffffffff890000010000";
/// SetDefaultDpAddress "dp.example".
const SET: &str = "81e291000fbf3f0c800a64702e6578616d706c6500";
/// GetEuiccConfiguredAddresses.
const GET: &str = "81e2910003bf3c0000";
const ANSWER: &str = "bf3c0e800a64702e6578616d706c6581009000";

#[test]
fn clients_share_a_card_that_survives_being_killed() {
    let folder = folder("127.0.0.1:0");
    let mut served = serve(folder.path());
    let mut one = TcpStream::connect(&served.1).unwrap();
    let mut two = TcpStream::connect(&served.1).unwrap();
    assert!(transmit(&mut one, "04").starts_with("3b9f"));
    assert_eq!(transmit(&mut one, "0070000001"), "019000");
    // The channel is the card's, whoever opened it.
    assert!(transmit(&mut two, SELECT).ends_with("9000"));
    assert_eq!(transmit(&mut one, SET), "bf3f038001009000");
    served.0.kill().unwrap();
    served.0.wait().unwrap();
    let again = serve(folder.path());
    let mut one = TcpStream::connect(&again.1).unwrap();
    assert_eq!(transmit(&mut one, GET), "6881");
    assert_eq!(transmit(&mut one, "0070000001"), "019000");
    transmit(&mut one, SELECT);
    assert_eq!(transmit(&mut one, GET), ANSWER);
    // A reset closes the channel; it has no answer.
    one.write_all(&[0, 1, 2]).unwrap();
    assert_eq!(transmit(&mut one, GET), "6881");
    // A client that sends nonsense loses only its connection.
    two = TcpStream::connect(&again.1).unwrap();
    two.write_all(&[0, 0]).unwrap();
    assert_eq!(two.read(&mut [0; 8]).unwrap(), 0);
    assert!(transmit(&mut one, "04").starts_with("3b9f"));
}

#[test]
fn a_unix_socket_is_taken_over_when_nobody_answers() {
    let folder = folder("./card.sock");
    let served = serve(folder.path());
    let path = folder.path().join("card.sock");
    let mut client = UnixStream::connect(&path).unwrap();
    assert_eq!(transmit(&mut client, "00a4000c023f00"), "9000");
    drop(served);
    assert!(path.exists());
    let served = serve(folder.path());
    let output = program()
        .args([
            "apdu",
            "--socket",
            &served.1,
            "reset",
            "atr",
            "00 A4 00 0C 02 3F 00",
        ])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.starts_with("3B9F") && text.ends_with("\n9000\n"),
        "{text}"
    );
}

fn sentence(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty());
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(text.trim_end().lines().count(), 1, "{text}");
    text
}

#[test]
fn every_wrong_set_up_is_one_sentence() {
    let folder = folder("127.0.0.1:0");
    let file = folder.path().join("euicc.toml");
    let good = std::fs::read_to_string(&file).unwrap();
    let fails = |from: &str, to: &str| {
        assert!(good.contains(from));
        std::fs::write(&file, good.replace(from, to)).unwrap();
        let output = program()
            .args(["serve", "--log", "off", "--config"])
            .arg(&file)
            .output();
        sentence(&output.unwrap())
    };
    let text = fails("678901235", "678901236");
    assert!(
        text.contains("89049032123451234512345678901235")
            && text.contains("89049032123451234512345678901236"),
        "{text}"
    );
    assert!(fails("\"8904", "\"904").contains("32 digits"));
    assert!(fails("key.pem", "no.pem").contains("no.pem"));
    assert!(fails("key.pem", "ci.der").contains("ci.der"));
    assert!(fails("key = ", "kee = ").contains("kee"));
    assert!(fails("[\"ci.der\"]", "[]").contains("certificates.ci"));
    assert!(fails("\"euicc.nvm\"", "\"ci.der\"").contains("not the memory"));
    assert!(fails("127.0.0.1:0", "/nowhere/card.sock").contains("/nowhere/card.sock"));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    assert!(fails("127.0.0.1:0", &address).contains(&address));
    // The memory of another card.
    std::fs::write(&file, &good).unwrap();
    drop(serve(folder.path()));
    let output = program()
        .args(["check-config", "--log", "off", "--config"])
        .arg(&file)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn the_example_is_a_configuration() {
    let output = program().arg("example-config").output().unwrap();
    assert!(output.status.success());
    let folder = folder("127.0.0.1:0");
    let text = String::from_utf8(output.stdout).unwrap();
    let text = text
        .replace("EUM/CERT_EUM_ECDSA_NIST.der", "eum.der")
        .replace("eUICC/CERT_EUICC_ECDSA_NIST.der", "euicc.der")
        .replace("eUICC/SK_EUICC_ECDSA_NIST.pem", "key.pem")
        .replace("CertificateIssuer/CERT_CI_ECDSA_NIST.der", "ci.der");
    std::fs::write(folder.path().join("euicc.toml"), text).unwrap();
    let output = program()
        .args(["check-config", "--config"])
        .arg(folder.path().join("euicc.toml"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn wrong_check_digits_of_an_eid_are_a_warning_or_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = "89049032123451234512345678901236";
    let check = |eid: &str, strict: bool| {
        let config = folder.path().join("card.toml");
        let text = format!("nvm = \"new.nvm\"\neid = \"{eid}\"\nstrict_eid = {strict}\n");
        std::fs::write(&config, text).unwrap();
        let pki = folder.path().join(eid);
        let output = program()
            .args(["mint-pki", "--eid", eid, "--dir"])
            .arg(&pki)
            .output()
            .unwrap();
        // The second time there is a PKI already.
        let warned = String::from_utf8(output.stderr).unwrap();
        assert_eq!(warned.contains("check digits"), eid == wrong, "{warned}");
        let output = program()
            .args(["check-config", "--config"])
            .arg(&config)
            .arg("--pki")
            .arg(&pki)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        (output.status.success(), said)
    };
    let (ok, said) = check("89049032123451234512345678901235", true);
    assert!(ok && !said.contains("check digits"), "{said}");
    let (ok, said) = check(wrong, false);
    assert!(
        ok && said.contains("check digits") && said.contains(wrong),
        "{said}"
    );
    let (ok, said) = check(wrong, true);
    assert!(
        !ok && said.contains("correct the last two digits"),
        "{said}"
    );
}
