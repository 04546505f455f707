//! Controls: traces used instead of a question's own.
//!
//! `swapped` takes the trace of another question of the task: the one measured just before (for the first question, the last one). The
//! order of questions is random, so the donor is a random other question, and it does not depend on how questions are batched. A question
//! that is asked in several ways has one donor, and lends the traces of the first way. Of the donor's traces the next one is taken that
//! fits the context whole; a part of one would end where the donor did not, and where none fits there is no control.
//!
//! `shuffled` takes the trace's own steps in random order, token for token; what opens a thought stays in front. A gain that survives
//! either is not due to this reasoning about this question.
//!
//! `unstated` leaves out every sentence and line of the trace that states the answer it ends with (`entrace_measure::statement`), so that a
//! forced readout has nothing to copy. What is left keeps its tokens: a token goes with the sentence in which it begins. A step of which
//! nothing is left is none; a trace that is nothing but its statement is left without steps and gains nothing. One that never states its
//! answer, or none that can be read, has no such control.
//!
//! Each variant is measured at its own step boundaries, controls only at those that the run's control depths ask for.

use crate::trace::Traced;
use entrace_backend::stream_seed;
use entrace_measure::{Control, Prefix, Statement, TokenId, prefix};

/// A trace as it is put after a prompt: the question's own, or a control.
#[derive(Clone)]
pub(crate) struct Variant {
    pub(crate) control: Option<Control>,
    pub(crate) token_ids: Vec<TokenId>,
    pub(crate) prefixes: Vec<Prefix>,
    /// Those of the prefixes at which it is measured; the question alone is the first.
    pub(crate) measured: Vec<Prefix>,
}

impl Variant {
    fn new(control: Option<Control>, token_ids: Vec<TokenId>, prefixes: Vec<Prefix>) -> Self {
        Self { control, token_ids, measured: prefixes.clone(), prefixes }
    }

    /// The same, measured at some depths only and before any reasoning, where every curve starts.
    pub(crate) fn at_depths(&self, depths: &[f64]) -> Self {
        let depths = [&[0.0], depths].concat();
        Self { measured: prefix::at_depths(&self.prefixes, &depths), ..self.clone() }
    }

    /// Steps K of the whole.
    pub(crate) fn n_steps(&self) -> usize {
        self.prefixes.len().saturating_sub(1)
    }
}

/// What a donor lends: the tokens of a trace with their steps.
#[derive(Clone)]
pub(crate) struct Donor {
    pub(crate) question_id: String,
    pub(crate) token_ids: Vec<TokenId>,
    pub(crate) prefixes: Vec<Prefix>,
}

impl Donor {
    pub(crate) fn of(traced: &Traced) -> Self {
        Self {
            question_id: traced.posed.question.id.clone(),
            token_ids: traced.trace.token_ids().to_vec(),
            prefixes: traced.prefixes.clone(),
        }
    }
}

/// Traces to lend, as a walk comes by them.
#[derive(Default)]
pub(crate) struct Donors {
    /// Of the last question that had some.
    last: Vec<Donor>,
    /// Of the one before it.
    before: Vec<Donor>,
}

impl Donors {
    /// The traces of the question last seen that is another one.
    pub(crate) fn for_question(&self, question_id: &str) -> &[Donor] {
        let same = self.last.first().is_some_and(|donor| donor.question_id == question_id);
        if same { &self.before } else { &self.last }
    }

    /// Whether there are traces of two questions, so that every question finds another's.
    pub(crate) fn are_of_two_questions(&self) -> bool {
        !self.before.is_empty()
    }

    /// Takes the traces of a question, unless it is the last one over again.
    pub(crate) fn add(&mut self, donors: Vec<Donor>) {
        let question = |donors: &[Donor]| donors.first().map(|donor| donor.question_id.clone());
        if question(&donors) != question(&self.last) {
            self.before = std::mem::replace(&mut self.last, donors);
        }
    }
}

