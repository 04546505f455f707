//! Walking through tasks and batches, and resuming after an interruption.
//!
//! A part is the unit of the record: its rows are written as a whole or not at all. It is the batch with which the run began; a run that
//! goes on with smaller batches measures several for a part. Since batches do not depend on one another's arithmetic, a run that was
//! interrupted ends with the same tables as one that was not. What a batch needs of the one before it, the traces that are lent to the
//! next question as its swapped control, are read back from the record. Parts that are there must hold the questions of their place.

use crate::control::{self, Donor, Donors, Variant};
use crate::cue;
use crate::error::{BadSettings, Capability, Error};
use crate::estimate::Asker;
use crate::estimate::enumerate::Enumerator;
use crate::event::{Event, Observer};
use crate::online::Online;
use crate::plan::{Engine, EstimatorChoice, Measurement, TaskPlan, TaskRun, TraceInput, WorkItem, n_parts};
use crate::rollouts;
use crate::rows;
use crate::signals;
use crate::sites::{Findings, Subject};
use crate::trace::{self, Posed, Prompted, Traced, Writing};
use entrace_backend::SamplingSession;
use entrace_measure::signal::Group;
use entrace_measure::{Control, Estimator, Prefix, Segmentation};
use entrace_record::reader::TraceKey;
use entrace_record::rows::Rows;
use entrace_record::{RunReader, RunWriter};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

/// Measures all tasks into a run folder and finishes the run. Parts that are in the folder are skipped. Of a shard, which its manifest names,
/// the parts that belong to it are measured; merging finishes it.
///
/// # Errors
/// What stops a run; what was measured before stays in the folder, and the next call continues there.
pub fn run(
    engine: Engine<'_>,
    tasks: &[TaskPlan],
    how: &Measurement,
    writer: &mut RunWriter,
    observer: &mut dyn Observer,
) -> Result<(), Error> {
    check(engine, tasks, how)?;
    let started = Instant::now();
    let walked = walk(engine, tasks, how, writer, observer);
    conclude(walked, tasks, writer, started)
}

/// Finishes a run all of whose parts are there, or what belongs to its shard; of others the seconds are added.
pub(crate) fn conclude(
    walked: Result<(), Error>,
    tasks: &[TaskPlan],
    writer: &mut RunWriter,
    started: Instant,
) -> Result<(), Error> {
    let elapsed_secs = started.elapsed().as_secs_f64();
    match walked {
        Ok(()) if writer.manifest().shard.is_some() => Ok(writer.add_elapsed(elapsed_secs)?),
        Ok(()) => {
            let n_parts = n_parts(tasks, writer.manifest().settings.batch_size);
            Ok(writer.finish(n_parts, Timestamp::now(), elapsed_secs)?)
        }
        Err(error) => {
            // The first error is the one to tell: a disk that is full for a part is full for the manifest too.
            let _ = writer.add_elapsed(elapsed_secs);
            Err(error)
        }
    }
}

