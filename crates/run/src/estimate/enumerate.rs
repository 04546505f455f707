//! `enumerate`: best-first expansion of the tree of answer strings after prefix and cue.
//!
//! The format's grammar sorts the whole vocabulary at every node: a token closes the answer, extends it, or leaves the grammar (the model
//! declines to answer). The mass of all closing tokens goes to the canonical answer read so far, that of declining tokens to `invalid`, and
//! every extending token becomes a node of its own, or is counted as unexplored where the budget cannot reach it, so masses always sum to
//! one. Nodes of all sites are expanded together, the likeliest first, until at each site the unexplored mass is at most ε of what was
//! elicited, or its node budget is spent.
//!
//! What leads to the target is expanded too, the likeliest first, until nothing that is left could raise what is known of the target's
//! probability by a thousandth. It counts within the budget, and has 64 nodes of its own once that is spent: enough for numbers and labels
//! wherever a form of them fits in the length limit, and for the likeliest ways to write a sentence. Of a target that was not found all that
//! is known is that it has no more than the unexplored mass. To the target lead the beginnings of its surface forms, in any tokens, with or without the space before them and in upper or lower case, and what
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
use crate::event::{Event, Observer};
use crate::plan::Measurement;
use entrace_backend::{Branch, BranchScore, NextRequest, Parent, TreeSession};
use entrace_measure::TokenId;
use rayon::prelude::*;
use search::{Expansion, Node, Search};
use std::sync::Arc;
pub(crate) use vocabulary::Enumerator;
use vocabulary::StateTokens;

/// Nodes that the searches of a wave may hold in the cache; they are freed before the next wave begins.
const NODES_HELD: usize = 4096;

/// Most sites that are searched at the same time.
const MOST_SITES_AT_ONCE: usize = 64;

/// Fewest, so that passes stay wide.
const FEWEST_SITES_AT_ONCE: usize = 8;

/// Distributions at all sites.
pub(crate) fn estimate(
    session: &mut dyn TreeSession,
    enumerator: &mut Enumerator,
    sites: &[TreeSite<'_>],
    how: &Measurement,
    observer: &mut dyn Observer,
) -> Result<Vec<SiteResult>, Error> {
    let n_branches = session.n_branches();
    let mut results = Vec::with_capacity(sites.len());
    let at_once = match enumerator.holds_any {
        true => sites.len().max(1),
        false => (NODES_HELD / how.max_nodes.max(1)).clamp(FEWEST_SITES_AT_ONCE, MOST_SITES_AT_ONCE),
    };
    for wave in sites.chunks(at_once) {
        results.extend(search_wave(session, enumerator, wave, how, observer)?);
        observer.event(Event::PhaseAdvances(wave.len()));
        session.truncate(n_branches);
    }
    Ok(results)
}

fn search_wave(
    session: &mut dyn TreeSession,
    enumerator: &mut Enumerator,
    sites: &[TreeSite<'_>],
    how: &Measurement,
    observer: &mut dyn Observer,
) -> Result<Vec<SiteResult>, Error> {
    let mut searches: Vec<Search<'_>> = sites.iter().map(|site| begin(enumerator, site)).collect();
    let mut roots = Vec::with_capacity(sites.len());
    for (search, site) in searches.iter().zip(sites) {
        let state = enumerator.start(search.grammar);
        let root = Node { logmass: 0.0, path: Vec::new(), text: String::new(), state, parent: site.at };
        roots.push(vec![(enumerator.tokens(search.grammar, state), root)]);
    }
    let foremost = |enumerator: &Enumerator, search: &Search<'_>, node: &Node| {
        let is_asked = enumerator.is_limited;
        let on_form = is_asked.then(|| target::on_form(search, &enumerator.vocabulary, node));
        on_form.unwrap_or_default()
    };
    let cue = |number: usize, search: &Search<'_>, node: &Node| Asked {
        tokens: sites[number].cue.to_vec(),
        foremost: foremost(enumerator, search, node),
    };
    let mut expansions = run(session, &mut searches, roots, cue, observer)?;
    let vocabulary = &enumerator.vocabulary;
    searches.par_iter_mut().zip(&expansions).for_each(|(search, root)| {
        root.iter().for_each(|root| search.begin(vocabulary, root));
    });
    while !expansions.is_empty() {
        let mut taken = Vec::with_capacity(searches.len());
        for search in &mut searches {
            let nodes = search.take(how).into_iter();
            taken.push(nodes.map(|node| (enumerator.tokens(search.grammar, node.state), node)).collect());
        }
        expansions = if taken.iter().all(Vec::is_empty) {
            Vec::new()
        } else {
            let last = |_: usize, search: &Search<'_>, node: &Node| Asked {
                tokens: node.path.last().copied().into_iter().collect(),
                foremost: foremost(enumerator, search, node),
            };
            run(session, &mut searches, taken, last, observer)?
        };
        let vocabulary = &enumerator.vocabulary;
        searches.par_iter_mut().zip(&expansions).for_each(|(search, expansions)| {
            expansions.iter().for_each(|expansion| search.expand(vocabulary, expansion));
        });
    }
    let n_extending: Vec<usize> =
        searches.iter().map(|search| enumerator.n_extending(search.grammar)).collect();
    let vocabulary = &enumerator.vocabulary;
    let finished = searches.into_par_iter().zip(n_extending);
    Ok(finished.map(|(search, n_extending)| search.finish(vocabulary, n_extending, how)).collect())
}

