//! One answer from several traces of a question: voting and picking.
//!
//! Input: the questions that have as many stated answers or failures as the run drew traces, n ≥ 2. Methods:
//!
//! * one trace; majority; any right, which only who knows the answer can do.
//! * weighted by a signal: every trace votes with the probability of being right that its signal's value gives (Platt, fitted on the other
//!   folds of questions, so that weights of all signals are alike); best by a signal: the answer of the trace with the largest one.
//! * `combined` does both with a logistic regression over all of them, fitted in the same way.
//!
//! Signals are those of `signal` at the end of the trace. A trace that states no answer has no vote; equal votes share: a method that is
//! undecided between two answers, one of them right, counts a half. Accuracy is the mean over questions; differences to the majority are
//! paired, and all intervals resample questions.
//!
//! The curve over m = 1..n votes among m of the n traces: the mean over the windows of random orders, each subset of m being as likely as any
//! other, so that every point is unbiased for m fresh traces; at m = 1 and m = n it is exact.

use entrace_stats::bootstrap::{self, Resampling};
use entrace_stats::calibration::platt::Platt;
use entrace_stats::cross_validation::assign_folds;
use entrace_stats::logistic::{Features, Logistic};
use entrace_stats::{ClusterSums, Undefined};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::judge::Measured;
use crate::recorded::{RecordedTrace, TaskTraces};
use crate::signal::Signal;

/// Signals by which traces are weighted and picked.
const SIGNALS: [&str; 6] = [
    "answer_entropy",
    "leader_prob",
    "mean_logprob",
    "mean_token_entropy",
    "mean_top2_margin",
    "deepconf_lowest_group",
];
/// Folds of questions in which weights are fitted.
const N_FOLDS: usize = 5;
/// Random orders of a question's traces.
const N_ORDERS: u64 = 16;

/// What voting does for a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Votes {
    /// Traces of a question.
    pub n_traces: usize,
    /// Questions that have so many.
    pub n_questions: usize,
    /// Every method with all traces.
    pub methods: Vec<Voted>,
    /// Signals that cannot be used, with the reason.
    pub without: Vec<(String, String)>,
}

/// One method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Voted {
    /// Its name.
    pub name: String,
    /// Share of questions answered right.
    pub accuracy: Measured,
    /// That less the majority's, paired by question.
    pub against_majority: Measured,
    /// Accuracy with m = 1..n traces.
    pub curve: Vec<Measured>,
}

/// Votes on a task whose questions have several traces; `None` if no question has.
pub fn votes(task: &TaskTraces, seed: u64) -> Result<Option<Votes>, Error> {
    let by_question = task.by_question();
    let n_traces = by_question.iter().map(|traces| traces.len()).max().unwrap_or(0);
    let is_whole = |traces: &&[RecordedTrace]| {
        traces.len() == n_traces && traces.iter().all(|trace| trace.correct.is_some())
    };
    let questions: Vec<&[RecordedTrace]> = by_question.into_iter().filter(is_whole).collect();
    if n_traces < 2 || questions.len() < 2 {
        return Ok(None);
    }
    let (mut methods, mut without) = (vec![Method::one(), Method::majority()], Vec::new());
    let mut columns = Vec::new();
    for name in SIGNALS {
        let Some(signal) = Signal::plain(name) else { continue };
        match scores(&signal, &questions) {
            Some(scores) => columns.push((name, scores)),
            None => without.push((name.to_string(), "not recorded at the end of any trace".to_string())),
        }
    }
    for (name, scores) in &columns {
        match weights(std::slice::from_ref(scores), &questions, seed) {
            Ok(weights) => methods.push(Method::weighted(name, weights)),
            Err(reason) => without.push((name.to_string(), format!("no weights: {reason}"))),
        }
        methods.push(Method::best(name, scores.clone()));
    }
    let all: Vec<Vec<Vec<f64>>> = columns.into_iter().map(|(_, scores)| scores).collect();
    match weights(&all, &questions, seed) {
        Ok(weights) => {
            methods.push(Method::weighted("combined", weights.clone()));
            methods.push(Method::best("combined", weights));
        }
        Err(reason) => without.push(("combined".to_string(), format!("no weights: {reason}"))),
    }
    methods.push(Method::any());
    let methods = methods.iter().map(|method| method.voted(&questions, n_traces)).collect();
    Ok(Some(Votes { n_traces, n_questions: questions.len(), methods, without }))
}

