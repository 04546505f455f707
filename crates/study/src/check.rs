//! What a model is, and whether its numbers agree with themselves.
//!
//! On a fixed text: logits are finite, scoring with a cache equals scoring without one, and branches of a token tree equal their paths scored
//! one at a time.

use crate::error::Error;
use crate::host::Host;
use crate::model::{ModelOptions, check_template, open_decoder, open_language};
use entrace_backend::{Branch, BranchId, ChatMessage, Parent, Role, ScoreTree, Text, TokenScores};
use entrace_decoder::{Decoder, DeviceKind, LanguageModel, StorageType};
use std::time::Instant;

/// Largest difference between two ways to the same log-probability that passes.
const TOLERANCE: f64 = 1e-3;

const TEXT: &str = "A train leaves at noon with 48 people. At the first stop 19 get off and 7 get on. \
                    How many people are on the train? There are 48 - 19 = 29, then 29 + 7 = 36. The answer is 36.";

/// A model in this process, opened to be looked at.
pub struct Subject {
    decoder: Option<Decoder>,
    language: Option<LanguageModel>,
    /// Why it has no text side.
    no_text: Option<String>,
    /// What its matrices are kept in, on the CPU.
    storage: Option<StorageType>,
    load_secs: f64,
}

/// A name and what was found.
pub type Fact = (&'static str, String);

impl Subject {
    /// Opens a model. To have no tokenizer is no fault; to have a tokenizer or chat template that cannot be used is.
    pub fn open(options: &ModelOptions, host: &dyn Host) -> Result<Self, Error> {
        let started = Instant::now();
        let (decoder, language, no_text) = match open_language(options, host) {
            Ok((language, _)) => {
                check_template(&language)?;
                (None, Some(language), None)
            }
            Err(Error::Model(error)) if matches!(*error, entrace_decoder::Error::NoTokenizer { .. }) => {
                (Some(open_decoder(options, host)?), None, Some(error.to_string()))
            }
            Err(error) => return Err(error),
        };
        let storage = (options.device == DeviceKind::Cpu).then_some(options.dtype);
        Ok(Self { decoder, language, no_text, storage, load_secs: started.elapsed().as_secs_f64() })
    }

    fn decoder(&self) -> Option<&Decoder> {
        self.language.as_ref().map(LanguageModel::decoder).or(self.decoder.as_ref())
    }

    /// What was understood of it.
    pub fn facts(&self) -> Vec<Fact> {
        let mut facts: Vec<Fact> = self.no_text.iter().map(|why| ("text", format!("none: {why}"))).collect();
        facts.extend(self.decoder().map(|decoder| of_decoder(decoder, self.load_secs)).into_iter().flatten());
        facts.extend(self.storage.into_iter().flat_map(of_products));
        facts.extend(self.language.as_ref().map(of_text).into_iter().flatten());
        facts
    }

    /// Checks its numbers against themselves: what was found, and whether it passes.
    pub fn check(&self) -> Result<Vec<(Fact, bool)>, Error> {
        let Some(decoder) = self.decoder() else { return Ok(Vec::new()) };
        let ids = match &self.language {
            Some(language) => language.encode_prompt(TEXT).map_err(Error::Refused)?.token_ids,
            None => (0..40).map(|i| (i * 7 + 3) % decoder.info().vocab_size as u32).collect(),
        };
        let ids = &ids[..ids.len().min(decoder.info().context_length)];
        let whole = scored(decoder, &[ids])?;
        let finite = whole[1..].iter().all(|logprob| logprob.is_some_and(f64::is_finite));
        let cached = difference(&whole, &scored(decoder, &ids.chunks(5).collect::<Vec<_>>())?);
        let tree = difference(&whole, &by_branches(decoder, ids)?);
        let close = |name: &'static str, difference: f64| {
            let passes = difference < TOLERANCE;
            ((name, format!("{} (largest difference {difference:.1e} nats)", verdict(passes))), passes)
        };
        Ok(vec![
            (("finite logits", verdict(finite).to_string()), finite),
            close("cached", cached),
            close("token tree", tree),
        ])
    }
}

fn verdict(passes: bool) -> &'static str {
    if passes { "ok" } else { "FAILED" }
}

