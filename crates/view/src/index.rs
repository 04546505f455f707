//! What the list of traces keeps in memory of each trace.
//!
//! Names, answers and verdicts are read when a run is opened; numbers that need other tables follow in the background (`fill`). A number is
//! kept as `f32`, which is more than a list shows.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use entrace_record::rows::Outcome;
use entrace_record::tables::TraceHead;
use entrace_record::{Error, Tables};

use crate::texts::Texts;

/// Points of the small curve of a trace, at even depths from 0 to 1.
pub(crate) const CURVE_POINTS: usize = 16;

/// The small curve of a trace: its answer entropy in 32nds of a nat, at most 8 nats; `NO_POINT` where none was measured.
pub(crate) type Curve = [u8; CURVE_POINTS];

/// A depth without a belief.
pub(crate) const NO_POINT: u8 = u8::MAX;

/// Traces of a run by their number, which is that of their row.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pub(crate) tasks: Names,
    stop_reasons: Names,
    task: Vec<u32>,
    /// Number of the question, in order of appearance.
    question: Vec<u32>,
    sample: Vec<u32>,
    ids: Texts,
    target: Texts,
    answer: Texts,
    pub(crate) correct: Vec<Option<bool>>,
    pub(crate) outcome: Vec<Outcome>,
    stop_reason: Vec<Option<u32>>,
    /// Beginnings of questions, once they have been read.
    pub(crate) questions: OnceLock<Texts>,
    pub(crate) curves: OnceLock<Vec<Curve>>,
    columns: RwLock<Vec<Arc<Column>>>,
    /// Numbers of traces in the order of (task, question, sample).
    order: OnceLock<Vec<u32>>,
}

/// A number of each trace.
#[derive(Debug)]
pub(crate) struct Column {
    /// Its name in requests.
    pub(crate) name: String,
    /// What it is, for people.
    pub(crate) label: String,
    /// NaN where there is none.
    values: Vec<f32>,
}

impl Column {
    pub(crate) fn new(name: &str, label: &str, values: Vec<f32>) -> Self {
        Self { name: name.to_owned(), label: label.to_owned(), values }
    }

    /// The number of a trace; `None` where it has none.
    pub(crate) fn get(&self, number: u32) -> Option<f32> {
        self.values.get(number as usize).copied().filter(|value| !value.is_nan())
    }
}

impl Index {
    /// Reads the traces of a run.
    pub(crate) fn read(tables: &Tables) -> Result<Self, Error> {
        let mut index = Self::default();
        // What a file claims to hold takes no memory before it is read.
        let mut numbers: [Vec<f32>; 4] = Default::default();
        for heads in tables.trace_heads() {
            for head in heads? {
                index.push(&head);
                let lock_in = head.lock_in_step.map(|step| f64::from(step) / f64::from(head.n_steps.max(1)));
                let found = [
                    Some(f64::from(head.n_steps)),
                    Some(f64::from(head.n_trace_tokens)),
                    lock_in,
                    head.total_drop,
                ];
                for (values, value) in numbers.iter_mut().zip(found) {
                    values.push(single(value));
                }
            }
        }
        for texts in [&mut index.ids, &mut index.target, &mut index.answer] {
            texts.shrink();
        }
        let [steps, tokens, lock_in, drop] = numbers;
        index.add(Column::new("steps", "steps", steps));
        index.add(Column::new("tokens", "tokens", tokens));
        index.add(Column::new("lock_in", "lock-in depth", lock_in));
        index.add(Column::new("total_drop", "entropy drop", drop));
        Ok(index)
    }

    fn push(&mut self, head: &TraceHead) {
        let task = self.tasks.place(&head.task);
        let number = self.len() as u32;
        let same = number.checked_sub(1).is_some_and(|before| {
            self.task[before as usize] == task && self.question_id(before) == head.question_id
        });
        if !same {
            self.ids.push(Some(&head.question_id));
        }
        let question = self.question.last().map_or(0, |last| last + u32::from(!same));
        self.task.push(task);
        self.question.push(question);
        self.sample.push(head.sample);
        self.target.push(head.target.as_deref());
        self.answer.push(head.answer.as_deref());
        self.correct.push(head.correct);
        self.outcome.push(head.outcome);
        self.stop_reason.push(head.stop_reason.as_ref().map(|reason| self.stop_reasons.place(reason)));
    }

