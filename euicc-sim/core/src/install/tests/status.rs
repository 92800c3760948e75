//! Given an element that this card can't install, then the PEStatus is the specification's.
use super::{element, gfm, install, own, own_elements, own_with};
use crate::install::code;
use aid_rsp::tlv::Writer;
use alloc::{vec, vec::Vec};

#[track_caller]
fn refused(package: &[u8]) -> (u16, Option<u16>) {
    let status = install(package).unwrap_err();
    (status.status, status.identification)
}

/// Our own package with another header: SAIP version, services, templates, AIDs.
fn header(major: u8, services: &[u8], templates: &[&[u8]], aid: bool) -> Vec<u8> {
    let mut w = Writer::new();
    w.constructed(0xA0, |w| {
        w.uint(0x80, major.into()).uint(0x81, 3);
        w.primitive(0x83, &[0x89; 10]);
        w.constructed(0xA5, |w| {
            for n in services {
                if *n < 31 {
                    w.primitive(0x80 | u32::from(*n), &[]);
                } else {
                    w.primitive(0x9F00 | u32::from(*n), &[]);
                }
            }
        });
        w.constructed(0xA6, |w| {
            for t in templates {
                w.primitive(0x06, t);
            }
        });
        if aid {
            w.constructed(0xA8, |w| {
                w.constructed(0x30, |w| {
                    w.primitive(0x80, &[0xA0, 0, 0, 0, 1]);
                    w.primitive(0x81, &[1, 0]);
                });
            });
        }
    });
    let mut all = own_elements();
    all[0] = w.into_vec();
    all.concat()
}

const T1: &[u8] = &[0x67, 0x81, 0x0F, 0x01, 0x02, 1];

#[test]
fn what_the_header_demands_is_checked() {
    let ok = header(
        3,
        &[1, 2, 3, 4, 5, 16, 17, 18, 19, 21, 22, 23],
        &[T1],
        false,
    );
    assert!(install(&ok).is_ok());
    for major in [0, 1, 4] {
        let status = refused(&header(major, &[1], &[T1], false));
        assert_eq!(status, (code::UNSUPPORTED_VERSION, Some(0)));
    }
    // contactless, CAVE, GBA, MBMS, EAP, CAT-TP, APIs, DNS, SCP11, S16, eAKA, and one of the future.
    for service in [0, 6, 7, 8, 9, 10, 20, 24, 25, 26, 27, 28, 29, 30, 45, 99] {
        let status = refused(&header(2, &[1, service], &[T1], false));
        assert_eq!(status.0, code::FEATURE_NOT_SUPPORTED, "{service}");
    }
    // Java Card, MULTOS.
    for service in [11, 12] {
        let status = refused(&header(2, &[service], &[T1], false));
        assert_eq!(status.0, code::RUNTIME_NOT_SUPPORTED);
    }
    let unknown: [&[u8]; 4] = [
        &[0x67, 0x81, 0x0F, 0x01, 0x02, 17],
        &[0x67, 0x81, 0x0F, 0x01, 0x02, 4, 3],
        &[0x67, 0x81, 0x0F, 0x01, 0x02, 4, 2, 1],
        &[0x67, 0x81, 0x0F, 0x01, 0x03, 1],
    ];
    for template in unknown {
        let status = refused(&header(2, &[1], &[T1, template], false));
        assert_eq!(status.0, code::TEMPLATE_NOT_SUPPORTED, "{template:02X?}");
    }
    let status = refused(&header(2, &[1], &[T1], true));
    assert_eq!(status.0, code::LIB_NOT_SUPPORTED);
}

