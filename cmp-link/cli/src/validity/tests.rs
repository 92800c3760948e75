use super::*;
use rcgen::{CertificateParams, DnType, KeyPair};

const NOW: i64 = 1_795_996_800;

fn minted(name: &str, from: i64, to: i64) -> Vec<u8> {
    let at = |offset: i64| {
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(u64::try_from(offset).unwrap())
    };
    let mut params = CertificateParams::new(vec!["localhost".into()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    (params.not_before, params.not_after) = (at(from), at(to));
    let key = KeyPair::generate().unwrap();
    params.self_signed(&key).unwrap().der().to_vec()
}

fn pem(der: &[u8]) -> String {
    use std::fmt::Write as _;
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in der.chunks(48) {
        for three in line.chunks(3) {
            let bits =
                three.iter().fold(0u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - three.len()));
            for digit in 0..4 {
                let six = (bits >> (18 - 6 * digit) & 63) as usize;
                text.push(match digit <= three.len() {
                    true => char::from(ALPHABET[six]),
                    false => '=',
                });
            }
        }
        text.push('\n');
    }
    let _ = writeln!(text, "-----END CERTIFICATE-----");
    text
}

#[test]
fn dates_are_read_and_written() {
    for (text, seconds) in [
        ("19700101000000Z", 0),
        ("19691231235959Z", -1),
        ("20000229120000Z", 951_825_600),
        ("20261130024629Z", 1_796_006_789),
        ("20991231235959Z", 4_102_444_799),
        ("99991231235959Z", 253_402_300_799),
        ("00010101000000Z", -62_135_596_800),
    ] {
        assert_eq!(time(0x18, text.as_bytes()), Some(seconds), "{text}");
        let date = Date(seconds).to_string();
        assert_eq!(date.replace(['-', ':', 'T'], ""), text);
    }
    assert_eq!(time(0x17, b"491231235959Z"), time(0x18, b"20491231235959Z"));
    assert_eq!(time(0x17, b"500101000000Z"), time(0x18, b"19500101000000Z"));
    for (tag, text) in [
        (0x17, "20261130024629Z"),
        (0x18, "261130024629Z"),
        (0x18, "20261330024629Z"),
        (0x18, "20261100024629Z"),
        (0x18, "20261130244629Z"),
        (0x18, "20261130024629"),
        (0x18, "2026113002462+Z"),
        (0x18, ""),
        (0x0C, "20261130024629Z"),
    ] {
        assert_eq!(time(tag, text.as_bytes()), None, "{text}");
    }
    // Each day of four centuries is the next one's eve.
    let mut before = Date(0).to_string();
    for day in 1..146_097 {
        let text = Date(day * DAY).to_string();
        assert!(text > before, "{text} {before}");
        let number = |at: std::ops::Range<usize>| text[at].parse::<i64>().unwrap();
        assert_eq!(days(number(0..4), number(5..7), number(8..10)), day);
        before = text;
    }
}

#[test]
fn the_days_around_each_edge() {
    let dates = Dates {
        not_before: NOW,
        not_after: NOW + 100 * DAY,
    };
    let at = |seconds| dates.judge(seconds);
    assert_eq!(at(NOW - 1), Verdict::NotYetValid);
    assert_eq!(at(NOW), Verdict::Valid);
    assert_eq!(at(dates.not_after - 31 * DAY), Verdict::Valid);
    assert_eq!(at(dates.not_after - 30 * DAY - 1), Verdict::Valid);
    assert_eq!(at(dates.not_after - 30 * DAY), Verdict::ExpiresSoon(30));
    assert_eq!(at(dates.not_after - 29 * DAY), Verdict::ExpiresSoon(29));
    assert_eq!(at(dates.not_after), Verdict::ExpiresSoon(0));
    assert_eq!(at(dates.not_after + 1), Verdict::Expired);
    assert_eq!(at(i64::MAX), Verdict::Expired);
    assert_eq!(at(i64::MIN), Verdict::NotYetValid);
}

#[test]
fn every_certificate_of_a_file_is_judged() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let file = folder.path().join(name);
        std::fs::write(&file, bytes).unwrap();
        file
    };
    let good = minted("good", NOW - DAY, NOW + 31 * DAY);
    let soon = minted("soon", NOW - DAY, NOW + 29 * DAY);
    let over = minted("over", NOW - 9 * DAY, NOW - 8 * DAY);
    let early = minted("early\u{1b}[31m", NOW + DAY, NOW + 90 * DAY);
    let fine = write("fine.der", &good);
    let bundle = write("bundle.pem", (pem(&good) + &pem(&soon)).as_bytes());
    let key = write(
        "key.pem",
        KeyPair::generate().unwrap().serialize_pem().as_bytes(),
    );
    let junk = write("junk.der", &[0x30, 0x03, 1, 2, 3]);
    let nowhere = folder.path().join("nowhere.pem");
    let harmless = [
        fine.clone(),
        bundle.clone(),
        key,
        junk,
        nowhere,
        bundle.clone(),
    ];
    let warnings = check(&harmless, NOW).unwrap();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("bundle.pem") && warnings[0].contains("in 29 days"));
    assert!(check(&[fine], NOW).unwrap().is_empty());

    let over = write("over.pem", (pem(&good) + &pem(&over)).as_bytes());
    let early = write("early.der", &early);
    let text = check(&[over.clone(), early, bundle], NOW).unwrap_err().text;
    for part in [
        "over.pem (over) expired on 2026-11-22",
        "early.der (early\\u001b[31m) is not valid before 2026-12-01",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!text.contains("soon"), "{text}");
    // The first certificate of a file is the peer's own.
    assert_eq!(own_is_refused(&over, NOW), None);
    assert!(
        own_is_refused(&over, NOW + 40 * DAY)
            .unwrap()
            .contains("over.pem (good)")
    );
}

#[test]
fn damage_is_no_date_and_no_panic() {
    let der = minted("x", NOW, NOW + DAY);
    let dates = Dates::of(&der).unwrap();
    assert_eq!((dates.not_before, dates.not_after), (NOW, NOW + DAY));
    for end in 0..der.len() {
        assert!(end > 200 || Dates::of(&der[..end]).is_none());
        for bit in 0..8 {
            let mut damaged = der.clone();
            damaged[end] ^= 1 << bit;
            if let Some(dates) = Dates::of(&damaged) {
                let _ = (dates.judge(NOW), Date(dates.not_after).to_string());
            }
        }
    }
}

#[test]
fn a_running_program_reports_changes_at_once_and_the_rest_daily() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("own.der");
    std::fs::write(&file, minted("own", NOW - DAY, NOW + 20 * DAY)).unwrap();
    let watched = Certificates::new(vec![file.clone()]);
    assert!(watched.look(NOW));
    assert!(!watched.look(NOW + 3600));
    assert!(!watched.look(NOW + DAY - 1));
    assert!(watched.look(NOW + DAY));
    std::fs::write(&file, minted("own", NOW - DAY, NOW + 200 * DAY)).unwrap();
    assert!(watched.look(NOW + DAY + 1));
    watched.renew(Vec::new(), NOW + DAY + 2);
    assert!(!watched.look(NOW + DAY + 3));
    // The clock was set back.
    assert!(watched.look(NOW));
}
