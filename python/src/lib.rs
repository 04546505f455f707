//! The native module of the Python package `entrace`: what `python/entrace` wraps.
//!
//! In reading order: `flags` (keyword arguments as a command line), `front` (what a command tells the caller), `command` (run, score and
//! compare, in a thread that Ctrl-C stops), `failure` (errors as exceptions), `run` (a run folder), `table` (its tables as Arrow streams),
//! `model` (a model that is asked directly), `engine` (an engine written in Python behind the engine traits).

mod attended;
mod command;
mod engine;
mod failure;
mod flags;
mod front;
mod model;
mod run;
mod table;

use pyo3::prelude::*;

/// The native part of entrace.
#[pymodule]
mod _entrace {
    #[pymodule_export]
    use crate::command::{carry_out, compare, program};
    #[pymodule_export]
    use crate::engine::conformance;
    #[pymodule_export]
    use crate::flags::{command_line, flags};
    #[pymodule_export]
    use crate::model::Model;
    #[pymodule_export]
    use crate::run::RunFolder;
    #[pymodule_export]
    use crate::table::Table;

    #[pymodule_init]
    fn init(module: &pyo3::Bound<'_, pyo3::types::PyModule>) -> pyo3::PyResult<()> {
        use pyo3::types::PyModuleMethods;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
