//! The whole decision for one task of a run: signals, a rule that holds, and what it does on questions held out.
//!
//! Questions are put in a random order by the seed. The first fifth fits: parameters of signals and thresholds to try. The next two fifths
//! calibrate: the threshold is chosen on them, with the guarantee. The rest judges: the rule is shown beside whole traces, a naive threshold
//! (the boldest with a mean loss within the limit on the calibration questions) and fixed budgets of tokens. The signal is named in advance,
//! since one that is chosen by what it does on these questions would need another set of them.
//!
//! The guarantee is about new questions from where these come from, asked of the same model in the same way.

use entrace_record::RunReader;
use entrace_stats::cross_validation::assign_folds;
use entrace_stats::risk::Bound;
use entrace_stats::summary::quantile;
use serde::{Deserialize, Serialize};

use crate::choose::{self, Demand, Method, Question, Tried, bound_name};
use crate::error::Error;
use crate::fit::{Combined, Label, temperature};
use crate::judge::{Judged, judge};
use crate::loss::Loss;
use crate::recorded::{RecordedTrace, TaskTraces};
use crate::replay::{Ending, Values, replay};
use crate::rule::{Condition, ConditionFile, FORMAT_VERSION, Guarantee, Rule, RuleFile};
use crate::signal::Signal;
use crate::vote::{Votes, votes};

/// Signals that are shown; the first is the rule's where none is named.
const USUAL: [&str; 8] = [
    "answer_entropy",
    "leader_prob",
    "stability",
    "cue_entropy",
    "tempered_entropy",
    "mean_logprob",
    "mean_token_entropy",
    "combined",
];
/// Shares of the questions that fit and that calibrate.
const FIT: f64 = 0.2;
const CALIBRATION: f64 = 0.4;
/// Fewest questions that can be divided.
const FEWEST: usize = 10;
/// Points of the curves in a file.
const CURVE_POINTS: usize = 16;

/// What is wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The task; `None` for the only one.
    pub task: Option<String>,
    /// The signal; `None` for H_k.
    pub signal: Option<String>,
    /// What stopping must not do: `Wrong` or `Differs`.
    pub loss: Loss,
    /// Limit of its risk.
    pub risk: f64,
    /// Limit of the risk of giving up; `None` to never give up.
    pub give_up_risk: Option<f64>,
    /// Probability with which a limit may be missed.
    pub delta: f64,
    /// How the rule is chosen.
    pub method: Method,
    /// By which bound; `None` for the exact one where questions have one trace, else betting.
    pub bound: Option<Bound>,
    /// Over how many successive steps the condition to stop must hold.
    pub for_steps: u32,
    /// Divides the questions.
    pub seed: u64,
}

/// How many questions did what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Measured traces.
    pub n_traces: usize,
    /// Traces left out: not measured, or damaged.
    pub n_left_out: usize,
    /// Questions that fit.
    pub n_fit: usize,
    /// Questions that calibrate.
    pub n_calibration: usize,
    /// Questions that judge.
    pub n_held_out: usize,
}

/// `decide.json`: what was decided and how it does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// The task.
    pub task: String,
    /// Its questions.
    pub counts: Counts,
    /// The rule; null where none holds.
    pub rule: Option<RuleFile>,
    /// Why none holds.
    pub no_rule: Option<String>,
    /// Whole traces, the rule, the naive threshold and budgets, on the questions held out.
    pub judged: Vec<Judged>,
    /// Every signal with a threshold of its own, chosen the same way.
    pub signals: Vec<Judged>,
    /// Signals without a threshold, with the reason.
    pub without: Vec<(String, String)>,
    /// Thresholds of the signal of the rule, from cautious to bold, on the questions held out.
    pub thresholds: Vec<Judged>,
    /// Fixed budgets.
    pub budgets: Vec<Judged>,
    /// One answer from several traces of a question; null where questions have one trace.
    pub votes: Option<Votes>,
}

