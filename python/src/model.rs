//! A model that is asked directly: beliefs along a trace, log-probabilities of a text, completions.

use crate::attended::attended;
use crate::failure;
use crate::front::Caller;
use entrace_backend::{
    Branch, ChatMessage, Fork, GenerateRequest, Prompt, Role, Sampling, TokenScores, stream_seed,
};
use entrace_cli::Front;
use entrace_cli::embed::{Asked, Failure};
use entrace_record::rows::{Outcome, Rows};
use entrace_study::{Error, Measurement, Place, Study, TraceOptions};
use numpy::{IntoPyArray, PyArray1};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// An opened model.
#[pyclass(frozen)]
pub(crate) struct Model {
    model: Arc<Mutex<entrace_study::Model>>,
}

/// What is asked of a model in a thread, or why it failed.
type Answer<T> = Result<T, Failure>;

#[pymethods]
impl Model {
    /// Opens the model that the command line of `score` names.
    #[new]
    fn open(
        py: Python<'_>,
        argv: Vec<String>,
        engine: Option<(String, Py<PyAny>)>,
        reporter: &Bound<'_, PyAny>,
    ) -> PyResult<Self> {
        let asked = Asked::parse(argv.clone()).map_err(|failure| failure::exception(py, &failure))?;
        let caller = Arc::new(Caller::new(argv, engine));
        let opened = attended(py, &caller, reporter, move |caller| -> Answer<_> {
            let options = asked.model()?;
            entrace_study::Model::open(&options, &*caller.host(false)).map_err(Failure::of_study)
        })?;
        let model = opened.map_err(|failure| failure::exception(py, &failure))?;
        Ok(Self { model: Arc::new(Mutex::new(model)) })
    }

