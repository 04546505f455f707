//! Rows of a record, gathered trace by trace and reduced to what metrics need.
//!
//! A run is written in the order of its questions, so that the rows of a trace stand together in each table, and traces in one order in all of
//! them. The tables are read side by side along `traces`: once all rows of a trace have come it is reduced to its facts, and the rows are let go.
//! What is kept is about 120 bytes for each prefix and half a kilobyte for each trace, whatever answers, tokens and texts there are. Two passes
//! come first: over the traces, which numbers them and their targets, and over the prefixes, which numbers leaders, and finds the traces that have
//! rows further on, as the first question of a task has when its control waits for the last one. Those are held until the end.
//!
//! Rows may come in any order within a table; where that is another one, traces whose rows came too late are read again, some thousands at a
//! time. Curves are put in order of step, questions in order of their identity, so that metrics do not depend on how a run was batched
//! or resumed. A trace row that comes twice replaces the first; a row of another table without its trace row is left out. A prefix
//! whose numbers are not finite takes its curve with it: the trace is failed, with that reason, or lacks the control. Rollouts that were measured
//! beside the estimator of a question have curves of their own.

mod draft;
mod source;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use entrace_record::manifest::TraceSource;
use entrace_record::rows::{AnswerRow, Rows};
use entrace_record::{Manifest, RunReader, Settings};
use rayon::prelude::*;

use crate::belief::Mass;
use crate::error::Error;
use crate::facts::{TaskFacts, TraceFacts, TraceSampling, further_cue};
use crate::index::TraceIndex;
use crate::signals;
use draft::{Gathered, Taken, reduce};
use source::{Cursor, Source, Streams};

/// Traces that are reduced at once, by all threads.
const BATCH: usize = 1 << 10;
/// Most traces that are held until all of their rows have come.
const HELD: usize = 1 << 13;

/// Takes the rows of a run and gives facts.
#[derive(Debug)]
pub struct Collector {
    tasks: Vec<TaskFacts>,
    /// For each task, the number of each answer.
    answer_numbers: Vec<HashMap<Arc<str>, u32>>,
    task_numbers: HashMap<Arc<str>, usize>,
    /// The number of each trace, in the order of their rows.
    numbers: TraceIndex<u32>,
    /// For each number, its task and its position there.
    positions: Vec<(u32, u32)>,
    /// Texts that many traces share.
    texts: HashSet<Arc<str>>,
    settings: Settings,
}

/// Traces with rows out of their place.
#[derive(Debug, Default)]
struct Late {
    /// Those that are held, with the rows so far.
    held: BTreeMap<u32, Option<Gathered>>,
    /// Those that were reduced before all of their rows had come.
    missed: BTreeSet<u32>,
}

impl Collector {
    /// Knows the tasks of the manifest, so that a task without rows is still reported.
    pub fn new(manifest: &Manifest) -> Self {
        let mut collector = Self {
            tasks: Vec::new(),
            answer_numbers: Vec::new(),
            task_numbers: HashMap::new(),
            numbers: TraceIndex::new(),
            positions: Vec::new(),
            texts: HashSet::new(),
            settings: manifest.settings.clone(),
        };
        for record in &manifest.settings.tasks {
            let task = collector.task_number(&Arc::from(record.name.as_str()));
            collector.tasks[task].record = Some(record.clone());
        }
        collector
    }

    /// Reads the tables of a run folder.
    pub fn of_run(reader: &RunReader) -> Result<Self, Error> {
        let mut collector = Self::new(reader.manifest());
        collector.read(reader)?;
        Ok(collector)
    }

    /// Takes all rows of a run.
    pub fn add_rows(&mut self, rows: &Rows) {
        let Ok(()) = self.read(rows);
    }

    /// Tasks in the order of the manifest, everything else in order of name or number.
    pub(crate) fn finish(self) -> Vec<TaskFacts> {
        let mut tasks = self.tasks;
        for task in &mut tasks {
            task.traces.sort_by(|a, b| (&a.question_id, a.sample).cmp(&(&b.question_id, b.sample)));
            task.n_questions = number_questions(&mut task.traces);
            signals::from_agreement(&mut task.traces);
        }
        tasks
    }