/// Decides for a task of a recorded run.
pub fn decide(reader: &RunReader, options: &Options) -> Result<Decision, Error> {
    check(options)?;
    let task = TaskTraces::read(reader, options.task.as_deref())?;
    let settings = &reader.manifest().settings;
    let estimator = settings.tasks.iter().find(|t| t.name == task.name).map(|t| t.estimator.clone());
    let mut decision = decide_on(&task, options)?;
    if let Some(rule) = &mut decision.rule {
        rule.model = settings.model.name.clone();
        rule.model_hash = settings.model.model_hash.clone();
        rule.cue = settings.cue.clone();
        let segmentation = task.segmentation(&settings.segment).filter(|_| settings.max_steps.is_none());
        rule.segment = segmentation.map(|segmentation| segmentation.name());
        rule.estimator = estimator.unwrap_or_default();
    }
    Ok(decision)
}

fn check(options: &Options) -> Result<(), Error> {
    let limits = [
        ("the limit of the risk", Some(options.risk)),
        ("the limit of the risk of giving up", options.give_up_risk),
        ("delta", Some(options.delta)),
    ];
    for (name, value) in limits {
        if let Some(value) = value.filter(|value| !(*value > 0.0 && *value < 1.0)) {
            return Err(Error::NotAShare { name, value });
        }
    }
    Ok(())
}

/// Decides for traces in memory; what the rule says of the model is left empty.
pub fn decide_on(task: &TaskTraces, options: &Options) -> Result<Decision, Error> {
    let (what, needed) = ("a rule that holds on new questions", FEWEST);
    if task.n_questions < needed {
        return Err(Error::TooFewQuestions { what, needed, found: task.n_questions });
    }
    if !task.has_verdicts() && (options.loss.needs_verdicts() || options.give_up_risk.is_some()) {
        let what = if options.give_up_risk.is_some() { "giving up" } else { "the loss `wrong`" };
        let instead = "the loss `differs` compares with the whole trace's answer";
        return Err(Error::NoTargets { what, task: task.name.clone(), instead });
    }
    Deciding::new(task, options)?.run()
}

/// The questions, by what they are for.
struct Split<'a> {
    fit: Vec<&'a [RecordedTrace]>,
    calibration: Vec<&'a [RecordedTrace]>,
    held_out: Vec<&'a [RecordedTrace]>,
}

impl<'a> Split<'a> {
    fn of(task: &'a TaskTraces, seed: u64) -> Result<Self, Error> {
        let questions = task.by_question();
        let n = questions.len();
        // As many folds as questions: the fold of a question is its place in a random order.
        let places = assign_folds(n, n, seed)?;
        let mut ordered: Vec<&[RecordedTrace]> = vec![&[]; n];
        for (question, place) in questions.into_iter().zip(places) {
            ordered[place] = question;
        }
        let part = |share: f64| (share * n as f64).round() as usize;
        let mut rest = ordered.split_off(part(FIT));
        let held_out = rest.split_off(part(CALIBRATION));
        Ok(Self { fit: ordered, calibration: rest, held_out })
    }

    fn fit_traces(&self) -> impl Iterator<Item = &'a RecordedTrace> + Clone {
        self.fit.clone().into_iter().flatten()
    }
}

/// A signal with its values on every part of the questions.
struct Prepared {
    signal: Signal,
    fit: Vec<Vec<Vec<Option<f64>>>>,
    calibration: Vec<Vec<Vec<Option<f64>>>>,
    held_out: Vec<Vec<Vec<Option<f64>>>>,
}

fn with_values<'a>(
    questions: &[&'a [RecordedTrace]],
    values: &'a [Vec<Vec<Option<f64>>>],
) -> Vec<Question<'a>> {
    let pair = |(traces, values): (&&'a [RecordedTrace], &'a Vec<Vec<Option<f64>>>)| {
        traces.iter().zip(values.iter().map(Vec::as_slice)).collect()
    };
    questions.iter().zip(values).map(pair).collect()
}

impl Prepared {
    fn new(signal: Signal, split: &Split<'_>) -> Self {
        let values = |questions: &[&[RecordedTrace]]| {
            let of_question = |traces: &&[RecordedTrace]| traces.iter().map(|t| signal.values(t)).collect();
            questions.iter().map(of_question).collect()
        };
        let (fit, calibration) = (values(&split.fit), values(&split.calibration));
        let held_out = values(&split.held_out);
        Self { signal, fit, calibration, held_out }
    }
}

