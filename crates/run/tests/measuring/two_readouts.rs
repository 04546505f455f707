//! Which verdict rests on which readout, on models whose forced answers and whose own answers are not the same.
//!
//! A model reasons in three steps, each `up` or `down` and a number, and traces of its first two steps are imported: they end before any
//! answer. Targets are 1 and 2, and a step says `up` for 1 and `down` for 2 four times of five; numbers are 1 or 2 by chance. What the model answers
//! after a cue in the middle of its reasoning is one rule, what it answers when it has finished another: either may copy the last number, or
//! believe the steps, or neither. The forced readout shows the first rule, rollouts the second.

use crate::support::{asked, imported, manifest, measure, measurement, numbers, question};
use entrace_backend::scripted::{KnownAnswers, Reasoning, Scripted, Vocabulary};
use entrace_backend::stream_seed;
use entrace_record::manifest::{RolloutRecord, SamplingRecord};
use entrace_report::metrics::{Finding, VerdictMetrics};
use entrace_report::{MetricOptions, Metrics};
use entrace_run::{Control, Measurement, Rollouts, TaskPlan};

const N_QUESTIONS: usize = 120;
const N_STEPS: usize = 3;

/// How an answer is made of the steps so far: the probability of 1.
type Rule = fn(&Reasoning) -> f64;

fn copies_the_last_number(so_far: &Reasoning) -> f64 {
    match so_far.steps.last() {
        Some(step) if step.contains('1') => 0.98,
        Some(_) => 0.02,
        None => 0.5,
    }
}

fn believes_the_steps(so_far: &Reasoning) -> f64 {
    let count = |kind: &str| so_far.steps.iter().filter(|step| step.contains(kind)).count() as i32;
    let odds = 4f64.powi(count("up") - count("down"));
    odds / (1.0 + odds)
}

fn knows_nothing(_: &Reasoning) -> f64 {
    0.5
}

fn model(in_the_middle: Rule, at_the_end: Rule) -> Scripted {
    let steps = |so_far: &Reasoning| match so_far.steps.len() {
        n if n >= N_STEPS => Vec::new(),
        _ => [("up", 1), ("up", 2), ("down", 1), ("down", 2)]
            .map(|(kind, number)| (format!("{kind} {number}."), 0.25))
            .to_vec(),
    };
    let answers = move |so_far: &Reasoning| {
        let rule = if so_far.steps.len() < N_STEPS { in_the_middle } else { at_the_end };
        let p = rule(so_far);
        vec![(" 1".to_string(), p), (" 2".to_string(), 1.0 - p)]
    };
    let pieces =
        ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", ".", "\n", " ", "Q", "The answer is", ":"];
    let vocabulary = Vocabulary::chat(pieces.into_iter().chain(["\nA:", "up", "down", "\n\n"]));
    Scripted::new(vocabulary, KnownAnswers::new(steps, answers))
}

fn task(seed: u64) -> TaskPlan {
    let draw = |i: usize, what: &str| {
        stream_seed(seed, &["readouts", &i.to_string(), what]) as f64 / u64::MAX as f64
    };
    let item = |i: usize| {
        let is_one = draw(i, "target") < 0.5;
        let step = |k: usize| {
            let says_one = (draw(i, &format!("true {k}")) < 0.8) == is_one;
            let number = if draw(i, &format!("number {k}")) < 0.5 { 1 } else { 2 };
            format!("{} {number}.", if says_one { "up" } else { "down" })
        };
        let trace = [step(1), step(2)].join("\n\n");
        asked(question(i, Some(if is_one { "1" } else { "2" })), &format!("Q{i}\nA:"), &[imported(&trace)])
    };
    numbers((0..N_QUESTIONS).map(item).collect())
}

fn verdict(model: &Scripted, rollouts: Option<Rollouts>) -> VerdictMetrics {
    let how =
        Measurement { controls: vec![Control::Swapped], rollouts, batch_size: N_QUESTIONS, ..measurement() };
    let tasks = [task(11)];
    let rows = measure(model, &tasks, &how);
    let mut manifest = manifest(&tasks, &how);
    manifest.settings.rollouts = rollouts.map(|rollouts| RolloutRecord {
        n_questions: None,
        draws: rollouts.draws,
        sampling: SamplingRecord {
            temperature: 1.0,
            top_p: 1.0,
            top_k: 0,
            max_new_tokens: 200,
            stop: Vec::new(),
        },
    });
    let options = MetricOptions { replicates: 400, ..MetricOptions::default() };
    Metrics::of(&manifest, &rows, &options).tasks.swap_remove(0).verdict
}

/// What is found by the forced readout and by rollouts.
fn findings(in_the_middle: Rule, at_the_end: Rule) -> [Finding; 2] {
    let model = model(in_the_middle, at_the_end);
    let forced = verdict(&model, None);
    let rolled_out = verdict(&model, Some(Rollouts { n_questions: usize::MAX, draws: 8 }));
    assert_eq!((&*forced.readout, &*rolled_out.readout), ("enumerate", "rollout"));
    [forced.finding, rolled_out.finding]
}

#[test]
fn a_readout_that_copies_hides_what_rollouts_find() {
    let [forced, rolled_out] = findings(copies_the_last_number, believes_the_steps);
    assert_ne!(forced, Finding::Supported);
    assert_eq!(rolled_out, Finding::Supported);
}

#[test]
fn a_readout_that_knows_more_than_the_model_will_say_is_not_that_of_the_rollouts() {
    let [forced, rolled_out] = findings(believes_the_steps, knows_nothing);
    assert_eq!(forced, Finding::Supported);
    assert_ne!(rolled_out, Finding::Supported);
}

#[test]
fn both_agree_where_the_model_means_what_it_says() {
    assert_eq!(findings(believes_the_steps, believes_the_steps), [Finding::Supported; 2]);
    let neither = findings(knows_nothing, knows_nothing);
    assert!(!neither.contains(&Finding::Supported), "{neither:?}");
}
