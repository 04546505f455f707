//! `enumerate`: best-first expansion of the tree of answer strings after prefix and cue.
//!
//! The format's grammar sorts the whole vocabulary at every node: a token closes the answer, extends it, or leaves the grammar (the model
//! declines to answer). The mass of all closing tokens goes to the canonical answer read so far, that of declining tokens to `invalid`,
//! and every extending token becomes a node of its own, so masses always sum to one. Nodes of all sites are expanded together, the
//! likeliest first, until at each site the unexplored mass is at most ε of what was elicited, or its node budget is spent.
//!
//! What leads to the target is expanded too, whatever the budget, the likeliest first, until nothing that is left could raise what is known
//! of the target's probability by a thousandth: its log-probability is known wherever a form of it fits in the length limit. To the
//! target lead the beginnings of its surface forms, in any tokens, with or without the space before them and in upper or lower case, and what still reads as
//! the target when a form is complete but not closed (the full stop after ` 34`, which may begin decimals).
//!
//! Surface forms of one canonical answer (`18`, `18.0`, `$18`) are added up. The number of answers that were not found, for the upper end
//! of the certified interval, is the number of labels for options; for others it is bounded by the number of token strings that the
//! grammar lets through, (E + 1)^L for L tokens in an answer and E extending tokens in the state of the grammar that has the most. The
//! interval is certified for answers of at most L tokens. A token that is only a part of a character leaves the grammar.

use super::{Continuations, SiteResult, TreeSite};
use crate::error::Error;
use crate::plan::Measurement;
use entrace_backend::{Branch, NextRequest, NextScore, Parent, Text, TokenClasses, TreeSession};
use entrace_measure::{
    Answer, AnswerDistribution, AnswerFormat, AnswerGrammar, Choices, GrammarState, Question, TokenId,
    Verdict,
};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};
use std::sync::Arc;

const CLOSING: u8 = 0;
const DECLINING: u8 = 1;
const EXTENDING: u8 = 2;

/// Most nodes of one site that are expanded in one pass.
const NODES_AT_ONCE: usize = 16;

/// A node below this share of the pass's likeliest waits for the next pass, unless it alone is more than may stay unexplored.
const WORTH_NOW: f64 = 0.25;

/// What leads to the target with less mass than this share of what was found of it is not looked for.
const NEGLIGIBLE_FORM: f64 = 1e-3;

/// Mass from which an unexplored node is read for the entropy's point value.
const WORTH_READING: f64 = 1e-5;

/// Mass below which a node is counted as unexplored without being kept.
const NEGLIGIBLE_LOGMASS: f64 = -27.6;

/// What the vocabulary means to an answer format; built as states come up, and kept for a whole run.
pub(crate) struct Enumerator {
    format: Arc<dyn AnswerFormat>,
    token_texts: Vec<String>,
    /// The same in lower case.
    token_texts_folded: Vec<String>,
    stop_tokens: BTreeSet<TokenId>,
    grammars: HashMap<Vec<String>, Grammar>,
}

struct Grammar {
    automaton: Box<dyn AnswerGrammar>,
    states: HashMap<GrammarState, Arc<StateTokens>>,
    /// Most tokens that extend an answer from any state; found when it is first asked for.
    n_extending: Option<usize>,
}

/// All tokens seen from one state of the grammar.
struct StateTokens {
    /// Whether what was read so far is an answer.
    complete: bool,
    continuations: Continuations,
    extensions: Vec<Extension>,
}

/// What an extending token leads to.
#[derive(Clone, Copy)]
struct Extension {
    /// The state after it.
    state: GrammarState,
    /// Bytes of its text that belong to the answer, where it closes the answer as well.
    closes_after: Option<usize>,
}

