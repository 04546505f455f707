//! EigenScore: how far the hidden states of m sampled answers lie apart.
//!
//! For the states z_1..z_m in R^E of m answers, each less the mean of its own E numbers, C_ij = z_i·z_j / (E − 1) is their covariance
//! over the E features, `[m, m]`. The score is (1/m) ln det(C + αI) with α = 0.001: the mean logarithm of the regularised eigenvalues.
//! It grows with disagreement; m equal answers leave one eigenvalue above α. Undefined for fewer than two answers, for fewer than two
//! features, for lengths that differ and for numbers that are not finite. Source: INSIDE, arXiv:2402.03744, sec. 3.1, with natural
//! logarithms.

/// α.
const REGULARISER: f64 = 1e-3;

/// The score of m states of equal length.
pub fn eigen_score(states: &[Vec<f32>]) -> Option<f64> {
    let width = states.first()?.len();
    if states.len() < 2 || width < 2 || states.iter().any(|state| state.len() != width) {
        return None;
    }
    let centred: Vec<Vec<f64>> = states.iter().map(|state| centre(state)).collect();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let mut covariance: Vec<Vec<f64>> =
        centred.iter().map(|a| centred.iter().map(|b| dot(a, b) / (width - 1) as f64).collect()).collect();
    for (i, row) in covariance.iter_mut().enumerate() {
        row[i] += REGULARISER;
    }
    Some(ln_determinant(covariance)? / states.len() as f64)
}

fn centre(state: &[f32]) -> Vec<f64> {
    let mean = state.iter().map(|&x| f64::from(x)).sum::<f64>() / state.len() as f64;
    state.iter().map(|&x| f64::from(x) - mean).collect()
}

/// Of a symmetric matrix, by Cholesky's factors; `None` unless it is positive definite.
fn ln_determinant(mut matrix: Vec<Vec<f64>>) -> Option<f64> {
    let mut sum = 0.0;
    for column in 0..matrix.len() {
        let before: f64 = matrix[column][..column].iter().map(|x| x * x).sum();
        let pivot = matrix[column][column] - before;
        if !(pivot > 0.0 && pivot.is_finite()) {
            return None;
        }
        sum += pivot.ln();
        let pivot = pivot.sqrt();
        matrix[column][column] = pivot;
        let (upper, lower) = matrix.split_at_mut(column + 1);
        for row in lower {
            let shared: f64 = row[..column].iter().zip(&upper[column][..column]).map(|(a, b)| a * b).sum();
            row[column] = (row[column] - shared) / pivot;
        }
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_cases_by_hand() {
        // Centred: (−1, 0, 1) and (1, −2, 1); variances 1 and 3, covariance 0.
        let apart = eigen_score(&[vec![0.0, 1.0, 2.0], vec![2.0, -1.0, 2.0]]).unwrap();
        assert!((apart - (1.001f64.ln() + 3.001f64.ln()) / 2.0).abs() < 1e-12, "{apart}");
        // Equal states: eigenvalues 2 + α and α.
        let equal = eigen_score(&[vec![0.0, 1.0, 2.0], vec![5.0, 6.0, 7.0]]).unwrap();
        assert!((equal - (2.001f64.ln() + 0.001f64.ln()) / 2.0).abs() < 1e-9, "{equal}");
        assert!(equal < apart);
    }

    #[test]
    fn what_has_no_score() {
        assert_eq!(eigen_score(&[]), None);
        assert_eq!(eigen_score(&[vec![1.0, 2.0]]), None);
        assert_eq!(eigen_score(&[vec![1.0, 2.0], vec![1.0]]), None);
        assert_eq!(eigen_score(&[vec![1.0, f32::NAN], vec![1.0, 2.0]]), None);
    }
}
