//! Given whole packages, when installed, then they are the SIM: IMSI, files, PINs, authentication.
use crate::fs::{Change, ProfileImage};
use crate::usim::{ChannelState, Command, handle};
use aid_rsp::saip::PeSplitter;
use aid_rsp::saip::builder::{Algorithm, ProfileBuilder};
use alloc::{format, string::String, vec::Vec};
use proptest::prelude::*;

const USIM: &str = "a0000000871002ff49ff0589";

fn install(der: &[u8]) -> Result<ProfileImage, String> {
    let mut splitter = PeSplitter::new();
    let mut installer = ProfileImage::installer();
    for piece in der.chunks(1007) {
        splitter.push(piece);
        while let Some(pe) = splitter.next_pe().map_err(|e| format!("{e}"))? {
            installer.push(&pe).map_err(|e| format!("{e}"))?;
        }
    }
    installer.finish().map_err(|e| format!("{e}"))
}

fn ts48() -> Vec<(String, Vec<u8>)> {
    let root = std::env::var("AID_SHARED").map_or_else(
        |_| std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        std::path::PathBuf::from,
    );
    let Ok(dir) = std::fs::read_dir(root.join("data/ts48-v7")) else {
        std::eprintln!("skipped: no TS.48 packages (set AID_SHARED)");
        return Vec::new();
    };
    dir.flatten()
        .filter(|e| e.path().extension().is_some_and(|x| x == "der"))
        .map(|e| {
            let name = e.file_name().to_string_lossy().into_owned();
            (name, std::fs::read(e.path()).unwrap())
        })
        .collect()
}

struct Sim(ProfileImage, ChannelState);

impl Sim {
    /// A command in hex without Lc and Le; the answer in hex and the status word.
    fn apdu(&mut self, header: &str, data: &str) -> (String, u16) {
        let h = hex::decode(header).unwrap();
        let data = hex::decode(data).unwrap();
        let c = Command {
            cla: h[0],
            ins: h[1],
            p1: h[2],
            p2: h[3],
            data: &data,
            ne: Some(256),
        };
        let before = self.0.clone();
        let r = handle(&mut self.0, &mut self.1, &c);
        // What was stored and applied again is what is in memory.
        let mut replayed = before;
        if let Some(change) = &r.persist {
            replayed.apply(&Change::from_bytes(&change.to_bytes()).unwrap());
        }
        assert_eq!(replayed, self.0);
        (hex::encode(r.data), r.sw)
    }

    #[track_caller]
    fn expect(&mut self, header: &str, data: &str, answer: &str, sw: u16) {
        assert_eq!(
            self.apdu(header, data),
            (answer.into(), sw),
            "{header} {data}"
        );
    }
}

fn sim(der: &[u8]) -> Sim {
    let image = install(der).unwrap();
    let image = ProfileImage::from_bytes(&image.to_bytes()).unwrap();
    Sim(image, ChannelState::default())
}

fn own() -> Vec<u8> {
    let algorithm = Algorithm::Milenage {
        k: [1; 16],
        opc: [2; 16],
    };
    ProfileBuilder::new("8988123456789012345", "001010123456789", algorithm)
        .build()
        .unwrap()
}

#[test]
fn ts48_packages_install_and_authenticate() {
    for (name, der) in ts48() {
        let image = install(&der).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(image.imsi().as_deref(), Some("001010123456789"), "{name}");
        let mut s = sim(&der);
        s.expect("00a4000c", "2fe2", "", 0x9000);
        s.expect("00b00000", "", "98001032547698103214", 0x9000);
        s.expect("00a4040c", USIM, "", 0x9000);
        s.expect("00a4000c", "6f07", "", 0x9000);
        s.expect("00b00000", "", "080910101032547698", 0x9000);
        // K = 00..0f, RAND = 0: XDOUT = K, AK = 03..08; SQN = 1, AMF = 0.
        let x: Vec<u8> = (0..16).collect();
        let sqn = [0, 0, 0, 0, 0, 1u8];
        let mut autn: Vec<u8> = (0..6).map(|i| sqn[i] ^ x[i + 3]).collect();
        autn.extend_from_slice(&[0, 0]);
        autn.extend((0..8).map(|i| x[i] ^ sqn.get(i).copied().unwrap_or(0)));
        let data = format!("10{}10{}", "00".repeat(16), hex::encode(&autn));
        let (out, sw) = s.apdu("00880081", &data);
        assert_eq!(sw, 0x9000, "{name}");
        let rot = |n: usize| hex::encode([&x[n..], &x[..n]].concat());
        assert!(
            out.starts_with(&format!("db10{}10{}10{}", rot(0), rot(1), rot(2))),
            "{out}"
        );
    }
}

