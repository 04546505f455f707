//! The forced effect of leaving a step out is the conditional information that it carries, where that is known exactly.
//!
//! An exact Bayesian observer of the channel of `entrace_worlds` reads numbered steps in whatever number and states its posterior given those
//! that it sees. Over all traces, Σ p(q, c, a) [ln p(a | q, c) − ln p(a | q, c without step k)] = I(A; C_k | Q, C without k).

use super::support::{Patient, close, engine, measurement, of_kind, plan, record};
use entrace_backend::scripted::{Scripted, Vocabulary};
use entrace_datasets::FormatKind;
use entrace_intervene::{Draws, measure};
use entrace_measure::intervention::{Kind, Reading};
use entrace_measure::{Choices, Question, Segmentation, TokenId};
use entrace_record::rows::InterventionRow;
use entrace_run::{Measurement, Prompting, TraceInput, WorkItem};
use entrace_worlds::channel::{Asked, Channel, Options};
use std::collections::BTreeMap;
use std::sync::Arc;

const K: usize = 4;
const LABELS: [&str; 4] = ["A", "B", "C", "D"];

fn channel() -> Channel {
    Channel::new(Options { asked: Asked::AtEnd, seed: 7, ..Options::default() }).unwrap()
}

/// p(q, c, a) summed over the steps that are not seen, for each answer.
fn seen(joint: &[Vec<f64>], question: usize, steps: &[Option<usize>]) -> Vec<f64> {
    let mut sums = vec![0.0; LABELS.len()];
    for code in 0..1 << K {
        let bit = |k: usize| code >> (K - 1 - k) & 1;
        if steps.iter().enumerate().all(|(k, step)| step.is_none_or(|step| step == bit(k))) {
            sums.iter_mut().zip(&joint[(question << K) + code]).for_each(|(sum, p)| *sum += p);
        }
    }
    sums
}

fn vocabulary() -> Vocabulary {
    let questions = (0..4).map(|q| format!("q{q}"));
    let steps = (1..=K).flat_map(|k| [0, 1].map(|symbol| format!("s{k}:{symbol}\n")));
    let pieces: Vec<String> = questions
        .chain(steps)
        .chain(["=".to_string()])
        .chain(LABELS.map(|label| format!(" {label}")))
        .collect();
    Vocabulary::bare(pieces.iter().map(String::as_str))
}

/// The observer: after the cue its posterior, else anything.
fn observer(channel: &Channel) -> Scripted {
    let joint = channel.law().prefix_joint(K).rows().to_vec();
    let vocabulary = vocabulary();
    let words = vocabulary.clone();
    let script = move |tokens: &[TokenId]| {
        let texts: Vec<&str> = tokens.iter().map(|&token| words.token_text(token)).collect();
        let mut probs = vec![1.0 / words.len() as f64; words.len()];
        if texts.last() == Some(&"=") {
            let question = texts[0][1..].parse().unwrap();
            let mut steps = [None; K];
            for step in texts.iter().filter(|text| text.starts_with('s')) {
                let k: usize = step[1..2].parse().unwrap();
                steps[k - 1] = step[3..4].parse().ok();
            }
            let posterior = seen(&joint, question, &steps);
            let sum: f64 = posterior.iter().sum();
            probs = vec![0.0; words.len()];
            let first = words.len() - LABELS.len();
            posterior.iter().enumerate().for_each(|(a, p)| probs[first + a] = p / sum);
        }
        probs
    };
    Scripted::new(vocabulary, script)
}

fn items() -> Vec<WorkItem> {
    let item = |row: usize| {
        let (question, code) = (row >> K, row & ((1 << K) - 1));
        let text: String = (0..K).map(|k| format!("s{}:{}\n", k + 1, code >> (K - 1 - k) & 1)).collect();
        let owned = |items: [&str; 4]| items.map(str::to_string).to_vec();
        WorkItem {
            question: Arc::new(Question {
                task: super::support::TASK.into(),
                id: row.to_string(),
                text: format!("q{question}"),
                choices: Some(Choices::new(owned(LABELS), owned(["w", "x", "y", "z"])).unwrap()),
                target: None,
                rationale: None,
            }),
            prompting: Prompting::Verbatim(format!("q{question}")),
            traces: vec![(0, TraceInput::Imported { text, step_ends: None, correct: None })],
        }
    };
    (0..4 << K).map(item).collect()
}

fn probs(row: &InterventionRow) -> BTreeMap<String, f64> {
    let listed: Vec<(String, f64)> = serde_json::from_str(row.answers.as_deref().unwrap()).unwrap();
    listed.into_iter().collect()
}

fn entropy_given(joint: &[Vec<f64>], without: Option<usize>) -> f64 {
    let mut groups: BTreeMap<(usize, usize), Vec<f64>> = BTreeMap::new();
    for (row, probs) in joint.iter().enumerate() {
        let mask = without.map_or(0, |k| 1 << (K - 1 - k));
        let key = (row >> K, (row & ((1 << K) - 1)) & !mask);
        let sums = groups.entry(key).or_insert_with(|| vec![0.0; LABELS.len()]);
        sums.iter_mut().zip(probs).for_each(|(sum, p)| *sum += p);
    }
    let term = |probs: &Vec<f64>| {
        let sum: f64 = probs.iter().sum();
        probs.iter().filter(|&&p| p > 0.0).map(|p| -p * (p / sum).ln()).sum::<f64>()
    };
    groups.values().map(term).sum()
}

#[test]
fn leaving_a_step_out_costs_the_information_that_it_carries() {
    let channel = channel();
    let model = observer(&channel);
    let how = Measurement { cue: "=".into(), segmentation: Segmentation::Line, ..measurement(0) };
    let recording = record(&model, items(), how, FormatKind::Choice);
    let tasks = recording.tasks(&model, FormatKind::Choice);
    let plan = plan(&[Kind::Delete], &[Reading::Forced], Draws { fewest: 8, most: 8 }, 0);
    let measured = measure(engine(&model), None, &tasks, &recording.how, &plan, None, &mut Patient).unwrap();
    let joint = channel.law().prefix_joint(K).rows().to_vec();
    let standing: BTreeMap<String, BTreeMap<String, f64>> = of_kind(&measured.rows, "none", "forced")
        .into_iter()
        .map(|row| (row.question_id.to_string(), probs(row)))
        .collect();
    for k in 0..K {
        let mut effect = 0.0;
        let deleted =
            of_kind(&measured.rows, "delete", "forced").into_iter().filter(|row| row.step as usize == k + 1);
        for row in deleted {
            let number: usize = row.question_id.parse().unwrap();
            let (before, after) = (&standing[&*row.question_id], probs(row));
            for (label, p) in LABELS.iter().zip(&joint[number]) {
                effect += p * (before[*label].ln() - after[*label].ln());
            }
        }
        let exact = entropy_given(&joint, Some(k)) - entropy_given(&joint, None);
        println!("step {}: effect {effect:.6}, I(A; C_k | Q, C without k) {exact:.6}", k + 1);
        assert!(close(effect, exact) && exact > 0.0, "{effect} {exact}");
    }
}
