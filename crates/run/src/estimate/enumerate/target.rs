//! What leads from a node to the target.

use super::search::{Node, Search};
use super::vocabulary::{StateTokens, Vocabulary};
use entrace_measure::{Answer, TokenId};
use std::collections::BTreeSet;

/// What leads to the target with less mass than this share of what was found of it is not looked for.
pub(super) const NEGLIGIBLE_FORM: f64 = 1e-3;

/// Places among the tokens after which an answer continues, of those that lead from a node to the target, in their order: `logprobs` are
/// those of the tokens, and what has less mass than `negligible` does not matter.
///
/// To the target lead the tokens that begin what is missing of a form of it, and, where the node reads as the target already, those after which
/// it still does.
pub(super) fn ways(
    search: &Search<'_>,
    vocabulary: &Vocabulary,
    node: &Node,
    tokens: &StateTokens,
    logprobs: &[f64],
) -> Vec<usize> {
    let Some(target) = &search.question.target else { return Vec::new() };
    let negligible = search.negligible_for_target();
    let matters = |&place: &usize| node.logmass + logprobs[place] >= negligible;
    let mut places: Vec<usize> = on_form(search, vocabulary, node)
        .into_iter()
        .filter_map(|token| tokens.open().binary_search(&token).ok())
        .filter(matters)
        .collect();
    if tokens.complete && reads(search, vocabulary, &node.text, target) {
        let still_reads = |&place: &usize| {
            let text = format!("{}{}", node.text, vocabulary.text(tokens.open()[place]));
            reads(search, vocabulary, &text, target)
        };
        places.extend((0..tokens.open().len()).filter(matters).filter(still_reads));
    }
    places.sort_unstable();
    places.dedup();
    places
}

/// Tokens that begin what is missing of a form of the target after a node.
pub(super) fn on_form(search: &Search<'_>, vocabulary: &Vocabulary, node: &Node) -> Vec<TokenId> {
    let begun = node.text.to_lowercase();
    let missing = search.target_forms.iter().filter_map(|form| form.strip_prefix(begun.as_str()));
    missing.flat_map(|rest| vocabulary.beginnings(rest)).collect()
}

fn reads(search: &Search<'_>, vocabulary: &Vocabulary, text: &str, target: &Answer) -> bool {
    vocabulary.format.canonical(text, search.question.choices.as_ref()) == *target
}

/// A surface form as it is compared with what a node reads.
pub(super) fn ways_to_write(form: &str) -> BTreeSet<String> {
    BTreeSet::from([form.to_lowercase(), form.trim_start().to_lowercase()])
}
