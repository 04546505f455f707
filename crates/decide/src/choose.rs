//! The boldest rule whose risk holds on new questions.
//!
//! Candidates are thresholds of one signal, from cautious to bold, taken from the values on the questions of the fit
//! ([`thresholds`]). On the calibration questions every candidate is replayed ([`Tried`]), and [`choose`] takes, of those that are valid at
//! (ε, δ), the one that saves most tokens there. The methods are those of `entrace_stats::risk::control`.
//!
//! A threshold to stop and one to give up are chosen apart, each as if the other were absent and at half the δ. Together they still hold:
//! whichever ends a trace first only takes away losses of the other.

use entrace_stats::Undefined;
use entrace_stats::risk::Bound;
use entrace_stats::risk::control::{bonferroni, conformal, fixed_sequence};

use crate::loss::Loss;
use crate::recorded::RecordedTrace;
use crate::replay::{Ending, Values, replay};
use crate::rule::{Condition, Rule};

/// Most thresholds that are tried.
pub const MOST_THRESHOLDS: usize = 100;

/// How a rule is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Learn-then-test, from cautious to bold until one is not shown to hold.
    FixedSequence,
    /// Learn-then-test, each threshold at δ divided by their number.
    Bonferroni,
    /// Conformal risk control: the risk holds in expectation.
    Conformal,
}

impl Method {
    /// Every method.
    pub const ALL: [Self; 3] = [Self::FixedSequence, Self::Bonferroni, Self::Conformal];

    /// The name used in flags and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::FixedSequence => "fixed-sequence",
            Self::Bonferroni => "bonferroni",
            Self::Conformal => "conformal",
        }
    }
}

/// The name of a bound in flags and files.
pub fn bound_name(bound: Bound) -> &'static str {
    match bound {
        Bound::Binomial => "binomial",
        Bound::HoeffdingBentkus => "hoeffding-bentkus",
        Bound::Betting => "betting",
    }
}

/// What must hold, and how it is shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Demand {
    /// The limit ε of the risk.
    pub epsilon: f64,
    /// The probability δ with which it may be missed.
    pub delta: f64,
    /// How.
    pub method: Method,
    /// By which bound.
    pub bound: Bound,
}

impl Demand {
    /// Questions that are needed where none of them is lost and `n_candidates` are tried.
    pub fn fewest_questions(&self, n_candidates: usize) -> usize {
        let level = match self.method {
            Method::Bonferroni => self.delta / n_candidates.max(1) as f64,
            _ => self.delta,
        };
        let fewest = match self.method {
            Method::Conformal => 1.0 / self.epsilon - 1.0,
            _ => level.ln() / (1.0 - self.epsilon).ln(),
        };
        fewest.ceil().max(1.0) as usize
    }
}

/// Thresholds from cautious to bold: quantiles over traces of the value at which a trace would first count as sure, so that each next one
/// stops about as many more traces. `condition` makes one of a value; `rising` says that larger values are bolder.
pub fn thresholds<'a>(
    traces: impl Iterator<Item = (&'a RecordedTrace, &'a [Option<f64>])>,
    rising: bool,
    condition: impl Fn(f64) -> Condition,
) -> Vec<Condition> {
    let surest = |(trace, values): (&RecordedTrace, &[Option<f64>])| {
        let early = values[..trace.n_early()].iter().flatten().copied();
        if rising { early.reduce(f64::min) } else { early.reduce(f64::max) }
    };
    let mut values: Vec<f64> = traces.filter_map(surest).map(rounded).collect();
    values.sort_by(f64::total_cmp);
    values.dedup();
    if !rising {
        values.reverse();
    }
    // The most cautious value itself stops nothing.
    let n_bolder = values.len().saturating_sub(1);
    let n = n_bolder.min(MOST_THRESHOLDS);
    (1..=n).map(|i| condition(values[(i * n_bolder).div_ceil(n)])).collect()
}

/// To four significant digits: thresholds that a person can read.
fn rounded(value: f64) -> f64 {
    format!("{value:.3e}").parse().unwrap_or(value)
}

/// What candidates do on some questions.
#[derive(Debug, Clone, PartialEq)]
pub struct Tried {
    /// Loss of each question, `[candidates][questions]`.
    pub losses: Vec<Vec<f64>>,
    /// Tokens saved in all, by candidate.
    pub saved: Vec<u64>,
}

/// A question's traces with the values of one signal at their prefixes.
pub type Question<'a> = Vec<(&'a RecordedTrace, &'a [Option<f64>])>;

