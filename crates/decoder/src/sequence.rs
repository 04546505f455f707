//! Completions while they are drawn (`generate`): where they begin, what is known of each, and what becomes of it.

use crate::passes::HiddenRow;
use crate::shared;
use crate::tree::Grown;
use entrace_backend::{Branch, Completion, Parent, Place, Sharpness};
use entrace_measure::TokenId;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::ops::Range;

/// Slots that a sequence takes at a time.
pub(crate) const CHUNK: usize = 32;

/// Where completions begin.
pub(crate) struct Origin {
    pub(crate) from: Parent,
    /// Slots of everything before.
    pub(crate) path: Vec<Range<usize>>,
    /// The row from which the first token is drawn.
    pub(crate) row: Option<HiddenRow>,
    /// How many tokens of the branch there are before, unless they were run anew.
    pub(crate) along: Option<usize>,
    pub(crate) turning: Vec<usize>,
    pub(crate) n_before: usize,
    pub(crate) limit: usize,
    pub(crate) keep: bool,
}

/// A completion that waits for its turn.
pub(crate) enum Waiting {
    /// It has not begun; the seed of its stream.
    New {
        place: Place,
        stream: u64,
    },
    Paused(Box<Live>),
}

/// A completion in progress.
pub(crate) struct Live {
    pub(crate) place: Place,
    /// Where it grows from.
    pub(crate) from: Parent,
    /// Where its newest branch ends; `from` before there is one.
    pub(crate) end: Parent,
    /// Tokens of it that are branches.
    pub(crate) n_planted: usize,
    pub(crate) keep: bool,
    pub(crate) limit: usize,
    /// Slots of what comes before it, unless that was run anew.
    pub(crate) path: Vec<Range<usize>>,
    /// Slots of what comes after.
    pub(crate) chunks: Vec<usize>,
    pub(crate) turning: Vec<usize>,
    /// Tokens before it.
    pub(crate) n_before: usize,
    /// How many tokens of the branch that it grows from it has come to repeat; `None` once it has parted from it.
    pub(crate) along: Option<usize>,
    /// The row from which its first token is drawn, where it never went along.
    pub(crate) first_row: Option<HiddenRow>,
    /// Of its tokens that have been run, as long as it is kept.
    pub(crate) rows: Vec<HiddenRow>,
    pub(crate) rng: ChaCha8Rng,
    pub(crate) token_ids: Vec<TokenId>,
    pub(crate) logprobs: Vec<Option<f64>>,
    pub(crate) sharpness: Vec<Sharpness>,
}

impl Live {
    /// A completion before its first token.
    pub(crate) fn new(place: Place, stream: u64, origin: &Origin) -> Self {
        Self {
            place,
            from: origin.from,
            end: origin.from,
            n_planted: 0,
            keep: origin.keep,
            limit: origin.limit,
            path: origin.path.clone(),
            chunks: Vec::new(),
            turning: origin.turning.clone(),
            n_before: origin.n_before,
            along: origin.along,
            first_row: origin.row,
            rows: Vec::new(),
            rng: ChaCha8Rng::seed_from_u64(stream),
            token_ids: Vec::new(),
            logprobs: Vec::new(),
            sharpness: Vec::new(),
        }
    }

    /// Number of tokens, the newest among them.
    pub(crate) fn n_tokens(&self) -> usize {
        self.n_before + self.token_ids.len()
    }

    pub(crate) fn n_in_path(&self) -> usize {
        self.path.iter().map(Range::len).sum()
    }

    /// Slots of its first `n` tokens.
    pub(crate) fn slots(&self, n: usize) -> Vec<Range<usize>> {
        let chunks = self.chunks.iter().map(|&chunk| chunk..chunk + CHUNK);
        shared::first_slots(self.path.iter().cloned().chain(chunks), n)
    }

    /// The slot behind all that it needs.
    pub(crate) fn end(&self) -> usize {
        let chunks = self.chunks.iter().map(|chunk| chunk + CHUNK);
        chunks.chain(self.path.iter().map(|range| range.end)).max().unwrap_or(0)
    }
}

/// A completion that has ended or is paused.
pub(crate) struct Done {
    pub(crate) completion: Completion,
    pub(crate) keep: bool,
    pub(crate) sequence: Box<Live>,
    pub(crate) is_paused: bool,
}

impl Done {
    /// What it adds to the tree. A stop string may have cut it within an earlier piece.
    pub(crate) fn branch(&self) -> Branch {
        let tokens = self.completion.token_ids.get(self.sequence.n_planted..).unwrap_or_default().to_vec();
        Branch { parent: Some(self.sequence.end), tokens, keep: true, ..Branch::default() }
    }

    /// The tokens of that which have been run; none where not every one before the last has been run after its place.
    pub(crate) fn grown(&self) -> Grown {
        let Live { n_planted, n_before, rows, .. } = &*self.sequence;
        let n_tokens = self.completion.token_ids.len();
        let n_run = n_tokens.min(rows.len());
        if n_run <= *n_planted || n_run + 1 < n_tokens {
            return Grown::default();
        }
        let slots = self.sequence.slots(n_before + n_run);
        Grown {
            slots: shared::without_first(slots, n_before + n_planted),
            rows: rows[*n_planted..n_run].to_vec(),
        }
    }
}
