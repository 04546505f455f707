//! `--stop-with` and `--stop-when`: traces that a rule stops while they are written.
//!
//! A rule is about belief as a run asked for it: by one estimator, after one cue, at steps that are cut in one way. A run that is to follow
//! it has to ask in the same way, or is refused before the model is opened.

use crate::args::RunArgs;
use crate::exit::SetUp;
use anyhow::Result;
use entrace_decide::Rule;
use entrace_decide::online::Online;
use entrace_decide::recorded::Tokens;
use entrace_decide::rule::{Condition, ConditionFile, RuleFile};
use entrace_measure::Segmentation;
use entrace_record::manifest::StoppingRecord;
use entrace_run::{Judged, Measurement, Seen, StopWatch, Stopping, StoppingRule};
use entrace_study::Model;
use serde_json::json;
use std::path::Path;
use std::sync::Arc;

/// A rule that was asked for.
#[derive(Debug)]
pub(crate) struct Asked {
    rule: Rule,
    /// The file that it is from.
    file: Option<RuleFile>,
    /// What the user should know.
    notes: Vec<String>,
}

#[derive(Debug)]
struct ByRule(Rule);

struct Watching<'a>(Online<'a>);

impl StoppingRule for ByRule {
    fn watch(&self) -> Box<dyn StopWatch + '_> {
        Box::new(Watching(Online::new(&self.0)))
    }
}

impl StopWatch for Watching<'_> {
    fn next(&mut self, seen: &Seen<'_>) -> Judged {
        let of_token = |(logprob, sharpness): (&Option<f64>, &entrace_backend::Sharpness)| {
            let entrace_backend::Sharpness { entropy, top2_margin, topk_confidence, uniform_divergence } =
                *sharpness;
            [*logprob, entropy, top2_margin, topk_confidence, uniform_divergence]
        };
        let numbers: Vec<[Option<f64>; 5]> = seen.logprobs.iter().zip(seen.sharpness).map(of_token).collect();
        let n_tokens = u32::try_from(seen.n_tokens).unwrap_or(u32::MAX);
        let said = self.0.next(n_tokens, seen.belief, Tokens::drawn(&numbers));
        Judged { act: said.act, stop: said.stop, give_up: said.give_up }
    }
}

/// The rule that flags name, if they name one; `how` then measures what goes with it.
pub(crate) fn apply(args: &RunArgs, how: &mut Measurement) -> Result<Option<Asked>> {
    let mut asked = match (&args.stop_with, &args.stop_when) {
        (None, None) => return Ok(None),
        (Some(path), _) => from_file(path, how)?,
        (None, Some(text)) => by_hand(text, how)?,
    };
    // By default runs compare with another question's trace, which needs whole ones.
    if args.measure.controls == ["swapped"] {
        how.controls.clear();
    }
    let note = format!(
        "traces are stopped while they are written: {}; no controls, rollouts or verdict",
        asked.rule
    );
    asked.notes.push(note);
    let condition = |condition: &Option<Condition>| condition.as_ref().map(ConditionFile::of);
    let conditions = json!({"stop": condition(&asked.rule.stop), "give_up": condition(&asked.rule.give_up)});
    how.stopping = Some(Stopping {
        rule: Arc::new(ByRule(asked.rule.clone())),
        record: StoppingRecord {
            rule: asked.rule.to_string(),
            conditions,
            whole_tokens: asked.file.as_ref().and_then(|file| file.whole_tokens),
        },
    });
    Ok(Some(asked))
}

/// A rule of `entrace decide`.
fn from_file(path: &Path, how: &mut Measurement) -> Result<Asked> {
    let (file, rule) = RuleFile::load(path).map_err(|error| SetUp(error.to_string()))?;
    let Some(segment) = &file.segment else {
        let problem = "the steps of the run that it is from can be known only once a trace has ended; choose a rule on a run with --segment \
                       blank-line, line, sentence or tokens:N";
        return Err(SetUp(format!("--stop-with {}: {problem}", path.display())).into());
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
        return Err(SetUp(problem).into());
    }
    Ok(Asked { rule, file: Some(file), notes: Vec::new() })
}

/// A rule of one condition. Where no way to cut traces is named, steps are lines: that is known while they are written.
fn by_hand(text: &str, how: &mut Measurement) -> Result<Asked> {
    let stop = Condition::parse(text).map_err(|error| SetUp(format!("--stop-when: {error}")))?;
    let mut notes = Vec::new();
    if how.segmentation == Segmentation::Auto {
        how.segmentation = Segmentation::Line;
        notes.push(
            "steps are lines, since what --segment auto comes to is known only once a trace has ended".into(),
        );
    }
    Ok(Asked { rule: Rule { stop: Some(stop), give_up: None }, file: None, notes })
}

impl Asked {
    /// Refuses a signal that the model's servers cannot tell, and notes what the rule's guarantee is not about.
    pub(crate) fn check(&self, model: &Model, tasks: &[String]) -> Result<Vec<String>> {
        let mut notes = self.notes.clone();
        let conditions = self.rule.stop.iter().chain(&self.rule.give_up);
        let needed = conditions.flat_map(|condition| condition.signal.tokens_needed());
        if let (Some(_), Some(need)) = (model.standing(), needed.into_iter().next()) {
            let rule = &self.rule;
            let problem = format!(
                "the rule ({rule}) needs {}, which servers do not tell; choose a signal of belief",
                need.name()
            );
            return Err(SetUp(problem).into());
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