/// Measures the parts that are missing.
fn walk(
    engine: Engine<'_>,
    tasks: &[TaskPlan],
    how: &Measurement,
    writer: &RunWriter,
    observer: &mut dyn Observer,
) -> Result<(), Error> {
    let finished_parts = &writer.finished_parts()?;
    let part_size = writer.manifest().settings.batch_size.max(1);
    let mut earlier = None;
    if !finished_parts.is_empty() {
        let reader = RunReader::open(writer.dir())?;
        check_parts(&reader, tasks, part_size, finished_parts)?;
        earlier = Some(reader);
    }
    let shard = writer.manifest().shard.map(|shard| shard.parts());
    let is_own = |part: usize| shard.as_ref().is_none_or(|parts| parts.contains(&part));
    let mut first_part = 0;
    for task in tasks {
        let parts: Vec<&[WorkItem]> = task.items.chunks(part_size).collect();
        let n_traces = |items: &[WorkItem]| items.iter().map(|item| item.traces.len()).sum::<usize>();
        let own: Vec<usize> = (0..parts.len()).filter(|part| is_own(first_part + part)).collect();
        let (Some(&first), Some(&end)) = (own.first(), own.last()) else {
            first_part += parts.len();
            continue;
        };
        let done = own.iter().copied().filter(|part| finished_parts.contains(&(first_part + part)));
        observer.event(Event::TaskBegins {
            task: &task.name,
            n_traces: own.iter().map(|&part| n_traces(parts[part])).sum(),
            n_done: done.map(|part| n_traces(parts[part])).sum(),
            n_rolled_out: own
                .iter()
                .filter(|part| !finished_parts.contains(&(first_part + **part)))
                .map(|&part| n_rolled_out(how, part * part_size, parts[part]))
                .sum(),
        });
        let mut walk = Walk {
            run: TaskRun { engine, task, how },
            enumerator: Enumerator::new(engine, Arc::clone(&task.format)),
            donors: Donors::default(),
            orphans: Vec::new(),
        };
        if own.iter().any(|part| !finished_parts.contains(&(first_part + part))) {
            walk.before(first * part_size, end + 1 == parts.len(), observer)?;
        }
        for (index, items) in parts.iter().enumerate().filter(|(index, _)| own.contains(index)) {
            if let Some(reader) = earlier.as_ref().filter(|_| finished_parts.contains(&(first_part + index)))
            {
                let recorded = Recorded::of_part(reader, first_part + index)?;
                walk.skip(index * part_size, items, &recorded);
                continue;
            }
            let last = index + 1 == parts.len();
            let rows = walk.part(index * part_size, items, last, observer)?;
            writer.write_part(first_part + index, &rows)?;
            observer.event(Event::TracesDone(n_traces(items)));
        }
        first_part += parts.len();
        observer.event(Event::TaskEnds);
    }
    Ok(())
}

/// Traces of some items, the first of which has this number, that have rollouts beside the estimator.
fn n_rolled_out(how: &Measurement, first_item: usize, items: &[WorkItem]) -> usize {
    let n_items = how.rollouts.map_or(0, |rollouts| rollouts.n_questions.saturating_sub(first_item));
    let chosen = items.iter().take(n_items).filter(|item| item.question.choices.is_none());
    chosen.map(|item| item.traces.len()).sum()
}

/// Refuses settings with which nothing could be measured.
pub fn check(engine: Engine<'_>, tasks: &[TaskPlan], how: &Measurement) -> Result<(), Error> {
    check_settings(tasks, how)?;
    lacking(engine, tasks, how).map_or(Ok(()), |lacking| Err(Error::Lacks(lacking)))
}

/// Refuses settings that contradict one another, or the questions.
pub fn check_settings(tasks: &[TaskPlan], how: &Measurement) -> Result<(), Error> {
    bad_settings(tasks, how).map_or(Ok(()), |problem| Err(problem.into()))
}

fn bad_settings(tasks: &[TaskPlan], how: &Measurement) -> Option<BadSettings> {
    let always = match how.estimator {
        EstimatorChoice::Always(estimator) => Some(estimator),
        EstimatorChoice::Auto | EstimatorChoice::Nothing => None,
    };
    let rolls_out_only = always == Some(Estimator::Rollout);
    let has_no_options = |task: &&TaskPlan| {
        !task.items.is_empty() && task.items.iter().all(|item| item.question.choices.is_none())
    };
    if how.batch_size == 0 {
        return Some(BadSettings::EmptyBatch);
    }
    if always == Some(Estimator::Choices)
        && let Some(task) = tasks.iter().find(has_no_options)
    {
        return Some(BadSettings::NoOptions { task: task.name.clone() });
    }
    if always.is_some_and(Estimator::is_sampled) && how.samples == 0 {
        return Some(BadSettings::NoDraws);
    }
    if how.estimator == EstimatorChoice::Nothing
        && let Some(what) = measured_all_the_same(tasks, how)
    {
        return Some(BadSettings::NothingAndMore { what });
    }
    if how.rollouts.is_some_and(|rollouts| rollouts.draws == 0) {
        return Some(BadSettings::NoRolloutDraws);
    }
    if how.stopping.is_some()
        && let Some(problem) = bad_stopping(tasks, how)
    {
        return Some(problem);
    }
    if rolls_out_only && how.rollouts.is_some() {
        return Some(BadSettings::RolloutsTwice);
    }
    (rolls_out_only && how.traces.sampling.temperature <= 0.0).then_some(BadSettings::GreedyRollouts)
}

