//! Where a failure comes from and what it is about, by the type of its error.
//!
//! Each function looks at one error, and not at its sources: a program asks along the chain, and takes the first answer.

use crate::error::Error as Study;
use entrace_backend::Error as Engine;
use entrace_datasets::Error as Data;
use entrace_decide::Error as Decide;
use entrace_decoder::Error as Decoder;
use entrace_hub::Error as Hub;
use entrace_intervene::Error as Intervene;
use entrace_record::Error as Record;
use entrace_remote::Unfit;
use entrace_report::Error as Report;
use entrace_run::Error as Run;
use std::error::Error;
use std::path::Path;

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

/// Where an error of this crate, or of one below it, comes from; `None` of others, and where that depends on what caused it.
pub fn origin_of(error: &(dyn Error + 'static)) -> Option<Origin> {
    if let Some(study) = error.downcast_ref::<Study>() {
        return of_study(study);
    }
    if let Some(run) = error.downcast_ref::<Run>() {
        return of_run(run);
    }
    if let Some(intervene) = error.downcast_ref::<Intervene>() {
        return match intervene {
            Intervene::Run(error) => of_run(error),
            Intervene::Record(_) => Some(Origin::Record),
            Intervene::Import { .. } => Some(Origin::Data),
            _ => Some(Origin::Usage),
        };
    }
    if let Some(report) = error.downcast_ref::<Report>() {
        let is_of_usage = matches!(report, Report::TooFewRuns { .. } | Report::NotComparable { .. });
        return Some(if is_of_usage { Origin::Usage } else { Origin::Record });
    }
    if let Some(engine) = error.downcast_ref::<Engine>() {
        let is_away = matches!(engine, Engine::Unavailable(_));
        return Some(if is_away { Origin::Server } else { Origin::Model });
    }
    if let Some(decide) = error.downcast_ref::<Decide>() {
        return Some(if matches!(decide, Decide::Record(_)) { Origin::Record } else { Origin::Usage });
    }
    let by_type = [
        (error.is::<Decoder>(), Origin::Model),
        (error.is::<Data>(), Origin::Data),
        (error.is::<Record>(), Origin::Record),
        (error.is::<Hub>(), Origin::Hub),
        (error.is::<Unfit>(), Origin::Server),
    ];
    by_type.into_iter().find_map(|(is_it, origin)| is_it.then_some(origin))
}

fn of_study(error: &Study) -> Option<Origin> {
    match error {
        Study::Option { .. } | Study::Missing { .. } => Some(Origin::Usage),
        Study::Conversation { .. } | Study::NothingToLearn { .. } | Study::BadTrainingLine(_) => {
            Some(Origin::Data)
        }
        Study::Served { .. } | Study::CannotBeTrained { .. } => Some(Origin::Model),
        Study::ServerLacks { .. } => Some(Origin::Server),
        Study::NothingToChange { .. } | Study::Io { .. } => Some(Origin::Record),
        other => Some(other.cause()).filter(|cause| !cause.is::<Study>()).and_then(origin_of),
    }
}

fn of_run(error: &Run) -> Option<Origin> {
    match error {
        Run::Interrupted => Some(Origin::Interrupted),
        Run::Settings(_) => Some(Origin::Usage),
        Run::Lacks(_) => Some(Origin::Model),
        Run::Engine(error) => origin_of(error),
        Run::Record(_) => Some(Origin::Record),
        _ => None,
    }
}

/// What an error of this crate, or of one below it, is about: the file, folder, repository, address or option.
pub fn item_of(error: &(dyn Error + 'static)) -> Option<String> {
    if let Some(study) = error.downcast_ref::<Study>() {
        return match study {
            Study::Option { option, .. } | Study::Missing { option, .. } => Some((*option).to_string()),
            Study::Conversation { id, .. } => Some(id.clone()),
            Study::Served { name } | Study::CannotBeTrained { name, .. } => Some(name.clone()),
            Study::Io { path, .. } | Study::NothingToChange { dir: path, .. } => Some(shown(path)),
            other => Some(other.cause()).filter(|cause| !cause.is::<Study>()).and_then(item_of),
        };
    }
    if let Some(Run::Record(record)) = error.downcast_ref() {
        return item_of_record(record);
    }
    if let Some(Report::Record(record)) = error.downcast_ref() {
        return item_of_record(record);
    }
    let of_decoder = || error.downcast_ref().and_then(item_of_decoder);
    let of_data = || error.downcast_ref().and_then(item_of_data);
    let of_record = || error.downcast_ref().and_then(item_of_record);
    let of_hub = || error.downcast_ref().and_then(item_of_hub);
    of_decoder().or_else(of_data).or_else(of_record).or_else(of_hub)
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn item_of_decoder(error: &Decoder) -> Option<String> {
    match error {
        Decoder::Io { path, .. }
        | Decoder::NotAModel { path, .. }
        | Decoder::Config { path, .. }
        | Decoder::Malformed { path, .. }
        | Decoder::UnknownArchitecture { path, .. }
        | Decoder::DamagedWeights { path, .. }
        | Decoder::MissingWeight { path, .. }
        | Decoder::UnsupportedType { path, .. }
        | Decoder::WrongShape { path, .. }
        | Decoder::VocabularyMismatch { path, .. }
        | Decoder::NoTokenizer { path, .. } => Some(shown(path)),
        Decoder::NoDevice { device, .. } => Some(device.clone()),
        _ => None,
    }
}

fn item_of_data(error: &Data) -> Option<String> {
    match error {
        Data::Read { path, .. }
        | Data::Unpack { path, .. }
        | Data::Encoding { path, .. }
        | Data::Table { path, .. }
        | Data::Column { path, .. }
        | Data::Parquet { path, .. }
        | Data::NoUsableLine { path, .. } => Some(shown(path)),
        Data::Missing { task, .. } | Data::NoSplit { task, .. } => Some((*task).to_string()),
        Data::UnknownTask { name, .. } | Data::UnknownFormat(name) => Some(name.clone()),
        _ => None,
    }
}

fn item_of_record(error: &Record) -> Option<String> {
    match error {
        Record::Io { path, .. }
        | Record::NoManifest { dir: path }
        | Record::BadManifest { path, .. }
        | Record::UnknownFormat { path, .. }
        | Record::OtherSettings { dir: path, .. }
        | Record::Occupied { dir: path, .. }
        | Record::Locked { dir: path, .. }
        | Record::Finished { dir: path }
        | Record::PartExists { dir: path, .. }
        | Record::WrongParts { dir: path, .. }
        | Record::OtherShard { dir: path, .. }
        | Record::NoTable { path }
        | Record::BadTable { path, .. }
        | Record::Link { path }
        | Record::ForeignPart { path, .. } => Some(shown(path)),
        Record::BadName { name } => Some(name.clone()),
        _ => None,
    }
}

fn item_of_hub(error: &Hub) -> Option<String> {
    match error {
        Hub::NotAName(name) | Hub::NoFile(name) => Some(name.clone()),
        Hub::Variable { name, .. } => Some((*name).to_string()),
        Hub::Offline { repo, .. }
        | Hub::Damaged { repo, .. }
        | Hub::NothingFits { repo, .. }
        | Hub::NoSpace { repo, .. } => Some(repo.clone()),
        Hub::Unreachable { url, .. } | Hub::Redirect { url, .. } | Hub::Answer { url, .. } => {
            Some(url.clone())
        }
        Hub::Refused(refusal) => Some(refusal.url.clone()),
        Hub::Io { path, .. } => Some(shown(path)),
        _ => None,
    }
}