#[test]
fn elements_that_are_not_supported_are_refused_when_they_are_mandated() {
    let nothing = |_: &mut Writer| {};
    // nonStandard, an element of the future.
    for tag in [0xA9, 0xBF30] {
        let status = refused(&own_with(&[element(tag, true, 77, nothing)]));
        assert_eq!(status, (code::PE_NOT_SUPPORTED, Some(77)), "{tag:X}");
        assert!(install(&own_with(&[element(tag, false, 77, nothing)])).is_ok());
    }
    let status = refused(&own_with(&[element(0xA8, true, 78, nothing)]));
    assert_eq!(status, (code::RUNTIME_NOT_SUPPORTED, Some(78)));
    assert!(install(&own_with(&[element(0xA8, false, 78, nothing)])).is_ok());
    // securityDomain, rfm, cdmaParameter have no effect that anybody could miss.
    for tag in [0xA6, 0xA7, 0xA5] {
        assert!(install(&own_with(&[element(tag, true, 79, nothing)])).is_ok());
    }
    // The IoT minimal profile has templates that this card hasn't.
    let iot = |mandated| {
        element(0xBF20, mandated, 80, |w| {
            w.primitive(0x81, &[0x67, 0x81, 0x0F, 0x01, 0x02, 17]);
        })
    };
    let status = refused(&own_with(&[iot(true)]));
    assert_eq!(status, (code::TEMPLATE_NOT_SUPPORTED, Some(80)));
    assert!(install(&own_with(&[iot(false)])).is_ok());
    // A template in an element that it doesn't belong to.
    let wrong = element(0xB2, true, 81, |w| {
        w.primitive(0x81, T1);
    });
    assert_eq!(refused(&own_with(&[wrong])).0, code::TEMPLATE_NOT_SUPPORTED);
}

/// An AKA parameter with these fields.
fn aka(algorithm: u8, options: u8, key: usize, opc: usize, more: &dyn Fn(&mut Writer)) -> Vec<u8> {
    element(0xA4, true, 82, |w| {
        w.constructed(0xA1, |w| {
            w.constructed(0xA1, |w| {
                w.uint(0x80, algorithm.into()).primitive(0x81, &[options]);
                w.primitive(0x82, &vec![1; key]);
                w.primitive(0x83, &vec![2; opc]);
            });
        });
        more(w);
    })
}

/// Our own package with another AKA parameter.
fn own_aka(aka: Vec<u8>) -> Vec<u8> {
    let mut all = own_elements();
    let at = all.iter().position(|pe| pe[0] == 0xA4).unwrap();
    all[at] = aka;
    all.concat()
}

#[test]
fn bad_values_of_keys_and_codes_are_refused() {
    let none = |_: &mut Writer| {};
    assert!(install(&own_aka(aka(2, 0x01, 16, 32, &none))).is_ok());
    assert!(install(&own_aka(aka(2, 0x53, 32, 32, &none))).is_ok());
    let bad = [
        aka(1, 1, 15, 16, &none),
        aka(1, 1, 16, 32, &none),
        aka(2, 1, 24, 32, &none),
        aka(2, 1, 16, 16, &none),
        // RES and MAC of lengths that there are not.
        aka(2, 0x04, 16, 32, &none),
        aka(2, 0x18, 16, 32, &none),
        // sqnDelta above 43 bits.
        aka(1, 1, 16, 16, &|w| {
            w.primitive(0x83, &[0x08, 0, 0, 0, 0, 0]);
        }),
    ];
    for pe in bad {
        let status = refused(&own_aka(pe));
        assert_eq!(status, (code::BAD_VALUES, Some(82)));
    }
    let pin = |key: u8, puk: Option<u8>, attempts: u8| {
        element(0xA2, true, 83, |w| {
            w.constructed(0xA1, |w| {
                w.constructed(0xA0, |w| {
                    w.constructed(0x30, |w| {
                        w.uint(0x80, key.into()).primitive(0x81, &[0x31; 8]);
                        if let Some(puk) = puk {
                            w.uint(0x82, puk.into());
                        }
                        w.uint(0x84, attempts.into());
                    });
                });
            });
        })
    };
    assert!(install(&own_with(&[pin(2, Some(1), 0x33)])).is_ok());
    for (pe, status) in [
        (pin(9, None, 0x33), code::BAD_VALUES),
        (pin(0x11, None, 0x33), code::BAD_VALUES),
        (pin(2, None, 0x34), code::BAD_VALUES),
        (pin(2, None, 0x00), code::BAD_VALUES),
        // PIN 1 is there already.
        (pin(1, None, 0x33), code::INVALID_PARAMETER),
        // PUK 5 never comes.
        (pin(2, Some(5), 0x33), code::PIN_CODE_MISSING),
    ] {
        assert_eq!(refused(&own_with(&[pe])).0, status);
    }
    // PINs shared with a directory that has none, or is none.
    let shared = |path: &[u8]| {
        element(0xA2, true, 84, |w| {
            w.constructed(0xA1, |w| {
                w.primitive(0x81, path);
            });
        })
    };
    assert!(install(&own_with(&[shared(&[0x3F, 0x00])])).is_ok());
    let nowhere = refused(&own_with(&[shared(&[0x7F, 0x99])]));
    assert_eq!(nowhere.0, code::INVALID_PARAMETER);
    let telecom = element(0xB2, true, 85, |w| {
        w.primitive(0x81, &[0x67, 0x81, 0x0F, 0x01, 0x02, 3]);
        w.constructed(0xA2, |w| {
            w.constructed(0xA1, |w| {
                w.primitive(0xC6, &[1]);
            });
        });
    });
    let empty = refused(&own_with(&[telecom, shared(&[0x7F, 0x10])]));
    assert_eq!(empty, (code::PIN_CODE_MISSING, Some(84)));
}

