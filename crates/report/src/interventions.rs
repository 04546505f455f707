//! What changes in the traces did to belief: effects by kind, the importance of steps, and whether the model uses its reasoning.
//!
//! Input: the rows of `interventions.parquet` with the traces that they belong to. Every number is a mean over the traces of a question first
//! and then over questions; intervals resample questions, and p-values of zero are adjusted by Holm over all tests of a task.
//!
//! * `effects`: Δp(target), TV, KL, leaders that change, and ΔI, the change of usable information under a readout that was fitted to the
//!   unchanged traces of other questions (`calibrated`).
//! * `importance`: r_k of rollouts, the share of steps above the noise floor beside α, which chance alone gives, and r_k by depth, by headroom
//!   and by what the step says.
//! * `faithfulness`: areas over curves, the two by two of right and wrong steps and last lines, and the question alone.

mod calibrated;
mod effects;
mod faithfulness;
mod places;
mod shown;
mod steps;

use std::collections::{BTreeMap, HashMap};

use entrace_record::interventions::InterventionSettings;
use entrace_record::rows::{InterventionRow, TraceRow};
use entrace_stats::bootstrap::{self, Resampling};
use entrace_stats::{Clusters, multiplicity};
use serde::{Deserialize, Serialize};

pub use effects::KindEffect;
pub use faithfulness::{Area, Cell, Faithfulness};
pub use places::Place;
pub(crate) use shown::{Changed, chosen};
pub use steps::StepImportance;

use crate::metrics::Quantity;
use crate::metrics::quantity::QuestionMeans;

/// Kind of the unchanged trace.
const UNCHANGED: &str = "none";
/// Reading with the rest of the trace unchanged.
pub(crate) const FORCED: &str = "forced";
/// Reading with the rest drawn anew.
pub(crate) const ROLLOUT: &str = "rollout";

/// All numbers about interventions on a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InterventionMetrics {
    /// How they were measured.
    pub settings: InterventionSettings,
    /// By task, in order of name.
    pub tasks: Vec<TaskInterventions>,
}

/// Interventions on the traces of one task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskInterventions {
    /// Name of the task.
    pub task: String,
    /// Questions whose traces took part.
    pub n_questions: usize,
    /// Traces that took part.
    pub n_traces: usize,
    /// What each kind of change did.
    pub effects: Vec<KindEffect>,
    /// How much steps matter by rollouts: all draws, and those that say something else.
    pub importance: Vec<StepImportance>,
    /// Importance and forced effects by depth, headroom and what steps say.
    pub places: Vec<Place>,
    /// Whether answers depend on the reasoning.
    pub faithfulness: Faithfulness,
}

/// A mean over questions that is tested against zero.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Tested {
    /// The mean with its interval.
    pub mean: Quantity,
    /// Two-sided p-value of zero; null where it is undefined.
    pub p_value: Option<f64>,
    /// The same, adjusted by Holm over the tests of the task.
    pub p_holm: Option<f64>,
}

impl Tested {
    /// The interval cut to the range that the mean has by nature.
    fn within(self, lowest: f64, highest: f64) -> Self {
        Self { mean: self.mean.within(lowest, highest), ..self }
    }
}

impl InterventionMetrics {
    /// From the rows of the table, and of the traces that they belong to.
    pub fn of(
        settings: &InterventionSettings,
        rows: &[InterventionRow],
        traces: &[TraceRow],
        resampling: &Resampling,
    ) -> Self {
        let mut by_task: BTreeMap<&str, Vec<&InterventionRow>> = BTreeMap::new();
        rows.iter().for_each(|row| by_task.entry(&row.task).or_default().push(row));
        let tasks = by_task.into_iter().map(|(task, rows)| {
            let traces = traces.iter().filter(|trace| *trace.task == *task);
            TaskInterventions::of(task, &TaskRows::new(rows, traces), settings, resampling)
        });
        Self { settings: settings.clone(), tasks: tasks.collect() }
    }
}

impl TaskInterventions {
    fn of(task: &str, rows: &TaskRows<'_>, settings: &InterventionSettings, resampling: &Resampling) -> Self {
        let mut found = Self {
            task: task.to_string(),
            n_questions: rows.n_questions,
            n_traces: rows.traces.len(),
            effects: effects::of(rows, resampling),
            importance: steps::of(rows, settings.alpha, resampling),
            places: places::of(rows, resampling),
            faithfulness: faithfulness::of(rows, resampling),
        };
        let mut tests: Vec<&mut Tested> =
            found.effects.iter_mut().map(|effect| &mut effect.target_change).collect();
        tests.extend(found.faithfulness.tests());
        adjust(&mut tests);
        found
    }
}

