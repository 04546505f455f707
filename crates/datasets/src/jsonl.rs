//! Questions from a user's own file of any form that `rows` reads, with any column names.
//!
//! A row needs a question; target, choices and id are optional unless they are mapped. Without an id a question is named by its
//! line, `line-17`. Where a target is a worked solution that ends in `#### 18`, only what follows the marks is the target. A
//! target that is a number names one of the listed options by its index from 0 or by its text (`choice::index`). A question may
//! be a conversation of one message, the user's.
//!
//! The answer format is given, or each question has its own: `choice` if it lists choices, `number` if its target is a number, else
//! `text`. What an ambiguous number means (`1.450`) follows from all targets of the file (`format::NumberStyle`).

use std::collections::HashSet;
use std::path::Path;

use entrace_measure::{Answer, Choices, Question};

use crate::choice::index;
use crate::columns::{Column, ColumnMap, there_is};
use crate::error::Error;
use crate::format::{FormatKind, NumberStyle};
use crate::loaded::{BadLine, BadLines, Loaded};
use crate::messages;
use crate::rows::{self, Line};
use crate::value::{self, Row, Value};

/// Most bytes of a target or an option: as answers they are tokenised and read again at every step.
const MOST_ANSWER_BYTES: usize = 1 << 14;

/// Questions of a user's file.
#[derive(Debug, Clone, PartialEq)]
pub struct Custom {
    /// The questions.
    pub loaded: Loaded,
    /// The answer format of each question.
    pub kinds: Vec<FormatKind>,
    /// How the targets write numbers.
    pub style: NumberStyle,
    /// What the user should know of the formats and of missing targets.
    pub notes: Vec<String>,
}

/// How a user's file is to be read.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Column names.
    pub columns: ColumnMap,
    /// The answer format of every question; by question if absent.
    pub answer_format: Option<FormatKind>,
    /// What becomes of bad lines.
    pub bad_lines: BadLines,
    /// Most bytes of one text; 128 MiB if absent.
    pub max_cell_bytes: Option<usize>,
}

/// Reads the questions of the file; `task` is the name they are recorded under.
pub fn load(path: &Path, task: &str, options: &Options) -> Result<Custom, Error> {
    let read = rows::load(&[path.to_path_buf()], options.max_cell_bytes.unwrap_or(rows::MAX_CELL_BYTES))?;
    options.columns.check(path, &read.lines, &Column::OF_QUESTIONS)?;
    let (stated, mut bad_lines) = stated_rows(&read.lines, options.bad_lines, |line, row| {
        Stated::read(row, &options.columns, line.number)
    })?;
    let style = style_of(stated.iter().map(|(_, stated)| stated));
    let (row_kinds, note) = kinds_of(options, style, stated.iter().map(|(line, stated)| (*line, stated)));
    let missing = missing_targets(stated.iter().map(|(line, stated)| (*line, stated)));
    let (mut questions, mut kinds): (Vec<Question>, Vec<FormatKind>) = (Vec::new(), Vec::new());
    let mut seen = HashSet::new();
    for ((line, stated), kind) in stated.into_iter().zip(row_kinds) {
        match stated.question(task, kind, style) {
            Ok(question) if !seen.insert(question.id.clone()) => {
                let reason = format!("the id {:?} appeared before", question.id);
                options.bad_lines.take(&mut bad_lines, line.bad(reason))?;
            }
            Ok(question) => {
                questions.push(question);
                kinds.push(kind);
            }
            Err(reason) => options.bad_lines.take(&mut bad_lines, line.bad(reason))?,
        }
    }
    bad_lines.sort_by_key(|line| line.line_number);
    let loaded = Loaded { questions, bad_lines, source: read.source, hash: read.hash }.checked(path)?;
    Ok(Custom { loaded, kinds, style, notes: note.into_iter().chain(missing).collect() })
}

/// What lines were read as, beside them.
pub(crate) type ByLine<'a, T> = Vec<(&'a Line, T)>;

/// What `read` makes of each line, and the lines of which it makes nothing.
pub(crate) fn stated_rows<T>(
    lines: &[Line],
    bad_lines: BadLines,
    read: impl Fn(&Line, &Row) -> Result<T, String>,
) -> Result<(ByLine<'_, T>, Vec<BadLine>), Error> {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for line in lines {
        match line.row.as_ref().map_err(Clone::clone).and_then(|row| read(line, row)) {
            Ok(stated) => good.push((line, stated)),
            Err(reason) => bad_lines.take(&mut bad, line.bad(reason))?,
        }
    }
    Ok((good, bad))
}

/// The format that was given, or that of each row; and a note where rows differ.
pub(crate) fn kinds_of<'a>(
    options: &Options,
    style: NumberStyle,
    rows: impl Iterator<Item = (&'a Line, &'a Stated)> + Clone,
) -> (Vec<FormatKind>, Option<String>) {
    if let Some(kind) = options.answer_format {
        return (rows.map(|_| kind).collect(), None);
    }
    let stated = rows.clone().map(|(_, s)| (s.choices.as_ref(), s.target.as_deref()));
    let kinds = FormatKind::of_questions(stated, style);
    let note = several_kinds(&kinds, rows.map(|(line, _)| line));
    (kinds, note)
}