/// The values of a signal at the end of each trace, larger = surer, `[questions][traces]`; a trace without one counts as the least sure.
fn scores(signal: &Signal, questions: &[&[RecordedTrace]]) -> Option<Vec<Vec<f64>>> {
    let score = |trace: &RecordedTrace| {
        let value = signal.value(trace, trace.prefixes.len() - 1)?;
        Some(if signal.falls() { -value } else { value })
    };
    let scores: Vec<Vec<Option<f64>>> =
        questions.iter().map(|traces| traces.iter().map(score).collect()).collect();
    let least = scores.iter().flatten().flatten().copied().reduce(f64::min)?;
    let filled = |scores: Vec<Option<f64>>| scores.into_iter().map(|s| s.unwrap_or(least)).collect();
    Some(scores.into_iter().map(filled).collect())
}

/// The probability of being right of every trace, `[questions][traces]`, by a fit on the other folds. `columns[signal][question][trace]`.
fn weights(
    columns: &[Vec<Vec<f64>>],
    questions: &[&[RecordedTrace]],
    seed: u64,
) -> Result<Vec<Vec<f64>>, Undefined> {
    let folds = assign_folds(questions.len(), N_FOLDS.min(questions.len()), seed)?;
    let row = |question: usize, trace: usize| columns.iter().map(move |column| column[question][trace]);
    let mut weights = vec![Vec::new(); questions.len()];
    for fold in 0..N_FOLDS.min(questions.len()) {
        let (mut values, mut labels) = (Vec::new(), Vec::new());
        for question in (0..questions.len()).filter(|&question| folds[question] != fold) {
            for (trace, recorded) in questions[question].iter().enumerate() {
                values.extend(row(question, trace));
                labels.push(recorded.correct == Some(true));
            }
        }
        let fit = Weighing::fit(columns.len(), values, &labels)?;
        for question in (0..questions.len()).filter(|&question| folds[question] == fold) {
            let traces = 0..questions[question].len();
            weights[question] =
                traces.map(|trace| fit.prob(&row(question, trace).collect::<Vec<_>>())).collect();
        }
    }
    Ok(weights)
}

/// The probability of being right by the values of some signals.
enum Weighing {
    One(Platt),
    Several(Logistic),
}

impl Weighing {
    fn fit(n_signals: usize, values: Vec<f64>, labels: &[bool]) -> Result<Self, Undefined> {
        match n_signals {
            1 => Platt::fit(&values, labels).map(Self::One),
            n => Logistic::fit(&Features::new(n, values)?, labels, 1.0).map(Self::Several),
        }
    }

    fn prob(&self, row: &[f64]) -> f64 {
        match self {
            Self::One(platt) => platt.predict(row[0]),
            Self::Several(logistic) => logistic.probability(row),
        }
    }
}

/// How an answer is taken from traces.
enum Taking {
    /// A trace at random.
    One,
    /// The answer with the most weight.
    Vote,
    /// The answer of the trace with the most weight.
    Best,
    /// Right if any is.
    Any,
}

struct Method {
    name: String,
    taking: Taking,
    /// `[questions][traces]`; empty for equal weights.
    weights: Vec<Vec<f64>>,
}

impl Method {
    fn one() -> Self {
        Self { name: "one trace".into(), taking: Taking::One, weights: Vec::new() }
    }

