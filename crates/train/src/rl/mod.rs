//! Reinforcement learning with verifiable rewards.

/// A row about one step of reinforcement learning.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct RlRow {
    /// Updates so far.
    pub step: u64,
}
