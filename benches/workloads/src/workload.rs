//! The tokens that every engine is given, as lines of JSON.
//!
//! Each line has a `kind`. Token numbers, not text, so that engines with different tokenizers do exactly the same work; only `enumerate`,
//! which no other engine offers, has text.
//!
//! Without a file a workload is made up from a seed: random tokens in the proportions of 32 ARC questions (about 105 prompt and 99 trace
//! tokens, 14.2 prefixes, a cue of 4).

use anyhow::{Context, Result};
use entrace_backend::Text;
use entrace_decoder::LanguageModel;
use entrace_measure::TokenId;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::Path;

/// One line of a workload file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Line {
    Choices(Choices),
    Rollout(Rollout),
    Tokens(Tokens),
    Enumerate(Enumerate),
}

/// W1: at each prefix of the trace, the log-probabilities of the options after the cue.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Choices {
    pub(crate) prompt_ids: Vec<TokenId>,
    pub(crate) trace_ids: Vec<TokenId>,
    /// Trace tokens of each prefix, rising; 0 is the prompt alone.
    pub(crate) prefixes: Vec<usize>,
    pub(crate) cue_ids: Vec<TokenId>,
    /// One token for each option.
    pub(crate) option_ids: Vec<TokenId>,
}

/// W2: continuations of `new_tokens` tokens, `draws` of them from each fork of the context.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Rollout {
    pub(crate) context_ids: Vec<TokenId>,
    /// Context tokens of each fork.
    pub(crate) forks: Vec<usize>,
    pub(crate) draws: usize,
    pub(crate) new_tokens: usize,
}

/// W3: the log-probability of every token but the first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Tokens {
    pub(crate) token_ids: Vec<TokenId>,
}

/// W4: a question with a number for an answer, and a trace, as text.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Enumerate {
    /// Special tokens spelled out.
    pub(crate) prompt: String,
    pub(crate) trace: String,
    pub(crate) target: String,
}

/// Everything in a file.
#[derive(Debug, Default)]
pub(crate) struct Workload {
    pub(crate) choices: Vec<Choices>,
    pub(crate) rollout: Vec<Rollout>,
    pub(crate) tokens: Vec<Tokens>,
    pub(crate) enumerate: Vec<Enumerate>,
}

impl Choices {
    /// Tokens of one pass that runs every token once: prompt, trace, and the cue at each prefix.
    pub(crate) fn n_tokens(&self) -> usize {
        self.prompt_ids.len() + self.trace_ids.len() + self.prefixes.len() * self.cue_ids.len()
    }
}

impl Workload {
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut workload = Self::default();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let line = serde_json::from_str(line)
                .with_context(|| format!("{}:{} is no line of a workload", path.display(), index + 1))?;
            match line {
                Line::Choices(line) => workload.choices.push(line),
                Line::Rollout(line) => workload.rollout.push(line),
                Line::Tokens(line) => workload.tokens.push(line),
                Line::Enumerate(line) => workload.enumerate.push(line),
            }
        }
        Ok(workload)
    }

    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        let choices = self.choices.iter().cloned().map(Line::Choices);
        let rollout = self.rollout.iter().cloned().map(Line::Rollout);
        let tokens = self.tokens.iter().cloned().map(Line::Tokens);
        let enumerate = self.enumerate.iter().cloned().map(Line::Enumerate);
        let mut file =
            std::fs::File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
        for line in choices.chain(rollout).chain(tokens).chain(enumerate) {
            writeln!(file, "{}", serde_json::to_string(&line)?)?;
        }
        Ok(())
    }

    /// Random tokens that do not end a turn.
    pub(crate) fn made_up(seed: u64, model: &LanguageModel) -> Result<Self> {
        let mut random = Random { rng: ChaCha8Rng::seed_from_u64(seed), model };
        let choices: Vec<Choices> = (0..32).map(|_| random.choices()).collect();
        let enumerate = (0..8).map(|_| random.enumerate()).collect();
        let rollout = vec![random.rollout()];
        let tokens = vec![Tokens { token_ids: random.tokens(1024) }];
        Ok(Self { choices, rollout, tokens, enumerate })
    }
}

struct Random<'a> {
    rng: ChaCha8Rng,
    model: &'a LanguageModel,
}

impl Random<'_> {
    fn tokens(&mut self, n: usize) -> Vec<TokenId> {
        let vocab_size = self.model.info().vocab_size as TokenId;
        let mut token_ids = Vec::with_capacity(n);
        while token_ids.len() < n {
            let token = self.rng.random_range(0..vocab_size);
            if !self.model.stop_tokens().contains(&token) {
                token_ids.push(token);
            }
        }
        token_ids
    }

    fn choices(&mut self) -> Choices {
        let n_trace = self.rng.random_range(79..=119);
        // A prefix every 7.5 tokens and the prompt alone: 14.2 of them for 99 tokens.
        let prefixes = (0..).map(|step| step * 15 / 2).take_while(|&n| n < n_trace).chain([n_trace]);
        let n_prompt = self.rng.random_range(85..=125);
        Choices {
            prefixes: prefixes.collect(),
            prompt_ids: self.tokens(n_prompt),
            trace_ids: self.tokens(n_trace),
            cue_ids: self.tokens(4),
            option_ids: self.tokens(4),
        }
    }

    fn rollout(&mut self) -> Rollout {
        Rollout {
            context_ids: self.tokens(204),
            forks: (0..8).map(|fork| 105 + fork * 14).collect(),
            draws: 16,
            new_tokens: 48,
        }
    }

    fn enumerate(&mut self) -> Enumerate {
        let (all, some) = (self.rng.random_range(20..90), self.rng.random_range(2..20));
        Enumerate {
            prompt: format!("Tom had {all} eggs. He ate {some} of them. How many are left?\n"),
            trace: format!("He had {all} eggs.\nHe ate {some}.\nSo {all} - {some} = {}.\n", all - some),
            target: (all - some).to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_is_loaded() {
        let choices = Choices {
            prompt_ids: vec![1, 2, 3],
            trace_ids: vec![4, 5],
            prefixes: vec![0, 2],
            cue_ids: vec![6],
            option_ids: vec![7, 8],
        };
        assert_eq!(choices.n_tokens(), 7);
        let rollout = Rollout { context_ids: vec![1, 2], forks: vec![1, 2], draws: 3, new_tokens: 4 };
        let tokens = Tokens { token_ids: vec![9, 10] };
        let enumerate = Enumerate { prompt: "p".into(), trace: "t".into(), target: "12".into() };
        let workload = Workload {
            choices: vec![choices],
            rollout: vec![rollout],
            tokens: vec![tokens],
            enumerate: vec![enumerate],
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("workload.jsonl");
        workload.save(&path).unwrap();
        let loaded = Workload::load(&path).unwrap();
        assert_eq!(format!("{loaded:?}"), format!("{workload:?}"));
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("workload.jsonl");
        std::fs::write(&path, "{\"kind\":\"tokens\",\"token_ids\":[1]}\n\n{\"kind\":\"pages\"}\n").unwrap();
        let problem = Workload::load(&path).unwrap_err().to_string();
        assert!(problem.contains("workload.jsonl:3 is no line of a workload"), "{problem}");
    }
}