    fn majority() -> Self {
        Self { name: "majority".into(), taking: Taking::Vote, weights: Vec::new() }
    }

    fn any() -> Self {
        Self { name: "any right".into(), taking: Taking::Any, weights: Vec::new() }
    }

    fn weighted(signal: &str, weights: Vec<Vec<f64>>) -> Self {
        Self { name: format!("weighted by {signal}"), taking: Taking::Vote, weights }
    }

    fn best(signal: &str, weights: Vec<Vec<f64>>) -> Self {
        Self { name: format!("best by {signal}"), taking: Taking::Best, weights }
    }

    /// The share of right among what is taken from some traces of a question.
    fn rightness(&self, question: usize, traces: &[RecordedTrace], some: &[usize]) -> f64 {
        let is_right = |trace: usize| f64::from(u8::from(traces[trace].correct == Some(true)));
        let weight = |trace: usize| self.weights.get(question).map_or(1.0, |weights| weights[trace]);
        match self.taking {
            Taking::One => some.iter().map(|&trace| is_right(trace)).sum::<f64>() / some.len() as f64,
            Taking::Any => some.iter().map(|&trace| is_right(trace)).fold(0.0, f64::max),
            Taking::Best => {
                let rows: Vec<(f64, f64)> = some.iter().map(|&t| (weight(t), is_right(t))).collect();
                share_of_largest(&rows)
            }
            Taking::Vote => {
                let mut answers: Vec<(&str, (f64, f64))> = Vec::new();
                for &trace in some.iter().filter(|&&trace| traces[trace].states_answer) {
                    let answer = &*traces[trace].answer;
                    match answers.iter_mut().find(|(known, _)| *known == answer) {
                        Some((_, (votes, _))) => *votes += weight(trace),
                        None => answers.push((answer, (weight(trace), is_right(trace)))),
                    }
                }
                share_of_largest(&answers.into_iter().map(|(_, votes)| votes).collect::<Vec<_>>())
            }
        }
    }

    fn voted(&self, questions: &[&[RecordedTrace]], n_traces: usize) -> Voted {
        let mut sums = ClusterSums::new(questions.len(), n_traces + 1);
        let (all, majority) = ((0..n_traces).collect::<Vec<_>>(), Self::majority());
        for (number, traces) in questions.iter().enumerate() {
            for (m, value) in self.curve(number, traces).into_iter().enumerate() {
                sums.add(number, m, value, 1.0);
            }
            let gain = self.rightness(number, traces, &all) - majority.rightness(number, traces, &all);
            sums.add(number, n_traces, gain, 1.0);
        }
        let values = sums.ratios();
        let points = bootstrap::curve(&sums, &Resampling::default());
        let column = |i: usize| Measured::of(values[i], &points[i]);
        Voted {
            name: self.name.clone(),
            accuracy: column(n_traces - 1),
            against_majority: column(n_traces),
            curve: (0..n_traces).map(column).collect(),
        }
    }

    /// The expected share of right with m = 1..n of a question's traces.
    fn curve(&self, question: usize, traces: &[RecordedTrace]) -> Vec<f64> {
        let n = traces.len();
        let mut sums = vec![0.0; n];
        for seed in 0..N_ORDERS {
            // As many folds as traces: a random order.
            let order = assign_folds(n, n, N_ORDERS * question as u64 + seed).unwrap_or_default();
            for start in 0..order.len() {
                let window: Vec<usize> = order.iter().cycle().skip(start).take(n).copied().collect();
                for (m, sum) in sums.iter_mut().enumerate() {
                    *sum += self.rightness(question, traces, &window[..=m]);
                }
            }
        }
        sums.into_iter().map(|sum| sum / (N_ORDERS * n as u64) as f64).collect()
    }
}