impl Enumerator {
    pub(crate) fn new(text: &dyn Text, format: Arc<dyn AnswerFormat>) -> Self {
        let vocab_size = text.info().vocab_size;
        let token_texts: Vec<String> =
            (0..vocab_size).map(|token| text.token_text(token as TokenId)).collect();
        let token_texts_folded = token_texts.iter().map(|text| text.to_lowercase()).collect();
        let stop_tokens = text.stop_tokens().iter().copied().collect();
        Self { format, token_texts, token_texts_folded, stop_tokens, grammars: HashMap::new() }
    }

    fn start(&mut self, choices: Option<&Choices>) -> (Vec<String>, GrammarState) {
        let key = choices.map_or_else(Vec::new, |c| c.labels().to_vec());
        let format = &self.format;
        let grammar = self.grammars.entry(key.clone()).or_insert_with(|| Grammar {
            automaton: format.grammar(choices),
            states: HashMap::new(),
            n_extending: None,
        });
        (key, grammar.automaton.start())
    }

    /// Most tokens that extend an answer from any state that answers can reach.
    fn n_extending(&mut self, key: &[String]) -> usize {
        let Some(grammar) = self.grammars.get_mut(key) else { return 0 };
        let (texts, automaton) = (&self.token_texts, grammar.automaton.as_ref());
        *grammar.n_extending.get_or_insert_with(|| most_extending(automaton, texts))
    }

    fn tokens(&mut self, key: &[String], state: GrammarState) -> Option<Arc<StateTokens>> {
        let grammar = self.grammars.get_mut(key)?;
        let (texts, stops, automaton) = (&self.token_texts, &self.stop_tokens, grammar.automaton.as_ref());
        let tokens = grammar
            .states
            .entry(state)
            .or_insert_with(|| Arc::new(sort_tokens(automaton, state, texts, stops)));
        Some(Arc::clone(tokens))
    }
}

fn sort_tokens(
    grammar: &dyn AnswerGrammar,
    state: GrammarState,
    texts: &[String],
    stops: &BTreeSet<TokenId>,
) -> StateTokens {
    let complete = grammar.verdict(state) == Verdict::Complete;
    let mut class_of = Vec::with_capacity(texts.len());
    let (mut extending, mut extensions) = (Vec::new(), Vec::new());
    for (token, text) in texts.iter().enumerate() {
        let token = token as TokenId;
        if stops.contains(&token) {
            class_of.push(if complete { CLOSING } else { DECLINING });
            continue;
        }
        match follow(grammar, state, text) {
            Followed::Closes => class_of.push(CLOSING),
            Followed::Declines => class_of.push(DECLINING),
            Followed::Extends(extension) => {
                class_of.push(EXTENDING);
                extending.push(token);
                extensions.push(extension);
            }
        }
    }
    let classes = Arc::new(TokenClasses { class_of, n_classes: 3 });
    StateTokens {
        complete,
        continuations: Continuations { classes, extending: extending.into() },
        extensions,
    }
}

fn most_extending(grammar: &dyn AnswerGrammar, texts: &[String]) -> usize {
    let mut reached = BTreeSet::from([grammar.start()]);
    let mut open = vec![grammar.start()];
    let mut most = 0;
    while let Some(state) = open.pop() {
        let mut n = 0;
        for text in texts {
            let Followed::Extends(extension) = follow(grammar, state, text) else { continue };
            n += 1;
            if extension.closes_after.is_none() && reached.insert(extension.state) {
                open.push(extension.state);
            }
        }
        most = most.max(n);
    }
    most
}

enum Followed {
    Closes,
    Declines,
    Extends(Extension),
}

/// A token without text of its own (a part of a character, a special token) leaves the grammar.
fn follow(grammar: &dyn AnswerGrammar, mut state: GrammarState, text: &str) -> Followed {
    if text.is_empty() {
        return Followed::Declines;
    }
    for (at, character) in text.char_indices() {
        state = grammar.step(state, character);
        match grammar.verdict(state) {
            Verdict::Closed if at == 0 => return Followed::Closes,
            Verdict::Closed => return Followed::Extends(Extension { state, closes_after: Some(at) }),
            Verdict::Invalid => return Followed::Declines,
            Verdict::Open | Verdict::Complete => {}
        }
    }
    Followed::Extends(Extension { state, closes_after: None })
}