    /// Number of traces.
    pub(crate) fn len(&self) -> usize {
        self.sample.len()
    }

    pub(crate) fn task(&self, number: u32) -> &Arc<str> {
        &self.tasks.names[self.task[number as usize] as usize]
    }

    pub(crate) fn task_number(&self, number: u32) -> u32 {
        self.task[number as usize]
    }

    pub(crate) fn question_id(&self, number: u32) -> &str {
        self.ids.get(self.question[number as usize] as usize).unwrap_or_default()
    }

    /// The beginning of the question; `None` until it has been read.
    pub(crate) fn question(&self, number: u32) -> Option<&str> {
        self.questions.get()?.get(number as usize)
    }

    pub(crate) fn sample(&self, number: u32) -> u32 {
        self.sample[number as usize]
    }

    pub(crate) fn target(&self, number: u32) -> Option<&str> {
        self.target.get(number as usize)
    }

    pub(crate) fn answer(&self, number: u32) -> Option<&str> {
        self.answer.get(number as usize)
    }

    pub(crate) fn stop_reason(&self, number: u32) -> Option<&Arc<str>> {
        self.stop_reasons.names.get(self.stop_reason[number as usize]? as usize)
    }

    /// The columns so far.
    pub(crate) fn columns(&self) -> Vec<Arc<Column>> {
        self.columns.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A column by its name.
    pub(crate) fn column(&self, name: &str) -> Option<Arc<Column>> {
        self.columns().into_iter().find(|column| column.name == name)
    }

    pub(crate) fn add(&self, column: Column) {
        self.columns.write().unwrap_or_else(PoisonError::into_inner).push(Arc::new(column));
    }

    /// The number of a trace. `near` is a guess: rows of other tables come in the same order.
    pub(crate) fn find(&self, near: u32, task: &str, id: &str, sample: u32) -> Option<u32> {
        let is_it = |number: u32| {
            (number as usize) < self.len()
                && self.sample(number) == sample
                && self.question_id(number) == id
                && **self.task(number) == *task
        };
        if let Some(number) = [near, near.saturating_add(1)].into_iter().find(|number| is_it(*number)) {
            return Some(number);
        }
        let order = self.order();
        let at = order.partition_point(|&number| self.key(number) < (task, id, sample));
        order.get(at).copied().filter(|number| is_it(*number))
    }

    fn key(&self, number: u32) -> (&str, &str, u32) {
        (self.task(number), self.question_id(number), self.sample(number))
    }

    fn order(&self) -> &[u32] {
        self.order.get_or_init(|| {
            let mut order: Vec<u32> = (0..self.len() as u32).collect();
            order.sort_by(|&a, &b| self.key(a).cmp(&self.key(b)));
            order
        })
    }

    /// Traces by task and question, so that many can be found quickly.
    pub(crate) fn by_question(&self) -> HashMap<(&str, &str), RangeInclusive<u32>> {
        let mut found: HashMap<(&str, &str), RangeInclusive<u32>> = HashMap::with_capacity(self.len());
        for number in 0..self.len() as u32 {
            let (task, id, _) = self.key(number);
            let span = found.entry((task, id)).or_insert(number..=number);
            *span = *span.start()..=number;
        }
        found
    }
}

/// Names that repeat, by number.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) names: Vec<Arc<str>>,
    places: HashMap<Arc<str>, u32>,
}

impl Names {
    /// The number of a name, which is added if it is new.
    fn place(&mut self, name: &Arc<str>) -> u32 {
        if let Some(place) = self.places.get(name) {
            return *place;
        }
        let place = self.names.len() as u32;
        self.names.push(Arc::clone(name));
        self.places.insert(Arc::clone(name), place);
        place
    }
}

/// A number as it is kept; NaN for none.
pub(crate) fn single(value: Option<f64>) -> f32 {
    value.map_or(f32::NAN, |value| value as f32)
}
