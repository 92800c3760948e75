//! A set-up is complete, private, and refused where it would overwrite something.
use super::*;
use std::os::unix::fs::PermissionsExt as _;

#[test]
fn a_set_up_has_everything_and_keeps_its_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::create(folder.path(), Options::default()).unwrap();
    assert_eq!(site.eid.len(), 32);
    for file in [
        "agent.toml",
        "cmp.toml",
        "msp.toml",
        "smdp.toml",
        "euicc.toml",
        "pki/aid/car.key",
        "pki/rsp/eUICC/SK_EUICC_ECDSA_NIST.pem",
    ] {
        let mode = std::fs::metadata(site.path(file))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0, "{file} can be read by others");
    }
    let error = Site::create(folder.path(), Options::default()).unwrap_err();
    assert!(error.text.contains("not empty"), "{error}");
}

#[test]
fn a_file_that_is_no_profile_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("picture.png");
    std::fs::write(&file, b"\x89PNG\r\n\x1a\n").unwrap();
    let dir = folder.path().join("site");
    let options = Options {
        profile: Some(&file),
        ..Options::default()
    };
    let error = Site::create(&dir, options).unwrap_err();
    assert!(error.text.contains("picture.png"), "{error}");
    assert!(error.text.contains("SAIP"), "{error}");
    assert!(!dir.exists());
}

#[test]
fn half_a_set_up_is_taken_away() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("site");
    std::fs::create_dir_all(dir.join("pki/aid")).unwrap();
    std::fs::write(dir.join("pki/aid/ca.pem"), "half").unwrap();
    std::fs::write(dir.join("msp.toml"), "").unwrap();
    // A directory that somebody else made stays.
    empty(&dir, false).unwrap();
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 0);
    empty(&dir, true).unwrap();
    assert!(!dir.exists());
    let error = make_dir(Path::new("/proc/site")).unwrap_err();
    assert!(error.text.contains("/proc/site") && error.text.contains("give a directory"));
}

#[test]
fn iccids_have_a_luhn_digit() {
    for _ in 0..50 {
        let iccid = random::iccid().unwrap();
        let sum: u32 = iccid
            .bytes()
            .rev()
            .enumerate()
            .map(|(at, d)| {
                let n = u32::from(d - b'0') * (1 + at as u32 % 2);
                n / 10 + n % 10
            })
            .sum();
        assert_eq!((iccid.len(), sum % 10), (19, 0), "{iccid}");
    }
}
