//! The wording of a problem: who, what, and in which of several phrasings.
//!
//! A phrasing is a text with slots in braces. `{C}` is the person who holds the things that are counted, `{P}` and `{p}` that person's
//! pronoun, `{F}` a friend of whom nothing is asked, `{N}` and `{O}` the first and the second person of a comparison; `{n}` a number,
//! `{k}` a number of packs, `{f}` a factor in words; `{obj}` the things, `{other}` other things, `{box}`, `{boxes}` and `{packs}`
//! containers. A pronoun is used only where it can mean nobody else: after a sentence that names no other person, or after the name.

use super::difficulty::Difficulty;
use super::plan::{Equation, Event, Plan};
use super::solution::{self, Solution};
use crate::stream::Stream;

/// A person: name, pronoun at the start of a sentence, pronoun within one.
pub(super) type Person = [&'static str; 3];

pub(super) const PEOPLE: [Person; 16] = [
    ["Tom", "He", "he"],
    ["Ben", "He", "he"],
    ["Sam", "He", "he"],
    ["Max", "He", "he"],
    ["Leo", "He", "he"],
    ["Jack", "He", "he"],
    ["Dan", "He", "he"],
    ["Paul", "He", "he"],
    ["Ann", "She", "she"],
    ["Mia", "She", "she"],
    ["Eva", "She", "she"],
    ["Sue", "She", "she"],
    ["Lily", "She", "she"],
    ["Kate", "She", "she"],
    ["Rosa", "She", "she"],
    ["Nina", "She", "she"],
];

pub(super) const THINGS: [&str; 14] = [
    "apples", "marbles", "stickers", "books", "coins", "cards", "shells", "stamps", "pencils", "cookies",
    "beads", "buttons", "stones", "oranges",
];

/// Containers: one, several.
pub(super) const CONTAINERS: [[&str; 2]; 5] =
    [["box", "boxes"], ["bag", "bags"], ["jar", "jars"], ["pack", "packs"], ["basket", "baskets"]];

const START: &[&str] = &[
    "{C} has {n} {obj}.",
    "{C} starts with {n} {obj}.",
    "At first {C} has {n} {obj}.",
    "In the morning {C} counts {n} {obj}.",
    "{C} owns {n} {obj}.",
];

const GAIN: &[&str] = &[
    "{P} buys {n} more {obj}.",
    "Then {C} finds {n} more {obj}.",
    "{F} gives {C} {n} more {obj}.",
    "{C} gets {n} {obj} from {F}.",
    "After that {p} wins {n} more {obj}.",
    "{C} adds {n} new {obj}.",
];

const LOSE: &[&str] = &[
    "{C} gives {n} {obj} to {F}.",
    "{P} loses {n} of the {obj}.",
    "Then {p} sells {n} {obj}.",
    "{F} takes {n} of the {obj} from {C}.",
    "After that {C} throws away {n} old {obj}.",
    "{C} leaves {n} of the {obj} at school.",
];

const PACKS: &[&str] = &[
    "{P} buys {k} {packs} with {n} {obj} in each.",
    "{F} brings {C} {k} {packs} of {n} {obj} each.",
    "Then {C} opens {k} {packs} that hold {n} {obj} each.",
    "{C} gets {k} more {packs}, each with {n} {obj}.",
];

const GROW: &[&str] = &[
    "By the next day {C} has {f} as many {obj}.",
    "After a week {p} has {f} as many {obj}.",
    "{C} works until {p} has {f} as many {obj}.",
    "{C} gets more until {p} has {f} as many {obj}.",
];

const SHARE: &[&str] = &[
    "{C} splits the {obj} into {n} equal parts and keeps one part.",
    "Then {p} shares the {obj} equally among {n} people and keeps one share.",
    "{C} makes {n} equal piles of {obj} and gives away all but one pile.",
];

const MORE: &[&str] = &[
    "{O} has {n} more {obj} than {N} has now.",
    "{O} now has {n} more {obj} than {N}.",
    "{N} now has {n} fewer {obj} than {O}.",
];

const FEWER: &[&str] = &[
    "{O} has {n} fewer {obj} than {N} has now.",
    "{O} now has {n} fewer {obj} than {N}.",
    "{N} now has {n} more {obj} than {O}.",
];

const TIMES_AS: &[&str] =
    &["{O} has {f} as many {obj} as {N} has now.", "{O} now has {f} as many {obj} as {N}."];

const BOXES: &[&str] = &[
    "{C} puts all the {obj} into {n} {boxes} evenly.",
    "Then {C} packs the {obj} into {n} equal {boxes}.",
    "The {obj} are shared equally between {n} {boxes}.",
];

const ASK_HOLDER: &[&str] = &[
    "How many {obj} does {C} have now?",
    "How many {obj} does {C} have in the end?",
    "What is the number of {obj} that {C} has now?",
    "Find how many {obj} {C} has at the end.",
];

const ASK_LEFT: &[&str] = &[
    "How many {obj} does {C} have left?",
    "How many {obj} are left for {C}?",
    "How many {obj} does {C} still have?",
];

const ASK_TOGETHER: &[&str] = &[
    "How many {obj} do {N} and {O} have together?",
    "How many {obj} do {N} and {O} have in all?",
    "What is the total number of {obj} of {N} and {O}?",
];

const ASK_BOX: &[&str] = &[
    "How many {obj} are in each {box}?",
    "How many {obj} does each {box} hold?",
    "Find how many {obj} go into one {box}.",
];

const DISTRACT: &[&str] = &[
    "{C} also has {n} {other}.",
    "{F} has {n} {other}.",
    "{C} is {n} years old.",
    "The walk to school takes {n} minutes.",
    "{F} lives {n} miles away.",
    "One of the {other} costs {n} dollars.",
];

/// Every phrasing of the question.
pub(super) const PHRASINGS: [&[&str]; 15] = [
    START,
    GAIN,
    LOSE,
    PACKS,
    GROW,
    SHARE,
    MORE,
    FEWER,
    TIMES_AS,
    BOXES,
    ASK_HOLDER,
    ASK_LEFT,
    ASK_TOGETHER,
    ASK_BOX,
    DISTRACT,
];

/// The word for a factor of two; larger ones are `3 times`.
pub(super) const TWICE: &str = "twice";
/// What follows a larger factor.
pub(super) const TIMES: &str = "times";

/// Who and what a problem is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cast {
    first: Person,
    second: Person,
    friend: Person,
    things: &'static str,
    other: &'static str,
    pack: [&'static str; 2],
    container: [&'static str; 2],
}

impl Cast {
    fn draw(stream: &mut Stream) -> Self {
        let [first, second, friend] = distinct(stream, &PEOPLE);
        let [things, other] = distinct(stream, &THINGS);
        let [pack, container] = distinct(stream, &CONTAINERS);
        Self { first, second, friend, things, other, pack, container }
    }

    fn person(&self, is_second: bool) -> Person {
        if is_second { self.second } else { self.first }
    }

    /// A phrasing with its slots filled; numbers come from `number`.
    fn fill(&self, phrasing: &str, holder: Person, number: &dyn Fn(&str) -> String) -> String {
        fill(phrasing, |slot| match slot {
            "C" => holder[0].to_string(),
            "P" => holder[1].to_string(),
            "p" => holder[2].to_string(),
            "N" => self.first[0].to_string(),
            "O" => self.second[0].to_string(),
            "F" => self.friend[0].to_string(),
            "obj" => self.things.to_string(),
            "other" => self.other.to_string(),
            "packs" => self.pack[1].to_string(),
            "box" => self.container[0].to_string(),
            "boxes" => self.container[1].to_string(),
            _ => number(slot),
        })
    }
}

/// Different items, in random order.
fn distinct<T: Copy, const N: usize>(stream: &mut Stream, items: &[T]) -> [T; N] {
    let mut left = items.to_vec();
    std::array::from_fn(|_| left.swap_remove(stream.below(left.len() as u32) as usize))
}

/// The text with each `{slot}` replaced.
pub(super) fn fill(phrasing: &str, value: impl Fn(&str) -> String) -> String {
    let mut text = String::new();
    let mut rest = phrasing;
    while let Some((before, from)) = rest.split_once('{') {
        let (slot, after) = from.split_once('}').expect("the braces of a phrasing are closed");
        text.push_str(before);
        text.push_str(&value(slot));
        rest = after;
    }
    text + rest
}

/// One line of the solution before its numbers are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Line {
    phrasing: &'static str,
    holder: Person,
}

/// The wording of a problem and of its solution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Story {
    pub(super) question: String,
    cast: Cast,
    lines: Vec<Line>,
}

