//! The search at one site: which nodes come next, where the mass of their continuations goes, and the distribution in the end.

use super::target::{self, NEGLIGIBLE_FORM};
use super::vocabulary::{CLOSING, DECLINING, GrammarNumber, StateTokens, Vocabulary};
use crate::estimate::{SiteResult, TreeSite};
use crate::plan::Measurement;
use entrace_backend::{NextScore, Parent, Rest};
use entrace_measure::{Answer, AnswerDistribution, GrammarState, Question, TokenId};
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

/// Most nodes of one site that are expanded in one pass.
const NODES_AT_ONCE: usize = 16;

/// A node below this share of the pass's likeliest waits for the next pass, unless it alone is more than may stay unexplored.
const WORTH_NOW: f64 = 0.25;

/// Mass from which an unexplored node is read for the entropy's point value.
const WORTH_READING: f64 = 1e-5;

/// Mass below which a node is counted as unexplored without being kept.
const NEGLIGIBLE_LOGMASS: f64 = -27.6;

/// Most nodes on ways to the target that are expanded once the budget is spent.
const NODES_TO_TARGET: usize = 64;

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

/// A node with all that is needed to put its continuations in their places.
pub(super) struct Expansion {
    pub(super) node: Node,
    /// The vocabulary as it is seen from the node.
    pub(super) tokens: Arc<StateTokens>,
    /// What its continuations fork from.
    pub(super) here: Parent,
    /// What follows it.
    pub(super) next: NextScore,
}

/// The search at one site.
pub(super) struct Search<'a> {
    pub(super) question: &'a Question,
    pub(super) grammar: GrammarNumber,
    /// Surface forms of the target, in lower case; with and without white space before them.
    pub(super) target_forms: Vec<String>,
    /// Its budget.
    max_nodes: usize,
    open: BinaryHeap<Node>,
    /// Open nodes that lead to the target.
    on_target: BinaryHeap<Node>,
    /// Mass of open nodes, by kind: still in a heap, and given up for good.
    open_mass: f64,
    given_up: f64,
    found: BTreeMap<Answer, f64>,
    declined: f64,
    n_expanded: usize,
    /// How many of these led to the target.
    n_to_target: usize,
    /// Entropy of the token after the cue.
    cue_entropy: Option<f64>,
    /// Why it has no result.
    fault: Option<String>,
}

impl<'a> Search<'a> {
    pub(super) fn new(site: &TreeSite<'a>, grammar: GrammarNumber, target_forms: &[String]) -> Self {
        Self {
            question: site.question,
            grammar,
            target_forms: target_forms.iter().flat_map(|form| target::ways_to_write(form)).collect(),
            max_nodes: site.max_nodes,
            open: BinaryHeap::new(),
            on_target: BinaryHeap::new(),
            open_mass: 0.0,
            given_up: 0.0,
            found: BTreeMap::new(),
            declined: 0.0,
            n_expanded: 0,
            n_to_target: 0,
            cue_entropy: None,
            fault: None,
        }
    }

    /// Ends it without a result, for the first reason that there is.
    pub(super) fn fail(&mut self, reason: String) {
        self.fault.get_or_insert(reason);
    }

    /// Takes what follows the cue, whose node is the answer of no tokens.
    pub(super) fn begin(&mut self, vocabulary: &Vocabulary, root: &Expansion) {
        self.cue_entropy = root.next.entropy;
        self.expand(vocabulary, root);
    }

