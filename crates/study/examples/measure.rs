//! A model and questions in, a verdict out: `cargo run --example measure -- MODEL TASK_OR_FILE FOLDER`.
//!
//! `MODEL` is a folder, a .gguf file or `org/name` on the Hub; the questions are a built-in task or a file. What is measured is recorded in the
//! folder, with a report; run again, it resumes or only reads.

use entrace_study::{Error, Measurement, Model, ModelOptions, Place, Study, TaskOptions, Verdict};
use std::io::Write;
use std::path::Path;

pub(crate) fn verdicts(
    model: &str,
    questions: &str,
    limit: f64,
    folder: &Path,
) -> Result<Vec<(String, Verdict)>, Error> {
    let tasks = TaskOptions { limit: Some(limit), ..TaskOptions::named([questions]) }.open(&())?;
    let mut model = Model::open(&ModelOptions::named(model), &())?;
    let study = Study::of_tasks(&mut model, tasks, Measurement::default())?;
    let mut recorded = study.measure(&Place::at(folder), &mut ())?;
    recorded.write_outputs()?;
    recorded.verdicts()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, questions, folder] = arguments.as_slice() else {
        return Err("usage: measure MODEL TASK_OR_FILE FOLDER".into());
    };
    for (task, verdict) in verdicts(model, questions, 100.0, Path::new(folder))? {
        writeln!(std::io::stdout(), "{task}: {}", verdict.finding.name())?;
    }
    Ok(())
}
