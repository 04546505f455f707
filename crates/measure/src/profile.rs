//! The profile of a trajectory: which answers lead along a trace, how far belief moves, and how it came to its end.
//!
//! Input: the answer distributions p_0..p_K of one trace, its target, and whether the trace itself ended in the target. Output:
//!
//! * S_eff,k = e^{H_k}: how many equally likely answers the belief is worth.
//! * leader switches: the steps at which the leader changes; returns: those of them at which an answer leads again that led before.
//! * J_k = TV(p_k, p_{k+1}), the path length ΣJ_k, and R_direct = TV(p_0, p_K)/ΣJ_k in [0, 1]: 1 for a straight path, 0 for one that
//!   comes back; `None` where belief never moved. Mass that was not explored counts as one more outcome.
//! * commitment step: the first k from which on the leader stays the same (the lock-in step of `signature` also asks for a clear lead).
//! * the outcome, one of eight. Write R where the target leads and W where another answer does, from p_0 to p_K:
//!
//! | the trace ended | outcome | leaders |
//! |---|---|---|
//! | right | stable | R+ : the target leads throughout |
//! | right | rescue | W+ R+ : found once, and kept |
//! | right | detour | R+ W … R : led from the start, was left, and was found again |
//! | right | fragile | … W : right against the last belief; or W+ R+ W … R : found, lost and found again |
//! | wrong | never discovered | W+ |
//! | wrong | escape | R … W : led from the start, and was left for good |
//! | wrong | failed rescue | W … R … W : found, and lost for good |
//! | wrong | stochastic miss | … R : the belief at the end was right, the draw was not |
//!
//! Every trajectory has exactly one. Where nothing is known of the trace's own ending, the last leader stands for it; then there is no
//! stochastic miss, and nothing is right against the last belief. A leader that cannot be read counts as W.
//!
//! Source: the quantities and the names of the outcomes are those of arXiv:2609.09030. Its definitions of the outcomes were not
//! available to us; the partition above is ours and may differ.

use crate::answer::Answer;
use crate::curve::EntropyCurve;

/// Belief at one prefix, from a curve or from recorded rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Belief<'a> {
    /// H_k in nats.
    pub entropy: f64,
    /// Answers by name with their probabilities, in any order; what they lack to one was not explored.
    pub masses: Vec<(&'a str, f64)>,
}

/// How a trace came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Right throughout.
    Stable,
    /// Wrong, then right once and for all.
    Rescue,
    /// Right, then wrong, then right again.
    Detour,
    /// Right in the end, but against the last belief or after losing what was found.
    Fragile,
    /// Wrong throughout.
    NeverDiscovered,
    /// Right at the start, wrong in the end.
    Escape,
    /// Wrong at the start and in the end, right in between.
    FailedRescue,
    /// Right by the last belief, wrong by its own ending.
    StochasticMiss,
}

impl Outcome {
    /// All of them, successes first.
    pub const ALL: [Self; 8] = [
        Self::Stable,
        Self::Rescue,
        Self::Detour,
        Self::Fragile,
        Self::NeverDiscovered,
        Self::Escape,
        Self::FailedRescue,
        Self::StochasticMiss,
    ];

    /// The name used in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Rescue => "rescue",
            Self::Detour => "detour",
            Self::Fragile => "fragile",
            Self::NeverDiscovered => "never-discovered",
            Self::Escape => "escape",
            Self::FailedRescue => "failed-rescue",
            Self::StochasticMiss => "stochastic-miss",
        }
    }

    /// Whether the trace ended in the target.
    pub fn is_success(self) -> bool {
        matches!(self, Self::Stable | Self::Rescue | Self::Detour | Self::Fragile)
    }

    /// The outcome for whether the target leads at each prefix; `None` without prefixes. `correct` is how the trace itself ended.
    pub fn of(target_leads: &[bool], correct: Option<bool>) -> Option<Self> {
        let (&starts, &ends) = (target_leads.first()?, target_leads.last()?);
        let n_found = target_leads.windows(2).filter(|w| !w[0] && w[1]).count();
        let n_lost = target_leads.windows(2).filter(|w| w[0] && !w[1]).count();
        let ever = starts || n_found > 0;
        Some(match (correct.unwrap_or(ends), starts, ends) {
            (true, _, false) => Self::Fragile,
            (true, true, true) if n_lost == 0 => Self::Stable,
            (true, true, true) => Self::Detour,
            (true, false, true) if n_found == 1 => Self::Rescue,
            (true, false, true) => Self::Fragile,
            (false, _, true) => Self::StochasticMiss,
            (false, true, false) => Self::Escape,
            (false, false, false) if ever => Self::FailedRescue,
            (false, false, false) => Self::NeverDiscovered,
        })
    }
}