/// A threshold that holds, or the reason why there is none.
struct Found {
    condition: Option<Condition>,
    observed: f64,
    naive: Option<Condition>,
    candidates: Vec<Condition>,
    reason: String,
}

struct Deciding<'a> {
    task: &'a TaskTraces,
    options: &'a Options,
    split: Split<'a>,
    bound: Bound,
}

impl<'a> Deciding<'a> {
    fn new(task: &'a TaskTraces, options: &'a Options) -> Result<Self, Error> {
        let has_one_trace = task.traces.len() == task.n_questions;
        let bound = options.bound.unwrap_or(if has_one_trace { Bound::Binomial } else { Bound::Betting });
        if bound == Bound::Binomial && !has_one_trace {
            let problem =
                "the bound binomial is for questions with one trace; use betting or hoeffding-bentkus";
            return Err(Error::Signal { problem: problem.into() });
        }
        Ok(Self { task, options, split: Split::of(task, options.seed)?, bound })
    }

    /// δ for one of the thresholds.
    fn demand(&self, epsilon: f64) -> Demand {
        let n_limits = if self.options.give_up_risk.is_some() { 2.0 } else { 1.0 };
        Demand {
            epsilon,
            delta: self.options.delta / n_limits,
            method: self.options.method,
            bound: self.bound,
        }
    }

    fn run(&self) -> Result<Decision, Error> {
        let (mut prepared, mut without) = (Vec::new(), Vec::new());
        for name in self.names()? {
            match self.signal(name) {
                Ok(signal) => prepared.push(Prepared::new(signal, &self.split)),
                Err(reason) => without.push((name.to_string(), reason)),
            }
        }
        let found: Vec<Found> = prepared.iter().map(|p| self.stop_threshold(p)).collect::<Result<_, _>>()?;
        let mut signals = Vec::new();
        for (prepared, found) in prepared.iter().zip(&found) {
            match &found.condition {
                Some(condition) => signals.push(self.judged(prepared.signal.name(), condition, prepared)),
                None => without.push((prepared.signal.name().to_string(), found.reason.clone())),
            }
        }
        let Some(main) = self.main(&prepared) else {
            let problem = format!("the signal cannot be used: {}", reasons(&without));
            return Err(Error::Signal { problem });
        };
        self.decision(&prepared[main], &found[main], signals, without)
    }

