//! Curves of traces with different numbers of steps, brought onto one grid of relative depths.
//!
//! A trace with K steps is known at the depths k/K. Between two prefixes nothing new was measured, so its curve is a step function:
//! the value at depth s is that of the last prefix with depth ≤ s. The question alone holds until the first step ends; this also
//! covers a trace without steps, whose only prefix has depth 1. No value is interpolated and none is looked up ahead.

/// Number of depths on the grid.
pub const N_DEPTHS: usize = 21;

/// The depths 0, ¼, ½, ¾, 1 as positions on the grid, for short tables.
pub const QUARTERS: [usize; 5] = [0, 5, 10, 15, 20];

/// Position of s = 1 on the grid.
pub const FINAL: usize = N_DEPTHS - 1;

/// Slack on k/K ≤ s, so that 3/20 counts as 0.15 whatever the rounding.
const ROUNDING: f64 = 1e-9;

/// The grid 0, 0.05, …, 1.
pub fn grid() -> [f64; N_DEPTHS] {
    std::array::from_fn(|i| i as f64 / FINAL as f64)
}

/// For each depth of the grid, the position of the last prefix at or before it. `depths` rise and are not empty.
pub(crate) fn last_prefix(depths: &[f64]) -> [usize; N_DEPTHS] {
    grid().map(|s| depths.partition_point(|&depth| depth <= s + ROUNDING).saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_holds_until_the_next_prefix() {
        let positions = last_prefix(&[0.0, 1.0 / 3.0, 2.0 / 3.0, 1.0]);
        assert_eq!(positions[..7], [0; 7]);
        assert_eq!(positions[7..14], [1; 7]);
        assert_eq!(positions[14..20], [2; 6]);
        assert_eq!(positions[20], 3);
    }

    #[test]
    fn every_step_of_twenty_is_met() {
        let depths: Vec<f64> = (0..=20).map(|k| f64::from(k) / 20.0).collect();
        assert_eq!(last_prefix(&depths), std::array::from_fn(|i| i));
    }

    #[test]
    fn a_trace_without_steps_is_flat() {
        assert_eq!(last_prefix(&[1.0]), [0; N_DEPTHS]);
    }
}
