//! Completions of the current policy, drawn by the decoder's batched sampler from the raw distribution (temperature 1, nothing cut).
//!
//! The sampler reads checkpoints, so the weights go through one in a temporary folder. Every completion draws from a stream of its own,
//! keyed by seed, step, question and number, so that a resumed training draws what an uninterrupted one would have drawn.

use crate::checkpoint::{self, ExportType, TextFiles};
use crate::error::Error;
use crate::model::Model;
use crate::sequence::Sequence;
use entrace_backend::{Completion, Fork, Generate, GenerateRequest, Sampling, Text, stream_seed};
use entrace_decoder::{LanguageModel, Options};
use entrace_measure::StopReason;

/// A model with its text side, ready to sample.
pub(crate) struct Sampler {
    model: LanguageModel,
    end: Option<u32>,
}

/// Which completions are drawn.
pub(crate) struct Draw<'a> {
    pub(crate) seed: u64,
    pub(crate) step: u64,
    /// Indices of the questions.
    pub(crate) questions: &'a [usize],
    pub(crate) n_samples: usize,
    /// 1, or 0 for the most likely tokens.
    pub(crate) temperature: f64,
    pub(crate) max_new_tokens: usize,
}

impl Sampler {
    /// Takes the model as it is now.
    pub(crate) fn of(model: &Model, texts: &TextFiles) -> Result<Self, Error> {
        let folder = tempfile::tempdir().map_err(Error::io("create", std::env::temp_dir()))?;
        let path = folder.path().join("policy");
        checkpoint::write(&path, model, texts, ExportType::F32, None)?;
        let options = Options { max_sequences: 256, ..Options::default() };
        let model = LanguageModel::open("policy", &path, options, jiff::civil::DateTime::default())?;
        let end = model.stop_tokens().first().copied();
        Ok(Self { model, end })
    }

    /// Completions `[question][sample]`.
    pub(crate) fn draw(&self, prompts: &[Vec<u32>], draw: &Draw<'_>) -> Result<Vec<Vec<Completion>>, Error> {
        let sampling = Sampling {
            temperature: draw.temperature,
            top_p: 1.0,
            top_k: 0,
            max_new_tokens: draw.max_new_tokens,
            stop: Vec::new(),
        };
        let requests: Vec<GenerateRequest> = draw
            .questions
            .iter()
            .map(|&question| {
                let context = prompts[question].clone();
                let streams = (0..draw.n_samples).map(|sample| draw.stream(question, sample)).collect();
                GenerateRequest {
                    forks: vec![Fork {
                        n_tokens: context.len(),
                        suffix: Vec::new(),
                        streams,
                        max_new_tokens: None,
                    }],
                    context,
                }
            })
            .collect();
        let completions = self.model.generate(&requests, &sampling, &mut |_| true)?;
        Ok(completions.into_iter().map(|forks| forks.into_iter().flatten().collect()).collect())
    }

    /// Prompt and completion as a sequence whose completion is learnt, its end token as well if it ended by itself.
    pub(crate) fn sequence(&self, prompt: &[u32], completion: &Completion) -> Option<Sequence> {
        let ended = completion.stop_reason == StopReason::Stop;
        let end = self.end.filter(|_| ended);
        let token_ids = prompt.iter().chain(&completion.token_ids).copied().chain(end).collect();
        Sequence::new(token_ids, prompt.len())
    }
}

impl Draw<'_> {
    fn stream(&self, question: usize, sample: usize) -> u64 {
        let parts = [self.step.to_string(), question.to_string(), sample.to_string()];
        stream_seed(self.seed, &["rollout", &parts[0], &parts[1], &parts[2]])
    }
}