    /// What identifies it.
    fn info<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let model = self.locked(py);
        let (info, of_model) = (PyDict::new(py), model.info());
        info.set_item("name", &of_model.name)?;
        info.set_item("architecture", &of_model.architecture)?;
        info.set_item("n_parameters", of_model.n_parameters)?;
        info.set_item("dtype", &of_model.dtype)?;
        info.set_item("device", &of_model.device)?;
        info.set_item("context_length", of_model.context_length)?;
        info.set_item("vocab_size", of_model.vocab_size)?;
        info.set_item("n_layers", of_model.n_layers)?;
        info.set_item("model_hash", &of_model.model_hash)?;
        info.set_item("tokenizer_hash", &of_model.tokenizer_hash)?;
        info.set_item("template_hash", &of_model.template_hash)?;
        info.set_item("stop_tokens", model.text().stop_tokens())?;
        Ok(info)
    }

    /// Tokens of a text: of a prompt with its special tokens, or of what follows one.
    fn encode<'py>(
        &self,
        py: Python<'py>,
        text: String,
        special: bool,
    ) -> PyResult<Bound<'py, PyArray1<u32>>> {
        let model = Arc::clone(&self.model);
        let ids = py.detach(move || {
            let model = locked(&model);
            match special {
                true => model.text().encode_prompt(&text).map(|prompt| prompt.token_ids),
                false => model.text().encode_plain(&text),
            }
        });
        Ok(ids.map_err(|error| failure::of_study(py, Error::Refused(error)))?.into_pyarray(py))
    }

    /// Text of tokens.
    fn decode(&self, py: Python<'_>, token_ids: Vec<u32>) -> String {
        let model = Arc::clone(&self.model);
        py.detach(move || locked(&model).text().decode(&token_ids).text)
    }

    /// Log-probability and entropy of every token, in nats; NaN for the first.
    fn logprobs<'py>(
        &self,
        py: Python<'py>,
        token_ids: Vec<u32>,
        reporter: &Bound<'py, PyAny>,
    ) -> PyResult<[Bound<'py, PyArray1<f64>>; 2]> {
        let score = self.attended(py, reporter, move |model, _| {
            let scorer = model.engine().scorer().map_err(|error| Failure::of_study(error.into()))?;
            let root = Branch { tokens: token_ids, token_scores: TokenScores::Full, ..Branch::default() };
            let scores = scorer.session().and_then(|mut session| session.extend(&[root]));
            scores
                .map(|mut scores| scores.remove(0))
                .map_err(|error| Failure::of_study(Error::Refused(error)))
        })?;
        let known = |value: Option<f64>| value.unwrap_or(f64::NAN);
        let logprobs: Vec<f64> = score.token_logprobs.into_iter().map(known).collect();
        let entropies = score.token_sharpness.iter();
        let entropies: Vec<f64> =
            entropies.map(|sharp| known(sharp.and_then(|sharp| sharp.entropy))).collect();
        Ok([logprobs.into_pyarray(py), entropies.into_pyarray(py)])
    }

    /// Completions of prompts, `n` of each: texts, or conversations as lists of `(role, content)`.
    fn generate<'py>(
        &self,
        py: Python<'py>,
        prompts: Vec<Asking>,
        n: usize,
        seed: u64,
        sampling: (f64, f64, usize, usize, Vec<String>),
        reporter: &Bound<'py, PyAny>,
    ) -> PyResult<Vec<Bound<'py, PyList>>> {
        let (temperature, top_p, top_k, max_new_tokens, stop) = sampling;
        let sampling = Sampling { temperature, top_p, top_k, max_new_tokens, stop };
        let drawn = self.attended(py, reporter, move |model, caller| {
            let failed = |error| Failure::of_study(Error::Refused(error));
            let generator = model.engine().generator().map_err(|error| Failure::of_study(error.into()))?;
            let request = |(number, asking): (usize, Asking)| {
                let context = asking.prompt(model.text())?.token_ids;
                let stream = |i: usize| stream_seed(seed, &["generate", &number.to_string(), &i.to_string()]);
                let streams = (0..n).map(stream).collect();
                let fork =
                    Fork { n_tokens: context.len(), suffix: Vec::new(), streams, max_new_tokens: None };
                Ok(GenerateRequest { context, forks: vec![fork] })
            };
            let requests: Result<Vec<GenerateRequest>, _> =
                prompts.into_iter().enumerate().map(request).collect();
            let mut goes_on = |_| !caller.is_stopped();
            let drawn = generator.generate(&requests.map_err(failed)?, &sampling, &mut goes_on);
            if caller.is_stopped() {
                return Err(Failure::of_study(entrace_run::Error::Interrupted.into()));
            }
            drawn.map_err(failed)
        })?;
        let completion = |completion: entrace_backend::Completion| {
            let found = PyDict::new(py);
            found.set_item("text", completion.text)?;
            found.set_item("token_ids", completion.token_ids.into_pyarray(py))?;
            let known = |value: Option<f64>| value.unwrap_or(f64::NAN);
            let logprobs: Vec<f64> = completion.logprobs.into_iter().map(known).collect();
            found.set_item("logprobs", logprobs.into_pyarray(py))?;
            let entropies: Vec<f64> = completion.sharpness.iter().map(|sharp| known(sharp.entropy)).collect();
            found.set_item("entropies", entropies.into_pyarray(py))?;
            found.set_item("stop_reason", completion.stop_reason.name())?;
            Ok(found)
        };
        let of_prompt = |forks: Vec<Vec<entrace_backend::Completion>>| {
            let all: PyResult<Vec<_>> = forks.into_iter().flatten().map(completion).collect();
            PyList::new(py, all?)
        };
        drawn.into_iter().map(of_prompt).collect()
    }

    /// Beliefs along one trace, which `row` describes as a line of a file of traces, measured as the command line of `score` says: the tables
    /// `traces`, `prefixes`, `answers` and `tokens` as dictionaries of columns.
    fn belief<'py>(
        &self,
        py: Python<'py>,
        argv: Vec<String>,
        row: String,
        reporter: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let asked = Asked::parse(argv).map_err(|failure| failure::exception(py, &failure))?;
        let how = asked.measurement().map_err(|failure| failure::exception(py, &failure))?;
        let rows = self.attended(py, reporter, move |model, caller| {
            let mut observer = caller.observer(false, model);
            measured(model, &row, how, &mut *observer).map_err(Failure::of_study)
        })?;
        tables(py, &rows)
    }
}

/// A prompt as a text or as a conversation.
#[derive(FromPyObject)]
pub(crate) enum Asking {
    Text(String),
    Chat(Vec<(String, String)>),
}

impl Asking {
    fn prompt(self, text: &dyn entrace_backend::Text) -> Result<Prompt, entrace_backend::Error> {
        match self {
            Self::Text(prompt) => text.encode_prompt(&prompt),
            Self::Chat(messages) => {
                let role = |name: &str| match name {
                    "system" => Role::System,
                    "assistant" => Role::Assistant,
                    _ => Role::User,
                };
                let messages: Vec<ChatMessage> = messages
                    .into_iter()
                    .map(|(name, content)| ChatMessage { role: role(&name), content })
                    .collect();
                text.render_chat(&messages)
            }
        }
    }
}

