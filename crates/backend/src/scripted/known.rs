//! A reasoner whose belief about the answer is known at every step.
//!
//! It writes sentences, each a step, then a cue, an answer and a full stop, and ends its turn:
//!
//! ```text
//! Step 1: up.↵↵Step 2: down.↵↵The answer is 12.<|end|>
//! ```
//!
//! Two tables say everything: which steps may come next, given the steps so far, and how likely each answer is after the cue, given the
//! steps so far. They are asked for any text: after a prefix that ends within a step the unfinished sentence does not count; steps of
//! another trace or in another order are steps as well. Hence the *forced* answer distribution after any prefix and the cue is
//! [`KnownAnswers::forced`], and that of *rollouts* is its average over the steps still to come, [`KnownAnswers::rollout`]. A table that
//! ignores the steps is the null model; one that follows them can be as informed as one likes.
//!
//! The model's turn begins after the last `<|assistant|>`, or after the last `↵A:` of a prompt without one. Text that fits no table is
//! answered by a full stop where reasoning goes on, and by the end of the turn after a cue. Every token is left with a small
//! probability, so that no log-probability is infinite.

use super::{Script, SpecialToken, Vocabulary};
use crate::Error;
use entrace_measure::TokenId;
use std::collections::BTreeMap;

/// What the tables are asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reasoning {
    /// The text before the model's turn, special tokens spelled out.
    pub prompt: String,
    /// The sentences that the model has finished, trimmed.
    pub steps: Vec<String>,
}

/// Texts with their probabilities.
pub type Table = Vec<(String, f64)>;

type Rule = Box<dyn Fn(&Reasoning) -> Table + Send + Sync>;

/// The script.
pub struct KnownAnswers {
    steps: Rule,
    answers: Rule,
    floor: f64,
}

/// Between two steps.
const BETWEEN: &str = "\n\n";
/// Ends a step, and an answer.
const STOP: &str = ".";
/// Asks for the answer.
const CUE: &str = "The answer is";
/// Where a prompt without roles ends.
const PROMPT_END: &str = "\nA:";

impl KnownAnswers {
    /// `steps`: sentences that may come next, each with one full stop, at its end; none where the answer is due. `answers`: what follows
    /// the cue `The answer is`, with a leading space and without a full stop. Both are distributions.
    pub fn new(
        steps: impl Fn(&Reasoning) -> Table + Send + Sync + 'static,
        answers: impl Fn(&Reasoning) -> Table + Send + Sync + 'static,
    ) -> Self {
        Self { steps: Box::new(steps), answers: Box::new(answers), floor: 1e-9 }
    }

    /// Belief that ignores the trace: `n_steps` steps of two kinds, each as likely, and the same answers whatever they were.
    pub fn ignoring_the_trace(n_steps: usize, answers: &[(&str, f64)]) -> Self {
        let answers = table(answers);
        Self::new(move |so_far| two_kinds(so_far, n_steps), move |_| answers.clone())
    }

    /// Belief that moves towards the target by equal parts: after k of `n_steps` steps (of two kinds, which tell nothing) its
    /// probability is `first` + (`last` − `first`)·k/n; `others` share the rest equally.
    pub fn informed(n_steps: usize, target: &str, others: &[&str], first: f64, last: f64) -> Self {
        let target = target.to_string();
        let others: Vec<String> = others.iter().map(|other| (*other).to_string()).collect();
        Self::new(
            move |so_far| two_kinds(so_far, n_steps),
            move |so_far| {
                let share = so_far.steps.len().min(n_steps) as f64 / n_steps as f64;
                let prob = first + (last - first) * share;
                let rest = (1.0 - prob) / others.len() as f64;
                let others = others.iter().map(|other| (other.clone(), rest));
                std::iter::once((target.clone(), prob)).chain(others).collect()
            },
        )
    }

    /// Belief that follows the steps: each of `n_steps` is `up` or `down`, as likely. After u ups and d downs the first answer
    /// has the odds 3^(u−d) against the second. Traces then go right or wrong, and rollouts differ from forced answers.
    pub fn following_the_steps(n_steps: usize, first: &str, second: &str) -> Self {
        let (first, second) = (first.to_string(), second.to_string());
        Self::new(
            move |so_far| two_kinds(so_far, n_steps),
            move |so_far| {
                let count =
                    |kind: &str| so_far.steps.iter().filter(|step| step.contains(kind)).count() as i32;
                let odds = 3f64.powi(count("up") - count("down"));
                vec![(first.clone(), odds / (1.0 + odds)), (second.clone(), 1.0 / (1.0 + odds))]
            },
        )
    }

    /// The same with another total probability of everything that the tables do not give; 0 makes that impossible.
    pub fn with_floor(mut self, floor: f64) -> Self {
        self.floor = floor;
        self
    }

    /// The answer distribution after the cue.
    pub fn forced(&self, so_far: &Reasoning) -> BTreeMap<String, f64> {
        let mut probs = BTreeMap::new();
        for (answer, p) in (self.answers)(so_far) {
            *probs.entry(answer).or_insert(0.0) += p;
        }
        probs
    }

