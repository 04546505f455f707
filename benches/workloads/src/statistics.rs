//! W5: the report of a record with a million prefix rows.
//!
//! The record is made up and written once; what is timed is everything after it: reading, statistics, figures, page.

use crate::args::Args;
use crate::machine;
use crate::outcome::{Once, Outcome};
use anyhow::{Context, Result};
use entrace_backend::scripted::{Scripted, Vocabulary};
use entrace_measure::{Estimator, TokenId};
use entrace_record::manifest::{TaskRecord, TraceSource};
use entrace_record::rows::{AnswerRow, PrefixRow, TokenRow, TraceRow};
use entrace_record::{Manifest, Rows, RunWriter, rows::Outcome as Measured};
use entrace_report::{ReportOptions, write_report};
use entrace_run::{EstimatorChoice, Measurement};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Prefixes of each trace and of its control, tokens of each step.
const N_PREFIXES: u32 = 10;
const STEP_TOKENS: u32 = 4;
const LABELS: [&str; 4] = ["A", "B", "C", "D"];
/// Questions of one part.
const PART: usize = 5_000;

pub(crate) fn measure(args: &Args) -> Result<Outcome> {
    let folder = record(&args.cache(), args.rows)?;
    let mut outcome = Outcome::new(crate::args::Name::W5.name());
    for _ in 0..args.repeats {
        machine::reset_peak();
        let begin = Instant::now();
        write_report(&folder, &ReportOptions::default())?;
        let once = Once {
            seconds: begin.elapsed().as_secs_f64(),
            amount: args.rows as f64,
            unit: "rows",
            flop: None,
            notes: BTreeMap::new(),
        };
        outcome.add(once, machine::peak_bytes());
    }
    Ok(outcome)
}

/// The folder of a finished run with that many prefix rows, which is written unless it is there.
fn record(cache: &Path, n_rows: usize) -> Result<PathBuf> {
    let folder = cache.join(format!("record-{n_rows}"));
    if folder.join("prefixes.parquet").is_file() {
        return Ok(folder);
    }
    let n_questions = n_rows.div_ceil(2 * N_PREFIXES as usize);
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut writer = RunWriter::overwrite(&folder, &manifest(n_questions))
        .with_context(|| format!("cannot begin a record in {}", folder.display()))?;
    let questions: Vec<usize> = (0..n_questions).collect();
    for (part, questions) in questions.chunks(PART).enumerate() {
        let mut rows = Rows::default();
        questions.iter().for_each(|&question| Maker::new(question, &mut rng).add(&mut rows));
        writer.write_part(part, &rows)?;
    }
    writer.finish(n_questions.div_ceil(PART), jiff::Timestamp::UNIX_EPOCH, 1.0)?;
    Ok(folder)
}

/// Makes the rows of one question.
struct Maker<'a> {
    task: Arc<str>,
    id: Arc<str>,
    rng: &'a mut ChaCha8Rng,
}

impl<'a> Maker<'a> {
    fn new(question: usize, rng: &'a mut ChaCha8Rng) -> Self {
        Self { task: "made-up".into(), id: question.to_string().into(), rng }
    }

    fn add(mut self, rows: &mut Rows) {
        let correct = self.rng.random_bool(0.6);
        for control in ["none", "swapped"] {
            let mut logits = [0.0_f64; 4];
            let (mut first, mut before) = (None, None);
            for step in 0..N_PREFIXES {
                logits.iter_mut().for_each(|logit| *logit += self.rng.random_range(-0.5..0.5));
                logits[0] += if correct && control == "none" { 0.4 } else { 0.0 };
                let probs = softmax(logits);
                let row = self.prefix(control, step, probs, &mut first, &mut before);
                rows.prefixes.push(row);
                if control == "none" {
                    rows.answers.extend(self.answers(step, probs));
                }
            }
        }
        let n_tokens = STEP_TOKENS * (N_PREFIXES - 1);
        for index in 0..n_tokens {
            rows.tokens.push(self.token(index));
        }
        rows.traces.push(self.trace(correct, n_tokens));
    }

