//! What a model believes about the channel, from its next-token probabilities on every context.
//!
//! Input: for each of [`Channel::contexts`], the model's probability of each token of the channel (`[contexts, tokens]`, ids as in
//! [`Channel::tokens`]). Where other tokens exist or get probability, the row sums to less than 1 over those that may follow; rows
//! are restricted to them and renormalised, as in constrained sampling, and the largest share lost is kept as `leaked`. The cue's share,
//! where the answer may be asked for before the end, is no part of a law: its step tables are given that a step follows.

use super::law::normalised;
use super::{Asked, Channel, Law};

/// A law read off a model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelLaw {
    /// The law of the model restricted to sequences of the channel.
    pub law: Law,
    /// The most probability that the model gives, on any context, to tokens that cannot follow there.
    pub leaked: f64,
}

/// Why probabilities are no law.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum BadTable {
    /// Not one row for each context.
    #[error("{found} rows of probabilities for {expected} contexts")]
    Rows {
        /// Number of contexts.
        expected: usize,
        /// Number of rows.
        found: usize,
    },
    /// A row has not one entry for each token, or an entry that is no probability, or nothing on what may follow.
    #[error("row {row} of the probabilities is no distribution over the channel's tokens")]
    NotADistribution {
        /// Index of the context.
        row: usize,
    },
}

/// Rounding by which a row may sum to more than 1; models compute in single precision.
const TOLERANCE: f64 = 1e-4;

impl Channel {
    /// Every context whose next token the joint depends on, as token ids: for k = 0..=K the prefixes of k steps in the order of rows, then, if
    /// the answer may be asked for there, the same with the cue. The prefixes of K steps, after which only the cue can follow, are left
    /// out themselves.
    pub fn contexts(&self) -> Vec<Vec<usize>> {
        let mut contexts = Vec::new();
        for k in 0..=self.options.n_steps {
            let rows = 0..self.options.n_questions << k;
            let prefixes: Vec<Vec<usize>> = rows.map(|row| self.prefix_tokens(row, k)).collect();
            let asked = prefixes.iter().map(|prefix| [prefix.as_slice(), &[self.cue()]].concat());
            if k < self.options.n_steps {
                contexts.extend(prefixes.iter().cloned());
            }
            if self.is_asked_after(k) {
                contexts.extend(asked);
            }
        }
        contexts
    }

    /// The law of a model with these next-token probabilities on [`contexts`](Self::contexts).
    ///
    /// Where the answer is only asked for at the end, the answer tables of earlier depths are those implied.
    pub fn model_law(&self, next: &[Vec<f64>]) -> Result<ModelLaw, BadTable> {
        let expected = self.contexts().len();
        if next.len() != expected {
            return Err(BadTable::Rows { expected, found: next.len() });
        }
        let mut reader = Reader { channel: self, rows: next.iter().enumerate(), leaked: 0.0 };
        let mut law = Law::empty(self.options.n_questions, self.options.n_steps);
        for k in 0..=self.options.n_steps {
            let n_rows = self.options.n_questions << k;
            if k < self.options.n_steps {
                law.steps[k] = (0..n_rows).map(|_| reader.step(k)).collect::<Result<_, _>>()?;
            }
            law.answers[k] = match self.is_asked_after(k) {
                true => (0..n_rows).map(|_| reader.answer()).collect::<Result<_, _>>()?,
                false => Vec::new(),
            };
        }
        let law = if self.options.asked == Asked::AtEnd { law.implied() } else { law };
        Ok(ModelLaw { law, leaked: reader.leaked })
    }

    fn is_asked_after(&self, k: usize) -> bool {
        k == self.options.n_steps || self.options.asked == Asked::Anywhere
    }

    fn prefix_tokens(&self, row: usize, k: usize) -> Vec<usize> {
        let steps: Vec<usize> = (0..k).map(|j| row >> (k - 1 - j) & 1).collect();
        self.context(row >> k, &steps)
    }
}

/// Reads rows one after the other.
struct Reader<'a, I> {
    channel: &'a Channel,
    rows: I,
    leaked: f64,
}

impl<'a, I: Iterator<Item = (usize, &'a Vec<f64>)>> Reader<'a, I> {
    /// The probabilities of these tokens, given that one of `possible` follows.
    fn next(&mut self, wanted: &[usize], possible: &[usize]) -> Result<Vec<f64>, BadTable> {
        let (row, probs) = self.rows.next().ok_or(BadTable::NotADistribution { row: 0 })?;
        let sum: f64 = probs.iter().sum();
        let is_distribution = probs.len() == self.channel.answer_token(self.channel.options.n_answers)
            && probs.iter().all(|p| *p >= 0.0)
            && sum <= 1.0 + TOLERANCE;
        let (found, weight) = if is_distribution {
            normalised(wanted.iter().map(|&id| probs[id]).collect())
        } else {
            return Err(BadTable::NotADistribution { row });
        };
        if weight <= 0.0 {
            return Err(BadTable::NotADistribution { row });
        }
        let kept: f64 = possible.iter().map(|&id| probs[id]).sum();
        self.leaked = self.leaked.max(1.0 - kept);
        Ok(found)
    }

    fn step(&mut self, k: usize) -> Result<[f64; 2], BadTable> {
        let symbols = [self.channel.cue() - 2, self.channel.cue() - 1];
        let possible = match self.channel.is_asked_after(k) {
            true => vec![symbols[0], symbols[1], self.channel.cue()],
            false => symbols.to_vec(),
        };
        self.next(&symbols, &possible).map(|probs| [probs[0], probs[1]])
    }

    fn answer(&mut self) -> Result<Vec<f64>, BadTable> {
        let answers: Vec<usize> =
            (0..self.channel.options.n_answers).map(|answer| self.channel.answer_token(answer)).collect();
        self.next(&answers, &answers)
    }
}
