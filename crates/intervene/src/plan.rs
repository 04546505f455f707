//! Which changes are made to a trace.
//!
//! Every change has a lot of its own, drawn from the seed, its task, question, trace, kind and step: the same seed makes the same changes,
//! whatever else is measured. Numbers that replace others are numbers of the task's traces, and a swapped step is one of
//! another question, at about the same depth.

use crate::realise;
use crate::recorded::Recorded;
use entrace_backend::{Text, stream_seed};
use entrace_measure::intervention::edit::{self, Asked, Change, Contradiction};
use entrace_measure::intervention::{Kind, Reading};
use entrace_measure::number::{self, Number};
use entrace_measure::{Answer, TokenId};
use entrace_run::probe::Path;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// How many draws are made at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draws {
    /// At first.
    pub fewest: usize,
    /// Where the first do not decide.
    pub most: usize,
}

/// What is measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Kinds of changes.
    pub kinds: BTreeSet<Kind>,
    /// Readings.
    pub readings: BTreeSet<Reading>,
    /// Draws at a place.
    pub draws: Draws,
    /// Share of steps without importance that the noise floor lets through.
    pub alpha: f64,
    /// Cosine of middle hidden states below which a step that was drawn anew says something else.
    pub dissimilar_below: f64,
    /// Seed of lots and draws.
    pub seed: u64,
}

/// A change of a trace.
#[derive(Debug, Clone)]
pub(crate) struct Edit {
    pub(crate) kind: Kind,
    pub(crate) variant: String,
    /// From 1; 0 for a trace that is cut before its first step.
    pub(crate) step: usize,
    /// Whether the model did not write all of it.
    pub(crate) off_policy: bool,
    /// What was replaced by what.
    pub(crate) replaced: Option<(Range<usize>, String)>,
    /// The answer that a conflict says.
    pub(crate) conflicting: Option<Answer>,
    /// The edited trace, or why there is none.
    pub(crate) path: Result<Path, String>,
}

impl Edit {
    /// A change of step k that the model did not write.
    fn foreign(kind: Kind, variant: &str, step: usize, path: Result<Path, String>) -> Self {
        let variant = variant.to_string();
        Self { kind, variant, step, off_policy: true, replaced: None, conflicting: None, path }
    }
}

/// What the traces of a task lend to one another.
pub(crate) struct Pool {
    /// Numbers as the traces write them, in order.
    numbers: Vec<String>,
    /// Answers, in order of name.
    answers: Vec<String>,
}

impl Pool {
    pub(crate) fn of(traces: &[Recorded]) -> Self {
        let mut numbers: BTreeMap<String, ()> = BTreeMap::new();
        let mut answers = BTreeSet::new();
        for recorded in traces {
            let text = recorded.trace.text();
            for numeral in number::numerals(text) {
                let said = &text[numeral.bytes];
                if Number::parse(said).is_some() {
                    numbers.insert(said.to_string(), ());
                }
            }
            let stated = [Some(&recorded.answer), recorded.question.target.as_ref()];
            answers.extend(stated.into_iter().flatten().filter_map(Answer::value).map(str::to_string));
        }
        Self { numbers: numbers.into_keys().collect(), answers: answers.into_iter().collect() }
    }
}

/// Makes the changes of one trace.
pub(crate) struct Planner<'a> {
    pub(crate) text: &'a dyn Text,
    pub(crate) plan: &'a Plan,
    pub(crate) pool: &'a Pool,
    /// The traces of the task.
    pub(crate) all: &'a [Recorded],
}

