//! What a cell of a file holds.
//!
//! JSON Lines, Parquet and CSV become the same values. A number keeps its digits as they are written or, from a binary file, the
//! fewest that name it: nothing passes through floating point, so an integer of any size stays what it is. What the file holds
//! but no value can state, such as NaN or bytes that are no text, is `Unreadable` with the reason; it is never null.

use std::sync::Arc;

use entrace_measure::Choices;

/// A value of a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    /// In decimal digits, perhaps with a sign, a point and an exponent.
    Number(String),
    Text(String),
    List(Vec<Value>),
    Object(Row),
    /// Something that none of the others can state, and why.
    Unreadable(Arc<str>),
}

/// Named values in the order of the file. Of a name that comes twice, the last value counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Row(Vec<(String, Value)>);

impl Row {
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(name, _)| name)
    }

    pub(crate) fn into_values(self) -> impl Iterator<Item = (String, Value)> {
        self.0.into_iter()
    }
}

impl FromIterator<(String, Value)> for Row {
    fn from_iter<T: IntoIterator<Item = (String, Value)>>(pairs: T) -> Self {
        Self(pairs.into_iter().collect())
    }
}

impl Value {
    pub(crate) fn unreadable(reason: impl AsRef<str>) -> Self {
        Self::Unreadable(Arc::from(reason.as_ref()))
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn as_list(&self) -> Option<&[Value]> {
        match self {
            Self::List(items) => Some(items),
            _ => None,
        }
    }

    pub(crate) fn as_object(&self) -> Option<&Row> {
        match self {
            Self::Object(row) => Some(row),
            _ => None,
        }
    }

    /// A whole number from 0; `2.0`, as pandas writes whole numbers beside missing ones, is 2.
    pub(crate) fn as_index(&self) -> Option<u64> {
        let Self::Number(digits) = self else { return None };
        let whole = digits.split_once('.').map_or(digits.as_str(), |(whole, decimals)| {
            if decimals.bytes().all(|digit| digit == b'0') { whole } else { "" }
        });
        whole.parse().ok()
    }

    /// The value at a path such as `doc.answers.0`: names lead into objects, numbers from 0 into lists. A name may itself have
    /// points in it.
    pub(crate) fn at(&self, path: &str) -> Option<&Self> {
        match self {
            Self::Object(row) => row.at(path),
            Self::List(items) => {
                let (index, rest) =
                    path.split_once('.').map_or((path, None), |(index, rest)| (index, Some(rest)));
                let item = items.get(index.parse::<usize>().ok()?)?;
                rest.map_or(Some(item), |rest| item.at(rest))
            }
            _ => None,
        }
    }

    /// What it is, for a message.
    pub(crate) fn kind(&self) -> &str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "true or false",
            Self::Number(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
            Self::Unreadable(reason) => reason,
        }
    }
}

impl Row {
    /// As `Value::at`.
    pub(crate) fn at(&self, path: &str) -> Option<&Value> {
        let nested = |(at, _): (usize, &str)| self.get(&path[..at])?.at(&path[at + 1..]);
        self.get(path).or_else(|| path.match_indices('.').find_map(nested))
    }
}

/// The text in a column.
pub(crate) fn text<'a>(row: &'a Row, column: &str) -> Result<&'a str, String> {
    match row.get(column) {
        Some(Value::Text(text)) => Ok(text),
        Some(other) => Err(format!("column {column:?} holds {}, expected text", other.kind())),
        None => Err(format!("column {column:?} is missing")),
    }
}

/// A text or a number, as text.
pub(crate) fn scalar(value: &Value) -> Result<String, String> {
    match value {
        Value::Text(text) | Value::Number(text) => Ok(text.clone()),
        other => Err(format!("expected text or a number, found {}", other.kind())),
    }
}

/// The text or number in a column, as text.
pub(crate) fn scalar_in(row: &Row, column: &str) -> Result<String, String> {
    let value = row.get(column).ok_or_else(|| format!("column {column:?} is missing"))?;
    scalar(value).map_err(|reason| format!("column {column:?}: {reason}"))
}

