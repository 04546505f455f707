//! Which flags help about an error: what libraries, which know no flags, leave open.

use entrace_backend::Error as Engine;
use entrace_datasets::Error as Data;
use entrace_decide::Error as Decide;
use entrace_decoder::Error as Decoder;
use entrace_record::error::Error as Record;
use entrace_remote::Unfit;
use entrace_run::{BadSettings, Error as Run};
use entrace_study::Error as Study;

/// The flags to try about an error of one of the libraries, by itself and not by its sources.
pub fn hint(cause: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    if let Some(error) = cause.downcast_ref::<Study>() {
        return of_study(error);
    }
    if let Some(error) = cause.downcast_ref::<Engine>() {
        return of_engine(error);
    }
    if let Some(error) = cause.downcast_ref::<Record>() {
        return of_record(error);
    }
    if let Some(error) = cause.downcast_ref::<Data>() {
        return of_data(error);
    }
    if let Some(error) = cause.downcast_ref::<Decoder>() {
        return matches!(error, Decoder::NoTokenizer { .. })
            .then_some("`entrace tokens` takes them with --token-ids");
    }
    if let Some(error) = cause.downcast_ref::<Decide>() {
        return match error {
            Decide::Task { .. } => Some("--task names it"),
            Decide::NoTargets { .. } => Some("see --loss"),
            Decide::Record(error) => of_record(error),
            _ => None,
        };
    }
    if let Some(error) = cause.downcast_ref::<Unfit>() {
        return match error {
            Unfit::Unreachable(_) => Some("--wait-for-server SECONDS waits for one that is starting"),
            Unfit::OtherTokenizer(_) => Some("name the model's own with --tokenizer"),
            _ => None,
        };
    }
    match cause.downcast_ref::<Run>()? {
        Run::Settings(problem) => of_settings(problem),
        Run::Engine(error) => of_engine(error),
        Run::Record(error) => of_record(error),
        _ => None,
    }
}

fn of_study(error: &Study) -> Option<&'static str> {
    match error {
        Study::Missing { option: "tasks", .. } => Some("`entrace ls tasks` describes them"),
        Study::Option { option: "overwrite", .. } => Some("choose another --output-path"),
        Study::BadTrainingLine(_) => Some("--map does"),
        Study::NotResumable { .. } => Some("give --overwrite or another --output-path"),
        Study::OtherTraining(_) => {
            Some("give its flags to resume it, --overwrite to train anew, or another --output-path")
        }
        error => Some(error.cause()).filter(|cause| !cause.is::<Study>()).and_then(hint),
    }
}

fn of_data(error: &Data) -> Option<&'static str> {
    match error {
        Data::Missing { .. } => Some("name it with --data-dir"),
        Data::Column { .. } => Some("--map does"),
        Data::BadLine(_) => Some("without --strict it would be skipped and counted"),
        _ => None,
    }
}

fn of_engine(error: &Engine) -> Option<&'static str> {
    matches!(error, Engine::NoTemplate).then_some("use --num-fewshot or --prompt-template")
}

fn of_record(error: &Record) -> Option<&'static str> {
    match error {
        Record::OtherSettings { .. } => {
            Some("choose another --output-path, or replace that run with --overwrite")
        }
        Record::Occupied { .. } | Record::OtherShard { .. } => Some("choose another --output-path"),
        Record::Locked { .. } => Some("wait for it, or choose another --output-path"),
        Record::Link { .. } => Some("remove it, or choose another --output-path"),
        Record::ForeignPart { .. } => Some("or start over with --overwrite"),
        _ => None,
    }
}

fn of_settings(problem: &BadSettings) -> Option<&'static str> {
    match problem {
        BadSettings::NoOptions { .. } => Some("choose another --estimator"),
        BadSettings::NoDraws => Some("--samples says how many"),
        BadSettings::NoRolloutDraws => Some("--rollouts QUESTIONS:DRAWS says how many"),
        BadSettings::RolloutsTwice => Some("leave --rollouts out"),
        BadSettings::StepsNotKnown { .. } => Some("see --segment"),
        BadSettings::StoppedAndWhole { .. } => {
            Some("leave out --stop-with and --stop-when, or what does not go with them")
        }
        BadSettings::GreedyRollouts => Some("for example --temperature 0.7"),
        _ => None,
    }
}
