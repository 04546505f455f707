//! Comparisons of runs of which the difference is known, and of runs that cannot be compared.

use entrace_record::RunWriter;
use entrace_record::manifest::TraceSource;
use entrace_record::rows::{PrefixRow, TraceRow};

use super::*;
use crate::synthetic;

fn options() -> MetricOptions {
    MetricOptions::default()
}

fn stage(name: &str, n_questions: usize, seed: u64) -> Stage {
    let (manifest, rows) = synthetic::run(n_questions, seed);
    Stage::of_rows(name, &manifest, &rows)
}

/// The same run after an edit of its prefixes.
fn edited(name: &str, edit: impl Fn(&mut PrefixRow)) -> Stage {
    let (manifest, mut rows) = synthetic::run(40, 4);
    rows.prefixes.iter_mut().for_each(edit);
    Stage::of_rows(name, &manifest, &rows)
}

fn quantity<'a>(task: &'a TaskComparison, name: &str) -> &'a QuantityComparison {
    task.quantities.iter().find(|q| q.quantity == name).unwrap()
}

#[test]
fn a_run_does_not_differ_from_itself() {
    let comparison = of(&[stage("a", 40, 4), stage("b", 40, 4)], &options()).unwrap();
    assert_eq!(comparison.tasks.len(), 2);
    for task in &comparison.tasks {
        assert_eq!((task.quantities.len(), task.n_questions), (13, 40));
        for quantity in &task.quantities {
            assert_eq!(quantity.stages[0], quantity.stages[1], "{}", quantity.quantity);
            let change = &quantity.changes[0];
            assert!(
                change.difference.value.unwrap().abs() < 1e-12 && change.p_value.is_none_or(|p| p > 0.99)
            );
            assert!(change.difference.low.is_none() && !change.is_clear());
        }
        assert!(task.summary.contains("nothing changes clearly"), "{}", task.summary);
    }
}

#[test]
fn what_changed_is_found_and_the_rest_is_not() {
    let sharper = edited("tuned", |row| {
        if &*row.control == "none" && row.step > 0 {
            row.answer_entropy *= 0.5;
            row.information_gain =
                row.information_gain.map(|gain| gain + 0.1 * f64::from(row.step % 3) + 0.2);
        }
    });
    let comparison = of(&[edited("base", |_| ()), sharper], &options()).unwrap();
    let task = &comparison.tasks[0];
    for (name, sign) in [("entropy_last", -1.0), ("gain", 1.0), ("effective_answers", -1.0)] {
        let change = &quantity(task, name).changes[0];
        assert!(change.is_clear(), "{name} {change:?}");
        assert!(sign * change.difference.value.unwrap() > 0.0, "{name}");
        assert!(change.holm_p >= change.p_value);
    }
    for name in ["accuracy", "entropy_first", "switches", "lock_in_depth"] {
        assert!(!quantity(task, name).changes[0].is_clear(), "{name}");
    }
    assert!(task.summary.contains("the entropy at the end falls by"), "{}", task.summary);
    assert!(task.summary.contains("No clear change: accuracy"), "{}", task.summary);
}

/// Stages of the single run and stages of the report agree on what they both hold.
#[test]
fn stages_have_the_values_of_the_metrics() {
    let (manifest, rows) = synthetic::run(40, 4);
    let metrics = crate::Metrics::of(&manifest, &rows, &options());
    let comparison = of(&[stage("a", 40, 4), stage("b", 40, 5)], &options()).unwrap();
    for (task, metrics) in comparison.tasks.iter().zip(&metrics.tasks) {
        let same = |name: &str, value: Option<f64>| {
            let found = quantity(task, name).stages[0].value.unwrap();
            assert!((found - value.unwrap()).abs() < 1e-12, "{name}: {found} {value:?}");
        };
        let last = crate::depth::FINAL;
        same("accuracy", metrics.accuracy.value);
        same("entropy_first", metrics.entropy.all.value[0]);
        same("entropy_last", metrics.entropy.all.value[last]);
        same("gain", metrics.information_gain.all.value[last]);
        same("usable_information", metrics.verdict.usable_information.value);
        same("net_information", metrics.verdict.net_information().unwrap().value);
        same("information_per_step", metrics.by_length.usable_information.per_step.value);
        same("auroc", metrics.separability.value[last]);
        same("effective_answers", metrics.profile.effective_answers_last.all.value);
        same("switches", metrics.profile.switches.all.value);
    }
}

