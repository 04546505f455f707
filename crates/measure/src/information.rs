//! Information in finite joint distributions, and the inequalities that bind it.
//!
//! A `Joint` is a matrix p(x, a) `[X, A]`, X what is known (a prefix), A the answer. All in nats:
//!
//! * H(A) , H(A|X) = Σ_x p(x) H(A|X=x), I(A;X) = H(A) − H(A|X);
//! * KL(p‖q) = Σ p ln(p/q), TV(p, q) = ½ Σ|p − q|, and Pinsker's TV ≤ √(KL/2);
//! * continuity of equivocation: for two joints with T = TV ≤ 1 − 1/n over n answers, |H_p(A|X) − H_q(A|X)| ≤ h2(T) + T ln(n − 1).
//!   It holds for H(A) as well (take X constant; the marginals are no further apart than the joints);
//! * so, if KL(p_data‖p_θ) ≤ δ and I_data(A;X) ≥ γ, then with t = √(δ/2) ≤ 1 − 1/n, I_θ(A;X) ≥ γ − 2[h2(t) + t ln(n − 1)]: a model
//!   that fits an informative joint well enough has informative prefixes (`information_floor`). This is the shape of Theorem 2 of
//!   arXiv:2604.06192. It speaks about the model's own joint, not about the true answer given the model's traces.
//!
//! Sources: Cover and Thomas 2006, chapters 2 and 11; Alhejji and Smith 2020, "A tight uniform continuity bound for equivocation".
//! Not here: Fano's inequality (`fano`); estimates from samples.

use crate::entropy::shannon_entropy;
use crate::fano::uncertainty_at;

/// A joint distribution of what is known and the answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Joint {
    rows: Vec<Vec<f64>>,
}

/// Why a matrix is no joint distribution.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum NotAJoint {
    /// Rows differ in length, or there is no entry.
    #[error("the rows of a joint distribution need the same number of answers, at least one")]
    Ragged,
    /// An entry is negative or not a number, or the sum is not one.
    #[error("the entries of a joint distribution must not be negative and must sum to 1, found {0}")]
    BadSum(f64),
}

impl Joint {
    /// Checks a matrix p(x, a), one row for each x; the sum may be off by 1e-9.
    pub fn new(rows: Vec<Vec<f64>>) -> Result<Self, NotAJoint> {
        let n_answers = rows.first().map_or(0, Vec::len);
        if n_answers == 0 || rows.iter().any(|row| row.len() != n_answers) {
            return Err(NotAJoint::Ragged);
        }
        let sum: f64 = rows.iter().flatten().sum();
        let off = sum.is_nan() || (sum - 1.0).abs() > 1e-9;
        if off || rows.iter().flatten().any(|&p| p < 0.0) {
            return Err(NotAJoint::BadSum(sum));
        }
        Ok(Self { rows })
    }

    /// p(x, a), one row for each x.
    pub fn rows(&self) -> &[Vec<f64>] {
        &self.rows
    }

    /// Number of answers n.
    pub fn n_answers(&self) -> usize {
        self.rows[0].len()
    }

    /// p(x).
    pub fn known_marginal(&self) -> Vec<f64> {
        self.rows.iter().map(|row| row.iter().sum()).collect()
    }

    /// p(a).
    pub fn answer_marginal(&self) -> Vec<f64> {
        (0..self.n_answers()).map(|a| self.rows.iter().map(|row| row[a]).sum()).collect()
    }

    /// H(X, A).
    pub fn entropy(&self) -> f64 {
        shannon_entropy(self.rows.iter().flatten().copied())
    }

    /// H(A).
    pub fn answer_entropy(&self) -> f64 {
        shannon_entropy(self.answer_marginal())
    }

    /// H(A|X).
    pub fn conditional_entropy(&self) -> f64 {
        let of_row = |row: &Vec<f64>| {
            let weight: f64 = row.iter().sum();
            if weight > 0.0 { weight * shannon_entropy(row.iter().map(|p| p / weight)) } else { 0.0 }
        };
        self.rows.iter().map(of_row).sum()
    }

