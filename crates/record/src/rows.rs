//! The rows of the five tables of a run, of `decisions` where a rule stopped traces, and of `interventions` beside them, as they stand in
//! Parquet.
//!
//! A trace is known by (task, question_id, sample). `prefixes` and `answers` carry `control` as well: `none` for the trace itself,
//! `swapped` for another question's trace in its place, `shuffled` for its own steps in random order, `unstated` for the trace without the
//! sentences that state its answer. A prefix may have rows of two estimators, where rollouts were measured beside another. Entropies and
//! log-probabilities are in nats; what is undefined is null.

use std::sync::Arc;

/// One reasoning trace and how it ended.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceRow {
    /// Name of the task.
    pub task: Arc<str>,
    /// Identity of the question within the task.
    pub question_id: Arc<str>,
    /// Number of the trace among those of the question, from 0.
    pub sample: u32,
    /// The question as stated.
    pub question: String,
    /// The options as a JSON object `{"labels": [...], "texts": [...]}`; null without options.
    pub choices: Option<String>,
    /// The prompt as text, special tokens spelled out; of a server that only chats, the messages that were sent as a JSON list.
    pub prompt: String,
    /// All generated text.
    pub completion: String,
    /// The true answer in canonical form; null where the benchmark has none.
    pub target: Option<String>,
    /// The answer that the completion states after its thoughts, `[invalid]` where none can be read, as where the model wrote nothing or never
    /// closed a thought; null for an imported trace without text.
    /// Of a completion that the limit on tokens cut (`stop_reason` `length`), only what it states in a finished sentence, line or box.
    pub answer: Option<String>,
    /// Whether answer and target agree, or what the imported file says of that; null without either. Traces that were not measured have it too.
    pub correct: Option<bool>,
    /// `stop`, `length` or `imported`; `rule` or `gave-up` where a stopping rule ended the trace: its answer is then the belief's leader, or
    /// none. Null when nothing was generated.
    pub stop_reason: Option<String>,
    /// Tokens of the prompt.
    pub n_prompt_tokens: u32,
    /// Tokens of the trace T.
    pub n_trace_tokens: u32,
    /// Steps of the trace K.
    pub n_steps: u32,
    /// `measured`, `skipped` or `failed`.
    pub outcome: Outcome,
    /// Why it was skipped or failed.
    pub reason: Option<String>,
    /// First step from which the leader never changes and leads clearly; null where there is none.
    pub lock_in_step: Option<u32>,
    /// H_0 − H_K.
    pub total_drop: Option<f64>,
    /// Whether the entropy never rises by more than ε.
    pub monotone: Option<bool>,
    /// Number of steps at which it does.
    pub n_violations: Option<u32>,
    /// Slope of H over the last third of the depth, in nats per unit of depth.
    pub late_slope: Option<f64>,
    /// Tokens after the lock-in step.
    pub wasted_tokens: Option<u32>,
}

/// What became of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All of it was measured.
    Measured,
    /// It could not be measured, for a reason that lies in the question.
    Skipped,
    /// Measuring it failed.
    Failed,
}

impl Outcome {
    /// The name used in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
        }
    }
}

/// Belief about the answer at one prefix.
#[derive(Debug, Clone, PartialEq)]
pub struct PrefixRow {
    /// Name of the task.
    pub task: Arc<str>,
    /// Identity of the question.
    pub question_id: Arc<str>,
    /// Number of the trace.
    pub sample: u32,
    /// `none`, `swapped`, `shuffled` or `unstated`.
    pub control: Arc<str>,
    /// Number of steps k in the prefix.
    pub step: u32,
    /// Number of trace tokens t_k in the prefix.
    pub n_tokens: u32,
    /// k/K.
    pub depth: f64,
    /// `choices`, `enumerate`, `sample` or `rollout`.
    pub estimator: Arc<str>,
    /// H_k.
    pub answer_entropy: f64,
    /// Lower end of its interval.
    pub entropy_lower: f64,
    /// Upper end of its interval.
    pub entropy_upper: f64,
    /// H_{k−1} − H_k; null at k = 0, and where the prefix before was not measured.
    pub entropy_drop: Option<f64>,
    /// ℓ_k = ln p_k(target); null without a target.
    pub target_logprob: Option<f64>,
    /// ℓ_k − ℓ_0; null without a target.
    pub information_gain: Option<f64>,
    /// The most likely answer.
    pub leader: Arc<str>,
    /// Its probability.
    pub leader_prob: f64,
    /// Share of raw probability on answers; null where the estimator does not see it.
    pub elicited_mass: Option<f64>,
    /// Probability of answers that were not explored.
    pub residual_mass: f64,
    /// Number of draws m; null for estimators that do not sample.
    pub n_samples: Option<u32>,
    /// Entropy of the next token after prefix and cue, over the whole vocabulary; null where nothing was asked after a cue.
    pub cue_entropy: Option<f64>,
    /// Whether the text of these k steps states the answer that the trace ends with; null where it states none that can be read, under a
    /// control, and before format 1.1.
    pub answer_stated: Option<bool>,
    /// Whether it states the target; null without a target, under a control, and before format 1.1.
    pub target_stated: Option<bool>,
    /// Number of the cue among those of the run, 0 for the first, which carries the numbers; null before format 1.1, where there was one.
    pub cue: Option<u32>,
}