impl Planner<'_> {
    /// All changes of a trace under the forced reading, but for those that a model makes (`paraphrase`, `resample`) and `mistake`, which is
    /// `corrupt` with the rest drawn anew.
    pub(crate) fn edits(&self, at: usize) -> Vec<Edit> {
        let recorded = &self.all[at];
        let mut edits = Vec::new();
        for &kind in &self.plan.kinds {
            match kind {
                Kind::Conflict => edits.extend(self.conflicts(recorded)),
                Kind::Truncate => edits.extend((0..recorded.n_steps()).map(|step| truncated(recorded, step))),
                Kind::Filler => edits.extend(self.fillers(recorded)),
                Kind::Delete | Kind::Corrupt | Kind::Swap => {
                    edits.extend((1..=recorded.n_steps()).map(|step| self.at_step(kind, at, step)));
                }
                Kind::Paraphrase | Kind::Resample | Kind::Mistake => {}
            }
        }
        edits
    }

    fn at_step(&self, kind: Kind, at: usize, step: usize) -> Edit {
        let recorded = &self.all[at];
        let (text, bytes) = (recorded.trace.text(), recorded.bytes(step));
        let change = match kind {
            Kind::Delete => Ok(edit::delete(&bytes)),
            Kind::Swap => self.foreign_step(at, step).map(|words| edit::reword(text, &bytes, &words)),
            _ => self.wrong(recorded, step),
        };
        self.changed(kind, recorded, step, change)
    }

    /// A change of step k as an edit.
    pub(crate) fn changed(
        &self,
        kind: Kind,
        recorded: &Recorded,
        step: usize,
        change: Result<Change, String>,
    ) -> Edit {
        let path = change
            .clone()
            .and_then(|change| realise::path(self.text, recorded, std::slice::from_ref(&change)));
        let replaced = change.ok().map(|change| (change.bytes, change.text));
        Edit { replaced, ..Edit::foreign(kind, "", step, path) }
    }

    /// Step k with a wrong number or option.
    pub(crate) fn wrong(&self, recorded: &Recorded, step: usize) -> Result<Change, String> {
        let (text, bytes) = (recorded.trace.text(), recorded.bytes(step));
        let choices = recorded.question.choices.as_ref();
        let lot = self.lot(recorded, Kind::Corrupt, step);
        edit::corrupt(text, &bytes, choices, &self.pool.numbers, lot)
            .ok_or_else(|| "the step has no number and names no option".into())
    }

    pub(crate) fn lot(&self, recorded: &Recorded, kind: Kind, step: usize) -> u64 {
        let [task, id, sample] = recorded.stream();
        stream_seed(self.plan.seed, &[&task, &id, &sample, "intervene", kind.name(), &step.to_string()])
    }

    /// A step of another question, as deep in its trace.
    fn foreign_step(&self, at: usize, step: usize) -> Result<String, String> {
        let recorded = &self.all[at];
        let own = recorded.text_of_step(step).trim();
        let depth = (step as f64 - 0.5) / recorded.n_steps() as f64;
        let lot = self.lot(recorded, Kind::Swap, step) as usize % self.all.len();
        let others = self.all[lot..].iter().chain(&self.all[..lot]);
        let step_of = |other: &Recorded| {
            let there = (depth * other.n_steps() as f64) as usize + 1;
            other.text_of_step(there.min(other.n_steps())).trim().to_string()
        };
        let mut foreign = others.filter(|other| other.question.id != recorded.question.id).map(step_of);
        foreign
            .find(|words| !words.is_empty() && words != own)
            .ok_or_else(|| "no other question has another step".into())
    }

    fn conflicts(&self, recorded: &Recorded) -> Vec<Edit> {
        let steps = recorded.all_bytes();
        let asked = Asked {
            question: &recorded.question.text,
            choices: recorded.question.choices.as_ref(),
            target: recorded.question.target.as_ref(),
            answer: &recorded.answer,
            trace: recorded.trace.text(),
        };
        let lot = self.lot(recorded, Kind::Conflict, 0);
        let Some(other) = edit::other_answer(&asked, &self.pool.answers, lot) else {
            let path = Err("there is no other answer that could be said".to_string());
            return vec![Edit::foreign(Kind::Conflict, Contradiction::Line.name(), recorded.n_steps(), path)];
        };
        let one = |what: Contradiction| {
            let found = edit::conflict(&asked, &steps, what, &other, &self.pool.numbers, lot);
            let step = found.as_ref().map_or(recorded.n_steps(), |(_, step)| *step);
            let path = match &found {
                Some((changes, _)) => realise::path(self.text, recorded, changes),
                None => {
                    Err("the trace does not state its answer, or has no steps before that can be wrong"
                        .into())
                }
            };
            let replaced = found.and_then(|(changes, _)| {
                let [change] = &changes[..] else { return None };
                Some((change.bytes.clone(), change.text.clone()))
            });
            let conflicting = Some(other.clone());
            Edit { replaced, conflicting, ..Edit::foreign(Kind::Conflict, what.name(), step, path) }
        };
        Contradiction::ALL.into_iter().map(one).collect()
    }

    /// Neutral tokens instead of each step (`step`), and instead of everything up to it, with nothing after them (`prefix`).
    fn fillers(&self, recorded: &Recorded) -> Vec<Edit> {
        let neutral = match realise::encode(self.text, FILLER) {
            Ok(tokens) if !tokens.is_empty() => tokens,
            _ => return Vec::new(),
        };
        let filler = |n: usize| neutral.iter().copied().cycle().take(n).collect::<Vec<TokenId>>();
        let mut edits = Vec::new();
        for step in 1..=recorded.n_steps() {
            let tokens = recorded.tokens(step);
            let n_ending = realise::encode(self.text, realise::ending(recorded.text_of_step(step)))
                .map_or(0, |e| e.len());
            let instead = filler(tokens.len().saturating_sub(n_ending).max(1));
            let bytes = edit::core(recorded.trace.text(), &recorded.bytes(step));
            let replaced = Some((bytes, self.text.decode(&instead).text));
            let path = realise::path_with(self.text, recorded, step, &instead);
            edits.push(Edit { replaced, ..Edit::foreign(Kind::Filler, FILLED_STEP, step, path) });
            let tail = filler(tokens.end - recorded.n_opening);
            let path = Ok(Path { kept: recorded.n_opening, tail });
            edits.push(Edit::foreign(Kind::Filler, FILLED_PREFIX, step, path));
        }
        edits
    }
}

/// What neutral tokens are made of, as in Lanham et al. 2023.
const FILLER: &str = " ...";
/// Variant of a filler that replaces one step.
pub(crate) const FILLED_STEP: &str = "step";
/// Variant of a filler that replaces the whole beginning.
pub(crate) const FILLED_PREFIX: &str = "prefix";

/// The trace cut after step k.
pub(crate) fn truncated(recorded: &Recorded, step: usize) -> Edit {
    let path = Path { kept: recorded.ends[step], tail: Vec::new() };
    Edit { off_policy: false, ..Edit::foreign(Kind::Truncate, "", step, Ok(path)) }
}
