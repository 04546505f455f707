//! What rules do on questions that neither made nor chose them.
//!
//! Per rule: the share of trace tokens that it saves, accuracy with its change against whole traces, and its risks. Means are over
//! questions, savings over tokens; intervals resample questions (95 %, `entrace_stats::bootstrap`).

use entrace_stats::bootstrap::{self, Resampling};
use entrace_stats::{ClusterSums, Undefined};
use serde::{Deserialize, Serialize};

use crate::choose::Question;
use crate::loss::Loss;
use crate::recorded::RecordedTrace;
use crate::replay::Ending;

/// A number with its interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The value; null where it is undefined.
    pub value: Option<f64>,
    /// Lower end of its interval; null where that is undefined.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
}

impl Measured {
    pub(crate) fn of(value: Option<f64>, estimated: &Result<bootstrap::CurvePoint, Undefined>) -> Self {
        let interval = estimated.as_ref().ok().map(|point| point.estimate.interval);
        Self { value, low: interval.map(|i| i.low), high: interval.map(|i| i.high) }
    }
}

/// One rule on the questions held out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// What it is.
    pub name: String,
    /// Its condition, or budget in tokens, as text.
    pub rule: String,
    /// Share of the trace tokens that are not written.
    pub saved: Measured,
    /// Share of right answers; null values where nothing is known to be right.
    pub accuracy: Measured,
    /// Accuracy less that of whole traces.
    pub change: Measured,
    /// Share of traces that are stopped because sure.
    pub stopped: f64,
    /// Share that is given up.
    pub gave_up: f64,
    /// Mean number of prefixes of a trace at which it is decided.
    pub looked: f64,
    /// The risks, by name of the loss.
    pub risks: Vec<(String, Measured)>,
}

/// Judges one rule; `ending` says how it ends each trace.
pub fn judge(
    name: &str,
    rule: String,
    questions: &[Question<'_>],
    losses: &[Loss],
    ending: impl Fn(&RecordedTrace, &[Option<f64>]) -> Ending,
) -> Judged {
    let mut sums = ClusterSums::new(questions.len(), 3 + losses.len());
    let (mut stopped, mut gave_up, mut looked) = (0.0, 0.0, 0.0);
    for (number, question) in questions.iter().enumerate() {
        let weight = 1.0 / question.len() as f64;
        for (trace, values) in question {
            let ending = ending(trace, values);
            let n_tokens = f64::from(trace.n_tokens);
            if trace.n_tokens > 0 {
                sums.add(number, 0, 1.0 - f64::from(ending.n_tokens) / n_tokens, n_tokens);
            }
            if let (Some(now), Some(whole)) = (ending.is_right(trace), trace.correct) {
                let share = |is_right: bool| f64::from(u8::from(is_right));
                sums.add(number, 1, share(now), weight);
                sums.add(number, 2, share(now) - share(whole), weight);
            }
            for (column, loss) in (3..).zip(losses) {
                sums.add(number, column, f64::from(u8::from(loss.of(trace, &ending))), weight);
            }
            let share = weight / questions.len() as f64;
            stopped += if ending.act == crate::replay::Act::Stop { share } else { 0.0 };
            gave_up += if ending.act == crate::replay::Act::GiveUp { share } else { 0.0 };
            looked += share * ending.n_looked as f64;
        }
    }
    let values = sums.ratios();
    let points = bootstrap::curve(&sums, &Resampling::default());
    let column = |i: usize| Measured::of(values[i], &points[i]);
    Judged {
        name: name.to_string(),
        rule,
        saved: column(0),
        accuracy: column(1),
        change: column(2),
        stopped,
        gave_up,
        looked,
        risks: (3..).zip(losses).map(|(i, loss)| (loss.name().to_string(), column(i))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{prefix, trace};

    #[test]
    fn savings_are_of_tokens_and_accuracy_of_questions() {
        let right = || vec![prefix("7", 0.9), prefix("7", 0.9), prefix("7", 0.9)];
        let late =
            || vec![prefix("3", 0.9), prefix("3", 0.9), prefix("3", 0.9), prefix("3", 0.9), prefix("7", 0.9)];
        let traces: Vec<_> =
            (0..20).map(|i| trace(i, "7", if i % 2 == 0 { right() } else { late() })).collect();
        let questions: Vec<Question<'_>> = traces.iter().map(|trace| vec![(trace, &[][..])]).collect();
        let judged = judge("x", String::new(), &questions, &[Loss::Wrong], |trace, _| Ending::at(trace, 1));
        let near = |measured: &Measured, value: f64| (measured.value.unwrap() - value).abs() < 1e-12;
        // 10 of 20 and 30 of 40 tokens are not written.
        assert!(
            near(&judged.saved, 40.0 / 60.0) && near(&judged.accuracy, 0.5) && near(&judged.change, -0.5)
        );
        assert!(near(&judged.risks[0].1, 0.5) && (judged.stopped - 1.0).abs() < 1e-12);
        assert!(judged.change.low.unwrap() < -0.2 && judged.change.high.unwrap() > -0.8);
    }
}
