//! Reinforcement learning with verifiable rewards: group-relative policy optimisation.
//!
//! questions -> several sampled completions of each -> rewards -> advantages within each group -> clipped policy-gradient loss with a
//! penalty for leaving the reference -> update. Source: Shao et al. 2024 (DeepSeekMath), arXiv:2402.03300; the variants are those of Yu et
//! al. 2025 (DAPO), arXiv:2503.14476 (averaging over tokens, two clip limits), and Liu et al. 2025 (Dr. GRPO), arXiv:2503.20783 (no
//! division by the deviation, a constant length).

mod advantage;
mod objective;
mod rehearsal;
mod reinforce;
mod rollout;

pub use advantage::{Baseline, advantages};
pub use objective::{Averaging, Objective, TokenTerms};
pub use reinforce::{RewardRow, RlData, RlOptions, RlQuestions, RlRow, reinforce};
