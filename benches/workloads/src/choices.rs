//! W1: log-probabilities of options after the cue, at every prefix, the way `run` asks for them.
//!
//! Prompts and traces of several questions become one tree, then the cue is a branch at every prefix.

use crate::outcome::{Once, flop};
use crate::workload::Choices;
use anyhow::{Context, Result};
use entrace_backend::{Branch, BranchId, NextRequest, Parent, ScoreTree};
use entrace_decoder::LanguageModel;
use std::collections::BTreeMap;
use std::time::Instant;

/// Tokens of prompts and traces in one tree, as in `run`.
const TREE_TOKENS: usize = 4096;

/// Log-probabilities of one trace's options, `[prefix][option]`.
pub(crate) type Scores = Vec<Vec<f64>>;

pub(crate) fn measure(model: &LanguageModel, traces: &[Choices]) -> Result<Once> {
    let begin = Instant::now();
    score(model, traces)?;
    let seconds = begin.elapsed().as_secs_f64();
    let n_tokens = traces.iter().map(Choices::n_tokens).sum();
    let n_prefixes: usize = traces.iter().map(|trace| trace.prefixes.len()).sum();
    let notes = BTreeMap::from([
        ("prefixes per trace", n_prefixes as f64 / traces.len() as f64),
        ("seconds per prefix", seconds / n_prefixes as f64),
        ("tokens per second", n_tokens as f64 / seconds),
    ]);
    let flop = Some(flop(model, n_tokens, n_prefixes));
    Ok(Once { seconds, amount: traces.len() as f64, unit: "trace", flop, notes })
}

/// Scores of all traces, in their order.
pub(crate) fn score(model: &dyn ScoreTree, traces: &[Choices]) -> Result<Vec<Scores>> {
    let mut scores = Vec::with_capacity(traces.len());
    let mut rest = traces;
    while !rest.is_empty() {
        let (group, others) = rest.split_at(group_len(rest));
        scores.extend(score_tree(model, group)?);
        rest = others;
    }
    Ok(scores)
}

/// Traces that share the next tree; at least one.
fn group_len(traces: &[Choices]) -> usize {
    let mut n_tokens = 0;
    let fits = |trace: &&Choices| {
        n_tokens += trace.prompt_ids.len() + trace.trace_ids.len();
        n_tokens <= TREE_TOKENS
    };
    traces.iter().take_while(fits).count().max(1)
}

fn score_tree(model: &dyn ScoreTree, traces: &[Choices]) -> Result<Vec<Scores>> {
    let mut session = model.session()?;
    let mut branches = Vec::new();
    for trace in traces {
        let prompt = Parent { branch: BranchId(branches.len()), n_tokens: trace.prompt_ids.len() };
        branches.push(Branch { tokens: trace.prompt_ids.clone(), keep: true, ..Branch::default() });
        let tokens = trace.trace_ids.clone();
        branches.push(Branch { parent: Some(prompt), tokens, keep: true, ..Branch::default() });
    }
    session.extend(&branches)?;
    let cues: Vec<Branch> = traces.iter().enumerate().flat_map(|(i, trace)| cues(2 * i, trace)).collect();
    let mut scored = session.extend(&cues)?.into_iter();
    let gathered = |n: usize| {
        let next = scored
            .by_ref()
            .take(n)
            .map(|score| score.next.and_then(|next| next.gather.into_iter().collect()));
        next.collect::<Option<Scores>>().context("the engine left a score out")
    };
    traces.iter().map(|trace| trace.prefixes.len()).map(gathered).collect()
}

/// The cue after each prefix; the prompt is branch `prompt` and the trace the next one.
fn cues(prompt: usize, trace: &Choices) -> impl Iterator<Item = Branch> + '_ {
    let gather: std::sync::Arc<[u32]> = trace.option_ids.as_slice().into();
    trace.prefixes.iter().map(move |&n_tokens| {
        let parent = match n_tokens {
            0 => Parent { branch: BranchId(prompt), n_tokens: trace.prompt_ids.len() },
            n_tokens => Parent { branch: BranchId(prompt + 1), n_tokens },
        };
        Branch {
            parent: Some(parent),
            tokens: trace.cue_ids.clone(),
            next: Some(NextRequest { gather: gather.clone(), ..NextRequest::default() }),
            ..Branch::default()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(n_prompt: usize, n_trace: usize) -> Choices {
        Choices {
            prompt_ids: vec![1; n_prompt],
            trace_ids: vec![2; n_trace],
            prefixes: vec![0, n_trace],
            cue_ids: vec![3, 4],
            option_ids: vec![5],
        }
    }

    #[test]
    fn traces_share_a_tree_up_to_its_size_and_one_always_fits() {
        assert_eq!(group_len(&[trace(1000, 1000), trace(1000, 1000), trace(90, 10)]), 2);
        assert_eq!(group_len(&[trace(4000, 5000), trace(1, 1)]), 1);
    }

    #[test]
    fn the_cue_of_the_first_prefix_forks_from_the_prompt() {
        let parents: Vec<Parent> = cues(4, &trace(10, 7)).filter_map(|branch| branch.parent).collect();
        let at = |branch: usize, n_tokens: usize| Parent { branch: BranchId(branch), n_tokens };
        assert_eq!(parents, [at(4, 10), at(5, 7)]);
    }
}
