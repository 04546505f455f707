//! What is done with a damaged run folder: it is opened, every table is read, and its report made.
//!
//! The target in `fuzz/` calls this with bytes that are new, the test beside this file with those of `fuzz/corpus`.

use entrace_record::RunReader;
use entrace_report::write::{Report, ReportOptions};
use std::path::Path;

/// A sound run of format 1.0, which has no hashes yet: damage of its tables is not found before they are read.
const FILES: [(&str, &[u8]); 6] = [
    ("manifest.json", include_bytes!("../../../record/tests/frozen/1.0/manifest.json")),
    ("traces.parquet", include_bytes!("../../../record/tests/frozen/1.0/traces.parquet")),
    ("prefixes.parquet", include_bytes!("../../../record/tests/frozen/1.0/prefixes.parquet")),
    ("answers.parquet", include_bytes!("../../../record/tests/frozen/1.0/answers.parquet")),
    ("tokens.parquet", include_bytes!("../../../record/tests/frozen/1.0/tokens.parquet")),
    ("signals.parquet", include_bytes!("../../../record/tests/frozen/1.0/signals.parquet")),
];

/// The first byte says which file of the folder the others replace.
pub(crate) fn record(data: &[u8]) {
    let Some((which, content)) = data.split_first() else { return };
    let folder = tempfile::tempdir().unwrap();
    for (name, sound) in FILES {
        std::fs::write(folder.path().join(name), sound).unwrap();
    }
    let (name, _) = FILES[usize::from(*which) % FILES.len()];
    std::fs::write(folder.path().join(name), content).unwrap();
    read(folder.path());
}

fn read(folder: &Path) {
    if let Ok(reader) = RunReader::open(folder) {
        let _ = Report::of_run(&reader, &ReportOptions::default());
    }
}