impl Tried {
    /// Replays candidates, each made a rule by `rule`; the values serve both conditions.
    pub fn of(
        candidates: &[Condition],
        rule: fn(Condition) -> Rule,
        loss: Loss,
        questions: &[Question<'_>],
    ) -> Self {
        let mut tried = Self { losses: Vec::new(), saved: Vec::new() };
        for candidate in candidates {
            let rule = rule(candidate.clone());
            let mut saved = 0;
            let mut lost = |question: &Question<'_>| {
                let n_lost = question.iter().filter(|(trace, values)| {
                    let ending = replay(&rule, trace, Values { stop: values, give_up: values });
                    saved += u64::from(trace.n_tokens - ending.n_tokens);
                    loss.of(trace, &ending)
                });
                n_lost.count() as f64 / question.len() as f64
            };
            tried.losses.push(questions.iter().map(&mut lost).collect());
            tried.saved.push(saved);
        }
        tried
    }

    /// Mean loss of a candidate.
    pub fn mean(&self, candidate: usize) -> f64 {
        let losses = &self.losses[candidate];
        losses.iter().sum::<f64>() / losses.len() as f64
    }

    /// The candidate that saves most among those whose mean loss is at most ε: a choice without any guarantee.
    pub fn naive(&self, epsilon: f64) -> Option<usize> {
        let within = (0..self.losses.len()).filter(|&candidate| self.mean(candidate) <= epsilon);
        within.max_by_key(|&candidate| self.saved[candidate])
    }
}

/// The valid candidate that saves most; `None` if none is valid. The order of questions must not depend on their losses.
pub fn choose(tried: &Tried, demand: &Demand) -> Result<Option<usize>, Undefined> {
    let p_values = || -> Result<Vec<f64>, Undefined> {
        tried.losses.iter().map(|losses| demand.bound.p_value(losses, demand.epsilon, demand.delta)).collect()
    };
    if tried.losses.is_empty() {
        return Ok(None);
    }
    let valid: Vec<usize> = match demand.method {
        Method::FixedSequence => (0..fixed_sequence(&p_values()?, demand.delta)).collect(),
        Method::Bonferroni => bonferroni(&p_values()?, demand.delta),
        Method::Conformal => return conformal(&tried.losses, demand.epsilon),
    };
    Ok(valid.into_iter().max_by_key(|&candidate| tried.saved[candidate]))
}

/// A rule that stops.
pub fn stopping(condition: Condition) -> Rule {
    Rule { stop: Some(condition), give_up: None }
}

/// A rule that gives up.
pub fn giving_up(condition: Condition) -> Rule {
    Rule { stop: None, give_up: Some(condition) }
}

