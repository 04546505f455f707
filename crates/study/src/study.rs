//! What is measured of a model, from the plan to the finished run folder.
//!
//! The manifest of a run is made here and nowhere else: by [`Study::measure`], of the same values that the run then uses.

use crate::error::Error;
use crate::fingerprint;
use crate::model::Model;
use crate::outputs;
use crate::prompt::Asking;
use crate::shard::Share;
use crate::tasks::{self, Planned, Tasks};
use crate::traces::{self, Traces};
use entrace_backend::ModelInfo;
use entrace_datasets::BadLine;
use entrace_measure::Estimator;
use entrace_record::manifest::{Manifest, TaskRecord, TraceSource};
use entrace_record::merge::shard_folder;
use entrace_record::{Found, RunReader, RunWriter};
use entrace_report::metrics::VerdictMetrics;
use entrace_report::{Report, ReportOptions};
use entrace_run::{EstimatorChoice, Event, Measured, Measurement, Observer, Rollouts, TaskPlan};
use std::path::{Path, PathBuf};

/// A model, what it is asked, and how that is measured.
pub struct Study<'m> {
    model: &'m mut Model,
    how: Measurement,
    tasks: Vec<Planned>,
    traces: TraceSource,
    /// The tasks as they were named.
    names: Vec<String>,
    limit: Option<f64>,
    /// Lines of the input that could not be read.
    bad_lines: Vec<BadLine>,
    /// The file that existing traces come from.
    input: Option<PathBuf>,
    notes: Vec<String>,
}

/// Where a study is recorded, and how much of it.
#[derive(Debug, Clone)]
pub struct Place {
    /// The run folder. One that holds the same study unfinished is resumed.
    pub folder: PathBuf,
    /// Whether a run that is in the folder is replaced.
    pub overwrite: bool,
    /// The share that is measured, in a folder of its own below `folder`; all of it without one.
    pub share: Option<Share>,
    /// The command line, for the record.
    pub command: Vec<String>,
}

impl Place {
    /// All of a study in this folder.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), overwrite: false, share: None, command: Vec::new() }
    }
}

impl<'m> Study<'m> {
    /// A model that reasons on questions.
    ///
    /// # Errors
    /// Where questions cannot be put to the model as the options say.
    pub fn of_tasks(model: &'m mut Model, tasks: Tasks, mut how: Measurement) -> Result<Self, Error> {
        let Tasks { options, sources } = tasks;
        let asking = Asking::of(&options.prompt, model.text())?;
        how.traces.sampling.stop.extend(asking.stop());
        if how.estimator == EstimatorChoice::Nothing {
            // Controls would be measured.
            how.controls.clear();
        }
        let mut notes = Vec::new();
        if options.repeats > 1 && how.traces.sampling.temperature <= 0.0 {
            let n = options.repeats;
            notes.push(format!(
                "at temperature 0 the {n} traces of a question are all alike; a temperature makes them differ"
            ));
        }
        notes.extend(asking.note());
        if how.estimator == EstimatorChoice::Nothing {
            let cannot = "the server only chats: nothing can be asked after a part of a trace, so belief cannot be measured there; ";
            let cannot = if model.chat().is_some() { cannot } else { "" };
            notes.push(format!(
                "{cannot}traces are written and not measured; `entrace score` measures those in traces.parquet with another model"
            ));
        }
        notes.extend(sources.iter().flat_map(|source| source.notes.clone()));
        let (tasks, bad_lines) = tasks::plan(sources, &options, &asking, &how)?;
        let sampling = entrace_run::sampling_record(&how.traces.sampling);
        let traces = TraceSource::Generated {
            temperature: sampling.temperature,
            top_p: sampling.top_p,
            top_k: sampling.top_k,
            max_new_tokens: sampling.max_new_tokens,
            stop: sampling.stop,
            traces_per_question: options.repeats as usize,
            num_fewshot: options.prompt.num_fewshot,
            prompt_template: options.prompt.recorded_name(model.text()),
            system: options.prompt.system,
        };
        let (names, limit) = (options.names, options.limit);
        Ok(Self { model, how, tasks, traces, names, limit, bad_lines, input: None, notes })
    }

