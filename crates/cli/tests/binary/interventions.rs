//! `entrace intervene` on traces of sprout.

use crate::support::{Scratch, command, expect};
use entrace_record::interventions;
use entrace_record::rows::InterventionRow;
use entrace_stats::{Clusters, Estimate, Level, auroc};
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

/// How well an effect tells the steps that are used from those that are not.
struct Ranking {
    auroc: Estimate,
    mean_used: f64,
    mean_unused: f64,
}

/// Ranks steps, but for the last line, by this number; `unused` are steps that nothing uses, by question.
fn ranking<'a>(
    rows: impl Iterator<Item = &'a InterventionRow>,
    unused: &[(String, u32)],
    number: impl Fn(&InterventionRow) -> Option<f64>,
) -> Ranking {
    let (mut scores, mut labels, mut questions) = (Vec::new(), Vec::new(), Vec::new());
    for row in rows.filter(|row| row.step > 0 && row.step < row.n_steps) {
        let Some(score) = number(row) else { continue };
        scores.push(score);
        labels.push(!is_unused(row, unused));
        questions.push(row.question_id.to_string());
    }
    let mean = |wanted: bool| {
        let of: Vec<f64> =
            scores.iter().zip(&labels).filter(|(_, label)| **label == wanted).map(|(x, _)| *x).collect();
        of.iter().sum::<f64>() / of.len() as f64
    };
    let auroc = auroc::clustered(&scores, &labels, &Clusters::of(&questions), Level::P95).unwrap();
    Ranking { auroc, mean_used: mean(true), mean_unused: mean(false) }
}

fn is_unused(row: &InterventionRow, unused: &[(String, u32)]) -> bool {
    unused.iter().any(|(id, step)| **id == *row.question_id && *step == row.step)
}

impl std::fmt::Display for Ranking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (found, interval) = (self.auroc.value, &self.auroc.interval);
        write!(f, "AUROC {found:.2} [{:.2}, {:.2}]; ", interval.low, interval.high)?;
        write!(f, "mean {:.2} used, {:.2} unused", self.mean_used, self.mean_unused)
    }
}

/// Scores traces without rollouts and controls into a run folder.
fn scored(scratch: &Scratch, model: &str, lines: &str) -> String {
    let (traces, run) = (scratch.file("traces.jsonl", lines), scratch.arg("run"));
    let short = ["--rollouts", "0", "--controls", "none", "--quiet", "--output-path", &run];
    expect(0, &[&["score", "--model", model, "--traces", &traces][..], &short].concat());
    run
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
    let run = scored(&scratch, "sprout", &lines);
    expect(0, &["intervene", &run, "--kinds", "delete", "--quiet"]);
    let found = rows(&run);
    let found = ranking(found.iter().filter(|row| &*row.kind == "delete"), &repeated, |row| row.tv);
    println!("{found}");
    assert!(found.auroc.value > 0.5 && found.mean_unused < 0.5 * found.mean_used, "{found}");
}

/// 80 solutions with an aside, a sentence that distracts, and the step that it is.
fn with_asides() -> (String, Vec<(String, u32)>) {
    let mut lines = String::new();
    let mut asides = Vec::new();
    for index in 0..80_u64 {
        let problem = arith::generate(0, Split::Validation, index, &Difficulty::default());
        let aside = problem.aside(7);
        let step = aside.before as u32 + 1;
        lines += &(problem.json_line(&problem.solution.clone().with(aside)) + "\n");
        asides.push((problem.id, step));
    }
    (lines, asides)
}

/// sprout has met sentences that distract in questions, and none in a solution.
#[test]
fn leaving_out_a_step_that_is_used_matters_more_than_leaving_out_an_aside() {
    let scratch = Scratch::new();
    let (lines, asides) = with_asides();
    let run = scored(&scratch, "sprout", &lines);
    expect(0, &["intervene", &run, "--kinds", "delete", "--quiet"]);
    let found = rows(&run);
    let found = ranking(found.iter().filter(|row| &*row.kind == "delete"), &asides, |row| row.tv);
    println!("{found}");
    assert!(found.auroc.interval.low > 0.6, "{found}");
}

/// A sprout that has met asides in solutions: what it draws does not depend on them either.
#[test]
fn importance_tells_a_step_that_is_used_from_an_aside() {
    if std::env::var_os("ENTRACE_ASIDES").is_none() {
        return eprintln!("skipped: ENTRACE_ASIDES is not set, and sprout is trained for minutes first");
    }
    let scratch = Scratch::new();
    let recipe = concat!(env!("CARGO_MANIFEST_DIR"), "/../../recipes/asides.toml");
    let trained = command(&["train", "recipe", recipe, "--quiet"]).current_dir(scratch.path(".")).output();
    assert!(trained.unwrap().status.success());
    let (lines, asides) = with_asides();
    let run = scored(&scratch, &scratch.arg("entrace-train/asides"), &lines);
    expect(0, &["intervene", &run, "--kinds", "delete,resample", "--readings", "forced,rollout", "--quiet"]);
    let rows = rows(&run);
    let of = |kind: &'static str, variant: &'static str| {
        rows.iter().filter(move |row| (&*row.kind, &*row.variant) == (kind, variant))
    };
    let deleted = ranking(of("delete", ""), &asides, |row| row.tv);
    let resampled = ranking(of("resample", "counterfactual"), &asides, |row| row.tv);
    let above_floor = ranking(of("resample", ""), &asides, |row| Some(f64::from(row.tv? > row.noise_floor?)));
    println!("left out: {deleted}\ndrawn anew: {resampled}\nabove the floor: {above_floor}");
    assert!(deleted.auroc.interval.low > 0.8, "{deleted}");
    assert!(resampled.auroc.interval.low > 0.7, "{resampled}");
    // Of 80 steps that do not matter one in twenty is above the floor by chance, nine at most in 99 of 100 cases.
    assert!(above_floor.mean_unused < 0.12 && above_floor.mean_used > 0.25, "{above_floor}");
}
