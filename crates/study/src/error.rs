//! What can go wrong in a study, and of what kind it is.
//!
//! Messages name options as the fields of this crate do (`num_fewshot`); a command line turns that into its own flag ([`Error::option`]).

use entrace_datasets::BadLine;
use std::path::PathBuf;

/// Failures of a study. What goes wrong with one question is none: it is recorded with the question.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option has a value that cannot be used.
    #[error("{option}: {problem}")]
    Option {
        /// Its name, as `num_fewshot`.
        option: &'static str,
        /// What was found, and what was expected.
        problem: String,
    },
    /// An option that is needed was not given.
    #[error("{option} is missing: {expected}")]
    Missing {
        /// Its name.
        option: &'static str,
        /// What it should be.
        expected: String,
    },
    /// A conversation, for a model that knows plain text only.
    #[error("{id} is a conversation of {n_messages} messages, which needs a model with a chat template")]
    Conversation {
        /// The question.
        id: String,
        /// Its messages.
        n_messages: usize,
    },
    /// A model behind a server, where one in this process is needed.
    #[error("{name} is behind a server, and can only be measured; expected a model that is loaded here")]
    Served {
        /// Its address.
        name: String,
    },
    /// The servers cannot do what a measurement needs.
    #[error("{error}. The server lacks: {}", lacks.join("; "))]
    ServerLacks {
        /// What is needed.
        error: entrace_run::Error,
        /// What they cannot do, each with what would help.
        lacks: Vec<String>,
    },
    /// A run that has no trace to change.
    #[error("{} has no trace to change ({reasons})", dir.display())]
    NothingToChange {
        /// The run folder.
        dir: PathBuf,
        /// Why, by number of traces.
        reasons: String,
    },
    /// A task or file with nothing to learn from.
    #[error("{source_name} has no {what}")]
    NothingToLearn {
        /// The task or file.
        source_name: String,
        /// What it lacks.
        what: &'static str,
    },
    /// A line of a training file that cannot be read.
    #[error("{0}. Training reads every line or none: mend it, remove it, or name its columns")]
    BadTrainingLine(BadLine),
    /// A model that cannot be trained.
    #[error("{name}: training needs {LAYOUT}; {problem}")]
    CannotBeTrained {
        /// The model.
        name: String,
        /// What was found.
        problem: String,
    },
    /// A folder with a training that was written without what resuming needs.
    #[error("{} holds a training that cannot be resumed", folder.display())]
    NotResumable {
        /// The folder.
        folder: PathBuf,
    },
    /// A folder with another training than the one that was asked for.
    #[error("{0}")]
    OtherTraining(#[source] Box<entrace_train::Error>),
    /// A file or folder cannot be written or removed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A model cannot be opened.
    #[error(transparent)]
    Model(Box<entrace_decoder::Error>),
    /// A model refuses what it is first given: its chat template, or a text.
    #[error(transparent)]
    Refused(entrace_backend::Error),
    /// An engine failed.
    #[error(transparent)]
    Engine(#[from] entrace_backend::Error),
    /// Questions or traces cannot be read.
    #[error(transparent)]
    Data(#[from] entrace_datasets::Error),
    /// Files cannot be fetched from the Hub.
    #[error(transparent)]
    Hub(#[from] entrace_hub::Error),
    /// A server cannot be used.
    #[error(transparent)]
    Server(#[from] entrace_remote::Unfit),
    /// A run stopped.
    #[error(transparent)]
    Run(#[from] entrace_run::Error),
    /// A run folder cannot be read or written.
    #[error(transparent)]
    Record(#[from] entrace_record::Error),
    /// A report cannot be made.
    #[error(transparent)]
    Report(#[from] entrace_report::Error),
    /// Interventions stopped.
    #[error(transparent)]
    Intervene(#[from] entrace_intervene::Error),
    /// A training stopped.
    #[error(transparent)]
    Train(Box<entrace_train::Error>),
}

/// Files that a model needs to be trained.
pub(crate) const LAYOUT: &str =
    "a folder in Hugging Face layout (config.json, tokenizer.json, *.safetensors)";

/// What can be done about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Ask for something else: an option, a file or a model is wrong.
    SetUp,
    /// An engine, a server or a disk failed; the same may work later.
    Failure,
    /// It was interrupted, and can be resumed.
    Interrupted,
}

impl Error {
    /// An option with a value that cannot be used.
    pub(crate) fn new(option: &'static str, problem: impl Into<String>) -> Self {
        Self::Option { option, problem: problem.into() }
    }

    /// For `map_err`.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// The option at fault, with whose name the message begins.
    pub fn option(&self) -> Option<&'static str> {
        match self {
            Self::Option { option, .. } | Self::Missing { option, .. } => Some(option),
            _ => None,
        }
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Engine(_) | Self::Io { .. } => Kind::Failure,
            Self::Run(_) | Self::Report(_) => kind_of_cause(self.cause()).unwrap_or(Kind::Failure),
            _ => kind_of_cause(self.cause()).unwrap_or(Kind::SetUp),
        }
    }

    /// The error of the crate that it comes from; itself where it began here.
    pub fn cause(&self) -> &(dyn std::error::Error + 'static) {
        match self {
            Self::ServerLacks { error, .. } => error,
            Self::OtherTraining(error) | Self::Train(error) => &**error,
            Self::Model(error) => &**error,
            Self::Refused(error) | Self::Engine(error) => error,
            Self::Data(error) => error,
            Self::Hub(error) => error,
            Self::Server(error) => error,
            Self::Run(error) => error,
            Self::Record(error) => error,
            Self::Report(error) => error,
            Self::Intervene(error) => error,
            own => own,
        }
    }
}

impl From<entrace_decoder::Error> for Error {
    fn from(error: entrace_decoder::Error) -> Self {
        Self::Model(Box::new(error))
    }
}

impl From<entrace_train::Error> for Error {
    fn from(error: entrace_train::Error) -> Self {
        Self::Train(Box::new(error))
    }
}

/// The kind of an error of this crate or of one below it, where that alone says it.
pub fn kind_of(error: &(dyn std::error::Error + 'static)) -> Option<Kind> {
    error.downcast_ref().map(Error::kind).or_else(|| kind_of_cause(error))
}

fn kind_of_cause(error: &(dyn std::error::Error + 'static)) -> Option<Kind> {
    let failure_if = |is_failure: bool| Some(if is_failure { Kind::Failure } else { Kind::SetUp });
    if let Some(hub) = error.downcast_ref::<entrace_hub::Error>() {
        return failure_if(hub.is_of_the_disk());
    }
    if let Some(unfit) = error.downcast_ref::<entrace_remote::Unfit>() {
        // A server that is away may come back; one that cannot be used will not change.
        return failure_if(matches!(unfit, entrace_remote::Unfit::Unreachable(_)));
    }
    if let Some(record) = error.downcast_ref::<entrace_record::Error>() {
        return failure_if(matches!(record, entrace_record::Error::Io { .. }));
    }
    if let Some(run) = error.downcast_ref::<entrace_run::Error>() {
        return match run {
            entrace_run::Error::Interrupted => Some(Kind::Interrupted),
            entrace_run::Error::Settings(_) | entrace_run::Error::Lacks(_) => Some(Kind::SetUp),
            _ => None,
        };
    }
    if let Some(intervene) = error.downcast_ref::<entrace_intervene::Error>() {
        return match intervene {
            entrace_intervene::Error::Run(run) => Some(kind_of(run).unwrap_or(Kind::Failure)),
            entrace_intervene::Error::Record(record) => kind_of(record),
            _ => Some(Kind::SetUp),
        };
    }
    if let Some(report) = error.downcast_ref::<entrace_report::Error>() {
        use entrace_report::Error::{Folder, NotComparable, Record, TooFewRuns};
        return match report {
            Record(record) => kind_of(record),
            TooFewRuns { .. } | NotComparable { .. } | Folder { .. } => Some(Kind::SetUp),
            _ => None,
        };
    }
    if let Some(entrace_decide::Error::Record(record)) = error.downcast_ref() {
        return kind_of(record);
    }
    let is_of_set_up = error.is::<entrace_datasets::Error>() || error.is::<entrace_decide::Error>();
    is_of_set_up.then_some(Kind::SetUp)
}