    /// A model that reads existing traces.
    ///
    /// # Errors
    /// Where the model cannot read them as the options say.
    pub fn of_traces(model: &'m mut Model, traces: Traces, mut how: Measurement) -> Result<Self, Error> {
        let Traces { options, read } = traces;
        let asking = Asking::of(&options.prompt, model.text())?;
        let (notes, bad_lines) = (read.notes.clone(), read.bad_lines.clone());
        let (path, hash) = (read.source.clone(), read.hash.clone());
        let planned = traces::plan(read, &options, &asking, &mut how)?;
        let sampling = Some(entrace_run::sampling_record(&how.traces.sampling));
        Ok(Self {
            model,
            how,
            tasks: vec![planned],
            traces: TraceSource::Imported { path, hash, sampling },
            names: vec![options.task()],
            limit: options.limit,
            bad_lines,
            input: Some(options.path),
            notes,
        })
    }

    /// What the user should know.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The run folder that the model and the tasks give the name.
    pub fn default_folder(&self) -> PathBuf {
        default_folder(&self.model.info().name, &self.names)
    }

    /// Measures everything into a run folder, or what is missing there.
    ///
    /// # Errors
    /// What stops a run. What was measured before stays in the folder, and the same study resumes there.
    pub fn measure(self, place: &Place, observer: &mut dyn Observer) -> Result<Recorded, Error> {
        self.refuse_own_input(place)?;
        let Self { model, how, tasks, traces, limit, bad_lines, .. } = self;
        // Chat templates that print the date see that of the beginning: a resumed run has the prompts that it began with.
        if let Some(clock) = recorded_clock(place) {
            model.set_clock(clock);
        }
        let (plans, records) = with_fingerprints(tasks);
        check(model, &plans, &how)?;
        let manifest = manifest(model, &how, &plans, (records, traces), place);
        let folder = match &manifest.shard {
            Some(shard) => shard_folder(&place.folder, shard),
            None => place.folder.clone(),
        };
        let (mut writer, found) = if place.overwrite {
            (RunWriter::overwrite(&folder, &manifest)?, Found::Nothing)
        } else {
            RunWriter::open(&folder, &manifest)?
        };
        list_bad_lines(&writer, &bad_lines, observer)?;
        if found == Found::Complete {
            return Ok(Recorded { writer, limit, ending: Ending::WasComplete });
        }
        match model.chat() {
            Some(chat) => entrace_run::write_replies(chat, &plans, &how, &mut writer, observer)?,
            None => entrace_run::run(model.engine(), &plans, &how, &mut writer, observer)?,
        }
        let ending = if manifest.shard.is_some() { Ending::Shard } else { Ending::Measured };
        Ok(Recorded { writer, limit, ending })
    }

    /// A run that is replaced may hold the very file that is read, as its table of traces.
    fn refuse_own_input(&self, place: &Place) -> Result<(), Error> {
        let input = self.input.as_ref().and_then(|path| path.canonicalize().ok());
        let (Some(input), Ok(folder)) = (input, place.folder.canonicalize()) else { return Ok(()) };
        if place.overwrite && input.starts_with(&folder) {
            let problem = format!("{} is read, and may be removed", input.display());
            return Err(Error::new("overwrite", problem));
        }
        Ok(())
    }
}

/// The time that chat templates saw when the run in the folder began.
fn recorded_clock(place: &Place) -> Option<jiff::civil::DateTime> {
    let recorded = Manifest::peek(&place.folder).filter(|_| !place.overwrite);
    recorded.and_then(|manifest| manifest.clock?.parse().ok())
}

/// The manifest of a run: of the very values that it will use.
fn manifest(
    model: &Model,
    how: &Measurement,
    plans: &[TaskPlan],
    (tasks, traces): (Vec<TaskRecord>, TraceSource),
    place: &Place,
) -> Manifest {
    let measured = Measured {
        tasks,
        traces,
        revision: model.revision().map(str::to_string),
        template_vars: model.template_variables().clone(),
    };
    let settings = how.settings(model.text(), measured);
    let shard = place.share.map(|share| share.among(entrace_run::n_parts(plans, how.batch_size)));
    let begun = Manifest::begun(settings, place.command.clone(), Some(model.clock().to_string()));
    Manifest { servers: model.servers(), kernels: model.kernels(), shard, ..begun }
}

