//! Folders as people leave them.

use super::*;
use aid_rsp::es10::{IconType, NotificationEvent, ProfileClass, ppr};
use aid_rsp::saip::builder::{Algorithm, ProfileBuilder};

fn package(iccid: &str) -> Vec<u8> {
    let algorithm = Algorithm::UsimTest { k: [1; 16] };
    ProfileBuilder::new(iccid, "001010123456789", algorithm)
        .build()
        .unwrap()
}

#[test]
fn a_folder_of_packages_is_an_inventory() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("a.der"), package("8949000000000000018")).unwrap();
    std::fs::write(path("b.der"), package("8949000000000000026")).unwrap();
    std::fs::write(
        path("b.toml"),
        "name = \"B\"\nclass = \"test\"\nprofile_type = \"special\"\nnotifications = [\"delete\"]\npolicy_rules = [\"ppr2\"]\nmcc_mnc = \"26201\"\nprotection = \"own-keys\"\n",
    )
    .unwrap();
    let inventory = load(folder.path(), "smdp.example", Protection::SessionKeys).unwrap();
    let a = inventory.get("8949000000000000018", None).unwrap();
    assert_eq!(a.metadata.profile_class, ProfileClass::Operational);
    assert_eq!(a.metadata.notifications[0].address, "smdp.example");
    assert_eq!(a.metadata.iccid[0], 0x98);
    let b = inventory.get("8949000000000000026", None).unwrap();
    assert_eq!(b.profile_type, "special");
    assert_eq!(a.protection, Protection::SessionKeys);
    assert_eq!(b.protection, Protection::OwnKeys);
    assert_eq!(b.metadata.profile_name, "B");
    assert_eq!(b.metadata.policy_rules, Some(ppr::PPR2));
    assert_eq!(
        b.metadata.profile_owner.as_ref().unwrap().mcc_mnc,
        [0x62, 0xF2, 0x10]
    );
}

const ONE: &str = "8949000000000000018";

/// The smallest file that is a PNG by its signature.
fn png(bytes: usize) -> Vec<u8> {
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    png.resize(bytes, 0x11);
    png
}

#[test]
fn a_broken_file_is_named_and_keeps_no_other_from_being_served() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut reader = Reader::new(folder.path(), "x", Protection::default());
    let mut read = || {
        let (inventory, changed) = reader.read().unwrap();
        (inventory.len(), inventory.broken().to_vec(), changed)
    };
    std::fs::write(path("good.der"), package(ONE)).unwrap();
    std::fs::write(path("bad.der"), b"not a profile").unwrap();
    let (count, broken, changed) = read();
    assert!(count == 1 && broken.len() == 1 && changed);
    assert!(broken[0].contains("bad.der"), "{broken:?}");
    assert!(!read().2, "nothing has changed");
    let mut cut = package("8949000000000000026");
    cut.truncate(cut.len() - 1);
    std::fs::write(path("bad.der"), &cut).unwrap();
    let (count, broken, _) = read();
    assert!(count == 1 && broken[0].contains("bad.der"));
    // The file that was being written is whole now.
    std::fs::write(path("bad.der"), package("8949000000000000026")).unwrap();
    assert_eq!(read(), (2, Vec::new(), true));
    for (text, says) in [
        ("colour = 1", "bad.toml"),
        ("policy_rules = [\"ppr1\"]", "mcc_mnc"),
        ("icon = \"none.png\"", "none.png"),
        ("[requires]\nsvn = \"two\"", "two"),
    ] {
        std::fs::write(path("bad.toml"), text).unwrap();
        let (count, broken, _) = read();
        assert!(count == 1 && broken[0].contains(says), "{broken:?}");
    }
    std::fs::remove_file(path("bad.der")).unwrap();
    assert_eq!(read(), (1, Vec::new(), true));
}

#[test]
fn packages_may_share_an_iccid() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("a.der"), package(ONE)).unwrap();
    std::fs::write(path("b.der"), package(ONE)).unwrap();
    std::fs::write(path("b.toml"), "profile_type = \"other\"").unwrap();
    let inventory = load(folder.path(), "x", Protection::default()).unwrap();
    assert_eq!(inventory.len(), 2);
    assert_eq!(inventory.get(ONE, None).unwrap().file, "a");
    assert_eq!(inventory.get(ONE, Some("b")).unwrap().profile_type, "other");
    assert!(inventory.get(ONE, Some("c")).is_none());
}

#[test]
fn metadata_carry_icon_and_notification_addresses() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("a.der"), package(ONE)).unwrap();
    std::fs::write(path("logo.png"), png(1024)).unwrap();
    let side = "icon = \"logo.png\"\nnotifications = [\"install\"]\n\
        [[notify]]\naddress = \"other.example\"\nevents = [\"enable\", \"delete\"]\n";
    std::fs::write(path("a.toml"), side).unwrap();
    let mut reader = Reader::new(folder.path(), "own.example", Protection::default());
    let (inventory, _) = reader.read().unwrap();
    let metadata = &inventory.get(ONE, None).expect("a profile").metadata;
    assert_eq!(metadata.icon_type, Some(IconType::Png));
    assert_eq!(metadata.icon, Some(png(1024)));
    let said: Vec<_> = metadata
        .notifications
        .iter()
        .map(|n| (n.address.as_str(), n.events))
        .collect();
    let (enable, delete) = (
        NotificationEvent::Enable.bit(),
        NotificationEvent::Delete.bit(),
    );
    assert_eq!(
        said,
        [
            ("own.example", NotificationEvent::Install.bit()),
            ("other.example", enable | delete)
        ]
    );
    // An icon that changes is read again; one that is too large, or no picture, is named.
    std::fs::write(path("logo.png"), png(900)).unwrap();
    assert!(reader.read().unwrap().1);
    for wrong in [png(1025), b"GIF89a".to_vec()] {
        std::fs::write(path("logo.png"), wrong).unwrap();
        let (inventory, _) = reader.read().unwrap();
        assert!(
            inventory.broken()[0].contains("logo.png"),
            "{:?}",
            inventory.broken()
        );
    }
}
