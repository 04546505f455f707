//! Reads the corpus of a fuzz target again, as an ordinary test of the crate that includes this file.

use std::path::Path;

/// Reads every file of a target's corpus; none may end in a panic.
pub(crate) fn replay(target: &str, read: impl Fn(&[u8])) {
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
