//! Given packages of TS.48 and our own, when parsed, then the fields are those of their value notation.
use super::builder::{Algorithm, ProfileBuilder};
use super::*;
use alloc::{format, vec::Vec};
use proptest::prelude::*;

fn ts48() -> Vec<(std::string::String, Vec<u8>)> {
    let Some(dir) = aid_needs::shared("data/ts48-v7") else {
        return Vec::new();
    };
    let dir = std::fs::read_dir(dir).unwrap();
    dir.flatten()
        .filter(|e| e.path().extension().is_some_and(|x| x == "der"))
        .map(|e| {
            let name = e.file_name().to_string_lossy().into_owned();
            (name, std::fs::read(e.path()).unwrap())
        })
        .collect()
}

fn own() -> Vec<u8> {
    let mut b = ProfileBuilder::new(
        "8988123456789012345",
        "001010123456789",
        Algorithm::Milenage {
            k: [1; 16],
            opc: [2; 16],
        },
    );
    b.smsp = Some("49170123456".into());
    b.build().unwrap()
}

#[test]
fn ts48_packages_parse() {
    for (name, der) in ts48() {
        let pes = elements(&der).unwrap_or_else(|e| panic!("{name}: {e}"));
        let ProfileElement::Header(h) = &pes[0] else {
            panic!("{name}: no header")
        };
        assert_eq!(h.iccid_digits(), "89000123456789012341");
        assert_eq!(
            h.profile_type.as_deref(),
            Some("GSMA Generic eUICC Test Profile")
        );
        assert!(h.requires(17) && !h.requires(4));
        let aka: Vec<_> = pes
            .iter()
            .filter_map(|p| match p {
                ProfileElement::AkaParameter(_, a) => Some(a),
                _ => None,
            })
            .collect();
        assert_eq!(aka.len(), 2, "{name}");
        let AkaConfiguration::Algorithm(a) = &aka[0].configuration else {
            panic!("{name}")
        };
        assert_eq!(a.algorithm, AkaAlgorithm::UsimTest);
        assert_eq!(a.key, (0..16).collect::<Vec<u8>>());
        assert_eq!((aka[0].sqn_options, aka[0].sqn_delta), (2, 0x1000_0000));
        assert!(matches!(pes.last(), Some(ProfileElement::End(_))));
    }
}

#[test]
fn own_package_parses() {
    let der = own();
    crate::tlv::validate(&der).unwrap();
    let pes = elements(&der).unwrap();
    assert_eq!(pes.len(), 9);
    assert_eq!(
        ProfileHeader::of_package(&der).unwrap().iccid_digits(),
        "8988123456789012345"
    );
    let wrong = ProfileBuilder::new("89", "001010123456789", Algorithm::UsimTest { k: [0; 16] });
    assert!(wrong.build().unwrap_err().to_string().contains("iccid"));
}

#[test]
fn a_file_that_is_not_saip_is_named_so() {
    let e = elements(b"PK\x03\x04 not a profile").unwrap_err();
    assert!(format!("{e}").contains("not a SAIP profile package: at offset 0"));
    let der = own();
    assert!(matches!(
        elements(&der[..der.len() - 4]),
        Err(SaipError::Truncated { .. })
    ));
    assert!(elements(&[]).is_err());
}

#[test]
fn splitter_gives_the_same_elements_for_any_pieces() {
    let der = own();
    let whole = elements(&der).unwrap();
    for size in [1, 7, 120, 1000] {
        let mut s = PeSplitter::new();
        let mut got = Vec::new();
        for piece in der.chunks(size) {
            s.push(piece);
            while let Some(pe) = s.next_pe().unwrap() {
                got.push(ProfileElement::parse(&pe).unwrap());
            }
        }
        s.finish().unwrap();
        assert_eq!(got, whole);
    }
}

proptest! {
    #[test]
    fn mutated_packages_never_panic(edits in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..8), pick in any::<u8>()) {
        let mut all = ts48();
        all.push((std::string::String::new(), own()));
        let n = usize::from(pick) % all.len();
        let mut der = all.swap_remove(n).1;
        for (at, b) in edits {
            let at = usize::from(at) % der.len();
            der[at] = b;
        }
        let _ = elements(&der);
    }
}
