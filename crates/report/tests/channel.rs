//! Usable information where the exact information is known: the channel of `entrace_worlds`, in which the answer is random given the question
//! and steps reveal it bit by bit.
//!
//! An exact Bayesian observer states its posterior at every prefix, so that I(s) = I(A; C_{1:k} | Q); an observer that states anything else can
//! have less, never more. Every episode is a question of its own: the channel's questions are few, and the answer is drawn anew each time.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use entrace_record::rows::{AnswerRow, Outcome, PrefixRow, Rows, TraceRow};
use entrace_record::{FORMAT_VERSION, Manifest};
use entrace_report::metrics::{Curve, Quantity};
use entrace_report::{MetricOptions, Metrics};
use entrace_worlds::channel::{Asked, Channel, Options};

const LABELS: [&str; 4] = ["A", "B", "C", "D"];
/// Positions of the depths k/4 on the grid of 21.
const DEPTHS: [usize; 4] = [5, 10, 15, 20];

/// What an observer states where the posterior is this.
type Observer = fn(&[f64]) -> Vec<f64>;

fn exact(posterior: &[f64]) -> Vec<f64> {
    posterior.to_vec()
}

fn overconfident(posterior: &[f64]) -> Vec<f64> {
    let powers: Vec<f64> = posterior.iter().map(|p| p.powi(4)).collect();
    let total: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / total).collect()
}

fn channel(seed: u64) -> Channel {
    Channel::new(Options { asked: Asked::AtEnd, seed, ..Options::default() }).unwrap()
}

fn episodes(channel: &Channel, n: usize, observer: Observer) -> Rows {
    let mut rows = Rows::default();
    for index in 0..n {
        let episode = channel.sample(1, index as u64);
        let id: Arc<str> = format!("{index:06}").into();
        rows.traces.push(trace(&id, LABELS[episode.answer]));
        let belief = |k: usize| observer(channel.law().posterior(episode.question, &episode.steps[..k]));
        let first = belief(0)[episode.answer].ln();
        for k in 0..=episode.steps.len() {
            add_belief(&mut rows, &id, k, &belief(k), episode.answer, first);
        }
    }
    rows
}

fn trace(id: &Arc<str>, target: &str) -> TraceRow {
    TraceRow {
        task: "channel".into(),
        question_id: id.clone(),
        sample: 0,
        question: String::new(),
        choices: Some(r#"{"labels":["A","B","C","D"],"texts":["a","b","c","d"]}"#.into()),
        prompt: String::new(),
        completion: String::new(),
        target: Some(target.into()),
        answer: None,
        correct: None,
        stop_reason: None,
        n_prompt_tokens: 1,
        n_trace_tokens: 4,
        n_steps: 4,
        outcome: Outcome::Measured,
        reason: None,
        lock_in_step: None,
        total_drop: None,
        monotone: None,
        n_violations: None,
        late_slope: None,
        wasted_tokens: None,
    }
}

fn add_belief(rows: &mut Rows, id: &Arc<str>, step: usize, probs: &[f64], answer: usize, first: f64) {
    let best = (0..probs.len()).max_by(|&a, &b| probs[a].total_cmp(&probs[b])).unwrap();
    let entropy = -probs.iter().map(|p| p * p.ln()).sum::<f64>();
    rows.prefixes.push(PrefixRow {
        task: "channel".into(),
        question_id: id.clone(),
        sample: 0,
        control: "none".into(),
        step: step as u32,
        n_tokens: step as u32,
        depth: step as f64 / 4.0,
        estimator: "choices".into(),
        answer_entropy: entropy,
        entropy_lower: entropy,
        entropy_upper: entropy,
        entropy_drop: None,
        target_logprob: Some(probs[answer].ln()),
        information_gain: Some(probs[answer].ln() - first),
        leader: LABELS[best].into(),
        leader_prob: probs[best],
        elicited_mass: None,
        residual_mass: 0.0,
        n_samples: None,
        cue_entropy: None,
        answer_stated: None,
        target_stated: None,
        cue: Some(0),
    });
    rows.answers.extend(probs.iter().zip(LABELS).map(|(&prob, label)| AnswerRow {
        task: "channel".into(),
        question_id: id.clone(),
        sample: 0,
        control: "none".into(),
        step: step as u32,
        estimator: None,
        answer: label.into(),
        prob,
        logprob: prob.ln(),
        cue: Some(0),
    }));
}

/// I(s) and G(s).
fn measured(channel: &Channel, n: usize, observer: Observer) -> (Curve, Curve) {
    let options = MetricOptions { replicates: 200, ..MetricOptions::default() };
    let manifest: Manifest = serde_json::from_value(serde_json::json!({
        "format_version": FORMAT_VERSION, "entrace_version": "0", "started_at": "", "command": [], "unit": "nats",
        "settings": {
            "model": {"name": "observer", "revision": null, "architecture": "", "n_parameters": 0, "dtype": "", "device": "",
                      "context_length": 0, "model_hash": "", "tokenizer_hash": null, "template_hash": null},
            "tasks": [], "traces": {"kind": "imported", "path": "", "hash": ""}, "segment": "auto", "max_steps": null, "cue": "",
            "choice_form": "label", "samples": 0, "enumerate_epsilon": 0.01, "enumerate_nodes": 64, "controls": [], "seed": 0,
            "batch_size": 16
        }
    }))
    .unwrap();
    let metrics = Metrics::of(&manifest, &episodes(channel, n, observer), &options);
    let task = &metrics.tasks[0];
    (task.usable_information.all.clone(), task.information_gain.all.clone())
}

fn low(quantity: &Quantity) -> f64 {
    quantity.low.unwrap()
}

/// 50 worlds at four depths: the lower end of an interval lies above the exact information in 2.5 % of 200 cases, 5; more than 13 have
/// probability 0.0006.
#[test]
fn no_readout_has_more_than_the_exact_information() {
    for (what, observer) in [("exact", exact as Observer), ("overconfident", overconfident)] {
        let mut above = 0;
        for seed in 0..50 {
            let channel = channel(seed);
            let (information, _) = measured(&channel, 300, observer);
            let exceeds = |&(k, &at): &(usize, &usize)| {
                low(&information.at(at)) > channel.law().prefix_joint(k + 1).information_nats()
            };
            above += DEPTHS.iter().enumerate().filter(exceeds).count();
        }
        println!("{what}: {above} of 200 above");
        assert!(above <= 13, "{what}: {above}");
    }
}

#[test]
fn a_bayesian_observer_has_all_of_it_and_overconfidence_costs_only_raw_gain() {
    let channel = channel(7);
    let (information, _) = measured(&channel, 20_000, exact);
    let (certain, certain_gain) = measured(&channel, 20_000, overconfident);
    for (k, at) in DEPTHS.into_iter().enumerate() {
        let truth = channel.law().prefix_joint(k + 1).information_nats();
        let [exact, certain, gain] =
            [&information, &certain, &certain_gain].map(|curve| curve.value[at].unwrap());
        println!(
            "step {}: exact {truth:.3}, Bayesian {exact:.3}, logits × 4 {certain:.3}, its G {gain:.3}",
            k + 1
        );
        assert!((exact - truth).abs() < 0.02, "{exact} {truth}");
        assert!((certain - exact).abs() < 0.05, "{certain} {exact}");
    }
    assert!(certain_gain.value[DEPTHS[0]].unwrap() < information.value[DEPTHS[0]].unwrap() - 0.3);
}
