//! What every token of the vocabulary means to an answer format, from each state of its grammar.
//!
//! The texts of all tokens are sorted once. A state sorts them by one walk along that list, in which a beginning that many tokens share is
//! followed once, and left as soon as the grammar leaves it. What a node needs is then found by position: tokens after which the answer goes
//! on, each with its next state, and tokens that close the answer within themselves, in groups that add the same text to it.

use crate::plan::Engine;
use entrace_backend::{Text, TokenClasses};
use entrace_measure::{AnswerFormat, AnswerGrammar, Choices, GrammarState, TokenId, Verdict};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

pub(super) const CLOSING: u8 = 0;
pub(super) const DECLINING: u8 = 1;
const EXTENDING: u8 = 2;

/// What the vocabulary means to an answer format; built as states come up, and kept for a whole run.
pub(crate) struct Enumerator {
    pub(super) vocabulary: Vocabulary,
    grammars: Vec<Grammar>,
    /// The grammar of each set of labels.
    numbers: HashMap<Vec<String>, usize>,
    /// Whether the engine may leave tokens untold, so that it is told which matter most.
    pub(super) is_limited: bool,
    /// Whether the engine holds a tree of any size.
    pub(super) holds_any: bool,
}

/// The texts of tokens, and how answers are read from them.
pub(super) struct Vocabulary {
    pub(super) format: Arc<dyn AnswerFormat>,
    texts: Vec<String>,
    /// Tokens by their text in lower case.
    folded: HashMap<String, Vec<TokenId>>,
    /// Tokens that have a text, in its order, each with the number of bytes that it shares with the one before.
    sorted: Vec<(TokenId, usize)>,
    stop_tokens: Vec<TokenId>,
}

struct Grammar {
    automaton: Box<dyn AnswerGrammar>,
    states: HashMap<GrammarState, Arc<StateTokens>>,
    /// Most tokens that extend an answer from any state; found when it is first asked for.
    n_extending: Option<usize>,
}

/// Which grammar a question's answers have.
#[derive(Clone, Copy)]
pub(super) struct GrammarNumber(usize);

/// All tokens seen from one state of the grammar.
pub(super) struct StateTokens {
    /// Whether what was read so far is an answer.
    pub(super) complete: bool,
    /// Closing, declining and all other tokens.
    pub(super) classes: Arc<TokenClasses>,
    /// The other tokens: those after which the answer continues, in their order, then the groups of those that close it.
    pub(super) extending: Arc<[TokenId]>,
    /// The state after each token after which the answer continues.
    pub(super) next_states: Vec<GrammarState>,
    pub(super) closing: Vec<ClosingGroup>,
}

/// Tokens that add the same text to an answer and close it.
pub(super) struct ClosingGroup {
    pub(super) text: String,
    /// Their places among the extending tokens.
    pub(super) places: Range<usize>,
}

impl StateTokens {
    /// Tokens after which the answer continues, in their order.
    pub(super) fn open(&self) -> &[TokenId] {
        &self.extending[..self.next_states.len()]
    }
}

impl Enumerator {
    pub(crate) fn new(engine: Engine<'_>, format: Arc<dyn AnswerFormat>) -> Self {
        Self {
            vocabulary: Vocabulary::new(engine.text, format),
            grammars: Vec::new(),
            numbers: HashMap::new(),
            is_limited: engine.scorer.is_some_and(|scorer| !scorer.reach().is_whole()),
            holds_any: engine.scorer.is_some_and(|scorer| scorer.holds() == usize::MAX),
        }
    }

    /// The grammar of a question with these options.
    pub(super) fn grammar(&mut self, choices: Option<&Choices>) -> GrammarNumber {
        let labels = choices.map_or(&[][..], Choices::labels);
        if let Some(&number) = self.numbers.get(labels) {
            return GrammarNumber(number);
        }
        let automaton = self.vocabulary.format.grammar(choices);
        self.grammars.push(Grammar { automaton, states: HashMap::new(), n_extending: None });
        self.numbers.insert(labels.to_vec(), self.grammars.len() - 1);
        GrammarNumber(self.grammars.len() - 1)
    }

    /// The state before the first character.
    pub(super) fn start(&self, GrammarNumber(number): GrammarNumber) -> GrammarState {
        self.grammars[number].automaton.start()
    }

    /// Most tokens that extend an answer from any state that answers can reach.
    pub(super) fn n_extending(&mut self, GrammarNumber(number): GrammarNumber) -> usize {
        let grammar = &mut self.grammars[number];
        let (vocabulary, automaton) = (&self.vocabulary, grammar.automaton.as_ref());
        *grammar.n_extending.get_or_insert_with(|| vocabulary.most_extending(automaton))
    }

    pub(super) fn tokens(&mut self, grammar: GrammarNumber, state: GrammarState) -> Arc<StateTokens> {
        let grammar = &mut self.grammars[grammar.0];
        let (vocabulary, automaton) = (&self.vocabulary, grammar.automaton.as_ref());
        let tokens = grammar.states.entry(state);
        Arc::clone(tokens.or_insert_with(|| Arc::new(vocabulary.seen_from(automaton, state))))
    }
}

