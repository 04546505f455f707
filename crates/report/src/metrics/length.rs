//! Gains per length of the trace.
//!
//! A mean per step falls with the number of steps by itself, and long traces have more steps: what traces gain in all, per step and per 100
//! tokens are three questions. Each is a mean over traces of the gain at the end over its own length, then over questions; a trace without
//! steps takes no part in the last two. Source of the measure per step: arXiv:2506.02126.

use entrace_stats::bootstrap::Resampling;
use serde::{Deserialize, Serialize};

use super::quantity::Quantity;
use super::usable::{Gains, Reading};
use crate::depth::FINAL;

/// One kind of gain by length.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ByLength {
    /// At the end of the trace, nats.
    pub total: Quantity,
    /// The same per step.
    pub per_step: Quantity,
    /// The same per 100 tokens of the trace.
    pub per_100_tokens: Quantity,
}

/// Usable and raw gains by length.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LengthMetrics {
    /// Of usable information I(1).
    pub usable_information: ByLength,
    /// Of the raw gain G(1), over the same traces.
    pub information_gain: ByLength,
}

/// What a gain is divided by.
type Unit = fn(&Reading<'_>) -> f64;

const UNITS: [Unit; 3] = [
    |_| 1.0,
    |reading| f64::from(reading.trace.n_steps),
    |reading| f64::from(reading.trace.n_trace_tokens) / 100.0,
];

pub(super) fn of(gains: &Gains<'_>, resampling: &Resampling) -> LengthMetrics {
    let by_length = |value: &dyn Fn(&Reading<'_>, usize) -> Option<f64>| {
        let [total, per_step, per_100_tokens] = UNITS.map(|unit| {
            let per_unit = |reading: &Reading<'_>, row: usize| {
                let length = unit(reading);
                value(reading, row).filter(|_| length > 0.0).map(|value| value / length)
            };
            gains.mean_of(per_unit, resampling)
        });
        ByLength { total, per_step, per_100_tokens }
    };
    LengthMetrics {
        usable_information: by_length(&|_, row| Some(gains.values[FINAL][row])),
        information_gain: by_length(&|reading, _| reading.place(FINAL).gain()),
    }
}
