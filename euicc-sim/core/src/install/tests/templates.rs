//! Given elements that leave things open, then the template decides.
use super::{element, install, own_with};
use crate::fs::{Kind, ProfileImage};
use crate::install::template::Template;
use aid_rsp::tlv::Writer;
use alloc::vec::Vec;

const USIM: [u8; 7] = [0xA0, 0, 0, 0, 0x87, 0x10, 0x02];

fn template(n: &[u8]) -> Vec<u8> {
    [&[0x67, 0x81, 0x0F, 0x01, 0x02], n].concat()
}

fn file<'i>(image: &'i ProfileImage, path: &[u8]) -> &'i crate::fs::Node {
    let adf = image.application(&USIM).unwrap();
    let found = image.walk(adf, path);
    let found = found.unwrap_or_else(|| panic!("{path:02X?} is not there"));
    image.node(found).unwrap()
}

/// An element with a directory and components as they come.
fn pe(tag: u32, oid: &[u8], directory: bool, fill: impl FnOnce(&mut Writer)) -> Vec<u8> {
    element(tag, true, 70, |w| {
        w.primitive(0x81, &template(oid));
        if directory {
            w.constructed(0xA2, |w| {
                w.constructed(0xA1, |w| {
                    w.primitive(0xC6, &[0x01]);
                });
            });
        }
        fill(w);
    })
}

#[test]
fn a_file_without_a_word_has_all_from_its_template() {
    let gsm = pe(0xB8, &[7], true, |w| {
        for n in [0xA3, 0xA4, 0xA5, 0xA6] {
            w.constructed(n, |_| {});
        }
    });
    let image = install(&own_with(&[gsm])).unwrap();
    let kc = file(&image, &[0x5F, 0x3B, 0x4F, 0x20]);
    assert_eq!(
        (kc.kind, kc.sfi, kc.rule),
        (Kind::Transparent, 1, (0x6F06, 5))
    );
    assert_eq!(
        kc.data.to_vec(),
        [255, 255, 255, 255, 255, 255, 255, 255, 7]
    );
    let cpbcch = file(&image, &[0x5F, 0x3B, 0x4F, 0x63]);
    assert_eq!((cpbcch.sfi, cpbcch.data.len()), (0, 10));
    // The USIM's own: created although the element does not mention them.
    let fdn = file(&image, &[0x6F, 0x3B]);
    assert_eq!(
        (fdn.kind, fdn.records(), fdn.record_len),
        (Kind::Linear, 20, 26)
    );
    assert_eq!(file(&image, &[0x6F, 0xC4]).data.to_vec(), [0xFF; 128]);
    // Rules: below the MF and of an ADF in 2F06, others in 6F06.
    let adf = image.application(&USIM).unwrap();
    assert_eq!(image.node(adf).unwrap().rule, (0x2F06, 1));
    assert_eq!(image.node(0).unwrap().fid, 0x3F00);
}

