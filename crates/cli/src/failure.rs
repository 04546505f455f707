//! A failure with its parts, for a program that does not print it: where it comes from, what it is about, what happened, and what would help.

use crate::exit::{self, SetUp};
use crate::hint;
use entrace_study::{Error as Study, Kind};
use std::error::Error;
use std::path::Path;

/// Why a command ended without its result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Where it comes from.
    pub origin: Origin,
    /// What can be done about it.
    pub kind: Kind,
    /// What happened, flags as `--name`.
    pub message: String,
    /// The file, folder, repository, address or option that it is about, where it is about one.
    pub item: Option<String>,
    /// What would help, flags as `--name`.
    pub hint: Option<String>,
}

/// Where a failure comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// What was asked for: an option or its value.
    Usage,
    /// A model: its files, its text side, or what it computes.
    Model,
    /// Questions or traces.
    Data,
    /// A run folder.
    Record,
    /// The Hugging Face Hub.
    Hub,
    /// A server.
    Server,
    /// The user, who stopped it.
    Interrupted,
    /// entrace itself.
    Fault,
}

impl Failure {
    pub(crate) fn of_clap(error: &clap::Error) -> Self {
        let said = error.render().to_string();
        let said = said.split("\n\nUsage:").next().unwrap_or(&said);
        let said = said.split("\n\nFor more information").next().unwrap_or(said);
        let said = said.strip_prefix("error: ").unwrap_or(said).trim();
        let (message, hint) = match said.split_once("\n\n  tip: ") {
            Some((message, hint)) => (message, Some(hint.trim().to_string())),
            None => (said, None),
        };
        let message = message.lines().map(str::trim).collect::<Vec<_>>().join(" ");
        Self { origin: Origin::Usage, kind: Kind::SetUp, message, item: None, hint }
    }

    pub(crate) fn of_usage(error: &anyhow::Error) -> Self {
        Self { origin: Origin::Usage, kind: Kind::SetUp, ..Self::of_error(error) }
    }

    pub(crate) fn of_fault(message: String) -> Self {
        Self { origin: Origin::Fault, kind: Kind::Failure, message, item: None, hint: None }
    }

    /// The parts of an error of the library.
    pub fn of_study(error: Study) -> Self {
        Self::of_error(&error.into())
    }

    /// The parts of an error.
    pub fn of_error(error: &anyhow::Error) -> Self {
        let is_of_set_up = error.downcast_ref::<SetUp>().is_some();
        let kind = if is_of_set_up { Kind::SetUp } else { kind_of(error) };
        let origin = match (is_of_set_up, kind) {
            (true, _) => Origin::Usage,
            (_, Kind::Interrupted) => Origin::Interrupted,
            _ => error.chain().find_map(origin_of).unwrap_or(Origin::Fault),
        };
        Self {
            origin,
            kind,
            message: exit::causes(error),
            item: error.chain().find_map(item_of),
            hint: hint::of(error).map(str::to_string),
        }
    }
}

fn kind_of(error: &anyhow::Error) -> Kind {
    let of_cause = |cause: &(dyn Error + 'static)| {
        let study = cause.downcast_ref::<Study>().map(Study::kind);
        study.or_else(|| entrace_study::kind_of(cause))
    };
    error.chain().find_map(of_cause).unwrap_or(Kind::Failure)
}

