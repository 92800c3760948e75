//! Optional public test material: `$AID_SHARED`, or `../shared` beside the workspace.
//! A test that needs what is absent says that it was skipped.

use std::path::PathBuf;

/// The bytes of a file of the shared material.
pub(crate) fn bytes(path: &str) -> Option<Vec<u8>> {
    let root = std::env::var_os("AID_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let file = root.join(path);
    match std::fs::read(&file) {
        Ok(bytes) => Some(bytes),
        Err(e) => {
            eprintln!(
                "skipped: {} ({e}); set AID_SHARED to the shared test data",
                file.display()
            );
            None
        }
    }
}

/// The text of a file of the shared material.
pub(crate) fn text(path: &str) -> Option<String> {
    bytes(path).map(|b| String::from_utf8(b).unwrap())
}