impl Story {
    /// A wording for the plan.
    pub(super) fn draw(stream: &mut Stream, plan: &Plan, limits: &Difficulty) -> Self {
        let cast = Cast::draw(stream);
        let mut teller =
            Teller { cast, holder: cast.first, is_clear: true, sentences: Vec::new(), lines: Vec::new() };
        teller.say(stream, START, &[("n", plan.start)]);
        let n_distractors = stream.below(limits.max_distractors as u32 + 1);
        let n_told =
            plan.events.iter().filter(|event| !matches!(event, Event::Together | Event::Boxes(_))).count();
        let gaps: Vec<usize> = (0..n_distractors).map(|_| stream.below(n_told as u32 + 1) as usize).collect();
        for (i, &event) in plan.events.iter().enumerate() {
            teller.distract(stream, gaps.iter().filter(|&&gap| gap == i).count(), limits);
            teller.tell(stream, event);
        }
        let at_end = gaps.iter().filter(|&&gap| gap == plan.events.len()).count();
        teller.distract(stream, at_end, limits);
        teller.ask(stream, plan.events.last().copied());
        Self { question: teller.sentences.join(" "), cast, lines: teller.lines }
    }

    /// The solution with these equations and results.
    pub(super) fn solution(&self, equations: &[Equation], results: &[i64]) -> Solution {
        let line = |((line, equation), result): ((&Line, &Equation), &i64)| {
            let (left, right) = (equation.left.value(results), equation.right.value(results));
            let written = solution::equation_text(left, equation.op, right, *result);
            self.cast.fill(line.phrasing, line.holder, &|slot| match slot {
                "eq" => written.clone(),
                _ => result.to_string(),
            })
        };
        let steps = self.lines.iter().zip(equations).zip(results).map(line).collect();
        let answer = results.last().copied().unwrap_or_default();
        Solution { steps, answer }
    }