    /// The distribution of the answers that the model ends up with when it goes on reasoning at temperature 1.
    pub fn rollout(&self, so_far: &Reasoning) -> BTreeMap<String, f64> {
        let steps = (self.steps)(so_far);
        if steps.is_empty() {
            return self.forced(so_far);
        }
        let mut probs = BTreeMap::new();
        for (step, p_step) in steps {
            let mut further = so_far.clone();
            further.steps.push(step);
            for (answer, p) in self.rollout(&further) {
                *probs.entry(answer).or_insert(0.0) += p_step * p;
            }
        }
        probs
    }

    /// What may be written after the last finished part, as tokens, and how likely each is.
    fn continuations(
        &self,
        vocabulary: &Vocabulary,
        place: &Place,
    ) -> Result<Vec<(Vec<TokenId>, f64)>, Error> {
        let so_far = &place.so_far;
        let between = if so_far.steps.is_empty() { "" } else { BETWEEN };
        let steps = (self.steps)(so_far);
        let texts: Table = if place.after_cue {
            (self.answers)(so_far).into_iter().map(|(answer, p)| (answer + STOP, p)).collect()
        } else if steps.is_empty() {
            vec![(format!("{between}{}", CUE), 1.0)]
        } else {
            steps.into_iter().map(|(step, p)| (format!("{between}{step}"), p)).collect()
        };
        let encode = |(text, p): (String, f64)| {
            let mut tokens = vocabulary.encode(&text)?;
            if place.after_cue {
                tokens.push(vocabulary.end());
            }
            Ok((tokens, p))
        };
        texts.into_iter().map(encode).collect()
    }
}

impl Script for KnownAnswers {
    fn next(&self, vocabulary: &Vocabulary, tokens: &[TokenId]) -> Result<Vec<f64>, Error> {
        let place = Place::find(vocabulary, tokens, CUE);
        let written = &tokens[place.n_finished..];
        let mut probs = vec![0.0; vocabulary.len()];
        for (continuation, p) in self.continuations(vocabulary, &place)? {
            if let Some(&next) = continuation.strip_prefix(written).and_then(<[TokenId]>::first) {
                probs[next as usize] += p;
            }
        }
        let sum: f64 = probs.iter().sum();
        if sum <= 0.0 {
            let way_out = if place.after_cue { vec![vocabulary.end()] } else { vocabulary.encode(STOP)? };
            way_out.iter().for_each(|&token| probs[token as usize] = 1.0);
        }
        let sum: f64 = probs.iter().sum();
        let floor = self.floor / probs.len() as f64;
        probs.iter_mut().for_each(|p| *p = *p / sum * (1.0 - self.floor) + floor);
        Ok(probs)
    }
}

/// Where a context stands.
struct Place {
    so_far: Reasoning,
    after_cue: bool,
    /// Tokens up to the end of the last finished part: prompt, step or cue.
    n_finished: usize,
}

impl Place {
    fn find(vocabulary: &Vocabulary, tokens: &[TokenId], cue: &str) -> Self {
        let spell = |tokens: &[TokenId]| -> String {
            tokens.iter().map(|&token| vocabulary.spelling(token)).collect()
        };
        let assistant = vocabulary.special(SpecialToken::Assistant);
        let all = spell(tokens);
        let prompt_bytes = match tokens.iter().rposition(|&token| Some(token) == assistant) {
            Some(at) => spell(&tokens[..=at]).len(),
            None => all.rfind(PROMPT_END).map_or(0, |at| at + PROMPT_END.len()),
        };
        let (prompt, turn) = all.split_at(prompt_bytes);
        let cue_at = turn.rfind(cue);
        let reasoning = &turn[..cue_at.unwrap_or(turn.len())];
        let finished = reasoning.rfind(STOP).map_or(0, |at| at + STOP.len());
        let steps = reasoning[..finished].split_inclusive(STOP).map(|step| step.trim().to_string());
        let n_bytes = prompt_bytes + cue_at.map_or(finished, |at| at + cue.len());
        let mut covered = 0;
        let n_finished = tokens.iter().take_while(|&&token| {
            let before = covered;
            covered += vocabulary.spelling(token).len();
            before < n_bytes
        });
        Self {
            n_finished: n_finished.count(),
            so_far: Reasoning { prompt: prompt.to_string(), steps: steps.collect() },
            after_cue: cue_at.is_some(),
        }
    }
}

fn table(rows: &[(&str, f64)]) -> Table {
    rows.iter().map(|(text, p)| ((*text).to_string(), *p)).collect()
}

/// Steps `up` and `down` with their number, while fewer than `n_steps` are written.
fn two_kinds(so_far: &Reasoning, n_steps: usize) -> Table {
    let k = so_far.steps.len();
    if k >= n_steps {
        return Vec::new();
    }
    ["up", "down"].iter().map(|kind| (format!("Step {}: {kind}.", k + 1), 0.5)).collect()
}
