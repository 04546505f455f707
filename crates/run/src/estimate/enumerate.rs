//! `enumerate`: best-first expansion of the tree of answer strings after prefix and cue.
//!
//! The format's grammar sorts the whole vocabulary at every node: a token closes the answer, extends it, or leaves the grammar (the model
//! declines to answer). The mass of all closing tokens goes to the canonical answer read so far, that of declining tokens to `invalid`, and
//! every extending token becomes a node of its own, or is counted as unexplored where the budget cannot reach it, so masses always sum to
//! one. Nodes of all sites are expanded together, the likeliest first, until at each site the unexplored mass is at most ε of what was
//! elicited, or its node budget is spent.
//!
//! What leads to the target is expanded too, whatever the budget, the likeliest first, until nothing that is left could raise what is known
//! of the target's probability by a thousandth: its log-probability is known wherever a form of it fits in the length limit. To the target
//! lead the beginnings of its surface forms, in any tokens, with or without the space before them and in upper or lower case, and what
//! still reads as the target when a form is complete but not closed (the full stop after ` 34`, which may begin decimals).
//!
//! Surface forms of one canonical answer (`18`, `18.0`, `$18`) are added up. The number of answers that were not found, for the upper end
//! of the certified interval, is the number of labels for options; for others it is bounded by the number of token strings that the
//! grammar lets through, (E + 1)^L for L tokens in an answer and E extending tokens in the state of the grammar that has the most. The
//! interval is certified for answers of at most L tokens. A token that is only a part of a character leaves the grammar.

mod search;
mod target;
mod vocabulary;

use super::{SiteResult, TreeSite};
use crate::error::Error;
use crate::plan::Measurement;
use entrace_backend::{Branch, NextRequest, Parent, Text, TreeSession};
use entrace_measure::{GrammarState, TokenId};
use search::{Node, Search};
use std::sync::Arc;
pub(crate) use vocabulary::Enumerator;

/// Nodes that the searches of a wave may hold in the cache; they are freed before the next wave begins.
const NODES_HELD: usize = 4096;

/// Most sites that are searched at the same time.
const MOST_SITES_AT_ONCE: usize = 64;

/// Fewest, so that passes stay wide.
const FEWEST_SITES_AT_ONCE: usize = 8;

/// Distributions at all sites.
pub(crate) fn estimate(
    session: &mut dyn TreeSession,
    text: &dyn Text,
    enumerator: &mut Enumerator,
    sites: &[TreeSite<'_>],
    how: &Measurement,
) -> Result<Vec<SiteResult>, Error> {
    let cue = text.encode_plain(&how.cue)?;
    let n_branches = session.n_branches();
    let mut results = Vec::with_capacity(sites.len());
    let at_once = (NODES_HELD / how.max_nodes.max(1)).clamp(FEWEST_SITES_AT_ONCE, MOST_SITES_AT_ONCE);
    for wave in sites.chunks(at_once) {
        results.extend(search_wave(session, enumerator, wave, &cue, how)?);
        session.truncate(n_branches);
    }
    Ok(results)
}

fn search_wave(
    session: &mut dyn TreeSession,
    enumerator: &mut Enumerator,
    sites: &[TreeSite<'_>],
    cue: &[TokenId],
    how: &Measurement,
) -> Result<Vec<SiteResult>, Error> {
    let mut searches = Vec::with_capacity(sites.len());
    let mut roots = Vec::with_capacity(sites.len());
    for site in sites {
        let (search, branch) = begin(enumerator, site, cue);
        searches.push(search);
        roots.push(branch);
    }
    let scores = session.extend(&roots)?;
    for ((search, site), score) in searches.iter_mut().zip(sites).zip(&scores) {
        let fork = if cue.is_empty() { site.at } else { Parent { branch: score.id, n_tokens: cue.len() } };
        let (_, start) = enumerator.start(site.question.choices.as_ref());
        let root = Node { logmass: 0.0, path: Vec::new(), text: String::new(), state: start, parent: fork };
        if let Some(next) = &score.next {
            search.begin(enumerator, &root, next, how);
        }
    }
    loop {
        let mut nodes: Vec<(usize, Node)> = Vec::new();
        for (index, search) in searches.iter_mut().enumerate() {
            nodes.extend(search.take(how).into_iter().map(|node| (index, node)));
        }
        if nodes.is_empty() {
            break;
        }
        let branches: Vec<Branch> =
            nodes.iter().map(|(i, node)| branch(enumerator, &searches[*i], node)).collect();
        let scores = session.extend(&branches)?;
        for ((index, node), score) in nodes.iter().zip(&scores) {
            if let Some(next) = &score.next {
                let here = Parent { branch: score.id, n_tokens: 1 };
                searches[*index].expand(enumerator, node, here, next, how);
            }
        }
    }
    Ok(searches.into_iter().map(|search| search.finish(enumerator, how)).collect())
}

fn begin<'a>(enumerator: &mut Enumerator, site: &TreeSite<'a>, cue: &[TokenId]) -> (Search<'a>, Branch) {
    let choices = site.question.choices.as_ref();
    let (key, start) = enumerator.start(choices);
    let forms = match &site.question.target {
        Some(target) => enumerator.format.surface_forms(target, choices),
        None => Vec::new(),
    };
    let next = next_request(enumerator, &key, start);
    let search = Search::new(site.question, key, &forms);
    (search, Branch { parent: Some(site.at), tokens: cue.to_vec(), next, keep: true, ..Branch::default() })
}

fn next_request(enumerator: &mut Enumerator, key: &[String], state: GrammarState) -> Option<NextRequest> {
    let tokens = enumerator.tokens(key, state)?;
    Some(NextRequest {
        gather: Arc::clone(&tokens.continuations.extending),
        classes: Some(Arc::clone(&tokens.continuations.classes)),
        top_k: 0,
    })
}

fn branch(enumerator: &mut Enumerator, search: &Search<'_>, node: &Node) -> Branch {
    Branch {
        parent: Some(node.parent),
        tokens: node.path.last().copied().into_iter().collect(),
        next: next_request(enumerator, &search.key, node.state),
        keep: true,
        ..Branch::default()
    }
}