/// Plans, and tasks with the hash of what is measured of them.
fn with_fingerprints(tasks: Vec<Planned>) -> (Vec<TaskPlan>, Vec<TaskRecord>) {
    let (mut all, mut records) = (Vec::new(), Vec::new());
    for (plans, record) in tasks {
        records.push(TaskRecord { items_hash: fingerprint::of(&plans), ..record });
        all.extend(plans);
    }
    (all, records)
}

/// Refuses what the model cannot do before anything is measured; of servers it is said what they lack and what would help.
fn check(model: &Model, plans: &[TaskPlan], how: &Measurement) -> Result<(), Error> {
    if model.chat().is_some() && how.estimator == EstimatorChoice::Nothing {
        return Ok(entrace_run::check_settings(plans, how)?);
    }
    let Err(error) = entrace_run::check(model.engine(), plans, how) else { return Ok(()) };
    let lacks = model.profile().map(entrace_remote::Profile::lacks).unwrap_or_default();
    if matches!(error, entrace_run::Error::Lacks(_)) && !lacks.is_empty() {
        return Err(Error::ServerLacks { error, lacks });
    }
    Err(error.into())
}

/// Lists the lines that were left out in a file of the run folder.
fn list_bad_lines(
    writer: &RunWriter,
    bad_lines: &[BadLine],
    observer: &mut dyn Observer,
) -> Result<(), Error> {
    let Some(first) = bad_lines.first() else { return Ok(()) };
    let lines: String = bad_lines.iter().map(|line| format!("{line}\n")).collect();
    let path = writer.write_file("skipped_lines.txt", lines.as_bytes())?;
    let (n, path) = (bad_lines.len(), path.display());
    observer.event(Event::Warning(&format!(
        "{n} line(s) could not be read and were skipped; the first: {first}; all of them: {path}"
    )));
    Ok(())
}

/// The run folder of a model and tasks by name, below the current folder.
pub fn default_folder(model: &str, tasks: &[String]) -> PathBuf {
    let clean = |text: &str| {
        let name = text.rsplit(['/', '\\']).find(|part| !part.is_empty()).unwrap_or(text);
        name.chars()
            .map(|c| if c.is_ascii_alphanumeric() || "._-@".contains(c) { c } else { '-' })
            .collect::<String>()
    };
    let tasks: Vec<String> = tasks.iter().map(|task| clean(task)).collect();
    let name = format!("{}_{}", clean(model), tasks.join("+"));
    Path::new("entrace-runs").join(entrace_record::file::short_name(&name))
}

/// The usual rollouts beside the estimator: on as many questions as a model of this size does in minutes rather than hours.
/// None beside an estimator that is nothing else.
pub fn usual_rollouts(estimator: EstimatorChoice, model: &ModelInfo) -> Option<Rollouts> {
    if matches!(estimator, EstimatorChoice::Always(Estimator::Rollout) | EstimatorChoice::Nothing) {
        return None;
    }
    let n_questions = match model.n_parameters {
        Some(..50_000_000) => usize::MAX,
        Some(50_000_000..2_000_000_000) => 100,
        _ => 30,
    };
    Some(Rollouts { n_questions, draws: 8 })
}

/// How measuring ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// All is measured.
    Measured,
    /// All had been measured before.
    WasComplete,
    /// The parts of a shard are measured; merging with the others makes a run of them.
    Shard,
}

/// A study that is recorded.
pub struct Recorded {
    writer: RunWriter,
    limit: Option<f64>,
    /// How measuring ended.
    pub ending: Ending,
}

impl Recorded {
    /// The run folder.
    pub fn dir(&self) -> &Path {
        self.writer.dir()
    }

    /// Its rows.
    pub fn reader(&self) -> Result<RunReader, Error> {
        Ok(RunReader::open(self.dir())?)
    }

    /// The verdict of each task: whether its traces inform about the answer.
    pub fn verdicts(&self) -> Result<Vec<(String, VerdictMetrics)>, Error> {
        let report = Report::of_run(&self.reader()?, &ReportOptions::default())?;
        Ok(report.metrics.tasks.into_iter().map(|task| (task.task, task.verdict)).collect())
    }

    /// Writes what is made from the rows into the folder: metrics, page and figures, and lm-eval's files.
    pub fn write_outputs(&mut self) -> Result<Report, Error> {
        outputs::write(&mut self.writer, self.limit)
    }
}
