//! The arithmetic of a problem: what happens, and the equations that follow from it.
//!
//! A plan is a start number and events. Each event adds one equation, or two where packs are opened; an equation takes a number that
//! was told or the result of an earlier equation. Results lie between 2 (so that plurals are right) and the largest allowed, divisions
//! are exact.

use super::difficulty::Difficulty;
use crate::stream::Stream;

/// A basic operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Add,
    Subtract,
    Multiply,
    Divide,
}

impl Op {
    pub(super) const ALL: [Self; 4] = [Self::Add, Self::Subtract, Self::Multiply, Self::Divide];

    pub(super) fn sign(self) -> char {
        match self {
            Self::Add => '+',
            Self::Subtract => '-',
            Self::Multiply => '*',
            Self::Divide => '/',
        }
    }

    /// The result, if it is an integer of at least 2.
    pub(super) fn apply(self, left: i64, right: i64) -> Option<i64> {
        let result = match self {
            Self::Add => left + right,
            Self::Subtract => left - right,
            Self::Multiply => left * right,
            Self::Divide if right != 0 && left % right == 0 => left / right,
            Self::Divide => return None,
        };
        (result >= 2).then_some(result)
    }
}

/// A side of an equation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Term {
    /// A number of the story.
    Told(i64),
    /// The result of the equation of that index.
    Result(usize),
}

impl Term {
    pub(super) fn value(self, results: &[i64]) -> i64 {
        match self {
            Self::Told(number) => number,
            Self::Result(index) => results[index],
        }
    }
}

/// An operation of the solution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Equation {
    pub(super) left: Term,
    pub(super) op: Op,
    pub(super) right: Term,
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// The holder gets so many more.
    Gain(i64),
    /// The holder loses so many.
    Lose(i64),
    /// The holder gets `packs` packs of `size` things.
    Packs { packs: i64, size: i64 },
    /// The holder's number is multiplied.
    Grow(i64),
    /// The holder keeps one of so many equal parts.
    Share(i64),
    /// Another person has so many more and becomes the holder.
    More(i64),
    /// Another person has so many fewer and becomes the holder.
    Fewer(i64),
    /// Another person has so many times as many and becomes the holder.
    TimesAs(i64),
    /// The two people count their things together. Always last.
    Together,
    /// The holder puts everything into so many boxes, evenly. Always last.
    Boxes(i64),
}

/// What may happen next, in the order of `Kind::weights`.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Gain,
    Lose,
    Packs,
    Grow,
    Share,
    More,
    Fewer,
    TimesAs,
    Together,
    Boxes,
}

const KINDS: [Kind; 10] = {
    use Kind::*;
    [Gain, Lose, Packs, Grow, Share, More, Fewer, TimesAs, Together, Boxes]
};

/// A start and events, with their equations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) start: i64,
    pub(super) events: Vec<Event>,
    pub(super) equations: Vec<Equation>,
}

impl Plan {
    /// A plan within the limits.
    pub(super) fn draw(stream: &mut Stream, limits: &Difficulty) -> Self {
        loop {
            let n_ops = stream.within(limits.min_ops as i64..=limits.max_ops as i64) as usize;
            let mut draft = Draft::new(stream.within(3..=limits.max_number), n_ops);
            if draft.complete(stream, limits).is_some() {
                return draft.plan;
            }
        }
    }

    /// The result of each equation.
    pub(super) fn values(&self) -> Vec<i64> {
        let mut results = Vec::new();
        for Equation { left, op, right } in &self.equations {
            let result = op.apply(left.value(&results), right.value(&results));
            results.push(result.expect("a plan holds only equations that have a result"));
        }
        results
    }

    /// The equations with their numbers, by which plans are told apart.
    pub(super) fn equations_text(&self) -> String {
        let results = self.values();
        let texts = self.equations.iter().zip(&results).map(|(equation, result)| {
            let (left, right) = (equation.left.value(&results), equation.right.value(&results));
            format!("{left}{}{right}={result}", equation.op.sign())
        });
        texts.collect::<Vec<_>>().join(";")
    }
}

/// A plan that is being made.
struct Draft {
    plan: Plan,
    n_ops: usize,
    results: Vec<i64>,
    /// The holder's number now.
    now: Term,
    /// What the first person had when the second one was introduced.
    first_person: Option<Term>,
}

