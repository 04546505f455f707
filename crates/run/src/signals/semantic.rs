//! Semantic entropy of the answers at the last prefix: their classes of meaning, and the entropy over them.
//!
//! Where answers are free text, a judge decides which mean the same: the model itself is asked, question and both answers before it,
//! whether the first implies the second, and does so if ` A` (yes) is likelier than ` B` (no) after the reply's cue. Canonical answers of
//! other formats are classes already. Only the likeliest answers are judged, and each other one is a class of its own, as is what cannot
//! be read.

use super::Asked;
use super::follow_up::{first_option_share, rendered};
use crate::error::{Error, own_failure};
use crate::event::{Event, Observer};
use crate::plan::{Engine, TaskRun};
use crate::trace::Posed;
use entrace_measure::semantic::{EntailmentJudge, meaning_classes, semantic_entropy};

/// Name of the format whose answers are free text.
const FREE_TEXT: &str = "text";

/// Most answers that are judged against one another.
const MOST_JUDGED: usize = 16;

/// H over meaning classes of each trace.
pub(super) fn measure(
    run: TaskRun<'_>,
    asked: &[Asked<'_>],
    observer: &mut dyn Observer,
) -> Result<Vec<Result<f64, String>>, Error> {
    let mut values = Vec::with_capacity(asked.len());
    for one in asked {
        if observer.should_stop() {
            return Err(Error::Interrupted);
        }
        let value = own_failure(of_trace(run, one, observer))?;
        values.push(value.and_then(|h| h.ok_or_else(|| "no answer has any mass".to_string())));
    }
    Ok(values)
}

fn of_trace(
    TaskRun { engine, task, .. }: TaskRun<'_>,
    one: &Asked<'_>,
    observer: &mut dyn Observer,
) -> Result<Option<f64>, Error> {
    let answers = one.curve.last().distribution.masses();
    let masses: Vec<f64> = answers.iter().map(|answer| answer.prob).collect();
    if task.format.name() != FREE_TEXT {
        let apart: Vec<usize> = (0..masses.len()).collect();
        return Ok(semantic_entropy(&masses, &apart));
    }
    let readable: Vec<usize> = (0..answers.len()).filter(|&i| !answers[i].answer.is_invalid()).collect();
    let judged = &readable[..readable.len().min(MOST_JUDGED)];
    let names: Vec<&str> = judged.iter().map(|&i| answers[i].answer.name()).collect();
    let mut judge = ModelJudge { engine, posed: &one.traced.posed, observer };
    let found = meaning_classes(&names, &mut judge)?;
    let n_judged = found.iter().max().map_or(0, |last| last + 1);
    let mut classes: Vec<usize> = (n_judged..n_judged + answers.len()).collect();
    for (&i, class) in judged.iter().zip(found) {
        classes[i] = class;
    }
    Ok(semantic_entropy(&masses, &classes))
}

/// Asks the model that is measured.
struct ModelJudge<'a> {
    engine: Engine<'a>,
    posed: &'a Posed,
    observer: &'a mut dyn Observer,
}

impl EntailmentJudge for ModelJudge<'_> {
    type Error = Error;

    fn entails(&mut self, premise: &str, conclusion: &str) -> Result<bool, Error> {
        let text = format!(
            "Question: {}\nFirst answer: {premise}\nSecond answer: {conclusion}\nIf the first answer is right, is the second answer \
             right as well?\n(A) Yes\n(B) No\nReply with the letter alone.",
            self.posed.question.text
        );
        let context = rendered(self.engine, &self.posed.prompting, &text)?;
        self.observer.event(Event::Tokens(context.len()));
        Ok(first_option_share(self.engine, context)? > 0.5)
    }
}
