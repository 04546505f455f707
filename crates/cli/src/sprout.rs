//! The model that comes with entrace: sprout, at four stages of its training.
//!
//! A LLaMA of about a million weights that solves the word problems of the task `arith`. `init` is random, `mle` has learnt solutions of
//! annotators who make mistakes, `sft` was then trained on right ones, and `rl` was rewarded for exact answers; `recipes/sprout.toml` made
//! all of them. The files of `models/sprout` are part of the program.

use entrace_flags::SetUp;
use entrace_study::{BuiltIn, Error, Measurement};

/// The name under which the last stage is known.
pub const NAME: &str = "sprout";

/// The task that it can do.
pub const TASK: &str = "arith";

/// Most tokens of a trace unless a flag says otherwise.
pub(crate) const TRACE_TOKENS: usize = 96;

/// How it is measured unless flags say otherwise.
pub(crate) fn measurement() -> Measurement {
    let mut how = Measurement::default();
    how.traces.sampling.max_new_tokens = TRACE_TOKENS;
    how
}

/// Weights of each stage, in the order of training.
const STAGES: [(&str, &[u8]); 4] = [
    ("init", include_bytes!("../../../models/sprout/init.safetensors")),
    ("mle", include_bytes!("../../../models/sprout/mle.safetensors")),
    ("sft", include_bytes!("../../../models/sprout/sft.safetensors")),
    ("rl", include_bytes!("../../../models/sprout/rl.safetensors")),
];

/// Files that all stages share.
const SHARED: [(&str, &[u8]); 5] = [
    ("config.json", include_bytes!("../../../models/sprout/config.json")),
    ("generation_config.json", include_bytes!("../../../models/sprout/generation_config.json")),
    ("special_tokens_map.json", include_bytes!("../../../models/sprout/special_tokens_map.json")),
    ("tokenizer.json", include_bytes!("../../../models/sprout/tokenizer.json")),
    ("tokenizer_config.json", include_bytes!("../../../models/sprout/tokenizer_config.json")),
];

/// The stage that `sprout` or `sprout@STAGE` names; `None` for names of other models.
///
/// # Errors
/// Where there is no such stage.
pub fn built_in(name: &str) -> Result<Option<BuiltIn>, Error> {
    let stage = Stage::named(name).map_err(|SetUp(problem)| Error::Option { option: "model", problem })?;
    Ok(stage.map(Stage::model))
}

/// A stage of sprout.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stage {
    name: &'static str,
    weights: &'static [u8],
}

impl Stage {
    /// The stage that `sprout` or `sprout@STAGE` names; `None` for names of other models.
    pub(crate) fn named(model: &str) -> Result<Option<Self>, SetUp> {
        let (name, weights) = match model.strip_prefix(NAME) {
            Some("") => STAGES[STAGES.len() - 1],
            Some(rest) if rest.starts_with('@') => {
                let known = STAGES.iter().find(|(name, _)| rest.strip_prefix('@') == Some(name));
                *known.ok_or_else(|| {
                    let names = STAGES.map(|(name, _)| name).join(", ");
                    SetUp(format!("{model}: the stages of {NAME} are {names}"))
                })?
            }
            _ => return Ok(None),
        };
        Ok(Some(Self { name, weights }))
    }

    /// `sprout@rl`.
    pub(crate) fn full_name(self) -> String {
        format!("{NAME}@{}", self.name)
    }

    /// The model with its files in Hugging Face layout.
    pub(crate) fn model(self) -> BuiltIn {
        let files = SHARED.into_iter().chain([("model.safetensors", self.weights)]);
        BuiltIn { name: self.full_name(), files: files.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use entrace_decoder::{Decoder, Options};

    #[test]
    fn every_stage_can_be_opened_and_they_differ() {
        let mut hashes = Vec::new();
        for (name, _) in STAGES {
            let stage = Stage::named(&format!("{NAME}@{name}")).unwrap().unwrap();
            let folder = tempfile::tempdir().unwrap();
            for (name, bytes) in stage.model().files {
                std::fs::write(folder.path().join(name), bytes).unwrap();
            }
            let model = Decoder::open(&stage.full_name(), folder.path(), Options::default()).unwrap();
            hashes.push(model.info().model_hash.clone());
        }
        hashes.sort();
        hashes.dedup();
        assert_eq!(hashes.len(), STAGES.len());
    }

    #[test]
    fn names_are_exact() {
        assert_eq!(Stage::named("sprout").unwrap().unwrap().full_name(), "sprout@rl");
        assert!(Stage::named("sprouts").unwrap().is_none());
        assert!(Stage::named("org/sprout").unwrap().is_none());
        assert!(Stage::named("sprout@").is_err());
        assert!(Stage::named("sprout@base").unwrap_err().to_string().contains("init, mle, sft, rl"));
    }
}