    fn prefix(
        &mut self,
        control: &str,
        step: u32,
        probs: [f64; 4],
        first: &mut Option<f64>,
        before: &mut Option<f64>,
    ) -> PrefixRow {
        let entropy = -probs.iter().map(|p| p * p.ln()).sum::<f64>();
        let leader = (0..4).fold(0, |best, i| if probs[i] > probs[best] { i } else { best });
        let target_logprob = probs[0].ln();
        let row = PrefixRow {
            task: self.task.clone(),
            question_id: self.id.clone(),
            sample: 0,
            control: control.into(),
            step,
            n_tokens: step * STEP_TOKENS,
            depth: f64::from(step) / f64::from(N_PREFIXES - 1),
            estimator: "choices".into(),
            answer_entropy: entropy,
            entropy_lower: entropy,
            entropy_upper: entropy,
            entropy_drop: before.map(|before| before - entropy),
            target_logprob: Some(target_logprob),
            information_gain: Some(target_logprob - *first.get_or_insert(target_logprob)),
            leader: LABELS[leader].into(),
            leader_prob: probs[leader],
            elicited_mass: Some(self.rng.random_range(0.7..1.0)),
            residual_mass: 0.0,
            n_samples: None,
            cue_entropy: Some(self.rng.random_range(0.0..3.0)),
            answer_stated: None,
            target_stated: None,
            cue: Some(0),
        };
        *before = Some(entropy);
        row
    }

    fn answers(&self, step: u32, probs: [f64; 4]) -> impl Iterator<Item = AnswerRow> + '_ {
        LABELS.iter().zip(probs).map(move |(&label, prob)| AnswerRow {
            task: self.task.clone(),
            question_id: self.id.clone(),
            sample: 0,
            control: "none".into(),
            step,
            estimator: None,
            answer: label.into(),
            prob,
            logprob: prob.ln(),
            cue: Some(0),
        })
    }

    fn token(&mut self, index: u32) -> TokenRow {
        TokenRow {
            task: self.task.clone(),
            question_id: self.id.clone(),
            sample: 0,
            index,
            step: 1 + index / STEP_TOKENS,
            token_id: self.rng.random_range(0..50_000),
            text: " word".into(),
            logprob: Some(-self.rng.random_range(0.0..4.0)),
            token_entropy: Some(self.rng.random_range(0.0..3.0)),
            top2_margin: Some(self.rng.random_range(0.0..1.0)),
            topk_confidence: None,
            uniform_divergence: None,
        }
    }

    fn trace(&self, correct: bool, n_tokens: u32) -> TraceRow {
        TraceRow {
            task: self.task.clone(),
            question_id: self.id.clone(),
            sample: 0,
            question: "Which of these is it?".into(),
            choices: Some(r#"{"labels":["A","B","C","D"],"texts":["one","two","three","four"]}"#.into()),
            prompt: "Which of these is it?".into(),
            completion: "It is one of them.".into(),
            target: Some("A".into()),
            answer: Some(if correct { "A" } else { "B" }.into()),
            correct: Some(correct),
            stop_reason: Some("stop".into()),
            n_prompt_tokens: 20,
            n_trace_tokens: n_tokens,
            n_steps: N_PREFIXES - 1,
            outcome: Measured::Measured,
            reason: None,
            lock_in_step: None,
            total_drop: Some(0.1),
            monotone: Some(false),
            n_violations: Some(3),
            late_slope: None,
            wasted_tokens: None,
        }
    }
}

fn softmax(logits: [f64; 4]) -> [f64; 4] {
    let sum: f64 = logits.iter().map(|logit| logit.exp()).sum();
    logits.map(|logit| logit.exp() / sum)
}

fn manifest(n_questions: usize) -> Manifest {
    let how =
        Measurement { estimator: EstimatorChoice::Always(Estimator::Choices), ..Measurement::default() };
    let measured = entrace_run::Measured {
        tasks: vec![TaskRecord {
            name: "made-up".into(),
            source: "made up".into(),
            hash: String::new(),
            items_hash: String::new(),
            n_available: 0,
            n_questions,
            n_bad_lines: 0,
            answer_format: "choice".into(),
            estimator: how.estimator.name().into(),
        }],
        traces: TraceSource::Imported { path: String::new(), hash: String::new(), sampling: None },
        revision: None,
        template_vars: BTreeMap::new(),
    };
    let model = Scripted::new(Vocabulary::bare(["a"]), |_: &[TokenId]| Vec::new()).named("made-up");
    Manifest::begun(how.settings(&model, measured), vec!["bench".into()], None)
}
