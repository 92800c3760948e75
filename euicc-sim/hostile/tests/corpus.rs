//! Given the committed corpus of every fuzz target, when it runs on any toolchain, then no promise is
//! broken; and every seed does.
// Helpers of tests are tests.
#![allow(clippy::unwrap_used, clippy::panic)]
use aid_hostile::{TARGETS, seeds};
use std::path::Path;

fn replay(name: &str) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(name);
    let mut inputs = 0;
    for entry in std::fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())) {
        let path = entry.unwrap().path();
        let input = std::fs::read(&path).unwrap();
        let outcome = std::panic::catch_unwind(|| aid_hostile::run(name, &input));
        assert!(outcome.is_ok(), "{}", path.display());
        inputs += 1;
    }
    assert!(inputs > 0, "{} is empty", dir.display());
}

macro_rules! corpus {
    ($($name:ident),*) => {
        $(#[test] fn $name() { replay(stringify!($name)); })*

        #[test]
        fn every_target_is_replayed() {
            let replayed = [$(stringify!($name)),*];
            assert!(TARGETS.iter().map(|t| t.name).eq(replayed));
        }
    };
}

corpus!(apdu, bpp, certificate, es10, es9, saip, tlv);

#[test]
fn every_seed_keeps_the_promises() {
    for (target, seed) in seeds::all() {
        aid_hostile::run(target, &seed);
    }
}
