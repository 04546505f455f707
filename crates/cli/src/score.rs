//! `entrace score`: existing traces.

use crate::args::ScoreArgs;
use crate::exit::SetUp;
use crate::front::Front;
use crate::measure::{self, Measured, Sitting};
use anyhow::Result;
use entrace_study::{PromptOptions, Study, TraceOptions};

pub(crate) fn score(args: ScoreArgs, front: &dyn Front) -> Result<Measured> {
    let path = args.traces.ok_or_else(|| SetUp("--traces is missing: a file of traces".into()))?;
    let mut how = measure::measurement(&args.measure, measure::MAX_NEW_TOKENS)?;
    let sitting = Sitting::of(&args.measure, front)?;
    let options = TraceOptions {
        path,
        requests: args.requests,
        name: args.task,
        reading: measure::reading(args.map.as_deref(), args.answer_format.as_deref(), &args.measure)?,
        limit: args.limit,
        prompt: PromptOptions { num_fewshot: 0, system: args.system, template: args.prompt_template },
    };
    let traces = options.open(&*sitting.host())?;
    let mut model = sitting.open(&measure::model(&args.model), &mut how)?;
    let observer = sitting.observer(&model);
    sitting.measure(Study::of_traces(&mut model, traces, how)?, observer)
}
