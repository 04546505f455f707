//! The search at one site: which nodes come next, where the mass of their continuations goes, and the distribution in the end.

use super::target::{self, NEGLIGIBLE_FORM, WaysToTarget};
use super::vocabulary::{CLOSING, DECLINING, Enumerator};
use crate::estimate::SiteResult;
use crate::plan::Measurement;
use entrace_backend::{NextScore, Parent};
use entrace_measure::{Answer, AnswerDistribution, GrammarState, Question, TokenId};
use std::collections::{BTreeMap, BinaryHeap};

/// Most nodes of one site that are expanded in one pass.
const NODES_AT_ONCE: usize = 16;

/// A node below this share of the pass's likeliest waits for the next pass, unless it alone is more than may stay unexplored.
const WORTH_NOW: f64 = 0.25;

/// Mass from which an unexplored node is read for the entropy's point value.
const WORTH_READING: f64 = 1e-5;

/// Mass below which a node is counted as unexplored without being kept.
const NEGLIGIBLE_LOGMASS: f64 = -27.6;

/// An answer string whose continuations have not been looked at.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) logmass: f64,
    pub(super) path: Vec<TokenId>,
    pub(super) text: String,
    pub(super) state: GrammarState,
    /// What its last token forks from.
    pub(super) parent: Parent,
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Node {}
impl PartialOrd for Node {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Node {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.logmass.total_cmp(&other.logmass).then_with(|| other.path.cmp(&self.path))
    }
}

/// The search at one site.
pub(super) struct Search<'a> {
    pub(super) question: &'a Question,
    /// Names its grammar.
    pub(super) key: Vec<String>,
    /// Surface forms of the target, in lower case; with and without white space before them.
    pub(super) target_forms: Vec<String>,
    open: BinaryHeap<Node>,
    /// Open nodes that lead to the target.
    on_target: BinaryHeap<Node>,
    /// Mass of open nodes, by kind: still in a heap, and given up for good.
    open_mass: f64,
    given_up: f64,
    found: BTreeMap<Answer, f64>,
    declined: f64,
    n_expanded: usize,
    /// Entropy of the token after the cue.
    cue_entropy: Option<f64>,
}

impl<'a> Search<'a> {
    pub(super) fn new(question: &'a Question, key: Vec<String>, target_forms: &[String]) -> Self {
        Self {
            question,
            key,
            target_forms: target_forms.iter().flat_map(|form| target::ways_to_write(form)).collect(),
            open: BinaryHeap::new(),
            on_target: BinaryHeap::new(),
            open_mass: 0.0,
            given_up: 0.0,
            found: BTreeMap::new(),
            declined: 0.0,
            n_expanded: 0,
            cue_entropy: None,
        }
    }

    /// Takes what follows the cue; `root` is the answer of no tokens.
    pub(super) fn begin(
        &mut self,
        enumerator: &mut Enumerator,
        root: &Node,
        next: &NextScore,
        how: &Measurement,
    ) {
        self.cue_entropy = Some(next.entropy);
        self.expand(enumerator, root, root.parent, next, how);
    }

    /// The nodes to expand next, the likeliest first; none when the site is done. What is open elsewhere does not matter.
    pub(super) fn take(&mut self, how: &Measurement) -> Vec<Node> {
        loop {
            let n_open = self.open.len() + self.on_target.len();
            let taken = self.take_likeliest(how);
            if !taken.is_empty() || self.open.len() + self.on_target.len() == n_open {
                return taken;
            }
        }
    }

    /// As `take`; none as well where all that was likely enough had to be given up.
    fn take_likeliest(&mut self, how: &Measurement) -> Vec<Node> {
        let mut taken = Vec::new();
        let mut left = self.open_mass;
        self.give_up_negligible_ways();
        if let Some(node) = self.on_target.pop() {
            left -= node.logmass.exp();
            self.spend(node, how, &mut taken);
        }
        let elicited = (1.0 - self.declined).max(f64::MIN_POSITIVE);
        let best = self.open.peek().map_or(0.0, |node| node.logmass.exp());
        while let Some(node) = self.open.peek() {
            let mass = node.logmass.exp();
            let content = (left + self.given_up) / elicited <= how.epsilon;
            let spent = self.n_expanded >= how.max_nodes;
            let can_wait = mass < WORTH_NOW * best && mass < how.epsilon * elicited;
            if content || spent || can_wait || taken.len() == NODES_AT_ONCE {
                break;
            }
            left -= mass;
            if let Some(node) = self.open.pop() {
                self.spend(node, how, &mut taken);
            }
        }
        taken
    }

    /// Takes a node for expansion, or gives it up if it is longer than answers may be.
    fn spend(&mut self, node: Node, how: &Measurement, taken: &mut Vec<Node>) {
        if node.path.len() > how.max_answer_tokens {
            self.open_mass -= node.logmass.exp();
            self.given_up += node.logmass.exp();
            return;
        }
        self.n_expanded += 1;
        taken.push(node);
    }

    /// Treats what is left of the ways to the target as any other node once the target's mass is known well enough.
    fn give_up_negligible_ways(&mut self) {
        let negligible = self.negligible_for_target();
        if self.on_target.peek().is_some_and(|node| node.logmass < negligible) {
            self.open.append(&mut self.on_target);
        }
    }

    /// Log-mass below which nothing matters for the target's probability.
    pub(super) fn negligible_for_target(&self) -> f64 {
        let found = self.question.target.as_ref().and_then(|target| self.found.get(target));
        found.map_or(f64::NEG_INFINITY, |found| found + NEGLIGIBLE_FORM.ln())
    }