/// A run of `n` questions whose entropies fall by given amounts.
fn falling(name: &str, n: usize, fall: impl Fn(usize) -> f64) -> Stage {
    let (manifest, mut rows) = synthetic::run(n, 4);
    for row in &mut rows.prefixes {
        let question: usize = row.question_id[1..].parse().unwrap();
        row.answer_entropy = 1.5 - fall(question);
    }
    Stage::of_rows(name, &manifest, &rows)
}

#[test]
fn few_questions_show_sizes_and_no_p_values() {
    let fall = |question: usize| if question == 0 { 0.2 } else { 0.5 };
    let comparison = of(&[falling("a", 2, |_| 0.0), falling("b", 2, fall)], &options()).unwrap();
    let task = &comparison.tasks[0];
    let change = &quantity(task, "entropy_last").changes[0];
    assert!((change.difference.value.unwrap() + 0.35).abs() < 1e-12);
    assert!(change.difference.low.unwrap() < -1.0 && change.difference.high.unwrap() > 0.0, "{change:?}");
    assert!(change.p_value.is_none() && change.holm_p.is_none() && !change.is_clear());
    assert!(change.untested.as_deref().unwrap().contains("only 2 questions have values in both"));
    assert!(task.summary.contains("no change can be tested, for want of questions"), "{}", task.summary);
    assert!(crate::terminal::comparison(&comparison).contains("not tested"));
    assert!(files(&comparison).unwrap()["compare.html"].contains("not tested"));
}

#[test]
fn equal_changes_of_all_questions_are_tested_by_sign_flips() {
    let comparison = of(&[falling("a", 11, |_| 0.0), falling("b", 11, |_| 0.1)], &options()).unwrap();
    let change = &quantity(&comparison.tasks[0], "entropy_last").changes[0];
    assert!(change.difference.low.is_none());
    // Ten or eleven questions in one direction: 2/2^n of all patterns of signs.
    let p = change.p_value.unwrap();
    assert!((0.0005..0.004).contains(&p), "{p}");
}

#[test]
fn areas_of_few_verdicts_change_without_a_test() {
    let few = |name: &str, seed: u64| {
        let (manifest, mut rows) = synthetic::run(40, seed);
        for row in rows.traces.iter_mut().filter(|row| row.correct.is_some()) {
            row.correct = Some(row.question_id.ends_with('1'));
        }
        Stage::of_rows(name, &manifest, &rows)
    };
    let comparison = of(&[few("a", 4), few("b", 5)], &options()).unwrap();
    let task = &comparison.tasks[0];
    let change = &quantity(task, "auroc").changes[0];
    assert!(change.difference.value.is_some() && change.difference.low.is_none() && change.holm_p.is_none());
    assert!(change.untested.as_deref().unwrap().contains("rarer verdict"), "{change:?}");
    assert!(
        task.summary.contains("Not tested, for want of questions: the AUROC of −H(1)"),
        "{}",
        task.summary
    );
    let tested = task.quantities.iter().flat_map(|q| &q.changes).filter(|c| c.p_value.is_some()).count();
    let smallest =
        task.quantities.iter().flat_map(|q| &q.changes).filter_map(|c| c.p_value).fold(1.0, f64::min);
    let adjusted =
        task.quantities.iter().flat_map(|q| &q.changes).filter_map(|c| c.holm_p).fold(1.0, f64::min);
    assert!(
        (adjusted - (smallest * tested as f64).min(1.0)).abs() < 1e-12,
        "Holm counts tests that were made"
    );
}

#[test]
fn long_names_of_stages_are_told_apart() {
    let names = ["Qwen2.5-Math-1.5B_gsm8k", "Qwen2.5-Math-7B_gsm8k", "Qwen2.5-Math-72B<&>_gsm8k"];
    let stages: Vec<Stage> = names.iter().map(|name| stage(name, 20, 4)).collect();
    let comparison = of(&stages, &options()).unwrap();
    let svg = &files(&comparison).unwrap()["figures/gsm8k_stages.svg"];
    assert!(svg.contains("<title>gsm8k at each stage: Qwen2.5-Math-1.5B_gsm8k, "), "{}", &svg[..600]);
    assert!(svg.contains(">7B: Qwen2.5-Math-7B_gsm8k</text>") && svg.contains("72B&lt;&amp;&gt;"));
    let short = files(&of(&[stage("a", 20, 4), stage("b", 20, 5)], &options()).unwrap()).unwrap();
    assert!(!short["figures/gsm8k_stages.svg"].contains(">a: a</text>"));
}