impl Vocabulary {
    fn new(text: &dyn Text, format: Arc<dyn AnswerFormat>) -> Self {
        let texts: Vec<String> =
            (0..text.info().vocab_size).map(|token| text.token_text(token as TokenId)).collect();
        let mut folded: HashMap<String, Vec<TokenId>> = HashMap::new();
        let mut order: Vec<TokenId> = Vec::new();
        for (token, text) in (0..).zip(&texts).filter(|(_, text)| !text.is_empty()) {
            folded.entry(text.to_lowercase()).or_default().push(token);
            order.push(token);
        }
        let text_of = |token: TokenId| texts[token as usize].as_str();
        order.sort_by(|&a, &b| text_of(a).cmp(text_of(b)));
        let mut before = "";
        let sorted = order
            .iter()
            .map(|&token| {
                let text = text_of(token);
                let n_shared = text.bytes().zip(before.bytes()).take_while(|(a, b)| a == b).count();
                before = text;
                (token, n_shared)
            })
            .collect();
        let stop_tokens = text.stop_tokens().to_vec();
        Self { format, folded, sorted, stop_tokens, texts }
    }

    /// The text that a token adds.
    pub(super) fn text(&self, token: TokenId) -> &str {
        &self.texts[token as usize]
    }

    /// Tokens whose text begins `rest`, which is in lower case.
    pub(super) fn beginnings<'a>(&'a self, rest: &'a str) -> impl Iterator<Item = TokenId> + 'a {
        let ends = rest.char_indices().map(|(at, c)| at + c.len_utf8());
        ends.filter_map(|end| self.folded.get(&rest[..end])).flatten().copied()
    }

    /// All tokens seen from a state. One without text of its own (a part of a character, a special token) leaves the grammar.
    fn seen_from(&self, grammar: &dyn AnswerGrammar, state: GrammarState) -> StateTokens {
        let complete = grammar.verdict(state) == Verdict::Complete;
        let mut class_of = vec![DECLINING; self.texts.len()];
        let mut open: Vec<(TokenId, GrammarState)> = Vec::new();
        let mut closing: BTreeMap<&str, Vec<TokenId>> = BTreeMap::new();
        self.follow_all(grammar, state, |token, followed| {
            let class = &mut class_of[token as usize];
            match followed {
                Followed::Declines => {}
                Followed::Closes { after: 0 } => *class = CLOSING,
                Followed::Closes { after } => {
                    *class = EXTENDING;
                    closing.entry(&self.text(token)[..after]).or_default().push(token);
                }
                Followed::GoesOn(state) => {
                    *class = EXTENDING;
                    open.push((token, state));
                }
            }
        });
        if complete {
            self.stop_tokens.iter().for_each(|&token| class_of[token as usize] = CLOSING);
        }
        open.sort_unstable_by_key(|&(token, _)| token);
        let (mut extending, next_states): (Vec<TokenId>, Vec<GrammarState>) = open.into_iter().unzip();
        let closing = closing.into_iter().map(|(text, tokens)| {
            let first = extending.len();
            extending.extend(tokens);
            ClosingGroup { text: text.to_string(), places: first..extending.len() }
        });
        let closing = closing.collect();
        let classes = Arc::new(TokenClasses { class_of, n_classes: 3 });
        StateTokens { complete, classes, extending: extending.into(), next_states, closing }
    }

    fn most_extending(&self, grammar: &dyn AnswerGrammar) -> usize {
        let mut reached = BTreeSet::from([grammar.start()]);
        let mut open = vec![grammar.start()];
        let mut most = 0;
        while let Some(state) = open.pop() {
            let mut n = 0;
            self.follow_all(grammar, state, |_, followed| {
                n += usize::from(!matches!(followed, Followed::Declines | Followed::Closes { after: 0 }));
                if let Followed::GoesOn(next) = followed
                    && reached.insert(next)
                {
                    open.push(next);
                }
            });
            most = most.max(n);
        }
        most
    }

    /// Follows the grammar from a state along every token that has a text and ends no turn.
    fn follow_all(
        &self,
        grammar: &dyn AnswerGrammar,
        start: GrammarState,
        mut met: impl FnMut(TokenId, Followed),
    ) {
        // Where the characters of the text in hand end, and the state after each.
        let mut path: Vec<(usize, GrammarState)> = Vec::new();
        // What the grammar made of the text before, and how many of its bytes it took to know.
        let mut settled: Option<(usize, Followed)> = None;
        for &(token, n_shared) in &self.sorted {
            settled = settled.filter(|&(n_bytes, _)| n_bytes <= n_shared);
            while path.last().is_some_and(|&(end, _)| end > n_shared) {
                path.pop();
            }
            if settled.is_none() {
                settled = follow(grammar, start, self.text(token), &mut path);
            }
            let goes_on = || Followed::GoesOn(path.last().map_or(start, |&(_, state)| state));
            if !self.stop_tokens.contains(&token) {
                met(token, settled.map_or_else(goes_on, |(_, followed)| followed));
            }
        }
    }
}

/// What a token does to an answer.
#[derive(Clone, Copy)]
enum Followed {
    /// The answer ends before the token, or after so many bytes of it.
    Closes {
        after: usize,
    },
    Declines,
    GoesOn(GrammarState),
}

/// Follows a text from where `path` has come in it; how many of its bytes settle what it does to an answer, and what that is. `None` where the answer
/// continues after all of them.
fn follow(
    grammar: &dyn AnswerGrammar,
    start: GrammarState,
    text: &str,
    path: &mut Vec<(usize, GrammarState)>,
) -> Option<(usize, Followed)> {
    let (from, mut state) = path.last().copied().unwrap_or((0, start));
    for (at, character) in text[from..].char_indices() {
        let (at, end) = (from + at, from + at + character.len_utf8());
        state = grammar.step(state, character);
        match grammar.verdict(state) {
            Verdict::Closed => return Some((end, Followed::Closes { after: at })),
            Verdict::Invalid => return Some((end, Followed::Declines)),
            Verdict::Open | Verdict::Complete => path.push((end, state)),
        }
    }
    None
}
