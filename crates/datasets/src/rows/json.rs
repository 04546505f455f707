//! JSON as programs write it.
//!
//! RFC 8259, with the words NaN, Infinity and -Infinity that Python's `json` writes. They are unreadable values rather than
//! errors, as are texts with half a surrogate pair: where nobody asks for the cell they do no harm. Numbers keep their digits,
//! which is why serde_json's own value, with its 64 bits, is not used. Objects and lists are nested at most 128 deep.

use std::fmt;

use serde::Deserialize;

use super::text_value;
use crate::value::{Row, Value};

const MAX_DEPTH: usize = 128;

/// Where a text stops being JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotJson {
    problem: String,
    /// Line and column, counted from 1; columns are bytes.
    line: usize,
    column: usize,
}

impl fmt::Display for NotJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at ", self.problem)?;
        if self.line > 1 {
            write!(f, "line {}, ", self.line)?;
        }
        write!(f, "column {}", self.column)
    }
}

/// The text as one value; strings of more than `max_cell_bytes` are unreadable.
pub(crate) fn parse(text: &[u8], max_cell_bytes: usize) -> Result<Value, NotJson> {
    let (value, rest) = parse_first(text, max_cell_bytes)?;
    match rest.is_empty() {
        true => Ok(value),
        false => Err(Parser { text, at: text.len() - rest.len(), depth: 0, max_cell_bytes }
            .fault("something follows the value")),
    }
}

/// The value at the beginning of the text, and what follows it; white space around it belongs to it.
pub(crate) fn parse_first(text: &[u8], max_cell_bytes: usize) -> Result<(Value, &[u8]), NotJson> {
    let mut parser = Parser { text, at: 0, depth: 0, max_cell_bytes };
    let value = parser.value()?;
    parser.skip_space();
    Ok((value, &text[parser.at..]))
}

/// Whether the text is a number in JSON's grammar.
pub(crate) fn is_number(text: &str) -> bool {
    let mut parser = Parser { text: text.as_bytes(), at: 0, depth: 0, max_cell_bytes: 0 };
    parser.number().is_ok() && parser.at == text.len()
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    depth: usize,
    max_cell_bytes: usize,
}

