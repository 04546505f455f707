//! `--stop-with` and `--stop-when`: traces that a rule stops while they are written.
//!
//! A rule is about belief as a run asked for it: by one estimator, after one cue, at steps that are cut in one way. A run that is to follow
//! it has to ask in the same way, or is refused before the model is opened.

use crate::run::RunArgs;
use crate::usage::SetUp;
use entrace_decide::Rule;
use entrace_decide::rule::{Condition, RuleFile};
use entrace_measure::Segmentation;
use entrace_study::{Measurement, Model, stopping};
use std::path::Path;

/// A rule that was asked for.
#[derive(Debug)]
pub struct AskedRule {
    rule: Rule,
    /// The file that it is from.
    file: Option<RuleFile>,
    /// What the user should know.
    notes: Vec<String>,
}

impl RunArgs {
    /// The rule that flags name, if they name one; `how` then measures what goes with it.
    ///
    /// # Errors
    /// Where there is no such rule, or the run does not ask for belief as the rule needs it.
    pub fn stopping(&self, how: &mut Measurement) -> Result<Option<AskedRule>, SetUp> {
        let mut asked = match (&self.stop_with, &self.stop_when) {
            (None, None) => return Ok(None),
            (Some(path), _) => from_file(path, how)?,
            (None, Some(text)) => by_hand(text, how)?,
        };
        // By default runs compare with another question's trace, which needs whole ones.
        if self.measure.controls == ["swapped"] {
            how.controls.clear();
        }
        let note = format!(
            "traces are stopped while they are written: {}; no controls, rollouts or verdict",
            asked.rule
        );
        asked.notes.push(note);
        let whole_tokens = asked.file.as_ref().and_then(|file| file.whole_tokens);
        how.stopping = Some(stopping(&asked.rule, whole_tokens));
        Ok(Some(asked))
    }
}

/// A rule of `entrace decide`.
fn from_file(path: &Path, how: &mut Measurement) -> Result<AskedRule, SetUp> {
    let (file, rule) = RuleFile::load(path).map_err(|error| SetUp(error.to_string()))?;
    let Some(segment) = &file.segment else {
        let problem = "the steps of the run that it is from can be known only once a trace has ended; choose a rule on a run with --segment \
                       blank-line, line, sentence or tokens:N";
        return Err(SetUp(format!("--stop-with {}: {problem}", path.display())));
    };
    if how.segmentation == Segmentation::Auto {
        how.segmentation = Segmentation::parse(segment).map_err(|error| SetUp(error.to_string()))?;
    }
    let of_run = [
        ("--estimator", how.estimator.name().to_string(), &file.estimator),
        ("--cue", how.cue.clone(), &file.cue),
        ("--segment", how.segmentation.name(), segment),
    ];
    if let Some((flag, found, expected)) = of_run.iter().find(|(_, found, expected)| found != *expected) {
        let problem = format!(
            "--stop-with {}: the rule is about belief with {flag} {expected:?}, and this run has {found:?}",
            path.display()
        );
        return Err(SetUp(problem));
    }
    Ok(AskedRule { rule, file: Some(file), notes: Vec::new() })
}

/// A rule of one condition. Where no way to cut traces is named, steps are lines: that is known while they are written.
fn by_hand(text: &str, how: &mut Measurement) -> Result<AskedRule, SetUp> {
    let stop = Condition::parse(text).map_err(|error| SetUp(format!("--stop-when: {error}")))?;
    let mut notes = Vec::new();
    if how.segmentation == Segmentation::Auto {
        how.segmentation = Segmentation::Line;
        notes.push(
            "steps are lines, since what --segment auto comes to is known only once a trace has ended".into(),
        );
    }
    Ok(AskedRule { rule: Rule { stop: Some(stop), give_up: None }, file: None, notes })
}

impl AskedRule {
    /// Refuses a signal that the model's servers cannot tell, and notes what the rule's guarantee is not about.
    ///
    /// # Errors
    /// Where servers cannot tell it.
    pub fn check(&self, model: &Model, tasks: &[String]) -> Result<Vec<String>, SetUp> {
        let mut notes = self.notes.clone();
        let conditions = self.rule.stop.iter().chain(&self.rule.give_up);
        let needed = conditions.flat_map(|condition| condition.signal.tokens_needed());
        if let (Some(_), Some(need)) = (model.standing(), needed.into_iter().next()) {
            let rule = &self.rule;
            let problem = format!(
                "the rule ({rule}) needs {}, which servers do not tell; choose a signal of belief",
                need.name()
            );
            return Err(SetUp(problem));
        }
        let Some(file) = &self.file else { return Ok(notes) };
        if file.model_hash.is_some() && file.model_hash != model.info().model_hash {
            notes.push(format!(
                "the rule was chosen on {}, and what it promises is about that model",
                file.model
            ));
        }
        if !tasks.contains(&file.task) {
            notes.push(format!(
                "the rule was chosen on {}, and what it promises is about such questions",
                file.task
            ));
        }
        Ok(notes)
    }
}
