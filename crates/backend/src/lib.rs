//! What a model can do, as small traits.
//!
//! - [`Text`]: text to tokens and back, the chat template
//! - [`Generate`]: sample completions from forks of a context
//! - [`ScoreTree`]: score the branches of a token tree
//! - [`SamplingSession`]: sample completions on a token tree, as branches of it
//! - [`ReadLayers`]: signals from every layer
//! - [`Chat`]: reply to conversations, where an engine can do no more
//!
//! A capability is a type: an engine that cannot score continuations does not implement [`ScoreTree`], and nothing says
//! "unsupported" half-way through a run. [`scripted::Scripted`] is a fake whose next-token distribution is a function, for tests;
//! [`conformance`] holds the tests that every engine passes.

pub mod chat;
pub mod conformance;
mod error;
pub mod generate;
pub mod layers;
pub mod sampling;
pub mod scripted;
pub mod sharpness;
pub mod text;
pub mod tree;

pub use chat::{Chat, Reply};
pub use error::{Each, Error};
pub use generate::{
    Completion, Fork, Generate, GenerateRequest, More, Place, Sampling, Watcher, stream_seed,
};
pub use layers::{LayerRequest, LayerScores, ReadLayers};
pub use sampling::{Sampled, SamplingSession, Stem};
pub use sharpness::Sharpness;
pub use text::{ChatMessage, Decoded, ModelInfo, Prompt, Role, Text};
pub use tree::{
    Branch, BranchId, BranchScore, NextRequest, NextScore, Parent, Reach, Rest, ScoreTree, TokenClasses,
    TokenScores, TreeSession,
};
