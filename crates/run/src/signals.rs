//! Signals that a run measures because it was asked for them (`--signals`): one value for each trace, or the reason why there is none.
//!
//! After the curves of a batch are known, each trace that has one is looked at again: `layers` reads the model's layers over prompt, trace
//! and cue in one pass; `follow_up` continues the conversation and asks about the answer; `semantic` asks which
//! answers mean the same. Everything is of the question's own trace,
//! never of a control. Where a pass fails for the sake of one trace, its reason replaces its values.

mod follow_up;
mod layers;
mod semantic;

use crate::error::Error;
use crate::event::{Event, Observer, Phase};
use crate::plan::TaskRun;
use crate::sites::{Findings, Subject};
use crate::trace::Traced;
use entrace_measure::EntropyCurve;
use entrace_measure::signal::{Group, SIGNALS};

/// One signal of a trace.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SignalValue {
    /// Its name in the registry.
    pub(crate) signal: &'static str,
    /// The quantity, or why there is none.
    pub(crate) value: Result<f64, String>,
}

/// A trace whose curve is known.
#[derive(Clone, Copy)]
struct Asked<'a> {
    traced: &'a Traced,
    curve: &'a EntropyCurve,
    /// Prompt, cue and draw of each answer that was sampled before any reasoning.
    draws: &'a [Vec<entrace_measure::TokenId>],
}

/// Values of all subjects, in their order; none for a trace without a curve.
pub(crate) fn measure(
    run: TaskRun<'_>,
    subjects: &[Subject<'_>],
    findings: &[Findings],
    observer: &mut dyn Observer,
) -> Result<Vec<Vec<SignalValue>>, Error> {
    let mut values: Vec<Vec<SignalValue>> = subjects.iter().map(|_| Vec::new()).collect();
    let mut places = Vec::new();
    let mut asked = Vec::new();
    for (place, (subject, findings)) in subjects.iter().zip(findings).enumerate() {
        if let (Some(traced), Some(Ok(curve))) = (subject.traced, findings.curves.first()) {
            places.push(place);
            asked.push(Asked { traced, curve, draws: &findings.draws });
        }
    }
    let signals = &run.how.signals;
    if !signals.is_empty() {
        observer.event(Event::PhaseBegins { phase: Phase::Signals, n: signals.len() });
    }
    for &group in signals {
        let found = match group {
            Group::Layers | Group::Hidden | Group::Attention => continue,
            Group::Verbalised => follow_up::verbalised(run, &asked, observer)?,
            Group::PTrue => follow_up::p_true(run.engine, &asked, observer)?,
            Group::Semantic => semantic::measure(run, &asked, observer)?,
        };
        let [signal] = names(group)[..] else { continue };
        for (&place, value) in places.iter().zip(found) {
            values[place].push(SignalValue { signal, value });
        }
        observer.event(Event::PhaseAdvances(1));
    }
    let read = layers::measure(run, &asked, observer)?;
    for (&place, found) in places.iter().zip(read) {
        values[place].extend(found);
    }
    Ok(values)
}

/// Signals of a group.
fn names(group: Group) -> Vec<&'static str> {
    SIGNALS.iter().filter(|signal| signal.group() == Some(group)).map(|signal| signal.name).collect()
}
