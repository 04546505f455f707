//! `entrace intervene` on traces of sprout.

use crate::support::{Scratch, expect};
use entrace_record::interventions;
use entrace_record::rows::InterventionRow;
use entrace_stats::{Clusters, Level, auroc};
use entrace_worlds::arith::{self, Difficulty, Split};
use std::path::Path;

fn rows(dir: &str) -> Vec<InterventionRow> {
    interventions::read(Path::new(dir)).unwrap().unwrap().1
}

#[test]
fn a_run_gains_a_table_a_report_and_says_what_it_found() {
    let scratch = Scratch::new();
    let run = scratch.arg("run");
    let measured =
        ["run", "--limit", "6", "--rollouts", "0", "--controls", "none", "--quiet", "--output-path", &run];
    expect(0, &measured);
    let plan = expect(0, &["intervene", &run, "--dry-run", "--readings", "forced,rollout", "--quiet"]);
    assert!(
        plan.contains("tokens scored") && plan.contains("mistake") && plan.contains("tokens/s"),
        "{plan}"
    );
    assert!(!scratch.path("run").join("interventions.parquet").exists());
    let said = expect(0, &["intervene", &run, "--quiet"]);
    assert!(said.contains("AOC of truncate") && said.contains("off-policy"), "{said}");
    let found = rows(&run);
    let delete = found.iter().filter(|row| &*row.kind == "delete");
    assert!(delete.clone().count() > 6 && delete.clone().all(|row| row.off_policy && row.tv.is_some()));
    let page = std::fs::read_to_string(scratch.path("run").join("report.html")).unwrap();
    assert!(page.contains("which steps carry the answer") && page.contains("details class=\"shade\""));
    // The same command gives the same rows, and the report can be made without the model.
    expect(0, &["intervene", &run, "--quiet"]);
    assert_eq!(rows(&run), found);
    expect(0, &["report", &run]);
    assert_eq!(std::fs::read_to_string(scratch.path("run").join("report.html")).unwrap(), page);
    // A run that is replaced takes its interventions with it.
    expect(0, &[&measured[..], &["--overwrite"]].concat());
    assert!(!scratch.path("run").join("interventions.parquet").exists());
}

#[test]
fn what_cannot_be_measured_is_refused_by_name() {
    let scratch = Scratch::new();
    let run = scratch.arg("run");
    let said = expect(2, &["intervene", &run, "--kinds", "erase"]);
    assert!(said.contains("\"erase\" is none of delete"), "{said}");
    let said = expect(2, &["intervene", &run, "--draws", "9..3"]);
    assert!(said.contains("range such as 8..64"), "{said}");
    let said = expect(2, &["intervene", &run]);
    assert!(said.contains("holds no run"), "{said}");
}

/// 60 solutions of word problems, each with one of its lines said again. The lines are used by those after them; of a line that stands there
/// twice, the second is used by nothing that the first does not serve.
#[test]
fn a_step_that_is_used_matters_more_than_its_repetition() {
    let scratch = Scratch::new();
    let mut lines = String::new();
    let mut repeated: Vec<(String, u32)> = Vec::new();
    for index in 0..60_u64 {
        let problem = arith::generate(0, Split::Validation, index, &Difficulty::default());
        let mut solution = problem.solution.clone();
        let at = index as usize % solution.steps.len();
        solution.steps.insert(at, solution.steps[at].clone());
        lines += &(problem.json_line(&solution) + "\n");
        repeated.push((problem.id, at as u32 + 2));
    }
    let traces = scratch.file("traces.jsonl", &lines);
    let run = scratch.arg("run");
    let score = [
        "score",
        "--model",
        "sprout",
        "--traces",
        &traces,
        "--rollouts",
        "0",
        "--controls",
        "none",
        "--quiet",
    ];
    expect(0, &[&score[..], &["--output-path", &run]].concat());
    expect(0, &["intervene", &run, "--kinds", "delete", "--quiet"]);
    let found = rows(&run);
    let deleted = found.iter().filter(|row| &*row.kind == "delete" && row.step < row.n_steps);
    let (mut scores, mut labels, mut questions) = (Vec::new(), Vec::new(), Vec::new());
    for row in deleted {
        scores.push(row.tv.unwrap());
        labels.push(!repeated.iter().any(|(id, step)| **id == *row.question_id && *step == row.step));
        questions.push(row.question_id.to_string());
    }
    let mean = |wanted: bool| {
        let of: Vec<f64> =
            scores.iter().zip(&labels).filter(|(_, label)| **label == wanted).map(|(tv, _)| *tv).collect();
        of.iter().sum::<f64>() / of.len() as f64
    };
    let found = auroc::clustered(&scores, &labels, &Clusters::of(&questions), Level::P95).unwrap();
    println!(
        "AUROC {:.2} [{:.2}, {:.2}]; mean TV {:.2} used, {:.2} repeated",
        found.value,
        found.interval.low,
        found.interval.high,
        mean(true),
        mean(false)
    );
    assert!(found.value > 0.5 && mean(false) < 0.5 * mean(true), "{found:?}");
}