impl<'a> Parser<'a> {
    fn value(&mut self) -> Result<Value, NotJson> {
        self.skip_space();
        for (word, value) in [
            ("null", Value::Null),
            ("true", Value::Bool(true)),
            ("false", Value::Bool(false)),
            ("NaN", Value::unreadable("NaN")),
            ("Infinity", Value::unreadable("Infinity")),
            ("-Infinity", Value::unreadable("-Infinity")),
        ] {
            if self.text[self.at..].starts_with(word.as_bytes()) {
                self.at += word.len();
                return Ok(value);
            }
        }
        match self.peek() {
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::list),
            Some(b'"') => {
                let max = self.max_cell_bytes;
                self.string().map(|text| text.map_or_else(Value::unreadable, |text| text_value(text, max)))
            }
            Some(b'-' | b'0'..=b'9') => self.number().map(|digits| Value::Number(digits.to_string())),
            _ => Err(self.fault("expected a value")),
        }
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Value, NotJson>) -> Result<Value, NotJson> {
        if self.depth == MAX_DEPTH {
            return Err(self.fault("objects and lists are nested too deep"));
        }
        self.depth += 1;
        self.at += 1;
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    /// An object after its bracket.
    fn object(&mut self) -> Result<Value, NotJson> {
        let mut pairs = Vec::new();
        if self.takes(b'}') {
            return Ok(Value::Object(Row::default()));
        }
        loop {
            self.skip_space();
            let name = match self.peek() {
                Some(b'"') => self.string()?.map_err(|reason| self.fault(reason))?,
                _ => return Err(self.fault("expected a name in quotes")),
            };
            if !self.takes(b':') {
                return Err(self.fault("expected a colon"));
            }
            pairs.push((name, self.value()?));
            match () {
                () if self.takes(b',') => {}
                () if self.takes(b'}') => return Ok(Value::Object(pairs.into_iter().collect())),
                () => return Err(self.fault("expected a comma or }")),
            }
        }
    }

    /// A list after its bracket.
    fn list(&mut self) -> Result<Value, NotJson> {
        let mut items = Vec::new();
        if self.takes(b']') {
            return Ok(Value::List(items));
        }
        loop {
            items.push(self.value()?);
            match () {
                () if self.takes(b',') => {}
                () if self.takes(b']') => return Ok(Value::List(items)),
                () => return Err(self.fault("expected a comma or ]")),
            }
        }
    }

    /// A string at its opening quote, or why its content is no text.
    fn string(&mut self) -> Result<Result<String, &'static str>, NotJson> {
        let start = self.at;
        let mut has_escapes = false;
        loop {
            self.at += 1;
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    has_escapes = true;
                    self.at += 1;
                }
                Some(0..0x20) => return Err(self.fault("a control character in a string")),
                Some(_) => {}
                None => {
                    self.at = self.text.len();
                    return Err(self.fault("a string is not closed"));
                }
            }
        }
        self.at += 1;
        let quoted = &self.text[start..self.at];
        let bytes = match has_escapes.then(|| serde_json::from_slice::<Unescaped>(quoted)) {
            None => quoted[1..quoted.len() - 1].to_vec(),
            Some(Ok(Unescaped(bytes))) => bytes,
            Some(Err(_)) => {
                self.at = start;
                return Err(self.fault("a string with an unknown escape"));
            }
        };
        Ok(String::from_utf8(bytes).map_err(|_| "text that is not valid Unicode"))
    }

    fn number(&mut self) -> Result<&'a str, NotJson> {
        let start = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        let whole = self.digits();
        let is_padded = self.text[self.at - whole..].starts_with(b"0") && whole > 1;
        let mut is_number = whole > 0 && !is_padded;
        if self.peek() == Some(b'.') {
            self.at += 1;
            is_number &= self.digits() > 0;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            is_number &= self.digits() > 0;
        }
        let digits = str::from_utf8(&self.text[start..self.at]).ok().filter(|_| is_number);
        digits.ok_or_else(|| self.fault("expected a number"))
    }

    /// Passes over digits and counts them.
    fn digits(&mut self) -> usize {
        let n = self.text[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += n;
        n
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Whether this byte comes next, after white space; it is passed over.
    fn takes(&mut self, byte: u8) -> bool {
        self.skip_space();
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn fault(&self, problem: &str) -> NotJson {
        let before = &self.text[..self.at];
        let line_start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
        let problem = if before.len() == self.text.len() {
            format!("{problem}, found the end")
        } else {
            problem.into()
        };
        NotJson { problem, line, column: self.at - line_start + 1 }
    }
}

/// The bytes of a string without its escapes; half a surrogate pair gives bytes that are no UTF-8.
struct Unescaped(Vec<u8>);

impl<'de> Deserialize<'de> for Unescaped {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl serde::de::Visitor<'_> for Bytes {
            type Value = Unescaped;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Unescaped, E> {
                Ok(Unescaped(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &[u8]) -> Result<Value, NotJson> {
        super::parse(text, 99)
    }

    fn said(text: &str) -> String {
        parse(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn numbers_keep_their_digits() {
        for digits in ["0", "-0", "123456789012345678901234567890", "0.10", "1e400", "-1.5E-7", "152.0"] {
            assert_eq!(parse(digits.as_bytes()), Ok(Value::Number(digits.into())));
            assert!(is_number(digits));
        }
        for digits in ["", "-", "01", "1.", ".5", "1e", "+1", "1 ", "0x1"] {
            assert!(!is_number(digits), "{digits:?}");
            assert!(digits == "1 " || parse(digits.as_bytes()).is_err(), "{digits:?}");
        }
    }

    #[test]
    fn what_is_no_value_is_unreadable_and_the_rest_stays() {
        let row =
            parse(br#"{"a": NaN, "b": [-Infinity, Infinity], "c": "\ud83d", "d": "\ud83d\ude00\n", "a": 1}"#)
                .unwrap();
        assert_eq!(row.at("a"), Some(&Value::Number("1".into())));
        assert_eq!(row.at("b.0"), Some(&Value::unreadable("-Infinity")));
        assert_eq!(row.at("c"), Some(&Value::unreadable("text that is not valid Unicode")));
        assert_eq!(row.at("d"), Some(&Value::Text("\u{1f600}\n".into())));
        assert_eq!(
            super::parse(br#"["123", "1234"]"#, 3).unwrap().at("1"),
            Some(&Value::unreadable("a text of 4 bytes, more than the 3 that a cell may have"))
        );
        assert_eq!(parse(b"\"\xff\""), Ok(Value::unreadable("text that is not valid Unicode")));
    }

    #[test]
    fn faults_are_named_with_their_place() {
        assert_eq!(said(r#"{"a": 1,}"#), "expected a name in quotes at column 9");
        assert_eq!(said("[1,\n 2"), "expected a comma or ], found the end at line 2, column 3");
        assert_eq!(said(r#"{"a" 1}"#), "expected a colon at column 6");
        assert_eq!(said("\"a"), "a string is not closed, found the end at column 3");
        assert_eq!(said("\"\\"), "a string is not closed, found the end at column 3");
        assert_eq!(said("1 2"), "something follows the value at column 3");
        assert_eq!(said("nul"), "expected a value at column 1");
        assert_eq!(said("\"\\q\""), "a string with an unknown escape at column 1");
        assert_eq!(said("\"a\tb\""), "a control character in a string at column 3");
        assert!(said(&"[".repeat(200_000)).starts_with("objects and lists are nested too deep"));
    }

    proptest! {
        #[test]
        fn what_serde_reads_is_read_alike(text in "[\\[\\]{}\",:0-9.eE+\\-a-z\\\\ ]{0,24}") {
            let ours = parse(text.as_bytes());
            if let Ok(theirs) = serde_json::from_str::<serde_json::Value>(&text) {
                prop_assert!(is_same(&ours.unwrap(), &theirs), "{text}");
            } else if let Ok(ours) = ours {
                // Numbers beyond a double are numbers here.
                prop_assert!(text.contains(['e', 'E']), "{text}: {ours:?}");
            }
        }
    }

    fn is_same(ours: &Value, theirs: &serde_json::Value) -> bool {
        match (ours, theirs) {
            (Value::Null, serde_json::Value::Null) => true,
            (Value::Bool(a), serde_json::Value::Bool(b)) => a == b,
            (Value::Number(a), serde_json::Value::Number(b)) => a.parse::<f64>().ok() == b.as_f64(),
            (Value::Text(a), serde_json::Value::String(b)) => a == b,
            (Value::List(a), serde_json::Value::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b))
            }
            (Value::Object(a), serde_json::Value::Object(b)) => {
                b.iter().all(|(name, b)| a.get(name).is_some_and(|a| is_same(a, b)))
            }
            _ => false,
        }
    }
}
