//! What a run measures with `choices` against the exact gain.
//!
//! A model learns a channel; its exported checkpoint is measured by the decoder and the walk, with traces and answers drawn from a
//! joint that is known. Each belief is compared with the exact table, read off the model by the trainer's forward pass. The mean
//! G_n(k) over n draws has the expectation Σ p(q, c_{1:k}, a) [ln p_θ(a | q, c_{1:k}) − ln p_θ(a | q)] and a deviation s/√n with s as exact.
//!
//! * Draws from the channel: the expectation is the gain on true prefixes.
//! * Draws of the model's own steps and of its answer after all of them: the expectation at depth K is I_θ(A; C_{1:K} | Q) plus
//!   E KL(p_θ,K(A|Q) ‖ p_θ(A|Q)), by how much the answer that its traces imply differs from the one it gives at once.
//!
//! A mean lies further than four deviations from its expectation with probability 7e-5, if it is normal; one of the 24 means does with
//! probability 2e-3. Draws are seeded, so that the tests fail on every machine or hardly anywhere.

use crate::world::{Lesson, World};
use entrace_backend::Sampling;
use entrace_datasets::FormatKind;
use entrace_decoder::{LanguageModel, Options as DecoderOptions};
use entrace_measure::{Answer, Choices, Question, Segmentation};
use entrace_record::manifest::{Manifest, TaskRecord, TraceSource};
use entrace_record::rows::PrefixRow;
use entrace_record::{RunReader, RunWriter};
use entrace_run::{Engine, Measurement, Prompting, TaskPlan, TraceInput, TraceMaking, WorkItem};
use entrace_worlds::channel::{Channel, Episode, Law, Options, compare};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::sync::Arc;

const N_DRAWS: [usize; 3] = [100, 400, 1600];

/// Episodes of all K steps from a law.
fn draw(law: &Law, seed: u64, n: usize) -> Vec<Episode> {
    let k = law.n_steps();
    let joint = law.prefix_joint(k);
    let rows = joint.rows().iter().enumerate();
    let cells: Vec<((usize, usize), f64)> = rows
        .flat_map(|(row, probs)| probs.iter().enumerate().map(move |(answer, prob)| ((row, answer), *prob)))
        .collect();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let episode = |_| {
        let mut left: f64 = rng.random();
        let hit = cells.iter().position(|(_, prob)| {
            left -= prob;
            left < 0.0
        });
        let ((row, answer), _) = cells[hit.unwrap_or(cells.len() - 1)];
        let steps = (0..k).map(|j| row >> (k - 1 - j) & 1).collect();
        Episode { question: row >> k, steps, answer }
    };
    (0..n).map(episode).collect()
}

/// Expectation and deviation of ln p_θ(a | q, c_{1:k}) − ln p_θ(a | q) under a joint.
fn exact_gain(truth: &Law, model: &Law, k: usize) -> (f64, f64) {
    let (mut mean, mut square) = (0.0, 0.0);
    for (row, probs) in truth.prefix_joint(k).rows().iter().enumerate() {
        let steps: Vec<usize> = (0..k).map(|j| row >> (k - 1 - j) & 1).collect();
        let (before, after) = (model.posterior(row >> k, &[]), model.posterior(row >> k, &steps));
        for (a, prob) in probs.iter().enumerate() {
            let gain = after[a].ln() - before[a].ln();
            mean += prob * gain;
            square += prob * gain * gain;
        }
    }
    (mean, (square - mean * mean).sqrt())
}

fn label(answer: usize) -> String {
    char::from(b'A' + answer as u8).to_string()
}

/// The episodes as questions with imported traces.
fn task(channel: &Channel, episodes: &[Episode]) -> TaskPlan {
    let labels: Vec<String> = (0..channel.options().n_answers).map(label).collect();
    let choices = Choices::new(labels.clone(), labels).unwrap();
    let item = |(index, episode): (usize, &Episode)| {
        let prompt = format!("q{}", episode.question);
        let trace = episode.steps.iter().map(|symbol| format!(" {symbol}")).collect::<String>();
        let question = Question {
            task: "channel".into(),
            id: index.to_string(),
            text: prompt.clone(),
            choices: Some(choices.clone()),
            target: Some(Answer::Value(label(episode.answer).as_str().into())),
            rationale: None,
        };
        let trace = TraceInput::Imported { text: trace, step_ends: None, correct: None };
        WorkItem {
            question: Arc::new(question),
            prompting: Prompting::Verbatim(prompt),
            traces: vec![(0, trace)],
        }
    };
    let items = episodes.iter().enumerate().map(item).collect();
    TaskPlan { name: "channel".into(), format: FormatKind::Choice.format(), items }
}

fn measurement() -> Measurement {
    let sampling = Sampling { temperature: 1.0, top_p: 1.0, top_k: 0, max_new_tokens: 8, stop: Vec::new() };
    Measurement {
        cue: " =".into(),
        samples: 8,
        epsilon: 0.0,
        max_nodes: 16,
        max_answer_tokens: 2,
        segmentation: Segmentation::Tokens(1),
        controls: Vec::new(),
        control_depths: None,
        traces: TraceMaking { sampling },
        batch_size: 256,
        ..Measurement::default()
    }
}