    fn read<S: Source>(&mut self, source: &S) -> Result<(), S::Error> {
        source.traces(|row| {
            let task = self.task_number(row.task);
            if let Some(target) = row.target {
                self.answer_number(task, target);
            }
            if self.numbers.get(row.task, row.question_id, row.sample).is_none() {
                let number = u32::try_from(self.positions.len()).unwrap_or(u32::MAX);
                self.numbers.insert(row.task, row.question_id, row.sample, number);
                self.positions.push((task as u32, u32::MAX));
            }
        })?;
        let mut late = Late::default();
        let mut last = 0;
        source.prefixes(|row| {
            let Some(number) = self.numbers.get(row.task, row.question_id, row.sample) else { return };
            if number < last && late.held.len() < HELD {
                late.held.insert(number, None);
            }
            last = last.max(number);
            if further_cue(row.cue).is_some() {
                return;
            }
            let task = self.positions[number as usize].0 as usize;
            self.answer_number(task, row.leader);
            if !self.settings.is_beside(row.estimator) {
                self.tasks[task].add_estimator(row.estimator, row.n_samples);
            }
        })?;
        self.tasks.iter_mut().for_each(|task| task.estimators.sort_unstable());
        self.reduce_along_traces(source, &mut late)?;
        let missed: Vec<u32> = late.missed.into_iter().collect();
        for numbers in missed.chunks(HELD) {
            self.read_again(source, numbers)?;
        }
        Ok(())
    }

    /// Reads the tables side by side, and reduces each trace when its rows have come.
    fn reduce_along_traces<S: Source>(&mut self, source: &S, late: &mut Late) -> Result<(), S::Error> {
        let Streams { traces, mut prefixes, mut answers, mut tokens, mut signals, mut decisions } =
            source.streams();
        let (mut batch, mut next) = (Vec::new(), 0);
        for row in traces {
            let row = row?;
            let Some(number) = self.numbers.get(&row.task, &row.question_id, row.sample) else { continue };
            if number < next {
                match late.held.get_mut(&number) {
                    Some(Some(held)) => held.trace = Some(row),
                    _ => _ = late.missed.insert(number),
                }
                continue;
            }
            next = number + 1;
            let mut gathered = Gathered::of(row);
            self.take(&mut prefixes, number, &mut gathered, late)?;
            self.take(&mut answers, number, &mut gathered, late)?;
            self.take(&mut tokens, number, &mut gathered, late)?;
            self.take(&mut signals, number, &mut gathered, late)?;
            self.take(&mut decisions, number, &mut gathered, late)?;
            if let Some(held) = late.held.get_mut(&number) {
                *held = Some(gathered);
                continue;
            }
            batch.push((number, gathered));
            if batch.len() == BATCH {
                self.reduce(std::mem::take(&mut batch));
            }
        }
        self.reduce(batch);
        // What is left came after the rows of later traces.
        let mut nobody = Gathered::default();
        self.take(&mut prefixes, u32::MAX, &mut nobody, late)?;
        self.take(&mut answers, u32::MAX, &mut nobody, late)?;
        self.take(&mut tokens, u32::MAX, &mut nobody, late)?;
        self.take(&mut signals, u32::MAX, &mut nobody, late)?;
        self.take(&mut decisions, u32::MAX, &mut nobody, late)?;
        let held = std::mem::take(&mut late.held).into_iter();
        self.reduce(held.filter_map(|(number, held)| Some((number, held?))).collect());
        Ok(())
    }

    /// Takes the rows up to those of a later trace.
    fn take<R: Taken, E>(
        &mut self,
        cursor: &mut Cursor<'_, R, E>,
        number: u32,
        gathered: &mut Gathered,
        late: &mut Late,
    ) -> Result<(), E> {
        while let Some(row) = cursor.peek()? {
            let (task, question, sample) = row.key();
            let found = self.numbers.get(task, question, sample);
            if found.is_some_and(|found| found > number) {
                break;
            }
            let Some(row) = cursor.next()? else { break };
            let Some(found) = found else { continue };
            if found == number {
                self.keep(found, row, gathered);
            } else if let Some(Some(held)) = late.held.get_mut(&found) {
                self.keep(found, row, held);
            } else {
                self.keep(found, row, &mut Gathered::default());
                late.missed.insert(found);
            }
        }
        Ok(())
    }

    fn keep<R: Taken>(&mut self, number: u32, row: R, gathered: &mut Gathered) {
        let task = self.positions[number as usize].0 as usize;
        row.put(gathered, self, task);
    }

    /// An answer by its number, while its trace is being gathered.
    fn mass(&mut self, task: usize, row: &AnswerRow) -> Mass {
        let answer = self.answer_number(task, &row.answer);
        Mass { step: row.step, answer, prob: row.prob, logprob: row.logprob }
    }

