//! Walks questions through prompt, trace, prefixes and answer distributions.