#[test]
fn the_package_overrules_the_template() {
    let df_5gs = |version: u8| {
        pe(0xBC, &[13, version], true, |w| {
            w.constructed(0xA5, |_| {});
            w.constructed(0xAC, |_| {});
            // EF.SUPI_NAI has no size: its content gives it. Half of EF.5GS3GPPLOCI, from byte 3 on.
            w.constructed(0xAB, |w| {
                w.primitive(0x83, b"name@realm");
            });
            w.constructed(0xA3, |w| {
                w.primitive(0x82, &[3]).primitive(0x83, &[1, 2]);
                w.primitive(0x82, &[1]).primitive(0x83, &[3]);
            });
        })
    };
    // DER sorts components; ours may not: the order of the template counts.
    for (version, records, len, routing) in [(3, 2, 62, 0xFF), (4, 2, 62, 0x00)] {
        let image = install(&own_with(&[df_5gs(version)])).unwrap();
        let nsc = file(&image, &[0x5F, 0xC0, 0x4F, 0x03]);
        assert_eq!((nsc.records(), nsc.record_len), (records, len));
        let indicator = file(&image, &[0x5F, 0xC0, 0x4F, 0x0A]);
        assert_eq!(indicator.data.to_vec()[2..], [routing; 2]);
        assert_eq!(
            file(&image, &[0x5F, 0xC0, 0x4F, 0x09]).data.to_vec(),
            b"name@realm"
        );
        let loci = file(&image, &[0x5F, 0xC0, 0x4F, 0x01]);
        assert_eq!(loci.data.to_vec()[..8], [255, 255, 255, 1, 2, 255, 3, 255]);
        assert_eq!(loci.data.len(), 20);
    }
    let optional = pe(0xB4, &[5, 2], false, |w| {
        // EF.ACM (cyclic), EF.LI not created, EF.PLMNwAcT with its repeated pattern, EF.ICI.
        w.constructed(0xA2, |w| {
            w.primitive(0x80, &[]);
        });
        w.constructed(0xA4, |_| {});
        w.constructed(0xAF, |_| {});
        w.constructed(0xBF1B, |_| {});
    });
    let image = install(&own_with(&[optional])).unwrap();
    let adf = image.application(&USIM).unwrap();
    assert_eq!(image.child(adf, 0x6F05), None);
    let acm = file(&image, &[0x6F, 0x39]);
    assert_eq!(
        (acm.kind, acm.descriptor, acm.record_len),
        (Kind::Cyclic, 0x46, 3)
    );
    let plmn = file(&image, &[0x6F, 0x60]).data.to_vec();
    assert_eq!((plmn.len(), &plmn[5..10]), (40, &[255, 255, 255, 0, 0][..]));
    let ici = file(&image, &[0x6F, 0x80]);
    assert_eq!(ici.records(), 20);
    assert_eq!(
        ici.record(20).unwrap()[30..],
        [255, 0, 0, 0, 0, 1, 255, 255]
    );
}

#[test]
fn the_other_elements_make_their_directories() {
    let content = |w: &mut Writer, component: u32, bytes: &[u8]| {
        w.constructed(component, |w| {
            w.primitive(0x83, bytes);
        });
    };
    let records = |w: &mut Writer, component: u32, len: u8, count: u8| {
        w.constructed(component, |w| {
            w.constructed(0xA1, |w| {
                w.primitive(0x82, &[0x42, 0x21, 0, len]);
                w.primitive(0x80, &[len * count]);
            });
        });
    };
    // DF.CD with two icons of one component.
    let cd = pe(0xB1, &[2], true, |w| {
        content(w, 0xA3, b"launch");
        w.constructed(0xA4, |w| {
            for fid in [0x40, 0x41] {
                w.constructed(0xA1, |w| {
                    w.primitive(0x83, &[0x6F, fid]).primitive(0x80, &[4]);
                });
                w.primitive(0x83, &[fid]);
            }
        });
    });
    let phonebook = pe(0xB7, &[6], true, |w| {
        records(w, 0xA3, 8, 1);
        records(w, 0xAB, 28, 2);
        w.constructed(0xA7, |_| {});
    });
    let snpn = pe(0xBE, &[15], true, |w| content(w, 0xA3, &[0]));
    let prose = pe(0xBF1F, &[16], true, |w| {
        content(w, 0xA3, &[1]);
        w.constructed(0xA4, |_| {});
    });
    // DF.EAP has no identifier of its own.
    let eap = element(0xBB, true, 70, |w| {
        w.primitive(0x81, &template(&[12]));
        w.constructed(0xA2, |w| {
            w.constructed(0xA1, |w| {
                w.primitive(0x83, &[0x5F, 0x44]).primitive(0xC6, &[1]);
            });
        });
        content(w, 0xA3, b"keys");
        w.constructed(0xA4, |_| {});
    });
    let image = install(&own_with(&[cd, phonebook, snpn, prose, eap])).unwrap();
    let at_mf = |path: &[u8]| image.node(image.walk(0, path).unwrap()).unwrap();
    assert_eq!(at_mf(&[0x7F, 0x11, 0x6F, 0x01]).data.to_vec(), b"launch");
    for fid in [0x40, 0x41] {
        let icon = at_mf(&[0x7F, 0x11, 0x6F, fid]);
        assert_eq!(icon.data.to_vec(), [fid, 0xFF, 0xFF, 0xFF]);
    }
    for (path, len, record_len) in [
        (&[0x5F, 0x3A, 0x4F, 0x30], 8, 8),
        (&[0x5F, 0x3A, 0x4F, 0x58], 56, 28),
        (&[0x5F, 0x3A, 0x4F, 0x22], 4, 0),
        (&[0x5F, 0xE0, 0x4F, 0x01], 1, 0),
        (&[0x5F, 0xF0, 0x4F, 0x01], 1, 0),
        (&[0x5F, 0xF0, 0x4F, 0x02], 26, 0),
        (&[0x5F, 0x44, 0x4F, 0x01], 4, 0),
        (&[0x5F, 0x44, 0x4F, 0x02], 1, 0),
    ] {
        let node = file(&image, path);
        assert_eq!(
            (node.data.len(), node.record_len),
            (len, record_len),
            "{path:02X?}"
        );
    }
    // Without the directory itself there is no element.
    let bare = pe(0xB7, &[6], false, |w| records(w, 0xA3, 8, 1));
    assert_eq!(install(&own_with(&[bare])).unwrap_err().status, 5);
    // A second one of a kind is one too many.
    let twice = pe(0xBE, &[15], true, |_| {});
    let status = install(&own_with(&[twice.clone(), twice]))
        .unwrap_err()
        .status;
    assert_eq!(status, 0x6A89);
}

