//! What `run` and `score` share: flags as a measurement, a model that is measured, and what is said of it.

use crate::args::{MeasureArgs, ModelArgs};
use crate::exit::Exit;
use crate::front::Front;
use crate::report;
use anyhow::Result;
use entrace_backend::Sampling;
use entrace_datasets::{BadLines, jsonl};
use entrace_report::Report;
use entrace_run::{Event, Observer, TraceMaking};
use entrace_study::{
    Ending, Host, Measurement, Model, ModelOptions, Place, ServerOptions, Share, Study, parse,
    template_variables, usual_rollouts,
};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Most new tokens of a trace unless a flag or the model says otherwise.
pub(crate) const MAX_NEW_TOKENS: usize = 512;

/// Turns flags into a measurement; `max_new_tokens` holds unless a flag says otherwise.
pub(crate) fn measurement(args: &MeasureArgs, max_new_tokens: usize) -> Result<Measurement> {
    let (cue, more_cues) = parse::cues(&args.cue)?;
    let how = Measurement {
        estimator: args.estimator,
        cue,
        more_cues,
        choice_form: args.choice_form,
        samples: args.samples,
        epsilon: args.epsilon,
        max_nodes: args.max_nodes,
        max_answer_tokens: args.max_answer_tokens,
        segmentation: parse::segmentation(&args.segment)?,
        max_steps: args.max_steps,
        controls: parse::controls(&args.controls)?,
        control_depths: parse::control_depths(&args.control_depths)?,
        control_nodes: args.control_nodes.unwrap_or(args.max_nodes.div_ceil(4)),
        rollouts: args.rollouts.as_deref().map(parse::rollouts).transpose()?.flatten(),
        signals: parse::signals(&args.signals)?,
        stopping: None,
        traces: TraceMaking { sampling: sampling(args, max_new_tokens)? },
        seed: args.seed,
        batch_size: args.batch_size,
    };
    parse::check(&how)?;
    Ok(how)
}

fn sampling(args: &MeasureArgs, max_new_tokens: usize) -> Result<Sampling> {
    let stop = args.stop.iter().map(|text| parse::unescaped(text)).collect();
    let mut sampling = Sampling { temperature: 0.0, top_p: 1.0, top_k: 0, max_new_tokens, stop };
    parse::gen_kwargs(args.gen_kwargs.as_deref().unwrap_or_default(), &mut sampling)?;
    sampling.temperature = args.temperature.unwrap_or(sampling.temperature);
    sampling.top_p = args.top_p.unwrap_or(sampling.top_p);
    sampling.top_k = args.top_k.unwrap_or(sampling.top_k);
    sampling.max_new_tokens = args.max_new_tokens.unwrap_or(sampling.max_new_tokens);
    Ok(sampling)
}

/// How a file of questions or traces is read.
pub(crate) fn reading(
    map: Option<&str>,
    answer_format: Option<&str>,
    args: &MeasureArgs,
) -> Result<jsonl::Options> {
    Ok(jsonl::Options {
        columns: parse::columns(map)?,
        answer_format: parse::answer_format(answer_format)?,
        bad_lines: if args.strict { BadLines::Stop } else { BadLines::Skip },
        max_cell_bytes: args.max_cell_bytes,
    })
}

/// The model that flags name.
pub(crate) fn model(args: &ModelArgs) -> ModelOptions {
    ModelOptions {
        names: args.model.clone(),
        base: args.base.clone(),
        dtype: args.dtype,
        device: args.device,
        server: ServerOptions {
            base_urls: args.server.base_url.clone(),
            tokenizer: args.server.tokenizer.clone(),
            headers: args.server.header.clone(),
            wait: Duration::from_secs(args.server.wait_for_server),
        },
    }
}

/// How a study is carried out, beside what is measured.
pub(crate) struct Sitting<'f> {
    front: &'f dyn Front,
    template_vars: BTreeMap<String, Value>,
    /// Whether a flag says how many rollouts there are; else it is up to the size of the model.
    has_own_rollouts: bool,
    /// The run folder.
    pub(crate) folder: Option<PathBuf>,
    overwrite: bool,
    share: Option<Share>,
    quiet: bool,
}

