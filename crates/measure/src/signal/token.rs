//! Signals from single tokens and from the steps they make up.
//!
//! Input: values per token `[T]`, in nats. Each function states its formula; scores are oriented so that larger means more confident.

use super::{Absent, Input, TraceData, items};

/// Tokens of a DeepConf group and of its tail.
const GROUP: usize = 2048;
/// Tokens over which EDIS looks for a burst.
const BURST_WINDOW: usize = 5;
/// Rise in nats that is a burst.
const BURST: f64 = 1.36;
/// Rise in nats above the lowest entropy so far that is a rebound.
const REBOUND: f64 = 1.33;
/// Tokens between the ends of LEASH's slope.
const SLOPE_WINDOW: usize = 8;

/// −(1/T) Σ H_t.
pub(super) fn mean_entropy(trace: &TraceData<'_>) -> Result<f64, Absent> {
    Ok(-mean(entropies(trace, 1)?))
}

/// −max H_t.
pub(super) fn max_entropy(trace: &TraceData<'_>) -> Result<f64, Absent> {
    Ok(-entropies(trace, 1)?.iter().copied().fold(0.0, f64::max))
}

/// Minus the least squares slope of H_t on t/(T − 1), in nats from the first token to the last.
pub(super) fn entropy_slope(trace: &TraceData<'_>) -> Result<f64, Absent> {
    let entropies = entropies(trace, 2)?;
    let last = (entropies.len() - 1) as f64;
    let depth = |t: usize| t as f64 / last - 0.5;
    let common: f64 = entropies.iter().enumerate().map(|(t, h)| depth(t) * h).sum();
    let spread: f64 = (0..entropies.len()).map(|t| depth(t).powi(2)).sum();
    Ok(-common / spread)
}

/// −½ (bursts + rebounds)(1 + Var H): bursts are the t with H_{t+w} − H_t > τ_b, rebounds the t with H_t − min_{s<t} H_s > τ_r.
pub(super) fn edis(trace: &TraceData<'_>) -> Result<f64, Absent> {
    let entropies = entropies(trace, 1)?;
    let n_bursts = entropies
        .iter()
        .zip(entropies.iter().skip(BURST_WINDOW))
        .filter(|(h, later)| *later - *h > BURST)
        .count();
    let mut lowest = f64::INFINITY;
    let mut n_rebounds = 0;
    for &entropy in entropies {
        n_rebounds += usize::from(entropy - lowest > REBOUND);
        lowest = lowest.min(entropy);
    }
    Ok(-0.5 * (n_bursts + n_rebounds) as f64 * (1.0 + variance(entropies)))
}

/// −(H_T − H_{T−8})/8.
pub(super) fn windowed_slope(trace: &TraceData<'_>) -> Result<f64, Absent> {
    let entropies = entropies(trace, SLOPE_WINDOW + 1)?;
    let last = entropies.len() - 1;
    Ok((entropies[last - SLOPE_WINDOW] - entropies[last]) / SLOPE_WINDOW as f64)
}

/// (1/T) Σ ln p_t: the logarithm of 1/perplexity.
pub(super) fn mean_logprob(trace: &TraceData<'_>) -> Result<f64, Absent> {
    Ok(mean(items(Input::TokenLogprobs, trace.token_logprobs, 1)?))
}

/// Σ ln p_t.
pub(super) fn sum_logprob(trace: &TraceData<'_>) -> Result<f64, Absent> {
    Ok(items(Input::TokenLogprobs, trace.token_logprobs, 1)?.iter().sum())
}

/// (1/T) Σ (ln p_(1) − ln p_(2)).
pub(super) fn mean_margin(trace: &TraceData<'_>) -> Result<f64, Absent> {
    Ok(mean(items(Input::TokenMargins, trace.token_margins, 1)?))
}

/// (1/T) Σ KL(U‖p_t).
pub(super) fn self_certainty(trace: &TraceData<'_>) -> Result<f64, Absent> {
    Ok(mean(items(Input::UniformDivergences, trace.uniform_divergences, 1)?))
}

/// Mean confidence of all tokens.
pub(super) fn mean_confidence(trace: &TraceData<'_>) -> Result<f64, Absent> {
    Ok(mean(confidences(trace)?))
}

/// Mean confidence of the last 2048 tokens.
pub(super) fn tail_confidence(trace: &TraceData<'_>) -> Result<f64, Absent> {
    let confidences = confidences(trace)?;
    Ok(mean(&confidences[confidences.len().saturating_sub(GROUP)..]))
}

/// Least mean confidence of a group of 2048 neighbouring tokens.
pub(super) fn lowest_group_confidence(trace: &TraceData<'_>) -> Result<f64, Absent> {
    let groups = group_means(confidences(trace)?);
    Ok(groups.into_iter().fold(f64::INFINITY, f64::min))
}

/// Mean over the lowest tenth (at least one) of the groups' mean confidences.
pub(super) fn bottom_group_confidence(trace: &TraceData<'_>) -> Result<f64, Absent> {
    let mut groups = group_means(confidences(trace)?);
    groups.sort_unstable_by(f64::total_cmp);
    Ok(mean(&groups[..(groups.len() / 10).max(1)]))
}

/// −(1/K) Σ_k Σ_{t in step k} H_t.
pub(super) fn mean_step_entropy_sum(trace: &TraceData<'_>) -> Result<f64, Absent> {
    let sums: Vec<f64> = steps(trace)?.into_iter().map(|step| step.iter().sum()).collect();
    Ok(-mean(&sums))
}

