//! Made-up runs of any size, and one of hostile texts, for tests.

use std::path::Path;
use std::sync::Arc;

use entrace_record::manifest::{FORMAT_VERSION, Manifest, ModelRecord, Settings, TaskRecord, TraceSource};
use entrace_record::rows::{AnswerRow, Outcome, PrefixRow, Rows, SignalRow, TokenRow, TraceRow};
use entrace_record::{RunWriter, hash};

/// Questions in a part.
const PART: usize = 5_000;

/// Writes a run of so many questions with a trace each; another seed gives other verdicts and numbers of the same questions.
pub(crate) fn run(dir: &Path, n_questions: usize, seed: u64) {
    write(dir, n_questions, |number| trace(number as u64, seed));
}

/// Writes a run whose texts would like to be markup, and end in nothing.
pub(crate) fn hostile_run(dir: &Path) {
    write(dir, HOSTILE.len(), |number| {
        let text = HOSTILE[number];
        let mut rows = trace(number as u64, 1);
        let id: Arc<str> = Arc::from(format!("{number} {text}"));
        rows.traces.iter_mut().for_each(|row| {
            row.question_id = id.clone();
            (row.question, row.prompt, row.completion) = (text.repeat(3), text.to_owned(), text.to_owned());
            (row.answer, row.target) = (Some(text.to_owned()), Some(text.to_owned()));
        });
        rows.prefixes
            .iter_mut()
            .for_each(|row| (row.question_id, row.leader) = (id.clone(), Arc::from(text)));
        rows.answers.iter_mut().for_each(|row| (row.question_id, row.answer) = (id.clone(), Arc::from(text)));
        rows.tokens.iter_mut().for_each(|row| (row.question_id, row.text) = (id.clone(), text.to_owned()));
        rows.signals.iter_mut().for_each(|row| {
            (row.question_id, row.value, row.reason) = (id.clone(), None, Some(text.to_owned()));
        });
        rows
    });
}

/// Writes a run of one trace whose texts have a megabyte each.
pub(crate) fn endless_run(dir: &Path) {
    let text = "é<".repeat(350_000);
    write(dir, 1, |number| {
        let mut rows = trace(number as u64, 1);
        for row in &mut rows.traces {
            (row.question, row.prompt, row.completion) = (text.clone(), text.clone(), text.clone());
            (row.answer, row.target) = (Some(text.clone()), Some(text.clone()));
        }
        rows.prefixes.iter_mut().for_each(|row| row.leader = Arc::from(text.as_str()));
        rows.answers.iter_mut().for_each(|row| row.answer = Arc::from(text.as_str()));
        rows.tokens.iter_mut().for_each(|row| row.text = text.clone());
        rows
    });
}

/// Texts that set `document.title` or `window.owned` if any of them is taken for more than text.
pub(crate) const HOSTILE: [&str; 9] = [
    "<script>window.owned=1</script>",
    "</script><script>window.owned=1</script>",
    "\"><img src=x onerror=window.owned=1>",
    "<svg/onload=window.owned=1>",
    "<!--<script>window.owned=1",
    "\u{202e}javascript:window.owned=1\u{202c}\u{0}\u{1b}[31m\u{7f}",
    "]]></textarea></style><iframe srcdoc='<script>parent.owned=1</script>'>",
    "\u{2028}${window.owned=1}`\\u003cscript\\u003e",
    "{{constructor.constructor('window.owned=1')()}}#/trace?run=0&id=%3Cscript%3E",
];

fn write(dir: &Path, n_questions: usize, rows_of: impl Fn(usize) -> Rows) {
    let mut writer = RunWriter::overwrite(dir, &manifest(n_questions)).unwrap();
    let mut n_parts = 0;
    for begin in (0..n_questions).step_by(PART) {
        let mut part = Rows::default();
        for number in begin..(begin + PART).min(n_questions) {
            let rows = rows_of(number);
            part.traces.extend(rows.traces);
            part.prefixes.extend(rows.prefixes);
            part.answers.extend(rows.answers);
            part.tokens.extend(rows.tokens);
            part.signals.extend(rows.signals);
        }
        writer.write_part(n_parts, &part).unwrap();
        n_parts += 1;
    }
    writer.finish(n_parts, "2026-01-02T03:04:05Z".parse().unwrap(), 1.0).unwrap();
}

