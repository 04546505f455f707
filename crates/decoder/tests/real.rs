//! Real GGUF files against transformers on the same dequantised weights.
//!
//! `ENTRACE_REAL_MODELS` names a folder with some of the files that `goldens/real/*.json` name; the others are passed over. A text must
//! become the same tokens, and their log-probabilities agree within 1e-3 nats. `goldens/real/generate.py` made the golden files.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use entrace_backend::{Branch, ScoreTree, Text, TokenScores};
use entrace_decoder::{LanguageModel, Options};
use serde::Deserialize;
use std::path::{Path, PathBuf};

const TOLERANCE: f64 = 1e-3;

#[derive(Deserialize)]
struct Golden {
    file: String,
    text: String,
    token_ids: Vec<u32>,
    logprobs: Vec<f64>,
}

fn goldens() -> Vec<Golden> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens/real");
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|e| e == "json")).collect();
    files.sort();
    files.iter().map(|file| serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()).collect()
}

#[test]
fn token_log_probabilities_equal_transformers() {
    let Some(folder) = std::env::var_os("ENTRACE_REAL_MODELS").map(PathBuf::from) else {
        return eprintln!("skipped: ENTRACE_REAL_MODELS names no folder of GGUF files");
    };
    for golden in goldens() {
        let path = folder.join(&golden.file);
        if !path.is_file() {
            eprintln!("{} is not there: passed over", path.display());
            continue;
        }
        let now = jiff::civil::date(2026, 3, 9).at(7, 5, 0, 0);
        let model = LanguageModel::open(&golden.file, &path, Options::default(), now).unwrap();
        assert_eq!(model.encode_prompt(&golden.text).unwrap().token_ids, golden.token_ids, "{}", golden.file);
        let whole =
            Branch { tokens: golden.token_ids, token_scores: TokenScores::Logprobs, ..Branch::default() };
        let score = model.session().unwrap().extend(&[whole]).unwrap().remove(0);
        let found: Vec<f64> = score.token_logprobs[1..].iter().map(|logprob| logprob.unwrap()).collect();
        let differences =
            found.iter().zip(&golden.logprobs).map(|(found, expected)| (found - expected).abs());
        let largest = differences.fold(0.0, f64::max);
        assert!(largest < TOLERANCE, "{}: differs by {largest}", golden.file);
        eprintln!("{}: {} tokens, largest difference {largest:.1e}", golden.file, found.len());
    }
}
