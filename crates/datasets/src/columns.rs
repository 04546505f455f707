//! Which columns of a user's file hold what.
//!
//! A mapping is written `question=problem,target=choices.0.message.content`: the name here, then the name in the file; a point
//! leads into a nested object, or with a number from 0 into a list, where no column is called so as a whole. What is not mapped
//! is looked for under its usual names, and then it may be missing.
//!
//! A column of which no cell can be read ends the reading with its name, so that it is not taken for a column that is not there.

use std::borrow::Cow;
use std::path::Path;

use crate::error::Error;
use crate::rows::{Line, json};
use crate::value::{self, Row, Value};

/// What a column may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// The question's text.
    Question,
    /// The true answer.
    Target,
    /// The options.
    Choices,
    /// The identity.
    Id,
    /// The prompt that a trace follows.
    Prompt,
    /// The trace.
    Trace,
    /// A conversation that ends with the trace.
    Messages,
    /// The trace in steps.
    Steps,
    /// Whether the trace's answer was judged correct.
    Correct,
    /// Which of several traces of one question it is.
    Sample,
}

impl Column {
    const ALL: [Self; 10] = [
        Self::Question,
        Self::Target,
        Self::Choices,
        Self::Id,
        Self::Prompt,
        Self::Trace,
        Self::Messages,
        Self::Steps,
        Self::Correct,
        Self::Sample,
    ];

    /// What questions are read from.
    pub(crate) const OF_QUESTIONS: [Self; 4] = [Self::Question, Self::Target, Self::Choices, Self::Id];
    /// What traces are read from.
    pub(crate) const OF_TRACES: [Self; 10] = Self::ALL;

    /// Usual names in files; the first is the name in a mapping.
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Question => &["question"],
            Self::Target => &["target", "answer"],
            Self::Choices => &["choices", "options"],
            Self::Id => &["id", "question_id"],
            Self::Prompt => &["prompt"],
            Self::Trace => &["trace", "completion"],
            Self::Messages => &["messages"],
            Self::Steps => &["steps"],
            Self::Correct => &["correct"],
            Self::Sample => &["sample"],
        }
    }

    fn name(self) -> &'static str {
        self.names()[0]
    }
}

/// A column mapping.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ColumnMap {
    mapped: Vec<(Column, String)>,
}

