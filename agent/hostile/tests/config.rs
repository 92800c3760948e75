//! Given the seeds of the fuzz target `config` and its committed corpus, and both with bytes altered and cut off, when they
//! run on any toolchain, then no promise is broken.
// Helpers of tests are tests.
#![allow(clippy::unwrap_used, clippy::panic)]
use aid_agent_hostile::config;
use std::path::Path;

/// Seeds and corpus.
fn inputs() -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/config");
    let files = std::fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let corpus = files.map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
    config::seeds().into_iter().chain(corpus).collect()
}

#[test]
fn seeds_and_corpus_keep_the_promises() {
    assert!(
        inputs().len() > config::seeds().len(),
        "the corpus is empty"
    );
    for input in inputs() {
        let outcome = std::panic::catch_unwind(|| config::run(&input));
        assert!(outcome.is_ok(), "{}", String::from_utf8_lossy(&input));
    }
}

#[test]
fn altered_bytes_keep_the_promises() {
    for (n, input) in inputs().into_iter().enumerate() {
        // Each input at its own places: all together they are everywhere.
        for at in (n % 61..input.len()).step_by(61) {
            for byte in [0, b'\n', b'"', b'9', b'=', 0xFF] {
                let mut altered = input.clone();
                altered[at] = byte;
                config::run(&altered);
            }
            config::run(&input[..at]);
        }
    }
}
