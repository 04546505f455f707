//! Whether numbers of several runs mean the same.
//!
//! Refused: different questions (also under equal ids), estimators, answer formats, cue, segmentation, and whichever of
//! draws, choice form and enumeration limits the estimators in use depend on. Let pass with a note: all else in which
//! settings differ, apart from the model itself, the batch size, and which tasks were asked for.

use std::collections::BTreeSet;
use std::sync::Arc;

use entrace_measure::Estimator;

use super::Stage;
use crate::error::Error;
use crate::facts::TaskFacts;

/// Tasks that all stages have rows of, in the order of the first, and those that some lack.
pub(super) fn shared_tasks(stages: &[Stage]) -> (Vec<String>, Vec<String>) {
    let mut names: Vec<String> = Vec::new();
    for task in stages.iter().flat_map(|stage| &stage.tasks) {
        if !names.contains(&task.name.to_string()) {
            names.push(task.name.to_string());
        }
    }
    names.into_iter().partition(|name| {
        stages.iter().all(|stage| stage.task(name).is_some_and(|task| !task.traces.is_empty()))
    })
}

/// Refuses stages whose numbers do not mean the same, with everything that differs.
pub(super) fn check(stages: &[Stage], shared: &[String]) -> Result<(), Error> {
    let mut differences = Vec::new();
    if shared.is_empty() {
        differences.push("they have no task in common".to_string());
    }
    let first = &stages[0];
    for other in &stages[1..] {
        differences.extend(settings(first, other, shared));
        differences.extend(shared.iter().flat_map(|name| tasks(first, other, name)));
    }
    if differences.is_empty() { Ok(()) } else { Err(Error::NotComparable { differences }) }
}

fn settings(first: &Stage, other: &Stage, shared: &[String]) -> Vec<String> {
    let (a, b) = (&first.manifest.settings, &other.manifest.settings);
    let estimators: BTreeSet<Arc<str>> = [first, other]
        .into_iter()
        .flat_map(|stage| shared.iter().filter_map(|name| stage.task(name)))
        .flat_map(|task| task.estimators.iter().cloned())
        .collect();
    let uses = |test: &dyn Fn(Estimator) -> bool| {
        estimators.iter().filter_map(|name| Estimator::from_name(name)).any(test)
    };
    let enumerates = uses(&|e| e == Estimator::Enumerate);
    let writes_answers = enumerates || uses(&|e| e == Estimator::Sample);
    let rows = [
        ("method of measurement", a.method.to_string(), b.method.to_string(), true),
        ("answer cue", format!("{:?}", a.cue), format!("{:?}", b.cue), true),
        ("segmentation", a.segment.clone(), b.segment.clone(), true),
        ("step limit", limit(a.max_steps), limit(b.max_steps), true),
        ("choice form", a.choice_form.clone(), b.choice_form.clone(), uses(&|e| e == Estimator::Choices)),
        ("draws m", a.samples.to_string(), b.samples.to_string(), uses(&Estimator::is_sampled)),
        ("enumeration epsilon", a.enumerate_epsilon.to_string(), b.enumerate_epsilon.to_string(), enumerates),
        ("enumeration nodes", a.enumerate_nodes.to_string(), b.enumerate_nodes.to_string(), enumerates),
        ("most tokens of an answer", limit(a.max_answer_tokens), limit(b.max_answer_tokens), writes_answers),
    ];
    let differ = rows.into_iter().filter(|(_, a, b, matters)| *matters && a != b);
    differ.map(|(what, a, b, _)| format!("{what}: {a} in {}, {b} in {}", first.name, other.name)).collect()
}

fn limit(most: Option<usize>) -> String {
    most.map_or_else(|| "none".to_string(), |n| n.to_string())
}

fn tasks(first: &Stage, other: &Stage, name: &str) -> Vec<String> {
    let (Some(a), Some(b)) = (first.task(name), other.task(name)) else { return Vec::new() };
    let mut differences = Vec::new();
    let mut differ = |what: &str, of_first: String, of_other: String| {
        if of_first != of_other {
            differences.push(format!(
                "{what} of {name}: {of_first} in {}, {of_other} in {}",
                first.name, other.name
            ));
        }
    };
    differ("estimator", a.estimators.join("+"), b.estimators.join("+"));
    let format =
        |task: &TaskFacts| task.record.as_ref().map_or_else(String::new, |r| r.answer_format.clone());
    differ("answer format", format(a), format(b));
    let (in_a, in_b) = (question_ids(a), question_ids(b));
    if in_a != in_b {
        differences.push(format!(
            "questions of {name}: {} are in both, of {} in {} and {} in {}",
            in_a.intersection(&in_b).count(),
            in_a.len(),
            run_name(first),
            in_b.len(),
            run_name(other)
        ));
    }
    differences.extend(first.questions.difference(&other.questions, name, [&first.name, &other.name]));
    differences
}

fn run_name(stage: &Stage) -> String {
    let unfinished = if stage.manifest.finished_at.is_some() { "" } else { " (unfinished)" };
    format!("{}{unfinished}", stage.name)
}

fn question_ids(task: &TaskFacts) -> BTreeSet<&str> {
    task.traces.iter().map(|trace| &*trace.question_id).collect()
}

/// What differs and was let pass.
pub(super) fn notes(stages: &[Stage]) -> Vec<String> {
    let first = &stages[0];
    let mut notes = Vec::new();
    for other in &stages[1..] {
        for difference in first.manifest.settings.differences(&other.manifest.settings) {
            let ignored = ["model.", "tasks", "batch_size"];
            if !ignored.iter().any(|prefix| difference.field.starts_with(prefix)) {
                notes.push(format!(
                    "{}: {} in {}, {} in {}",
                    difference.field, difference.recorded, first.name, difference.requested, other.name
                ));
            }
        }
    }
    notes
}
