//! Made-up runs for tests: seeded, with curves like those of real models.
//!
//! A trace moves logits of a few answers: those of a correct trace drift to the target, those of a wrong one to another answer, the
//! swapped control sharpens without direction. Signatures come from `entrace_measure`.

use std::collections::BTreeMap;
use std::sync::Arc;

use entrace_measure::{Signature, signature};
use entrace_record::manifest::{ModelRecord, Settings, TaskRecord, TraceSource};
use entrace_record::rows::{AnswerRow, Outcome, PrefixRow, Rows, TokenRow, TraceRow};
use entrace_record::{FORMAT_VERSION, Manifest};

/// SplitMix64.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    pub(crate) fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn below(&mut self, n: usize) -> usize {
        (self.uniform() * n as f64) as usize
    }

    pub(crate) fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}

/// A manifest with tasks of these names.
pub(crate) fn manifest(tasks: &[(&str, &str, usize)]) -> Manifest {
    let task = |&(name, estimator, n_questions): &(&str, &str, usize)| TaskRecord {
        name: name.into(),
        source: format!("datasets/{name}@main"),
        hash: "0f".repeat(32),
        items_hash: String::new(),
        n_available: 0,
        n_questions,
        n_bad_lines: 0,
        answer_format: if estimator == "choices" { "choice" } else { "number" }.into(),
        estimator: estimator.into(),
    };
    Manifest {
        format_version: FORMAT_VERSION.into(),
        entrace_version: "0.1.0".into(),
        started_at: "2026-11-20T09:30:00Z".into(),
        finished_at: Some("2026-11-20T10:12:31Z".into()),
        elapsed_secs: 2551.0,
        kernels: Default::default(),
        command: ["entrace", "run", "--model", "example/reasoner-1b", "--tasks", "arc_easy,gsm8k"]
            .map(Into::into)
            .into(),
        unit: "nats".into(),
        outputs: Vec::new(),
        tables: std::collections::BTreeMap::new(),
        clock: None,
        shard: None,
        servers: None,
        settings: Settings {
            model: ModelRecord {
                name: "example/reasoner-1b".into(),
                revision: Some("4c1b2f9".into()),
                architecture: "qwen3".into(),
                n_parameters: Some(1_240_000_000),
                dtype: "bf16".into(),
                device: "cuda".into(),
                context_length: 32_768,
                model_hash: Some("ab".repeat(32)),
                tokenizer_hash: Some("cd".repeat(32)),
                template_hash: None,
            },
            tasks: tasks.iter().map(task).collect(),
            traces: TraceSource::Generated {
                temperature: 0.6,
                top_p: 0.95,
                top_k: 0,
                max_new_tokens: 1024,
                stop: vec![],
                traces_per_question: 1,
                num_fewshot: 0,
                system: None,
                prompt_template: "chat".into(),
            },
            segment: "auto".into(),
            max_steps: None,
            cue: "\nThe answer is".into(),
            more_cues: Vec::new(),
            thought_close: None,
            template_vars: BTreeMap::new(),
            choice_form: "label".into(),
            samples: 16,
            enumerate_epsilon: 0.01,
            enumerate_nodes: 512,
            max_answer_tokens: Some(16),
            controls: vec!["swapped".into()],
            control_depths: None,
            control_nodes: None,
            rollouts: None,
            stopping: None,
            signals: vec![],
            seed: 7,
            batch_size: 8,
            method: 1,
        },
    }
}

/// Two tasks of `n_questions`: `arc_easy` with four options and `gsm8k` with numbers; a few traces skipped and failed.
pub(crate) fn run(n_questions: usize, seed: u64) -> (Manifest, Rows) {
    let tasks = [("arc_easy", "choices", n_questions), ("gsm8k", "enumerate", n_questions)];
    let mut rows = Rows::default();
    let mut random = Random::new(seed);
    for (task, estimator, _) in tasks {
        for question in 0..n_questions {
            let maker = TraceMaker { task: task.into(), estimator: estimator.into(), question, sample: 0 };
            maker.add(&mut random, &mut rows);
        }
    }
    (manifest(&tasks), rows)
}

struct TraceMaker {
    task: Arc<str>,
    estimator: Arc<str>,
    question: usize,
    sample: u32,
}

const WORDS: [&str; 16] = [
    "so", "the", "total", "is", "now", "we", "have", "because", "each", "of", "them", "then", "subtract",
    "which", "gives", "half",
];

