//! Given the committed corpus of the fuzz target `lpa`, and its seeds, when they run on any toolchain,
//! then no promise is broken.
// Helpers of tests are tests.
#![allow(clippy::unwrap_used, clippy::panic)]
use std::path::Path;

#[test]
fn the_corpus_keeps_the_promises() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/lpa");
    let mut inputs = 0;
    for entry in std::fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())) {
        let path = entry.unwrap().path();
        let input = std::fs::read(&path).unwrap();
        let outcome = std::panic::catch_unwind(|| aid_agent_hostile::run(&input));
        assert!(outcome.is_ok(), "{}", path.display());
        inputs += 1;
    }
    assert!(inputs > 0, "{} is empty", dir.display());
}

#[test]
fn every_seed_keeps_the_promises() {
    for seed in aid_agent_hostile::seeds() {
        aid_agent_hostile::run(&seed);
    }
}

/// Without edits everything goes well: otherwise the fuzzer would never get behind the first check.
#[test]
fn a_session_without_edits_installs() {
    let iccid = aid_agent_hostile::download_unedited().unwrap();
    assert_eq!(iccid.as_str(), "8949010000000000001");
}