fn begin<'a>(enumerator: &mut Enumerator, site: &TreeSite<'a>) -> Search<'a> {
    let choices = site.question.choices.as_ref();
    let forms = match &site.question.target {
        Some(target) => enumerator.vocabulary.format.surface_forms(target, choices),
        None => Vec::new(),
    };
    Search::new(site, enumerator.grammar(choices), &forms)
}

/// What is run and asked for at a node.
struct Asked {
    /// Tokens that it adds to what it forks from.
    tokens: Vec<TokenId>,
    /// Those of its continuations that matter most to an engine that does not tell all.
    foremost: Vec<TokenId>,
}

/// Runs the nodes of all searches in one pass. A search of which one cannot be run fails.
fn run(
    session: &mut dyn TreeSession,
    searches: &mut [Search<'_>],
    nodes: Vec<Vec<(Arc<StateTokens>, Node)>>,
    asked: impl Fn(usize, &Search<'_>, &Node) -> Asked,
    observer: &mut dyn Observer,
) -> Result<Vec<Vec<Expansion>>, Error> {
    let branch = |number: usize, (state, node): &(Arc<StateTokens>, Node)| {
        let Asked { tokens, foremost } = asked(number, &searches[number], node);
        let next = NextRequest {
            gather: Arc::clone(&state.extending),
            foremost,
            classes: Some(Arc::clone(&state.classes)),
            top_k: 0,
        };
        Branch { parent: Some(node.parent), tokens, next: Some(next), keep: true, ..Branch::default() }
    };
    let of_search = nodes.iter().enumerate();
    let branches: Vec<Branch> = of_search
        .flat_map(|(search, nodes)| nodes.iter().map(move |node| (search, node)))
        .map(|(search, node)| branch(search, node))
        .collect();
    if observer.should_stop() {
        return Err(Error::Interrupted);
    }
    observer.event(Event::Tokens(branches.iter().map(|branch| branch.tokens.len()).sum()));
    let mut scores = session.extend_each(&branches)?.into_iter().zip(&branches);
    let mut expansions: Vec<Vec<Expansion>> =
        nodes.iter().map(|nodes| Vec::with_capacity(nodes.len())).collect();
    for ((search, expansions), nodes) in searches.iter_mut().zip(&mut expansions).zip(nodes) {
        for ((tokens, node), (score, branch)) in nodes.into_iter().zip(&mut scores) {
            match score {
                Ok(BranchScore { id, next, .. }) => {
                    let n_tokens = branch.tokens.len();
                    let here = if n_tokens == 0 { node.parent } else { Parent { branch: id, n_tokens } };
                    expansions.extend(next.map(|next| Expansion { node, tokens, here, next }));
                }
                Err(error) => search.fail(error.to_string()),
            }
        }
    }
    Ok(expansions)
}
