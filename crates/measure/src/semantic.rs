//! Semantic entropy: entropy over classes of answers that mean the same.
//!
//! Answers a and b are of one class if each entails the other, by a judge. Classes are found as in the source: an answer joins the first
//! class whose first member it entails and is entailed by, else it begins a class. With class masses P_c, the sum of their answers'
//! masses over the sum of all, H = −Σ P_c ln P_c in nats.
//!
//! Input: answers with masses, the likeliest first, so that classes are named after likely answers. [`ExactMatch`] is the judge of
//! canonical answers, where equal strings are all that means the same; a judge that asks a model is where models are. The number of
//! judgements is at most twice answers × classes.
//! Source: Farquhar et al. 2024 (Nature 630), "Detecting hallucinations using semantic entropy", methods.

use std::convert::Infallible;

/// Says whether one answer entails another.
pub trait EntailmentJudge {
    /// What can go wrong.
    type Error;

    /// Whether `conclusion` holds if `premise` does, as answers to the question at hand.
    fn entails(&mut self, premise: &str, conclusion: &str) -> Result<bool, Self::Error>;
}

/// Nothing but an answer itself entails it.
#[derive(Debug, Clone, Copy, Default)]
pub struct ExactMatch;

impl EntailmentJudge for ExactMatch {
    type Error = Infallible;

    fn entails(&mut self, premise: &str, conclusion: &str) -> Result<bool, Infallible> {
        Ok(premise == conclusion)
    }
}

/// The class of each answer, numbered from 0 in the order of their first members.
pub fn meaning_classes<J: EntailmentJudge>(answers: &[&str], judge: &mut J) -> Result<Vec<usize>, J::Error> {
    let mut first_members: Vec<&str> = Vec::new();
    let mut classes = Vec::with_capacity(answers.len());
    for &answer in answers {
        let mut found = None;
        for (class, &first) in first_members.iter().enumerate() {
            if answer == first || (judge.entails(first, answer)? && judge.entails(answer, first)?) {
                found = Some(class);
                break;
            }
        }
        classes.push(found.unwrap_or(first_members.len()));
        if found.is_none() {
            first_members.push(answer);
        }
    }
    Ok(classes)
}

/// H over classes, `masses` and `classes` `[n]`; `None` without any mass.
pub fn semantic_entropy(masses: &[f64], classes: &[usize]) -> Option<f64> {
    let total: f64 = masses.iter().sum();
    let n_classes = classes.iter().max().map_or(0, |last| last + 1);
    let mut of_class = vec![0.0; n_classes];
    for (mass, &class) in masses.iter().zip(classes) {
        of_class[class] += mass / total;
    }
    let entropy: f64 = of_class.iter().filter(|&&p| p > 0.0).map(|p| -p * p.ln()).sum();
    (total > 0.0 && entropy.is_finite()).then_some(entropy.max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Entails whatever is part of it: the longer answer says more.
    struct Part(usize);

    impl EntailmentJudge for Part {
        type Error = Infallible;

        fn entails(&mut self, premise: &str, conclusion: &str) -> Result<bool, Infallible> {
            self.0 += 1;
            let words = |text: &str| text.to_lowercase().replace(['.', ','], "");
            Ok(words(premise).contains(&words(conclusion)))
        }
    }

    #[test]
    fn classes_need_both_directions() {
        let mut judge = Part(0);
        let answers = ["Paris", "paris.", "Paris, France", "paris france", "Rome"];
        assert_eq!(meaning_classes(&answers, &mut judge), Ok(vec![0, 0, 1, 1, 2]));
        assert!(judge.0 <= 2 * answers.len() * 3);
        assert_eq!(meaning_classes(&["a", "b", "a"], &mut ExactMatch), Ok(vec![0, 1, 0]));
    }

    #[test]
    fn grouping_lowers_the_entropy() {
        let masses = [0.25, 0.25, 0.5];
        let apart = semantic_entropy(&masses, &[0, 1, 2]).unwrap();
        let together = semantic_entropy(&masses, &[0, 0, 1]).unwrap();
        assert!((apart - 1.5 * 2f64.ln()).abs() < 1e-12 && (together - 2f64.ln()).abs() < 1e-12);
        assert_eq!(semantic_entropy(&masses, &[0, 0, 0]), Some(0.0));
        assert_eq!(semantic_entropy(&[0.0], &[0]), None);
        assert_eq!(semantic_entropy(&[], &[]), None);
        // Masses that do not sum to one are shares of their sum.
        assert!((semantic_entropy(&[0.1, 0.1], &[0, 1]).unwrap() - 2f64.ln()).abs() < 1e-12);
    }
}
