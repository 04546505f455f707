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

/// 60 solutions of word problems, each with a line of another problem's solution in it. The solution's own lines are used by those after them;
/// the other line is used by nothing.
#[test]
fn steps_that_are_used_are_told_from_one_that_is_not() {
    let scratch = Scratch::new();
    let mut lines = String::new();
    let mut foreign: Vec<(String, u32)> = Vec::new();
    for index in 0..60_u64 {
        let problem = |index| arith::generate(0, Split::Validation, index, &Difficulty::default());
        let (own, other) = (problem(index), problem(index + 1000));
        let mut solution = own.solution.clone();
        let at = 1 + index as usize % solution.steps.len();
        solution.steps.insert(at, other.solution.steps[0].clone());
        lines += &(own.json_line(&solution) + "\n");
        foreign.push((own.id, at as u32 + 1));
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
    expect(0, &[&score[..], &["--max-new-tokens", "96", "--output-path", &run]].concat());
    let kinds = ["--kinds", "delete,resample", "--readings", "forced,rollout", "--draws", "16", "--quiet"];
    expect(0, &[&["intervene", &run][..], &kinds].concat());
    let found = rows(&run);
    for (kind, reading, least) in [("delete", "forced", 0.6), ("resample", "rollout", 0.6)] {
        let of_kind = found.iter().filter(|row| {
            *row.kind == *kind && *row.reading == *reading && row.variant.is_empty() && row.step < row.n_steps
        });
        let (mut scores, mut labels, mut questions) = (Vec::new(), Vec::new(), Vec::new());
        let mut above = [0, 0];
        for row in of_kind {
            let is_foreign = foreign.iter().any(|(id, step)| **id == *row.question_id && *step == row.step);
            scores.push(row.tv.unwrap());
            labels.push(!is_foreign);
            questions.push(row.question_id.to_string());
            let exceeds = row.noise_floor.is_some_and(|floor| row.tv.unwrap() > floor + 1e-9);
            above[usize::from(is_foreign)] += usize::from(exceeds);
        }
        let clusters = Clusters::of(&questions);
        let found = auroc::clustered(&scores, &labels, &clusters, Level::P95).unwrap();
        println!(
            "{kind}, {reading}: AUROC {:.2} [{:.2}, {:.2}]",
            found.value, found.interval.low, found.interval.high
        );
        println!("above the floor: {} used, {} of 60 foreign", above[0], above[1]);
        assert!(found.value > least, "{kind}: {found:?}");
    }
}
