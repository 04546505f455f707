//! What is done with damaged data: rows are read as questions and as traces, answers in every format.
//!
//! The targets in `fuzz/` call these functions with bytes that are new, the tests beside this file with those of `fuzz/corpus`.

use entrace_datasets::{FormatKind, imported, jsonl};
use entrace_measure::Choices;

/// A file of JSON Lines.
pub(crate) fn rows(data: &[u8]) {
    read("rows.jsonl", data);
}

/// A Parquet file.
pub(crate) fn parquet(data: &[u8]) {
    read("rows.parquet", data);
}

fn read(name: &str, data: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, data).unwrap();
    let options = jsonl::Options { max_cell_bytes: Some(1 << 20), ..jsonl::Options::default() };
    let _ = jsonl::load(&path, "task", &options);
    let _ = imported::load(&path, "task", &options);
}

/// A completion, a target, and what follows a cue.
pub(crate) fn answer(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let labels = ["A", "B", "C"].map(str::to_owned).to_vec();
    let options = ["7 feet", "12", "the moon"].map(str::to_owned).to_vec();
    let choices = Choices::new(labels, options).unwrap();
    for kind in FormatKind::ALL {
        let format = kind.format();
        let choices = (kind == FormatKind::Choice).then_some(&choices);
        let _ = format.extract(&text, choices);
        let _ = format.extract_cut(&text, choices);
        let answer = format.canonical(&text, choices);
        for form in format.surface_forms(&answer, choices) {
            assert_eq!(format.canonical(&form, choices), answer, "{form:?} of {text:?}");
        }
        let grammar = format.grammar(choices);
        let _ = grammar.verdict(grammar.walk(grammar.start(), &text));
    }
}
