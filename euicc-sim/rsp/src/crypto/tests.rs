//! Known answers for the cryptography.
use super::*;
use crate::testdata;

fn array<const N: usize>(hex: &str) -> [u8; N] {
    hex::decode(hex).unwrap().try_into().unwrap()
}

/// NIST CAVS "ECC CDH Primitive", P-256, count 0.
#[test]
fn ecdh_gives_the_nist_answer() {
    let own = PrivateKey::from_bytes(
        Curve::NistP256,
        array("7d7dc5f71eb29ddaf80d6214632eeae03d9058af1fb6d22ed80badb62bc1a534"),
    );
    let mut point = [4; 65];
    point[1..33].copy_from_slice(&array::<32>(
        "700c48f77f56584c5cc632ca65640db91b6bacce3a4df6b42ce7cc838833d287",
    ));
    point[33..].copy_from_slice(&array::<32>(
        "db71e509e3fd9b060ddb20ba5c51dcc5948d46fbf640dfe0441782cab85fa4ac",
    ));
    let crypto = SoftwareCrypto::new();
    let z = crypto
        .ecdh(
            &own,
            &PublicKey::from_bytes(Curve::NistP256, &point).unwrap(),
        )
        .unwrap();
    assert_eq!(
        z.expose(),
        &array("46fc62106420ff012e54a434fbdd2d25ccc5852060561e68040dd7778997bd7b")
    );
    assert_eq!(
        crypto.public_key(&own).unwrap().as_bytes()[1..33],
        array::<32>("ead218590119e8876b29146ff89ca61770c4edbbf97d38ce385ed281d8a6b230")
    );
}

#[test]
fn ecdh_gives_the_answer_of_the_shared_vector() {
    let Some(text) = testdata::text("data/vectors/euicc-rsp-nist/ecdh-p256.txt") else {
        return;
    };
    let lines: alloc::vec::Vec<&str> = text.lines().collect();
    let own = PrivateKey::from_bytes(Curve::NistP256, array(lines[0]));
    let point = hex::decode(lines[1]).unwrap();
    let z = SoftwareCrypto::new()
        .ecdh(
            &own,
            &PublicKey::from_bytes(Curve::NistP256, &point).unwrap(),
        )
        .unwrap();
    assert_eq!(z.expose(), &array(lines[2]));
}

/// RFC 6979 A.2.5: P-256 with SHA-256, message "sample".
#[test]
fn signatures_are_the_deterministic_ones_of_rfc6979() {
    let key = PrivateKey::from_bytes(
        Curve::NistP256,
        array("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721"),
    );
    let crypto = SoftwareCrypto::new();
    let signature = crypto.sign(&key, &[b"sam", b"ple"]).unwrap();
    assert_eq!(
        hex::encode(signature),
        "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716\
         f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"
    );
    let public = crypto.public_key(&key).unwrap();
    crypto.verify(&public, &[b"sample"], &signature).unwrap();
    assert_eq!(
        crypto.verify(&public, &[b"simple"], &signature),
        Err(CryptoError::Signature)
    );
    assert_eq!(
        crypto.verify(&public, &[b"sample"], &signature[1..]),
        Err(CryptoError::Signature)
    );
    assert_eq!(
        crypto.stats().counts(),
        OpCounts {
            sign: 1,
            verify: 3,
            ecdh: 0,
            keygen: 1
        }
    );
}

/// RFC 7027 A.1: key agreement on brainpoolP256r1.
#[test]
fn ecdh_on_brainpool_gives_the_answer_of_rfc7027() {
    let curve = Curve::BrainpoolP256r1;
    let alice = PrivateKey::from_bytes(
        curve,
        array("81db1ee100150ff2ea338d708271be38300cb54241d79950f77b063039804f1d"),
    );
    let bob = PrivateKey::from_bytes(
        curve,
        array("55e40bc41e37e3e2ad25c3c6654511ffa8474a91a0032087593852d3e7d76bd3"),
    );
    let crypto = SoftwareCrypto::new();
    let public = crypto.public_key(&bob).unwrap();
    assert_eq!(
        hex::encode(&public.as_bytes()[1..]),
        "8d2d688c6cf93e1160ad04cc4429117dc2c41825e1e9fca0addd34e6f1b39f7b\
         990c57520812be512641e47034832106bc7d3e8dd0e4c7f1136d7006547cec6a"
    );
    let z = crypto.ecdh(&alice, &public).unwrap();
    assert_eq!(
        z.expose(),
        &array("89afc39d41d3b327814b80940b042590f96556ec91e6ae7939bce31f3a18bf2b")
    );
    // A key on the other curve is no partner, and its bytes are no point of this one.
    let other = crypto.public_key(&PrivateKey::from_bytes(Curve::NistP256, [7; 32]));
    let other = other.unwrap();
    assert_eq!(
        crypto.ecdh(&alice, &other).err(),
        Some(CryptoError::PublicKey)
    );
    let off = PublicKey::from_bytes(curve, other.as_bytes()).unwrap();
    assert_eq!(
        crypto.ecdh(&alice, &off).err(),
        Some(CryptoError::PublicKey)
    );
}