    fn names(&self) -> Result<Vec<&'static str>, Error> {
        let Some(name) = &self.options.signal else { return Ok(USUAL.to_vec()) };
        let known = Signal::names().into_iter().find(|known| known == name);
        let named = known.ok_or_else(|| Signal::unknown(name))?;
        Ok(std::iter::once(named).chain(USUAL.into_iter().filter(|usual| *usual != named)).collect())
    }

    /// The signal of a name, fitted; else why it cannot be used.
    fn signal(&self, name: &str) -> Result<Signal, String> {
        let signal = match name {
            "tempered_entropy" => temperature(self.split.fit_traces())
                .map(Signal::TemperedEntropy)
                .ok_or("no true answers with probabilities to fit the temperature to")?,
            "combined" => {
                let label =
                    if self.options.loss == Loss::Wrong { Label::LeaderIsRight } else { Label::LeaderStays };
                Signal::Combined(Combined::fit(self.split.fit_traces(), label).map_err(|e| e.to_string())?)
            }
            _ => Signal::plain(name).ok_or_else(|| Signal::unknown(name).to_string())?,
        };
        let has_value =
            |trace: &RecordedTrace| (0..trace.n_early()).any(|k| signal.value(trace, k).is_some());
        match self.split.fit_traces().any(has_value) {
            true => Ok(signal),
            false => Err("it has no value at any step before the end".into()),
        }
    }

    fn stop_threshold(&self, prepared: &Prepared) -> Result<Found, Error> {
        let for_steps = self.options.for_steps;
        let condition =
            |value: f64| Condition { for_steps, ..Condition::sure(prepared.signal.clone(), value) };
        let fit = with_values(&self.split.fit, &prepared.fit);
        let pairs = fit.iter().flatten().copied();
        let candidates = choose::thresholds(pairs, prepared.signal.falls(), condition);
        self.threshold(prepared, candidates, choose::stopping, self.options.loss, self.options.risk)
    }

    fn threshold(
        &self,
        prepared: &Prepared,
        candidates: Vec<Condition>,
        rule: fn(Condition) -> Rule,
        loss: Loss,
        epsilon: f64,
    ) -> Result<Found, Error> {
        let demand = self.demand(epsilon);
        let questions = with_values(&self.split.calibration, &prepared.calibration);
        let tried = Tried::of(&candidates, rule, loss, &questions);
        let chosen = choose::choose(&tried, &demand)?;
        let needed = demand.fewest_questions(candidates.len());
        let reason = match candidates.len() {
            0 => "it has one value only".to_string(),
            _ if questions.len() < needed => format!(
                "a risk of at most {epsilon} cannot be shown with {} calibration questions, even without a loss; {needed} are needed",
                questions.len()
            ),
            _ => format!("no threshold was shown to keep the risk at {epsilon}"),
        };
        Ok(Found {
            condition: chosen.map(|c| candidates[c].clone()),
            observed: chosen.map_or(0.0, |c| tried.mean(c)),
            naive: tried.naive(epsilon).map(|c| candidates[c].clone()),
            candidates,
            reason,
        })
    }

    /// The signal that the rule is of.
    fn main(&self, prepared: &[Prepared]) -> Option<usize> {
        let name = self.options.signal.as_deref().unwrap_or(USUAL[0]);
        prepared.iter().position(|prepared| prepared.signal.name() == name)
    }

    /// The threshold below which a trace is given up, with its signal.
    fn give_up(&self, main: &Prepared) -> Result<Option<(Prepared, Found)>, Error> {
        let Some(epsilon) = self.options.give_up_risk else { return Ok(None) };
        let signal = match (&self.options.signal, Combined::fit(self.split.fit_traces(), Label::EndsRight)) {
            (None, Ok(combined)) => Signal::Combined(combined),
            _ => main.signal.clone(),
        };
        let lengths: Vec<f64> = self.split.fit_traces().map(|trace| f64::from(trace.n_tokens)).collect();
        let after_tokens = (quantile(&lengths, 0.5)? / 4.0).round() as u32;
        let prepared = Prepared::new(signal, &self.split);
        let condition = |value: f64| Condition::hopeless(prepared.signal.clone(), value, after_tokens);
        let fit = with_values(&self.split.fit, &prepared.fit);
        let candidates =
            choose::thresholds(fit.iter().flatten().copied(), !prepared.signal.falls(), condition);
        let found = self.threshold(&prepared, candidates, choose::giving_up, Loss::GaveUp, epsilon)?;
        Ok(Some((prepared, found)))
    }

    fn losses(&self) -> Vec<Loss> {
        let gave_up = self.options.give_up_risk.map(|_| Loss::GaveUp);
        std::iter::once(self.options.loss).chain(gave_up).collect()
    }

    /// One threshold on the questions held out.
    fn judged(&self, name: &str, condition: &Condition, prepared: &Prepared) -> Judged {
        let questions = with_values(&self.split.held_out, &prepared.held_out);
        let rule = choose::stopping(condition.clone());
        judge(name, condition.to_string(), &questions, &self.losses(), |trace, values| {
            replay(&rule, trace, Values { stop: values, give_up: &[] })
        })
    }

    fn decision(
        &self,
        main: &Prepared,
        found: &Found,
        signals: Vec<Judged>,
        without: Vec<(String, String)>,
    ) -> Result<Decision, Error> {
        let give_up = self.give_up(main)?;
        let given_up = give_up.as_ref().and_then(|(_, found)| found.condition.clone());
        let rule = Rule { stop: found.condition.clone(), give_up: given_up };
        let mut judged = vec![self.whole()];
        if rule != Rule::default() {
            judged.push(self.rule_judged(&rule, main, give_up.as_ref().map(|(prepared, _)| prepared)));
        }
        if let Some(naive) = &found.naive {
            judged.push(self.judged("naive threshold, no guarantee", naive, main));
        }
        let step = found.candidates.len().div_ceil(CURVE_POINTS).max(1);
        let shown = found.candidates.iter().step_by(step);
        let reasons = [Some(found), give_up.as_ref().map(|(_, found)| found)].into_iter().flatten();
        let reasons: Vec<String> =
            reasons.filter(|f| f.condition.is_none()).map(|f| f.reason.clone()).collect();
        Ok(Decision {
            task: self.task.name.clone(),
            counts: Counts {
                n_traces: self.task.traces.len(),
                n_left_out: self.task.n_left_out,
                n_fit: self.split.fit.len(),
                n_calibration: self.split.calibration.len(),
                n_held_out: self.split.held_out.len(),
            },
            rule: (rule != Rule::default())
                .then(|| self.file(&rule, found, give_up.as_ref().map(|(_, found)| found))),
            no_rule: (!reasons.is_empty()).then(|| reasons.join("; ")),
            judged,
            signals,
            without,
            thresholds: shown.map(|condition| self.judged(main.signal.name(), condition, main)).collect(),
            budgets: self.budgets()?,
            votes: if self.task.has_verdicts() { votes(self.task, self.options.seed)? } else { None },
        })
    }

    fn whole(&self) -> Judged {
        let questions = self.bare(&self.split.held_out);
        judge("whole traces", "never stop".into(), &questions, &self.losses(), |trace, _| {
            Ending::of_whole(trace)
        })
    }

    fn bare<'q>(&self, questions: &[&'q [RecordedTrace]]) -> Vec<Question<'q>> {
        questions.iter().map(|traces| traces.iter().map(|trace| (trace, &[][..])).collect()).collect()
    }

    fn rule_judged(&self, rule: &Rule, main: &Prepared, give_up: Option<&Prepared>) -> Judged {
        let questions = self.bare(&self.split.held_out);
        judge("the rule", rule.to_string(), &questions, &self.losses(), |trace, _| {
            let stop = main.signal.values(trace);
            let give_up = give_up.map_or(Vec::new(), |prepared| prepared.signal.values(trace));
            replay(rule, trace, Values { stop: &stop, give_up: &give_up })
        })
    }

    fn budgets(&self) -> Result<Vec<Judged>, Error> {
        let lengths: Vec<f64> = self.split.fit_traces().map(|trace| f64::from(trace.n_tokens)).collect();
        let median = quantile(&lengths, 0.5)?;
        let questions = self.bare(&self.split.held_out);
        let mut budgets: Vec<u32> = (1..=8).map(|i| (median * f64::from(i) / 6.0).round() as u32).collect();
        budgets.dedup();
        let judged = |budget: u32| {
            let rule = format!("at most {budget} tokens");
            judge("budget", rule, &questions, &self.losses(), |trace, _| choose::at_budget(trace, budget))
        };
        Ok(budgets.into_iter().map(judged).collect())
    }

    /// Mean tokens of the traces of the calibration questions.
    fn whole_tokens(&self) -> Option<f64> {
        let mean = |traces: &&[RecordedTrace]| {
            traces.iter().map(|trace| f64::from(trace.n_tokens)).sum::<f64>() / traces.len().max(1) as f64
        };
        let n = self.split.calibration.len();
        (n > 0).then(|| self.split.calibration.iter().map(mean).sum::<f64>() / n as f64)
    }

    fn file(&self, rule: &Rule, stop: &Found, give_up: Option<&Found>) -> RuleFile {
        let guarantee = |loss: Loss, epsilon: f64, observed: f64| {
            let demand = self.demand(epsilon);
            let is_sure = demand.method != Method::Conformal;
            Guarantee {
                loss: loss.name().into(),
                epsilon,
                delta: is_sure.then_some(self.options.delta),
                method: demand.method.name().into(),
                bound: is_sure.then(|| bound_name(demand.bound).into()),
                n_questions: self.split.calibration.len(),
                observed,
            }
        };
        let mut guarantees = Vec::new();
        if rule.stop.is_some() {
            guarantees.push(guarantee(self.options.loss, self.options.risk, stop.observed));
        }
        if let (Some(_), Some(epsilon), Some(found)) = (&rule.give_up, self.options.give_up_risk, give_up) {
            guarantees.push(guarantee(Loss::GaveUp, epsilon, found.observed));
        }
        RuleFile {
            format_version: FORMAT_VERSION.into(),
            task: self.task.name.clone(),
            model: String::new(),
            model_hash: None,
            estimator: String::new(),
            cue: String::new(),
            segment: None,
            whole_tokens: self.whole_tokens(),
            seed: self.options.seed,
            stop: rule.stop.as_ref().map(ConditionFile::of),
            give_up: rule.give_up.as_ref().map(ConditionFile::of),
            guarantees,
        }
    }
}

