//! The tokenizer of a new model, from what it will read.

use super::data::{ARITH, Pair, Traces};
use crate::error::Error;
use entrace_train::Vocabulary;
use entrace_worlds::arith;
use std::collections::BTreeMap;

/// Most pieces of a tokenizer that is made from files.
const MOST_PIECES: usize = 4000;

/// The pieces of `arith`; for other data the words, digits and signs that occur at least twice, the most frequent first.
pub(crate) fn of(source: &str, traces: &Traces) -> Result<Vocabulary, Error> {
    let pieces = if source == ARITH { arith::pieces() } else { frequent(&traces.learnt) };
    Ok(Vocabulary::new(pieces)?)
}

fn frequent(pairs: &[Pair]) -> Vec<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for pair in pairs {
        let text = pair.as_plain();
        for piece in [&text.prompt, &text.completion].into_iter().flat_map(|text| arith::split_pieces(text)) {
            if piece.chars().all(|c| c == '\n' || (' '..='~').contains(&c)) {
                *counts.entry(piece.to_string()).or_default() += 1;
            }
        }
    }
    let mut all: Vec<(String, usize)> = counts.into_iter().filter(|(_, n)| *n > 1).collect();
    all.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    all.into_iter().take(MOST_PIECES).map(|(piece, _)| piece).collect()
}