/// One answer at one prefix.
#[derive(Debug, Clone, PartialEq)]
pub struct AnswerRow {
    /// Name of the task.
    pub task: Arc<str>,
    /// Identity of the question.
    pub question_id: Arc<str>,
    /// Number of the trace.
    pub sample: u32,
    /// `none`, `swapped`, `shuffled` or `unstated`.
    pub control: Arc<str>,
    /// Number of steps in the prefix.
    pub step: u32,
    /// The estimator, as in `prefixes`: one prefix may have rows of several. Null in records of format 1.0, whose prefixes have one.
    pub estimator: Option<Arc<str>>,
    /// The answer: the option's label for `choices`, else the canonical form.
    pub answer: Arc<str>,
    /// Its probability.
    pub prob: f64,
    /// The logarithm of its probability.
    pub logprob: f64,
    /// Number of the cue, as in `prefixes`.
    pub cue: Option<u32>,
}

/// One token of a trace.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenRow {
    /// Name of the task.
    pub task: Arc<str>,
    /// Identity of the question.
    pub question_id: Arc<str>,
    /// Number of the trace.
    pub sample: u32,
    /// Position in the trace, from 0.
    pub index: u32,
    /// The step that the token belongs to, from 1.
    pub step: u32,
    /// The token's number in the vocabulary.
    pub token_id: u32,
    /// The text that it adds; the texts of all tokens concatenate to the trace.
    pub text: String,
    /// Log-probability given all that precedes it.
    pub logprob: Option<f64>,
    /// Entropy of the distribution it was drawn from.
    pub token_entropy: Option<f64>,
    /// ln p of the most likely token less ln p of the second, in that distribution.
    pub top2_margin: Option<f64>,
    /// −(1/k) Σ ln p over its k = 20 most likely tokens.
    pub topk_confidence: Option<f64>,
    /// KL(U‖p), the divergence of the even distribution from it.
    pub uniform_divergence: Option<f64>,
}

/// One signal of a trace that the run measured because it was asked for, or why it has no value.
#[derive(Debug, Clone, PartialEq)]
pub struct SignalRow {
    /// Name of the task.
    pub task: Arc<str>,
    /// Identity of the question.
    pub question_id: Arc<str>,
    /// Number of the trace.
    pub sample: u32,
    /// Name of the signal.
    pub signal: Arc<str>,
    /// The quantity as measured; the score of a signal that grows with uncertainty is its negative.
    pub value: Option<f64>,
    /// Why there is no value.
    pub reason: Option<String>,
}

/// What a stopping rule decided at one prefix of a trace that was being written.
#[derive(Debug, Clone, PartialEq)]
pub struct DecisionRow {
    /// Name of the task.
    pub task: Arc<str>,
    /// Identity of the question.
    pub question_id: Arc<str>,
    /// Number of the trace.
    pub sample: u32,
    /// Number of steps k in the prefix.
    pub step: u32,
    /// Number of trace tokens t_k in the prefix.
    pub n_tokens: u32,
    /// Tokens that had been written when it was decided: a step is known to have ended once more follows.
    pub n_written: u32,
    /// Tokens that were run to ask for the belief there.
    pub n_asked: u32,
    /// The signal of the condition to stop; null where it has no value or the rule no such condition.
    pub stop_value: Option<f64>,
    /// The signal of the condition to give up, likewise.
    pub give_up_value: Option<f64>,
    /// `continue`, `stop` or `give-up`.
    pub decision: Arc<str>,
}