    /// The nodes to expand next, the likeliest first; none when the site is done. What is open elsewhere does not matter.
    pub(super) fn take(&mut self, how: &Measurement) -> Vec<Node> {
        if self.fault.is_some() {
            return Vec::new();
        }
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
        self.give_up_ways();
        if let Some(node) = self.next_way() {
            left -= node.logmass.exp();
            if self.spend(node, how, &mut taken) {
                self.n_to_target += 1;
            }
        }
        let elicited = (1.0 - self.declined).max(f64::MIN_POSITIVE);
        let best = self.open.peek().map_or(0.0, |node| node.logmass.exp());
        while let Some(node) = self.open.peek() {
            let mass = node.logmass.exp();
            let content = (left + self.given_up) / elicited <= how.epsilon;
            let spent = self.n_expanded >= self.max_nodes;
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

    /// Takes a node for expansion, or gives it up if it is longer than answers may be. Whether it was taken.
    fn spend(&mut self, node: Node, how: &Measurement, taken: &mut Vec<Node>) -> bool {
        if node.path.len() > how.max_answer_tokens {
            self.open_mass -= node.logmass.exp();
            self.given_up += node.logmass.exp();
            return false;
        }
        self.n_expanded += 1;
        taken.push(node);
        true
    }

    /// Treats what is left of the ways to the target as any other node once the target's mass is known well enough, or enough was spent
    /// on it.
    fn give_up_ways(&mut self) {
        let negligible = self.negligible_for_target();
        let spent = self.n_expanded >= self.max_nodes && self.n_to_target >= NODES_TO_TARGET;
        if spent || self.on_target.peek().is_some_and(|node| node.logmass < negligible) {
            self.open.append(&mut self.on_target);
        }
    }

    /// The likeliest way to the target. Where half of what may be spent on it found nothing of a long one, because its beginnings can be
    /// written in so many ways, the way that has come furthest.
    fn next_way(&mut self) -> Option<Node> {
        let found = self.negligible_for_target() > f64::NEG_INFINITY;
        if found || self.n_to_target < NODES_TO_TARGET / 2 {
            return self.on_target.pop();
        }
        let mut ways = std::mem::take(&mut self.on_target).into_vec();
        let (furthest, _) =
            ways.iter().enumerate().max_by(|(_, a), (_, b)| (a.text.len(), a).cmp(&(b.text.len(), b)))?;
        let way = ways.swap_remove(furthest);
        self.on_target = ways.into();
        Some(way)
    }

    /// Log-mass below which nothing matters for the target's probability.
    pub(super) fn negligible_for_target(&self) -> f64 {
        let found = self.question.target.as_ref().and_then(|target| self.found.get(target));
        found.map_or(f64::NEG_INFINITY, |found| found + NEGLIGIBLE_FORM.ln())
    }

    /// Puts the continuations of a node in their places.
    pub(super) fn expand(&mut self, vocabulary: &Vocabulary, expansion: &Expansion) {
        let Expansion { node, tokens, here, next } = expansion;
        let choices = self.question.choices.as_ref();
        if !node.path.is_empty() {
            self.open_mass -= node.logmass.exp();
        }
        let closing = node.logmass + next.class_logmass[usize::from(CLOSING)];
        self.declined += (node.logmass + next.class_logmass[usize::from(DECLINING)]).exp();
        if closing > f64::NEG_INFINITY {
            self.add(vocabulary.format.canonical(&node.text, choices), closing);
        }
        if let Rest::Unlisted { logmass, .. } = next.rest {
            self.given_up += (node.logmass + logmass).exp();
        }
        for group in &tokens.closing {
            let logmass =
                node.logmass + ln_sum_exp(next.gather[group.places.clone()].iter().copied().flatten());
            if logmass > f64::NEG_INFINITY {
                let text = format!("{}{}", node.text, group.text);
                self.add(vocabulary.format.canonical(&text, choices), logmass);
            }
        }
        // What the engine did not tell is unexplored already.
        let logprobs: Vec<f64> = next.gather[..tokens.open().len()]
            .iter()
            .map(|logprob| logprob.unwrap_or(f64::NEG_INFINITY))
            .collect();
        let budget = self.max_nodes.saturating_sub(self.n_expanded);
        let least = least_worth_keeping(node.logmass, &logprobs, budget);
        let mut ways = target::ways(self, vocabulary, node, tokens, &logprobs).into_iter().peekable();
        for (place, &logprob) in logprobs.iter().enumerate() {
            let logmass = node.logmass + logprob;
            let to_target = ways.next_if_eq(&place).is_some();
            if logprob == f64::NEG_INFINITY {
                continue;
            }
            if logmass < least && !to_target {
                self.given_up += logmass.exp();
                continue;
            }
            self.open_mass += logmass.exp();
            let token = tokens.open()[place];
            let open = if to_target { &mut self.on_target } else { &mut self.open };
            open.push(Node {
                logmass,
                path: node.path.iter().copied().chain([token]).collect(),
                text: format!("{}{}", node.text, vocabulary.text(token)),
                state: tokens.next_states[place],
                parent: *here,
            });
        }
    }

    fn add(&mut self, answer: Answer, logmass: f64) {
        if answer.is_invalid() {
            self.declined += logmass.exp();
            return;
        }
        let mass = self.found.entry(answer).or_insert(f64::NEG_INFINITY);
        *mass = ln_sum_exp([*mass, logmass]);
    }

    /// The distribution; `n_extending` is the most tokens that extend an answer from any state.
    pub(super) fn finish(self, vocabulary: &Vocabulary, n_extending: usize, how: &Measurement) -> SiteResult {
        if let Some(reason) = self.fault {
            return Err(reason);
        }
        let residual = (self.open.iter().chain(&self.on_target).map(|node| node.logmass.exp()).sum::<f64>()
            + self.given_up)
            .max(0.0);
        let readings = self.readings(vocabulary, residual);
        let found: Vec<(Answer, f64)> = self.found.into_iter().collect();
        if found.is_empty() && residual > 0.0 {
            return Err(format!(
                "no answer was completed within {} nodes and {} answer tokens",
                self.max_nodes, how.max_answer_tokens
            ));
        }
        let ln_n_unfound = match &self.question.choices {
            Some(choices) => match choices.len().saturating_sub(found.len()) {
                0 => None,
                n => Some((n as f64).ln()),
            },
            None => Some(how.max_answer_tokens as f64 * (n_extending as f64 + 1.0).ln()),
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
    fn readings(&self, vocabulary: &Vocabulary, residual: f64) -> Vec<(Answer, f64)> {
        let choices = self.question.choices.as_ref();
        let open = self.open.iter().chain(&self.on_target).filter(|node| node.logmass > WORTH_READING.ln());
        let read = open
            .map(|node| (vocabulary.format.canonical(&node.text, choices), node.logmass.exp() / residual));
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

/// ln Σ e^x; −∞ for nothing.
fn ln_sum_exp(values: impl IntoIterator<Item = f64, IntoIter: Clone>) -> f64 {
    let values = values.into_iter();
    let top = values.clone().fold(f64::NEG_INFINITY, f64::max);
    if top.is_infinite() { top } else { top + values.map(|x| (x - top).exp()).sum::<f64>().ln() }
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