#[test]
fn three_stages_have_three_changes() {
    let stages = [stage("base", 40, 4), stage("sft", 40, 5), stage("rl", 40, 6)];
    let comparison = of(&stages, &options()).unwrap();
    let changes = &comparison.tasks[0].quantities[0].changes;
    let pairs: Vec<(usize, usize)> = changes.iter().map(|change| (change.from, change.to)).collect();
    assert_eq!(pairs, [(0, 1), (1, 2), (0, 2)]);
    let value = |i: usize| changes[i].difference.value.unwrap();
    assert!((value(0) + value(1) - value(2)).abs() < 1e-12);
}

/// Runs that differ by chance only: P(Binomial(60, 0.05) > 9) = 0.002 for a clear change anywhere in a task.
#[test]
fn chance_is_not_a_clear_change() {
    let resampling = Resampling { replicates: 2_000, ..Resampling::default() };
    let found = (0..60).filter(|seed| {
        let pair = [stage("a", 24, 2 * seed), stage("b", 24, 2 * seed + 1)];
        let tasks = [&pair[0].tasks[0], &pair[1].tasks[0]];
        changes::quantities(&tasks, &resampling).iter().any(|q| q.changes[0].is_clear())
    });
    let count = found.count();
    println!("false changes: {count} of 60");
    assert!(count <= 9, "{count}");
}

#[test]
fn what_is_not_comparable_is_refused_with_all_that_differs() {
    let (manifest, rows) = synthetic::run(20, 4);
    let first = Stage::of_rows("base", &manifest, &rows);
    let mut other = manifest.clone();
    other.settings.cue = "\\boxed{".into();
    other.settings.segment = "sentence".into();
    other.settings.enumerate_epsilon = 0.1;
    other.settings.max_answer_tokens = Some(2);
    other.settings.samples = 64;
    other.settings.choice_form = "text".into();
    let mut fewer = rows.clone();
    fewer.traces.retain(|row| &*row.task != "gsm8k" || &*row.question_id < "q015");
    let error = of(&[first, Stage::of_rows("tuned", &other, &fewer)], &options()).unwrap_err().to_string();
    for part in [
        r#"answer cue: "\nThe answer is" in base, "\\boxed{" in tuned"#,
        "segmentation: auto in base, sentence in tuned",
        "enumeration epsilon: 0.01",
        "most tokens of an answer: 16 in base, 2 in tuned",
        "choice form: label",
        "questions of gsm8k: 15 are in both, of 20 in base and 15 in tuned",
    ] {
        assert!(error.contains(part), "{part} not in {error}");
    }
    assert!(!error.contains("draws"), "no estimator draws: {error}");
    assert!(matches!(of(&[], &options()), Err(Error::TooFewRuns { found: 0 })));
}

/// A run whose questions were edited.
fn asked(name: &str, edit: impl Fn(&mut TraceRow)) -> Stage {
    let (manifest, mut rows) = synthetic::run(20, 4);
    rows.traces.iter_mut().for_each(edit);
    Stage::of_rows(name, &manifest, &rows)
}

#[test]
fn other_questions_under_the_same_ids_are_refused() {
    let other = |edit: fn(&mut TraceRow)| {
        of(&[asked("base", |_| ()), asked("tuned", edit)], &options()).unwrap_err().to_string()
    };
    let error = other(|row| {
        if &*row.task == "gsm8k" && &*row.question_id >= "q008" {
            row.question = format!("Two rows of {} chairs. How many chairs?", row.question_id);
        }
    });
    for part in [
        "questions of gsm8k: 12 of the 20 ids in both runs stand for different questions, first \"q008\": \"A shelf holds 11 jars.",
        "…\" in base, \"Two rows of q008 chairs. How many chairs?\" in tuned",
        "measure both runs on the same file",
    ] {
        assert!(error.contains(part), "{part} not in {error}");
    }
    assert!(!error.contains("arc_easy"), "{error}");
    let error = other(|row| row.target = row.target.take().map(|target| format!("{target}0")));
    assert!(error.contains(" has the target D in base, D0 in tuned"), "{error}");
    let error = other(|row| row.choices = row.choices.as_ref().map(|json| json.replace("magnet", "coin")));
    assert!(error.contains("has the options") && error.contains("coin"), "{error}");
}

#[test]
fn scored_traces_are_compared_with_a_run_on_the_same_questions() {
    let (mut manifest, mut rows) = synthetic::run(20, 4);
    let run = Stage::of_rows("run", &manifest, &rows);
    manifest.settings.traces =
        TraceSource::Imported { path: "t.jsonl".into(), hash: String::new(), sampling: None };
    for row in &mut rows.traces {
        row.prompt = format!("<user>{}\nThink first.<assistant>", row.question);
        row.question = row.prompt.clone();
        row.choices = None;
    }
    of(&[run, Stage::of_rows("score", &manifest, &rows)], &options()).unwrap();
}

