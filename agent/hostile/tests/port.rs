//! Given the seeds of the fuzz target `port` and its committed corpus, and both with bytes altered, when they
//! run on any toolchain, then no promise is broken.
// Helpers of tests are tests.
#![allow(clippy::unwrap_used, clippy::panic)]
use aid_agent_hostile::port;
use std::path::Path;

/// Seeds and corpus.
fn inputs() -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/port");
    let files = std::fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let corpus = files.map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
    port::seeds().into_iter().chain(corpus).collect()
}

#[test]
fn seeds_and_corpus_keep_the_promises() {
    assert!(inputs().len() > port::seeds().len(), "the corpus is empty");
    for input in inputs() {
        let outcome = std::panic::catch_unwind(|| port::run(&input));
        assert!(outcome.is_ok(), "{input:?}");
    }
}

#[test]
fn altered_bytes_keep_the_promises() {
    for input in inputs().into_iter().filter(|input| input.len() < 1024) {
        for at in 0..input.len() {
            for byte in [0, b'\r', b'"', b'9', 0xFF] {
                let mut altered = input.clone();
                altered[at] = byte;
                port::run(&altered);
            }
            port::run(&input[..at]);
        }
    }
}