    /// I(A;X), at least 0.
    pub fn mutual_information(&self) -> f64 {
        (self.answer_entropy() - self.conditional_entropy()).max(0.0)
    }

    /// The least error with which A can be guessed from X: 1 − Σ_x max_a p(x, a).
    pub fn guessing_error(&self) -> f64 {
        let hits: f64 = self.rows.iter().map(|row| row.iter().copied().fold(0.0, f64::max)).sum();
        (1.0 - hits).max(0.0)
    }
}

/// KL(p‖q) over paired entries; infinite where q excludes what p allows.
pub fn kl_divergence(p: &[f64], q: &[f64]) -> f64 {
    let term = |(&p, &q): (&f64, &f64)| if p > 0.0 { p * (p / q).ln() } else { 0.0 };
    p.iter().zip(q).map(term).sum::<f64>().max(0.0)
}

/// ½ Σ|p − q| over paired entries.
pub fn total_variation(p: &[f64], q: &[f64]) -> f64 {
    p.iter().zip(q).map(|(p, q)| (p - q).abs()).sum::<f64>() / 2.0
}

/// −Σ p ln q over paired entries; at least H(p), and infinite where q excludes what p allows.
pub fn cross_entropy(p: &[f64], q: &[f64]) -> f64 {
    let term = |(&p, &q): (&f64, &f64)| if p > 0.0 { -p * q.ln() } else { 0.0 };
    p.iter().zip(q).map(term).sum()
}

/// √(KL/2): the largest total variation at this divergence.
pub fn pinsker_bound(kl_nats: f64) -> f64 {
    (kl_nats / 2.0).sqrt()
}

/// h2(T) + T ln(n − 1): how far equivocations can differ at total variation T; `None` for T > 1 − 1/n or no answers.
pub fn equivocation_bound(total_variation: f64, n_answers: usize) -> Option<f64> {
    let reach = 1.0 - 1.0 / n_answers as f64;
    (n_answers > 0 && total_variation <= reach).then(|| uncertainty_at(total_variation, n_answers))
}

