//! What every token of the vocabulary means to an answer format, from each state of its grammar.

use crate::estimate::Continuations;
use entrace_backend::{Text, TokenClasses};
use entrace_measure::{AnswerFormat, AnswerGrammar, Choices, GrammarState, TokenId, Verdict};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

pub(super) const CLOSING: u8 = 0;
pub(super) const DECLINING: u8 = 1;
const EXTENDING: u8 = 2;

/// What the vocabulary means to an answer format; built as states come up, and kept for a whole run.
pub(crate) struct Enumerator {
    pub(super) format: Arc<dyn AnswerFormat>,
    pub(super) token_texts: Vec<String>,
    /// The same in lower case.
    pub(super) token_texts_folded: Vec<String>,
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
pub(super) struct StateTokens {
    /// Whether what was read so far is an answer.
    pub(super) complete: bool,
    pub(super) continuations: Continuations,
    pub(super) extensions: Vec<Extension>,
}

/// What an extending token leads to.
#[derive(Clone, Copy)]
pub(super) struct Extension {
    /// The state after it.
    pub(super) state: GrammarState,
    /// Bytes of its text that belong to the answer, where it closes the answer as well.
    pub(super) closes_after: Option<usize>,
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

    pub(super) fn start(&mut self, choices: Option<&Choices>) -> (Vec<String>, GrammarState) {
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
    pub(super) fn n_extending(&mut self, key: &[String]) -> usize {
        let Some(grammar) = self.grammars.get_mut(key) else { return 0 };
        let (texts, automaton) = (&self.token_texts, grammar.automaton.as_ref());
        *grammar.n_extending.get_or_insert_with(|| most_extending(automaton, texts))
    }

    pub(super) fn tokens(&mut self, key: &[String], state: GrammarState) -> Option<Arc<StateTokens>> {
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