fn reasons(without: &[(String, String)]) -> String {
    let said: Vec<String> = without.iter().map(|(name, reason)| format!("{name} ({reason})")).collect();
    said.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::World;

    pub(crate) fn options() -> Options {
        Options {
            task: None,
            signal: None,
            loss: Loss::Wrong,
            risk: 0.1,
            give_up_risk: None,
            delta: 0.1,
            method: Method::FixedSequence,
            bound: None,
            for_steps: 1,
            seed: 3,
        }
    }

    fn task(world: World, n_questions: usize) -> TaskTraces {
        let traces = world.sample(n_questions, 11);
        TaskTraces { name: "made".into(), n_questions, traces, n_left_out: 0 }
    }

    #[test]
    fn a_rule_is_chosen_and_does_on_new_questions_what_it_promises() {
        let decision = decide_on(&task(World::Settling, 600), &options()).unwrap();
        assert_eq!(
            (decision.counts.n_fit, decision.counts.n_calibration, decision.counts.n_held_out),
            (120, 240, 240)
        );
        let rule = decision.judged.iter().find(|judged| judged.name == "the rule").unwrap();
        assert!(rule.saved.value.unwrap() > 0.1, "{rule:?}");
        // Four standard errors above the limit.
        assert!(rule.risks[0].1.value.unwrap() < 0.1 + 0.08, "{rule:?}");
        let file = decision.rule.unwrap();
        assert_eq!(file.guarantees.len(), 1);
        assert!(file.guarantees[0].observed <= 0.1 && file.rule().unwrap().stop.is_some());
        assert!(decision.thresholds.len() <= CURVE_POINTS && !decision.budgets.is_empty());
    }

    #[test]
    fn hopeless_traces_are_given_up() {
        let options = Options { give_up_risk: Some(0.1), ..options() };
        let decision = decide_on(&task(World::Hopeless, 600), &options).unwrap();
        let rule = decision.judged.iter().find(|judged| judged.name == "the rule").unwrap();
        assert!(rule.gave_up > 0.1, "{rule:?}");
        assert!(rule.risks[1].1.value.unwrap() < 0.18, "{rule:?}");
    }

    #[test]
    fn too_few_questions_are_told_how_many_are_needed() {
        let decision = decide_on(&task(World::Settling, 40), &options()).unwrap();
        let reason = decision.no_rule.unwrap();
        assert!(decision.rule.is_none() && reason.contains("22 are needed"), "{reason}");
        let few = decide_on(&task(World::Settling, 5), &options()).unwrap_err().to_string();
        assert!(few.contains("at least 10 questions"), "{few}");
    }

    #[test]
    fn without_true_answers_the_whole_trace_is_the_yardstick() {
        let mut task = task(World::Settling, 400);
        for trace in &mut task.traces {
            (trace.target, trace.correct) = (None, None);
        }
        let refused = decide_on(&task, &options()).unwrap_err().to_string();
        assert!(refused.contains("the loss `differs`"), "{refused}");
        let decision = decide_on(&task, &Options { loss: Loss::Differs, ..options() }).unwrap();
        assert!(decision.rule.is_some());
        assert_eq!(decision.judged[0].accuracy.value, None);
    }
}
