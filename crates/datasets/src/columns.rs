//! Which columns of a user's file hold what.
//!
//! A mapping is written `question=problem,target=doc.answer`: the name here, then the name in the file; a point leads into a
//! nested object where no column is called so as a whole. What is not mapped is looked for under its usual names, and then it
//! may be missing.

use serde_json::Value;

use crate::error::Error;
use crate::rows::Row;

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
    /// The trace in steps.
    Steps,
    /// Whether the trace's answer was judged correct.
    Correct,
    /// Which of several traces of one question it is.
    Sample,
}

impl Column {
    const ALL: [Self; 9] = [
        Self::Question,
        Self::Target,
        Self::Choices,
        Self::Id,
        Self::Prompt,
        Self::Trace,
        Self::Steps,
        Self::Correct,
        Self::Sample,
    ];

    /// Usual names in files; the first is the name in a mapping.
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Question => &["question"],
            Self::Target => &["target", "answer"],
            Self::Choices => &["choices", "options"],
            Self::Id => &["id"],
            Self::Prompt => &["prompt"],
            Self::Trace => &["trace", "completion"],
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
        let present = |value: &&Value| !value.is_null();
        match self.mapped.iter().find(|(known, _)| *known == column) {
            Some((_, path)) => match lookup(row, path).filter(present) {
                Some(value) => Ok(Some(value)),
                None => Err(format!("the {} column {path:?} is missing", column.name())),
            },
            None => Ok(column.names().iter().find_map(|name| row.get(*name)).filter(present)),
        }
    }

    /// As `get`, for a column that has to hold text or a number.
    pub(crate) fn scalar(&self, row: &Row, column: Column) -> Result<Option<String>, String> {
        let value = self.get(row, column)?;
        let text = value.map(crate::rows::scalar).transpose();
        text.map_err(|reason| format!("the {} column: {reason}", column.name()))
    }

    /// As `scalar`, for a column that must be there.
    pub(crate) fn required(&self, row: &Row, column: Column) -> Result<String, String> {
        self.scalar(row, column)?.ok_or_else(|| {
            format!(
                "there is no column {}; name it with {}=COLUMN",
                column.names().join(" or "),
                column.name()
            )
        })
    }
}

fn lookup<'a>(row: &'a Row, path: &str) -> Option<&'a Value> {
    row.get(path).or_else(|| {
        let (outer, inner) = path.split_once('.')?;
        lookup(row.get(outer)?.as_object()?, inner)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn mappings_are_read_or_refused() {
        let map = ColumnMap::parse("question=problem, target=doc.gold").unwrap();
        let row = json!({"problem": "p", "doc": {"gold": 7}, "id": 3, "prompt": null});
        let row = row.as_object().unwrap();
        assert_eq!(map.required(row, Column::Question).unwrap(), "p");
        assert_eq!(map.scalar(row, Column::Target).unwrap(), Some("7".into()));
        assert_eq!(map.scalar(row, Column::Id).unwrap(), Some("3".into()));
        assert_eq!(map.get(row, Column::Prompt), Ok(None));
        assert!(map.required(row, Column::Trace).is_err());
        assert!(map.scalar(json!({"doc": {}}).as_object().unwrap(), Column::Target).is_err());
        for text in ["question", "questions=x", "question=", "question=a,question=b"] {
            assert!(ColumnMap::parse(text).is_err(), "{text}");
        }
        assert_eq!(ColumnMap::parse("").unwrap(), ColumnMap::default());
    }
}
