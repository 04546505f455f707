//! Rollouts that others recorded, as a run folder without a model.
//!
//! The shape is that of Thought Anchors (Bogdan et al. 2025, arXiv:2506.19143; the data set `math-rollouts`):
//!
//! ```text
//! problem_N/problem.json            {"problem": text, "gt_answer": text}
//! problem_N/base_solution.json      {"prompt", "solution", "full_cot", "answer", "is_correct"}
//! problem_N/chunks_labeled.json     [{"chunk_idx": k, "chunk": text, "accuracy", "resampling_importance_accuracy", ..}]
//! problem_N/chunk_k/solutions.json  [{"chunk_resampled", "rollout", "full_cot", "answer", "is_correct"}]
//! ```
//!
//! Draws in `chunk_k` go on from the first k chunks (k from 0), so they are p_k here; chunk k is step k + 1, and its importance is the divergence
//! of the draws of `chunk_k` and `chunk_{k+1}`. The last chunk has no draws after it and so no importance. A draw whose `answer` is empty counts
//! as invalid; one that `is_correct` judges right has the target, however it is written. Numbers that the folder states are recomputed from its draws: the accuracy of a chunk is the share of `is_correct` among draws
//! with an answer and a judgement, its importance by accuracy the next chunk's less its own; where they disagree with the stated ones, that is
//! told. Draws of a chunk with equal texts are counted, and how many stand there twice: they are not independent evidence.