#[test]
fn brainpool_signatures_verify_and_do_not_pass_on_another_curve() {
    let crypto = SoftwareCrypto::new();
    let pair = crypto.generate(Curve::BrainpoolP256r1, &mut testdata::Rng::new(3));
    let signature = crypto.sign(&pair.private, &[b"sample"]).unwrap();
    crypto
        .verify(&pair.public, &[b"sam", b"ple"], &signature)
        .unwrap();
    assert_eq!(
        crypto.verify(&pair.public, &[b"simple"], &signature),
        Err(CryptoError::Signature)
    );
    let nist = crypto.generate(Curve::NistP256, &mut testdata::Rng::new(3));
    assert!(
        crypto
            .verify(&nist.public, &[b"sample"], &signature)
            .is_err()
    );
    let pem = pair.private.to_pkcs8_pem(&pair.public);
    let again = PrivateKey::from_pem(&pem).unwrap();
    assert_eq!(
        (again.curve(), again.expose()),
        (pair.private.curve(), pair.private.expose())
    );
    assert_eq!(
        PublicKey::from_spki(&pair.public.to_spki()),
        Ok(pair.public)
    );
}

#[test]
fn a_point_off_the_curve_is_refused() {
    let crypto = SoftwareCrypto::new();
    let off = PublicKey::from_bytes(Curve::NistP256, &[4; 65]).unwrap();
    let own = PrivateKey::from_bytes(Curve::NistP256, [1; 32]);
    assert_eq!(crypto.ecdh(&own, &off).err(), Some(CryptoError::PublicKey));
    assert_eq!(
        crypto.verify(&off, &[], &[1; 64]),
        Err(CryptoError::PublicKey)
    );
    assert_eq!(
        PublicKey::from_bytes(Curve::NistP256, &[2; 33]),
        Err(CryptoError::PublicKey)
    );
    assert_eq!(
        crypto.sign(&PrivateKey::from_bytes(Curve::NistP256, [0; 32]), &[]),
        Err(CryptoError::PrivateKey)
    );
}

/// X9.63 with SHA-256, GEC 2 style vector of NIST CAVS 12.0 (shared secret 192 bits, no info).
#[test]
fn x963_gives_the_nist_answer() {
    let mut out = [0; 16];
    x963_kdf(
        &hex::decode("96c05619d56c328ab95fe84b18264b08725b85e33fd34f08").unwrap(),
        &[],
        &mut out,
    );
    assert_eq!(hex::encode(out), "443024c3dae66b95e6f5670601558f71");
}

#[test]
fn keys_are_read_from_sec1_and_pkcs8() {
    let crypto = SoftwareCrypto::new();
    let key = PrivateKey::from_bytes(Curve::NistP256, [7; 32]);
    let public = crypto.public_key(&key).unwrap();
    let pkcs8 = key.to_pkcs8_pem(&public);
    assert_eq!(PrivateKey::from_pem(&pkcs8).unwrap().expose(), key.expose());
    let der = key.to_pkcs8_der(&public);
    assert_eq!(
        PrivateKey::from_pem_or_der(&der).unwrap().expose(),
        key.expose()
    );
    assert_eq!(PublicKey::from_spki(&public.to_spki()).unwrap(), public);
    assert_eq!(
        PrivateKey::from_pem("nothing").err(),
        Some(PemError::NoBlock {
            expected: "EC PRIVATE KEY or PRIVATE KEY"
        })
    );
    assert_eq!(
        PrivateKey::from_pem("-----BEGIN EC PRIVATE KEY-----\nAA").err(),
        Some(PemError::Damaged)
    );
}

#[test]
fn test_keys_of_sgp26_load() {
    let Some(text) = testdata::text("data/sgp26/DPpb/SK_S_SM_DPpb_ECDSA_NIST.pem") else {
        return;
    };
    let key = PrivateKey::from_pem(&text).unwrap();
    let point = SoftwareCrypto::new().public_key(&key).unwrap();
    let cert = testdata::bytes("data/sgp26/DPpb/CERT_S_SM_DPpb_ECDSA_NIST.der").unwrap();
    assert!(cert.windows(65).any(|w| w == point.as_bytes()));
}