#[test]
fn other_settings_are_noted_and_missing_tasks_left_out() {
    let (mut manifest, mut rows) = synthetic::run(20, 4);
    let first = Stage::of_rows("base", &manifest, &rows);
    manifest.settings.model.name = "example/other".into();
    manifest.settings.seed += 1;
    rows.traces.retain(|row| &*row.task == "arc_easy");
    let comparison = of(&[first, Stage::of_rows("tuned", &manifest, &rows)], &options()).unwrap();
    assert_eq!(comparison.tasks_left_out, ["gsm8k"]);
    assert_eq!(comparison.notes, ["seed: 7 in base, 8 in tuned"]);
}

#[test]
fn runs_without_controls_or_verdicts_compare_what_they_have() {
    let bare = |name: &str, seed: u64| {
        let (manifest, mut rows) = synthetic::run(20, seed);
        rows.prefixes.retain(|row| &*row.control == "none");
        rows.traces.iter_mut().for_each(|row| (row.correct, row.target) = (None, None));
        rows.prefixes.iter_mut().for_each(|row| row.information_gain = None);
        Stage::of_rows(name, &manifest, &rows)
    };
    let comparison = of(&[bare("a", 1), bare("b", 2)], &options()).unwrap();
    let task = &comparison.tasks[0];
    for name in ["accuracy", "gain", "net_information", "usable_information", "auroc"] {
        let quantity = quantity(task, name);
        assert!(quantity.stages[0].value.is_none() && quantity.changes[0].p_value.is_none(), "{name}");
        assert!(quantity.changes[0].difference.reason.is_some(), "{name}");
    }
    assert!(quantity(task, "entropy_last").changes[0].p_value.is_some());
    files(&comparison).unwrap();
}

#[test]
fn folders_are_compared_and_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut runs = Vec::new();
    for (name, seed) in [("base</style><script>", 4), ("tuned", 5)] {
        let (manifest, rows) = synthetic::run(20, seed);
        let run = dir.path().join(name.replace('/', ""));
        let writer = RunWriter::overwrite(&run, &manifest).unwrap();
        writer.write_part(0, &rows).unwrap();
        runs.push(run);
    }
    let out = dir.path().join("out");
    let stage =
        |(run, name): (&PathBuf, String)| Stage::of_run(&name, &RunReader::open(run).unwrap()).unwrap();
    let stages: Vec<Stage> = runs.iter().zip(names(&runs)).map(stage).collect();
    let comparison = of(&stages, &options()).unwrap();
    write(&comparison, &out).unwrap();
    let json = std::fs::read_to_string(out.join("compare.json")).unwrap();
    assert_eq!(serde_json::from_str::<Comparison>(&json).unwrap(), comparison);
    let page = std::fs::read_to_string(out.join("compare.html")).unwrap();
    assert!(page.ends_with("</html>") && !page.contains("<script") && !page.contains("NaN"));
    assert_eq!(page.matches("</style>").count(), 1);
    assert!(out.join("figures/gsm8k_stages.svg").exists());
    let table = crate::terminal::comparison(&comparison);
    assert!(table.contains("On the same 20 questions"), "{table}");
}

#[test]
fn equal_names_are_told_apart() {
    let named = |paths: &[&str]| names(&paths.iter().map(PathBuf::from).collect::<Vec<_>>());
    assert_eq!(named(&["runs/a", "runs/b"]), ["a", "b"]);
    assert_eq!(named(&["x/run", "y/run"]), ["x/run", "y/run"]);
    assert_eq!(named(&["/home/ann/x/run", "/home/ann/y/run"]), ["x/run", "y/run"]);
    assert_eq!(named(&["/home/ann/run", "/home/ann/run"]), ["run", "run"]);
}

#[test]
fn a_sample_comparison_can_be_looked_at() {
    let Ok(dir) = std::env::var("ENTRACE_REPORT_SAMPLE") else {
        println!("skipped: ENTRACE_REPORT_SAMPLE is not set to a folder");
        return;
    };
    let sharper = edited("instruct", |row| {
        if &*row.control == "none" && row.step > 0 {
            row.answer_entropy *= 0.6;
            row.information_gain = row.information_gain.map(|gain| gain + 0.1 * f64::from(row.step));
        }
    });
    let stages = [edited("base", |_| ()), stage("sft-checkpoint-0400", 40, 5), sharper];
    let comparison = of(&stages, &options()).unwrap();
    write_files(&Path::new(&dir).join("compare"), &files(&comparison).unwrap()).unwrap();
    println!("{}", crate::terminal::comparison(&comparison));
}