/// Says of rows of several kinds how many there are of each, and where those of the rarest begin.
fn several_kinds<'a>(kinds: &[FormatKind], lines: impl Iterator<Item = &'a Line>) -> Option<String> {
    let count = |kind: FormatKind| kinds.iter().filter(|&&other| other == kind).count();
    let found: Vec<FormatKind> = FormatKind::ALL.into_iter().filter(|&kind| count(kind) > 0).collect();
    let rarest = found.iter().copied().min_by_key(|&kind| count(kind)).filter(|_| found.len() > 1)?;
    let (line, _) = lines.zip(kinds).find(|(_, kind)| **kind == rarest)?;
    let counts: Vec<String> =
        found.iter().map(|&kind| format!("{} as {}", count(kind), kind.name())).collect();
    Some(format!(
        "answers are read question by question: {}; the first as {} is at {}:{} (one answer format for all would read them alike)",
        counts.join(", "),
        rarest.name(),
        line.path.display(),
        line.number
    ))
}

/// The style of numbers that the rows' targets show.
pub(crate) fn style_of<'a>(rows: impl Iterator<Item = &'a Stated> + Clone) -> NumberStyle {
    NumberStyle::of_targets(rows.filter_map(|stated| stated.target.as_deref()))
}

/// Says how many rows have no target, and where none has one, what columns there are.
pub(crate) fn missing_targets<'a>(
    rows: impl Iterator<Item = (&'a Line, &'a Stated)> + Clone,
) -> Option<String> {
    let n = rows.clone().count();
    let n_missing = rows.clone().filter(|(_, stated)| stated.target.is_none()).count();
    let first = rows.clone().next().and_then(|(line, _)| line.row.as_ref().ok())?;
    match n_missing {
        0 => None,
        _ if n_missing < n => Some(format!(
            "{n_missing} of {n} rows have no target: whether their answers are correct is not known"
        )),
        _ => Some(format!(
            "no row has a target: whether answers are correct is not known (the column map can name its column{})",
            there_is(first)
        )),
    }
}

/// A question as its row states it, before the format of its target is known.
#[derive(Debug, Clone)]
pub(crate) struct Stated {
    pub(crate) id: String,
    pub(crate) text: String,
    pub(crate) choices: Option<Choices>,
    pub(crate) target: Option<String>,
    /// The target as a number beside options without labels of their own.
    pub(crate) option_number: Option<u64>,
}

/// The target as a number, if the options have no labels of their own among which it could be.
pub(crate) fn option_number(choices: Option<&Value>, target: Option<&Value>) -> Option<u64> {
    target?.as_index().filter(|_| choices.is_some_and(value::without_labels))
}

impl Stated {
    fn read(row: &Row, columns: &ColumnMap, line_number: usize) -> Result<Self, String> {
        let text = match columns.conversation(row, Column::Question)? {
            Some(question) => messages::question(&question)?,
            None => columns.required(row, Column::Question)?,
        };
        if text.trim().is_empty() {
            return Err("the question is empty".into());
        }
        Ok(Self { text, ..Self::without_text(row, columns, line_number)? })
    }

    /// All but the question's text, which stays empty for the caller to fill.
    pub(crate) fn without_text(row: &Row, columns: &ColumnMap, line_number: usize) -> Result<Self, String> {
        let id = columns.scalar(row, Column::Id)?.unwrap_or_else(|| format!("line-{line_number}"));
        let listed = columns.nested(row, Column::Choices)?;
        let option_number = option_number(listed.as_deref(), columns.get(row, Column::Target)?);
        let choices = listed.as_deref().map(value::choices).transpose();
        let choices = choices.map_err(|reason| format!("the choices column: {reason}"))?;
        let target = columns.scalar(row, Column::Target)?.map(|target| after_marks(&target).to_string());
        let options = choices.iter().flat_map(|choices| choices.labels().iter().chain(choices.texts()));
        let answers =
            options.map(|option| ("an option", option)).chain(target.iter().map(|t| ("a target", t)));
        if let Some((what, answer)) = answers.into_iter().find(|(_, answer)| answer.len() > MOST_ANSWER_BYTES)
        {
            return Err(format!("{what} of {} bytes, more than {MOST_ANSWER_BYTES}", answer.len()));
        }
        Ok(Self { id, text: String::new(), choices, target, option_number })
    }

    pub(crate) fn question(
        self,
        task: &str,
        kind: FormatKind,
        style: NumberStyle,
    ) -> Result<Question, String> {
        let format = kind.format_in(style);
        if kind == FormatKind::Choice && self.choices.is_none() {
            return Err("the answer format is choice, but the question lists no choices".into());
        }
        let target = match (kind, self.option_number, &self.choices) {
            (FormatKind::Choice, Some(number), Some(choices)) => Some(index::target(number, choices)),
            _ => self.target.map(|target| match format.canonical(&target, self.choices.as_ref()) {
                Answer::Invalid => Err(format!("the target {target:?} cannot be read as {}", kind.name())),
                answer => Ok(answer),
            }),
        };
        Ok(Question {
            task: task.to_string(),
            id: self.id,
            text: self.text.trim().to_string(),
            choices: self.choices,
            target: target.transpose()?,
            rationale: None,
        })
    }
}

/// The final answer of a worked solution that ends in `#### 18`; any other text as it is.
pub(crate) fn after_marks(target: &str) -> &str {
    target.rsplit_once("####").map_or(target, |(_, last)| last).trim()
}