fn manifest(model: &LanguageModel, n_questions: usize, how: &Measurement) -> Manifest {
    let measured = entrace_run::Measured {
        tasks: vec![TaskRecord {
            name: "channel".into(),
            source: "here".into(),
            hash: String::new(),
            items_hash: String::new(),
            n_available: 0,
            n_questions,
            n_bad_lines: 0,
            answer_format: "choice".into(),
            estimator: how.estimator.name().into(),
        }],
        traces: TraceSource::Imported { path: "here".into(), hash: String::new(), sampling: None },
        revision: None,
        template_vars: BTreeMap::new(),
    };
    Manifest::begun(how.settings(model, measured), Vec::new(), None)
}

/// What a run recorded.
struct Measured {
    /// ℓ_k − ℓ_0 by question and step.
    gains: BTreeMap<(usize, usize), f64>,
    /// p_k by question, step and answer.
    beliefs: BTreeMap<(usize, usize, String), f64>,
}

fn measure(model: &LanguageModel, channel: &Channel, episodes: &[Episode]) -> Measured {
    let (tasks, how) = ([task(channel, episodes)], measurement());
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, _) = RunWriter::open(dir.path(), &manifest(model, episodes.len(), &how)).unwrap();
    let engine = Engine { text: model, generator: Some(model), scorer: Some(model), layers: None };
    entrace_run::run(engine, &tasks, &how, &mut writer, &mut ()).unwrap();

    let reader = RunReader::open(dir.path()).unwrap();
    let gain = |row: &PrefixRow| {
        assert_eq!((&*row.estimator, row.step), ("choices", row.n_tokens));
        ((row.question_id.parse().unwrap(), row.step as usize), row.information_gain.unwrap())
    };
    let gains = reader.prefixes().unwrap().iter().map(gain).collect();
    let key = |id: &str, step: u32, answer: &str| (id.parse().unwrap(), step as usize, answer.to_string());
    let answers = reader.answers().unwrap();
    let beliefs =
        answers.iter().map(|row| (key(&row.question_id, row.step, &row.answer), row.prob)).collect();
    Measured { gains, beliefs }
}

/// Every measured belief against the exact table; how many there were.
fn check_beliefs(measured: &Measured, model: &Law, episodes: &[Episode]) -> usize {
    for ((index, step, answer), prob) in &measured.beliefs {
        let episode = &episodes[*index];
        let exact = model.posterior(episode.question, &episode.steps[..*step]);
        let exact = exact[usize::from(answer.as_bytes()[0] - b'A')];
        assert!((prob - exact).abs() < 1e-4, "{episode:?} after {step}, {answer}: {prob} for {exact}");
    }
    measured.beliefs.len()
}

/// The mean gain over the first n draws against its expectation.
fn check_means(measured: &Measured, truth: &Law, model: &Law) {
    println!("| k | exact | n | measured | error | deviation of the mean |\n|---|---|---|---|---|---|");
    for k in 1..=truth.n_steps() {
        let (exact, deviation) = exact_gain(truth, model, k);
        assert!((exact - compare(truth, model, k).gain_nats).abs() < 1e-9);
        for n in N_DRAWS {
            let mean = (0..n).map(|index| measured.gains[&(index, k)]).sum::<f64>() / n as f64;
            let (error, of_mean) = (mean - exact, deviation / (n as f64).sqrt());
            println!("| {k} | {exact:.4} | {n} | {mean:.4} | {error:.4} | {of_mean:.4} |");
            assert!(error.abs() < 4.0 * of_mean, "depth {k}, {n} draws: {mean} for {exact} ± {of_mean}");
            assert!(n < 1600 || error.abs() < 0.1, "depth {k}: {mean} for {exact}");
        }
    }
}

#[test]
fn the_measured_gain_converges_to_the_exact_one() {
    let world = World::new(Options { n_questions: 2, flip: 0.05, ..Options::default() });
    let lesson =
        Lesson { hidden_size: 48, n_episodes: 20_000, batch_tokens: 512, seed: 5, checkpoints: vec![600] };
    let folder = tempfile::tempdir().unwrap();
    let mut law = None;
    let checkpoint = lesson.teach(&world, folder.path(), &mut |_, model| law = Some(world.law(model).law));
    let law = law.unwrap();
    let now = jiff::civil::DateTime::default();
    let model = LanguageModel::open("channel", &checkpoint, DecoderOptions::default(), now).unwrap();

    let own = law.implied();
    for (name, truth, seed) in [("true traces", world.channel.law(), 1), ("own traces", &own, 2)] {
        println!("\n{name}");
        let episodes = draw(truth, seed, N_DRAWS[2]);
        let measured = measure(&model, &world.channel, &episodes);
        assert_eq!(check_beliefs(&measured, &law, &episodes), N_DRAWS[2] * 5 * 4);
        check_means(&measured, truth, &law);
    }
    let found = compare(&own, &law, 4);
    let surplus = own.prefix_joint(0).kl_nats(&law.prefix_joint(0));
    println!(
        "I_theta {:.4}, expected gain on own traces {:.4}",
        found.model_information_nats, found.gain_nats
    );
    assert!((found.gain_nats - found.model_information_nats - surplus).abs() < 1e-9);
    assert!(surplus < 0.1, "{surplus}");
}