impl<'f> Sitting<'f> {
    /// All of a study, in the folder that it gives the name.
    pub(crate) fn new(front: &'f dyn Front) -> Self {
        Self {
            front,
            template_vars: BTreeMap::new(),
            has_own_rollouts: false,
            folder: None,
            overwrite: false,
            share: None,
            quiet: false,
        }
    }

    pub(crate) fn of(args: &MeasureArgs, front: &'f dyn Front) -> Result<Self> {
        let variable = |name: &str| std::env::var(name).ok();
        Ok(Self {
            front,
            template_vars: template_variables(&args.template_vars)?,
            has_own_rollouts: args.rollouts.is_some(),
            folder: args.output_path.clone(),
            overwrite: args.overwrite,
            share: args.shard.as_deref().map(|text| Share::parse(text, variable)).transpose()?,
            quiet: args.quiet,
        })
    }

    /// The program around it.
    pub(crate) fn host(&self) -> Box<dyn Host + 'f> {
        self.front.host(self.quiet)
    }

    /// Opens the model and settles what depends on it.
    pub(crate) fn open(&self, options: &ModelOptions, how: &mut Measurement) -> Result<Model> {
        let host = self.host();
        let mut model = Model::open(options, &*host)?;
        for name in model.set_template_variables(&self.template_vars)? {
            host.note(&format!("--template-vars: the chat template reads no variable {name}"));
        }
        if !self.has_own_rollouts && how.stopping.is_none() {
            how.rollouts = usual_rollouts(how.estimator, model.info());
        }
        Ok(model)
    }

    /// Watches the measurement of this model.
    pub(crate) fn observer(&self, model: &Model) -> Box<dyn Observer + 'f> {
        self.front.observer(self.quiet, model)
    }

    /// Measures.
    pub(crate) fn measure(self, study: Study<'_>, mut observer: Box<dyn Observer + 'f>) -> Result<Measured> {
        study.notes().iter().for_each(|note| observer.event(Event::Warning(note)));
        let host = self.host();
        let place = Place {
            folder: self.folder.unwrap_or_else(|| study.default_folder()),
            overwrite: self.overwrite,
            share: self.share,
            command: self.front.command_line(),
        };
        let measured = study.measure(&place, &mut *observer);
        drop(observer);
        let mut recorded = measured?;
        let folder = recorded.dir().to_path_buf();
        let dir = folder.display();
        match recorded.ending {
            Ending::Shard => {
                host.note(&format!("{dir} is complete; `entrace merge` puts all shards together"));
                return Ok(Measured { folder, report: None, quiet: self.quiet });
            }
            Ending::WasComplete => {
                host.note(&format!("{dir} is complete already; making its outputs again"));
            }
            Ending::Measured => {}
        }
        let report = Some(recorded.write_outputs()?);
        Ok(Measured { folder, report, quiet: self.quiet })
    }
}

/// What `run` and `score` come to.
pub struct Measured {
    folder: PathBuf,
    report: Option<Report>,
    quiet: bool,
}

impl Measured {
    /// The run folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What was found; `None` of a shard, which is reported once it is merged with the others.
    pub fn report(&self) -> Option<&Report> {
        self.report.as_ref()
    }

    /// Prints what was found.
    pub(crate) fn print(&self) -> std::io::Result<()> {
        self.report.as_ref().map_or(Ok(()), |report| report::print(report, &self.folder, self.quiet))
    }

    /// Prints what was found, and ends the command.
    pub(crate) fn show(&self) -> Result<Exit> {
        self.print()?;
        Ok(self.report.as_ref().map_or_else(Exit::success, |report| report::exit_of(&report.metrics)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::FromArgMatches;

    #[test]
    fn flags_default_to_what_the_library_does() {
        let matches = <Cli as clap::CommandFactory>::command().get_matches_from(["entrace", "run"]);
        let Ok(Cli { command: Command::Run(args), .. }) = Cli::from_arg_matches(&matches) else {
            panic!("`entrace run` is a command")
        };
        let found = measurement(&args.measure, MAX_NEW_TOKENS).unwrap();
        assert_eq!(format!("{found:?}"), format!("{:?}", Measurement::default()));
    }
}
