//! The conformance tests pass the scripted model and find every fault that is built into it.

use super::{Tolerances, check, check_limited_tree};
use crate::generate::RequestCompletions;
use crate::scripted::{KnownAnswers, RandomScript, Scripted, Vocabulary};
use crate::{
    Branch, BranchScore, ChatMessage, Decoded, Each, Error, Generate, GenerateRequest, LayerRequest,
    LayerScores, ModelInfo, Prompt, Reach, ReadLayers, Sampling, ScoreTree, Text, TreeSession, Watcher,
};
use entrace_measure::{StopReason, Thoughts, TokenId};
use std::panic::{AssertUnwindSafe, catch_unwind};

const TEXTS: [&str; 3] = ["abba cab", "caé\n", " ba"];

fn tolerances() -> Tolerances {
    Tolerances { n_draws: 2000, ..Tolerances::default() }
}

#[test]
fn a_random_script_passes() {
    check(&model_that_spells_everything(), &TEXTS, &tolerances());
}

/// Conversations spell special tokens, so every letter of their names is needed.
fn model_that_spells_everything() -> Scripted {
    let letters: Vec<String> = ('a'..='z').chain(" \né<|>".chars()).map(String::from).collect();
    Scripted::new(Vocabulary::chat(letters.iter().map(String::as_str)), RandomScript::new(5))
        .with_context_length(64)
}

#[test]
fn models_that_tell_part_of_a_distribution_pass() {
    let whole = model_that_spells_everything();
    for (top_k, gather) in
        [(Some(5), Some(4)), (Some(1), None), (Some(30), Some(2)), (Some(5), Some(0)), (None, None)]
    {
        let limited = model_that_spells_everything().telling(Reach { top_k, gather });
        check_limited_tree(&limited, &whole, whole.info(), &tolerances());
    }
}

#[test]
fn a_vocabulary_without_roles_passes() {
    let model = Scripted::new(Vocabulary::bare(["a", "b", "c", " ", "\n", "é"]), RandomScript::new(6));
    check(&model, &TEXTS, &tolerances());
}

#[test]
fn known_answers_pass() {
    let script = KnownAnswers::following_the_steps(2, " 12", " 7").with_floor(0.3);
    let model = Scripted::new(Vocabulary::ascii(), script).with_context_length(64);
    check(&model, &["Q: 5 + 7?\nA:", "\nThe answer is"], &tolerances());
}

/// A way to be wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    ForksLate,
    IgnoresParents,
    BitsNotNats,
    TopUnsorted,
    GathersOthers,
    ClassesShifted,
    RefusedCallsCount,
    OneForAll,
    NeverForgets,
    IgnoresTemperature,
    IgnoresTopK,
    IgnoresTopP,
    StreamsByPlace,
    OneStream,
    CooledLogprobs,
    KeepsStopStrings,
    OneTokenMore,
    SaysStop,
    NoProgress,
    SpecialInPlain,
    EndsOfCharacters,
    LensInBits,
    MarginsToTheThird,
    ReadsTheTokenBefore,
    AttentionInBits,
}

const FAULTS: [Fault; 25] = [
    Fault::ForksLate,
    Fault::IgnoresParents,
    Fault::BitsNotNats,
    Fault::TopUnsorted,
    Fault::GathersOthers,
    Fault::ClassesShifted,
    Fault::RefusedCallsCount,
    Fault::OneForAll,
    Fault::NeverForgets,
    Fault::IgnoresTemperature,
    Fault::IgnoresTopK,
    Fault::IgnoresTopP,
    Fault::StreamsByPlace,
    Fault::OneStream,
    Fault::CooledLogprobs,
    Fault::KeepsStopStrings,
    Fault::OneTokenMore,
    Fault::SaysStop,
    Fault::NoProgress,
    Fault::SpecialInPlain,
    Fault::EndsOfCharacters,
    Fault::LensInBits,
    Fault::MarginsToTheThird,
    Fault::ReadsTheTokenBefore,
    Fault::AttentionInBits,
];

#[test]
fn every_fault_is_found() {
    for fault in FAULTS {
        let model = Wrong { inner: model_that_spells_everything(), fault };
        let found = catch_unwind(AssertUnwindSafe(|| check(&model, &TEXTS, &tolerances())));
        assert!(found.is_err(), "{fault:?} passes");
    }
}

/// A right model behind a fault.
struct Wrong {
    inner: Scripted,
    fault: Fault,
}

struct WrongSession<'a> {
    inner: Box<dyn TreeSession + 'a>,
    fault: Fault,
    n_refused: usize,
}

impl TreeSession for WrongSession<'_> {
    fn extend_each(&mut self, branches: &[Branch]) -> Each<BranchScore> {
        let mut asked = branches.to_vec();
        for (index, branch) in asked.iter_mut().enumerate() {
            match (self.fault, &mut branch.parent, &mut branch.next) {
                (Fault::ForksLate, Some(parent), _) if parent.n_tokens == 7 => parent.n_tokens = 8,
                (Fault::IgnoresParents, parent @ Some(_), _) if !branch.tokens.is_empty() && index > 0 => {
                    *parent = None;
                }
                (Fault::GathersOthers, _, Some(next)) => {
                    next.gather = next.gather.iter().map(|t| if *t == 3 { 4 } else { *t }).collect();
                }
                _ => {}
            }
        }
        let mut scores = self.inner.extend_each(&asked)?;
        let fault = scores.iter().find_map(|score| score.as_ref().err().cloned());
        self.n_refused += usize::from(fault.is_some());
        if let (Fault::OneForAll, Some(fault)) = (self.fault, fault) {
            scores.fill_with(|| Err(fault.clone()));
        }
        for score in scores.iter_mut().flatten() {
            if self.fault == Fault::RefusedCallsCount {
                score.id.0 += self.n_refused;
            }
            if self.fault == Fault::MarginsToTheThird {
                score
                    .token_sharpness
                    .iter_mut()
                    .flatten()
                    .for_each(|s| s.top2_margin = s.top2_margin.map(|margin| margin + 0.1));
            }
            if let Some(next) = &mut score.next {
                match self.fault {
                    Fault::BitsNotNats => {
                        next.entropy = next.entropy.map(|nats| nats / std::f64::consts::LN_2)
                    }
                    Fault::TopUnsorted => next.top.reverse(),
                    Fault::ClassesShifted => next.class_logmass.rotate_left(1),
                    _ => {}
                }
            }
        }
        Ok(scores)
    }

    fn truncate(&mut self, n_branches: usize) {
        if self.fault != Fault::NeverForgets {
            self.inner.truncate(n_branches);
        }
    }

    fn n_branches(&self) -> usize {
        self.inner.n_branches()
    }
}