impl TraceMaker {
    fn id(&self) -> Arc<str> {
        format!("q{:03}", self.question).into()
    }

    fn add(&self, random: &mut Random, rows: &mut Rows) {
        if self.question % 23 == 11 {
            let reason = "the trace has no step that ends before the limit of 1024 tokens";
            return rows.traces.push(self.unmeasured(Outcome::Skipped, reason));
        }
        if self.question % 31 == 17 {
            return rows.traces.push(self.unmeasured(Outcome::Failed, "prefix 3: logits are not finite"));
        }
        // Runs of other seeds answer the same questions.
        let mut asked = Random::new(self.question as u64);
        let answers = self.answers(&mut asked);
        let target = asked.below(answers.len().min(4));
        let ease = random.normal();
        let correct = ease + 0.7 * random.normal() > -0.6;
        let drawn = random.below(answers.len() - 1);
        let end = if correct { target } else { (target + 1 + drawn) % answers.len() };
        let n_steps = 4 + random.below(6);
        let tokens = self.tokens(random, n_steps, rows);
        let speed = if correct { 4.5 + ease } else { 2.6 + 0.5 * ease };
        let own = self.curve(random, "none", &answers, target, &tokens, Some((end, speed)));
        let swapped = self.curve(random, "swapped", &answers, target, &tokens, None);
        rows.traces.push(self.trace(&own, &answers, target, correct, end, &tokens));
        for (prefix, answers) in own.into_iter().chain(swapped) {
            rows.prefixes.push(prefix);
            rows.answers.extend(answers);
        }
    }

    fn answers(&self, random: &mut Random) -> Vec<Arc<str>> {
        if &*self.estimator == "choices" {
            return ["A", "B", "C", "D"].map(Arc::from).into();
        }
        let base = 5 + random.below(60);
        [0, 1, 7, 12, 30, 2, 4].map(|offset| Arc::from((base + offset).to_string())).into()
    }

    /// Tokens of a trace; the number of tokens at the end of each step, 0 first.
    fn tokens(&self, random: &mut Random, n_steps: usize, rows: &mut Rows) -> Vec<u32> {
        let mut ends = vec![0];
        let mut index = 0;
        for step in 1..=n_steps {
            let n = 8 + random.below(24);
            for i in 0..n {
                let word = WORDS[random.below(WORDS.len())];
                let text = match i {
                    0 => format!("{}{word}", word[..1].to_uppercase()).replacen(&word[..1], "", 1),
                    _ if i + 1 == n => format!(" {}.\n\n", random.below(90)),
                    _ => format!(" {word}"),
                };
                rows.tokens.push(TokenRow {
                    task: self.task.clone(),
                    question_id: self.id(),
                    sample: self.sample,
                    index,
                    step: step as u32,
                    token_id: 100 + random.below(900) as u32,
                    text,
                    logprob: Some(-random.uniform()),
                    token_entropy: Some(1.4 * random.uniform()),
                    top2_margin: None,
                    topk_confidence: None,
                    uniform_divergence: None,
                });
                index += 1;
            }
            ends.push(index);
        }
        ends
    }