    /// A sentence about the first person or the friend with a number that does not matter.
    pub(super) fn aside(&self, stream: &mut Stream) -> String {
        let (phrasing, number) = (*stream.pick(DISTRACT), stream.within(2..=40));
        self.cast.fill(phrasing, self.cast.first, &|_| number.to_string())
    }
}

/// A story that is being told.
struct Teller {
    cast: Cast,
    holder: Person,
    /// Whether a pronoun could only mean the holder.
    is_clear: bool,
    sentences: Vec<String>,
    lines: Vec<Line>,
}

impl Teller {
    fn say(&mut self, stream: &mut Stream, phrasings: &[&'static str], numbers: &[(&str, i64)]) {
        let has_pronoun = |phrasing: &&str| phrasing.contains("{P}") || phrasing.contains("{p}");
        let names_holder = |phrasing: &&str| phrasing.contains("{C}");
        let fit: Vec<&'static str> = phrasings
            .iter()
            .copied()
            .filter(|p| self.is_clear || !has_pronoun(p) || names_holder(p))
            .collect();
        let phrasing = *stream.pick(&fit);
        let number = |slot: &str| {
            let name = if slot == "f" { "n" } else { slot };
            let value = numbers.iter().find(|(known, _)| *known == name).map_or(0, |(_, value)| *value);
            match (slot, value) {
                ("f", 2) => TWICE.to_string(),
                ("f", more) => format!("{more} {TIMES}"),
                (_, value) => value.to_string(),
            }
        };
        self.sentences.push(self.cast.fill(phrasing, self.holder, &number));
        self.is_clear = !["{F}", "{N}", "{O}"].iter().any(|slot| phrasing.contains(slot));
    }

    fn distract(&mut self, stream: &mut Stream, n: usize, limits: &Difficulty) {
        for _ in 0..n {
            let number = stream.within(2..=limits.max_number);
            self.say(stream, DISTRACT, &[("n", number)]);
        }
    }

    fn tell(&mut self, stream: &mut Stream, event: Event) {
        let (phrasings, n) = match event {
            Event::Gain(n) => (GAIN, n),
            Event::Lose(n) => (LOSE, n),
            Event::Grow(n) => (GROW, n),
            Event::Share(n) => (SHARE, n),
            Event::More(n) => (MORE, n),
            Event::Fewer(n) => (FEWER, n),
            Event::TimesAs(n) => (TIMES_AS, n),
            Event::Boxes(n) => (BOXES, n),
            Event::Packs { packs, size } => {
                self.say(stream, PACKS, &[("k", packs), ("n", size)]);
                self.line(stream, solution::PACKS);
                return self.line(stream, solution::HOLDER);
            }
            Event::Together => return self.line(stream, solution::TOGETHER),
        };
        self.say(stream, phrasings, &[("n", n)]);
        if matches!(event, Event::More(_) | Event::Fewer(_) | Event::TimesAs(_)) {
            self.holder = self.cast.person(true);
        }
        self.line(stream, if matches!(event, Event::Boxes(_)) { solution::BOX } else { solution::HOLDER });
    }

    fn line(&mut self, stream: &mut Stream, phrasings: &[&'static str]) {
        let phrasing = *stream.pick(phrasings);
        self.lines.push(Line { phrasing, holder: self.holder });
    }

    fn ask(&mut self, stream: &mut Stream, last: Option<Event>) {
        let phrasings = match last {
            Some(Event::Together) => ASK_TOGETHER,
            Some(Event::Boxes(_)) => ASK_BOX,
            Some(Event::Lose(_) | Event::Share(_)) => ASK_LEFT,
            _ => ASK_HOLDER,
        };
        self.say(stream, phrasings, &[]);
    }
}
