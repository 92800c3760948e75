//! Which client certificate a partner's list admits.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use aid_id::partner::{Certificate, Several, Shown, admits, certificates, in_common};

fn several(texts: &[&str]) -> Several {
    Several::from(texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>())
}

fn hex(byte: u8) -> String {
    format!("{byte:02x}").repeat(32)
}

fn list(names: &[&str], hashes: &[u8]) -> Vec<Certificate> {
    let hashes: Vec<String> = hashes.iter().map(|b| hex(*b)).collect();
    let hashes: Vec<&str> = hashes.iter().map(String::as_str).collect();
    certificates(&several(names), &several(&hashes)).unwrap()
}

/// Names and hashes of a list, name and hash of a certificate, and whether it is admitted.
type Case<'a> = (&'a [&'a str], &'a [u8], Option<&'a str>, u8, bool);

// R-5.1-5, R-6-5, R-6-6: a name among the names and a hash among the hashes, of those that are given.
#[test]
fn a_certificate_is_judged_by_all_that_is_given() {
    let table: &[Case<'_>] = &[
        // Nobody is named: nobody is admitted.
        (&[], &[], Some("msp"), 1, false),
        (&[], &[], None, 1, false),
        // Names alone.
        (&["msp"], &[], Some("msp"), 1, true),
        (&["msp"], &[], Some("MSP"), 1, false),
        (&["msp"], &[], Some("msp "), 1, false),
        (&["msp"], &[], Some("msp2"), 1, false),
        (&["msp"], &[], None, 1, false),
        (&["new", "old"], &[], Some("new"), 1, true),
        (&["new", "old"], &[], Some("old"), 1, true),
        (&["new"], &[], Some("old"), 1, false),
        // Hashes alone: any name.
        (&[], &[1], Some("anybody"), 1, true),
        (&[], &[1], None, 1, true),
        (&[], &[1], Some("anybody"), 2, false),
        (&[], &[2, 1], None, 1, true),
        (&[], &[2, 1], None, 2, true),
        (&[], &[2], None, 1, false),
        // Both: the name of another CA's certificate does not pass, nor does the hash of another name's.
        (&["msp"], &[1], Some("msp"), 1, true),
        (&["msp"], &[1], Some("msp"), 2, false),
        (&["msp"], &[1], Some("other"), 1, false),
        (&["msp"], &[1], None, 1, false),
        // Both of both during a rotation.
        (&["new", "old"], &[2, 1], Some("new"), 2, true),
        (&["new", "old"], &[2, 1], Some("old"), 1, true),
        (&["new", "old"], &[2, 1], Some("old"), 3, false),
        (&["new"], &[2], Some("old"), 1, false),
    ];
    for (names, hashes, common_name, hash, expected) in table {
        let shown = Shown {
            common_name: *common_name,
            sha256: [*hash; 32],
        };
        let got = admits(&list(names, hashes), shown);
        assert_eq!(got, *expected, "{names:?} {hashes:?} {shown:?}");
    }
}

#[test]
fn what_names_nobody_is_refused() {
    let colons = "AB:".repeat(31) + "ab";
    assert_eq!(
        certificates(&several(&[]), &several(&[&colons])).unwrap(),
        [Certificate::Sha256([0xAB; 32])]
    );
    assert!(
        certificates(&several(&[]), &several(&[]))
            .unwrap()
            .is_empty()
    );
    for name in ["", " ", " msp", "msp ", "a\nb", "\t", "a\u{0}"] {
        let error = certificates(&several(&[name]), &several(&[])).unwrap_err();
        assert!(error.starts_with("common_name"), "{error}");
    }
    let zeros = "0".repeat(64);
    let long = hex(1) + "0";
    for hash in [
        "",
        "ab",
        &zeros,
        &long,
        &"zz".repeat(32),
        &"é".repeat(32),
        &hex(1)[1..],
    ] {
        let error = certificates(&several(&["msp"]), &several(&[hash])).unwrap_err();
        assert!(error.starts_with("certificate_sha256"), "{error}");
    }
}

#[test]
fn two_partners_have_no_certificate_in_common() {
    let common =
        |a: (&[&str], &[u8]), b: (&[&str], &[u8])| in_common(&list(a.0, a.1), &list(b.0, b.1));
    assert!(common((&["a"], &[]), (&["b"], &[])).is_none());
    assert!(
        common((&["a"], &[1]), (&["a"], &[2])).is_none(),
        "hashes keep them apart"
    );
    assert!(
        common((&["a"], &[]), (&["a"], &[2]))
            .unwrap()
            .contains("\"a\"")
    );
    assert!(
        common((&["x", "a"], &[]), (&["a"], &[]))
            .unwrap()
            .contains("\"a\"")
    );
    assert!(
        common((&["a"], &[1]), (&["b"], &[1]))
            .unwrap()
            .contains("0101")
    );
    assert!(
        common((&[], &[3, 1]), (&["b"], &[1]))
            .unwrap()
            .contains("0101")
    );
    assert!(common((&[], &[]), (&[], &[])).is_none());
}

#[test]
fn a_value_is_a_text_or_a_short_list() {
    let read = |json: &str| serde_json::from_str::<Several>(json);
    assert_eq!(read("\"a\"").unwrap(), several(&["a"]));
    assert_eq!(read("[\"a\",\"b\"]").unwrap(), several(&["a", "b"]));
    for bad in ["[]", "[\"a\",\"b\",\"c\",\"d\",\"e\"]", "5", "[5]"] {
        assert!(read(bad).is_err(), "{bad}");
    }
}