/// A prompt alone.
pub(crate) fn question_alone() -> Variant {
    Variant::new(None, Vec::new(), vec![Prefix { step: 0, n_tokens: 0 }])
}

/// The question's own trace.
pub(crate) fn own(traced: &Traced) -> Variant {
    Variant::new(None, traced.trace.token_ids().to_vec(), traced.prefixes.clone())
}

/// The first of the donors' traces, from the one of this index on, that fits the room.
pub(crate) fn swapped(donors: &[Donor], index: usize, room: usize) -> Option<Variant> {
    let from_index = (0..donors.len()).map(|offset| &donors[(index + offset) % donors.len()]);
    from_index
        .into_iter()
        .find(|donor| (1..=room).contains(&donor.token_ids.len()))
        .map(|donor| Variant::new(Some(Control::Swapped), donor.token_ids.clone(), donor.prefixes.clone()))
}

/// The trace's own steps in an order drawn from the run's seed; `None` for fewer than two steps.
pub(crate) fn shuffled(traced: &Traced, seed: u64) -> Option<Variant> {
    let mut bounds: Vec<usize> = traced.prefixes.iter().map(|p| p.n_tokens).collect();
    bounds[0] = traced.n_opening;
    let mut steps: Vec<&[TokenId]> =
        bounds.windows(2).map(|w| &traced.trace.token_ids()[w[0]..w[1]]).collect();
    if steps.len() < 2 {
        return None;
    }
    let sample = traced.posed.sample.to_string();
    let key = |index: usize| {
        stream_seed(
            seed,
            &[&traced.posed.question.task, &traced.posed.question.id, &sample, "shuffle", &index.to_string()],
        )
    };
    let mut order: Vec<usize> = (0..steps.len()).collect();
    order.sort_by_key(|&index| key(index));
    if order.is_sorted() {
        order.reverse();
    }
    steps = order.into_iter().map(|index| steps[index]).collect();
    Some(of_steps(Control::Shuffled, traced, steps.into_iter().map(<[TokenId]>::to_vec)))
}

/// The trace without the sentences and lines that state its answer; `None` where there are none.
pub(crate) fn unstated(traced: &Traced) -> Option<Variant> {
    let statement = Statement::of(traced.answer.name(), traced.posed.question.choices.as_ref())?;
    let trace = &traced.trace;
    let (statements, clauses) = (statement.find(trace.text()), statement.clauses(trace.text()));
    if clauses.is_empty() {
        return None;
    }
    let start = |token: usize| token.checked_sub(1).map_or(0, |before| trace.token_ends()[before]);
    let is_left_out = |token: usize| {
        let bytes = start(token)..trace.token_ends()[token];
        clauses.iter().any(|clause| clause.contains(&bytes.start))
            || statements.iter().any(|said| said.start < bytes.end && bytes.start < said.end)
    };
    let steps = traced.prefixes.windows(2).map(|ends| {
        let kept =
            (ends[0].n_tokens.max(traced.n_opening)..ends[1].n_tokens).filter(|&token| !is_left_out(token));
        kept.map(|token| trace.token_ids()[token]).collect::<Vec<TokenId>>()
    });
    Some(of_steps(Control::Unstated, traced, steps.filter(|step| !step.is_empty())))
}

/// A control of these steps, behind what opens the trace's thought.
fn of_steps(control: Control, traced: &Traced, steps: impl Iterator<Item = Vec<TokenId>>) -> Variant {
    let mut token_ids = traced.trace.token_ids()[..traced.n_opening].to_vec();
    let mut prefixes = vec![Prefix { step: 0, n_tokens: 0 }];
    for (index, step) in steps.enumerate() {
        token_ids.extend(step);
        prefixes.push(Prefix { step: index + 1, n_tokens: token_ids.len() });
    }
    Variant::new(Some(control), token_ids, prefixes)
}