/// Every PEStatus once; memory-failure is the card's to tell, see the tests of the card.
// R-1.4-1
#[test]
fn every_pe_status_is_there() {
    let nothing = |_: &mut Writer| {};
    let none: &dyn Fn(&mut Writer) = &nothing;
    let lost = gfm(|w| {
        w.primitive(0x80, &[0x5F, 0x11]);
    });
    let large = gfm(|w| {
        w.primitive(0x80, &[0x7F, 0xD0]);
        super::create(w, &[0x41, 0x21], 0x6F99, 1, 0xFFFF);
    });
    let no_puk = element(0xA2, true, 83, |w| {
        w.constructed(0xA1, |w| {
            w.constructed(0xA0, |w| {
                w.constructed(0x30, |w| {
                    w.uint(0x80, 2).primitive(0x81, &[0x31; 8]).uint(0x82, 5);
                });
            });
        });
    });
    let unknown: &[u8] = &[0x67, 0x81, 0x0F, 0x01, 0x02, 17];
    let packages = [
        own_with(&[element(0xA9, true, 77, nothing)]),
        own_aka(aka(1, 1, 15, 16, none)),
        own_with(&[large]),
        b"not a profile".to_vec(),
        own_with(&[lost]),
        own_with(&[element(0xA8, true, 78, nothing)]),
        header(2, &[1], &[T1], true),
        header(2, &[1], &[T1, unknown], false),
        header(2, &[1, 0], &[T1], false),
        own_with(&[no_puk]),
        header(4, &[1], &[T1], false),
    ];
    let mut codes: Vec<u16> = packages.iter().map(|p| refused(p).0).collect();
    codes.push(code::MEMORY_FAILURE);
    codes.sort_unstable();
    assert_eq!(codes, code::ALL);
}

#[test]
fn files_that_can_not_be_are_refused() {
    let path = &[0x7F, 0xD0];
    let make = |descriptor: &'static [u8], fid: u16, size: u16, content: usize| {
        gfm(|w| {
            w.primitive(0x80, path);
            super::create(w, descriptor, fid, 1, size);
            if content > 0 {
                w.primitive(0x81, &vec![7; content]);
            }
        })
    };
    assert!(install(&own_with(&[make(&[0x41, 0x21], 0x6F99, 9, 9)])).is_ok());
    for (pe, status) in [
        // A structure that there is not, records without length.
        (make(&[0x43, 0x21], 0x6F99, 9, 0), code::BAD_VALUES),
        (make(&[0x42, 0x21], 0x6F99, 9, 0), code::BAD_VALUES),
        (make(&[0x42, 0x21, 1, 0], 0x6F99, 9, 0), code::BAD_VALUES),
        // Longer than the file; a file that is there.
        (make(&[0x41, 0x21], 0x6F99, 9, 10), code::INVALID_PARAMETER),
        (make(&[0x41, 0x21], 0x6F07, 9, 0), code::FILE_EXISTS),
        (
            make(&[0x41, 0x21], 0x6F99, 0xFFFF, 0),
            code::NOT_ENOUGH_MEMORY,
        ),
    ] {
        assert_eq!(refused(&own_with(&[pe])), (status, Some(60)));
    }
    // A path that leads nowhere, content before a file.
    let lost = gfm(|w| {
        w.primitive(0x80, &[0x5F, 0x11]);
    });
    assert_eq!(refused(&own_with(&[lost])).0, code::INVALID_PARAMETER);
    let early = gfm(|w| {
        w.primitive(0x81, &[1]);
    });
    assert_eq!(refused(&own_with(&[early])).0, code::INVALID_FORMAT);
    // More content than a profile may have.
    let huge = gfm(|w| {
        w.primitive(0x80, path);
        for n in 0..40u16 {
            super::create(w, &[0x41, 0x21], 0x5F00 + n, 1, 32_000);
        }
    });
    assert_eq!(refused(&own_with(&[huge])).0, code::NOT_ENOUGH_MEMORY);
}