/// Minus the variance of the steps' mean entropies; one step has none.
pub(super) fn step_entropy_variance(trace: &TraceData<'_>) -> Result<f64, Absent> {
    let means: Vec<f64> = steps(trace)?.into_iter().map(mean).collect();
    if means.len() < 2 {
        return Err(Absent::TooShort { input: Input::StepEnds, needs: 2, found: means.len() });
    }
    Ok(-variance(&means))
}

fn entropies<'a>(trace: &TraceData<'a>, needs: usize) -> Result<&'a [f64], Absent> {
    items(Input::TokenEntropies, trace.token_entropies, needs)
}

fn confidences<'a>(trace: &TraceData<'a>) -> Result<&'a [f64], Absent> {
    items(Input::TokenConfidences, trace.token_confidences, 1)
}

/// Mean of each run of `GROUP` neighbours, or of all where there are fewer.
fn group_means(values: &[f64]) -> Vec<f64> {
    values.windows(GROUP.min(values.len())).map(mean).collect()
}

/// The entropies of each step; none is empty.
fn steps<'a>(trace: &TraceData<'a>) -> Result<Vec<&'a [f64]>, Absent> {
    let entropies = entropies(trace, 1)?;
    let ends = items(Input::StepEnds, trace.step_ends, 1)?;
    let starts = std::iter::once(&0).chain(ends);
    let steps =
        starts.zip(ends).map(|(&start, &end)| if start < end { entropies.get(start..end) } else { None });
    steps.collect::<Option<_>>().ok_or(Absent::BadSteps)
}

/// `values` is not empty.
fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Mean squared distance from the mean; `values` is not empty.
fn variance(values: &[f64]) -> f64 {
    let centre = mean(values);
    values.iter().map(|v| (v - centre).powi(2)).sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_entropies(entropies: &[f64]) -> TraceData<'_> {
        TraceData { token_entropies: Some(entropies), ..TraceData::default() }
    }

    fn close(found: Result<f64, Absent>, expected: f64) {
        assert!((found.unwrap() - expected).abs() < 1e-12, "{found:?} {expected}");
    }

    #[test]
    fn levels_and_slopes() {
        let rising = [0.0, 1.0, 2.0, 3.0];
        close(mean_entropy(&with_entropies(&rising)), -1.5);
        close(max_entropy(&with_entropies(&rising)), -3.0);
        close(entropy_slope(&with_entropies(&rising)), -3.0);
        let nine = [4.0, 9.0, 0.0, 1.0, 5.0, 5.0, 5.0, 5.0, 2.0];
        close(windowed_slope(&with_entropies(&nine)), 0.25);
        let short = windowed_slope(&with_entropies(&rising)).unwrap_err();
        assert_eq!(short, Absent::TooShort { input: Input::TokenEntropies, needs: 9, found: 4 });
    }

    #[test]
    fn edis_counts_bursts_and_rebounds() {
        // Calm: nothing rises by enough.
        close(edis(&with_entropies(&[0.5, 0.6, 0.4, 0.5, 0.7, 0.6, 0.5])), 0.0);
        // 0 → 2 after five tokens is a burst, and 2 is more than 1.33 above the lowest so far.
        let spike = [0.0, 0.0, 0.0, 0.0, 0.0, 2.0];
        let spread = 4.0 / 6.0 - (2.0_f64 / 6.0).powi(2);
        close(edis(&with_entropies(&spike)), -(1.0 + spread));
    }

    #[test]
    fn groups_shrink_to_short_traces() {
        let short = TraceData { token_confidences: Some(&[1.0, 3.0]), ..TraceData::default() };
        for score in [mean_confidence, tail_confidence, lowest_group_confidence, bottom_group_confidence] {
            close(score(&short), 2.0);
        }
        // Confidence 1, then 0 for one group, then 1 again.
        let long: Vec<f64> = (0..3 * GROUP).map(|t| f64::from(u8::from(t / GROUP != 1))).collect();
        let long = TraceData { token_confidences: Some(&long), ..TraceData::default() };
        close(mean_confidence(&long), 2.0 / 3.0);
        close(tail_confidence(&long), 1.0);
        close(lowest_group_confidence(&long), 0.0);
        // The 409 lowest of 4097 groups: one at 0, and two at each of 1/2048 to 204/2048.
        close(bottom_group_confidence(&long), 2.0 * (204.0 * 205.0 / 2.0) / 2048.0 / 409.0);
    }

    #[test]
    fn steps_are_summed_and_compared() {
        let mut trace = with_entropies(&[1.0, 3.0, 2.0, 4.0]);
        trace.step_ends = Some(&[1, 4]);
        close(mean_step_entropy_sum(&trace), -5.0);
        close(step_entropy_variance(&trace), -1.0);
        trace.step_ends = Some(&[4]);
        assert_eq!(
            step_entropy_variance(&trace),
            Err(Absent::TooShort { input: Input::StepEnds, needs: 2, found: 1 })
        );
        for ends in [&[2, 2][..], &[3, 1], &[5]] {
            trace.step_ends = Some(ends);
            assert_eq!(mean_step_entropy_sum(&trace), Err(Absent::BadSteps));
        }
    }

    #[test]
    fn probabilities_of_the_sequence() {
        let trace = TraceData { token_logprobs: Some(&[-1.0, -2.0]), ..TraceData::default() };
        close(mean_logprob(&trace), -1.5);
        close(sum_logprob(&trace), -3.0);
    }
}
