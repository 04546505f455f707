//! `entrace score`: existing traces.

use crate::front::Front;
use crate::measured::Measured;
use crate::sitting::Sitting;
use anyhow::Result;
use entrace_flags::{MAX_NEW_TOKENS, ScoreArgs};
use entrace_study::Study;

pub(crate) fn score(args: ScoreArgs, front: &dyn Front) -> Result<Measured> {
    let traces = args.traces()?;
    let mut how = args.measure.measurement(MAX_NEW_TOKENS)?;
    let sitting = Sitting::of(&args.measure, front)?;
    let traces = traces.open(&*sitting.host())?;
    let mut model = sitting.open(&args.model.options(), &mut how)?;
    let observer = sitting.observer(&model);
    sitting.measure(Study::of_traces(&mut model, traces, how)?, observer)
}
