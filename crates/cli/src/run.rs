//! `entrace run`: a model reasons on benchmarks.

use crate::args::RunArgs;
use crate::exit::{Exit, SetUp};
use crate::measure::{self, Job};
use crate::progress::Progress;
use crate::questions::{self, Asking};
use crate::sprout;
use crate::template_vars;
use anyhow::Result;
use entrace_record::manifest::TraceSource;
use std::path::Path;

pub(crate) fn run(mut args: RunArgs) -> Result<Exit> {
    let mut notes = Vec::new();
    args.tasks = questions::names(&args.tasks, |name| Path::new(name).exists());
    let is_sprout = fill_in_sprout(&mut args, &mut notes)?;
    if args.tasks.is_empty() {
        return Err(SetUp("--tasks is missing; `entrace ls tasks` lists what is built in".into()).into());
    }
    // Sprout's solutions have some forty tokens; without training it would fill its context, which leaves no room to ask for an answer.
    let max_new_tokens = if is_sprout { sprout::TRACE_TOKENS } else { measure::MAX_NEW_TOKENS };
    let mut how = measure::measurement(&args.measure, max_new_tokens)?;
    measure::at_most("repeats", args.repeats as usize, 100_000)?;
    if args.repeats > 1 && how.traces.sampling.temperature <= 0.0 {
        notes.push(format!(
            "at temperature 0 the {} traces of a question are all alike; --temperature makes them differ",
            args.repeats
        ));
    }
    // What the flags alone can tell comes before the model is opened, which may take long.
    questions::parse_template(args.prompt_template.as_deref())?;
    let template_vars = template_vars::parse(&args.measure.template_vars)?;
    let sources = questions::sources(&args)?;
    let (mut model, revision) = crate::opened::open(&args.model, args.measure.quiet)?;
    let progress = Progress::new(args.measure.quiet)?;
    template_vars::apply(&mut model, &template_vars, &progress)?;
    measure::fill_in_rollouts(&mut how, &args.measure, model.info().n_parameters);
    let asking = Asking::new(&args, model.text())?;
    how.traces.sampling.stop.extend(asking.stop());
    let asked = questions::plans(sources, &args, &asking, &how, &mut notes)?;
    notes.iter().for_each(|note| progress.note(note));
    let sampling = &how.traces.sampling;
    let chat = model.text().has_chat_template() && args.num_fewshot == 0;
    let traces = TraceSource::Generated {
        temperature: sampling.temperature,
        top_p: sampling.top_p,
        top_k: sampling.top_k,
        max_new_tokens: sampling.max_new_tokens,
        stop: sampling.stop.clone(),
        traces_per_question: args.repeats as usize,
        num_fewshot: args.num_fewshot,
        system: args.system.clone(),
        prompt_template: Asking::name(args.prompt_template.as_deref(), chat),
    };
    let out = args.measure.output_path.clone();
    let out = out.unwrap_or_else(|| measure::default_folder(&model.info().name, &args.tasks));
    measure::keep_clock(&mut model, &out, &args.measure);
    let job = Job {
        model,
        revision,
        tasks: asked.tasks,
        traces,
        measurement: how,
        template_vars,
        out,
        limit: args.limit,
        share: measure::share(&args.measure)?,
        bad_lines: asked.bad_lines,
    };
    measure::carry_out(job, &args.measure)
}

/// Without a model, or with sprout and without tasks, what comes with entrace is measured. Returns whether the model is sprout.
fn fill_in_sprout(args: &mut RunArgs, notes: &mut Vec<String>) -> Result<bool> {
    if args.model.model.is_empty() && args.model.server.base_url.is_empty() {
        if let Some(other) = args.tasks.iter().find(|task| *task != sprout::TASK) {
            let (name, task) = (sprout::NAME, sprout::TASK);
            let problem = format!(
                "--model is missing: {name}, the model that comes with entrace, has learnt {task} alone and is not taken for {other} \
                 unless it is named (--model {name})"
            );
            return Err(SetUp(problem).into());
        }
        notes.push(format!("no --model: {}, the small model that comes with entrace", sprout::NAME));
        args.model.model = vec![sprout::NAME.to_string()];
    }
    if sprout::Stage::named(args.model.name().unwrap_or_default())?.is_none() {
        return Ok(false);
    }
    if args.tasks.is_empty() {
        notes.push(format!("no --tasks: {}, word problems that it has not seen", sprout::TASK));
        args.tasks.push(sprout::TASK.to_string());
    }
    Ok(true)
}