fn origin_of(cause: &(dyn Error + 'static)) -> Option<Origin> {
    if let Some(study) = cause.downcast_ref::<Study>() {
        return match study {
            Study::Option { .. } | Study::Missing { .. } => Some(Origin::Usage),
            Study::Conversation { .. } | Study::NothingToLearn { .. } | Study::BadTrainingLine(_) => {
                Some(Origin::Data)
            }
            Study::Served { .. } | Study::CannotBeTrained { .. } => Some(Origin::Model),
            Study::ServerLacks { .. } => Some(Origin::Server),
            Study::NothingToChange { .. } | Study::Io { .. } => Some(Origin::Record),
            other => Some(other.cause()).filter(|cause| !cause.is::<Study>()).and_then(origin_of),
        };
    }
    if let Some(run) = cause.downcast_ref::<entrace_run::Error>() {
        return match run {
            entrace_run::Error::Settings(_) => Some(Origin::Usage),
            entrace_run::Error::Lacks(_) => Some(Origin::Model),
            entrace_run::Error::Engine(error) => origin_of(error),
            entrace_run::Error::Record(error) => origin_of(error),
            _ => None,
        };
    }
    if let Some(report) = cause.downcast_ref::<entrace_report::Error>() {
        return match report {
            entrace_report::Error::TooFewRuns { .. } | entrace_report::Error::NotComparable { .. } => {
                Some(Origin::Usage)
            }
            _ => Some(Origin::Record),
        };
    }
    if let Some(engine) = cause.downcast_ref::<entrace_backend::Error>() {
        let is_away = matches!(engine, entrace_backend::Error::Unavailable(_));
        return Some(if is_away { Origin::Server } else { Origin::Model });
    }
    let by_type = [
        (cause.is::<entrace_decoder::Error>(), Origin::Model),
        (cause.is::<entrace_datasets::Error>(), Origin::Data),
        (cause.is::<entrace_record::Error>(), Origin::Record),
        (cause.is::<entrace_hub::Error>(), Origin::Hub),
        (cause.is::<entrace_remote::Unfit>(), Origin::Server),
        (cause.is::<entrace_decide::Error>(), Origin::Usage),
    ];
    by_type.into_iter().find_map(|(is_it, origin)| is_it.then_some(origin))
}

/// What a cause is about.
fn item_of(cause: &(dyn Error + 'static)) -> Option<String> {
    if let Some(study) = cause.downcast_ref::<Study>() {
        return match study {
            Study::Option { option, .. } | Study::Missing { option, .. } => Some((*option).to_string()),
            Study::Conversation { id, .. } => Some(id.clone()),
            Study::Served { name } | Study::CannotBeTrained { name, .. } => Some(name.clone()),
            Study::Io { path, .. } | Study::NothingToChange { dir: path, .. } => Some(shown(path)),
            other => Some(other.cause()).filter(|cause| !cause.is::<Study>()).and_then(item_of),
        };
    }
    if let Some(entrace_run::Error::Record(record)) = cause.downcast_ref() {
        return of_record(record);
    }
    if let Some(entrace_report::Error::Record(record)) = cause.downcast_ref() {
        return of_record(record);
    }
    let of_decoder = || cause.downcast_ref().and_then(of_decoder);
    let of_data = || cause.downcast_ref().and_then(of_data);
    let of_record = || cause.downcast_ref().and_then(of_record);
    let of_hub = || cause.downcast_ref().and_then(of_hub);
    of_decoder().or_else(of_data).or_else(of_record).or_else(of_hub)
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn of_decoder(error: &entrace_decoder::Error) -> Option<String> {
    use entrace_decoder::Error as D;
    match error {
        D::Io { path, .. }
        | D::NotAModel { path, .. }
        | D::Config { path, .. }
        | D::Malformed { path, .. }
        | D::UnknownArchitecture { path, .. }
        | D::DamagedWeights { path, .. }
        | D::MissingWeight { path, .. }
        | D::UnsupportedType { path, .. }
        | D::WrongShape { path, .. }
        | D::VocabularyMismatch { path, .. }
        | D::NoTokenizer { path, .. } => Some(shown(path)),
        D::NoDevice { device, .. } => Some(device.clone()),
        _ => None,
    }
}

fn of_data(error: &entrace_datasets::Error) -> Option<String> {
    use entrace_datasets::Error as D;
    match error {
        D::Read { path, .. }
        | D::Unpack { path, .. }
        | D::Encoding { path, .. }
        | D::Table { path, .. }
        | D::Column { path, .. }
        | D::Parquet { path, .. }
        | D::NoUsableLine { path, .. } => Some(shown(path)),
        D::Missing { task, .. } | D::NoSplit { task, .. } => Some((*task).to_string()),
        D::UnknownTask { name, .. } | D::UnknownFormat(name) => Some(name.clone()),
        _ => None,
    }
}

fn of_record(error: &entrace_record::Error) -> Option<String> {
    use entrace_record::Error as R;
    match error {
        R::Io { path, .. }
        | R::NoManifest { dir: path }
        | R::BadManifest { path, .. }
        | R::UnknownFormat { path, .. }
        | R::OtherSettings { dir: path, .. }
        | R::Occupied { dir: path, .. }
        | R::Locked { dir: path, .. }
        | R::Finished { dir: path }
        | R::PartExists { dir: path, .. }
        | R::WrongParts { dir: path, .. }
        | R::OtherShard { dir: path, .. }
        | R::NoTable { path }
        | R::BadTable { path, .. }
        | R::Link { path }
        | R::ForeignPart { path, .. } => Some(shown(path)),
        R::BadName { name } => Some(name.clone()),
        _ => None,
    }
}

fn of_hub(error: &entrace_hub::Error) -> Option<String> {
    use entrace_hub::Error as H;
    match error {
        H::NotAName(name) | H::NoFile(name) => Some(name.clone()),
        H::Variable { name, .. } => Some((*name).to_string()),
        H::Offline { repo, .. }
        | H::Damaged { repo, .. }
        | H::NothingFits { repo, .. }
        | H::NoSpace { repo, .. } => Some(repo.clone()),
        H::Unreachable { url, .. } | H::Redirect { url, .. } | H::Answer { url, .. } => Some(url.clone()),
        H::Refused(refusal) => Some(refusal.url.clone()),
        H::Io { path, .. } => Some(shown(path)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embed::Asked;

    fn failure(arguments: &[&str]) -> Failure {
        let argv = ["entrace"].iter().chain(arguments).map(ToString::to_string).collect();
        Asked::parse(argv).err().expect("these arguments are wrong")
    }

    #[test]
    fn a_flag_that_is_wrong_is_said_without_usage() {
        let found = failure(&["run", "--limt", "3"]);
        assert_eq!((found.origin, found.kind), (Origin::Usage, Kind::SetUp));
        assert_eq!(found.message, "unexpected argument '--limt' found");
        assert_eq!(found.hint.as_deref(), Some("a similar argument exists: '--limit'"));
        let found = failure(&["run", "--dtype", "f8"]);
        assert!(found.message.starts_with("invalid value 'f8' for '--dtype <DTYPE>'"), "{}", found.message);
        assert!(found.message.contains("f32"), "{}", found.message);
    }

    #[test]
    fn an_error_has_its_origin_item_and_hint() {
        let record = entrace_record::Error::Locked { dir: "runs/a".into(), process: None };
        let found = Failure::of_error(&Study::from(record).into());
        assert_eq!((found.origin, found.kind), (Origin::Record, Kind::SetUp));
        assert_eq!(found.item.as_deref(), Some("runs/a"));
        assert_eq!(found.hint.as_deref(), Some("wait for it, or choose another --output-path"));
        let stopped = Failure::of_error(&Study::from(entrace_run::Error::Interrupted).into());
        assert_eq!((stopped.origin, stopped.kind), (Origin::Interrupted, Kind::Interrupted));
        let wrong = Study::Option { option: "num_fewshot", problem: "too many".into() };
        let found = Failure::of_error(&wrong.into());
        assert_eq!((found.origin, found.message.as_str()), (Origin::Usage, "--num-fewshot: too many"));
        assert_eq!(found.item.as_deref(), Some("num_fewshot"));
    }
}