    /// Reads all rows of these traces once more.
    fn read_again<S: Source>(&mut self, source: &S, numbers: &[u32]) -> Result<(), S::Error> {
        let mut found: BTreeMap<u32, Gathered> =
            numbers.iter().map(|&number| (number, Gathered::default())).collect();
        let Streams { traces, mut prefixes, mut answers, mut tokens, mut signals, mut decisions } =
            source.streams();
        for row in traces {
            let row = row?;
            let number = self.numbers.get(&row.task, &row.question_id, row.sample);
            if let Some(gathered) = number.and_then(|number| found.get_mut(&number)) {
                gathered.trace = Some(row);
            }
        }
        self.pick(&mut prefixes, &mut found)?;
        self.pick(&mut answers, &mut found)?;
        self.pick(&mut tokens, &mut found)?;
        self.pick(&mut signals, &mut found)?;
        self.pick(&mut decisions, &mut found)?;
        self.reduce(found.into_iter().collect());
        Ok(())
    }

    fn pick<R: Taken, E>(
        &mut self,
        cursor: &mut Cursor<'_, R, E>,
        found: &mut BTreeMap<u32, Gathered>,
    ) -> Result<(), E> {
        while let Some(row) = cursor.next()? {
            let (task, question, sample) = row.key();
            let Some(number) = self.numbers.get(task, question, sample) else { continue };
            if let Some(gathered) = found.get_mut(&number) {
                self.keep(number, row, gathered);
            }
        }
        Ok(())
    }

    /// Reduces traces to their facts, and puts them in their tasks.
    fn reduce(&mut self, batch: Vec<(u32, Gathered)>) {
        let begun: Vec<(u32, usize, TraceFacts, Gathered)> = batch
            .into_iter()
            .filter_map(|(number, gathered)| {
                let facts = TraceFacts::of(gathered.trace.as_ref()?, &mut self.texts);
                Some((number, self.positions[number as usize].0 as usize, facts, gathered))
            })
            .collect();
        let (tasks, settings) = (&self.tasks, &self.settings);
        let reduced: Vec<(u32, usize, TraceFacts)> = begun
            .into_par_iter()
            .map(|(number, task, facts, gathered)| {
                (number, task, reduce(facts, gathered, &tasks[task], settings))
            })
            .collect();
        for (number, task, facts) in reduced {
            let (traces, position) = (&mut self.tasks[task].traces, &mut self.positions[number as usize].1);
            match traces.get_mut(*position as usize) {
                Some(known) => *known = facts,
                None => {
                    *position = u32::try_from(traces.len()).unwrap_or(u32::MAX);
                    traces.push(facts);
                }
            }
        }
    }

    fn task_number(&mut self, name: &Arc<str>) -> usize {
        if let Some(&number) = self.task_numbers.get(name) {
            return number;
        }
        self.tasks.push(TaskFacts {
            name: name.clone(),
            record: None,
            traces: Vec::new(),
            n_questions: 0,
            estimators: Vec::new(),
            rollouts_follow_traces: follows(&self.settings),
            trace_sampling: trace_sampling(&self.settings.traces),
            n_samples: None,
            answers: Vec::new(),
        });
        self.answer_numbers.push(HashMap::new());
        self.task_numbers.insert(name.clone(), self.tasks.len() - 1);
        self.tasks.len() - 1
    }

    /// The number of an answer in its task, a new one for a new answer.
    fn answer_number(&mut self, task: usize, name: &str) -> u32 {
        if let Some(&number) = self.answer_numbers[task].get(name) {
            return number;
        }
        let answers = &mut self.tasks[task].answers;
        let number = u32::try_from(answers.len()).unwrap_or(u32::MAX);
        let name: Arc<str> = Arc::from(name);
        answers.push(name.clone());
        self.answer_numbers[task].insert(name, number);
        number
    }
}

/// Whether rollouts beside the estimator have the temperature of the traces.
fn follows(settings: &Settings) -> bool {
    match (&settings.traces, &settings.rollouts) {
        (TraceSource::Generated { temperature, .. }, Some(rollouts)) => {
            (temperature - rollouts.sampling.temperature).abs() < 1e-9
        }
        _ => true,
    }
}

fn trace_sampling(traces: &TraceSource) -> TraceSampling {
    match traces {
        TraceSource::Generated { temperature, .. } if *temperature <= 0.0 => TraceSampling::Greedy,
        TraceSource::Generated { temperature, top_p, top_k: 0, .. }
            if (temperature - 1.0).abs() < 1e-9 && *top_p >= 1.0 =>
        {
            TraceSampling::Whole
        }
        TraceSource::Generated { .. } | TraceSource::Imported { .. } => TraceSampling::Other,
    }
}

fn number_questions(traces: &mut [TraceFacts]) -> usize {
    let mut n_questions = 0;
    let mut previous: Option<Arc<str>> = None;
    for trace in traces {
        if previous.as_ref() != Some(&trace.question_id) {
            n_questions += 1;
            previous = Some(trace.question_id.clone());
        }
        trace.question = n_questions - 1;
    }
    n_questions
}