/// The mean of the second numbers of the rows whose first is the largest; 0 without rows.
fn share_of_largest(rows: &[(f64, f64)]) -> f64 {
    let largest = rows.iter().map(|row| row.0).fold(f64::NEG_INFINITY, f64::max);
    // Sums of equal weights in another order differ by rounding.
    let tied: Vec<f64> =
        rows.iter().filter(|row| row.0 >= largest - 1e-12 * largest.abs()).map(|row| row.1).collect();
    if tied.is_empty() { 0.0 } else { tied.iter().sum::<f64>() / tied.len() as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{Uniform, prefix, trace};

    /// Questions with traces that are right with this probability; a right trace is surer.
    fn task(n_questions: usize, n_traces: u32, right: f64) -> TaskTraces {
        let mut uniform = Uniform::new(5);
        let mut traces = Vec::new();
        for question in 0..n_questions {
            for sample in 0..n_traces {
                let is_right = uniform.next() < right;
                let wrong = format!("{}", (uniform.next() * 4.0) as u32);
                let prob = if is_right { 0.6 + 0.39 * uniform.next() } else { 0.4 + 0.4 * uniform.next() };
                let leader = if is_right { "7".to_string() } else { wrong };
                let one = trace(question, "7", vec![prefix(&leader, 0.5), prefix(&leader, prob)]);
                traces.push(RecordedTrace { sample, ..one });
            }
        }
        TaskTraces { name: "made".into(), n_questions, traces, n_left_out: 0 }
    }

    fn method<'a>(votes: &'a Votes, name: &str) -> &'a Voted {
        votes.methods.iter().find(|voted| voted.name == name).unwrap()
    }

    #[test]
    fn votes_help_and_a_good_signal_helps_more() {
        let votes = votes(&task(300, 5, 0.5), 1).unwrap().unwrap();
        let accuracy = |name: &str| method(&votes, name).accuracy.value.unwrap();
        assert!(accuracy("majority") > accuracy("one trace") + 0.05);
        assert!(accuracy("weighted by leader_prob") > accuracy("majority") + 0.02);
        assert!(accuracy("any right") >= accuracy("best by combined"));
        let gain = method(&votes, "weighted by leader_prob").against_majority;
        assert!(gain.low.unwrap() > 0.0, "{gain:?}");
        let none = method(&votes, "majority").against_majority;
        assert!(none.value.unwrap().abs() < 1e-12 && none.high.unwrap().abs() < 1e-12);
    }

    #[test]
    fn the_curve_is_unbiased() {
        // Majority of three of five against all ten subsets.
        let task = task(40, 5, 0.5);
        let questions = task.by_question();
        let majority = Method::majority();
        let (mut found, mut exact) = (0.0, 0.0);
        for (number, traces) in questions.iter().enumerate() {
            found += majority.curve(number, traces)[2];
            for a in 0..5 {
                for b in a + 1..5 {
                    for c in b + 1..5 {
                        exact += majority.rightness(number, traces, &[a, b, c]) / 10.0;
                    }
                }
            }
        }
        assert!((found - exact).abs() / 40.0 < 0.01, "{found} {exact}");
        let votes = votes(&task, 1).unwrap().unwrap();
        let one = method(&votes, "one trace");
        let majority = method(&votes, "majority");
        assert!((one.curve[0].value.unwrap() - one.accuracy.value.unwrap()).abs() < 1e-12);
        assert!((majority.curve[0].value.unwrap() - one.accuracy.value.unwrap()).abs() < 1e-12);
        assert!((majority.curve[4].value.unwrap() - majority.accuracy.value.unwrap()).abs() < 1e-12);
    }

    #[test]
    fn equal_votes_share() {
        assert!((share_of_largest(&[(2.0, 1.0), (2.0, 0.0), (1.0, 0.0)]) - 0.5).abs() < 1e-15);
        assert!(share_of_largest(&[]).abs() < 1e-15);
    }

    #[test]
    fn single_traces_have_no_vote() {
        assert_eq!(votes(&task(30, 1, 0.5), 1).unwrap(), None);
    }
}
