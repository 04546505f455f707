//! `run`, `score` and `compare`, and the program itself.

use crate::attended::attended;
use crate::failure;
use crate::front::Caller;
use entrace_cli::embed::{Asked, Done};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use std::ffi::OsString;
use std::sync::Arc;

/// Carries out the command line of `run` or `score`, and returns the run folder. `engine` is a name with an object that follows the protocol
/// `entrace.Backend`; `reporter` has `note(text)` and `progress(name, done, all, doing)`.
#[pyfunction]
pub(crate) fn carry_out(
    py: Python<'_>,
    argv: Vec<String>,
    engine: Option<(String, Py<PyAny>)>,
    reporter: &Bound<'_, PyAny>,
) -> PyResult<String> {
    match done(py, argv, engine, reporter)? {
        Done::Measured(measured) => Ok(measured.folder().display().to_string()),
        Done::Compared(_) => Err(PyValueError::new_err("a comparison has no run folder")),
    }
}

/// Carries out the command line of `compare`, and returns what was found as JSON.
#[pyfunction]
pub(crate) fn compare(py: Python<'_>, argv: Vec<String>, reporter: &Bound<'_, PyAny>) -> PyResult<String> {
    match done(py, argv, None, reporter)? {
        Done::Compared(compared) => {
            let json = serde_json::to_string(compared.comparison());
            json.map_err(|error| PyRuntimeError::new_err(error.to_string()))
        }
        Done::Measured(_) => Err(PyValueError::new_err("a measurement compares nothing")),
    }
}

/// The program `entrace` with this command line, whose first argument is the program's name; returns its exit code.
#[pyfunction]
pub(crate) fn program(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
    py.detach(|| entrace_cli::program(arguments))
}

fn done(
    py: Python<'_>,
    argv: Vec<String>,
    engine: Option<(String, Py<PyAny>)>,
    reporter: &Bound<'_, PyAny>,
) -> PyResult<Done> {
    let asked = Asked::parse(argv.clone()).map_err(|failure| failure::exception(py, &failure))?;
    let caller = Arc::new(Caller::new(argv, engine));
    let done = attended(py, &caller, reporter, move |caller| asked.carry_out(caller))?;
    done.map_err(|failure| failure::exception(py, &failure))
}