/// An answer string whose continuations have not been looked at.
#[derive(Clone)]
struct Node {
    logmass: f64,
    path: Vec<TokenId>,
    text: String,
    state: GrammarState,
    /// What its last token forks from.
    parent: Parent,
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
struct Search<'a> {
    question: &'a Question,
    key: Vec<String>,
    /// Surface forms of the target, in lower case; with and without white space before them.
    target_forms: Vec<String>,
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

/// Nodes that the searches of a wave may hold in the cache; they are freed before the next wave begins.
const NODES_HELD: usize = 4096;

/// Most sites that are searched at the same time.
const MOST_SITES_AT_ONCE: usize = 64;

/// Fewest, so that passes stay wide.
const FEWEST_SITES_AT_ONCE: usize = 8;

/// Distributions at all sites.
pub(crate) fn estimate(
    session: &mut dyn TreeSession,
    text: &dyn Text,
    enumerator: &mut Enumerator,
    sites: &[TreeSite<'_>],
    how: &Measurement,
) -> Result<Vec<SiteResult>, Error> {
    let cue = text.encode_plain(&how.cue)?;
    let n_branches = session.n_branches();
    let mut results = Vec::with_capacity(sites.len());
    let at_once = (NODES_HELD / how.max_nodes.max(1)).clamp(FEWEST_SITES_AT_ONCE, MOST_SITES_AT_ONCE);
    for wave in sites.chunks(at_once) {
        results.extend(search_wave(session, enumerator, wave, &cue, how)?);
        session.truncate(n_branches);
    }
    Ok(results)
}

fn search_wave(
    session: &mut dyn TreeSession,
    enumerator: &mut Enumerator,
    sites: &[TreeSite<'_>],
    cue: &[TokenId],
    how: &Measurement,
) -> Result<Vec<SiteResult>, Error> {
    let mut searches = Vec::with_capacity(sites.len());
    let mut roots = Vec::with_capacity(sites.len());
    for site in sites {
        let (search, branch) = begin(enumerator, site, cue);
        searches.push(search);
        roots.push(branch);
    }
    let scores = session.extend(&roots)?;
    for ((search, site), score) in searches.iter_mut().zip(sites).zip(&scores) {
        let fork = if cue.is_empty() { site.at } else { Parent { branch: score.id, n_tokens: cue.len() } };
        let (_, start) = enumerator.start(site.question.choices.as_ref());
        let root = Node { logmass: 0.0, path: Vec::new(), text: String::new(), state: start, parent: fork };
        if let Some(next) = &score.next {
            search.cue_entropy = Some(next.entropy);
            search.expand(enumerator, &root, fork, next, how);
        }
    }
    loop {
        let mut nodes: Vec<(usize, Node)> = Vec::new();
        for (index, search) in searches.iter_mut().enumerate() {
            nodes.extend(search.take(how).into_iter().map(|node| (index, node)));
        }
        if nodes.is_empty() {
            break;
        }
        let branches: Vec<Branch> =
            nodes.iter().map(|(i, node)| branch(enumerator, &searches[*i], node)).collect();
        let scores = session.extend(&branches)?;
        for ((index, node), score) in nodes.iter().zip(&scores) {
            if let Some(next) = &score.next {
                let here = Parent { branch: score.id, n_tokens: 1 };
                searches[*index].expand(enumerator, node, here, next, how);
            }
        }
    }
    Ok(searches.into_iter().map(|search| search.finish(enumerator, how)).collect())
}

fn begin<'a>(enumerator: &mut Enumerator, site: &TreeSite<'a>, cue: &[TokenId]) -> (Search<'a>, Branch) {
    let choices = site.question.choices.as_ref();
    let (key, start) = enumerator.start(choices);
    let forms = match &site.question.target {
        Some(target) => enumerator.format.surface_forms(target, choices),
        None => Vec::new(),
    };
    let next = next_request(enumerator, &key, start);
    let search = Search {
        question: site.question,
        key,
        target_forms: forms.iter().flat_map(|form| ways_to_write(form)).collect(),
        open: BinaryHeap::new(),
        on_target: BinaryHeap::new(),
        open_mass: 0.0,
        given_up: 0.0,
        found: BTreeMap::new(),
        declined: 0.0,
        n_expanded: 0,
        cue_entropy: None,
    };
    (search, Branch { parent: Some(site.at), tokens: cue.to_vec(), next, keep: true, ..Branch::default() })
}

fn ways_to_write(form: &str) -> BTreeSet<String> {
    BTreeSet::from([form.to_lowercase(), form.trim_start().to_lowercase()])
}

fn next_request(enumerator: &mut Enumerator, key: &[String], state: GrammarState) -> Option<NextRequest> {
    let tokens = enumerator.tokens(key, state)?;
    Some(NextRequest {
        gather: Arc::clone(&tokens.continuations.extending),
        classes: Some(Arc::clone(&tokens.continuations.classes)),
        top_k: 0,
    })
}

fn branch(enumerator: &mut Enumerator, search: &Search<'_>, node: &Node) -> Branch {
    Branch {
        parent: Some(node.parent),
        tokens: node.path.last().copied().into_iter().collect(),
        next: next_request(enumerator, &search.key, node.state),
        keep: true,
        ..Branch::default()
    }
}

/// What leads from a node to the target.
struct WaysToTarget<'a> {
    /// What is missing of every form that the node begins, in lower case.
    missing: Vec<String>,
    /// The target, where the node reads as the target already and its answer may go on.
    read: Option<&'a Answer>,
    choices: Option<&'a Choices>,
    /// Log-mass below which no way matters.
    negligible: f64,
}

impl<'a> WaysToTarget<'a> {
    fn after(search: &Search<'a>, enumerator: &Enumerator, node: &Node, complete: bool) -> Self {
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
    fn has(&self, enumerator: &Enumerator, text: &str, token: TokenId) -> bool {
        let index = token as usize;
        let on_form = |rest: &String| rest.starts_with(&enumerator.token_texts_folded[index]);
        let still_reads = |target: &Answer| {
            let text = format!("{text}{}", enumerator.token_texts[index]);
            enumerator.format.canonical(&text, self.choices) == *target
        };
        self.missing.iter().any(on_form) || self.read.is_some_and(still_reads)
    }
}

impl Search<'_> {
    /// The nodes to expand next, the likeliest first; none when the site is done. What is open elsewhere does not matter.
    fn take(&mut self, how: &Measurement) -> Vec<Node> {
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
    fn negligible_for_target(&self) -> f64 {
        let found = self.question.target.as_ref().and_then(|target| self.found.get(target));
        found.map_or(f64::NEG_INFINITY, |found| found + NEGLIGIBLE_FORM.ln())
    }

    /// Puts the continuations of a node in their places.
    fn expand(
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
        let least = self.least_worth_keeping(node, next, how);
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

    /// Log-mass below which a continuation is neither expanded, because as many likelier ones as the budget has left come first, nor read.
    fn least_worth_keeping(&self, node: &Node, next: &NextScore, how: &Measurement) -> f64 {
        let budget = how.max_nodes.saturating_sub(self.n_expanded);
        let likely_enough = if budget >= next.gather.len() {
            f64::NEG_INFINITY
        } else if budget == 0 {
            f64::INFINITY
        } else {
            let mut logprobs = next.gather.clone();
            let (_, last, _) = logprobs.select_nth_unstable_by(budget - 1, |a, b| b.total_cmp(a));
            node.logmass + *last
        };
        likely_enough.min(WORTH_READING.ln()).max(NEGLIGIBLE_LOGMASS)
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

    fn finish(self, enumerator: &mut Enumerator, how: &Measurement) -> SiteResult {
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
