//! Against SoftHSM: keys are made, found, used in TLS and destroyed; PINs are not tried until a token locks.

use super::*;
use crate::keys::{KeyName, KeyStore, RealDisk, Slot as KeySlot};
use aid_cli::certificate::public_key;
use aid_cli::tls;
use aid_needs::Need;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, IsCa, Issuer,
    KeyPair,
};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use tokio_rustls::{TlsAcceptor, TlsConnector};

const EID: &str = "89049032000000000000000000000001";
const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
/// SoftHSM finds its tokens by its configuration, which it reads once in a process.
const CONF: &str = "SOFTHSM2_CONF";
/// The folder of the test, for the process that has the configuration.
const FOLDER: &str = "AID_TEST_SOFTHSM";

#[test]
fn signatures_are_minimal_integers() {
    let mut raw = [0; 64];
    raw[31] = 0x7F;
    raw[32] = 0x80;
    let der = ecdsa_der(&raw).expect("64 bytes");
    let mut expected = vec![0x30, 38, 2, 1, 0x7F, 2, 33, 0, 0x80];
    expected.extend([0; 31]);
    assert_eq!(der, expected);
    assert_eq!(ecdsa_der(&[0; 64]), Some(vec![0x30, 6, 2, 1, 0, 2, 1, 0]));
    assert_eq!(ecdsa_der(&raw[..63]), None);
}

#[test]
fn a_token_holds_the_keys() {
    let found = Command::new("softhsm2-util").arg("--version").output();
    if found.is_err() || !Path::new(MODULE).exists() {
        aid_needs::missing(Need::Softhsm, "softhsm2-util or its library");
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let tokens = folder.path().join("tokens");
    std::fs::create_dir(&tokens).expect("folder");
    let conf = folder.path().join("softhsm2.conf");
    let text = format!(
        "directories.tokendir = {}\nlog.level = ERROR\n",
        tokens.display()
    );
    std::fs::write(&conf, text).expect("write");
    for label in ["TCU 1", "second"] {
        let made = Command::new("softhsm2-util")
            .args([
                "--init-token",
                "--free",
                "--label",
                label,
                "--pin",
                "1234",
                "--so-pin",
                "5678",
            ])
            .env(CONF, &conf)
            .output()
            .expect("softhsm2-util");
        assert!(made.status.success(), "{made:?}");
    }
    let run = Command::new(std::env::current_exe().expect("this test"))
        .args([
            "--exact",
            "keys::token::tests::in_a_process_with_tokens",
            "--nocapture",
        ])
        .env(CONF, &conf)
        .env(FOLDER, folder.path())
        .output()
        .expect("this test");
    let said = String::from_utf8_lossy(&run.stdout);
    let error = String::from_utf8_lossy(&run.stderr);
    assert!(
        run.status.success() && said.contains("1 passed"),
        "{said}{error}"
    );
}

struct Bench {
    folder: PathBuf,
    ca: Issuer<'static, KeyPair>,
}

impl Bench {
    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn pin(&self, name: &str, pin: &str) -> PathBuf {
        let file = self.file(name);
        aid_cli::private::write(&file, format!("{pin}\n").as_bytes()).expect("write");
        file
    }

    fn uri(&self, token: &str, pin: &Path) -> TokenUri {
        let pin = pin.display();
        let text = format!("token={token};object=vehicle?module-path={MODULE}&pin-source={pin}");
        TokenUri::parse(&text).expect("URI")
    }

    /// The certificate of a request; its signature is verified.
    fn certify(&self, request: &[u8]) -> CertificateDer<'static> {
        let asked = CertificateSigningRequestParams::from_der(&request.into()).expect("signed");
        let mut params = CertificateParams::new(vec![]).expect("params");
        params.distinguished_name.push(DnType::CommonName, EID);
        let signed = params.signed_by(&asked.public_key, &self.ca);
        signed.expect("certificate").der().clone()
    }
}

fn bench(folder: PathBuf) -> Bench {
    let mut params = CertificateParams::new(vec!["localhost".into()]).expect("params");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("key");
    let ca = params.self_signed(&key).expect("CA").pem();
    std::fs::write(folder.join("ca.pem"), ca).expect("write");
    let ca = Issuer::new(params, key);
    let key = KeyPair::generate().expect("key");
    let server = CertificateParams::new(vec!["localhost".into()]).expect("params");
    let server = server.signed_by(&key, &ca).expect("certificate").pem();
    std::fs::write(folder.join("server.pem"), server).expect("write");
    std::fs::write(folder.join("server.key"), key.serialize_pem()).expect("write");
    Bench { folder, ca }
}