impl ColumnMap {
    /// Reads `question=COLUMN,target=COLUMN`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let wrong = |reason: String| Error::ColumnMap { text: text.to_string(), reason };
        let mut mapped: Vec<(Column, String)> = Vec::new();
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (name, path) = pair.split_once('=').ok_or_else(|| wrong(format!("{pair:?} has no =")))?;
            let column =
                Column::ALL.into_iter().find(|column| column.name() == name.trim()).ok_or_else(|| {
                    let known: Vec<&str> = Column::ALL.into_iter().map(Column::name).collect();
                    wrong(format!("{:?} is none of {}", name.trim(), known.join(", ")))
                })?;
            if path.trim().is_empty() || mapped.iter().any(|(known, _)| *known == column) {
                return Err(wrong(format!("{} needs one column", column.name())));
            }
            mapped.push((column, path.trim().to_string()));
        }
        Ok(Self { mapped })
    }

    /// The value of a column, null as absent. A column that was mapped must be there; one that was not may be missing.
    pub(crate) fn get<'a>(&self, row: &'a Row, column: Column) -> Result<Option<&'a Value>, String> {
        let Some((name, found)) = self.find(row, column) else { return Ok(None) };
        match found.filter(|value| !value.is_null()) {
            Some(Value::Unreadable(reason)) => {
                Err(format!("the {} column {name:?} holds {reason}", column.name()))
            }
            Some(value) => Ok(Some(value)),
            None if self.path(column).is_some() => {
                Err(format!("the {} column {name:?} is missing{}", column.name(), there_is(row)))
            }
            None => Ok(None),
        }
    }

    /// As `get`, with lists and objects that a cell of text holds as JSON, as in CSV.
    pub(crate) fn nested<'a>(&self, row: &'a Row, column: Column) -> Result<Option<Cow<'a, Value>>, String> {
        let Some(value) = self.get(row, column)? else { return Ok(None) };
        match value.as_text() {
            Some(text) if text.trim_start().starts_with(['[', '{']) => {
                let parsed = json::parse(text.as_bytes(), usize::MAX);
                let parsed =
                    parsed.map_err(|error| format!("the {} column is not JSON: {error}", column.name()));
                parsed.map(|value| Some(Cow::Owned(value)))
            }
            _ => Ok(Some(Cow::Borrowed(value))),
        }
    }

    /// A conversation in a column that may also hold text: a list, or a text that is JSON of messages.
    pub(crate) fn conversation<'a>(
        &self,
        row: &'a Row,
        column: Column,
    ) -> Result<Option<Cow<'a, Value>>, String> {
        let is_message = |item: &Value| item.as_object().is_some_and(|message| message.get("role").is_some());
        let is_conversation =
            |value: &Value| value.as_list().is_some_and(|items| items.iter().all(is_message));
        Ok(match self.get(row, column)? {
            Some(list @ Value::List(_)) => Some(Cow::Borrowed(list)),
            Some(Value::Text(text)) if text.trim_start().starts_with('[') => {
                let parsed = json::parse(text.as_bytes(), usize::MAX).ok();
                parsed.filter(is_conversation).map(Cow::Owned)
            }
            _ => None,
        })
    }

    /// As `get`, for a column that has to hold text or a number.
    pub(crate) fn scalar(&self, row: &Row, column: Column) -> Result<Option<String>, String> {
        let text = self.get(row, column)?.map(value::scalar).transpose();
        text.map_err(|reason| format!("the {} column: {reason}", column.name()))
    }

    /// As `scalar`, for a column that must be there.
    pub(crate) fn required(&self, row: &Row, column: Column) -> Result<String, String> {
        self.scalar(row, column)?.ok_or_else(|| self.missing(row, &[column]))
    }

    /// Says that none of the columns is there.
    pub(crate) fn missing(&self, row: &Row, columns: &[Column]) -> String {
        let names: Vec<&str> = columns.iter().flat_map(|column| column.names().iter().copied()).collect();
        let (names, first) = (names.join(" or "), columns[0].name());
        format!("there is no column {names}; name it with {first}=COLUMN{}", there_is(row))
    }

    /// The path that a column was mapped to.
    pub(crate) fn path(&self, column: Column) -> Option<&str> {
        self.mapped.iter().find(|(known, _)| *known == column).map(|(_, path)| path.as_str())
    }

    /// An error if one of the columns holds something in some rows, and in none of them anything that can be read.
    pub(crate) fn check(&self, path: &Path, lines: &[Line], columns: &[Column]) -> Result<(), Error> {
        for &column in columns {
            let mut unreadable = None;
            for row in lines.iter().filter_map(|line| line.row.as_ref().ok()) {
                match self.find(row, column) {
                    Some((name, Some(Value::Unreadable(reason)))) => unreadable = Some((name, reason)),
                    None | Some((_, None | Some(Value::Null))) => {}
                    Some(_) => {
                        unreadable = None;
                        break;
                    }
                }
            }
            if let Some((name, reason)) = unreadable {
                return Err(Error::Column {
                    path: path.to_path_buf(),
                    role: column.name(),
                    column: name.to_string(),
                    reason: reason.to_string(),
                });
            }
        }
        Ok(())
    }

    /// A column's name in the file with its value; of a column that was not mapped, the first usual name that is there.
    fn find<'a, 's>(&'s self, row: &'a Row, column: Column) -> Option<(&'s str, Option<&'a Value>)> {
        match self.path(column) {
            Some(path) => Some((path, row.at(path))),
            None => column.names().iter().find_map(|name| Some((*name, Some(row.get(name)?)))),
        }
    }
}

/// Whether a column of this name is found without being mapped.
pub(crate) fn is_usual_name(name: &str) -> bool {
    Column::ALL.into_iter().any(|column| column.names().contains(&name))
}

/// The names of a row's columns, for the end of a message.
pub(crate) fn there_is(row: &Row) -> String {
    const MOST: usize = 12;
    let names: Vec<&str> = row.names().collect();
    match names.len() {
        0 => "; the row is empty".to_string(),
        n if n > MOST => format!("; there are {} and {} more", names[..MOST].join(", "), n - MOST),
        _ => format!("; there are {}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_are_read_or_refused() {
        let map = ColumnMap::parse("question=problem, target=doc.gold").unwrap();
        let row = |text: &str| json::parse(text.as_bytes(), usize::MAX).unwrap().as_object().unwrap().clone();
        let good = row(r#"{"problem": "p", "doc": {"gold": 7}, "id": 3, "prompt": null}"#);
        assert_eq!(map.required(&good, Column::Question).unwrap(), "p");
        assert_eq!(map.scalar(&good, Column::Target).unwrap(), Some("7".into()));
        assert_eq!(map.scalar(&good, Column::Id).unwrap(), Some("3".into()));
        assert_eq!(map.get(&good, Column::Prompt), Ok(None));
        assert!(map.required(&good, Column::Trace).is_err());
        assert_eq!(
            map.scalar(&row(r#"{"doc": {}}"#), Column::Target).unwrap_err(),
            "the target column \"doc.gold\" is missing; there are doc"
        );
        assert_eq!(
            map.scalar(&row(r#"{"doc": {"gold": NaN}}"#), Column::Target).unwrap_err(),
            "the target column \"doc.gold\" holds NaN"
        );
        for text in ["question", "questions=x", "question=", "question=a,question=b"] {
            assert!(ColumnMap::parse(text).is_err(), "{text}");
        }
        assert_eq!(ColumnMap::parse("").unwrap(), ColumnMap::default());
    }
}