/// Stops at the last prefix of at most so many tokens.
pub fn at_budget(trace: &RecordedTrace, n_tokens: u32) -> Ending {
    let fitting = trace.prefixes[..trace.n_early()].partition_point(|prefix| prefix.n_tokens <= n_tokens);
    match fitting {
        _ if n_tokens >= trace.n_tokens => Ending::of_whole(trace),
        0 => Ending::of_whole(trace),
        fitting => Ending::at(trace, fitting - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::Signal;
    use crate::world::{World, prefix, trace};

    #[test]
    fn thresholds_go_from_cautious_to_bold() {
        let traces: Vec<_> = (0..50)
            .map(|i| trace(i, "7", vec![prefix("7", 0.5 + 0.009 * i as f64), prefix("7", 0.9)]))
            .collect();
        let entropies: Vec<_> = traces.iter().map(|trace| Signal::AnswerEntropy.values(trace)).collect();
        let pairs = || traces.iter().zip(entropies.iter().map(Vec::as_slice));
        let found = thresholds(pairs(), true, |value| Condition::sure(Signal::AnswerEntropy, value));
        assert!(found.windows(2).all(|pair| pair[0].value < pair[1].value) && found.len() > 40);
        assert!(found[0].holds(entropies[49][0]), "the most cautious stops something");
        assert!(
            thresholds(pairs().take(1), true, |value| Condition::sure(Signal::AnswerEntropy, value))
                .is_empty()
        );
    }

    #[test]
    fn a_budget_ends_at_the_last_step_that_fits() {
        let trace =
            trace(0, "7", vec![prefix("3", 0.5), prefix("7", 0.5), prefix("7", 0.5), prefix("7", 0.9)]);
        assert_eq!(at_budget(&trace, 15).step, 1);
        assert_eq!(at_budget(&trace, 0).step, 0);
        assert_eq!(at_budget(&trace, 30), Ending::of_whole(&trace));
    }

    #[test]
    fn what_is_needed_is_enough() {
        for method in [Method::FixedSequence, Method::Bonferroni, Method::Conformal] {
            let demand = Demand { epsilon: 0.05, delta: 0.1, method, bound: Bound::Binomial };
            let chosen = |n: usize| {
                let tried = Tried { losses: vec![vec![0.0; n]; 20], saved: vec![1; 20] };
                choose(&tried, &demand).unwrap()
            };
            let needed = demand.fewest_questions(20);
            assert!(chosen(needed).is_some() && chosen(needed - 1).is_none(), "{method:?} {needed}");
        }
    }

    const METHODS: [(Method, Bound); 5] = [
        (Method::FixedSequence, Bound::Binomial),
        (Method::FixedSequence, Bound::HoeffdingBentkus),
        (Method::FixedSequence, Bound::Betting),
        (Method::Bonferroni, Bound::Binomial),
        (Method::Conformal, Bound::Binomial),
    ];

    /// The guarantee in worlds with known risks, for every loss; beside it the naive threshold, which breaks it. `ENTRACE_CALIBRATIONS` sets
    /// how many calibrations are simulated.
    #[test]
    fn risks_hold_on_new_questions_where_the_naive_threshold_breaks_them() {
        let n_calibrations = match std::env::var("ENTRACE_CALIBRATIONS") {
            Ok(number) => number.parse().unwrap(),
            Err(_) => 300,
        };
        let (epsilon, delta, n_questions) = (0.1, 0.1, 150);
        for (world, loss) in World::ALL {
            let candidates = world.candidates();
            let risks: Vec<f64> = candidates.iter().map(|candidate| world.risk(candidate.value)).collect();
            let mut broken = [0; METHODS.len() + 1];
            let mut sums = [0.0; METHODS.len() + 1];
            for seed in 0..n_calibrations {
                let sample = world.sample(n_questions, seed);
                let values: Vec<_> = sample.iter().map(|trace| world.signal().values(trace)).collect();
                let questions: Vec<Question<'_>> = sample
                    .iter()
                    .zip(&values)
                    .map(|(trace, values)| vec![(trace, values.as_slice())])
                    .collect();
                let tried = Tried::of(&candidates, world.rule(), loss, &questions);
                let chosen = METHODS.iter().map(|&(method, bound)| {
                    choose(&tried, &Demand { epsilon, delta, method, bound }).unwrap()
                });
                for (i, chosen) in chosen.chain([tried.naive(epsilon)]).enumerate() {
                    let risk = chosen.map_or(0.0, |candidate| risks[candidate]);
                    broken[i] += usize::from(risk > epsilon + 1e-9);
                    sums[i] += risk;
                }
            }
            let n = f64::from(n_calibrations as u32);
            let most = delta + 2.0 * (delta * (1.0 - delta) / n).sqrt();
            for (i, (method, bound)) in METHODS.into_iter().enumerate() {
                let (share, mean) = (broken[i] as f64 / n, sums[i] / n);
                println!(
                    "{world:?} {}: {method:?} {bound:?}: broken {share:.3}, mean risk {mean:.4}",
                    loss.name()
                );
                match method {
                    // The mean over 300 has a standard error of at most 0.0015.
                    Method::Conformal => assert!(mean <= epsilon + 0.003, "{world:?}: {mean}"),
                    _ => assert!(share <= most, "{world:?} {method:?} {bound:?}: {share}"),
                }
            }
            let naive = broken[METHODS.len()] as f64 / n;
            println!("{world:?} {}: naive: broken {naive:.3}", loss.name());
            assert!(naive > 0.25, "{world:?}: {naive}");
        }
    }

    #[test]
    fn savings_come_within_a_tenth_of_the_best_rule_at_a_thousand_questions() {
        let (epsilon, delta) = (0.1, 0.1);
        for (world, loss) in World::ALL {
            let candidates = world.candidates();
            let best = world.best_savings(epsilon);
            for (method, bound) in [METHODS[0], METHODS[4]] {
                let mut sum = 0.0;
                for seed in 0..20 {
                    let sample = world.sample(1000, 7_000 + seed);
                    let values: Vec<_> = sample.iter().map(|trace| world.signal().values(trace)).collect();
                    let questions: Vec<Question<'_>> = sample
                        .iter()
                        .zip(&values)
                        .map(|(trace, values)| vec![(trace, values.as_slice())])
                        .collect();
                    let tried = Tried::of(&candidates, world.rule(), loss, &questions);
                    let chosen = choose(&tried, &Demand { epsilon, delta, method, bound }).unwrap().unwrap();
                    sum += world.savings(candidates[chosen].value);
                }
                let share = sum / 20.0 / best;
                println!("{world:?} {} {method:?}: {share:.3} of the best savings, {best:.3}", loss.name());
                assert!(share >= 0.9, "{world:?} {method:?}: {share}");
            }
        }
    }
}
