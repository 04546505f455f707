//! Changes in the traces of a recorded run, and what they do to belief, added to its folder.

use crate::error::Error;
use crate::host::Host;
use crate::model::{ModelOptions, engine, open_language};
use entrace_backend::Text;
use entrace_datasets::FormatKind;
use entrace_decoder::LanguageModel;
use entrace_intervene::cost::{self, Costs, Rates};
use entrace_intervene::walk::{self, TaskFormat};
use entrace_intervene::{LeftOut, Plan, Recorded, import, recorded};
use entrace_record::interventions::{self, InterventionSettings, Unfinished};
use entrace_record::manifest::ModelRecord;
use entrace_record::{Manifest, RunReader};
use entrace_run::{Measurement, Observer};
use std::path::Path;
use std::time::Instant;

/// Share of steps without importance that the noise floor lets through.
pub const ALPHA: f64 = 0.05;

/// A recorded run with a model that reads its traces once more.
pub struct Interventions {
    reader: RunReader,
    how: Measurement,
    plan: Plan,
    model: LanguageModel,
    revision: Option<String>,
    tasks: Vec<TaskFormat>,
    left_out: LeftOut,
}

impl Interventions {
    /// Opens the model of the run, or the one that the options name, and reads the traces of the first `limit` questions of each task.
    ///
    /// # Errors
    /// Where the plan measures nothing, the model cannot be opened, or the run has no trace that could be changed.
    pub fn open(
        reader: RunReader,
        plan: Plan,
        options: &ModelOptions,
        limit: Option<usize>,
        host: &dyn Host,
    ) -> Result<Self, Error> {
        let manifest = reader.manifest();
        let how = walk::measurement(&manifest.settings)?;
        walk::check(&plan, &how)?;
        let name = options.name().unwrap_or(&manifest.settings.model.name).to_string();
        let (mut model, revision) =
            open_language(&ModelOptions { names: vec![name], ..options.clone() }, host)?;
        if let Some(clock) = manifest.clock.as_deref().and_then(|clock| clock.parse().ok()) {
            model.set_clock(clock);
        }
        let (traces, left_out) = recorded::load(&reader, &model, limit)?;
        let tasks = tasks(traces, manifest)?;
        if tasks.iter().all(|task| task.traces.is_empty()) {
            let reasons: Vec<String> = left_out.iter().map(|(reason, n)| format!("{n}: {reason}")).collect();
            let (dir, reasons) = (reader.dir().to_path_buf(), reasons.join("; "));
            return Err(Error::NothingToChange { dir, reasons });
        }
        Ok(Self { reader, how, plan, model, revision, tasks, left_out })
    }

    /// The name of the model, if it is not the one that the run was measured with: then every effect is off-policy.
    pub fn other_model(&self) -> Option<&str> {
        let hash = &self.model.info().model_hash;
        let is_same = hash.is_some() && *hash == self.reader.manifest().settings.model.model_hash;
        (!is_same).then_some(self.model.info().name.as_str())
    }

    /// The model that the run was measured with.
    pub fn recorded_model(&self) -> &str {
        &self.reader.manifest().settings.model.name
    }

    /// What the changes will take, and how fast the model is, measured on the first trace.
    pub fn costs(&self) -> Result<(Costs, Option<Rates>), Error> {
        let engine = engine(&self.model);
        let rates = cost::rates(engine, &self.tasks, &self.how, &self.plan)?;
        Ok((cost::costs(engine, &self.tasks, &self.plan), rates))
    }

