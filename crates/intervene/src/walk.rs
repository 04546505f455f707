//! Interventions on all traces of a run.
//!
//! Traces are taken in batches, so that forced readings share passes. Whether a batch is large or small changes no draw: streams are named by
//! trace, change and number. A batch is also the unit in which a measurement is resumed.

use crate::error::Error;
use crate::forced;
use crate::paraphrase;
use crate::plan::{Edit, Plan, Planner, Pool};
use crate::recorded::Recorded;
use crate::rollout::{Drawing, Taken};
use entrace_backend::Sampling;
use entrace_measure::intervention::{Kind, Reading};
use entrace_measure::{AnswerFormat, Estimator, Segmentation};
use entrace_record::Settings;
use entrace_record::interventions::{InterventionSettings, Interventions, Unfinished};
use entrace_record::manifest::{SamplingRecord, TraceSource};
use entrace_record::rows::InterventionRow;
use entrace_run::probe::Prober;
use entrace_run::{ChoiceForm, Engine, EstimatorChoice, Event, Measurement, Observer, Phase, TraceMaking};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Traces whose forced readings are made together.
const BATCH: usize = 8;

/// Traces of one task with answers of one format.
pub struct TaskFormat {
    /// Name of the task.
    pub task: String,
    /// How answers are read.
    pub format: Arc<dyn AnswerFormat>,
    /// The traces.
    pub traces: Vec<Recorded>,
}

/// What was measured, and what it took.
#[derive(Debug, Default)]
pub struct Measured {
    /// The rows, trace by trace.
    pub rows: Vec<InterventionRow>,
    /// Tokens that were scored.
    pub tokens_scored: u64,
    /// Tokens that were drawn.
    pub tokens_drawn: u64,
    /// Draws that were made.
    pub draws_made: u64,
    /// Draws that would have been made with the most draws everywhere.
    pub draws_at_most: u64,
}

impl From<Interventions> for Measured {
    fn from((settings, rows): Interventions) -> Self {
        let InterventionSettings { tokens_scored, tokens_drawn, draws_made, draws_at_most, .. } = settings;
        Self { rows, tokens_scored, tokens_drawn, draws_made, draws_at_most }
    }
}

/// Refuses plans that measure nothing or cannot be carried out.
pub fn check(plan: &Plan, how: &Measurement) -> Result<(), Error> {
    let settings = |problem: &str| Err(Error::Settings(problem.to_string()));
    if plan.kinds.is_empty() || plan.readings.is_empty() {
        return settings("there is nothing to measure: name a kind and a reading");
    }
    if plan.draws.fewest == 0 || plan.draws.most < plan.draws.fewest {
        return settings("draws need a number from 1 on, or a range such as 8..64");
    }
    if plan.kinds.iter().all(|kind| *kind == Kind::Mistake) && !plan.readings.contains(&Reading::Rollout) {
        return settings(
            "a mistake is read by rollouts, since what follows it is drawn anew; ask for that reading",
        );
    }
    if plan.kinds.iter().all(|kind| *kind == Kind::Resample) && !plan.readings.contains(&Reading::Rollout) {
        return settings("a resampled step is read by rollouts; ask for that reading");
    }
    if how.cue.is_empty() && plan.readings.contains(&Reading::Forced) {
        return settings("the run has no cue after which an answer could be asked for");
    }
    Ok(())
}

impl Measured {
    /// The settings of a measurement, with what it took.
    pub fn counted_in(&self, settings: &InterventionSettings) -> InterventionSettings {
        InterventionSettings {
            tokens_scored: self.tokens_scored,
            tokens_drawn: self.tokens_drawn,
            draws_made: self.draws_made,
            draws_at_most: self.draws_at_most,
            ..settings.clone()
        }
    }

    fn add(&mut self, other: Self) {
        self.rows.extend(other.rows);
        self.tokens_scored += other.tokens_scored;
        self.tokens_drawn += other.tokens_drawn;
        self.draws_made += other.draws_made;
        self.draws_at_most += other.draws_at_most;
    }
}