impl Model {
    fn locked(&self, py: Python<'_>) -> MutexGuard<'_, entrace_study::Model> {
        // Whoever holds the model may be waiting for the interpreter.
        loop {
            match self.model.try_lock() {
                Ok(model) => return model,
                Err(std::sync::TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
                Err(std::sync::TryLockError::WouldBlock) => {
                    py.detach(|| std::thread::sleep(std::time::Duration::from_millis(1)));
                }
            }
        }
    }

    /// Asks the model in a thread of its own.
    fn attended<T: Send + 'static>(
        &self,
        py: Python<'_>,
        reporter: &Bound<'_, PyAny>,
        ask: impl FnOnce(&mut entrace_study::Model, &Caller) -> Answer<T> + Send + 'static,
    ) -> PyResult<T> {
        let model = Arc::clone(&self.model);
        let caller = Arc::new(Caller::new(Vec::new(), None));
        let found = attended(py, &caller, reporter, move |caller| ask(&mut locked(&model), caller))?;
        found.map_err(|failure| failure::exception(py, &failure))
    }
}

fn locked(model: &Mutex<entrace_study::Model>) -> MutexGuard<'_, entrace_study::Model> {
    model.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Measures one trace in a folder that is gone afterwards.
fn measured(
    model: &mut entrace_study::Model,
    row: &str,
    how: Measurement,
    observer: &mut dyn entrace_run::Observer,
) -> Result<Rows, Error> {
    let io = |action| move |source| Error::Io { action, path: std::env::temp_dir(), source };
    let folder =
        tempfile::Builder::new().prefix("entrace-belief-").tempdir().map_err(io("create a folder in"))?;
    let traces = folder.path().join("traces.jsonl");
    std::fs::write(&traces, row).map_err(io("write"))?;
    let mut options = TraceOptions::of_file(traces);
    options.reading.bad_lines = entrace_datasets::BadLines::Stop;
    let how = Measurement { controls: Vec::new(), rollouts: None, ..how };
    let study = Study::of_traces(model, options.open(&())?, how)?;
    let reader = study.measure(&Place::at(folder.path().join("run")), observer)?.reader()?;
    let (mut prefixes, mut answers) = (reader.prefixes()?, reader.answers()?);
    // The numbers are those under the first cue.
    prefixes.retain(|row| row.cue.unwrap_or(0) == 0);
    answers.retain(|row| row.cue.unwrap_or(0) == 0);
    Ok(Rows {
        traces: reader.traces()?,
        prefixes,
        answers,
        tokens: reader.tokens()?,
        signals: reader.signals()?,
        ..Rows::default()
    })
}

fn tables<'py>(py: Python<'py>, rows: &Rows) -> PyResult<Bound<'py, PyDict>> {
    let trace = rows.traces.first().ok_or_else(|| PyValueError::new_err("there is no trace"))?;
    if trace.outcome != Outcome::Measured {
        let reason = trace.reason.as_deref().unwrap_or("for no known reason");
        return Err(failure::unmeasured(py, reason));
    }
    let found = PyDict::new(py);
    found.set_item("prompt", &trace.prompt)?;
    found.set_item("target", &trace.target)?;
    found.set_item("answer", &trace.answer)?;
    let of = |value: fn(&entrace_record::rows::PrefixRow) -> f64| {
        rows.prefixes.iter().map(value).collect::<Vec<f64>>().into_pyarray(py)
    };
    let steps: Vec<u32> = rows.prefixes.iter().map(|row| row.step).collect();
    found.set_item("steps", steps.into_pyarray(py))?;
    let n_tokens: Vec<u32> = rows.prefixes.iter().map(|row| row.n_tokens).collect();
    found.set_item("n_tokens", n_tokens.into_pyarray(py))?;
    found.set_item("depth", of(|row| row.depth))?;
    found.set_item("entropy", of(|row| row.answer_entropy))?;
    found.set_item("entropy_lower", of(|row| row.entropy_lower))?;
    found.set_item("entropy_upper", of(|row| row.entropy_upper))?;
    found.set_item("target_logprob", of(|row| row.target_logprob.unwrap_or(f64::NAN)))?;
    found.set_item("information_gain", of(|row| row.information_gain.unwrap_or(f64::NAN)))?;
    found.set_item("residual_mass", of(|row| row.residual_mass))?;
    let leaders: Vec<&str> = rows.prefixes.iter().map(|row| &*row.leader).collect();
    found.set_item("leaders", leaders)?;
    found.set_item("estimator", rows.prefixes.first().map(|row| row.estimator.to_string()))?;
    let answers: Vec<(u32, String, f64)> =
        rows.answers.iter().map(|row| (row.step, row.answer.to_string(), row.prob)).collect();
    found.set_item("answers", answers)?;
    let tokens: Vec<(u32, String)> = rows.tokens.iter().map(|row| (row.step, row.text.to_string())).collect();
    found.set_item("tokens", tokens)?;
    Ok(found)
}
