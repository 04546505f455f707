//! Interventions on models whose use of their steps is known.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod channel;
mod forced;
mod resume;
mod rollouts;
mod support;
mod tokens;
