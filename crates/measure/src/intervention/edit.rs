//! Which bytes of a trace are replaced by what.
//!
//! Steps are byte ranges of the trace's text, from 1. A change never reaches across the end of a step, so that steps which are not changed
//! keep their tokens. Choices between possible replacements are made by a number `lot` that the caller draws: the same lot gives the same
//! edit.

use std::ops::Range;

use crate::answer::Answer;
use crate::number::{Number, numerals};
use crate::question::Choices;
use crate::statement::Statement;

/// Bytes of a trace and the text that replaces them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Bytes that are replaced, within one step.
    pub bytes: Range<usize>,
    /// What replaces them.
    pub text: String,
}

/// The text with all changes, which are in order and do not overlap.
pub fn apply(text: &str, changes: &[Change]) -> String {
    let mut changed = String::new();
    let mut at = 0;
    for change in changes {
        changed += &text[at..change.bytes.start];
        changed += &change.text;
        at = change.bytes.end;
    }
    changed + &text[at..]
}

/// Leaves a step out.
pub fn delete(step: &Range<usize>) -> Change {
    Change { bytes: step.clone(), text: String::new() }
}

/// Replaces a step with other words, between the white space that it begins and ends with.
pub fn reword(text: &str, step: &Range<usize>, words: &str) -> Change {
    Change { bytes: core(text, step), text: words.trim().to_string() }
}

/// A step without the white space that it begins and ends with.
pub fn core(text: &str, step: &Range<usize>) -> Range<usize> {
    let words = &text[step.clone()];
    let start = step.start + words.len() - words.trim_start().len();
    start..start.max(step.end - (words.len() - words.trim_end().len()))
}

/// Makes a step wrong: its last number becomes another one of `pool`, or, where it has none, the option that it names last becomes another
/// option. `None` where it has neither.
pub fn corrupt(
    text: &str,
    step: &Range<usize>,
    choices: Option<&Choices>,
    pool: &[String],
    lot: u64,
) -> Option<Change> {
    corrupt_number(text, step, pool, lot).or_else(|| corrupt_option(text, step, choices?, lot))
}

fn corrupt_number(text: &str, step: &Range<usize>, pool: &[String], lot: u64) -> Option<Change> {
    let numeral = numerals(&text[step.clone()]).pop()?;
    let another = from_lot(pool, lot).find(|other| differs(other, &numeral.number))?;
    let bytes = step.start + numeral.bytes.start..step.start + numeral.bytes.end;
    Some(Change { bytes, text: another.clone() })
}

fn differs(other: &str, number: &Number) -> bool {
    Number::parse(other).is_some_and(|other| other != *number)
}

fn corrupt_option(text: &str, step: &Range<usize>, choices: &Choices, lot: u64) -> Option<Change> {
    let named = choices.labels().iter().filter_map(|label| {
        let last = Statement::of(label, Some(choices))?.find(&text[step.clone()]).pop()?;
        Some((last.start + step.start..last.end + step.start, label))
    });
    let (bytes, label) = named.max_by_key(|(bytes, _)| bytes.end)?;
    let another = from_lot(choices.labels(), lot).find(|other| *other != label)?;
    Some(Change { text: surface(&text[bytes.clone()], label, another, choices), bytes })
}

/// How `another` option is written where `said` named the option `label`: as a label where that was one, else as a text.
fn surface(said: &str, label: &str, another: &str, choices: &Choices) -> String {
    let text_of = |label: &str| {
        let at = choices.labels().iter().position(|other| other == label)?;
        choices.texts().get(at)
    };
    match text_of(another) {
        Some(text) if said != label => text.clone(),
        _ => another.to_string(),
    }
}

/// The items from the lot's on, round to where it began.
fn from_lot<T>(items: &[T], lot: u64) -> impl Iterator<Item = &T> {
    let first = if items.is_empty() { 0 } else { (lot % items.len() as u64) as usize };
    items[first..].iter().chain(&items[..first])
}

