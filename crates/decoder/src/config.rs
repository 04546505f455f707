//! Typed access to `config.json`.
//!
//! Keys are read under their own names, so that every error names the key. Both generations of files are read: the older with
//! `rope_theta` and `rope_scaling` at the top, and the one with `rope_parameters` and `layer_types`. A null value counts as absent, as
//! in transformers.

use crate::error::Error;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// A configuration, or a part of one.
#[derive(Debug, Clone)]
pub struct Config {
    path: PathBuf,
    prefix: String,
    map: Map<String, Value>,
}

impl Config {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = entrace_text::ordinary::read_text(path)
            .map_err(|source| Error::Io { path: path.to_path_buf(), source })?;
        let value: Value = serde_json::from_str(&text)
            .map_err(|e| Error::Malformed { path: path.to_path_buf(), problem: e.to_string() })?;
        Self::from_value(path, value)
    }

    /// Takes a value that stands for the file at `path`.
    pub fn from_value(path: &Path, value: Value) -> Result<Self, Error> {
        match value {
            Value::Object(map) => Ok(Self { path: path.to_path_buf(), prefix: String::new(), map }),
            _ => Err(Error::Malformed { path: path.to_path_buf(), problem: "not a JSON object".into() }),
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// An error about one key.
    pub fn refuse(&self, key: &str, problem: impl Into<String>) -> Error {
        Error::Config {
            path: self.path.clone(),
            key: format!("{}{key}", self.prefix),
            problem: problem.into(),
        }
    }

    /// The value of a key unless it is absent or null.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.map.get(key).filter(|v| !v.is_null())
    }

    fn typed<'a, T>(
        &'a self,
        key: &str,
        wanted: &str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        match self.get(key) {
            None => Ok(None),
            Some(value) => match read(value) {
                Some(typed) => Ok(Some(typed)),
                None => Err(self.refuse(key, format!("expected {wanted}, found {value}"))),
            },
        }
    }

    fn needed<T>(&self, key: &str, value: Option<T>) -> Result<T, Error> {
        value.ok_or_else(|| self.refuse(key, "missing"))
    }

    /// A count, if present.
    pub fn opt_usize(&self, key: &str) -> Result<Option<usize>, Error> {
        self.typed(key, "a whole number", |v| {
            let float =
                || v.as_f64().filter(|f| f.fract() == 0.0 && (0.0..9e15).contains(f)).map(|f| f as u64);
            v.as_u64().or_else(float).and_then(|n| usize::try_from(n).ok())
        })
    }

    /// A count.
    pub fn usize(&self, key: &str) -> Result<usize, Error> {
        self.needed(key, self.opt_usize(key)?)
    }

    /// A positive count.
    pub fn positive(&self, key: &str) -> Result<usize, Error> {
        match self.usize(key)? {
            0 => Err(self.refuse(key, "must be positive")),
            n => Ok(n),
        }
    }

    /// A number, if present.
    pub fn opt_f64(&self, key: &str) -> Result<Option<f64>, Error> {
        self.typed(key, "a number", Value::as_f64)
    }

    /// A number.
    pub fn f64(&self, key: &str) -> Result<f64, Error> {
        self.needed(key, self.opt_f64(key)?)
    }

    /// A number above 0, if present.
    pub fn opt_positive_f64(&self, key: &str) -> Result<Option<f64>, Error> {
        self.typed(key, "a positive number", |v| v.as_f64().filter(|&number| number > 0.0))
    }

    /// A number above 0.
    pub fn positive_f64(&self, key: &str) -> Result<f64, Error> {
        self.needed(key, self.opt_positive_f64(key)?)
    }

    /// A switch with its default.
    pub fn bool_or(&self, key: &str, default: bool) -> Result<bool, Error> {
        Ok(self.typed(key, "true or false", Value::as_bool)?.unwrap_or(default))
    }

    /// A word, if present.
    pub fn opt_str(&self, key: &str) -> Result<Option<&str>, Error> {
        self.typed(key, "a string", Value::as_str)
    }

    /// A list of numbers, if present.
    pub fn opt_floats(&self, key: &str) -> Result<Option<Vec<f64>>, Error> {
        self.typed(key, "a list of numbers", |v| v.as_array()?.iter().map(Value::as_f64).collect())
    }

    /// A list of words, if present.
    pub fn opt_strings(&self, key: &str) -> Result<Option<Vec<String>>, Error> {
        self.typed(key, "a list of strings", |v| {
            v.as_array()?.iter().map(|s| s.as_str().map(str::to_string)).collect()
        })
    }

    /// A part, if present.
    pub fn opt_part(&self, key: &str) -> Result<Option<Self>, Error> {
        let map = self.typed(key, "an object", Value::as_object)?;
        Ok(map.map(|map| Self {
            path: self.path.clone(),
            prefix: format!("{}{key}.", self.prefix),
            map: map.clone(),
        }))
    }

    /// Refuses a switch that is on, because what it asks for is not supported.
    pub fn refuse_if_on(&self, key: &str) -> Result<(), Error> {
        if self.bool_or(key, false)? { Err(self.refuse(key, "true is not supported")) } else { Ok(()) }
    }

    /// Refuses a key that is present at all.
    pub fn refuse_if_present(&self, key: &str) -> Result<(), Error> {
        match self.get(key) {
            Some(value) => Err(self.refuse(key, format!("not supported (found {value})"))),
            None => Ok(()),
        }
    }
}