/// What is asked for that measures, though nothing is to be measured.
fn measured_all_the_same(tasks: &[TaskPlan], how: &Measurement) -> Option<&'static str> {
    [
        (are_imported(tasks), "there is nothing else to do with existing traces"),
        (how.rollouts.is_some(), "rollouts measure belief"),
        (how.stopping.is_some(), "a rule that stops traces asks for belief"),
        (!how.signals.is_empty(), "signals are measured"),
        (!how.more_cues.is_empty(), "further cues ask for belief"),
    ]
    .into_iter()
    .find_map(|(is_asked, what)| is_asked.then_some(what))
}

/// Whether some traces were written elsewhere.
fn are_imported(tasks: &[TaskPlan]) -> bool {
    let is_imported = |(_, input): &(u32, TraceInput)| matches!(input, TraceInput::Imported { .. });
    tasks.iter().flat_map(|task| &task.items).any(|item| item.traces.iter().any(is_imported))
}

/// Why traces cannot be stopped while they are written.
fn bad_stopping(tasks: &[TaskPlan], how: &Measurement) -> Option<BadSettings> {
    let is_known = matches!(
        how.segmentation,
        Segmentation::BlankLine | Segmentation::Line | Segmentation::Sentence | Segmentation::Tokens(_)
    );
    if !is_known {
        return Some(BadSettings::StepsNotKnown { segment: how.segmentation.name() });
    }
    [
        (how.max_steps.is_some(), "steps are merged evenly once a trace has ended"),
        (!how.controls.is_empty(), "controls are compared with whole traces"),
        (how.rollouts.is_some(), "rollouts beside the estimator are of whole traces"),
        (!how.signals.is_empty(), "signals that are asked for are of whole traces"),
        (!how.more_cues.is_empty(), "it asks after one cue"),
        (are_imported(tasks), "existing traces have been written"),
    ]
    .into_iter()
    .find_map(|(is_asked, what)| is_asked.then_some(BadSettings::StoppedAndWhole { what }))
}

/// What the engine lacks of what the plans need.
fn lacking(engine: Engine<'_>, tasks: &[TaskPlan], how: &Measurement) -> Option<Capability> {
    let asks = |groups: &[Group]| groups.iter().any(|group| how.signals.contains(group));
    let mut items = tasks.iter().flat_map(|task| &task.items);
    let estimators: BTreeSet<bool> = items
        .clone()
        .filter_map(|item| how.estimator.for_question(&item.question).map(Estimator::is_sampled))
        .collect();
    let is_written =
        |item: &WorkItem| item.traces.iter().any(|(_, input)| matches!(input, TraceInput::Generate));
    let rolls_out = how.rollouts.is_some() && items.clone().any(|item| item.question.choices.is_none());
    let generates =
        estimators.contains(&true) || rolls_out || asks(&[Group::Verbalised]) || items.any(is_written);
    let scores = estimators.contains(&false) || asks(&[Group::PTrue, Group::Semantic]);
    let reads_layers = asks(&[Group::Layers, Group::Hidden, Group::Attention]);
    [
        (generates && engine.generator.is_none(), Capability::Generate),
        (scores && engine.scorer.is_none(), Capability::ScoreTree),
        (reads_layers && engine.layers.is_none(), Capability::ReadLayers),
    ]
    .into_iter()
    .find_map(|(is_lacking, capability)| is_lacking.then_some(capability))
}

/// The traces of items, by task, question and number.
fn keys<'a>(task: &'a TaskPlan, items: &'a [WorkItem]) -> impl Iterator<Item = TraceKey<'a>> {
    let of_item = |item: &'a WorkItem| {
        item.traces.iter().map(|(sample, _)| (&*task.name, item.question.id.as_str(), *sample))
    };
    items.iter().flat_map(of_item)
}

