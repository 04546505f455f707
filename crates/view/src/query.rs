//! Which traces a list shows, and in which order.
//!
//! A query is the part of an address after `?`, as in `verdict=wrong&min=gain:0.5&sort=-gain&from=100&n=50`. All conditions hold together.

use std::sync::Arc;

use entrace_record::rows::Outcome;
use percent_encoding::percent_decode_str;

use crate::error::Error;
use crate::index::{Column, Index};

/// Most rows of one answer.
const MOST_ROWS: usize = 500;

/// Names and values of a query, decoded.
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub(crate) fn parse(query: &str) -> Self {
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (decoded(name), decoded(value))
                })
                .collect(),
        )
    }

    /// A value that is there and not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// A number; `None` where it is not given.
    pub(crate) fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Error> {
        let parse =
            |text: &str| text.parse().map_err(|_| bad(format!("{name} is {text:?}; expected a number")));
        self.get(name).map(parse).transpose()
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

pub(crate) fn bad(problem: String) -> Error {
    Error::BadQuery(problem)
}

/// Which traces, in which order.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Query {
    /// Number of the task.
    task: Option<u32>,
    verdict: Option<Verdict>,
    outcome: Option<Outcome>,
    /// Whether the trace locks in.
    locked: Option<bool>,
    /// Least numbers of columns, by name.
    least: Vec<(String, f32)>,
    /// Largest numbers of columns.
    most: Vec<(String, f32)>,
    /// Text that the question, its name, the target or the answer has, in lower case.
    text: Option<String>,
    /// How the verdict differs from that of another run.
    change: Option<Change>,
    sort: Option<(Key, bool)>,
    /// How much of the index had been read: once there is more, the list is made anew.
    n_read: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Right,
    Wrong,
    None,
}

/// Verdicts in this run and in the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Differs,
    /// Wrong here and right there.
    Better,
    /// Right here and wrong there.
    Worse,
}

/// By what a list is sorted.
#[derive(Debug, Clone, PartialEq)]
enum Key {
    Question,
    Verdict,
    Answer,
    Column(String),
}

/// The part of a list that is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) from: usize,
    pub(crate) n: usize,
    /// A trace whose place in the list is asked for.
    pub(crate) at: Option<u32>,
}

impl Window {
    pub(crate) fn parse(parameters: &Parameters) -> Result<Self, Error> {
        let n = parameters.number("n")?.unwrap_or(100).min(MOST_ROWS);
        Ok(Self { from: parameters.number("from")?.unwrap_or(0), n, at: parameters.number("at")? })
    }
}

impl Query {
    pub(crate) fn parse(parameters: &Parameters, index: &Index) -> Result<Self, Error> {
        let task = |name: &str| {
            let place = index.tasks.names.iter().position(|known| **known == *name);
            place.map(|place| place as u32).ok_or_else(|| bad(format!("there is no task {name:?}")))
        };
        Ok(Self {
            task: parameters.get("task").map(task).transpose()?,
            verdict: choice(parameters, "verdict", &VERDICTS)?,
            outcome: choice(parameters, "outcome", &OUTCOMES)?,
            locked: choice(parameters, "locked", &[("yes", true), ("no", false)])?,
            least: bounds(parameters, "min")?,
            most: bounds(parameters, "max")?,
            text: parameters.get("text").map(str::to_lowercase),
            change: choice(parameters, "change", &CHANGES)?,
            sort: parameters.get("sort").map(sort),
            n_read: index.columns().len() + usize::from(index.questions.get().is_some()),
        })
    }

    /// Numbers of the traces. `other` is the verdict of a trace in another run.
    pub(crate) fn run(&self, index: &Index, other: impl Fn(u32) -> Option<bool>) -> Result<Vec<u32>, Error> {
        let column = |name: &str| {
            let missing = || bad(format!("there is no column {name:?}, or it has not been read yet"));
            index.column(name).ok_or_else(missing)
        };
        let bounds = |bounds: &[(String, f32)]| {
            bounds.iter().map(|(name, bound)| Ok((column(name)?, *bound))).collect::<Result<Vec<_>, Error>>()
        };
        let (least, most) = (bounds(&self.least)?, bounds(&self.most)?);
        let lock_in = self.locked.map(|locked| Ok::<_, Error>((column("lock_in")?, locked))).transpose()?;
        let within = |number: u32| {
            least.iter().all(|(column, least)| column.get(number).is_some_and(|value| value >= *least))
                && most.iter().all(|(column, most)| column.get(number).is_some_and(|value| value <= *most))
        };
        let wanted = |number: &u32| {
            let number = *number;
            let correct = index.correct[number as usize];
            self.task.is_none_or(|task| index.task_number(number) == task)
                && self.verdict.is_none_or(|verdict| verdict.holds(correct))
                && self.outcome.is_none_or(|outcome| index.outcome[number as usize] == outcome)
                && lock_in.as_ref().is_none_or(|(column, locked)| column.get(number).is_some() == *locked)
                && within(number)
                && self.change.is_none_or(|change| change.holds(correct, other(number)))
                && self.text.as_ref().is_none_or(|text| has_text(index, number, text))
        };
        let mut numbers: Vec<u32> = (0..index.len() as u32).filter(wanted).collect();
        if let Some((key, descending)) = &self.sort {
            let column = match key {
                Key::Column(name) => Some(column(name)?),
                _ => None,
            };
            order(&mut numbers, index, key, column.as_ref(), *descending);
        }
        Ok(numbers)
    }
}

const VERDICTS: [(&str, Verdict); 3] =
    [("right", Verdict::Right), ("wrong", Verdict::Wrong), ("none", Verdict::None)];

const CHANGES: [(&str, Change); 3] =
    [("differs", Change::Differs), ("better", Change::Better), ("worse", Change::Worse)];

