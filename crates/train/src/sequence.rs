//! Token sequences, and packs of them: many documents in one pass.
//!
//! The tokens of a pack stand one after another without padding; attention stays within a document and positions start at 0 in each. The
//! last token of a document predicts nothing and is left out of the pass.

use std::ops::Range;
use std::sync::Arc;

/// A prompt with its completion, in tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    token_ids: Vec<u32>,
    n_given: usize,
}

impl Sequence {
    /// Tokens from `n_given` on are learnt; the first one never is, because nothing predicts it. `None` if none is left.
    pub fn new(token_ids: Vec<u32>, n_given: usize) -> Option<Self> {
        let n_given = n_given.max(1);
        (token_ids.len() > n_given).then_some(Self { token_ids, n_given })
    }

    /// All tokens.
    pub fn token_ids(&self) -> &[u32] {
        &self.token_ids
    }

    /// Number of tokens that are learnt.
    pub fn n_learnt(&self) -> usize {
        self.token_ids.len() - self.n_given
    }

    /// Number of tokens that a pass runs.
    pub fn n_run(&self) -> usize {
        self.token_ids.len() - 1
    }
}

/// Documents of one pass.
#[derive(Debug, Clone)]
pub(crate) struct Pack {
    /// `[T]`.
    pub(crate) token_ids: Arc<[u32]>,
    /// `[T]`.
    pub(crate) positions: Vec<usize>,
    /// Length of each row's document, `[T]`.
    pub(crate) lengths: Vec<usize>,
    /// Rows of each document.
    pub(crate) documents: Arc<[Range<usize>]>,
    /// Rows that are scored, `[R]`.
    pub(crate) rows: Arc<[u32]>,
    /// The token that each of them should predict, `[R]`.
    pub(crate) targets: Arc<[u32]>,
    /// Scored rows of each document, as a range of `0..R`.
    pub(crate) scored: Vec<Range<usize>>,
}

impl Pack {
    pub(crate) fn new(sequences: &[&Sequence]) -> Self {
        let (mut token_ids, mut positions, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
        let (mut rows, mut targets) = (Vec::new(), Vec::new());
        let (mut documents, mut scored) = (Vec::new(), Vec::new());
        for sequence in sequences {
            let (start, n, first) = (token_ids.len(), sequence.n_run(), rows.len());
            token_ids.extend_from_slice(&sequence.token_ids[..n]);
            positions.extend(0..n);
            lengths.extend(std::iter::repeat_n(n, n));
            rows.extend((sequence.n_given - 1..n).map(|i| (start + i) as u32));
            targets.extend_from_slice(&sequence.token_ids[sequence.n_given..]);
            documents.push(start..start + n);
            scored.push(first..rows.len());
        }
        Self {
            token_ids: token_ids.into(),
            positions,
            lengths,
            documents: documents.into(),
            rows: rows.into(),
            targets: targets.into(),
            scored,
        }
    }
}

/// Divides sequences into at most `n_packs` packs of about equal length: each goes, longest first, to the pack that has the fewest tokens.
/// Returns the indices of each pack's sequences, in order; no pack is empty.
pub(crate) fn divide(lengths: &[usize], n_packs: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(lengths[i]));
    let mut packs = vec![(0, Vec::new()); n_packs.max(1)];
    for index in order {
        if let Some(shortest) = packs.iter_mut().min_by_key(|(n, _)| *n) {
            shortest.0 += lengths[index];
            shortest.1.push(index);
        }
    }
    let mut packs: Vec<Vec<usize>> = packs.into_iter().map(|p| p.1).filter(|p| !p.is_empty()).collect();
    packs.iter_mut().for_each(|pack| pack.sort_unstable());
    packs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pack_predicts_the_learnt_tokens() {
        let a = Sequence::new(vec![5, 6, 7, 8], 2).unwrap();
        let b = Sequence::new(vec![1, 2], 0).unwrap();
        let pack = Pack::new(&[&a, &b]);
        assert_eq!(*pack.token_ids, [5, 6, 7, 1]);
        assert_eq!(pack.positions, [0, 1, 2, 0]);
        assert_eq!(*pack.documents, [0..3, 3..4]);
        assert_eq!(*pack.rows, [1, 2, 3]);
        assert_eq!(*pack.targets, [7, 8, 2]);
        assert_eq!(pack.scored, [0..2, 2..3]);
        assert_eq!((a.n_learnt(), b.n_learnt()), (2, 1));
    }

    #[test]
    fn what_nothing_predicts_is_no_sequence() {
        assert!(Sequence::new(vec![], 0).is_none());
        assert!(Sequence::new(vec![3], 0).is_none());
        assert!(Sequence::new(vec![3, 4], 2).is_none());
    }

    #[test]
    fn packs_are_of_about_equal_length() {
        let packs = divide(&[9, 1, 5, 5, 4, 2], 2);
        assert_eq!(packs, [vec![0, 4], vec![1, 2, 3, 5]]);
        assert_eq!(divide(&[3], 4), [vec![0]]);
    }
}