impl Draft {
    fn new(start: i64, n_ops: usize) -> Self {
        let plan = Plan { start, events: Vec::new(), equations: Vec::new() };
        Self { plan, n_ops, results: Vec::new(), now: Term::Told(start), first_person: None }
    }

    /// Adds events until there are as many equations as wanted.
    fn complete(&mut self, stream: &mut Stream, limits: &Difficulty) -> Option<()> {
        while self.plan.equations.len() < self.n_ops {
            self.add(stream, limits)?;
        }
        Some(())
    }

    /// Adds an event; `None` if none is possible, or if the drawn one breaks a limit.
    fn add(&mut self, stream: &mut Stream, limits: &Difficulty) -> Option<()> {
        let kind = KINDS[stream.weighted(&self.weights())?];
        let now = self.now.value(&self.results);
        let room = limits.max_result - now;
        let mut up_to = |low: i64, high: i64| (low <= high).then(|| stream.within(low..=high));
        let factor = limits.max_factor;
        let event = match kind {
            Kind::Gain => Event::Gain(up_to(2, limits.max_number.min(room))?),
            Kind::More => Event::More(up_to(2, limits.max_number.min(room))?),
            Kind::Lose => Event::Lose(up_to(2, limits.max_number.min(now - 2))?),
            Kind::Fewer => Event::Fewer(up_to(2, limits.max_number.min(now - 2))?),
            Kind::Packs => {
                let packs = up_to(2, factor)?;
                Event::Packs { packs, size: up_to(2, limits.max_number.min(room / packs).min(12))? }
            }
            Kind::Grow => Event::Grow(up_to(2, factor.min(limits.max_result / now))?),
            Kind::TimesAs => Event::TimesAs(up_to(2, factor.min(limits.max_result / now))?),
            Kind::Share => Event::Share(divisor(stream, now, factor)?),
            Kind::Boxes => Event::Boxes(divisor(stream, now, factor)?),
            Kind::Together => Event::Together,
        };
        self.take(event, limits)
    }

    /// How likely each kind of event is next.
    fn weights(&self) -> [u32; 10] {
        let left = self.n_ops - self.plan.equations.len();
        let last = u32::from(left == 1);
        let alone = u32::from(self.first_person.is_none());
        let paired = 1 - alone;
        let later = u32::from(!self.plan.events.is_empty());
        [
            4,
            4,
            if left >= 2 { 5 } else { 0 },
            2,
            3,
            2 * alone,
            2 * alone,
            2 * alone,
            6 * last * paired,
            3 * last * later,
        ]
    }

    fn take(&mut self, event: Event, limits: &Difficulty) -> Option<()> {
        let now = self.now;
        self.now = match event {
            Event::Gain(n) | Event::More(n) => self.equation(now, Op::Add, Term::Told(n))?,
            Event::Lose(n) | Event::Fewer(n) => self.equation(now, Op::Subtract, Term::Told(n))?,
            Event::Grow(n) | Event::TimesAs(n) => self.equation(now, Op::Multiply, Term::Told(n))?,
            Event::Share(n) | Event::Boxes(n) => self.equation(now, Op::Divide, Term::Told(n))?,
            Event::Packs { packs, size } => {
                let content = self.equation(Term::Told(packs), Op::Multiply, Term::Told(size))?;
                self.equation(now, Op::Add, content)?
            }
            Event::Together => {
                let first = self.first_person?;
                self.equation(first, Op::Add, now)?
            }
        };
        if matches!(event, Event::More(_) | Event::Fewer(_) | Event::TimesAs(_)) {
            self.first_person = Some(now);
        }
        self.plan.events.push(event);
        (self.now.value(&self.results) <= limits.max_result).then_some(())
    }

    fn equation(&mut self, left: Term, op: Op, right: Term) -> Option<Term> {
        let result = op.apply(left.value(&self.results), right.value(&self.results))?;
        self.plan.equations.push(Equation { left, op, right });
        self.results.push(result);
        Some(Term::Result(self.results.len() - 1))
    }
}

/// A divisor from 2 to `largest` that leaves at least 2.
fn divisor(stream: &mut Stream, number: i64, largest: i64) -> Option<i64> {
    let fit: Vec<i64> = (2..=largest).filter(|d| number % d == 0 && number / d >= 2).collect();
    (!fit.is_empty()).then(|| *stream.pick(&fit))
}