/// Measures every change of the plan on every trace. Batches that `unfinished` has are not measured again, and those that are finished are
/// written there.
pub fn measure(
    engine: Engine<'_>,
    paraphraser: Option<Engine<'_>>,
    tasks: &[TaskFormat],
    how: &Measurement,
    plan: &Plan,
    unfinished: Option<&Unfinished>,
    observer: &mut dyn Observer,
) -> Result<Measured, Error> {
    check(plan, how)?;
    let mut measured = Measured::default();
    let mut part = 0;
    for task in tasks {
        let n_traces = task.traces.len();
        let parts = part..part + n_traces.div_ceil(BATCH);
        let n_done = parts.filter(|&part| unfinished.is_some_and(|known| known.part(part).is_some()));
        observer.event(Event::TaskBegins {
            task: &task.task,
            n_traces,
            n_done: (n_done.count() * BATCH).min(n_traces),
            n_rolled_out: 0,
        });
        let pool = Pool::of(&task.traces);
        let planner = Planner { text: engine.text, plan, pool: &pool, all: &task.traces };
        let walk = Walk { engine, paraphraser: paraphraser.unwrap_or(engine), task, how, plan, planner };
        let mut prober = Prober::new(engine, Arc::clone(&task.format), how);
        let mut first = 0;
        while first < n_traces {
            let batch = first..(first + BATCH).min(n_traces);
            first = batch.end;
            if let Some(known) = unfinished.and_then(|unfinished| unfinished.part(part)) {
                measured.add(known.into());
            } else {
                let mut found = Measured::default();
                walk.batch(&mut prober, batch.clone(), observer, &mut found)?;
                if let Some(unfinished) = unfinished {
                    unfinished.write(part, &found.counted_in(unfinished.settings()), &found.rows)?;
                }
                measured.add(found);
                observer.event(Event::TracesDone(batch.len()));
            }
            part += 1;
        }
        observer.event(Event::TaskEnds);
    }
    Ok(measured)
}

struct Walk<'a> {
    engine: Engine<'a>,
    paraphraser: Engine<'a>,
    task: &'a TaskFormat,
    how: &'a Measurement,
    plan: &'a Plan,
    planner: Planner<'a>,
}

impl Walk<'_> {
    fn batch(
        &self,
        prober: &mut Prober<'_>,
        batch: std::ops::Range<usize>,
        observer: &mut dyn Observer,
        measured: &mut Measured,
    ) -> Result<(), Error> {
        if observer.should_stop() {
            return Err(entrace_run::Error::Interrupted.into());
        }
        let mut traces = Vec::new();
        for at in batch {
            let recorded = &self.task.traces[at];
            let mut edits = self.planner.edits(at);
            if self.plan.kinds.contains(&Kind::Paraphrase) {
                let (changes, n_tokens) = paraphrase::steps(self.paraphraser, recorded, observer)?;
                measured.tokens_drawn += n_tokens;
                let paraphrased = (1..).zip(changes);
                edits
                    .extend(paraphrased.map(|(step, change)| {
                        self.planner.changed(Kind::Paraphrase, recorded, step, change)
                    }));
            }
            traces.push((recorded, edits));
        }
        if self.plan.readings.contains(&Reading::Forced) {
            let n = traces.iter().map(|(_, edits)| edits.len() + 1).sum();
            observer.event(Event::PhaseBegins { phase: Phase::Prefixes, n });
            let (rows, n_tokens) = forced::measure(prober, &traces, observer)?;
            measured.rows.extend(rows);
            measured.tokens_scored += n_tokens;
        }
        if self.plan.readings.contains(&Reading::Rollout) {
            self.rollouts(&traces, observer, measured)?;
        }
        Ok(())
    }

    fn rollouts(
        &self,
        traces: &[(&Recorded, Vec<Edit>)],
        observer: &mut dyn Observer,
        measured: &mut Measured,
    ) -> Result<(), Error> {
        observer.event(Event::PhaseBegins { phase: Phase::Rollouts, n: traces.len() });
        let format = self.task.format.as_ref();
        let drawing = Drawing { engine: self.engine, format, how: self.how, plan: self.plan };
        let mut taken = Taken::default();
        for (recorded, edits) in traces {
            let mut drawn: Vec<Edit> = edits.iter().filter(|edit| is_drawn(edit)).cloned().collect();
            if self.plan.kinds.contains(&Kind::Mistake) {
                drawn.extend((1..=recorded.n_steps()).map(|step| {
                    self.planner.changed(Kind::Mistake, recorded, step, self.planner.wrong(recorded, step))
                }));
            }
            measured.rows.extend(drawing.measure(recorded, &drawn, observer, &mut taken)?);
            observer.event(Event::PhaseAdvances(1));
        }
        measured.tokens_drawn += taken.n_tokens;
        measured.draws_made += taken.n_draws;
        measured.draws_at_most += taken.n_draws_at_most;
        Ok(())
    }
}