const OUTCOMES: [(&str, Outcome); 3] =
    [("measured", Outcome::Measured), ("skipped", Outcome::Skipped), ("failed", Outcome::Failed)];

impl Verdict {
    fn holds(self, correct: Option<bool>) -> bool {
        correct
            == match self {
                Self::Right => Some(true),
                Self::Wrong => Some(false),
                Self::None => None,
            }
    }
}

impl Change {
    fn holds(self, here: Option<bool>, there: Option<bool>) -> bool {
        match self {
            Self::Differs => here.is_some() && there.is_some() && here != there,
            Self::Better => (here, there) == (Some(false), Some(true)),
            Self::Worse => (here, there) == (Some(true), Some(false)),
        }
    }
}

/// One of a few words.
fn choice<T: Copy>(parameters: &Parameters, name: &str, all: &[(&str, T)]) -> Result<Option<T>, Error> {
    let Some(text) = parameters.get(name) else { return Ok(None) };
    let found = all.iter().find(|(word, _)| *word == text);
    let words = || all.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
    found
        .map(|(_, value)| Some(*value))
        .ok_or_else(|| bad(format!("{name} is {text:?}; expected one of {}", words())))
}

/// Bounds as `column:number`; names of signals have colons too.
fn bounds(parameters: &Parameters, name: &str) -> Result<Vec<(String, f32)>, Error> {
    let parse = |text: &str| {
        let (column, bound) = text.rsplit_once(':')?;
        let bound = bound.parse::<f32>().ok().filter(|bound| !bound.is_nan())?;
        Some((column.to_owned(), bound))
    };
    let expected = |text: &str| bad(format!("{name} is {text:?}; expected COLUMN:NUMBER"));
    parameters.all(name).map(|text| parse(text).ok_or_else(|| expected(text))).collect()
}

/// The key of a list, and whether the largest come first.
fn sort(text: &str) -> (Key, bool) {
    let (name, descending) = text.strip_prefix('-').map_or((text, false), |name| (name, true));
    let key = match name {
        "question" => Key::Question,
        "verdict" => Key::Verdict,
        "answer" => Key::Answer,
        name => Key::Column(name.to_owned()),
    };
    (key, descending)
}

fn has_text(index: &Index, number: u32, text: &str) -> bool {
    let texts =
        [index.question(number), Some(index.question_id(number)), index.answer(number), index.target(number)];
    texts.into_iter().flatten().any(|candidate| contains(candidate, text))
}

/// Whether a text has another, which is in lower case.
fn contains(text: &str, part: &str) -> bool {
    if part.is_empty() {
        return true;
    }
    if part.is_ascii() {
        let (text, part) = (text.as_bytes(), part.as_bytes());
        return text.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part));
    }
    text.to_lowercase().contains(part)
}

/// Sorts; what has no value comes last, equals stay in the order of the run.
fn order(numbers: &mut [u32], index: &Index, key: &Key, column: Option<&Arc<Column>>, descending: bool) {
    match (key, column) {
        (Key::Column(_), Some(column)) => {
            let last = if descending { f32::NEG_INFINITY } else { f32::INFINITY };
            // The value is looked up once for each trace, and not once for each comparison.
            let mut keyed: Vec<(f32, bool, u32)> = numbers
                .iter()
                .map(|&number| {
                    let value = column.get(number);
                    (value.unwrap_or(last), value.is_none(), number)
                })
                .collect();
            keyed.sort_unstable_by(|a, b| {
                let values = if descending { b.0.total_cmp(&a.0) } else { a.0.total_cmp(&b.0) };
                a.1.cmp(&b.1).then(values).then(a.2.cmp(&b.2))
            });
            numbers.iter_mut().zip(keyed).for_each(|(number, (.., sorted))| *number = sorted);
        }
        (Key::Verdict, _) => numbers.sort_by_key(|&number| {
            let correct = index.correct[number as usize];
            (correct.is_none(), correct == Some(descending))
        }),
        (key, _) => {
            let text = |number: u32| match key {
                Key::Answer => index.answer(number),
                _ => Some(index.question_id(number)),
            };
            numbers.sort_by(|&a, &b| {
                let (a, b) = (text(a), text(b));
                let texts = if descending { b.cmp(&a) } else { a.cmp(&b) };
                a.is_none().cmp(&b.is_none()).then(texts)
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_decoded() {
        let parameters = Parameters::parse("text=a%26b%20%C3%A9&n=5&min=signal:p:0.5&min=gain:-1&empty=");
        assert_eq!(parameters.get("text"), Some("a&b é"));
        assert_eq!(parameters.get("empty"), None);
        assert_eq!(parameters.number::<usize>("n").unwrap(), Some(5));
        let expected = [("signal:p".to_owned(), 0.5), ("gain".to_owned(), -1.0)];
        assert_eq!(bounds(&parameters, "min").unwrap(), expected);
        for wrong in ["n=x", "min=gain", "min=gain:NaN"] {
            let parameters = Parameters::parse(wrong);
            assert!(Window::parse(&parameters).is_err() || bounds(&parameters, "min").is_err(), "{wrong}");
        }
    }

    #[test]
    fn text_is_found_in_any_case() {
        assert!(contains("How many Pens?", "pens") && contains("ÄRGER", "är") && contains("x", ""));
        assert!(!contains("pen", "pens"));
    }

    #[test]
    fn changes_of_verdicts_need_both() {
        let verdicts = [Some(true), Some(false), None];
        let count = |change: Change| {
            verdicts.iter().flat_map(|a| verdicts.map(|b| change.holds(*a, b))).filter(|holds| *holds).count()
        };
        assert_eq!((count(Change::Differs), count(Change::Better), count(Change::Worse)), (2, 1, 1));
    }
}
