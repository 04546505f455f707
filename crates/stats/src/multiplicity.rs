//! Several tests at once: Holm's step-down adjustment.
//!
//! With p sorted ascending, adjusted p_(i) = max over j <= i of min(1, (m - j + 1) p_(j)), i = 1..m. Rejecting where the
//! adjusted p is at most alpha keeps the probability of any false rejection at most alpha, however the tests depend
//! on each other. Source: Holm 1979, Scand. J. Stat. 6.

use crate::rank::ascending;
use crate::undefined::{Undefined, check_unit};

/// Holm-adjusted p-values, in the order of the input; none for none.
pub fn holm(p_values: &[f64]) -> Result<Vec<f64>, Undefined> {
    check_unit(p_values)?;
    let mut adjusted = vec![0.0; p_values.len()];
    let mut largest: f64 = 0.0;
    for (rank, position) in ascending(p_values).into_iter().enumerate() {
        let remaining = (p_values.len() - rank) as f64;
        largest = largest.max((remaining * p_values[position]).min(1.0));
        adjusted[position] = largest;
    }
    Ok(adjusted)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_test_needs_no_adjustment() {
        assert_eq!(holm(&[0.03]), Ok(vec![0.03]));
        assert_eq!(holm(&[]), Ok(vec![]));
        assert_eq!(holm(&[0.1, f64::NAN]), Err(Undefined::NotFinite { index: 1 }));
        assert_eq!(holm(&[-0.1]), Err(Undefined::OutOfRange { index: 0 }));
    }

    proptest! {
        #[test]
        fn order_is_kept_and_bonferroni_is_the_bound(p in prop::collection::vec(0.0_f64..=1.0, 1..30)) {
            let adjusted = holm(&p).unwrap();
            for (i, &a) in adjusted.iter().enumerate() {
                prop_assert!(a >= p[i] && a <= (p[i] * p.len() as f64).max(a.min(1.0)) && a <= 1.0);
                for (j, &b) in adjusted.iter().enumerate() {
                    prop_assert!(p[i] > p[j] || a <= b);
                }
            }
        }
    }
}