/// Another answer than the one that a trace ends with and than the target, for a trace to say. An option is another option; a whole number
/// is one up to ten away that neither question nor trace mentions, so that nothing else can lead to it; any other answer is one of `pool`.
/// `None` where there is no such answer.
pub fn other_answer(asked: &Asked<'_>, pool: &[String], lot: u64) -> Option<Answer> {
    let is_other =
        |name: &str| name != asked.answer.name() && asked.target.is_none_or(|target| target.name() != name);
    if let Some(choices) = asked.choices {
        let label = from_lot(choices.labels(), lot).find(|label| is_other(label));
        return label.map(|label| Answer::Value(label.clone()));
    }
    let answer = asked.answer.value()?;
    if let Ok(value) = answer.parse::<i64>() {
        let mentioned: Vec<Number> =
            [asked.question, asked.trace].iter().flat_map(|text| numerals(text)).map(|n| n.number).collect();
        let near: Vec<i64> =
            (1..=10).flat_map(|by| [value.saturating_add(by), value.saturating_sub(by)]).collect();
        let fits = |near: &&i64| {
            let name = near.to_string();
            (**near > 0 || value <= 0)
                && is_other(&name)
                && Number::parse(&name).is_some_and(|number| !mentioned.contains(&number))
        };
        if let Some(found) = from_lot(&near, lot).find(fits) {
            return Some(Answer::Value(found.to_string()));
        }
    }
    from_lot(pool, lot).find(|name| is_other(name)).map(|name| Answer::Value(name.clone()))
}

/// What a trace was asked and how it ends.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The question as stated.
    pub question: &'a str,
    /// Its options.
    pub choices: Option<&'a Choices>,
    /// The true answer.
    pub target: Option<&'a Answer>,
    /// The answer that the trace ends with.
    pub answer: &'a Answer,
    /// The text of the trace.
    pub trace: &'a str,
}

/// What of a trace contradicts its other part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Contradiction {
    /// The last statement says another answer; the steps are right.
    Line,
    /// The steps before it are wrong; the last statement is right.
    Steps,
    /// Both say another answer.
    Both,
}

impl Contradiction {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Line, Self::Steps, Self::Both];

    /// The name used in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Line => "line",
            Self::Steps => "steps",
            Self::Both => "both",
        }
    }
}

/// The changes with which a trace contradicts its answer, and the step that states the answer last, from 1.
///
/// The last statement of the answer says `other` instead (`line`, `both`). In the steps before the one that holds it, every statement of the
/// answer says `other` and the last number of every other step becomes one of `pool` (`steps`, `both`). `None` where the trace does not state
/// its answer, or has no earlier step that can be made wrong.
pub fn conflict(
    asked: &Asked<'_>,
    steps: &[Range<usize>],
    what: Contradiction,
    other: &Answer,
    pool: &[String],
    lot: u64,
) -> Option<(Vec<Change>, usize)> {
    let statements = Statement::of(asked.answer.name(), asked.choices)?.find(asked.trace);
    let last = statements.last()?;
    let at = steps.iter().position(|step| step.start <= last.start && last.end <= step.end)?;
    let says_other = |bytes: &Range<usize>| Change {
        bytes: bytes.clone(),
        text: match asked.choices {
            Some(choices) => surface(&asked.trace[bytes.clone()], asked.answer.name(), other.name(), choices),
            None => other.name().to_string(),
        },
    };
    let mut changes: Vec<Change> = Vec::new();
    if what != Contradiction::Line {
        for (step, lot) in steps[..at].iter().zip(lot..) {
            let stated: Vec<&Range<usize>> = statements
                .iter()
                .filter(|bytes| step.start <= bytes.start && bytes.end <= step.end)
                .collect();
            match stated[..] {
                [] => changes.extend(corrupt_number(asked.trace, step, pool, lot)),
                _ => changes.extend(stated.into_iter().map(says_other)),
            }
        }
        if changes.is_empty() {
            return None;
        }
    }
    if what != Contradiction::Steps {
        changes.push(says_other(last));
    }
    changes.sort_by_key(|change| change.bytes.start);
    changes.dedup_by(|later, earlier| later.bytes.start < earlier.bytes.end);
    Some((changes, at + 1))
}