/// An error if a part that is there holds other traces than those of its place.
pub(crate) fn check_parts(
    reader: &RunReader,
    tasks: &[TaskPlan],
    part_size: usize,
    finished_parts: &BTreeSet<usize>,
) -> Result<(), Error> {
    let parts = tasks.iter().flat_map(|task| task.items.chunks(part_size).map(move |items| (task, items)));
    for (index, (task, items)) in parts.enumerate().filter(|(index, _)| finished_parts.contains(index)) {
        let traces = reader.part_traces(index)?;
        let mut found = traces.iter().map(|row| (&*row.task, &*row.question_id, row.sample));
        let mut expected = keys(task, items);
        let difference = loop {
            match (found.next(), expected.next()) {
                (None, None) => break None,
                (found, expected) if found == expected => {}
                (found, expected) => break Some((found, expected)),
            }
        };
        if let Some((found, expected)) = difference {
            let named = |trace: Option<(&str, &str, u32)>| {
                trace.map_or("nothing".to_string(), |(task, id, sample)| {
                    format!("{task} {id:?} trace {sample}")
                })
            };
            let problem = format!("{} in the place of {}", named(found), named(expected));
            let path = reader.part_folder(index);
            return Err(entrace_record::error::Error::ForeignPart { path, problem }.into());
        }
        // The last part of a task also has the controls that its first question was waiting for.
        let is_last = items.as_ptr_range().end == task.items.as_ptr_range().end;
        reader.check_part(index, &keys(task, if is_last { &task.items } else { items }).collect())?;
    }
    Ok(())
}

/// What an earlier sitting recorded of each trace of a part with tokens, measured or failed: `(task, question, sample)` to what it can lend.
struct Recorded {
    donors: BTreeMap<(String, String, u32), Donor>,
}

impl Recorded {
    fn of_part(reader: &RunReader, part: usize) -> Result<Self, Error> {
        let mut donors: BTreeMap<(String, String, u32), Donor> = BTreeMap::new();
        for row in reader.part_tokens(part) {
            let row = row?;
            let key = (row.task.to_string(), row.question_id.to_string(), row.sample);
            let donor = donors.entry(key).or_insert_with(|| Donor {
                question_id: row.question_id.to_string(),
                token_ids: Vec::new(),
                prefixes: vec![Prefix { step: 0, n_tokens: 0 }],
            });
            donor.token_ids.push(row.token_id);
            let prefix = Prefix { step: row.step as usize, n_tokens: donor.token_ids.len() };
            match donor.prefixes.last_mut() {
                Some(last) if last.step == prefix.step => *last = prefix,
                _ => donor.prefixes.push(prefix),
            }
        }
        Ok(Self { donors })
    }
}

/// The walk through one task.
struct Walk<'a> {
    run: TaskRun<'a>,
    enumerator: Enumerator,
    donors: Donors,
    /// The prompts of the first question that had a trace: their donor is the last question.
    orphans: Vec<Orphan>,
}

/// Samples of an item, and what their traces can lend.
type Lent = (Vec<u32>, Vec<Donor>);

struct Orphan {
    item: usize,
    samples: Vec<u32>,
}

impl<'a> Walk<'a> {
    /// The tree on which the traces of a batch grow and are measured; `None` where the engine draws elsewhere, or belief is asked for by draws,
    /// which have a tree of their own.
    fn ground(&self, batch: &[WorkItem]) -> Result<Option<Box<dyn SamplingSession + 'a>>, Error> {
        let is_sampled = |item: &WorkItem| {
            self.run.how.estimator.for_question(&item.question).is_some_and(Estimator::is_sampled)
        };
        let is_written =
            |item: &WorkItem| item.traces.iter().any(|(_, input)| matches!(input, TraceInput::Generate));
        match self.run.engine.scorer {
            Some(scorer) if self.run.how.stopping.is_none() => match batch.iter().any(is_sampled) {
                false if batch.iter().any(is_written) => Ok(scorer.sampling_session()?),
                _ => Ok(None),
            },
            _ => Ok(None),
        }
    }
}