    /// Measures every change and writes the table into the run folder; what an interrupted call had measured is kept. `paraphraser` says steps in other words; without one the model itself.
    pub fn measure(
        &self,
        paraphraser: Option<&LanguageModel>,
        observer: &mut dyn Observer,
    ) -> Result<(), Error> {
        let began = Instant::now();
        let settings = self.settings(paraphraser);
        let unfinished = Unfinished::of(self.reader.dir(), &settings);
        let (engine, other) = (engine(&self.model), paraphraser.map(engine));
        let (tasks, how, plan) = (&self.tasks, &self.how, &self.plan);
        let mut measured =
            entrace_intervene::measure(engine, other, tasks, how, plan, Some(&unfinished), observer)?;
        if self.other_model().is_some() {
            measured.rows.iter_mut().for_each(|row| row.off_policy = true);
        }
        let elapsed_secs = began.elapsed().as_secs_f64();
        let settings = InterventionSettings { elapsed_secs, ..measured.counted_in(&settings) };
        interventions::write(self.reader.dir(), &settings, &measured.rows)?;
        Ok(unfinished.remove()?)
    }

    /// How the changes are measured, before anything was counted.
    fn settings(&self, paraphraser: Option<&LanguageModel>) -> InterventionSettings {
        InterventionSettings {
            entrace_version: env!("CARGO_PKG_VERSION").to_string(),
            model: Some(entrace_run::model_record(self.model.info(), self.revision.clone())),
            paraphraser: paraphraser.map(|model| model.info().name.clone()),
            kinds: self.plan.kinds.iter().map(|kind| kind.name().to_string()).collect(),
            readings: self.plan.readings.iter().map(|reading| reading.name().to_string()).collect(),
            draws: [self.plan.draws.fewest, self.plan.draws.most],
            alpha: self.plan.alpha,
            dissimilar_below: self.plan.dissimilar_below,
            seed: self.plan.seed,
            n_traces: self.tasks.iter().map(|task| task.traces.len()).sum(),
            left_out: self.left_out.clone(),
            ..InterventionSettings::default()
        }
    }
}

/// Traces with their formats: of a task with several kinds of answers, each trace by its question.
fn tasks(traces: Vec<(String, Vec<Recorded>)>, manifest: &Manifest) -> Result<Vec<TaskFormat>, Error> {
    let mut tasks = Vec::new();
    for (task, traces) in traces {
        let record = manifest.settings.tasks.iter().find(|record| record.name == task);
        let names = record.map_or("text", |record| record.answer_format.as_str());
        let kinds: Vec<FormatKind> =
            names.split(',').map(|name| FormatKind::from_name(name.trim())).collect::<Result<_, _>>()?;
        for kind in FormatKind::ALL {
            let of_kind: Vec<Recorded> =
                traces.iter().filter(|trace| kind_of(trace, &kinds) == Some(kind)).cloned().collect();
            if !of_kind.is_empty() {
                tasks.push(TaskFormat { task: task.clone(), format: kind.format(), traces: of_kind });
            }
        }
    }
    Ok(tasks)
}

/// The kind of a trace's answers among those of its task.
fn kind_of(trace: &Recorded, kinds: &[FormatKind]) -> Option<FormatKind> {
    let question = &trace.question;
    let target = question.target.as_ref().and_then(|target| target.value());
    let guessed =
        FormatKind::of_questions(std::iter::once((question.choices.as_ref(), target)), Default::default());
    guessed.first().copied().filter(|kind| kinds.contains(kind)).or(kinds.first().copied())
}

/// Turns a folder of others' rollouts into a run folder, without a model. Returns what the user should know.
///
/// `model` is the name of the one that drew them; `command` goes into the record.
pub fn import_rollouts(
    folder: &Path,
    out: &Path,
    model: &str,
    seed: u64,
    command: Vec<String>,
) -> Result<Vec<String>, Error> {
    let record = ModelRecord {
        name: model.to_string(),
        revision: None,
        architecture: String::new(),
        n_parameters: None,
        dtype: String::new(),
        device: String::new(),
        context_length: 0,
        model_hash: None,
        tokenizer_hash: None,
        template_hash: None,
    };
    let now = jiff::Timestamp::now();
    Ok(import::folder(folder, out, record, ALPHA, seed, command, now)?.notes)
}
