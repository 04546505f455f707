//! `entrace run`: a model reasons on benchmarks.

use crate::args::RunArgs;
use crate::exit::{Exit, SetUp};
use crate::measure::{self, Job};
use crate::progress::Progress;
use crate::questions::{self, Asking};
use crate::sprout;
use anyhow::Result;
use entrace_backend::Text;
use entrace_record::manifest::TraceSource;

pub(crate) fn run(mut args: RunArgs) -> Result<Exit> {
    let mut notes = fill_in_sprout(&mut args)?;
    if args.tasks.is_empty() {
        return Err(SetUp("--tasks is missing; `entrace ls tasks` lists what is built in".into()).into());
    }
    let stop: &[&str] = if args.num_fewshot > 0 { &[questions::FEWSHOT_STOP] } else { &[] };
    let how = measure::measurement(&args.measure, stop)?;
    let (model, revision) = crate::model::open(&args.model)?;
    let tasks = questions::plans(&args, &model, &how, &mut notes)?;
    let progress = Progress::new(args.measure.quiet)?;
    notes.iter().for_each(|note| progress.note(note));
    let sampling = &how.traces.sampling;
    let chat = model.has_chat_template() && args.num_fewshot == 0;
    let traces = TraceSource::Generated {
        temperature: sampling.temperature,
        top_p: sampling.top_p,
        top_k: sampling.top_k,
        max_new_tokens: sampling.max_new_tokens,
        stop: sampling.stop.clone(),
        traces_per_question: args.repeats.max(1) as usize,
        num_fewshot: args.num_fewshot,
        system: args.system.clone(),
        prompt_template: Asking::name(args.prompt_template.as_deref(), chat),
    };
    let out = args.measure.output_path.clone();
    let out = out.unwrap_or_else(|| measure::default_folder(&model.info().name, &args.tasks));
    let job = Job { model, revision, tasks, traces, measurement: how, out, limit: args.limit };
    measure::carry_out(job, &args.measure)
}

/// Without a model, or with sprout and without tasks, what comes with entrace is measured. Returns what the user should know.
fn fill_in_sprout(args: &mut RunArgs) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    if args.model.model.is_none() && args.tasks.iter().all(|task| task == sprout::TASK) {
        notes.push(format!("no --model: {}, the small model that comes with entrace", sprout::NAME));
        args.model.model = Some(sprout::NAME.to_string());
    }
    if sprout::Stage::named(args.model.model.as_deref().unwrap_or_default())?.is_none() {
        return Ok(notes);
    }
    // Its solutions have some forty tokens; without training it would fill its context, which leaves no room to ask for an answer.
    if args.measure.gen_kwargs.is_none() {
        args.measure.max_new_tokens.get_or_insert(sprout::TRACE_TOKENS);
    }
    if args.tasks.is_empty() {
        notes.push(format!("no --tasks: {}, word problems that it has not seen", sprout::TASK));
        args.tasks.push(sprout::TASK.to_string());
    }
    Ok(notes)
}
