//! Failures as the exceptions of `entrace._errors`.
//!
//! An exception of an engine written in Python is kept where it happens and becomes the cause of what it makes fail.

use entrace_cli::embed::{Failure, Origin};
use entrace_study::{Error, Kind};
use pyo3::exceptions::PyBaseException;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::sync::{Mutex, PoisonError};

/// The latest exception of an engine written in Python.
static RAISED: Mutex<Option<PyErr>> = Mutex::new(None);

/// Keeps the exception of an engine, and says it.
pub(crate) fn raised(py: Python<'_>, error: PyErr) -> String {
    let said = error.to_string();
    *RAISED.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.clone_ref(py));
    said
}

/// The exception of a failure. Flags in its words are named as keyword arguments.
pub(crate) fn exception(py: Python<'_>, failure: &Failure) -> PyErr {
    let class = match failure.origin {
        Origin::Usage => "UsageError",
        Origin::Model => "ModelError",
        Origin::Data => "DataError",
        Origin::Record => "RecordError",
        Origin::Hub => "HubError",
        Origin::Server => "ServerError",
        Origin::Interrupted => "Interrupted",
        Origin::Fault => "Error",
    };
    made(py, class, failure).unwrap_or_else(|error| error)
}

fn made(py: Python<'_>, class: &str, failure: &Failure) -> PyResult<PyErr> {
    let parts = PyDict::new(py);
    let kind = match failure.kind {
        Kind::SetUp => "set-up",
        Kind::Failure => "failure",
        Kind::Interrupted => "interrupted",
    };
    parts.set_item("kind", kind)?;
    parts.set_item("item", &failure.item)?;
    parts.set_item("hint", failure.hint.as_deref().map(in_python))?;
    let class = py.import("entrace._errors")?.getattr(class)?;
    let exception = class.call((in_python(&failure.message),), Some(&parts))?;
    let error = PyErr::from_value(exception.cast_into::<PyBaseException>()?.into_any());
    let cause = RAISED.lock().unwrap_or_else(PoisonError::into_inner).take();
    error.set_cause(py, cause);
    Ok(error)
}

/// The exception of an error of the library.
pub(crate) fn of_study(py: Python<'_>, error: Error) -> PyErr {
    exception(py, &Failure::of_study(error))
}

/// The text with flags as Python names them: `--output-path` is `output_path`.
fn in_python(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("--") {
        let name: &str =
            rest[at + 2..].split(|c: char| !c.is_ascii_lowercase() && c != '-').next().unwrap_or("");
        let is_flag = name.starts_with(|c: char| c.is_ascii_lowercase()) && !rest[..at].ends_with('-');
        let end = at + 2 + name.len();
        out.push_str(&rest[..at]);
        match is_flag {
            true => out.push_str(&name.replace('-', "_")),
            false => out.push_str(&rest[at..end]),
        }
        rest = &rest[end..];
    }
    out + rest
}

/// The exception of a trace that could not be measured.
pub(crate) fn unmeasured(py: Python<'_>, reason: &str) -> PyErr {
    let message = format!("the trace could not be measured: {reason}");
    exception(py, &Failure { origin: Origin::Data, kind: Kind::SetUp, message, item: None, hint: None })
}
