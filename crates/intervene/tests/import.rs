//! Rollouts in the shape of Thought Anchors: a made-up folder, whose numbers are worked out by hand.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use entrace_intervene::import::{self, Imported};
use entrace_record::manifest::ModelRecord;
use entrace_record::{RunReader, interventions};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

fn write(path: &Path, value: &Value) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, value.to_string()).unwrap();
}

/// A rollout: its answer, whether that is right, its text, and the chunk that it began with.
fn rollout(answer: &str, right: bool, text: &str, resampled: &str) -> Value {
    json!({
        "chunk_removed": "x", "prefix_without_chunk": "x", "chunk_resampled": resampled, "rollout": text, "full_cot": text,
        "answer": answer, "is_correct": right
    })
}

/// One problem of three chunks. Chunk 0: one of four right, one without an answer, one failed, and one text twice. Chunk 1: two of four.
/// Chunk 2: four of four.
fn made_up(dir: &Path, stated_accuracy: f64) {
    let problem = dir.join("problem_17");
    write(
        &problem.join("problem.json"),
        &json!({"problem": "What is 3 + 4?", "level": "Level 1", "gt_answer": "7"}),
    );
    write(
        &problem.join("base_solution.json"),
        &json!({"prompt": "Solve: 3 + 4", "solution": "We add. 3 + 4 = 7. So 7.", "full_cot": "", "answer": "7", "is_correct": true}),
    );
    let chunk = |index: usize, text: &str, accuracy: f64| json!({"chunk_idx": index, "chunk": text, "accuracy": accuracy, "function_tags": ["plan"], "depends_on": []});
    let chunks =
        json!([chunk(0, "We add.", stated_accuracy), chunk(1, "3 + 4 = 7.", 0.5), chunk(2, "So 7.", 1.0)]);
    write(&problem.join("chunks_labeled.json"), &chunks);
    let solutions: [Vec<Value>; 3] = [
        vec![
            rollout("7", true, "a", "We add."),
            rollout("8", false, "b", "We subtract."),
            rollout("8", false, "b", "We subtract."),
            rollout("9", false, "c", "We multiply."),
            rollout("", false, "d", "Hm."),
            json!({"error": "timed out"}),
        ],
        vec![
            rollout("7", true, "e", "3 + 4 = 7."),
            rollout("7", true, "f", "3 + 4 = 7."),
            rollout("8", false, "g", "3 + 4 = 8."),
            rollout("9", false, "h", "3 + 4 = 9."),
        ],
        (0..4).map(|i| rollout("7", true, &format!("i{i}"), "So 7.")).collect(),
    ];
    for (index, rollouts) in solutions.iter().enumerate() {
        write(&problem.join(format!("chunk_{index}")).join("solutions.json"), &json!(rollouts));
    }
}

fn model() -> ModelRecord {
    serde_json::from_value(json!({
        "name": "imported", "revision": null, "architecture": "", "n_parameters": 0, "dtype": "", "device": "", "context_length": 0,
        "model_hash": "", "tokenizer_hash": null, "template_hash": null
    }))
    .unwrap()
}

fn imported(folder: &Path, out: &Path) -> Result<Imported, entrace_intervene::Error> {
    let now = "2026-04-07T10:00:00Z".parse().unwrap();
    import::folder(folder, out, model(), 0.05, 0, Vec::new(), now)
}

#[test]
fn accuracies_and_importances_are_recomputed_and_doubled_rollouts_found() {
    let (folder, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    made_up(folder.path(), 0.25);
    let found = imported(folder.path(), out.path()).unwrap();
    assert_eq!((found.n_problems, found.n_draws, found.n_doubled), (1, 13, 1));
    let accuracies: Vec<Option<f64>> = found.chunks.iter().map(|chunk| chunk.accuracy).collect();
    assert_eq!(accuracies, [Some(0.25), Some(0.5), Some(1.0)]);
    let importances: Vec<Option<f64>> = found.chunks.iter().map(|chunk| chunk.importance_accuracy).collect();
    assert_eq!(importances, [Some(0.25), Some(0.5), None]);
    // Shares before: 7 .2, 8 .4, 9 .2, none .2; after: 7 .5, 8 .25, 9 .25.
    let tv = found.chunks[0].importance.unwrap().tv;
    assert!((tv - 0.35).abs() < 1e-12, "{tv}");
    // Of the draws after (n = 4) from those before (m = 5), half a draw more for each of four answers.
    let smoothed = |n: f64, of: f64| (n + 0.5) / (of + 2.0);
    let pairs = [(2.0, 1.0), (1.0, 2.0), (1.0, 1.0), (0.0, 1.0)];
    let kl: f64 = pairs
        .iter()
        .map(|&(after, before)| smoothed(after, 4.0) * (smoothed(after, 4.0) / smoothed(before, 5.0)).ln())
        .sum();
    assert!((found.chunks[0].importance.unwrap().kl_nats - kl).abs() < 1e-12);
    assert!(found.notes.iter().any(|note| note.starts_with("1 of 13 rollouts")), "{:?}", found.notes);
    assert_eq!(found.notes.len(), 1, "{:?}", found.notes);
}

#[test]
fn the_folder_is_a_run_that_can_be_reported() {
    let (folder, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    made_up(folder.path(), 0.25);
    imported(folder.path(), out.path()).unwrap();
    let reader = RunReader::open(out.path()).unwrap();
    assert_eq!(reader.traces().unwrap()[0].n_steps, 3);
    assert_eq!(reader.prefixes().unwrap().len(), 3);
    let (settings, rows) = interventions::read(out.path()).unwrap().unwrap();
    assert_eq!((settings.doubled_rollouts, settings.draws), (1, [4, 5]));
    let steps: Vec<(u32, &str)> =
        rows.iter().filter(|row| &*row.kind == "resample").map(|row| (row.step, &*row.variant)).collect();
    assert_eq!(steps, [(1, ""), (1, "counterfactual"), (2, ""), (2, "counterfactual")]);
    let report = entrace_report::write_report(out.path(), &entrace_report::ReportOptions::default()).unwrap();
    assert!(report.files["report.html"].contains("3 + 4 = 7."));
    imported(folder.path(), out.path()).unwrap();
}

#[test]
fn stated_numbers_that_the_rollouts_do_not_give_are_told() {
    let (folder, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    made_up(folder.path(), 0.75);
    let found = imported(folder.path(), out.path()).unwrap();
    assert!(found.notes.iter().any(|note| note.starts_with("1 of 3 chunks state")), "{:?}", found.notes);
}

#[test]
fn what_is_no_folder_of_problems_is_refused_by_name() {
    let (folder, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let message = imported(folder.path(), out.path()).unwrap_err().to_string();
    assert!(message.contains("problem_N"), "{message}");
    made_up(folder.path(), 0.25);
    fs::write(folder.path().join("problem_17/chunk_1/solutions.json"), "[{").unwrap();
    let message = imported(folder.path(), out.path()).unwrap_err().to_string();
    assert!(message.contains("chunk_1") && message.contains("is not JSON"), "{message}");
}