/// What one change in a recorded trace did to the belief at its end.
///
/// The change is at `step`; under the reading `forced` the rest of the trace stands as it is, then the answer is asked for, and the effect is
/// against the belief at the end of the trace as it stands (kind `none`). Under `rollout` the rest is drawn anew, and the effect is against
/// rollouts after the unchanged step. `resample` under `rollout` is the importance of the step: p are rollouts after it, q those before it, and
/// `tv` and `kl_nats` are their divergence r_k.
#[derive(Debug, Clone, PartialEq)]
pub struct InterventionRow {
    /// Name of the task.
    pub task: Arc<str>,
    /// Identity of the question.
    pub question_id: Arc<str>,
    /// Number of the trace.
    pub sample: u32,
    /// Step of the trace that was changed, from 1; 0 for a trace that is cut before its first step.
    pub step: u32,
    /// Steps of the trace K.
    pub n_steps: u32,
    /// `none` for the trace as it stands, `delete`, `corrupt`, `filler`, `paraphrase`, `swap`, `resample`, `conflict`, `truncate` or `mistake`.
    pub kind: Arc<str>,
    /// Which of several changes of the kind: `line`, `steps` or `both` of a conflict, `step` or `prefix` of a filler, `counterfactual` of a
    /// resampled step, the number of a draw; empty where there is one.
    pub variant: Arc<str>,
    /// `forced` or `rollout`.
    pub reading: Arc<str>,
    /// Whether the model was made to go on from text that it did not write.
    pub off_policy: bool,
    /// First byte of the trace's text that was replaced; null where nothing was.
    pub span_start: Option<u32>,
    /// Byte after the last one that was replaced.
    pub span_end: Option<u32>,
    /// The text of that span.
    pub original: Option<String>,
    /// What stood there instead.
    pub replacement: Option<String>,
    /// Tokens that were run for this row and no other: what follows the edit, or what was drawn.
    pub n_tokens: u32,
    /// Number of draws of q; null where it was read exactly.
    pub n_draws: Option<u32>,
    /// The most likely answer after the change.
    pub leader: Option<Arc<str>>,
    /// Its probability.
    pub leader_prob: Option<f64>,
    /// The most likely answer without the change.
    pub leader_before: Option<Arc<str>>,
    /// q(target); null without a target.
    pub target_prob: Option<f64>,
    /// q(target) − p(target).
    pub target_change: Option<f64>,
    /// Lower end of its interval: from what was left unexplored, or of 95 % over draws.
    pub target_change_low: Option<f64>,
    /// Upper end of its interval.
    pub target_change_high: Option<f64>,
    /// Total variation between p and q.
    pub tv: Option<f64>,
    /// KL(p‖q), smoothed by half a draw over the union of the answers.
    pub kl_nats: Option<f64>,
    /// Whether another answer leads.
    pub leader_changes: Option<bool>,
    /// The answer that the changed text says; null but for conflicts.
    pub conflicting: Option<Arc<str>>,
    /// Its probability.
    pub conflicting_prob: Option<f64>,
    /// Probability of answers that were not explored.
    pub residual_mass: Option<f64>,
    /// H(p_{k−1}), how much the step could decide; null but for resampled steps under rollouts.
    pub headroom: Option<f64>,
    /// What the importance exceeds by chance in at most one of twenty steps: from splitting the draws of both sides at random.
    pub noise_floor: Option<f64>,
    /// Share of such splits that reach the importance.
    pub p_value: Option<f64>,
    /// The distribution after the change as a JSON list of answers with their probabilities, the most likely first.
    pub answers: Option<String>,
    /// Why there is no effect: the change could not be made, or belief could not be read.
    pub reason: Option<String>,
}

/// Rows of all tables that belong together.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rows {
    /// Table `traces`.
    pub traces: Vec<TraceRow>,
    /// Table `prefixes`.
    pub prefixes: Vec<PrefixRow>,
    /// Table `answers`.
    pub answers: Vec<AnswerRow>,
    /// Table `tokens`.
    pub tokens: Vec<TokenRow>,
    /// Table `signals`.
    pub signals: Vec<SignalRow>,
    /// Table `decisions`, of runs that stop traces by a rule.
    pub decisions: Vec<DecisionRow>,
}