impl ScoreTree for Wrong {
    fn session(&self) -> Result<Box<dyn TreeSession + '_>, Error> {
        Ok(Box::new(WrongSession { inner: self.inner.session()?, fault: self.fault, n_refused: 0 }))
    }
}

/// Tells nobody of progress.
struct Silent;

impl Watcher for Silent {
    fn progress(&mut self, _: usize) -> bool {
        true
    }
}

impl Generate for Wrong {
    fn generate_each(
        &self,
        requests: &[GenerateRequest],
        sampling: &Sampling,
        watcher: &mut dyn Watcher,
    ) -> Each<RequestCompletions> {
        let mut requests = requests.to_vec();
        let mut sampling = sampling.clone();
        let mut silent = Silent;
        let mut watcher = watcher;
        match self.fault {
            Fault::IgnoresTemperature if sampling.temperature > 0.0 => sampling.temperature = 1.0,
            Fault::IgnoresTopK => sampling.top_k = 0,
            Fault::IgnoresTopP => sampling.top_p = 1.0,
            Fault::KeepsStopStrings => sampling.stop.clear(),
            Fault::OneTokenMore if sampling.max_new_tokens > 0 => sampling.max_new_tokens += 1,
            Fault::NoProgress => watcher = &mut silent,
            _ => {}
        }
        let streams = requests.iter_mut().flat_map(|r| &mut r.forks).flat_map(|f| &mut f.streams);
        for (place, stream) in (0..).zip(streams) {
            match self.fault {
                Fault::StreamsByPlace => *stream += place,
                Fault::OneStream => *stream = 1,
                _ => {}
            }
        }
        let mut found = self.inner.generate_each(&requests, &sampling, watcher)?;
        for completion in found.iter_mut().flatten().flatten().flatten() {
            match self.fault {
                Fault::CooledLogprobs if sampling.temperature > 0.0 => {
                    completion.logprobs.iter_mut().flatten().for_each(|lp| *lp /= sampling.temperature);
                }
                Fault::SaysStop => completion.stop_reason = StopReason::Stop,
                _ => {}
            }
        }
        Ok(found)
    }
}

impl ReadLayers for Wrong {
    fn read_layers(&self, token_ids: &[TokenId], request: &LayerRequest) -> Result<LayerScores, Error> {
        let mut scores = self.inner.read_layers(token_ids, request)?;
        if self.fault == Fault::ReadsTheTokenBefore && request.tokens.start > 0 {
            let tokens = request.tokens.start - 1..request.tokens.end - 1;
            let before = self.inner.read_layers(token_ids, &LayerRequest { tokens, ..request.clone() })?;
            scores.drift = before.drift;
        }
        if self.fault == Fault::AttentionInBits {
            let entropies = scores.attention_entropy.iter_mut().flatten();
            entropies.for_each(|h| *h /= std::f64::consts::LN_2);
        }
        if self.fault == Fault::LensInBits {
            let entropies = scores.lens_entropy.iter_mut().flatten().flatten();
            entropies.for_each(|h| *h /= std::f64::consts::LN_2);
        }
        Ok(scores)
    }
}

impl Text for Wrong {
    fn info(&self) -> &ModelInfo {
        self.inner.info()
    }

    fn encode_prompt(&self, text: &str) -> Result<Prompt, Error> {
        self.inner.encode_prompt(text)
    }

    fn encode_plain(&self, text: &str) -> Result<Vec<TokenId>, Error> {
        match self.fault {
            Fault::SpecialInPlain => Ok(self.inner.encode_prompt(text)?.token_ids.split_off(1)),
            _ => self.inner.encode_plain(text),
        }
    }

    fn encode_completion(&self, text: &str) -> Result<Vec<TokenId>, Error> {
        self.inner.encode_completion(text)
    }

    fn thoughts(&self) -> &Thoughts {
        self.inner.thoughts()
    }

    fn has_chat_template(&self) -> bool {
        self.inner.has_chat_template()
    }

    fn render_chat(&self, messages: &[ChatMessage]) -> Result<Prompt, Error> {
        self.inner.render_chat(messages)
    }

    fn decode(&self, token_ids: &[TokenId]) -> Decoded {
        let mut decoded = self.inner.decode(token_ids);
        if self.fault == Fault::EndsOfCharacters {
            decoded.token_ends = (1..=token_ids.len()).collect();
        }
        decoded
    }

    fn token_text(&self, token: TokenId) -> String {
        self.inner.token_text(token)
    }

    fn stop_tokens(&self) -> &[TokenId] {
        self.inner.stop_tokens()
    }
}
