//! A model and existing traces in, a verdict out: `cargo run --example score -- MODEL TRACES FOLDER`.
//!
//! `TRACES` is a file of rows with question, trace and target, or what another harness logs.

use entrace_study::{Error, Measurement, Model, ModelOptions, Place, Study, TraceOptions, Verdict};
use std::io::Write;
use std::path::Path;

pub(crate) fn verdict(model: &str, traces: &str, folder: &Path) -> Result<Option<Verdict>, Error> {
    let traces = TraceOptions::of_file(traces).open(&())?;
    let mut model = Model::open(&ModelOptions::named(model), &())?;
    let study = Study::of_traces(&mut model, traces, Measurement::default())?;
    let recorded = study.measure(&Place::at(folder), &mut ())?;
    Ok(recorded.verdicts()?.pop().map(|(_, verdict)| verdict))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, traces, folder] = arguments.as_slice() else {
        return Err("usage: score MODEL TRACES FOLDER".into());
    };
    if let Some(verdict) = verdict(model, traces, Path::new(folder))? {
        writeln!(std::io::stdout(), "{}", verdict.finding.name())?;
    }
    Ok(())
}
