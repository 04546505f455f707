//! Questions from a user's own file: JSON Lines, a JSON array or Parquet, with any column names.
//!
//! A row needs a question; target, choices and id are optional unless they are mapped. Without an id a question is named by its
//! line, `line-17`. Where a target is a worked solution that ends in `#### 18`, only what follows the marks is the target. A
//! target that is a JSON number names one of the listed options by its index from 0 or by its text (`choice::index`).
//!
//! The answer format is given or inferred from all rows: choices on every row make it `choice`, targets that are all numbers
//! `number`, anything else `text`.

use std::collections::HashSet;
use std::path::Path;

use entrace_measure::{Answer, AnswerFormat, Choices, Question};
use serde_json::Value;

use crate::choice::index;
use crate::columns::{Column, ColumnMap};
use crate::error::Error;
use crate::format::FormatKind;
use crate::loaded::{BadLine, BadLines, Loaded};
use crate::rows::{self, Line, Row};

/// Questions of a user's file.
#[derive(Debug, Clone, PartialEq)]
pub struct Custom {
    /// The questions.
    pub loaded: Loaded,
    /// The answer format, given or inferred.
    pub answer_format: FormatKind,
    /// What the user should know of an inferred format.
    pub note: Option<String>,
}

/// How a user's file is to be read.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Column names.
    pub columns: ColumnMap,
    /// The answer format; inferred if absent.
    pub answer_format: Option<FormatKind>,
    /// What becomes of bad lines.
    pub bad_lines: BadLines,
}

/// Reads the questions of the file; `task` is the name they are recorded under.
pub fn load(path: &Path, task: &str, options: &Options) -> Result<Custom, Error> {
    let read = rows::load(&[path.to_path_buf()])?;
    let (stated, mut bad_lines) = stated_rows(&read.lines, options.bad_lines, |line, row| {
        Stated::read(row, &options.columns, line.number)
    })?;
    let (kind, note) = format_of(options, stated.iter().map(|(line, stated)| (*line, stated)));
    let format = kind.format();
    let mut questions: Vec<Question> = Vec::new();
    let mut seen = HashSet::new();
    for (line, stated) in stated {
        match stated.question(task, format.as_ref(), kind) {
            Ok(question) if !seen.insert(question.id.clone()) => {
                let reason = format!("the id {:?} appeared before", question.id);
                options.bad_lines.take(&mut bad_lines, line.bad(reason))?;
            }
            Ok(question) => questions.push(question),
            Err(reason) => options.bad_lines.take(&mut bad_lines, line.bad(reason))?,
        }
    }
    bad_lines.sort_by_key(|line| line.line_number);
    let loaded = Loaded { questions, bad_lines, source: read.source, hash: read.hash }.checked(path)?;
    Ok(Custom { loaded, answer_format: kind, note })
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

/// The format that was given, or that fits all rows; and a note where a few of the rows kept most of them from a narrower one.
pub(crate) fn format_of<'a>(
    options: &Options,
    rows: impl Iterator<Item = (&'a Line, &'a Stated)> + Clone,
) -> (FormatKind, Option<String>) {
    if let Some(kind) = options.answer_format {
        return (kind, None);
    }
    let kind = FormatKind::infer(rows.clone().map(|(_, s)| (s.choices.as_ref(), s.target.as_deref())));
    if kind != FormatKind::Text {
        return (kind, None);
    }
    let lists_choices = |stated: &Stated| Some(stated.choices.is_some());
    let has_number = |stated: &Stated| stated.target.as_deref().map(crate::number::is_number);
    let note = odd_one(rows.clone(), lists_choices, FormatKind::Choice, "lists no options")
        .or_else(|| odd_one(rows, has_number, FormatKind::Number, "has a target that is not a number"));
    (kind, note)
}

/// The first row that `fits` denies, where it accepts at least half of those that it knows about.
fn odd_one<'a>(
    rows: impl Iterator<Item = (&'a Line, &'a Stated)>,
    fits: impl Fn(&Stated) -> Option<bool>,
    kind: FormatKind,
    problem: &str,
) -> Option<String> {
    let judged: Vec<(&Line, bool)> = rows.filter_map(|(line, stated)| Some((line, fits(stated)?))).collect();
    let n_fitting = judged.iter().filter(|(_, fits)| *fits).count();
    let (line, _) = judged.iter().find(|(_, fits)| !fits)?;
    let (n, name) = (judged.len(), kind.name());
    (2 * n_fitting >= n && n_fitting > 0).then(|| {
        let place = line.bad(problem.to_string());
        format!(
            "answers are read as text, although {n_fitting} of {n} rows would be read as {name}; {place} \
             (--answer-format {name} leaves such rows out)"
        )
    })
}

/// A question as its row states it, before the format of its target is known.
#[derive(Debug, Clone)]
pub(crate) struct Stated {
    pub(crate) id: String,
    pub(crate) text: String,
    pub(crate) choices: Option<Choices>,
    pub(crate) target: Option<String>,
    /// The target as a JSON number beside options without labels of their own.
    pub(crate) option_number: Option<u64>,
}

/// The target as a number, if the options have no labels of their own among which it could be.
pub(crate) fn option_number(choices: Option<&Value>, target: Option<&Value>) -> Option<u64> {
    target?.as_u64().filter(|_| choices.is_some_and(rows::without_labels))
}

impl Stated {
    fn read(row: &Row, columns: &ColumnMap, line_number: usize) -> Result<Self, String> {
        let text = columns.required(row, Column::Question)?;
        if text.trim().is_empty() {
            return Err("the question is empty".into());
        }
        Ok(Self { text, ..Self::without_text(row, columns, line_number)? })
    }

    /// All but the question's text, which stays empty for the caller to fill.
    pub(crate) fn without_text(row: &Row, columns: &ColumnMap, line_number: usize) -> Result<Self, String> {
        let id = columns.scalar(row, Column::Id)?.unwrap_or_else(|| format!("line-{line_number}"));
        let listed = columns.get(row, Column::Choices)?;
        let option_number = option_number(listed, columns.get(row, Column::Target)?);
        let choices = listed.map(rows::choices).transpose()?;
        let target = columns.scalar(row, Column::Target)?.map(|target| after_marks(&target).to_string());
        Ok(Self { id, text: String::new(), choices, target, option_number })
    }

    pub(crate) fn question(
        self,
        task: &str,
        format: &dyn AnswerFormat,
        kind: FormatKind,
    ) -> Result<Question, String> {
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