/// The profile of one trace.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// e^{H_k}, `[K + 1]`.
    pub effective_answers: Vec<f64>,
    /// Steps at which the leader changes.
    pub n_switches: usize,
    /// Those at which an earlier leader leads again.
    pub n_returns: usize,
    /// TV(p_k, p_{k+1}), `[K]`.
    pub jumps: Vec<f64>,
    /// TV(p_0, p_K)/ΣJ_k; `None` where belief never moved.
    pub directness: Option<f64>,
    /// First step from which the leader stays.
    pub commitment_step: usize,
    /// How it ended; `None` without a target.
    pub outcome: Option<Outcome>,
}

impl Profile {
    /// The profile of a curve. `correct` is whether the trace itself ended in the target, where that is known.
    pub fn of(curve: &EntropyCurve, target: Option<&Answer>, correct: Option<bool>) -> Self {
        Self::compute(&beliefs_of(curve), target.map(Answer::name), correct)
    }

    /// The profile of recorded beliefs; `None` without any, or where one of them names no answer.
    pub fn of_beliefs(beliefs: &[Belief<'_>], target: Option<&str>, correct: Option<bool>) -> Option<Self> {
        let complete = !beliefs.is_empty() && beliefs.iter().all(|b| !b.masses.is_empty());
        complete.then(|| Self::compute(beliefs, target, correct))
    }

    /// ΣJ_k.
    pub fn path_length(&self) -> f64 {
        self.jumps.iter().sum()
    }

    /// `beliefs` and their masses are not empty.
    fn compute(beliefs: &[Belief<'_>], target: Option<&str>, correct: Option<bool>) -> Self {
        let leaders: Vec<&str> = beliefs.iter().map(leader).collect();
        let switches: Vec<usize> = (1..leaders.len()).filter(|&k| leaders[k] != leaders[k - 1]).collect();
        let n_returns = switches.iter().filter(|&&k| leaders[..k].contains(&leaders[k])).count();
        let jumps: Vec<f64> = beliefs.windows(2).map(|w| distance(&w[0], &w[1])).collect();
        let path: f64 = jumps.iter().sum();
        let way = distance(&beliefs[0], &beliefs[beliefs.len() - 1]);
        let target_leads = target.map(|target| {
            leaders.iter().map(|&l| l == target && l != Answer::INVALID_NAME).collect::<Vec<bool>>()
        });
        Self {
            effective_answers: beliefs.iter().map(|b| b.entropy.exp()).collect(),
            n_switches: switches.len(),
            n_returns,
            jumps,
            directness: (path > 0.0).then(|| (way / path).min(1.0)),
            commitment_step: switches.last().copied().unwrap_or(0),
            outcome: target_leads.and_then(|leads| Outcome::of(&leads, correct)),
        }
    }
}

/// The beliefs of a curve as they are recorded.
pub fn beliefs_of(curve: &EntropyCurve) -> Vec<Belief<'_>> {
    let beliefs = curve.points().iter().map(|point| {
        let masses = point.distribution.masses().iter().map(|m| (m.answer.name(), m.prob));
        Belief { entropy: point.distribution.entropy.nats, masses: masses.collect() }
    });
    beliefs.collect()
}

/// The most likely answer, ties in the order of [`Answer`] as in `AnswerDistribution`.
fn leader<'a>(belief: &Belief<'a>) -> &'a str {
    let ahead = |a: &&(&str, f64), b: &&(&str, f64)| {
        a.1.total_cmp(&b.1).then_with(|| Answer::from_name(b.0).cmp(&Answer::from_name(a.0)))
    };
    belief.masses.iter().max_by(ahead).map_or(Answer::INVALID_NAME, |m| m.0)
}