#[test]
fn links_lead_to_files() {
    let link = |fid: u16, target: &'static [u8]| {
        gfm(move |w| {
            w.primitive(0x80, &[0x7F, 0xD0]);
            w.constructed(0x62, |w| {
                w.primitive(0x82, &[0x41, 0x21]);
                w.primitive(0x83, &fid.to_be_bytes());
                w.primitive(0xC7, target);
            });
        })
    };
    let der = own_with(&[
        link(0x6F91, &[0x7F, 0xD0, 0x6F, 0x92]),
        link(0x6F92, &[0x2F, 0xE2]),
    ]);
    let image = install(&der).unwrap();
    let adf = image.application(&[0xA0]).unwrap();
    let iccid = image.walk(0, &[0x2F, 0xE2]).unwrap();
    for fid in [0x6F91, 0x6F92] {
        let file = image.child(adf, fid).unwrap();
        assert_eq!(image.content_of(file), iccid);
    }
    for bad in [
        vec![link(0x6F91, &[0x7F, 0xD0, 0x6F, 0x99])],
        vec![link(0x6F91, &[0x7F, 0xD0, 0x6F, 0x91])],
        // A circle, and an EF that would be a directory.
        vec![
            link(0x6F91, &[0x7F, 0xD0, 0x6F, 0x92]),
            link(0x6F92, &[0x7F, 0xD0, 0x6F, 0x91]),
        ],
        vec![link(0x6F91, &[0x7F, 0xD0])],
    ] {
        assert_eq!(refused(&own_with(&bad)).0, code::INVALID_PARAMETER);
    }
}

#[test]
fn the_order_of_elements_is_checked() {
    let all = own_elements();
    let without = |n: usize| {
        let mut all = all.clone();
        all.remove(n);
        all.concat()
    };
    // No header, no end.
    assert_eq!(refused(&without(0)).0, code::INVALID_FORMAT);
    assert_eq!(refused(&without(all.len() - 1)).0, code::INVALID_FORMAT);
    // No MF; a second one; USIM files without a USIM.
    assert_eq!(refused(&without(1)).0, code::INVALID_FORMAT);
    assert_eq!(
        refused(&own_with(&[all[1].clone()])).0,
        code::INVALID_FORMAT
    );
    let usim = all.iter().position(|pe| pe[0] == 0xB3).unwrap();
    assert_ne!(refused(&without(usim)).0, 0);
    assert_eq!(refused(b"not a profile").0, code::INVALID_FORMAT);
    // An element of a USIM without its mandatory files.
    let bare = element(0xB3, true, 90, |w| {
        w.primitive(0x81, &[0x67, 0x81, 0x0F, 0x01, 0x02, 4]);
    });
    assert_eq!(
        refused(&own_with(&[bare])),
        (code::INVALID_FORMAT, Some(90))
    );
}

#[test]
fn what_a_package_mandates_and_the_card_lacks_is_named() {
    use aid_rsp::saip::ProfileHeader;
    let header = ProfileHeader::of_package(&own()).unwrap();
    assert_eq!(crate::install::not_offered(&header), None);
    let text = |change: &dyn Fn(&mut ProfileHeader)| {
        let mut header = header.clone();
        change(&mut header);
        crate::install::not_offered(&header).unwrap_or_default()
    };
    assert_eq!(
        text(&|h| h.services |= 1 << 11),
        "mandates javacard, which this card does not offer"
    );
    assert_eq!(
        text(&|h| h.services |= 1 << 7 | 1 << 12 | 1 << 40),
        "mandates gba-usim and multos and service 40, which this card does not offer"
    );
    for (change, word) in [
        (
            &(|h: &mut ProfileHeader| h.major = 9) as &dyn Fn(&mut ProfileHeader),
            "version 9",
        ),
        (&|h| h.unknown_services = true, "a service without"),
        (&|h| h.templates.push(std::vec![1, 2]), "template"),
        (&|h| h.mandatory_aids.push(std::vec![0xA0]), "library"),
    ] {
        assert!(text(change).contains(word), "{word}");
    }
}