#[test]
fn own_package_is_a_usim() {
    let mut s = sim(&own());
    assert_eq!(s.0.imsi().as_deref(), Some("001010123456789"));
    let (fcp, sw) = s.apdu("00a40404", USIM);
    assert_eq!(sw, 0x9000);
    assert!(
        fcp.starts_with("62") && fcp.contains(&format!("840c{USIM}")),
        "{fcp}"
    );
    s.expect("00b08700", "", "080910101032547698", 0x9000);
    s.expect(
        "00a40004",
        "6f07",
        "621782024121 83026f07 8a0105 8b036f0602 80020009 880138"
            .replace(' ', "")
            .as_str(),
        0x9000,
    );
    // EF.LOCI by SFI: read, update, read.
    let (loci, _) = s.apdu("00b08b00", "");
    assert_eq!(loci.len(), 22);
    s.expect("00d68b00", "0102030405060708090a00", "", 0x9000);
    s.expect("00b08b00", "", "0102030405060708090a00", 0x9000);
    s.expect("00d68b05", "0102030405060708090a00", "", 0x6700);
    // Without the administrative key EF.IMSI stays as it is.
    s.expect("00d68700", "00", "", 0x6982);
    s.expect("0020000a", "3535353535353535", "", 0x9000);
    s.expect("00d68702", "10", "", 0x9000);
    s.expect("00a4000c", "6fff", "", 0x6a82);
    s.expect("00a4080c", "7fff6f46", "", 0x9000);
    s.expect(
        "00b00000",
        "",
        "016169 64204f50ffffffffffffffffffffff"
            .replace(' ', "")
            .get(..34)
            .unwrap(),
        0x9000,
    );
    s.expect("00b20104", "", "", 0x6981);
    s.expect("00a4000c", "6f42", "", 0x9000);
    s.expect("00b20204", "", "", 0x6a83);
}

#[test]
fn pins_count_down_block_and_unblock() {
    let mut s = sim(&own());
    let (good, bad) = ("30303030ffffffff", "31313131ffffffff");
    s.expect("00a4040c", USIM, "", 0x9000);
    s.expect("00200001", good, "", 0x6984);
    s.expect("00280001", good, "", 0x9000);
    s.1 = ChannelState::default();
    s.expect("00a4040c", USIM, "", 0x9000);
    s.expect("00b08700", "", "", 0x6982);
    s.expect("00200001", "", "", 0x63c3);
    for sw in [0x63c2, 0x63c1, 0x63c0, 0x6983] {
        s.expect("00200001", bad, "", sw);
    }
    s.expect(
        "002c0001",
        &format!("{}{bad}", hex::encode("00000000")),
        "",
        0x63c9,
    );
    s.expect(
        "002c0001",
        &format!("{}{bad}", hex::encode("12345678")),
        "",
        0x9000,
    );
    s.expect("00b08700", "", "080910101032547698", 0x9000);
    s.expect("00240001", &format!("{bad}{good}"), "", 0x9000);
    s.expect("00260001", good, "", 0x9000);
}

#[test]
fn incomplete_packages_are_refused() {
    let der = own();
    assert!(install(&der[..der.len() - 9]).is_err());
    assert!(install(b"not a profile").is_err());
}

proptest! {
    #[test]
    fn mutated_packages_never_panic(edits in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..8), pick in any::<u8>()) {
        let mut all = ts48();
        all.push((String::new(), own()));
        let n = usize::from(pick) % all.len();
        let mut der = all.swap_remove(n).1;
        for (at, b) in edits {
            let at = usize::from(at) % der.len();
            der[at] = b;
        }
        if let Ok(image) = install(&der) {
            let mut s = Sim(image, ChannelState::default());
            for (h, d) in [("00a40404", USIM), ("00b08700", ""), ("00a40004", "6f3c"), ("00b20104", ""), ("80f20000", "")] {
                let _ = s.apdu(h, d);
            }
        }
    }
}
