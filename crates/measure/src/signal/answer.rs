//! Signals from the answer distributions along a trace, and from whole completions.
//!
//! Input: the answer curve, the trajectory profile, or single recorded numbers. Each function states its formula; scores are oriented
//! so that larger means more confident.

use super::{Absent, Input, TraceData, items};
use crate::profile::Profile;
use crate::signature::{Point, Signature};

/// −H_0.
pub(super) fn initial_entropy(trace: &TraceData<'_>) -> Result<f64, Absent> {
    entropy_at(trace, 0.0)
}

/// −H(¼).
pub(super) fn quarter_entropy(trace: &TraceData<'_>) -> Result<f64, Absent> {
    entropy_at(trace, 0.25)
}

/// −H(½).
pub(super) fn middle_entropy(trace: &TraceData<'_>) -> Result<f64, Absent> {
    entropy_at(trace, 0.5)
}

/// −H(¾).
pub(super) fn three_quarter_entropy(trace: &TraceData<'_>) -> Result<f64, Absent> {
    entropy_at(trace, 0.75)
}

/// −H_K.
pub(super) fn final_entropy(trace: &TraceData<'_>) -> Result<f64, Absent> {
    entropy_at(trace, 1.0)
}

/// −∫ H(s) ds; a trace without steps has no area.
pub(super) fn area(trace: &TraceData<'_>) -> Result<f64, Absent> {
    let missing = Absent::TooShort { input: Input::Curve, needs: 2, found: 1 };
    signature(trace)?.area.map(|area| -area).ok_or(missing)
}

/// H_0 − H_K.
pub(super) fn total_drop(trace: &TraceData<'_>) -> Result<f64, Absent> {
    Ok(signature(trace)?.total_drop)
}

/// 1 for an ε-monotone curve, else 0.
pub(super) fn monotone(trace: &TraceData<'_>) -> Result<f64, Absent> {
    Ok(f64::from(u8::from(signature(trace)?.monotone)))
}

/// Minus the number of steps at which H rises by more than ε.
pub(super) fn violations(trace: &TraceData<'_>) -> Result<f64, Absent> {
    Ok(-(signature(trace)?.n_violations as f64))
}

/// Share of the prefixes from the lock-in step on; 0 for a trace that never locks in.
pub(super) fn locked_share(trace: &TraceData<'_>) -> Result<f64, Absent> {
    let n = curve(trace)?.len();
    let n_locked = signature(trace)?.lock_in_step.map_or(0, |k| n - k);
    Ok(n_locked as f64 / n as f64)
}

/// Probability of the leader at the last prefix.
pub(super) fn top_prob(trace: &TraceData<'_>) -> Result<f64, Absent> {
    let curve = curve(trace)?;
    Ok(curve[curve.len() - 1].leader_prob)
}

/// −e^{H_K}.
pub(super) fn effective_answers(trace: &TraceData<'_>) -> Result<f64, Absent> {
    let effective = &profile(trace)?.effective_answers;
    Ok(-items(Input::Profile, Some(effective), 1)?[effective.len() - 1])
}

/// Minus the number of changes of the leader.
pub(super) fn switches(trace: &TraceData<'_>) -> Result<f64, Absent> {
    Ok(-(profile(trace)?.n_switches as f64))
}

/// −ΣJ_k.
pub(super) fn path_length(trace: &TraceData<'_>) -> Result<f64, Absent> {
    Ok(-profile(trace)?.path_length())
}

/// R_direct.
pub(super) fn directness(trace: &TraceData<'_>) -> Result<f64, Absent> {
    profile(trace)?.directness.ok_or(Absent::NeverMoved)
}

/// Minus the entropy of the next token after the answer cue.
pub(super) fn cue_entropy(trace: &TraceData<'_>) -> Result<f64, Absent> {
    trace.cue_entropy.map(|h| -h).ok_or(Absent::NotRecorded(Input::CueEntropy))
}

/// Share of sampled traces that end in the same answer.
pub(super) fn agreement(trace: &TraceData<'_>) -> Result<f64, Absent> {
    trace.agreement.ok_or(Absent::NotRecorded(Input::Agreement))
}

fn curve<'a>(trace: &TraceData<'a>) -> Result<&'a [Point<'a>], Absent> {
    items(Input::Curve, trace.curve, 1)
}

fn signature(trace: &TraceData<'_>) -> Result<Signature, Absent> {
    let missing = Absent::TooShort { input: Input::Curve, needs: 1, found: 0 };
    Signature::of_points(curve(trace)?).ok_or(missing)
}

fn profile<'a>(trace: &TraceData<'a>) -> Result<&'a Profile, Absent> {
    trace.profile.ok_or(Absent::NotRecorded(Input::Profile))
}

/// Minus the entropy at the last prefix of relative depth at most `depth`: what is known once that share of the steps is done. The
/// first prefix stands for a trace that has none so early.
fn entropy_at(trace: &TraceData<'_>, depth: f64) -> Result<f64, Absent> {
    let curve = curve(trace)?;
    let n_reached = curve.iter().filter(|p| p.depth <= depth + 1e-6).count();
    Ok(-curve[n_reached.max(1) - 1].entropy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve_of(entropies: &[f64]) -> Vec<Point<'static>> {
        let last = (entropies.len() - 1) as f64;
        let point = |(k, &entropy): (usize, &f64)| {
            let leader_prob = if entropy < 0.4 { 0.95 } else { 0.5 };
            Point { n_tokens: k, depth: k as f64 / last, entropy, leader: "a", leader_prob }
        };
        entropies.iter().enumerate().map(point).collect()
    }

    #[test]
    fn entropies_at_depths_do_not_look_ahead() {
        let points = curve_of(&[1.0, 0.8, 0.6, 0.3]);
        let trace = TraceData { curve: Some(&points), ..TraceData::default() };
        let at = [initial_entropy, quarter_entropy, middle_entropy, three_quarter_entropy, final_entropy];
        let found: Vec<f64> = at.iter().map(|score| score(&trace).unwrap()).collect();
        assert_eq!(found, [-1.0, -1.0, -0.8, -0.6, -0.3]);
        assert!((locked_share(&trace).unwrap() - 0.25).abs() < 1e-12);
        assert!((top_prob(&trace).unwrap() - 0.95).abs() < 1e-12);
    }

    #[test]
    fn a_trace_that_never_locks_in_has_no_locked_share() {
        let points = curve_of(&[1.0, 0.8]);
        let trace = TraceData { curve: Some(&points), ..TraceData::default() };
        assert!(locked_share(&trace).unwrap().abs() < 1e-12);
        let single = [Point { depth: 1.0, ..points[0] }];
        let single = TraceData { curve: Some(&single), ..TraceData::default() };
        assert_eq!(area(&single), Err(Absent::TooShort { input: Input::Curve, needs: 2, found: 1 }));
        assert!((initial_entropy(&single).unwrap() + 1.0).abs() < 1e-12);
        let none = TraceData { curve: Some(&[]), ..TraceData::default() };
        assert_eq!(final_entropy(&none), Err(Absent::TooShort { input: Input::Curve, needs: 1, found: 0 }));
    }
}