    /// Prefixes with their answers; logits drift towards `pull` = (answer, strength) or apart in no direction.
    fn curve(
        &self,
        random: &mut Random,
        control: &str,
        answers: &[Arc<str>],
        target: usize,
        token_ends: &[u32],
        pull: Option<(usize, f64)>,
    ) -> Vec<(PrefixRow, Vec<AnswerRow>)> {
        let n_steps = token_ends.len() - 1;
        let mut logits: Vec<f64> = answers.iter().map(|_| 0.6 * random.normal()).collect();
        let residual = if &*self.estimator == "enumerate" { 0.006 } else { 0.0 };
        let mut curve: Vec<(PrefixRow, Vec<AnswerRow>)> = Vec::new();
        for (step, &n_tokens) in token_ends.iter().enumerate() {
            if step > 0 {
                logits.iter_mut().for_each(|logit| *logit += 0.45 * random.normal());
                let favoured = pull.unwrap_or((random.below(answers.len()), 0.8));
                logits[favoured.0] += favoured.1 * 2.0 * random.uniform() / n_steps as f64;
            }
            let masses = softmax(&logits, 1.0 - residual);
            let entropy = -masses.iter().map(|p| p * p.ln()).sum::<f64>();
            let leader = (0..masses.len()).fold(0, |best, i| if masses[i] > masses[best] { i } else { best });
            let target_logprob = masses[target].ln();
            let previous = curve.last().map(|(row, _)| row.answer_entropy);
            let first = curve.first().and_then(|(row, _)| row.target_logprob).unwrap_or(target_logprob);
            let row = PrefixRow {
                task: self.task.clone(),
                question_id: self.id(),
                sample: self.sample,
                control: control.into(),
                step: step as u32,
                n_tokens,
                depth: step as f64 / n_steps as f64,
                estimator: self.estimator.clone(),
                answer_entropy: entropy,
                entropy_lower: (entropy - 4.0 * residual).max(0.0),
                entropy_upper: entropy + 9.0 * residual,
                entropy_drop: previous.map(|previous| previous - entropy),
                target_logprob: Some(target_logprob),
                information_gain: Some(target_logprob - first),
                leader: answers[leader].clone(),
                leader_prob: masses[leader],
                elicited_mass: Some(0.7 + 0.29 * random.uniform()),
                residual_mass: residual,
                n_samples: None,
                cue_entropy: None,
                answer_stated: None,
                target_stated: None,
                cue: Some(0),
            };
            let rows = answers.iter().zip(&masses).map(|(answer, &prob)| AnswerRow {
                task: self.task.clone(),
                question_id: self.id(),
                sample: self.sample,
                control: control.into(),
                step: step as u32,
                estimator: None,
                answer: answer.clone(),
                prob,
                logprob: prob.ln(),
                cue: Some(0),
            });
            curve.push((row, rows.collect()));
        }
        curve
    }

    fn trace(
        &self,
        own: &[(PrefixRow, Vec<AnswerRow>)],
        answers: &[Arc<str>],
        target: usize,
        correct: bool,
        end: usize,
        token_ends: &[u32],
    ) -> TraceRow {
        let signature = signature_of(own.iter().map(|(row, _)| row));
        let invalid = !correct && self.question % 13 == 4;
        TraceRow {
            choices: (&*self.estimator == "choices").then(|| {
                r#"{"labels":["A","B","C","D"],"texts":["the moon","a magnet","salt water","a copper wire"]}"#.into()
            }),
            completion: String::new(),
            target: Some(answers[target].to_string()),
            answer: Some(if invalid { "[invalid]".into() } else { answers[end].to_string() }),
            correct: Some(correct),
            stop_reason: Some(if invalid { "length" } else { "stop" }.into()),
            n_trace_tokens: token_ends.last().copied().unwrap_or(0),
            n_steps: token_ends.len() as u32 - 1,
            outcome: Outcome::Measured,
            reason: None,
            lock_in_step: signature.lock_in_step.map(|k| k as u32),
            total_drop: Some(signature.total_drop),
            monotone: Some(signature.monotone),
            n_violations: Some(signature.n_violations as u32),
            late_slope: signature.late_slope,
            wasted_tokens: signature.wasted_tokens.map(|n| n as u32),
            ..self.unmeasured(Outcome::Measured, "")
        }
    }

    fn unmeasured(&self, outcome: Outcome, reason: &str) -> TraceRow {
        TraceRow {
            task: self.task.clone(),
            question_id: self.id(),
            sample: self.sample,
            question: format!(
                "A shelf holds {} jars. Each jar has {} marbles, and a third of the jars are moved to another room. Which of the \
                 following is left on the shelf?",
                3 + self.question,
                7 + self.question % 5
            ),
            choices: None,
            prompt: String::new(),
            completion: String::new(),
            target: None,
            answer: None,
            correct: None,
            stop_reason: None,
            n_prompt_tokens: 40 + (self.question % 9) as u32,
            n_trace_tokens: 0,
            n_steps: 0,
            outcome,
            reason: Some(reason.into()),
            lock_in_step: None,
            total_drop: None,
            monotone: None,
            n_violations: None,
            late_slope: None,
            wasted_tokens: None,
        }
    }
}

/// The signature of recorded prefixes.
pub(crate) fn signature_of<'a>(prefixes: impl Iterator<Item = &'a PrefixRow>) -> Signature {
    let points: Vec<signature::Point<'_>> = prefixes
        .map(|row| signature::Point {
            n_tokens: row.n_tokens as usize,
            depth: row.depth,
            entropy: row.answer_entropy,
            leader: &row.leader,
            leader_prob: row.leader_prob,
        })
        .collect();
    Signature::of_points(&points).unwrap()
}

fn softmax(logits: &[f64], total: f64) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = logits.iter().map(|logit| (logit - largest).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|w| total * w / sum).collect()
}