/// The manifest of such a run.
pub(crate) fn manifest(n_questions: usize) -> Manifest {
    let settings = Settings {
        model: ModelRecord {
            name: "made-up".to_owned(),
            revision: None,
            architecture: "none".to_owned(),
            n_parameters: None,
            dtype: "f32".to_owned(),
            device: "cpu".to_owned(),
            context_length: 1024,
            model_hash: None,
            tokenizer_hash: None,
            template_hash: None,
        },
        tasks: vec![TaskRecord {
            name: "sums".to_owned(),
            source: "sums.jsonl".to_owned(),
            hash: hash::sha256(b""),
            items_hash: String::new(),
            n_available: n_questions,
            n_questions,
            n_bad_lines: 0,
            answer_format: "number".to_owned(),
            estimator: "enumerate".to_owned(),
        }],
        traces: TraceSource::Imported {
            path: "made-up.jsonl".to_owned(),
            hash: hash::sha256(b""),
            sampling: None,
        },
        segment: "lines".to_owned(),
        max_steps: None,
        cue: "\nThe answer is".to_owned(),
        more_cues: Vec::new(),
        thought_close: None,
        template_vars: Default::default(),
        choice_form: "label".to_owned(),
        samples: 16,
        enumerate_epsilon: 0.01,
        enumerate_nodes: 64,
        max_answer_tokens: None,
        controls: vec!["swapped".to_owned()],
        control_depths: None,
        control_nodes: None,
        rollouts: None,
        stopping: None,
        signals: vec!["p_true".to_owned()],
        seed: 0,
        batch_size: PART,
        method: 1,
    };
    Manifest {
        format_version: FORMAT_VERSION.to_owned(),
        entrace_version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: "2026-01-02T03:04:05Z".to_owned(),
        finished_at: None,
        elapsed_secs: 0.0,
        kernels: Default::default(),
        command: vec!["entrace".to_owned(), "score".to_owned()],
        unit: "nats".to_owned(),
        outputs: Vec::new(),
        tables: Default::default(),
        clock: None,
        shard: None,
        servers: None,
        settings,
    }
}

