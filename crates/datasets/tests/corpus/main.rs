//! Damaged data that fuzzing found, and sound ones that it began with: none ends in a panic.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod readers;

use std::path::Path;

/// Reads every file of a target's corpus.
fn replay(target: &str, read: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut n_files = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| read(&bytes)));
        assert!(result.is_ok(), "{}", path.display());
        n_files += 1;
    }
    assert!(n_files > 0, "{} is empty", folder.display());
}

#[test]
fn rows() {
    replay("rows", readers::rows);
}

#[test]
fn parquet() {
    replay("parquet", readers::parquet);
}

#[test]
fn answer() {
    replay("answer", readers::answer);
}