/// Total variation between two beliefs, unexplored mass being one outcome.
fn distance(p: &Belief<'_>, q: &Belief<'_>) -> f64 {
    let mass =
        |belief: &Belief<'_>, name: &str| belief.masses.iter().find(|m| m.0 == name).map_or(0.0, |m| m.1);
    let unexplored = |belief: &Belief<'_>| 1.0 - belief.masses.iter().map(|m| m.1).sum::<f64>();
    let shared: f64 = p.masses.iter().map(|&(name, prob)| (prob - mass(q, name)).abs()).sum();
    let only_q: f64 = q.masses.iter().filter(|m| p.masses.iter().all(|n| n.0 != m.0)).map(|m| m.1).sum();
    (shared + only_q + (unexplored(p) - unexplored(q)).abs()) / 2.0
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::*;
    use crate::entropy::shannon_entropy;

    fn belief<'a>(masses: &[(&'a str, f64)]) -> Belief<'a> {
        Belief { entropy: shannon_entropy(masses.iter().map(|m| m.1)), masses: masses.to_vec() }
    }

    /// Beliefs that are sure of one answer each.
    fn sure<'a>(leaders: &[&'a str]) -> Vec<Belief<'a>> {
        leaders.iter().map(|&name| belief(&[(name, 1.0)])).collect()
    }

    /// The outcomes whose pattern of leaders, written as in the module's table, fits.
    fn outcomes_by_pattern(leaders: &str, correct: bool) -> Vec<Outcome> {
        let patterns = [
            (true, Outcome::Stable, "^R+$"),
            (true, Outcome::Rescue, "^W+R+$"),
            (true, Outcome::Detour, "^R+W[RW]*R$"),
            (true, Outcome::Fragile, "W$|^W+R+W[RW]*R$"),
            (false, Outcome::NeverDiscovered, "^W+$"),
            (false, Outcome::Escape, "^R[RW]*W$"),
            (false, Outcome::FailedRescue, "^W[RW]*R[RW]*W$"),
            (false, Outcome::StochasticMiss, "R$"),
        ];
        let fits = |(ended, _, pattern): &(bool, Outcome, &str)| {
            *ended == correct && Regex::new(pattern).unwrap().is_match(leaders)
        };
        patterns.iter().filter(|p| fits(p)).map(|p| p.1).collect()
    }

    #[test]
    fn every_trajectory_has_exactly_the_outcome_of_its_pattern() {
        let answers = ["a", "b", "c"];
        let mut seen = Vec::new();
        for length in 1..=6_u32 {
            for code in 0..3_usize.pow(length) {
                let leaders: Vec<&str> = (0..length).map(|k| answers[code / 3_usize.pow(k) % 3]).collect();
                let pattern: String = leaders.iter().map(|&l| if l == "a" { 'R' } else { 'W' }).collect();
                for correct in [true, false] {
                    let expected = outcomes_by_pattern(&pattern, correct);
                    assert_eq!(expected.len(), 1, "{pattern} {correct}");
                    let profile = Profile::of_beliefs(&sure(&leaders), Some("a"), Some(correct)).unwrap();
                    assert_eq!(profile.outcome, Some(expected[0]), "{pattern} {correct}");
                    assert_eq!(expected[0].is_success(), correct);
                    if !seen.contains(&expected[0]) {
                        seen.push(expected[0]);
                    }
                }
                let by_belief = Profile::of_beliefs(&sure(&leaders), Some("a"), None).unwrap().outcome;
                assert_eq!(by_belief, Some(outcomes_by_pattern(&pattern, pattern.ends_with('R'))[0]));
            }
        }
        assert_eq!(seen.len(), Outcome::ALL.len());
    }

    #[test]
    fn switches_returns_and_commitment() {
        let profile = Profile::of_beliefs(&sure(&["a", "b", "b", "a", "c", "c"]), None, None).unwrap();
        assert_eq!((profile.n_switches, profile.n_returns, profile.commitment_step), (3, 1, 4));
        assert_eq!(profile.outcome, None);
        let still = Profile::of_beliefs(&sure(&["a", "a"]), Some("a"), None).unwrap();
        assert_eq!((still.n_switches, still.commitment_step, still.directness), (0, 0, None));
        assert_eq!(Profile::of_beliefs(&[], None, None), None);
    }

    #[test]
    fn the_path_of_belief() {
        let straight = [belief(&[("a", 1.0)]), belief(&[("a", 0.5), ("b", 0.5)]), belief(&[("b", 1.0)])];
        let profile = Profile::of_beliefs(&straight, Some("b"), None).unwrap();
        assert!(
            (profile.path_length() - 1.0).abs() < 1e-12 && (profile.directness.unwrap() - 1.0).abs() < 1e-12
        );
        assert!((profile.effective_answers[1] - 2.0).abs() < 1e-12);
        let back = Profile::of_beliefs(&sure(&["a", "b", "a"]), Some("a"), None).unwrap();
        assert!(back.directness.unwrap() < 1e-12 && (back.path_length() - 2.0).abs() < 1e-12);
        // A third of the mass was not explored at first and goes to b.
        let partial = [belief(&[("a", 2.0 / 3.0)]), belief(&[("a", 2.0 / 3.0), ("b", 1.0 / 3.0)])];
        let profile = Profile::of_beliefs(&partial, None, None).unwrap();
        assert!((profile.path_length() - 1.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn what_cannot_be_read_is_never_right() {
        let invalid = sure(&[Answer::INVALID_NAME]);
        let profile = Profile::of_beliefs(&invalid, Some(Answer::INVALID_NAME), None).unwrap();
        assert_eq!(profile.outcome, Some(Outcome::NeverDiscovered));
    }

    #[test]
    fn ties_are_led_by_the_first_answer_and_by_one_that_can_be_read() {
        assert_eq!(leader(&belief(&[("b", 0.5), ("a", 0.5)])), "a");
        assert_eq!(leader(&belief(&[(Answer::INVALID_NAME, 0.5), ("a", 0.5)])), "a");
    }
}