/// A number without a pattern (SplitMix64).
fn lot(seed: u64, of: u64) -> u64 {
    let mut x = seed.wrapping_mul(0xa076_1d64_78bd_642f).wrapping_add(of).wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn share(seed: u64, of: u64) -> f64 {
    (lot(seed, of) >> 11) as f64 / (1_u64 << 53) as f64
}

/// All rows of one trace: from two to seven steps, whose entropy falls, less so where the answer is wrong.
pub(crate) fn trace(number: u64, seed: u64) -> Rows {
    let (a, b) = (3 + number % 40, 2 + lot(0, number) % 30);
    let n_steps = 2 + (lot(1, number) % 6) as u32;
    let correct = share(seed, number) < 0.6;
    let target = (a + b).to_string();
    let answer = if correct { target.clone() } else { (a + b + 1).to_string() };
    let names = ["Mia", "Noor", "Igor", "Ana", "Wei"];
    let things = ["pens", "apples", "stamps", "marbles"];
    let (name, thing) = (names[(number % 5) as usize], things[(number % 4) as usize]);
    let (task, id): (Arc<str>, Arc<str>) = (Arc::from("sums"), Arc::from(format!("q{number:06}")));
    let mut rows = Rows::default();
    let begun = 1.2 + 2.0 * share(2, number);
    for step in 0..=n_steps {
        let depth = f64::from(step) / f64::from(n_steps);
        let noise = 0.5 * share(seed ^ 3, number * 16 + u64::from(step));
        let entropy = (begun * (1.0 - depth) * if correct { 0.9 } else { 1.1 } + noise).max(0.01);
        let prob = if correct { 0.1 + 0.88 * depth } else { 0.1 - 0.08 * depth };
        let gain = (prob / 0.1_f64).ln();
        let leader = if depth > 0.4 { &answer } else { &target };
        for (control, shown) in
            [("none", true), ("swapped", step == 0 || 2 * step == n_steps || step == n_steps)]
        {
            if !shown {
                continue;
            }
            let own = control == "none";
            rows.prefixes.push(PrefixRow {
                task: task.clone(),
                question_id: id.clone(),
                sample: 0,
                control: Arc::from(control),
                step,
                n_tokens: 9 * step,
                depth,
                estimator: Arc::from("enumerate"),
                answer_entropy: if own { entropy } else { begun },
                entropy_lower: 0.8 * entropy,
                entropy_upper: if own { 1.2 * entropy + 0.2 } else { begun + 0.4 },
                entropy_drop: None,
                target_logprob: Some(prob.ln()),
                information_gain: Some(if own { gain } else { -0.3 * depth }),
                leader: Arc::from(leader.as_str()),
                leader_prob: prob.max(0.5),
                elicited_mass: None,
                residual_mass: 0.02,
                n_samples: None,
                cue_entropy: None,
                answer_stated: own.then_some(step == n_steps),
                target_stated: None,
                cue: Some(0),
            });
        }
        let others = [(&answer, 0.3), (&a.to_string(), 0.05), (&b.to_string(), 0.03)];
        let others = others.into_iter().filter(|(other, _)| **other != target);
        for (answer, prob) in std::iter::once((&target, prob)).chain(others) {
            rows.answers.push(AnswerRow {
                task: task.clone(),
                question_id: id.clone(),
                sample: 0,
                control: Arc::from("none"),
                step,
                estimator: Some(Arc::from("enumerate")),
                answer: Arc::from(answer.as_str()),
                prob,
                logprob: prob.ln(),
                cue: Some(0),
            });
        }
        if step > 0 {
            let words = match step {
                1 => format!("{name} has {a} {thing} to begin with.\n"),
                last if last == n_steps => format!("So the answer must be {answer}.\n"),
                _ => format!("Then {b} more {thing} come to {a}.\n"),
            };
            for word in words.split_inclusive(' ') {
                let index = rows.tokens.len() as u32;
                rows.tokens.push(TokenRow {
                    task: task.clone(),
                    question_id: id.clone(),
                    sample: 0,
                    index,
                    step,
                    token_id: index,
                    text: word.to_owned(),
                    logprob: Some(-share(4, number * 64 + u64::from(index))),
                    token_entropy: Some(2.5 * share(5, number * 64 + u64::from(index))),
                    top2_margin: None,
                    topk_confidence: None,
                    uniform_divergence: None,
                });
            }
        }
    }
    rows.signals.push(SignalRow {
        task: task.clone(),
        question_id: id.clone(),
        sample: 0,
        signal: Arc::from("p_true"),
        value: Some(share(6, number)),
        reason: None,
    });
    let completion: String = rows.tokens.iter().map(|token| token.text.as_str()).collect();
    let question = format!("{name} has {a} {thing} and buys {b} more. How many {thing} has {name} now?");
    rows.traces.push(TraceRow {
        task,
        question_id: id,
        sample: 0,
        prompt: format!("Q: {question}\nA:"),
        question,
        choices: None,
        completion,
        target: Some(target),
        answer: Some(answer),
        correct: Some(correct),
        stop_reason: Some("stop".to_owned()),
        n_prompt_tokens: 20,
        n_trace_tokens: rows.tokens.len() as u32,
        n_steps,
        outcome: Outcome::Measured,
        reason: None,
        lock_in_step: correct.then_some(n_steps - 1),
        total_drop: Some(begun - 0.2),
        monotone: Some(false),
        n_violations: Some(1),
        late_slope: None,
        wasted_tokens: Some(0),
    });
    rows
}
