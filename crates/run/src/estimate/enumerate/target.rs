//! What leads from a node to the target.

use super::search::{Node, Search};
use super::vocabulary::Enumerator;
use entrace_measure::{Answer, Choices, TokenId};
use std::collections::BTreeSet;

/// What leads to the target with less mass than this share of what was found of it is not looked for.
pub(super) const NEGLIGIBLE_FORM: f64 = 1e-3;

/// What leads from a node to the target.
pub(super) struct WaysToTarget<'a> {
    /// What is missing of every form that the node begins, in lower case.
    missing: Vec<String>,
    /// The target, where the node reads as the target already and its answer may go on.
    read: Option<&'a Answer>,
    choices: Option<&'a Choices>,
    /// Log-mass below which no way matters.
    pub(super) negligible: f64,
}

impl<'a> WaysToTarget<'a> {
    pub(super) fn after(search: &Search<'a>, enumerator: &Enumerator, node: &Node, complete: bool) -> Self {
        let begun = node.text.to_lowercase();
        let missing = search.target_forms.iter().filter_map(|form| form.strip_prefix(begun.as_str()));
        let choices = search.question.choices.as_ref();
        let reads =
            |target: &&Answer| complete && enumerator.format.canonical(&node.text, choices) == **target;
        Self {
            missing: missing.filter(|rest| !rest.is_empty()).map(str::to_string).collect(),
            read: search.question.target.as_ref().filter(reads),
            choices,
            negligible: search.negligible_for_target(),
        }
    }

    /// Whether one more token is on a way.
    pub(super) fn has(&self, enumerator: &Enumerator, text: &str, token: TokenId) -> bool {
        let index = token as usize;
        let on_form = |rest: &String| rest.starts_with(&enumerator.token_texts_folded[index]);
        let still_reads = |target: &Answer| {
            let text = format!("{text}{}", enumerator.token_texts[index]);
            enumerator.format.canonical(&text, self.choices) == *target
        };
        self.missing.iter().any(on_form) || self.read.is_some_and(still_reads)
    }
}

/// A surface form as it is compared with what a node reads.
pub(super) fn ways_to_write(form: &str) -> BTreeSet<String> {
    BTreeSet::from([form.to_lowercase(), form.trim_start().to_lowercase()])
}