/// Whether two texts have the same numbers, in whatever order.
pub fn same_numbers(a: &str, b: &str) -> bool {
    let mut left: Vec<Number> = numerals(a).into_iter().map(|numeral| numeral.number).collect();
    let right = numerals(b);
    left.len() == right.len()
        && right.iter().all(|numeral| {
            let found = left.iter().position(|number| *number == numeral.number);
            found.map(|at| left.swap_remove(at)).is_some()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "Tom has 17 + 5 = 22.\nThen 22 + 12 = 34.\nThe answer is 34.";

    fn lines(text: &str) -> Vec<Range<usize>> {
        let mut start = 0;
        let step = |line: &str| {
            let step = start..start + line.len();
            start = step.end;
            step
        };
        text.split_inclusive('\n').map(step).collect()
    }

    fn pool(numbers: &[&str]) -> Vec<String> {
        numbers.iter().map(ToString::to_string).collect()
    }

    fn asked<'a>(answer: &'a Answer, target: Option<&'a Answer>, trace: &'a str) -> Asked<'a> {
        Asked { question: "Tom has 17, then 5, then 12.", choices: None, target, answer, trace }
    }

    fn options() -> Choices {
        let owned = |items: [&str; 3]| items.map(str::to_string).to_vec();
        Choices::new(owned(["A", "B", "C"]), owned(["red", "green", "blue"])).unwrap()
    }

    #[test]
    fn one_occurrence_is_deleted_at_its_place() {
        let trace = "Wait.\nIt is 3.\nWait.\nIt is 4.";
        let steps = lines(trace);
        assert_eq!(apply(trace, &[delete(&steps[2])]), "Wait.\nIt is 3.\nIt is 4.");
    }

    #[test]
    fn the_last_number_of_a_step_becomes_another_of_the_task() {
        let steps = lines(TRACE);
        let change = corrupt(TRACE, &steps[0], None, &pool(&["22", "22.0", "9"]), 0).unwrap();
        assert_eq!((&TRACE[change.bytes.clone()], &*change.text), ("22", "9"));
        assert_eq!(corrupt(TRACE, &steps[0], None, &pool(&["22"]), 5), None);
        assert_eq!(corrupt("No number.", &(0..10), None, &pool(&["9"]), 0), None);
    }

    #[test]
    fn an_option_becomes_another_in_the_same_form() {
        let choices = options();
        let text = "It is red. The answer is B.";
        let change = |bytes: Range<usize>, lot| corrupt(text, &bytes, Some(&choices), &[], lot).unwrap().text;
        assert_eq!(change(0..10, 1), "green");
        assert_eq!(change(10..text.len(), 1), "C");
    }

    #[test]
    fn words_are_replaced_between_their_white_space() {
        let steps = lines(TRACE);
        assert_eq!(
            apply(TRACE, &[reword(TRACE, &steps[1], " Ann has 3.\n")]),
            "Tom has 17 + 5 = 22.\nAnn has 3.\nThe answer is 34."
        );
    }

    #[test]
    fn another_answer_is_one_that_nothing_leads_to() {
        let (answer, target) = (Answer::Value("4".into()), Answer::Value("6".into()));
        let asked = Asked { question: "2, 3 or 5?", ..asked(&answer, Some(&target), "7, 8, 9, so 4.") };
        for lot in 0..40 {
            let other = other_answer(&asked, &[], lot).unwrap();
            let value: i64 = other.name().parse().unwrap();
            assert!(
                value > 0 && (value - 4).abs() <= 10 && ![2, 3, 4, 5, 6, 7, 8, 9].contains(&value),
                "{value}"
            );
        }
        let choices = options();
        let (answer, target) = (Answer::Value("A".into()), Answer::Value("B".into()));
        let asked = Asked { choices: Some(&choices), answer: &answer, target: Some(&target), ..asked };
        assert!((0..9).all(|lot| other_answer(&asked, &[], lot) == Some(Answer::Value("C".into()))));
    }

    #[test]
    fn a_trace_contradicts_its_last_line_its_steps_or_both() {
        let (answer, other) = (Answer::Value("34".into()), Answer::Value("36".into()));
        let steps = lines(TRACE);
        let conflicting = |what| {
            let (changes, step) =
                conflict(&asked(&answer, None, TRACE), &steps, what, &other, &pool(&["9"]), 0).unwrap();
            assert_eq!(step, 3);
            apply(TRACE, &changes)
        };
        assert_eq!(
            conflicting(Contradiction::Line),
            "Tom has 17 + 5 = 22.\nThen 22 + 12 = 34.\nThe answer is 36."
        );
        assert_eq!(
            conflicting(Contradiction::Steps),
            "Tom has 17 + 5 = 9.\nThen 22 + 12 = 36.\nThe answer is 34."
        );
        assert_eq!(
            conflicting(Contradiction::Both),
            "Tom has 17 + 5 = 9.\nThen 22 + 12 = 36.\nThe answer is 36."
        );
        let unstated = Answer::Value("35".into());
        assert!(
            conflict(&asked(&unstated, None, TRACE), &steps, Contradiction::Line, &other, &[], 0).is_none()
        );
    }

    #[test]
    fn numbers_survive_in_any_order_and_as_often() {
        assert!(same_numbers("3 and 4 make 7.", "7 is made of 4.0 and 3."));
        assert!(!same_numbers("3 and 3.", "3 and 4."));
        assert!(!same_numbers("3.", "3 and 3."));
    }
}
