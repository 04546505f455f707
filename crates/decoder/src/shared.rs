//! Beginnings that several token sequences have in common.
//!
//! Questions of a task are asked with the same system prompt and examples, so their prompts begin alike. What begins alike and continues
//! the same context is run once: a later sequence takes the cache slots and hidden states of the earlier one for as long as they agree.

use entrace_measure::TokenId;
use std::collections::HashMap;
use std::hash::Hash;
use std::ops::Range;

/// The fewest tokens worth sharing: a beginning of its own cuts a run in two, which costs attention a little.
const FEWEST: usize = 8;

/// What a sequence shares with an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Beginning {
    /// Number of the earlier sequence.
    pub(crate) of: usize,
    pub(crate) n_tokens: usize,
}

/// For each sequence the longest beginning that it shares with an earlier one of the same context; of equals, the first.
pub(crate) fn beginnings<'a, C: Hash + Eq>(
    sequences: impl IntoIterator<Item = (C, &'a [TokenId])>,
) -> Vec<Option<Beginning>> {
    /// Sequences of one context with the same first tokens, by number.
    type Alike<'a, C> = HashMap<(C, &'a [TokenId]), Vec<(usize, &'a [TokenId])>>;
    let mut alike: Alike<'a, C> = HashMap::new();
    let shared = sequences.into_iter().enumerate().map(|(number, (context, tokens))| {
        let first = tokens.get(..FEWEST)?;
        let earlier = alike.entry((context, first)).or_default();
        let best = earlier
            .iter()
            .map(|&(of, other)| Beginning { of, n_tokens: n_alike(tokens, other) })
            .reduce(|best, next| if next.n_tokens > best.n_tokens { next } else { best });
        // What repeats an earlier sequence wholly shares no more with later ones than that sequence does.
        if best.is_none_or(|best| best.n_tokens < tokens.len()) {
            earlier.push((number, tokens));
        }
        best
    });
    shared.collect()
}

fn n_alike(a: &[TokenId], b: &[TokenId]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// The first `n` slots of some ranges.
pub(crate) fn first_slots(ranges: impl IntoIterator<Item = Range<usize>>, n: usize) -> Vec<Range<usize>> {
    let mut left = n;
    let cut = ranges.into_iter().filter_map(|range| {
        let taken = left.min(range.len());
        left -= taken;
        (taken > 0).then_some(range.start..range.start + taken)
    });
    cut.collect()
}

/// Some ranges without their first `n` slots.
pub(crate) fn without_first(ranges: Vec<Range<usize>>, n: usize) -> Vec<Range<usize>> {
    let mut left = n;
    let cut = ranges.into_iter().filter_map(|range| {
        let passed = left.min(range.len());
        left -= passed;
        (passed < range.len()).then_some(range.start + passed..range.end)
    });
    cut.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_common_beginning_of_the_same_context_is_found() {
        let long: Vec<TokenId> = (0..20).collect();
        let with = |n: usize, then: TokenId| {
            let mut tokens = long[..n].to_vec();
            tokens.push(then);
            tokens
        };
        let sequences =
            [(0, long.clone()), (0, with(12, 99)), (0, with(15, 98)), (0, with(12, 99)), (1, with(15, 98))];
        let found = beginnings(sequences.iter().map(|(context, tokens)| (*context, tokens.as_slice())));
        let expected = [None, Some((0, 12)), Some((0, 15)), Some((1, 13)), None];
        assert_eq!(found, expected.map(|e| e.map(|(of, n_tokens)| Beginning { of, n_tokens })));
    }

    #[test]
    fn a_few_tokens_are_not_worth_sharing() {
        let (a, b) = ([1, 2, 3, 4, 5, 6, 7], [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(beginnings([((), a.as_slice()), ((), &a), ((), &b)]), [None; 3]);
    }

    #[test]
    fn slots_are_cut_across_ranges() {
        let ranges = || [3..5, 6..6, 9..10, 20..30];
        assert!(first_slots(ranges(), 0).is_empty());
        assert_eq!(first_slots(ranges(), 3), [3..5, 9..10]);
        assert_eq!(first_slots(ranges(), 5), [3..5, 9..10, 20..22]);
    }
}