/// The least information a model can have that is within KL ≤ `kl_nats` of a joint with `information_nats`; `None` where the bound
/// does not apply. Negative values say nothing.
pub fn information_floor(information_nats: f64, kl_nats: f64, n_answers: usize) -> Option<f64> {
    Some(information_nats - 2.0 * equivocation_bound(pinsker_bound(kl_nats), n_answers)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fano::error_bound;
    use crate::testing::Random;

    fn flat(joint: &Joint) -> Vec<f64> {
        joint.rows().concat()
    }

    fn random_joint(random: &mut Random, n_known: usize, n_answers: usize) -> Joint {
        let entries = random.simplex(n_known * n_answers, 3.0);
        Joint::new(entries.chunks(n_answers).map(<[f64]>::to_vec).collect()).unwrap()
    }

    /// A joint near `joint`: a mixture with another one.
    fn neighbour(random: &mut Random, joint: &Joint) -> Joint {
        let share = random.uniform().powi(3);
        let other = random_joint(random, joint.rows().len(), joint.n_answers());
        let mix = |(p, q): (&Vec<f64>, &Vec<f64>)| {
            p.iter().zip(q).map(|(p, q)| (1.0 - share) * p + share * q).collect()
        };
        Joint::new(joint.rows().iter().zip(other.rows()).map(mix).collect()).unwrap()
    }

    #[test]
    fn matrices_are_checked() {
        assert_eq!(Joint::new(vec![]), Err(NotAJoint::Ragged));
        assert_eq!(Joint::new(vec![vec![0.5], vec![0.25, 0.25]]), Err(NotAJoint::Ragged));
        assert!(matches!(Joint::new(vec![vec![0.5, 0.6]]), Err(NotAJoint::BadSum(_))));
        assert!(matches!(Joint::new(vec![vec![1.5, -0.5]]), Err(NotAJoint::BadSum(_))));
    }

    #[test]
    fn closed_forms() {
        let copy = Joint::new(vec![vec![0.5, 0.0], vec![0.0, 0.5]]).unwrap();
        assert!((copy.mutual_information() - 2_f64.ln()).abs() < 1e-12 && copy.guessing_error() < 1e-12);
        let apart = Joint::new(vec![vec![0.3, 0.3], vec![0.2, 0.2]]).unwrap();
        assert!(apart.mutual_information() < 1e-12);
        assert!(kl_divergence(&[0.5, 0.5], &[1.0, 0.0]).is_infinite());
        assert!((total_variation(&[0.5, 0.5], &[1.0, 0.0]) - 0.5).abs() < 1e-15);
        assert_eq!(equivocation_bound(0.6, 2), None);
        assert_eq!(equivocation_bound(0.0, 0), None);
    }

    #[test]
    fn entropies_obey_the_chain_rule_and_fano() {
        let mut random = Random::new(47);
        for _ in 0..500 {
            let (n_known, n_answers) = (1 + random.below(5), 2 + random.below(5));
            let joint = random_joint(&mut random, n_known, n_answers);
            let chain = shannon_entropy(joint.known_marginal()) + joint.conditional_entropy();
            assert!((joint.entropy() - chain).abs() < 1e-10);
            // Conditioning never raises H on average; information is at most either entropy.
            assert!(joint.conditional_entropy() <= joint.answer_entropy() + 1e-12);
            let bound = error_bound(joint.conditional_entropy(), n_answers).unwrap();
            assert!(bound <= joint.guessing_error() + 1e-9);
        }
    }

    #[test]
    fn forgetting_part_of_what_is_known_loses_information() {
        let mut random = Random::new(53);
        for _ in 0..500 {
            let joint = random_joint(&mut random, 4, 3);
            let merge = |i: usize, j: usize| -> Vec<f64> {
                joint.rows()[i].iter().zip(&joint.rows()[j]).map(|(p, q)| p + q).collect()
            };
            let coarse = Joint::new(vec![merge(0, 1), merge(2, 3)]).unwrap();
            assert!(coarse.mutual_information() <= joint.mutual_information() + 1e-12);
        }
    }

    #[test]
    fn gibbs_and_pinsker() {
        let mut random = Random::new(59);
        for _ in 0..500 {
            let (p, q) = (random.simplex(5, 2.0), random.simplex(5, 2.0));
            let kl = kl_divergence(&p, &q);
            assert!((cross_entropy(&p, &q) - shannon_entropy(p.iter().copied()) - kl).abs() < 1e-9);
            assert!(total_variation(&p, &q) <= pinsker_bound(kl) + 1e-12);
        }
    }

    #[test]
    fn equivocations_of_near_joints_are_near() {
        let mut random = Random::new(61);
        let mut n_tested = 0;
        for _ in 0..1000 {
            let (n_known, n_answers) = (1 + random.below(4), 2 + random.below(4));
            let p = random_joint(&mut random, n_known, n_answers);
            let q = neighbour(&mut random, &p);
            let distance = total_variation(&flat(&p), &flat(&q));
            let Some(bound) = equivocation_bound(distance, n_answers) else { continue };
            n_tested += 1;
            assert!((p.conditional_entropy() - q.conditional_entropy()).abs() <= bound + 1e-12);
            assert!((p.answer_entropy() - q.answer_entropy()).abs() <= bound + 1e-12);
        }
        assert!(n_tested > 900);
    }

    #[test]
    fn a_model_that_fits_an_informative_joint_is_informative() {
        let mut random = Random::new(67);
        let mut n_telling = 0;
        for _ in 0..2000 {
            let truth = random_joint(&mut random, 4, 4);
            let model = neighbour(&mut random, &truth);
            let kl = kl_divergence(&flat(&truth), &flat(&model));
            let Some(floor) = information_floor(truth.mutual_information(), kl, 4) else { continue };
            assert!(model.mutual_information() >= floor - 1e-12);
            n_telling += usize::from(floor > 0.0);
        }
        assert!(n_telling > 100, "{n_telling}");
    }
}