/// Fills in the adjusted p-values.
fn adjust(tests: &mut [&mut Tested]) {
    let known: Vec<f64> = tests.iter().filter_map(|test| test.p_value).collect();
    let Ok(adjusted) = multiplicity::holm(&known) else { return };
    let with_value = tests.iter_mut().filter(|test| test.p_value.is_some());
    with_value.zip(adjusted).for_each(|(test, p)| test.p_holm = Some(p));
}

/// Rows of a task with the numbers of their questions and traces.
pub(crate) struct TaskRows<'a> {
    pub(crate) entries: Vec<Entry<'a>>,
    pub(crate) traces: Vec<TraceEntry<'a>>,
    pub(crate) n_questions: usize,
}

/// A row with its place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<'a> {
    pub(crate) row: &'a InterventionRow,
    /// Number of the question.
    pub(crate) question: usize,
    /// Number of the trace.
    pub(crate) trace: usize,
}

/// What is known of a trace besides its rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TraceEntry<'a> {
    pub(crate) row: Option<&'a TraceRow>,
}

impl TraceEntry<'_> {
    pub(crate) fn is_correct(&self) -> bool {
        self.row.is_some_and(|row| row.correct == Some(true))
    }
}

impl<'a> TaskRows<'a> {
    fn new(rows: Vec<&'a InterventionRow>, traces: impl Iterator<Item = &'a TraceRow>) -> Self {
        let known: HashMap<(&str, u32), &TraceRow> =
            traces.map(|trace| ((&*trace.question_id, trace.sample), trace)).collect();
        let mut questions: HashMap<&str, usize> = HashMap::new();
        let mut places: HashMap<(&str, u32), usize> = HashMap::new();
        let mut found = Self { entries: Vec::new(), traces: Vec::new(), n_questions: 0 };
        for row in rows {
            let n_questions = questions.len();
            let question = *questions.entry(&row.question_id).or_insert(n_questions);
            let key = (&*row.question_id, row.sample);
            let trace = *places.entry(key).or_insert_with(|| {
                found.traces.push(TraceEntry { row: known.get(&key).copied() });
                found.traces.len() - 1
            });
            found.entries.push(Entry { row, question, trace });
        }
        found.n_questions = questions.len();
        found
    }

    /// Rows of a kind, variant and reading.
    pub(crate) fn of(&self, kind: &str, variant: &str, reading: &str) -> impl Iterator<Item = &Entry<'a>> {
        self.entries.iter().filter(move |entry| {
            let row = entry.row;
            *row.kind == *kind && *row.variant == *variant && *row.reading == *reading
        })
    }

    /// The row of each unchanged trace.
    pub(crate) fn unchanged(&self, reading: &str) -> HashMap<usize, &Entry<'a>> {
        self.of(UNCHANGED, "", reading).map(|entry| (entry.trace, entry)).collect()
    }

    /// A mean over questions.
    pub(crate) fn mean(&self, values: &[(usize, f64)], resampling: &Resampling) -> Quantity {
        if values.is_empty() {
            return Quantity::undefined("no row has it");
        }
        let mut means = QuestionMeans::new(self.n_questions, 1);
        values.iter().for_each(|&(question, value)| means.add(question, 0, value));
        means.per_question().quantities(resampling).remove(0)
    }

    /// A share of yes and no.
    pub(crate) fn share(&self, values: &[(usize, bool)], resampling: &Resampling) -> Quantity {
        let values: Vec<(usize, f64)> =
            values.iter().map(|&(question, yes)| (question, f64::from(u8::from(yes)))).collect();
        self.mean(&values, resampling).into_share(resampling.level)
    }

    /// A mean over questions with the p-value of zero.
    pub(crate) fn tested(&self, values: &[(usize, f64)], resampling: &Resampling) -> Tested {
        let p_value = of_questions(values)
            .and_then(|means| bootstrap::mean_against_zero(&means, resampling).ok())
            .map(|test| test.p_value);
        Tested { mean: self.mean(values, resampling), p_value, p_holm: None }
    }
}

/// The mean of each question that has a value; `None` for fewer than two.
fn of_questions(values: &[(usize, f64)]) -> Option<Vec<f64>> {
    let keys: Vec<usize> = values.iter().map(|value| value.0).collect();
    let clusters = Clusters::of(&keys);
    let mut sums = vec![(0.0, 0.0); clusters.count()];
    for (&cluster, value) in clusters.ids().iter().zip(values) {
        sums[cluster] = (sums[cluster].0 + value.1, sums[cluster].1 + 1.0);
    }
    (sums.len() >= 2).then(|| sums.into_iter().map(|(sum, n)| sum / n).collect())
}

/// The answers of a row with their probabilities, the most likely first; empty where there are none.
pub(crate) fn answers(row: &InterventionRow) -> Vec<(String, f64)> {
    let parsed = row.answers.as_deref().and_then(|json| serde_json::from_str(json).ok());
    parsed.unwrap_or_default()
}

#[cfg(test)]
mod tests;
