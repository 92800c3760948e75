//! Keys in files: names, modes, pairs, destruction.

use super::*;
use std::os::unix::fs::PermissionsExt as _;

const EID: &str = "89049032000000000000000000000001";

fn certificate(key: &KeyPair) -> CertificateDer<'static> {
    let params = CertificateParams::new(vec!["localhost".into()]).expect("params");
    params.self_signed(key).expect("certificate").der().clone()
}

#[test]
fn a_key_in_a_file_is_generated_used_and_destroyed() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("vehicle.key.pem");
    let store = KeyStore::new(KeyName::File(file.clone()));
    let first = KeyPair::generate().expect("key");
    std::fs::write(&file, first.serialize_pem()).expect("write");
    let request = store.request(&mut RealDisk, EID, &[]).expect("request");
    let next = Slot::Next.beside(&file);
    let mode = std::fs::metadata(&next).expect("made").permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    let next_key = KeyPair::from_pem(&std::fs::read_to_string(&next).expect("key")).expect("key");
    let spki = rcgen::PublicKeyData::subject_public_key_info(&next_key);
    assert_eq!(
        aid_cli::certificate::request_key(&request),
        Some(spki.as_slice())
    );
    store
        .signer(Slot::Current, &certificate(&first))
        .expect("pair");
    store
        .signer(Slot::Next, &certificate(&next_key))
        .expect("pair");
    let error = store
        .signer(Slot::Next, &certificate(&first))
        .expect_err("another");
    assert!(error.to_string().contains("another certificate"), "{error}");
    store.destroy().expect("destroyed");
    assert!(!file.exists() && !next.exists());
    store.destroy().expect("nothing is left");
}

#[test]
fn a_name_is_a_path_or_a_uri() {
    let file: KeyName = "vehicle.key.pem".parse().expect("path");
    assert_eq!(file, KeyName::File("vehicle.key.pem".into()));
    let uri = "pkcs11:token=t;object=v?module-path=/m.so&pin-source=pin";
    let mut token: KeyName = uri.parse().expect("URI");
    token.resolve(Path::new("/etc/aid/agent.toml"));
    assert_eq!(token.secret_file(), Some(Path::new("/etc/aid/pin")));
    assert!("pkcs11:token=t".parse::<KeyName>().is_err());
}