use crate::error::Error;
use crate::importance::{Importance, importance};
use crate::rollout::COUNTERFACTUAL;
use entrace_backend::stream_seed;
use entrace_measure::intervention::effect::{Belief, Effect};
use entrace_measure::intervention::{Kind, Reading};
use entrace_measure::{Answer, Estimator, entropy};
use entrace_record::interventions::{self, InterventionSettings};
use entrace_record::manifest::{Manifest, ModelRecord, Settings, TaskRecord, TraceSource};
use entrace_record::rows::{AnswerRow, InterventionRow, Outcome, PrefixRow, Rows, TraceRow};
use entrace_record::{RunWriter, hash};
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What was imported.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Imported {
    /// Problems.
    pub n_problems: usize,
    /// Draws.
    pub n_draws: usize,
    /// Draws that stand twice in their chunk.
    pub n_doubled: usize,
    /// Recomputed numbers of every chunk.
    pub chunks: Vec<Chunk>,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// What the draws of one chunk say.
#[derive(Debug, Clone, PartialEq)]
pub struct Chunk {
    /// The problem's folder.
    pub problem: String,
    /// Its number, from 0.
    pub index: usize,
    /// Share of right answers among draws with an answer and a judgement; `None` without any.
    pub accuracy: Option<f64>,
    /// The next chunk's accuracy less this one's.
    pub importance_accuracy: Option<f64>,
    /// TV, smoothed KL and noise floor between this chunk's draws and the next one's.
    pub importance: Option<Importance>,
}

/// Name of the task of imported rollouts.
const TASK: &str = "rollouts";

/// Tolerance on numbers that the folder states.
const STATED: f64 = 1e-6;

/// Imports a folder of problems into a run folder that holds no run yet.
pub fn folder(
    folder: &Path,
    out: &Path,
    model: ModelRecord,
    alpha: f64,
    seed: u64,
    command: Vec<String>,
    now: jiff::Timestamp,
) -> Result<Imported, Error> {
    let problems = problems(folder)?;
    let mut imported = Imported { n_problems: problems.len(), ..Imported::default() };
    let mut rows = Rows::default();
    let mut found = Vec::new();
    let mut disagreements = 0;
    for problem in &problems {
        problem.add_rows(&mut rows);
        found.extend(problem.interventions(alpha, seed));
        let chunks = problem.chunks(alpha, seed);
        disagreements += chunks.iter().filter(|chunk| problem.disagrees(chunk)).count();
        imported.chunks.extend(chunks);
        imported.n_draws += problem.draws.values().map(Vec::len).sum::<usize>();
        imported.n_doubled += problem.draws.values().map(|draws| n_doubled(draws)).sum::<usize>();
    }
    if imported.n_doubled > 0 {
        imported.notes.push(format!(
            "{} of {} rollouts stand twice in their chunk; intervals take them for independent draws",
            imported.n_doubled, imported.n_draws
        ));
    }
    if disagreements > 0 {
        imported.notes.push(format!(
            "{disagreements} of {} chunks state an accuracy or importance that their own rollouts do not give",
            imported.chunks.len()
        ));
    }
    let manifest = manifest(folder, &problems, model, seed, command)?;
    let (mut writer, state) = RunWriter::open(out, &manifest)?;
    if state == entrace_record::Found::Nothing {
        writer.write_part(0, &rows)?;
    }
    writer.finish(1, now, 0.0)?;
    let most = problems.iter().flat_map(|problem| problem.draws.values().map(Vec::len)).max().unwrap_or(0);
    let fewest = problems.iter().flat_map(|problem| problem.draws.values().map(Vec::len)).min().unwrap_or(0);
    let settings = InterventionSettings {
        entrace_version: env!("CARGO_PKG_VERSION").to_string(),
        kinds: vec![Kind::Resample.name().into(), Kind::Truncate.name().into()],
        readings: vec![Reading::Rollout.name().into()],
        draws: [fewest, most],
        alpha,
        dissimilar_below: 1.0,
        seed,
        n_traces: problems.len(),
        doubled_rollouts: imported.n_doubled as u64,
        ..InterventionSettings::default()
    };
    interventions::write(out, &settings, &found)?;
    Ok(imported)
}

/// One problem with its draws.
struct Problem {
    name: String,
    question: String,
    target: Option<String>,
    prompt: String,
    solution: String,
    answer: Option<String>,
    correct: Option<bool>,
    /// Text of each chunk by its number.
    chunks: BTreeMap<usize, String>,
    /// What the folder states of each chunk.
    stated: BTreeMap<usize, Stated>,
    /// Draws by the chunk that they begin with.
    draws: BTreeMap<usize, Vec<Draw>>,
}

/// What a folder states of a chunk.
#[derive(Debug, Clone, Copy, Default)]
struct Stated {
    accuracy: Option<f64>,
    importance_accuracy: Option<f64>,
}

/// One draw.
struct Draw {
    answer: Answer,
    correct: Option<bool>,
    text: String,
    resampled: Option<String>,
}

fn problems(folder: &Path) -> Result<Vec<Problem>, Error> {
    let problem = |problem: &str| Error::Import { path: folder.to_owned(), problem: problem.to_string() };
    let entries = std::fs::read_dir(folder).map_err(|e| problem(&e.to_string()))?;
    let mut names: Vec<(u64, String)> = Vec::new();
    for entry in entries {
        let name = entry.map_err(|e| problem(&e.to_string()))?.file_name().to_string_lossy().into_owned();
        if let Some(number) = name.strip_prefix("problem_") {
            names.push((number.parse().unwrap_or(u64::MAX), name));
        }
    }
    if names.is_empty() {
        return Err(problem("no folder problem_N was found in it; name the folder that holds the problems"));
    }
    names.sort();
    names.into_iter().map(|(_, name)| read_problem(&folder.join(&name), &name)).collect()
}

fn read_problem(dir: &Path, name: &str) -> Result<Problem, Error> {
    let about = json(&dir.join("problem.json"))?;
    let base = json(&dir.join("base_solution.json"))?;
    let mut problem = Problem {
        name: name.to_string(),
        question: text(&about, "problem").unwrap_or_default(),
        target: text(&about, "gt_answer").filter(|target| !target.is_empty()),
        prompt: text(&base, "prompt").unwrap_or_default(),
        solution: text(&base, "solution").or_else(|| text(&base, "full_cot")).unwrap_or_default(),
        answer: text(&base, "answer").filter(|answer| !answer.is_empty()),
        correct: base.get("is_correct").and_then(Value::as_bool),
        chunks: BTreeMap::new(),
        stated: BTreeMap::new(),
        draws: BTreeMap::new(),
    };
    let path = dir.join("chunks_labeled.json");
    let labelled = json(&path)?;
    let listed = labelled
        .as_array()
        .ok_or_else(|| Error::Import { path: path.clone(), problem: "expected a list of chunks".into() })?;
    for (place, chunk) in listed.iter().enumerate() {
        let index = chunk.get("chunk_idx").and_then(Value::as_u64).map_or(place, |index| index as usize);
        problem.chunks.insert(index, text(chunk, "chunk").unwrap_or_default());
        let number = |name: &str| chunk.get(name).and_then(Value::as_f64);
        let stated = Stated {
            accuracy: number("accuracy"),
            importance_accuracy: number("resampling_importance_accuracy"),
        };
        problem.stated.insert(index, stated);
        let solutions = dir.join(format!("chunk_{index}")).join("solutions.json");
        if solutions.exists() {
            problem.draws.insert(index, draws(&solutions, problem.target.as_deref())?);
        }
    }
    Ok(problem)
}

fn draws(path: &Path, target: Option<&str>) -> Result<Vec<Draw>, Error> {
    let solutions = json(path)?;
    let listed = solutions.as_array().ok_or_else(|| Error::Import {
        path: path.to_owned(),
        problem: "expected a list of rollouts".into(),
    })?;
    // A rollout that failed has an error in the place of a text.
    let drawn = listed.iter().filter(|solution| solution.get("error").is_none());
    let draw = |solution: &Value| {
        let correct = solution.get("is_correct").and_then(Value::as_bool);
        let written = text(solution, "answer").map(|answer| answer.trim().to_string());
        let answer = match target.filter(|_| correct == Some(true)) {
            Some(target) if written.as_ref().is_some_and(|written| !written.is_empty()) => {
                Some(target.to_string())
            }
            _ => written,
        };
        Draw {
            answer: answer.filter(|answer| !answer.is_empty()).map_or(Answer::Invalid, Answer::Value),
            correct,
            text: text(solution, "full_cot").or_else(|| text(solution, "rollout")).unwrap_or_default(),
            resampled: text(solution, "chunk_resampled"),
        }
    };
    Ok(drawn.map(draw).collect())
}

fn json(path: &Path) -> Result<Value, Error> {
    let problem = |problem: String| Error::Import { path: path.to_owned(), problem };
    let bytes = std::fs::read(path).map_err(|e| problem(format!("could not be read: {e}")))?;
    serde_json::from_slice(&bytes).map_err(|e| problem(format!("is not JSON: {e}")))
}

/// A text, or a number as one.
fn text(value: &Value, name: &str) -> Option<String> {
    match value.get(name)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Draws whose text an earlier one has as well.
fn n_doubled(draws: &[Draw]) -> usize {
    let mut seen = HashSet::new();
    draws.iter().filter(|draw| !draw.text.is_empty() && !seen.insert(&draw.text)).count()
}

fn accuracy(draws: &[Draw]) -> Option<f64> {
    let judged: Vec<bool> =
        draws.iter().filter(|draw| !draw.answer.is_invalid()).filter_map(|draw| draw.correct).collect();
    let n_right = judged.iter().filter(|&&right| right).count();
    (!judged.is_empty()).then(|| n_right as f64 / judged.len() as f64)
}

fn answers(draws: &[Draw]) -> Vec<Answer> {
    draws.iter().map(|draw| draw.answer.clone()).collect()
}

impl Problem {
    fn chunks(&self, alpha: f64, seed: u64) -> Vec<Chunk> {
        let chunk = |&index: &usize| {
            let own = self.draws.get(&index);
            let next = self.draws.get(&(index + 1));
            let accuracies = [own, next].map(|draws| draws.and_then(|draws| accuracy(draws)));
            Chunk {
                problem: self.name.clone(),
                index,
                accuracy: accuracies[0],
                importance_accuracy: accuracies[0].zip(accuracies[1]).map(|(own, next)| next - own),
                importance: self.importance(own, next, index, alpha, seed),
            }
        };
        self.chunks.keys().map(chunk).collect()
    }

    fn importance(
        &self,
        before: Option<&Vec<Draw>>,
        after: Option<&Vec<Draw>>,
        index: usize,
        alpha: f64,
        seed: u64,
    ) -> Option<Importance> {
        let seed = stream_seed(seed, &[&self.name, "splits", &index.to_string()]);
        importance(&answers(before?), &answers(after?), alpha, seed)
    }

    /// Whether a stated number is not the one that the draws give.
    fn disagrees(&self, chunk: &Chunk) -> bool {
        let stated = self.stated.get(&chunk.index).copied().unwrap_or_default();
        let differ = |stated: Option<f64>, found: Option<f64>| {
            stated.zip(found).is_some_and(|(stated, found)| (stated.abs() - found.abs()).abs() > STATED)
        };
        differ(stated.accuracy, chunk.accuracy)
            || differ(stated.importance_accuracy, chunk.importance_accuracy)
    }

    fn n_steps(&self) -> u32 {
        self.chunks.keys().last().map_or(0, |last| count(last + 1))
    }

    /// The trace, and belief at every prefix that has draws.
    fn add_rows(&self, rows: &mut Rows) {
        let task: Arc<str> = TASK.into();
        let question_id: Arc<str> = self.name.as_str().into();
        let target = self.target.as_deref().map(Answer::from_name);
        let mut before: Option<f64> = None;
        let mut first: Option<f64> = None;
        for (&index, draws) in &self.draws {
            let Some(belief) = Belief::of_draws(&answers(draws)) else { continue };
            let mut counts: BTreeMap<Answer, usize> = BTreeMap::new();
            draws.iter().for_each(|draw| *counts.entry(draw.answer.clone()).or_default() += 1);
            let numbers: Vec<usize> = counts.values().copied().collect();
            let Some(interval) = entropy::sampled_interval(&numbers, None) else { continue };
            let target_count = target.as_ref().map(|target| counts.get(target).copied().unwrap_or(0));
            let target_logprob = target_count.map(|n| entropy::smoothed_logprob(n, draws.len(), 2));
            let leader = belief.leader();
            let estimator: Arc<str> = Estimator::Rollout.name().into();
            rows.prefixes.push(PrefixRow {
                task: Arc::clone(&task),
                question_id: Arc::clone(&question_id),
                sample: 0,
                control: "none".into(),
                step: count(index),
                n_tokens: count(index),
                depth: index as f64 / f64::from(self.n_steps().max(1)),
                estimator: Arc::clone(&estimator),
                answer_entropy: interval.nats,
                entropy_lower: interval.lower,
                entropy_upper: interval.upper,
                entropy_drop: before.map(|before| before - interval.nats),
                target_logprob,
                information_gain: target_logprob.map(|own| own - *first.get_or_insert(own)),
                leader: leader.map_or("", |(answer, _)| answer.name()).into(),
                leader_prob: leader.map_or(0.0, |(_, prob)| prob),
                elicited_mass: Some(1.0 - belief.prob(&Answer::Invalid)),
                residual_mass: 0.0,
                n_samples: Some(count(draws.len())),
                cue_entropy: None,
                answer_stated: None,
                target_stated: None,
                cue: Some(0),
            });
            before = Some(interval.nats);
            rows.answers.extend(belief.ranked().into_iter().map(|(answer, prob)| AnswerRow {
                task: Arc::clone(&task),
                question_id: Arc::clone(&question_id),
                sample: 0,
                control: "none".into(),
                step: count(index),
                estimator: Some(Arc::clone(&estimator)),
                answer: answer.name().into(),
                prob,
                logprob: prob.ln(),
                cue: Some(0),
            }));
        }
        let has_curve = self.draws.contains_key(&0);
        rows.traces.push(TraceRow {
            task,
            question_id,
            sample: 0,
            question: self.question.clone(),
            choices: None,
            prompt: self.prompt.clone(),
            completion: self.solution.clone(),
            target: self.target.clone(),
            answer: Some(self.answer.clone().unwrap_or_else(|| Answer::INVALID_NAME.to_string())),
            correct: self.correct,
            stop_reason: Some("imported".into()),
            n_prompt_tokens: 0,
            n_trace_tokens: 0,
            n_steps: self.n_steps(),
            outcome: if has_curve { Outcome::Measured } else { Outcome::Skipped },
            reason: (!has_curve).then(|| "there are no rollouts from before the first chunk".into()),
            lock_in_step: None,
            total_drop: None,
            monotone: None,
            n_violations: None,
            late_slope: None,
            wasted_tokens: None,
        });
    }

    /// A row for each prefix with draws, and for each chunk with draws on both sides.
    fn interventions(&self, alpha: f64, seed: u64) -> Vec<InterventionRow> {
        let belief = |index: usize| Belief::of_draws(&answers(self.draws.get(&index)?));
        let last = self.draws.keys().last().and_then(|&last| belief(last));
        let mut rows = Vec::new();
        for &index in self.draws.keys() {
            let (Some(own), Some(last)) = (belief(index), &last) else { continue };
            rows.push(self.row(Kind::Truncate, "", index, &own, last, None));
        }
        for &index in self.chunks.keys() {
            let (Some(before), Some(after)) = (belief(index), belief(index + 1)) else { continue };
            let own = self.draws.get(&index);
            let next = self.draws.get(&(index + 1));
            let found = self.importance(own, next, index, alpha, seed);
            rows.push(self.row(Kind::Resample, "", index + 1, &before, &after, found));
            let chunk = self.chunks[&index].trim();
            let differs = |draw: &&Draw| draw.resampled.as_deref().is_some_and(|said| said.trim() != chunk);
            let others: Vec<Answer> =
                own.into_iter().flatten().filter(differs).map(|draw| draw.answer.clone()).collect();
            if let (Some(before), Some(next)) = (Belief::of_draws(&others), next) {
                let seed = stream_seed(seed, &[&self.name, "others", &index.to_string()]);
                let found = importance(&others, &answers(next), alpha, seed);
                rows.push(self.row(Kind::Resample, COUNTERFACTUAL, index + 1, &before, &after, found));
            }
        }
        rows
    }

    /// The row of q against p.
    fn row(
        &self,
        kind: Kind,
        variant: &str,
        step: usize,
        q: &Belief,
        p: &Belief,
        importance: Option<Importance>,
    ) -> InterventionRow {
        let target = self.target.as_deref().map(Answer::from_name);
        let effect = Effect::between(p, q, target.as_ref());
        let leader = q.leader();
        let listed = q.ranked().into_iter().map(|(answer, prob)| serde_json::json!([answer.name(), prob]));
        let text = step.checked_sub(1).and_then(|index| self.chunks.get(&index));
        InterventionRow {
            task: TASK.into(),
            question_id: self.name.as_str().into(),
            sample: 0,
            step: count(step),
            n_steps: self.n_steps(),
            kind: kind.name().into(),
            variant: variant.into(),
            reading: Reading::Rollout.name().into(),
            off_policy: false,
            span_start: None,
            span_end: None,
            original: text.filter(|_| kind == Kind::Resample).cloned(),
            replacement: None,
            n_tokens: 0,
            n_draws: q.n_draws().map(count),
            leader: leader.map(|(answer, _)| answer.name().into()),
            leader_prob: leader.map(|(_, prob)| prob),
            leader_before: p.leader().map(|(answer, _)| answer.name().into()),
            target_prob: target.as_ref().map(|target| q.prob(target)),
            target_change: effect.target.map(|change| change.value),
            target_change_low: effect.target.map(|change| change.low),
            target_change_high: effect.target.map(|change| change.high),
            tv: Some(effect.total_variation),
            kl_nats: Some(effect.kl_nats),
            leader_changes: Some(effect.leader_changes),
            conflicting: None,
            conflicting_prob: None,
            residual_mass: Some(0.0),
            headroom: importance.map(|found| found.headroom_nats),
            noise_floor: importance.map(|found| found.floor),
            p_value: importance.map(|found| found.p_value),
            answers: Some(Value::from_iter(listed).to_string()),
            reason: None,
        }
    }
}

fn manifest(
    folder: &Path,
    problems: &[Problem],
    model: ModelRecord,
    seed: u64,
    command: Vec<String>,
) -> Result<Manifest, Error> {
    let path = folder.to_string_lossy().into_owned();
    let hash = hash_of(folder, problems)?;
    let settings = Settings {
        model,
        tasks: vec![TaskRecord {
            name: TASK.to_string(),
            source: path.clone(),
            hash: hash.clone(),
            items_hash: String::new(),
            n_available: problems.len(),
            n_questions: problems.len(),
            n_bad_lines: 0,
            answer_format: "text".to_string(),
            estimator: Estimator::Rollout.name().to_string(),
        }],
        traces: TraceSource::Imported { path, hash, sampling: None },
        segment: "steps".to_string(),
        max_steps: None,
        cue: String::new(),
        more_cues: Vec::new(),
        thought_close: None,
        template_vars: BTreeMap::new(),
        choice_form: "label".to_string(),
        samples: problems.iter().flat_map(|problem| problem.draws.values().map(Vec::len)).max().unwrap_or(0),
        enumerate_epsilon: 0.0,
        enumerate_nodes: 0,
        max_answer_tokens: None,
        controls: Vec::new(),
        control_depths: None,
        control_nodes: None,
        rollouts: None,
        stopping: None,
        signals: Vec::new(),
        seed,
        batch_size: problems.len().max(1),
        method: entrace_run::METHOD,
    };
    Ok(Manifest::begun(settings, command, None))
}

/// SHA-256 over the names and hashes of the files that were read.
fn hash_of(folder: &Path, problems: &[Problem]) -> Result<String, Error> {
    let mut listed = String::new();
    for problem in problems {
        let dir = folder.join(&problem.name);
        let mut files: Vec<PathBuf> =
            ["problem.json", "base_solution.json", "chunks_labeled.json"].map(|name| dir.join(name)).to_vec();
        files.extend(
            problem.draws.keys().map(|index| dir.join(format!("chunk_{index}")).join("solutions.json")),
        );
        for file in files {
            listed += &format!("{} {}\n", problem.name, hash::sha256_file(&file)?);
        }
    }
    Ok(hash::sha256(listed.as_bytes()))
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
