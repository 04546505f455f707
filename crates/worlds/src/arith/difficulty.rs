//! How hard the problems are.

/// Limits within which problems are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Difficulty {
    /// Fewest operations, at least 1.
    pub min_ops: usize,
    /// Most operations.
    pub max_ops: usize,
    /// Largest number that is told, 10 to 900.
    pub max_number: i64,
    /// Largest result of any operation, at least `max_number`.
    pub max_result: i64,
    /// Largest factor and divisor, 2 to 9.
    pub max_factor: i64,
    /// Most sentences with a number that does not matter; how many there are is drawn evenly from 0 to this.
    pub max_distractors: usize,
}

impl Default for Difficulty {
    /// What a model of a million weights can learn from some ten million tokens: 2 or 3 operations on numbers up to 40, results up
    /// to 99.
    fn default() -> Self {
        Self { min_ops: 2, max_ops: 3, max_number: 40, max_result: 99, max_factor: 5, max_distractors: 1 }
    }
}

/// Which limits contradict each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotADifficulty {
    /// `1 ≤ min_ops ≤ max_ops ≤ 8` does not hold.
    #[error("problems need 1 to 8 operations, the fewest first")]
    Operations,
    /// `10 ≤ max_number ≤ 900` and `max_number ≤ max_result ≤ 999` do not hold.
    #[error("numbers need a largest one from 10 to 900, and results one from there to 999")]
    Numbers,
    /// `2 ≤ max_factor ≤ 9` does not hold.
    #[error("factors need a largest one from 2 to 9")]
    Factors,
    /// `max_distractors ≤ 4` does not hold.
    #[error("there can be at most 4 sentences that do not matter")]
    Distractors,
}

impl Difficulty {
    /// Whether problems can be drawn within these limits.
    pub fn check(&self) -> Result<(), NotADifficulty> {
        if self.min_ops == 0 || self.min_ops > self.max_ops || self.max_ops > 8 {
            return Err(NotADifficulty::Operations);
        }
        if !(10..=900).contains(&self.max_number) || !(self.max_number..=999).contains(&self.max_result) {
            return Err(NotADifficulty::Numbers);
        }
        if !(2..=9).contains(&self.max_factor) {
            return Err(NotADifficulty::Factors);
        }
        if self.max_distractors > 4 { Err(NotADifficulty::Distractors) } else { Ok(()) }
    }
}
