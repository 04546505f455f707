//! A distribution of question, steps and answer as conditional tables, and its exact information.
//!
//! Tables are those of a model that writes from left to right: p(q); p(c_{k+1} | q, c_{1:k}) for k < K; p(a | q, c_{1:k}) for k ≤ K, the
//! answer if it is asked for now. A prefix of k steps is row q 2^k + code, code the steps as a binary number, the first one
//! highest. For the true distribution the answer tables of all depths agree; those of a model need not, so each depth k has its own
//! joint p_k(q, c_{1:k}, a) = p(q) Π p(c_j | ..) p(a | q, c_{1:k}) ([`Law::prefix_joint`]). [`Law::implied`] has the answer tables that the
//! last one implies.
//!
//! In nats, of the joint at depth k: H(A|Q), H(A|Q, C_{1:k}), I(A; C_{1:k} | Q) = H(A|Q) − H(A|Q, C_{1:k}); here H(A|Q) is of the same joint,
//! so information is never negative. Source: Cover and Thomas 2006, chapter 2.

use entrace_measure::entropy::shannon_entropy;
use entrace_measure::information::total_variation;

/// Row of a prefix among those of k steps.
pub(super) fn row(question: usize, k: usize, code: usize) -> usize {
    (question << k) + code
}

/// The weights divided by their sum, and the sum.
pub(super) fn normalised(weights: Vec<f64>) -> (Vec<f64>, f64) {
    let sum: f64 = weights.iter().sum();
    (weights.into_iter().map(|weight| weight / sum).collect(), sum)
}

/// A distribution as conditional tables; the questions are uniform.
#[derive(Debug, Clone, PartialEq)]
pub struct Law {
    pub(super) n_questions: usize,
    /// p(c_{k+1} | q, c_{1:k}), `[K][Q 2^k][2]`.
    pub(super) steps: Vec<Vec<[f64; 2]>>,
    /// p(a | q, c_{1:k}), `[K + 1][Q 2^k][A]`.
    pub(super) answers: Vec<Vec<Vec<f64>>>,
}

impl Law {
    /// A law whose tables are to be filled, row by row.
    pub(super) fn empty(n_questions: usize, n_steps: usize) -> Self {
        Self { n_questions, steps: vec![Vec::new(); n_steps], answers: vec![Vec::new(); n_steps + 1] }
    }

    /// K.
    pub fn n_steps(&self) -> usize {
        self.steps.len()
    }

    /// p(a | q, c_{1:k}): what an observer who believes this law makes of a prefix.
    pub fn posterior(&self, question: usize, steps: &[usize]) -> &[f64] {
        let code = steps.iter().fold(0, |code, symbol| 2 * code + symbol);
        &self.answers[steps.len()][row(question, steps.len(), code)]
    }

    /// p(q, c_{1:k}) for each prefix of k steps.
    pub fn prefix_probs(&self, k: usize) -> Vec<f64> {
        let mut probs = vec![1.0 / self.n_questions as f64; self.n_questions];
        for table in &self.steps[..k] {
            probs = probs.iter().zip(table).flat_map(|(p, step)| [p * step[0], p * step[1]]).collect();
        }
        probs
    }

    /// The joint p_k(q, c_{1:k}, a).
    pub fn prefix_joint(&self, k: usize) -> PrefixJoint {
        let prefixes = self.prefix_probs(k);
        let weigh = |(p, answers): (&f64, &Vec<f64>)| answers.iter().map(|q| p * q).collect();
        PrefixJoint {
            n_questions: self.n_questions,
            rows: prefixes.iter().zip(&self.answers[k]).map(weigh).collect(),
        }
    }

    /// The law of the same steps and last answer table whose earlier answer tables follow from these: p(a | q, c_{1:k}) = Σ_s p(s | q, c_{1:k})
    /// p(a | q, c_{1:k}, s). Along its prefixes information never falls.
    pub fn implied(&self) -> Self {
        let mut law = self.clone();
        for k in (0..self.n_steps()).rev() {
            let mix = |(step, pair): (&[f64; 2], &[Vec<f64>])| -> Vec<f64> {
                pair[0].iter().zip(&pair[1]).map(|(p, q)| step[0] * p + step[1] * q).collect()
            };
            law.answers[k] = law.steps[k].iter().zip(law.answers[k + 1].chunks_exact(2)).map(mix).collect();
        }
        law
    }
}

/// A joint p(q, c_{1:k}, a) at one depth k.
#[derive(Debug, Clone, PartialEq)]
pub struct PrefixJoint {
    n_questions: usize,
    rows: Vec<Vec<f64>>,
}

impl PrefixJoint {
    /// p(q, c_{1:k}, a), a row for each prefix.
    pub fn rows(&self) -> &[Vec<f64>] {
        &self.rows
    }

    /// |A|.
    pub fn n_answers(&self) -> usize {
        self.rows[0].len()
    }

    /// H(A|Q).
    pub fn answer_entropy_nats(&self) -> f64 {
        let per_question = self.rows.chunks_exact(self.rows.len() / self.n_questions);
        conditional_entropy(
            per_question
                .map(|rows| (0..self.n_answers()).map(|a| rows.iter().map(|row| row[a]).sum()).collect()),
        )
    }

    /// H(A|Q, C_{1:k}).
    pub fn equivocation_nats(&self) -> f64 {
        conditional_entropy(self.rows.iter().cloned())
    }

    /// I(A; C_{1:k} | Q), at least 0.
    pub fn information_nats(&self) -> f64 {
        (self.answer_entropy_nats() - self.equivocation_nats()).max(0.0)
    }

    /// How often the best guess from a prefix is right: Σ max_a p(q, c_{1:k}, a).
    pub fn bayes_accuracy(&self) -> f64 {
        self.rows.iter().map(|row| row.iter().copied().fold(0.0, f64::max)).sum()
    }

    /// KL(self ‖ other) = Σ p ln(p/q), infinite where `other` excludes what `self` allows.
    ///
    /// Summed as Σ p (x − ln(1 + x)) with x = q/p − 1, which is the same as both sum to 1. No term is negative, so the sum stays accurate
    /// for joints that hardly differ; the bound takes its square root.
    pub fn kl_nats(&self, other: &Self) -> f64 {
        let term = |(&p, &q): (&f64, &f64)| {
            let x = (q - p) / p;
            if p > 0.0 { p * (x - x.ln_1p()) } else { q }
        };
        self.rows.iter().flatten().zip(other.rows.iter().flatten()).map(term).sum()
    }

    /// ½ Σ |self − other|.
    pub fn total_variation(&self, other: &Self) -> f64 {
        total_variation(&self.rows.concat(), &other.rows.concat())
    }
}

/// Σ p(x) H(A|X = x) over rows p(x, ·).
fn conditional_entropy(rows: impl Iterator<Item = Vec<f64>>) -> f64 {
    let of_row = |row: Vec<f64>| {
        let (conditional, weight) = normalised(row);
        if weight > 0.0 { weight * shannon_entropy(conditional) } else { 0.0 }
    };
    rows.map(of_row).sum()
}