#[test]
fn every_template_row_is_one_file() {
    for number in 1..=16u8 {
        let known = (1..=4u8).filter_map(|version| match version {
            1 => Template::find(&template(&[number])),
            v => Template::find(&template(&[number, v])),
        });
        let templates: Vec<_> = known.collect();
        assert!(!templates.is_empty(), "{number}");
        for t in templates {
            let mut components: Vec<u8> = t.rows().iter().map(|r| r.0).collect();
            let count = components.len();
            components.dedup();
            assert_eq!(components.len(), count, "{number}");
            assert!(components.is_sorted());
        }
    }
    assert_eq!(Template::find(&template(&[13, 5])), None);
    assert_eq!(Template::find(&template(&[1, 0])), None);
    assert_eq!(Template::find(&[0x2A]), None);
}

#[test]
fn an_isim_can_use_the_keys_of_the_usim() {
    let isim = element(0xB5, true, 71, |w| {
        w.primitive(0x81, &template(&[8]));
        w.constructed(0xA2, |w| {
            w.constructed(0xA1, |w| {
                w.primitive(0x83, &[0x7F, 0xB0]);
                w.primitive(0x84, &[0xA0, 0, 0, 0, 0x87, 0x10, 0x04, 1]);
                w.primitive(0xC6, &[0x01]);
            });
        });
        for (n, content) in [(0xA3, &b"impi"[..]), (0xA5, b"domain"), (0xA6, &[0xFF; 14])] {
            w.constructed(n, |w| {
                w.primitive(0x83, content);
            });
        }
        w.constructed(0xA4, |w| {
            w.constructed(0xA1, |w| {
                w.primitive(0x82, &[0x42, 0x21, 0, 4]).primitive(0x80, &[4]);
            });
        });
        w.constructed(0xA8, |w| {
            w.constructed(0xA1, |w| {
                w.primitive(0x82, &[0x42, 0x21, 0, 4]).primitive(0x80, &[4]);
            });
        });
    });
    let map = |options: u8| {
        element(0xA4, true, 72, |w| {
            w.constructed(0xA1, |w| {
                w.constructed(0xA0, |w| {
                    w.primitive(0x80, &[options]);
                    w.primitive(0x81, &aid_rsp::saip::builder::USIM_AID);
                });
            });
        })
    };
    for (options, keys) in [(0x06, 1), (0x04, 2)] {
        let image = install(&own_with(&[isim.clone(), map(options)])).unwrap();
        let adf = image
            .application(&[0xA0, 0, 0, 0, 0x87, 0x10, 0x04])
            .unwrap();
        assert_eq!(image.keys.len(), keys);
        assert_eq!(image.key_of(adf), Some(keys - 1));
        // EF.IST lost GBA and its local keys: services 2 and 4.
        assert_eq!(
            image
                .content(image.child(adf, 0x6F07).unwrap())
                .unwrap()
                .byte(0),
            Some(0xF5)
        );
        // EF.AD came by default.
        assert!(image.child(adf, 0x6FAD).is_some());
    }
}
