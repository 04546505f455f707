//! What the report's test of the assumption says of models that know nothing, and of one that learns at every step.
//!
//! Under the null hypothesis *supported* has a probability of at most 2.5 %. Of 200 runs then more than 12 are supported with probability
//! 2e-3. Questions have four options; traces are four hints, one a step, each naming an option.

use crate::support::{asked, choices, imported, manifest, measure, measurement, plan, question};
use entrace_backend::scripted::{Scripted, Vocabulary};
use entrace_backend::stream_seed;
use entrace_datasets::FormatKind;
use entrace_measure::{Question, Segmentation, TokenId};
use entrace_report::metrics::Finding;
use entrace_report::{MetricOptions, Metrics};
use entrace_run::{Control, Measurement, TaskPlan};

const N_SEEDS: u64 = 200;
const N_QUESTIONS: usize = 24;
const N_STEPS: u64 = 4;
const LABELS: [&str; 4] = ["A", "B", "C", "D"];
const HINTS: [char; 4] = ['w', 'x', 'y', 'z'];
/// Digits, hints, cue, options; the end of the turn comes before them.
const PIECES: [&str; 19] =
    ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "w", "x", "y", "z", "?", " A", " B", " C", " D"];
const FIRST_HINT: TokenId = 11;
const CUE: TokenId = 15;
const FIRST_LABEL: usize = 16;

/// A number on [0, 1) from a seed and tokens.
fn uniform(seed: u64, tokens: &[TokenId], label: usize) -> f64 {
    let parts: Vec<String> =
        tokens.iter().map(ToString::to_string).chain([format!("label {label}")]).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    stream_seed(seed, &parts) as f64 / u64::MAX as f64
}

fn n_prompt(tokens: &[TokenId]) -> usize {
    tokens.iter().take_while(|&&token| token < FIRST_HINT).count()
}

/// Strength of the belief in an option, given prompt and hints.
type Belief = fn(seed: u64, tokens: &[TokenId], label: usize) -> f64;

/// What the question alone suggests.
fn prior(seed: u64, tokens: &[TokenId], label: usize) -> f64 {
    3.0 * uniform(seed, &tokens[..n_prompt(tokens)], label)
}

/// Every hint moves the belief somewhere, without regard to what it says.
fn wandering(seed: u64, tokens: &[TokenId], label: usize) -> f64 {
    let moves = (n_prompt(tokens) + 1..=tokens.len()).map(|n| 3.0 * uniform(seed, &tokens[..n], label) - 1.5);
    prior(seed, tokens, label) + moves.sum::<f64>()
}

/// Hints are believed.
fn listening(seed: u64, tokens: &[TokenId], label: usize) -> f64 {
    let hints = tokens.iter().filter(|&&token| token == FIRST_HINT + label as TokenId).count();
    prior(seed, tokens, label) + 0.8 * hints as f64
}

fn model(seed: u64, belief: Belief) -> Scripted {
    let script = move |tokens: &[TokenId]| {
        let mut probs = vec![0.0; PIECES.len() + 1];
        match tokens.split_last() {
            Some((&CUE, before)) => {
                let strengths: Vec<f64> = (0..4).map(|label| belief(seed, before, label).exp()).collect();
                let sum: f64 = strengths.iter().sum();
                (0..4).for_each(|label| probs[FIRST_LABEL + label] = strengths[label] / sum);
            }
            _ => probs[0] = 1.0,
        }
        probs
    };
    Scripted::new(Vocabulary::bare(PIECES), script)
}

/// Questions with traces of hints, of which this share names the target and the rest anything.
fn task(seed: u64, true_hints: f64) -> TaskPlan {
    let options = choices(&LABELS, &["one", "two", "three", "four"]);
    let draw =
        |i: usize, what: &str| stream_seed(seed, &["hints", &i.to_string(), what]) as f64 / u64::MAX as f64;
    let item = |i: usize| {
        let target = (4.0 * draw(i, "target")) as usize % 4;
        let hint = |step: u64| {
            let any = (4.0 * draw(i, &format!("any {step}"))) as usize % 4;
            HINTS[if draw(i, &format!("true {step}")) < true_hints { target } else { any }]
        };
        let trace: String = (0..N_STEPS).map(hint).collect();
        let question = Question { choices: Some(options.clone()), ..question(i, Some(LABELS[target])) };
        asked(question, &format!("{i}"), &[imported(&trace)])
    };
    plan(FormatKind::Choice.format(), (0..N_QUESTIONS).map(item).collect())
}

/// Findings over seeds: supported, not supported, inconclusive.
fn findings(n_seeds: u64, belief: Belief, true_hints: f64) -> [usize; 3] {
    let mut counts = [0; 3];
    let how = Measurement {
        cue: "?".into(),
        segmentation: Segmentation::Tokens(1),
        controls: vec![Control::Swapped],
        batch_size: N_QUESTIONS,
        ..measurement()
    };
    let options = MetricOptions { replicates: 400, ..MetricOptions::default() };
    for seed in 0..n_seeds {
        let tasks = [task(seed, true_hints)];
        let rows = measure(&model(seed, belief), &tasks, &how);
        let metrics = Metrics::of(&manifest(&tasks, &how), &rows, &options);
        counts[match metrics.tasks[0].verdict.finding {
            Finding::Supported => 0,
            Finding::NotSupported => 1,
            Finding::Inconclusive => 2,
        }] += 1;
    }
    println!("supported {}, not supported {}, inconclusive {} of {n_seeds}", counts[0], counts[1], counts[2]);
    counts
}

#[test]
fn a_belief_that_ignores_the_trace_is_never_supported() {
    assert_eq!(findings(N_SEEDS, prior, 0.7)[0], 0);
}

#[test]
fn a_belief_that_wanders_is_supported_no_more_often_than_stated() {
    assert!(findings(N_SEEDS, wandering, 0.7)[0] <= 12);
}

#[test]
fn traces_that_belong_to_other_questions_are_supported_no_more_often_than_stated() {
    assert!(findings(N_SEEDS, listening, 0.0)[0] <= 12);
}

#[test]
fn traces_that_inform_step_by_step_are_supported() {
    let supported = findings(N_SEEDS, listening, 0.7)[0];
    assert!(supported >= 180, "{supported} of {N_SEEDS}");
}
