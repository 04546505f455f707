//! Questions, traces, prefixes, answer distributions, entropy curves and signatures.