impl Walk<'_> {
    fn asker<'o>(&'o mut self, observer: &'o mut dyn Observer) -> Asker<'o> {
        Asker { run: self.run, enumerator: &mut self.enumerator, observer }
    }

    /// Makes up for the questions before the first one of a shard, which another shard measures: the last of them that has a trace lends it
    /// to the first one here, and the first of them, if this shard ends the task, is lent the last trace. Their traces are written once more, and
    /// come out the same.
    fn before(
        &mut self,
        first_item: usize,
        ends_task: bool,
        observer: &mut dyn Observer,
    ) -> Result<(), Error> {
        if first_item == 0 || !self.run.how.controls.contains(&Control::Swapped) {
            return Ok(());
        }
        let mut n_passed = 0;
        while ends_task && n_passed < first_item && !self.donors.are_of_two_questions() {
            if let Some((samples, donors)) = self.lend(n_passed, observer)? {
                self.pass(n_passed, samples, donors);
            }
            n_passed += 1;
        }
        let mut last: Vec<(usize, Lent)> = Vec::new();
        for item in (n_passed..first_item).rev() {
            if let Some(lent) = self.lend(item, observer)? {
                let is_another = last.last().is_some_and(|(_, known): &(usize, Lent)| {
                    known.1[0].question_id != lent.1[0].question_id
                });
                last.push((item, lent));
                if is_another {
                    break;
                }
            }
        }
        for (item, (samples, donors)) in last.into_iter().rev() {
            self.pass(item, samples, donors);
        }
        Ok(())
    }

    /// What an item that is measured elsewhere has to lend, if it has a trace.
    fn lend(&self, item: usize, observer: &mut dyn Observer) -> Result<Option<Lent>, Error> {
        let items = std::slice::from_ref(&self.run.task.items[item]);
        let prompts = trace::prompts(self.run.engine, items);
        let plan = trace::Plan::of(self.run, items, &prompts);
        let generated = trace::generate(self.run.engine, &plan, self.run.how, None, observer)?;
        let outcomes = trace::outcomes(self.run, items, &prompts, generated);
        let traced: Vec<&Traced> = outcomes.iter().filter_map(|outcome| outcome.as_deref().ok()).collect();
        let samples = traced.iter().map(|traced| traced.posed.sample).collect();
        Ok((!traced.is_empty()).then(|| (samples, traced.iter().map(|traced| Donor::of(traced)).collect())))
    }

    /// Passes over a batch that was recorded before.
    fn skip(&mut self, first_item: usize, batch: &[WorkItem], recorded: &Recorded) {
        for (offset, item) in batch.iter().enumerate() {
            let key = |sample: u32| (self.run.task.name.clone(), item.question.id.clone(), sample);
            let measured: Vec<(u32, Donor)> = item
                .traces
                .iter()
                .filter_map(|&(sample, _)| Some((sample, recorded.donors.get(&key(sample))?.clone())))
                .collect();
            let (samples, donors) = measured.into_iter().unzip();
            self.pass(first_item + offset, samples, donors);
        }
    }

    /// Goes on to the next item.
    fn pass(&mut self, item: usize, samples: Vec<u32>, donors: Vec<Donor>) {
        let Some(first) = donors.first() else { return };
        if self.donors.for_question(&first.question_id).is_empty() {
            self.orphans.push(Orphan { item, samples });
        }
        self.donors.add(donors);
    }

    /// Measures a part, one batch after the other.
    fn part(
        &mut self,
        first_item: usize,
        items: &[WorkItem],
        last: bool,
        observer: &mut dyn Observer,
    ) -> Result<Rows, Error> {
        let mut rows = Rows::default();
        for (index, batch) in items.chunks(self.run.how.batch_size).enumerate() {
            if observer.should_stop() {
                return Err(Error::Interrupted);
            }
            if let (Some(first), Some(last)) = (batch.first(), batch.last()) {
                observer.event(Event::BatchBegins { first: &first.question.id, last: &last.question.id });
            }
            self.batch(first_item + index * self.run.how.batch_size, batch, &mut rows, observer)?;
        }
        if last {
            self.adopt_orphans(&mut rows, observer)?;
        }
        Ok(rows)
    }

    /// Adds the rows of a batch.
    fn batch(
        &mut self,
        first_item: usize,
        batch: &[WorkItem],
        rows: &mut Rows,
        observer: &mut dyn Observer,
    ) -> Result<(), Error> {
        let prompts = trace::prompts(self.run.engine, batch);
        let mut ground = self.ground(batch)?;
        let generated = self.write(batch, &prompts, ground.as_deref_mut(), rows, observer)?;
        let outcomes = trace::outcomes(self.run, batch, &prompts, generated);
        if self.run.how.estimator == EstimatorChoice::Nothing {
            outcomes.iter().for_each(|outcome| rows::add_written(rows, outcome));
            return Ok(());
        }
        let mut subjects = Vec::new();
        let mut outcomes_by_item = outcomes.iter();
        for (offset, item) in batch.iter().enumerate() {
            let traced: Vec<&Traced> =
                outcomes_by_item.by_ref().take(item.traces.len()).filter_map(|o| o.as_deref().ok()).collect();
            subjects.extend(traced.iter().enumerate().map(|(i, traced)| self.subject(traced, i)));
            let samples = traced.iter().map(|t| t.posed.sample).collect();
            self.pass(first_item + offset, samples, traced.iter().map(|t| Donor::of(t)).collect());
        }
        let findings = self.asker(observer).measure(&subjects, ground.as_deref_mut())?;
        // Its memory is free for what comes.
        drop(ground);
        let rollouts = self.rollouts(first_item, batch, &subjects, observer)?;
        let signals = signals::measure(self.run, &subjects, &findings, observer)?;
        let under_more_cues = self.under_more_cues(&subjects, observer)?;
        let mut measured = subjects.iter().zip(&findings).zip(&rollouts).zip(&signals);
        for outcome in &outcomes {
            match outcome {
                Err(unmeasured) => rows::add_unmeasured(rows, unmeasured),
                Ok(traced) => {
                    if let Some((((subject, findings), rollouts), signals)) = measured.next() {
                        rows::add_traced(rows, traced, &subject.variants, findings);
                        rows::add_rollouts(rows, subject, rollouts);
                        rows::add_signals(rows, traced, signals);
                    }
                }
            }
        }
        for (cue, findings) in (1..).zip(&under_more_cues) {
            for (subject, findings) in subjects.iter().zip(findings) {
                if let (Some(traced), Some(Ok(curve))) = (subject.traced, findings.curves.first()) {
                    rows::add_under_cue(rows, traced, cue, curve);
                }
            }
        }
        Ok(())
    }

    /// What the model writes for a batch, to its end or until the rule stops it.
    fn write(
        &mut self,
        batch: &[WorkItem],
        prompts: &[Prompted],
        ground: Option<&mut (dyn SamplingSession + '_)>,
        rows: &mut Rows,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Writing>, Error> {
        let run = self.run;
        let plan = trace::Plan::of(run, batch, prompts);
        let Some(stopping) = &run.how.stopping else {
            return trace::generate(run.engine, &plan, run.how, ground, observer);
        };
        let online = Online { run, stopping };
        let written = online.write(&plan.wanted, &mut self.asker(observer))?;
        for (wanted, written) in plan.wanted.iter().zip(&written) {
            for (&sample, written) in wanted.samples.iter().zip(written) {
                if let Ok(written) = written {
                    rows::add_decisions(rows, &wanted.item.question, sample, &written.decisions);
                }
            }
        }
        Ok(plan.filled(written))
    }

    /// The traces themselves, without their controls, measured under each further cue; nothing where belief is not forced.
    fn under_more_cues(
        &mut self,
        subjects: &[Subject<'_>],
        observer: &mut dyn Observer,
    ) -> Result<Vec<Vec<Findings>>, Error> {
        let is_forced = self.run.how.estimator != EstimatorChoice::Always(Estimator::Rollout);
        let own = |traced| Subject::of(traced, vec![control::own(traced)]);
        let own: Vec<Subject<'_>> = subjects.iter().filter_map(|subject| subject.traced).map(own).collect();
        let cues = self.run.how.more_cues.iter().filter(|_| is_forced);
        cues.map(|cue| {
            let how = Measurement { cue: cue.clone(), ..self.run.how.clone() };
            let run = TaskRun { how: &how, ..self.run };
            Asker { run, enumerator: &mut self.enumerator, observer }.measure(&own, None)
        })
        .collect()
    }

    /// Rollouts of the subjects of a batch; no curves for a question that has none.
    fn rollouts(
        &self,
        first_item: usize,
        batch: &[WorkItem],
        subjects: &[Subject<'_>],
        observer: &mut dyn Observer,
    ) -> Result<Vec<rollouts::Curves>, Error> {
        let mut curves: Vec<rollouts::Curves> = subjects.iter().map(|_| Vec::new()).collect();
        let Some(rollouts) = self.run.how.rollouts else { return Ok(curves) };
        let n_items = rollouts.n_questions.saturating_sub(first_item).min(batch.len());
        let has_some = |subject: &Subject<'_>| {
            let question = &subject.posed.question;
            question.choices.is_none()
                && batch[..n_items].iter().any(|item| Arc::ptr_eq(&item.question, question))
        };
        let places: Vec<usize> = (0..subjects.len()).filter(|&place| has_some(&subjects[place])).collect();
        if places.is_empty() {
            return Ok(curves);
        }
        let chosen: Vec<Subject<'_>> = places.iter().map(|&place| subjects[place].clone()).collect();
        let found = rollouts::measure(self.run, &chosen, rollouts, observer)?;
        places.into_iter().zip(found).for_each(|(place, found)| curves[place] = found);
        Ok(curves)
    }

    fn subject<'t>(&self, traced: &'t Traced, index: usize) -> Subject<'t> {
        let mut variants = vec![control::own(traced)];
        for control in &self.run.how.controls {
            let variant = match control {
                Control::Shuffled => control::shuffled(traced, self.run.how.seed),
                Control::Unstated => control::unstated(traced),
                Control::Swapped => self.swapped(&traced.posed, index),
            };
            variants.extend(variant.map(|variant| self.at_control_depths(variant)));
        }
        Subject::of(traced, variants)
    }

    fn at_control_depths(&self, variant: Variant) -> Variant {
        match &self.run.how.control_depths {
            Some(depths) => variant.at_depths(depths),
            None => variant,
        }
    }

    fn swapped(&self, posed: &Posed, index: usize) -> Option<Variant> {
        let limit = self.run.engine.text.info().context_length;
        let taken = posed.prompt.token_ids.len() + posed.answer_room;
        let donors = self.donors.for_question(&posed.question.id);
        control::swapped(donors, index, limit.saturating_sub(taken))
    }

    /// Measures the swapped control of the first question, whose donor has come last.
    fn adopt_orphans(&mut self, rows: &mut Rows, observer: &mut dyn Observer) -> Result<(), Error> {
        let orphans = std::mem::take(&mut self.orphans);
        if self.run.how.controls.contains(&Control::Swapped) {
            for orphan in &orphans {
                self.adopt(orphan, rows, observer)?;
            }
        }
        Ok(())
    }

    fn adopt(&mut self, orphan: &Orphan, rows: &mut Rows, observer: &mut dyn Observer) -> Result<(), Error> {
        let item = &self.run.task.items[orphan.item];
        let prompt = trace::prompt(self.run.engine, &item.prompting)?;
        let input = |sample: u32| item.traces.iter().find(|(of, _)| *of == sample).map(|(_, input)| input);
        let is_imported = |sample: u32| matches!(input(sample), Some(TraceInput::Imported { .. }));
        // Of a trace that the model wrote, the prompt alone says whether it begins within a thought: after an interruption its text is not at
        // hand.
        let posed = |&sample: &u32| -> Result<Posed, Error> {
            let division =
                trace::divide(self.run.engine, Some(&prompt), input(sample).map_or("", trace::text_of));
            Ok(Posed {
                question: Arc::clone(&item.question),
                sample,
                prompting: item.prompting.clone(),
                prompt: prompt.clone(),
                opened: division.open_at(0).cloned(),
                answer_room: cue::room(self.run.engine, &division, self.run.how)?,
                is_imported: is_imported(sample),
            })
        };
        let posed: Vec<Posed> = orphan.samples.iter().map(posed).collect::<Result<_, _>>()?;
        let subjects: Vec<Subject<'_>> = posed
            .iter()
            .enumerate()
            .filter_map(|(index, posed)| {
                let swapped = self.at_control_depths(self.swapped(posed, index)?);
                Some(Subject { posed, traced: None, variants: vec![control::question_alone(), swapped] })
            })
            .collect();
        let findings = self.asker(observer).measure(&subjects, None)?;
        for (subject, findings) in subjects.iter().zip(&findings) {
            if let Some(Ok(curve)) = findings.curves.get(1) {
                rows::add_late_control(rows, subject.posed, &subject.variants[1], curve);
            }
        }
        let batch = std::slice::from_ref(item);
        let rollouts = self.rollouts(orphan.item, batch, &subjects, observer)?;
        for (subject, mut curves) in subjects.iter().zip(rollouts) {
            curves.retain(|(control, _)| control.is_some());
            rows::add_rollouts(rows, subject, &curves);
        }
        Ok(())
    }
}