/// Choices in any of the shapes in use: a list of texts, a list of `{label, text}` or `{key, value}`, parallel lists
/// `{label(s), text(s)}`, or texts by label, `{"A": .., "B": ..}`. A list of texts is labelled A, B, C.
pub(crate) fn choices(value: &Value) -> Result<Choices, String> {
    let (labels, texts) = match value {
        Value::List(items) if !without_labels(value) => {
            let column = |names: [&str; 2]| {
                items.iter().filter_map(Value::as_object).map(|item| part(item, names)).collect()
            };
            (column(["label", "key"]), column(["text", "value"]))
        }
        Value::List(items) => {
            let labels = ('A'..='Z').map(String::from).take(items.len()).collect();
            (Ok(labels), items.iter().map(scalar).collect())
        }
        Value::Object(columns) if columns.iter().any(|(_, value)| value.as_list().is_some()) => {
            (parallel(columns, ["label", "labels"]), parallel(columns, ["text", "texts"]))
        }
        Value::Object(texts) => {
            let given: Vec<(&str, &Value)> = texts.iter().filter(|(_, text)| !text.is_null()).collect();
            (
                Ok(given.iter().map(|(label, _)| label.to_string()).collect()),
                given.iter().map(|(_, text)| scalar(text)).collect(),
            )
        }
        other => return Err(format!("expected choices, found {}", other.kind())),
    };
    Choices::new(labels?, texts?).map_err(|error| error.to_string())
}

/// Whether choices are a list of texts, so that their labels are ours.
pub(crate) fn without_labels(choices: &Value) -> bool {
    choices.as_list().is_some_and(|items| !items.iter().all(|item| item.as_object().is_some()))
}

/// What an option of a list states under one of two names.
fn part(option: &Row, names: [&str; 2]) -> Result<String, String> {
    let name = names.into_iter().find(|name| option.get(name).is_some()).unwrap_or(names[0]);
    scalar_in(option, name)
}

fn parallel(columns: &Row, names: [&str; 2]) -> Result<Vec<String>, String> {
    let found = names.iter().find_map(|name| columns.get(name));
    let list = found.and_then(Value::as_list).ok_or_else(|| format!("choices lack a list {:?}", names[0]))?;
    list.iter().map(scalar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::json::parse;

    fn value(text: &str) -> Value {
        parse(text.as_bytes(), usize::MAX).unwrap()
    }

    #[test]
    fn choices_have_six_shapes() {
        let expected = Choices::new(vec!["A".into(), "B".into()], vec!["x".into(), "2".into()]).unwrap();
        for text in [
            r#"["x", 2]"#,
            r#"[{"text": "x", "label": "A"}, {"text": "2", "label": "B"}]"#,
            r#"[{"key": "A", "value": "x"}, {"key": "B", "value": 2}]"#,
            r#"{"text": ["x", "2"], "label": ["A", "B"]}"#,
            r#"{"texts": ["x", "2"], "labels": ["A", "B"]}"#,
            r#"{"A": "x", "B": "2", "C": null}"#,
        ] {
            assert_eq!(choices(&value(text)), Ok(expected.clone()), "{text}");
        }
        for text in [
            r#""x""#,
            r#"["x"]"#,
            r#"{"text": ["x", "y"]}"#,
            r#"[["x"], "y"]"#,
            "null",
            r#"{"A": NaN, "B": "x"}"#,
        ] {
            assert!(choices(&value(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn paths_lead_through_objects_and_lists() {
        let row = value(r#"{"a": [{"b.c": 1}, {"d": [2, 3]}], "a.0": "whole"}"#);
        assert_eq!(row.at("a.0"), Some(&Value::Text("whole".into())));
        assert_eq!(row.at("a.0.b.c"), Some(&Value::Number("1".into())));
        assert_eq!(row.at("a.1.d.1"), Some(&Value::Number("3".into())));
        for path in ["a.2", "a.1.d.x", "a.1.d.-1", "a..d", "", "a.1.d.0.0"] {
            assert_eq!(row.at(path), None, "{path}");
        }
    }

    #[test]
    fn indices_are_whole_numbers() {
        for (digits, index) in
            [("3", Some(3)), ("3.0", Some(3)), ("3.5", None), ("-1", None), ("99999999999999999999", None)]
        {
            assert_eq!(Value::Number(digits.into()).as_index(), index, "{digits}");
        }
    }
}