fn of_decoder(decoder: &Decoder, load_secs: f64) -> Vec<Fact> {
    let info = decoder.info();
    let spec = decoder.model().spec();
    let n_parameters = decoder.model().n_parameters() as f64;
    let per_token = decoder.cache_bytes_per_token() as f64;
    let mut facts = vec![
        ("model", info.name.clone()),
        ("architecture", format!("{} ({})", info.architecture, decoder.family().models)),
        ("parameters", format!("{:.1} M", n_parameters / 1e6)),
        ("layers", format!("{} of hidden size {}", spec.n_layers(), spec.hidden_size)),
        ("vocabulary", format!("{} tokens", info.vocab_size)),
        ("context", format!("{} tokens", info.context_length)),
        ("dtype, device", format!("{}, {}", info.dtype, info.device)),
        (
            "memory",
            format!(
                "{:.0} MB of weights, {:.1} KB of cache per token",
                decoder.model().weight_bytes() as f64 / 1e6,
                per_token / 1e3
            ),
        ),
    ];
    let kernels: Vec<&str> = decoder.model().kernels().iter().map(String::as_str).collect();
    facts.extend((!kernels.is_empty()).then(|| ("multiplies in", kernels.join("; "))));
    facts.extend(
        info.model_hash.as_deref().map(|hash| ("fingerprint", hash[..16.min(hash.len())].to_string())),
    );
    facts.push(("loaded in", format!("{load_secs:.2} s")));
    facts
}

/// How fast this processor multiplies with weights, as they are kept and with rows rounded to bf16.
fn of_products(storage: StorageType) -> Vec<Fact> {
    let rate = |storage: StorageType| match storage.product_rate() {
        Ok(rate) => format!("{:.0} GFLOP/s in {} ({})", rate.gflops, storage.name(), rate.kernel),
        Err(error) => error.to_string(),
    };
    let rounded = StorageType::BF16Products;
    let mut facts = vec![("products", rate(storage))];
    facts.extend((storage != rounded).then(|| ("", rate(rounded))));
    facts
}

fn of_text(language: &LanguageModel) -> Vec<Fact> {
    let tokenizer = language.tokenizer();
    let mut facts = vec![("tokenizer", format!("{} tokens", tokenizer.vocab_size()))];
    for (name, token) in tokenizer.named_tokens() {
        let id =
            tokenizer.token_id(token).map_or_else(|| "not in the vocabulary".into(), |id| id.to_string());
        facts.push(("", format!("{name:<13} {token:?} ({id})")));
    }
    let stops: Vec<String> = language.stop_tokens().iter().map(ToString::to_string).collect();
    facts.push(("stop tokens", stops.join(", ")));
    let message = ChatMessage { role: Role::User, content: "What is 2 + 2?".into() };
    let template = match language.render_chat(&[message]) {
        Ok(prompt) => format!("({} tokens) {:?}", prompt.token_ids.len(), prompt.text),
        Err(error) => error.to_string(),
    };
    facts.push(("chat template", template));
    facts
}

/// Log-probabilities of a sequence that is fed to one session in parts.
fn scored(decoder: &Decoder, parts: &[&[u32]]) -> Result<Vec<Option<f64>>, Error> {
    let mut session = decoder.session()?;
    let mut parent = None;
    let mut all = Vec::new();
    for part in parts {
        let branch = Branch {
            parent,
            tokens: part.to_vec(),
            token_scores: TokenScores::Logprobs,
            keep: true,
            ..Branch::default()
        };
        let score = session.extend(&[branch])?.remove(0);
        parent = Some(Parent { branch: score.id, n_tokens: part.len() });
        all.extend(score.token_logprobs);
    }
    Ok(all)
}

/// Log-probabilities of the second half, each token as a branch of its own from a shared root.
fn by_branches(decoder: &Decoder, ids: &[u32]) -> Result<Vec<Option<f64>>, Error> {
    let root =
        Branch { tokens: ids.to_vec(), token_scores: TokenScores::Logprobs, keep: true, ..Branch::default() };
    // A branch forks behind a token at least.
    let half = (ids.len() / 2).max(1);
    let forks = (half..ids.len()).map(|at| Branch {
        parent: Some(Parent { branch: BranchId(0), n_tokens: at }),
        tokens: vec![ids[at]],
        token_scores: TokenScores::Logprobs,
        ..Branch::default()
    });
    let branches: Vec<Branch> = std::iter::once(root).chain(forks).collect();
    let scores = decoder.session()?.extend(&branches)?;
    let mut all = scores[0].token_logprobs[..half].to_vec();
    all.extend(scores[1..].iter().map(|score| score.token_logprobs[0]));
    Ok(all)
}

fn difference(a: &[Option<f64>], b: &[Option<f64>]) -> f64 {
    let pairs = a.iter().zip(b).filter_map(|(a, b)| Some(((*a)? - (*b)?).abs()));
    pairs.fold(0.0, f64::max)
}