    /// Puts the continuations of a node in their places.
    pub(super) fn expand(
        &mut self,
        enumerator: &mut Enumerator,
        node: &Node,
        here: Parent,
        next: &NextScore,
        how: &Measurement,
    ) {
        let Some(tokens) = enumerator.tokens(&self.key, node.state) else { return };
        let choices = self.question.choices.as_ref();
        if !node.path.is_empty() {
            self.open_mass -= node.logmass.exp();
        }
        let closing = node.logmass + next.class_logmass[usize::from(CLOSING)];
        self.declined += (node.logmass + next.class_logmass[usize::from(DECLINING)]).exp();
        if closing > f64::NEG_INFINITY {
            self.add(enumerator.format.canonical(&node.text, choices), closing);
        }
        let budget = how.max_nodes.saturating_sub(self.n_expanded);
        let least = least_worth_keeping(node.logmass, &next.gather, budget);
        let to_target = WaysToTarget::after(self, enumerator, node, tokens.complete);
        for ((&token, extension), &logprob) in
            tokens.continuations.extending.iter().zip(&tokens.extensions).zip(&next.gather)
        {
            let logmass = node.logmass + logprob;
            if let Some(kept) = extension.closes_after {
                let text = format!("{}{}", node.text, &enumerator.token_texts[token as usize][..kept]);
                self.add(enumerator.format.canonical(&text, choices), logmass);
                continue;
            }
            let wanted = logmass >= to_target.negligible && to_target.has(enumerator, &node.text, token);
            if logmass < least && !wanted {
                self.given_up += logmass.exp();
                continue;
            }
            self.open_mass += logmass.exp();
            let open = if wanted { &mut self.on_target } else { &mut self.open };
            open.push(Node {
                logmass,
                path: node.path.iter().copied().chain([token]).collect(),
                text: format!("{}{}", node.text, enumerator.token_texts[token as usize]),
                state: extension.state,
                parent: here,
            });
        }
    }

    fn add(&mut self, answer: Answer, logmass: f64) {
        if answer.is_invalid() {
            self.declined += logmass.exp();
            return;
        }
        let mass = self.found.entry(answer).or_insert(f64::NEG_INFINITY);
        let (high, low) = if *mass > logmass { (*mass, logmass) } else { (logmass, *mass) };
        *mass = if high > f64::NEG_INFINITY { high + (low - high).exp().ln_1p() } else { high };
    }

    pub(super) fn finish(self, enumerator: &mut Enumerator, how: &Measurement) -> SiteResult {
        let residual = (self.open.iter().chain(&self.on_target).map(|node| node.logmass.exp()).sum::<f64>()
            + self.given_up)
            .max(0.0);
        let readings = self.readings(enumerator, residual);
        let found: Vec<(Answer, f64)> = self.found.into_iter().collect();
        if found.is_empty() && residual > 0.0 {
            return Err(format!(
                "no answer was completed within {} nodes (--max-nodes) and {} tokens (--max-answer-tokens)",
                how.max_nodes, how.max_answer_tokens
            ));
        }
        let ln_n_unfound = match &self.question.choices {
            Some(choices) => match choices.len().saturating_sub(found.len()) {
                0 => None,
                n => Some((n as f64).ln()),
            },
            None => {
                Some(how.max_answer_tokens as f64 * (enumerator.n_extending(&self.key) as f64 + 1.0).ln())
            }
        };
        // Sums of many float32 terms can exceed one by a little; what was declined is what is left.
        let found_mass: f64 = found.iter().map(|(_, logmass)| logmass.exp()).sum();
        let declined = (1.0 - found_mass - residual).max(0.0);
        let mut distribution = AnswerDistribution::from_enumeration(
            found,
            declined.ln(),
            residual,
            ln_n_unfound,
            self.question.target.as_ref(),
        )
        .map_err(|e| e.to_string())?;
        distribution.cue_entropy = self.cue_entropy;
        Ok(distribution.reading_unexplored(&readings))
    }

    /// What open nodes of some mass read as, with their shares of the residual.
    fn readings(&self, enumerator: &Enumerator, residual: f64) -> Vec<(Answer, f64)> {
        let choices = self.question.choices.as_ref();
        let open = self.open.iter().chain(&self.on_target).filter(|node| node.logmass > WORTH_READING.ln());
        let read = open
            .map(|node| (enumerator.format.canonical(&node.text, choices), node.logmass.exp() / residual));
        read.filter(|(answer, _)| !answer.is_invalid()).collect()
    }
}

/// Log-mass below which a continuation of a node is neither expanded, because the budget is spent on likelier ones, nor read.
fn least_worth_keeping(logmass: f64, logprobs: &[f64], budget: usize) -> f64 {
    let in_reach = if budget >= logprobs.len() {
        f64::NEG_INFINITY
    } else if budget == 0 {
        f64::INFINITY
    } else {
        let mut logprobs = logprobs.to_vec();
        let (_, last, _) = logprobs.select_nth_unstable_by(budget - 1, |a, b| b.total_cmp(a));
        logmass + *last
    };
    in_reach.min(WORTH_READING.ln()).max(NEGLIGIBLE_LOGMASS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_budget_cannot_reach_is_not_kept() {
        let logprobs = [-14.0, -12.0, -3.0, -13.0, -40.0];
        let least = |budget| least_worth_keeping(-2.0, &logprobs, budget).total_cmp(&-14.0);
        assert!(least(2).is_eq(), "the second likeliest");
        assert!(least(4).is_lt() && least(64).is_lt());
        // Likely ones are read even where none can be expanded.
        let read = least_worth_keeping(-2.0, &logprobs, 0);
        assert!(read.total_cmp(&WORTH_READING.ln()).is_eq() && least(1).is_gt());
    }
}
