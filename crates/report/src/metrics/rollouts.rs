//! Rollouts that were measured beside a forced estimator, and how far the two readouts differ.
//!
//! The forced readout asks what the model would answer now; the rollout lets it finish its reasoning, which is what p(A | Q, C_{1:k})
//! means. Usable information of the rollouts has fits of its own. At the prefixes that both have measured:
//!
//! * distance: TV between the two distributions, and beside it the floor, the distance that as many draws from the forced distribution itself
//!   would show on average, ½ Σ_a E|n_a/m − p_a| with binomial counts (de Moivre's mean absolute deviation);
//! * agreement: the share of prefixes at which both have the same leading answer.
//!
//! Both are given at the quarters of the depth, as means over questions.

use entrace_stats::bootstrap::Resampling;
use serde::{Deserialize, Serialize};

use super::quantity::{Curve, Groups, QuestionMeans};
use super::usable::TaskGains;
use crate::depth::{QUARTERS, grid, last_prefix};
use crate::facts::{Disagreement, OWN, Source, TaskFacts};

/// What rollouts say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RolloutMetrics {
    /// Questions with rollouts.
    pub n_questions: usize,
    /// Fewest and most draws at a prefix.
    pub draws: (u32, u32),
    /// I(s) of the rollouts.
    pub usable_information: Groups<Curve>,
    /// I(s) − G(s) of the rollouts.
    pub overconfidence_cost: Groups<Curve>,
    /// I(s) of rollouts under each control.
    pub controls: Vec<RolloutControl>,
    /// The depths of the curves below.
    pub depths: Vec<f64>,
    /// TV between the forced and the rolled out distribution.
    pub distance: Curve,
    /// TV that the draws alone would show.
    pub distance_floor: Curve,
    /// Share of prefixes with the same leader.
    pub agreement: Curve,
}

/// Rollouts under one control.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RolloutControl {
    /// Its name.
    pub control: String,
    /// I(s).
    pub usable_information: Curve,
}

pub(super) fn of(task: &TaskFacts, gains: &TaskGains<'_>, resampling: &Resampling) -> Option<RolloutMetrics> {
    let draws = task.rollout_draws()?;
    let column = |value: fn(&Disagreement) -> f64| {
        let mut means = QuestionMeans::new(task.n_questions, QUARTERS.len());
        for (trace, _) in task.measured() {
            let Some(points) = trace.curve_of(Source::Rollouts, OWN).filter(|points| !points.is_empty())
            else {
                continue;
            };
            let depths: Vec<f64> = points.iter().map(|point| point.depth).collect();
            let positions = last_prefix(&depths);
            for (place, quarter) in QUARTERS.into_iter().enumerate() {
                let found = trace.disagreements.get(positions[quarter]);
                if let Some(Some(disagreement)) = found {
                    means.add(trace.question, place, value(disagreement));
                }
            }
        }
        Curve::of(&means.per_question().quantities(resampling))
    };
    let control = |(control, gains): &(std::sync::Arc<str>, super::usable::Gains<'_>)| RolloutControl {
        control: control.to_string(),
        usable_information: Curve::of(&gains.quantities(resampling)),
    };
    let usable_information = gains.own.groups(resampling);
    Some(RolloutMetrics {
        n_questions: usable_information.all.n_questions,
        draws,
        usable_information,
        overconfidence_cost: gains.own.cost(resampling),
        controls: gains.controls.iter().map(control).collect(),
        depths: QUARTERS.map(|quarter| grid()[quarter]).to_vec(),
        distance: column(|disagreement| disagreement.distance),
        distance_floor: column(|disagreement| disagreement.floor),
        agreement: column(|disagreement| if disagreement.same_leader { 1.0 } else { 0.0 }),
    })
}