/// A handshake in which the client shows this certificate.
fn handshake(bench: &Bench, own: &CertificateDer<'static>, key: Arc<dyn SigningKey>) {
    let identity = SingleCertAndKey::from(CertifiedKey::new(vec![own.clone()], key));
    let ca = bench.file("ca.pem");
    let client = tls::client_config_by(&ca, Arc::new(identity)).expect("client");
    let (cert, key) = (bench.file("server.pem"), bench.file("server.key"));
    let server = tls::server_config(&cert, &key, Some(&ca)).expect("server");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("runtime");
    runtime.block_on(async {
        let (near, far) = tokio::io::duplex(1 << 16);
        let name = ServerName::try_from("localhost").expect("name");
        let (accepted, connected) = tokio::join!(
            TlsAcceptor::from(server).accept(near),
            TlsConnector::from(client).connect(name, far),
        );
        connected.expect("the server's certificate");
        accepted.expect("the client's certificate and signature");
    });
}

#[test]
fn in_a_process_with_tokens() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let bench = bench(folder.into());
    keys_are_made_found_and_destroyed(&bench);
    pins_are_not_tried_again(&bench);
}

fn keys_are_made_found_and_destroyed(bench: &Bench) {
    let pin = bench.pin("pin", "1234");
    let uri = bench.uri("TCU%201", &pin);
    let store = KeyStore::new(KeyName::Token(uri.clone()));
    let request = store.request(&mut RealDisk, EID, &[]).expect("first key");
    let first = bench.certify(&request);
    let key = store.signer(KeySlot::Current, &first).expect("its key");
    handshake(bench, &first, Arc::clone(&key));
    // All sessions are logged out, as after a reset of the token; the next signature opens another.
    session(&uri)
        .expect("session")
        .logout()
        .expect("logged out");
    handshake(bench, &first, key);
    // The second key is given up, the third one takes its place; the first one stays.
    let keep = [public_key(&first).expect("key").to_vec()];
    let given_up = bench.certify(&store.request(&mut RealDisk, EID, &keep).expect("second"));
    let second = bench.certify(&store.request(&mut RealDisk, EID, &keep).expect("third"));
    let signer = |c: &CertificateDer<'_>| store.signer(KeySlot::Next, c);
    handshake(bench, &second, signer(&second).expect("its key"));
    signer(&first).expect("kept");
    let error = signer(&given_up).expect_err("destroyed");
    assert!(error.to_string().contains("no private key"), "{error}");
    // A private key without its public one is found, too.
    let open = session(&uri).expect("session");
    for public in public_keys(&open, &uri).expect("keys") {
        open.destroy_object(public.handle).expect("destroyed");
    }
    handshake(bench, &second, signer(&second).expect("its key"));
    store.destroy().expect("destroyed");
    signer(&second).expect_err("destroyed");
    let left = private_keys(&open, &uri, None).expect("listed");
    assert!(left.is_empty());
    let absent = bench.uri("nowhere", &pin);
    let error = session(&absent).expect_err("absent").to_string();
    assert!(
        error.contains("is not there") && error.contains("nowhere"),
        "{error}"
    );
}

fn pins_are_not_tried_again(bench: &Bench) {
    let pin = bench.pin("other-pin", "0000");
    let uri = bench.uri("second", &pin);
    let error = session(&uri).expect_err("wrong PIN").to_string();
    assert!(error.contains("refused the PIN"), "{error}");
    // The right PIN in a file that looks the same: that it is refused shows that it was not tried.
    let changed = std::fs::metadata(&pin)
        .and_then(|m| m.modified())
        .expect("time");
    bench.pin("other-pin", "1234");
    let file = std::fs::File::options()
        .write(true)
        .open(&pin)
        .expect("file");
    file.set_modified(changed).expect("time");
    let error = session(&uri).expect_err("not tried").to_string();
    assert!(error.contains("not tried again"), "{error}");
    // Nor by the next process.
    REFUSED
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clear();
    session(&uri).expect_err("noted on disk");
    file.set_modified(changed + Duration::from_secs(1))
        .expect("time");
    session(&uri).expect("the file has changed");
    assert!(!mark(&pin).exists());
    let open = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(&pin, open).expect("mode");
    let error = session(&uri).expect_err("open to others").to_string();
    assert!(error.contains("0644"), "{error}");
}
