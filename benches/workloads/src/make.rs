//! A workload from real questions: traces that the model writes on ARC-Challenge and SVAMP.
//!
//! Of the ARC questions with four options and a short prompt, the first whose traces are not too short are taken; traces stop after 112
//! tokens and have a prefix every eight. That gives the proportions of the workload that the goals are stated for. The context of the
//! rollouts is one of them. The long texts are prompts and traces one after the other.

use crate::args::Args;
use crate::workload::{Choices, Enumerate, Rollout, Tokens, Workload};
use anyhow::{Context, Result, ensure};
use entrace_backend::{
    ChatMessage, Completion, Fork, Generate, GenerateRequest, Prompt, Role, Sampling, Text, stream_seed,
};
use entrace_datasets::{BadLines, FormatKind, prompt, task};
use entrace_decoder::LanguageModel;
use entrace_measure::Question;
use std::path::Path;

/// Traces of W1.
const N_CHOICES: usize = 32;
/// Questions that are tried for them.
const N_TRIED: usize = 96;
/// Most tokens of such a prompt, fewest and most of such a trace.
const PROMPT_TOKENS: usize = 128;
const TRACE_TOKENS: std::ops::RangeInclusive<usize> = 64..=112;
/// Tokens between prefixes.
const STEP_TOKENS: usize = 8;
/// Questions of W4, and most tokens of their traces.
const N_ENUMERATE: usize = 16;
const NUMBER_TOKENS: usize = 120;
/// Tokens of a text of W3.
const TEXT_TOKENS: usize = 1024;

const CUE: &str = "\nThe answer is";

pub(crate) fn make(model: &LanguageModel, args: &Args, out: &Path) -> Result<()> {
    let data_dir = args.data_dir.as_deref().context("--data-dir is missing")?;
    let choices = arc(model, data_dir, args.seed)?;
    let svamp = questions("svamp", data_dir, N_ENUMERATE, |question| question.target.is_some())?;
    let enumerate = write_traces(model, &svamp, FormatKind::Number, NUMBER_TOKENS, args.seed)?
        .into_iter()
        .zip(&svamp)
        .filter(|((_, trace), _)| !trace.text.trim().is_empty())
        .map(|((prompt, trace), question)| Enumerate {
            prompt: prompt.text,
            trace: trace.text,
            target: question.target.as_ref().map_or_else(String::new, |target| target.name().to_string()),
        })
        .collect();
    let texts: Vec<u32> =
        choices.iter().flat_map(|trace| trace.prompt_ids.iter().chain(&trace.trace_ids)).copied().collect();
    let tokens = texts.chunks_exact(TEXT_TOKENS).take(2).map(|t| Tokens { token_ids: t.to_vec() }).collect();
    let rollout = vec![rollout(&choices)?];
    Workload { choices, rollout, tokens, enumerate }.save(out)
}

fn arc(model: &LanguageModel, data_dir: &Path, seed: u64) -> Result<Vec<Choices>> {
    let four = |question: &Question| question.choices.as_ref().is_some_and(|choices| choices.len() == 4);
    let mut short = Vec::new();
    for question in questions("arc_challenge", data_dir, N_TRIED, four)? {
        if asked(model, &question, FormatKind::Choice)?.token_ids.len() <= PROMPT_TOKENS {
            short.push(question);
        }
    }
    let traces = write_traces(model, &short, FormatKind::Choice, *TRACE_TOKENS.end(), seed)?;
    let long =
        traces.iter().zip(&short).filter(|((_, trace), _)| trace.token_ids.len() >= *TRACE_TOKENS.start());
    long.take(N_CHOICES).map(|((prompt, trace), question)| choices(model, prompt, trace, question)).collect()
}

/// The first questions that fit.
fn questions(
    name: &str,
    data_dir: &Path,
    n: usize,
    fits: impl Fn(&Question) -> bool,
) -> Result<Vec<Question>> {
    let spec = task::find(name)?;
    let loaded = task::load(spec, data_dir, spec.evaluation_split, BadLines::Skip)?;
    let questions: Vec<Question> = loaded.questions.into_iter().filter(fits).take(n).collect();
    ensure!(questions.len() == n, "{name} has {} questions that fit, fewer than {n}", questions.len());
    Ok(questions)
}

/// A prompt and a sampled trace for each question.
fn write_traces(
    model: &LanguageModel,
    questions: &[Question],
    kind: FormatKind,
    max_new_tokens: usize,
    seed: u64,
) -> Result<Vec<(Prompt, Completion)>> {
    let mut prompts = Vec::new();
    let mut requests = Vec::new();
    for question in questions {
        let prompt = asked(model, question, kind)?;
        let streams = vec![stream_seed(seed, &[&question.id])];
        let fork =
            Fork { n_tokens: prompt.token_ids.len(), suffix: Vec::new(), streams, max_new_tokens: None };
        requests.push(GenerateRequest { context: prompt.token_ids.clone(), forks: vec![fork] });
        prompts.push(prompt);
    }
    let sampling = Sampling { temperature: 0.7, top_p: 0.95, top_k: 0, max_new_tokens, stop: Vec::new() };
    let completions = model.generate(&requests, &sampling, &mut |_| true)?;
    Ok(prompts.into_iter().zip(completions.into_iter().flatten().flatten()).collect())
}

/// A question as the model is asked it.
fn asked(model: &LanguageModel, question: &Question, kind: FormatKind) -> Result<Prompt> {
    let content = prompt::zero_shot(question, kind);
    Ok(if model.has_chat_template() {
        model.render_chat(&[ChatMessage { role: Role::User, content }])?
    } else {
        model.encode_prompt(&content)?
    })
}

fn choices(
    model: &LanguageModel,
    prompt: &Prompt,
    trace: &Completion,
    question: &Question,
) -> Result<Choices> {
    let n_tokens = trace.token_ids.len();
    ensure!(n_tokens > 0, "the model wrote no trace on {}", question.id);
    let labels = question.choices.as_ref().map_or(&[] as &[String], |choices| choices.labels());
    let mut option_ids = Vec::new();
    for label in labels {
        let token_ids = model.encode_plain(&format!(" {label}"))?;
        option_ids.push(*token_ids.first().context("an option without tokens")?);
    }
    Ok(Choices {
        prompt_ids: prompt.token_ids.clone(),
        trace_ids: trace.token_ids.clone(),
        prefixes: (0..n_tokens).step_by(STEP_TOKENS).chain([n_tokens]).collect(),
        cue_ids: model.encode_plain(CUE)?,
        option_ids,
    })
}

/// Eight forks of the first context that is long enough.
fn rollout(choices: &[Choices]) -> Result<Rollout> {
    let long = choices.iter().find(|trace| trace.prefixes.len() >= 9);
    let trace = long.context("no trace has nine prefixes")?;
    let before = trace.prompt_ids.len();
    Ok(Rollout {
        context_ids: [trace.prompt_ids.as_slice(), &trace.trace_ids].concat(),
        forks: trace.prefixes[..8].iter().map(|n_tokens| before + n_tokens).collect(),
        draws: 16,
        new_tokens: 48,
    })
}
