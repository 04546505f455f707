//! The examples, on the smallest model that comes with the repository.

use entrace_study::{Error, Finding, Kind, Model, ModelOptions};
use std::path::{Path, PathBuf};

#[path = "../examples/measure.rs"]
#[expect(dead_code, reason = "its main is not called here")]
mod measure;
#[path = "../examples/score.rs"]
#[expect(dead_code, reason = "its main is not called here")]
mod score;

/// sprout as a folder in Hugging Face layout.
fn sprout(folder: &Path) -> std::io::Result<String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/sprout");
    for name in ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"] {
        std::fs::copy(source.join(name), folder.join(name))?;
    }
    std::fs::copy(source.join("rl.safetensors"), folder.join("model.safetensors"))?;
    Ok(folder.display().to_string())
}

#[test]
fn a_model_and_questions_in_a_verdict_out() {
    let folder = tempfile::tempdir().unwrap();
    let (model, run) = (sprout(folder.path()).unwrap(), folder.path().join("run"));
    let verdicts = || measure::verdicts(&model, "arith", 4.0, &run).unwrap();
    let found = verdicts();
    assert_eq!((found[0].0.as_str(), found[0].1.finding), ("arith", Finding::Inconclusive));
    assert!(run.join("report.html").exists());
    assert_eq!(verdicts(), found, "the second call only reads");
}

#[test]
fn existing_traces_in_a_verdict_out() {
    let folder = tempfile::tempdir().unwrap();
    let traces: PathBuf = folder.path().join("traces.jsonl");
    let row = r#"{"question": "Ann has 3 pens and buys 4. How many pens has she?", "trace": "3 + 4 = 7.\nThe answer is 7.", "target": "7"}"#;
    std::fs::write(&traces, format!("{row}\n")).unwrap();
    let model = sprout(folder.path()).unwrap();
    let verdict = score::verdict(&model, &traces.display().to_string(), &folder.path().join("run"));
    assert_eq!(verdict.unwrap().unwrap().finding, Finding::Inconclusive);
}

#[test]
fn errors_say_what_can_be_done_about_them() {
    let missing = Model::open(&ModelOptions::named("/no/such/model"), &()).err().unwrap();
    assert_eq!((missing.kind(), missing.option()), (Kind::SetUp, None));
    let folder = tempfile::tempdir().unwrap();
    let model = sprout(folder.path()).unwrap();
    let limited = measure::verdicts(&model, "arith", 0.0, folder.path());
    let error: Error = limited.err().unwrap();
    assert_eq!((error.kind(), error.option()), (Kind::SetUp, Some("limit")));
}
