//! A small run for the tests. The frozen run in `tests/frozen` holds these very rows: add to them, but do not change them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::manifest::{FORMAT_VERSION, Manifest, ModelRecord, Settings, TaskRecord, TraceSource};
use crate::rows::{AnswerRow, Outcome, PrefixRow, Rows, SignalRow, TokenRow, TraceRow};

/// The manifest of a run that has just begun.
pub(crate) fn manifest() -> Manifest {
    Manifest {
        format_version: FORMAT_VERSION.to_owned(),
        entrace_version: "0.1.0".to_owned(),
        started_at: "2026-04-07T09:30:00Z".to_owned(),
        finished_at: None,
        elapsed_secs: 0.0,
        kernels: BTreeSet::new(),
        command: ["entrace", "run", "--limit", "2"].map(str::to_owned).to_vec(),
        unit: "nats".to_owned(),
        outputs: Vec::new(),
        tables: std::collections::BTreeMap::new(),
        clock: None,
        shard: None,
        servers: None,
        settings: settings(),
    }
}

fn settings() -> Settings {
    Settings {
        model: ModelRecord {
            name: "org/tiny".to_owned(),
            revision: None,
            architecture: "llama".to_owned(),
            n_parameters: Some(1_000),
            dtype: "f32".to_owned(),
            device: "cpu".to_owned(),
            context_length: 256,
            model_hash: Some("00".to_owned()),
            tokenizer_hash: Some("11".to_owned()),
            template_hash: None,
        },
        tasks: vec![TaskRecord {
            name: "sums".to_owned(),
            source: "sums.jsonl".to_owned(),
            hash: "22".to_owned(),
            items_hash: String::new(),
            n_available: 0,
            n_questions: 2,
            n_bad_lines: 0,
            answer_format: "number".to_owned(),
            estimator: "enumerate".to_owned(),
        }],
        traces: TraceSource::Generated {
            temperature: 0.7,
            top_p: 0.95,
            top_k: 0,
            max_new_tokens: 64,
            stop: vec!["\n\n".to_owned()],
            traces_per_question: 1,
            num_fewshot: 0,
            system: None,
            prompt_template: "chat".to_owned(),
        },
        segment: "lines".to_owned(),
        max_steps: None,
        cue: "\nThe answer is".to_owned(),
        more_cues: Vec::new(),
        thought_close: None,
        template_vars: BTreeMap::new(),
        choice_form: "label".to_owned(),
        samples: 0,
        enumerate_epsilon: 0.01,
        enumerate_nodes: 256,
        max_answer_tokens: None,
        controls: vec!["swapped".to_owned()],
        control_depths: None,
        control_nodes: None,
        rollouts: None,
        stopping: None,
        signals: vec!["p_true".to_owned()],
        seed: 1,
        batch_size: 8,
        method: 1,
    }
}

/// The rows of part `index`: one measured trace with two prefixes, and one that was skipped.
pub(crate) fn rows(index: usize) -> Rows {
    let task: Arc<str> = Arc::from("sums");
    let question_id: Arc<str> = Arc::from(format!("q{index}"));
    let measured = trace(&task, &question_id);
    let skipped = TraceRow {
        sample: 1,
        completion: String::new(),
        answer: None,
        correct: None,
        stop_reason: None,
        outcome: Outcome::Skipped,
        reason: Some("the prompt does not fit the context".to_owned()),
        total_drop: None,
        ..measured.clone()
    };
    let prefixes = [0, 1].map(|step| prefix(&task, &question_id, step)).to_vec();
    let answers = prefixes.iter().flat_map(|prefix| ["3", "4"].map(|answer| answered(prefix, answer)));
    Rows {
        traces: vec![measured, skipped],
        answers: answers.collect(),
        prefixes,
        tokens: (0..3).map(|at| token(&task, &question_id, at)).collect(),
        signals: vec![
            signal(&task, &question_id, "p_true", Some(0.8)),
            signal(&task, &question_id, "verbalised_confidence", None),
        ],
        decisions: Vec::new(),
    }
}

fn trace(task: &Arc<str>, question_id: &Arc<str>) -> TraceRow {
    TraceRow {
        task: Arc::clone(task),
        question_id: Arc::clone(question_id),
        sample: 0,
        question: "1 + 2 = ?".to_owned(),
        choices: None,
        prompt: "<s>1 + 2 = ?".to_owned(),
        completion: "1 + 2\nis 3 ✓".to_owned(),
        target: Some("3".to_owned()),
        answer: Some("3".to_owned()),
        correct: Some(true),
        stop_reason: Some("stop".to_owned()),
        n_prompt_tokens: 7,
        n_trace_tokens: 3,
        n_steps: 1,
        outcome: Outcome::Measured,
        reason: None,
        lock_in_step: Some(1),
        total_drop: Some(0.5),
        monotone: Some(true),
        n_violations: Some(0),
        late_slope: None,
        wasted_tokens: Some(0),
    }
}

fn prefix(task: &Arc<str>, question_id: &Arc<str>, step: u32) -> PrefixRow {
    PrefixRow {
        task: Arc::clone(task),
        question_id: Arc::clone(question_id),
        sample: 0,
        control: Arc::from("none"),
        step,
        n_tokens: 3 * step,
        depth: f64::from(step),
        estimator: Arc::from("enumerate"),
        answer_entropy: 0.6,
        entropy_lower: 0.5,
        entropy_upper: 0.7,
        entropy_drop: (step > 0).then_some(0.5),
        target_logprob: Some(-0.25),
        information_gain: Some(-0.0),
        leader: Arc::from("3"),
        leader_prob: 0.75,
        elicited_mass: Some(0.9),
        residual_mass: 0.0,
        n_samples: None,
        cue_entropy: (step > 0).then_some(1.25),
        answer_stated: None,
        target_stated: None,
        cue: None,
    }
}

fn answered(prefix: &PrefixRow, answer: &str) -> AnswerRow {
    AnswerRow {
        task: Arc::clone(&prefix.task),
        question_id: Arc::clone(&prefix.question_id),
        sample: prefix.sample,
        control: Arc::clone(&prefix.control),
        step: prefix.step,
        estimator: Some(Arc::clone(&prefix.estimator)),
        answer: Arc::from(answer),
        prob: if answer == "3" { 1.0 } else { 0.0 },
        logprob: if answer == "3" { 0.0 } else { f64::NEG_INFINITY },
        cue: None,
    }
}

fn token(task: &Arc<str>, question_id: &Arc<str>, index: u32) -> TokenRow {
    TokenRow {
        task: Arc::clone(task),
        question_id: Arc::clone(question_id),
        sample: 0,
        index,
        step: 1,
        token_id: u32::MAX - index,
        text: ["1 + 2\n", "is 3", " ✓"][index as usize].to_owned(),
        logprob: (index > 0).then_some(-1.5),
        token_entropy: Some(2.0),
        top2_margin: Some(0.5),
        topk_confidence: (index > 0).then_some(9.5),
        uniform_divergence: Some(4.75),
    }
}

fn signal(task: &Arc<str>, question_id: &Arc<str>, name: &str, value: Option<f64>) -> SignalRow {
    SignalRow {
        task: Arc::clone(task),
        question_id: Arc::clone(question_id),
        sample: 0,
        signal: Arc::from(name),
        value,
        reason: value.is_none().then(|| "the reply holds no number".to_owned()),
    }
}
