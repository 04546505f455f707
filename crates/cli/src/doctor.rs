//! `entrace doctor`: what a model is, and whether its numbers agree with themselves.
//!
//! Loads the model, prints what was understood of it, and checks on a fixed text that logits are finite, that scoring with a cache equals
//! scoring without one, and that branches of a token tree equal their paths scored one at a time. A model whose tokenizer or chat template
//! cannot be used is refused as `entrace run` refuses it. Of a model behind servers it prints what was found out about them, as the beginning
//! of every run finds out.

use crate::args::DoctorArgs;
use crate::exit::{Exit, InSetUp};
use crate::model;
use crate::opened::{self, Served};
use crate::terminal::shortened;
use anyhow::Result;
use entrace_backend::{Branch, BranchId, ChatMessage, Parent, Role, ScoreTree, Text, TokenScores};
use entrace_decoder::{Decoder, Error, LanguageModel};
use std::io::Write;
use std::time::Instant;

/// Largest difference between two ways to the same log-probability that passes.
const TOLERANCE: f64 = 1e-3;

pub(crate) fn doctor(args: &DoctorArgs) -> Result<Exit> {
    if let Some(servers) = opened::servers(&args.model)? {
        return describe_servers(&opened::connect(&args.model, servers, false)?);
    }
    let started = Instant::now();
    let mut out = crate::terminal::stdout();
    let language = model::open(&args.model, false);
    let decoder_only;
    let (decoder, language) = match &language {
        Ok((language, _)) => (language.decoder(), Some(language)),
        // To have no tokenizer is no fault; to have one that cannot be used is.
        Err(error) if matches!(error.downcast_ref(), Some(Error::NoTokenizer { .. })) => {
            decoder_only = model::open_decoder(&args.model)?;
            writeln!(out, "text            none: {error}")?;
            (&decoder_only, None)
        }
        Err(_) => return language.map(|_| Exit::success()),
    };
    if let Some(language) = language {
        model::check_template(language)?;
    }
    describe(&mut out, decoder, started.elapsed().as_secs_f64())?;
    if let Some(language) = language {
        describe_text(&mut out, language)?;
    }
    let passed = self_check(&mut out, decoder, language)?;
    Ok(if passed { Exit::success() } else { Exit::with_failures() })
}

/// What servers can do, and what they cannot.
fn describe_servers(served: &Served) -> Result<Exit> {
    let mut out = crate::terminal::stdout();
    let profile = served.remote.profile();
    for (name, found) in profile.named() {
        writeln!(out, "{name:<15} {found}")?;
    }
    let lacks = profile.lacks();
    for lack in &lacks {
        writeln!(out, "lacks           {lack}")?;
    }
    Ok(if profile.scores() || profile.draws() { Exit::success() } else { Exit::with_failures() })
}

fn describe(out: &mut impl Write, decoder: &Decoder, seconds: f64) -> Result<()> {
    let info = decoder.info();
    let spec = decoder.model().spec();
    let size = match info.dtype.as_str() {
        "f32" => 4,
        _ => 2,
    };
    writeln!(out, "model           {}", info.name)?;
    writeln!(out, "architecture    {} ({})", info.architecture, decoder.family().models)?;
    let n_parameters = decoder.model().n_parameters() as f64;
    writeln!(out, "parameters      {:.1} M", n_parameters / 1e6)?;
    writeln!(out, "layers          {} of hidden size {}", spec.n_layers(), spec.hidden_size)?;
    writeln!(out, "vocabulary      {} tokens", info.vocab_size)?;
    writeln!(out, "context         {} tokens", info.context_length)?;
    writeln!(out, "dtype, device   {}, {}", info.dtype, info.device)?;
    writeln!(
        out,
        "memory          {:.0} MB of weights, {:.1} KB of cache per token",
        n_parameters * f64::from(size) / 1e6,
        decoder.cache_bytes_per_token() as f64 / 1e3
    )?;
    if let Some(hash) = info.model_hash.as_deref() {
        writeln!(out, "fingerprint     {}", &hash[..16.min(hash.len())])?;
    }
    writeln!(out, "loaded in       {seconds:.2} s")?;
    Ok(())
}

/// What the text side is.
fn describe_text(out: &mut impl Write, language: &LanguageModel) -> Result<()> {
    let tokenizer = language.tokenizer();
    writeln!(out, "tokenizer       {} tokens", tokenizer.vocab_size())?;
    for (name, token) in tokenizer.named_tokens() {
        let id =
            tokenizer.token_id(token).map_or_else(|| "not in the vocabulary".into(), |id| id.to_string());
        writeln!(out, "  {name:<13} {} ({id})", shortened(&format!("{token:?}")))?;
    }
    let stops: Vec<String> = language.stop_tokens().iter().map(ToString::to_string).collect();
    writeln!(out, "stop tokens     {}", stops.join(", "))?;
    let message = ChatMessage { role: Role::User, content: "What is 2 + 2?".into() };
    match language.render_chat(&[message]) {
        Ok(prompt) => {
            let text = format!("{:?}", prompt.text);
            writeln!(out, "chat template   {} ({} tokens)", shortened(&text), prompt.token_ids.len())?;
        }
        Err(error) => writeln!(out, "chat template   {}", shortened(&error.to_string()))?,
    }
    Ok(())
}

fn self_check(out: &mut impl Write, decoder: &Decoder, language: Option<&LanguageModel>) -> Result<bool> {
    let ids = match language {
        Some(language) => language.encode_prompt(TEXT).in_set_up()?.token_ids,
        None => (0..40).map(|i| (i * 7 + 3) % decoder.info().vocab_size as u32).collect(),
    };
    let ids = &ids[..ids.len().min(decoder.info().context_length)];
    let whole = scored(decoder, &[ids])?;
    let finite = whole[1..].iter().all(|lp| lp.is_some_and(f64::is_finite));
    let cached = difference(&whole, &scored(decoder, &ids.chunks(5).collect::<Vec<_>>())?);
    let tree = difference(&whole, &by_branches(decoder, ids)?);
    let verdict = |ok: bool| if ok { "ok" } else { "FAILED" };
    writeln!(out, "finite logits   {}", verdict(finite))?;
    writeln!(out, "cached          {} (largest difference {cached:.1e} nats)", verdict(cached < TOLERANCE))?;
    writeln!(out, "token tree      {} (largest difference {tree:.1e} nats)", verdict(tree < TOLERANCE))?;
    Ok(finite && cached < TOLERANCE && tree < TOLERANCE)
}

const TEXT: &str = "A train leaves at noon with 48 people. At the first stop 19 get off and 7 get on. \
                    How many people are on the train? There are 48 - 19 = 29, then 29 + 7 = 36. The answer is 36.";

/// Log-probabilities of a sequence that is fed to one session in parts.
fn scored(decoder: &Decoder, parts: &[&[u32]]) -> Result<Vec<Option<f64>>> {
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
fn by_branches(decoder: &Decoder, ids: &[u32]) -> Result<Vec<Option<f64>>> {
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
