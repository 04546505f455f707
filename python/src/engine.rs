//! An engine written in Python behind the engine traits: the protocol `entrace.Backend`.
//!
//! The object says how text becomes tokens, what it gives for the next token, and, where it can, how it writes. What is made of its logits is made
//! here, as of those of the local engine: log-probabilities, entropies, masses of classes, draws. So an engine needs no more than a forward
//! pass.
//!
//! - `text`: the text side, of the object's own methods or of tokenizer files that it names
//! - `tree`: a token tree as a book of paths; what is new of it goes to `score`
//! - `writing`: completions, drawn from the logits that `generate` yields, or step by step from `score`

mod text;
mod tree;
mod writing;

use crate::failure::raised;
use entrace_backend::{Error, Generate, ModelInfo, ScoreTree, Text, conformance as checks};
use entrace_study::OwnEngine;
use entrace_text::TextSide;
use numpy::{IntoPyArray, PyReadonlyArray2};
use pyo3::exceptions::{PyAssertionError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use text::Side;

/// An engine written in Python.
pub(crate) struct Engine {
    object: Py<PyAny>,
    info: ModelInfo,
    side: Side,
    can_score: bool,
    can_generate: bool,
}

/// Opens an engine.
pub(crate) fn open(object: &Py<PyAny>) -> Result<Box<dyn OwnEngine>, entrace_study::Error> {
    let opened = Python::attach(|py| {
        let engine = Engine::of(object.bind(py));
        engine.map_err(|error| entrace_study::Error::Refused(Error::Refused(raised(py, error))))
    });
    Ok(Box::new(opened?))
}

impl Engine {
    /// Reads what the object says of itself, and tries its tokenizer.
    fn of(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let (can_score, can_generate) = (object.hasattr("score")?, object.hasattr("generate")?);
        if !can_score && !can_generate {
            let class = object.get_type().name()?;
            let problem =
                format!("{class} has neither score nor generate; entrace.Backend says what an engine has");
            return Err(PyTypeError::new_err(problem));
        }
        let folder: Option<PathBuf> = optional(object, "tokenizer_folder")?;
        let side = Side::of(object, folder)?;
        let text = |name: &str, usual: &str| {
            Ok::<_, PyErr>(optional(object, name)?.unwrap_or_else(|| usual.to_string()))
        };
        let info = ModelInfo {
            name: text("name", &object.get_type().name()?.to_string())?,
            architecture: text("architecture", "python")?,
            n_parameters: optional(object, "n_parameters")?,
            dtype: text("dtype", "f32")?,
            device: text("device", "cpu")?,
            context_length: needed(object, "context_length")?,
            vocab_size: needed(object, "vocab_size")?,
            n_layers: optional(object, "n_layers")?,
            model_hash: optional(object, "model_hash")?,
            tokenizer_hash: side.tokenizer_hash().or(optional(object, "tokenizer_hash")?),
            template_hash: side.template_hash(),
        };
        if let Some(&token) = side.stop_tokens().iter().find(|&&token| token as usize >= info.vocab_size) {
            let problem = format!("stop token {token} is not in a vocabulary of {} tokens", info.vocab_size);
            return Err(PyValueError::new_err(problem));
        }
        side.begin(object.py(), info.vocab_size);
        Ok(Self { object: object.clone().unbind(), info, side, can_score, can_generate })
    }

    /// Tells the object that another tree begins: what it keeps of earlier ones may be of other weights.
    fn reset(&self) -> Result<(), Error> {
        Python::attach(|py| {
            let object = self.object.bind(py);
            let reset =
                || if object.hasattr("reset")? { object.call_method0("reset").map(|_| ()) } else { Ok(()) };
            reset().map_err(|error| Error::engine(raised(py, error)))
        })
    }

    /// The rows of logits that a method gave, float32 `[n, V]`.
    fn logits<'py>(
        &self,
        method: &str,
        found: &Bound<'py, PyAny>,
        n: usize,
    ) -> PyResult<PyReadonlyArray2<'py, f32>> {
        let numpy = found.py().import("numpy")?;
        let array = numpy.getattr("ascontiguousarray")?.call1((found, numpy.getattr("float32")?))?;
        let shape: Vec<usize> = array.getattr("shape")?.extract()?;
        let expected = [n, self.info.vocab_size];
        if shape != expected {
            let problem = format!(
                "{method} gave logits of shape {shape:?}; expected {expected:?}: a row for each that was asked for"
            );
            return Err(PyValueError::new_err(problem));
        }
        array.extract()
    }
}

impl OwnEngine for Engine {
    fn as_text(&self) -> &dyn Text {
        self
    }

    fn generator(&self) -> Option<&dyn Generate> {
        (self.can_generate || self.can_score).then_some(self as &dyn Generate)
    }

    fn scorer(&self) -> Option<&dyn ScoreTree> {
        self.can_score.then_some(self as &dyn ScoreTree)
    }

    fn side(&self) -> Option<&TextSide> {
        self.side.files()
    }

    fn side_mut(&mut self) -> Option<&mut TextSide> {
        self.side.files_mut()
    }
}

fn optional<'py, T: FromPyObjectOwned<'py>>(object: &Bound<'py, PyAny>, name: &str) -> PyResult<Option<T>> {
    match object.getattr_opt(name)? {
        Some(value) if !value.is_none() => value.extract().map(Some).map_err(Into::into),
        _ => Ok(None),
    }
}

fn needed<'py, T: FromPyObjectOwned<'py>>(object: &Bound<'py, PyAny>, name: &str) -> PyResult<T> {
    let missing = || {
        let class = object.get_type().name().map(|name| name.to_string()).unwrap_or_default();
        PyTypeError::new_err(format!("{class} has no {name}; entrace.Backend says what an engine has"))
    };
    optional(object, name)?.ok_or_else(missing)
}

/// Token numbers as an int64 array.
fn ids<'py>(py: Python<'py>, tokens: impl Iterator<Item = usize>) -> Bound<'py, PyAny> {
    let tokens: Vec<i64> = tokens.map(|token| i64::try_from(token).unwrap_or(i64::MAX)).collect();
    tokens.into_pyarray(py).into_any()
}

/// Runs the checks that every engine passes; the first failure is an `AssertionError` that says what is not as it should be.
#[pyfunction]
#[pyo3(signature = (engine, texts, nats, n_draws, longest_context))]
pub(crate) fn conformance(
    py: Python<'_>,
    engine: &Bound<'_, PyAny>,
    texts: Vec<String>,
    nats: f64,
    n_draws: u64,
    longest_context: usize,
) -> PyResult<()> {
    let engine = Engine::of(engine)?;
    let tolerances = checks::Tolerances { nats, n_draws, longest_context, ..Default::default() };
    let checked = py.detach(|| {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        catch_unwind(AssertUnwindSafe(|| {
            checks::check_text(&engine, &texts);
            if engine.can_score {
                checks::check_tree(&engine, &engine.info, &tolerances);
                checks::check_generate(&engine, &texts, &tolerances);
            }
        }))
    });
    checked.map_err(|payload| {
        let said = payload.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("a check failed");
        PyAssertionError::new_err(said.to_string())
    })
}