/// Whether a change is read by rollouts as it is. What is left out and drawn anew is a step that is drawn anew (`resample`), a corrupted step
/// before draws is a mistake (`mistake`), and cut traces are the prefixes.
pub(crate) fn is_drawn(edit: &Edit) -> bool {
    let in_place = edit.variant != crate::plan::FILLED_PREFIX;
    matches!(edit.kind, Kind::Filler | Kind::Swap | Kind::Paraphrase | Kind::Conflict) && in_place
}

/// The measurement of a run as its manifest records it, so that beliefs are asked for as they were.
pub fn measurement(settings: &Settings) -> Result<Measurement, Error> {
    let segmentation = Segmentation::parse(&settings.segment).map_err(|e| Error::Settings(e.to_string()))?;
    let estimator = settings.tasks.first().and_then(|task| Estimator::from_name(&task.estimator));
    let sampling = match &settings.traces {
        TraceSource::Generated { temperature, top_p, top_k, max_new_tokens, stop, .. } => Sampling {
            temperature: *temperature,
            top_p: *top_p,
            top_k: *top_k,
            max_new_tokens: *max_new_tokens,
            stop: stop.clone(),
        },
        TraceSource::Imported { sampling, .. } => sampling.as_ref().map_or_else(greedy, sampling_of),
    };
    Ok(Measurement {
        estimator: estimator.map_or(EstimatorChoice::Auto, EstimatorChoice::Always),
        cue: settings.cue.clone(),
        more_cues: Vec::new(),
        choice_form: match settings.choice_form.as_str() {
            "text" => ChoiceForm::Text,
            "text-mean" => ChoiceForm::TextMean,
            _ => ChoiceForm::Label,
        },
        samples: settings.samples,
        epsilon: settings.enumerate_epsilon,
        max_nodes: settings.enumerate_nodes,
        max_answer_tokens: settings.max_answer_tokens.unwrap_or(MOST_ANSWER_TOKENS),
        segmentation,
        max_steps: settings.max_steps,
        controls: Vec::new(),
        control_depths: None,
        control_nodes: settings.enumerate_nodes,
        rollouts: None,
        signals: BTreeSet::new(),
        stopping: None,
        traces: TraceMaking { sampling },
        seed: settings.seed,
        batch_size: settings.batch_size.max(1),
    })
}

/// Most tokens of an answer string where the run did not say.
const MOST_ANSWER_TOKENS: usize = 16;

fn sampling_of(record: &SamplingRecord) -> Sampling {
    Sampling {
        temperature: record.temperature,
        top_p: record.top_p,
        top_k: record.top_k,
        max_new_tokens: record.max_new_tokens,
        stop: record.stop.clone(),
    }
}

fn greedy() -> Sampling {
    Sampling { temperature: 0.0, top_p: 1.0, top_k: 0, max_new_tokens: 512, stop: Vec::new() }
}
