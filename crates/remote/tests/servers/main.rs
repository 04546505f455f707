//! The engine against scripted servers on loopback: what each dialect tells, what it costs, and every fault that clients have met.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod costs;
mod faults;
mod limits;
mod secrets;
mod tells;

use entrace_backend::scripted::{RandomScript, Scripted, Vocabulary};
use entrace_backend::{Branch, BranchId, NextRequest, NextScore, Parent, ScoreTree};
use entrace_measure::TokenId;
use entrace_remote::scripted::{Behaviour, Server, Speaks};
use entrace_remote::{Endpoint, Headers, Options, Patience, Remote, Unfit};
use std::sync::Arc;
use std::time::Duration;

/// A model with a hundred tokens and no certainties.
fn model() -> Arc<Scripted> {
    Arc::new(Scripted::new(Vocabulary::ascii(), RandomScript::new(7)).with_context_length(512))
}

fn options(servers: &[&Server]) -> Options {
    Options {
        replicas: servers.iter().map(|server| Endpoint::parse(&server.url()).unwrap()).collect(),
        headers: Headers::default(),
        patience: quick(),
        wait: Duration::ZERO,
    }
}

/// Patience of a test.
fn quick() -> Patience {
    let (read, draw) = (Duration::from_secs(10), (Duration::from_secs(10), Duration::ZERO));
    Patience { away: Duration::from_secs(2), busy: Duration::from_secs(4), read, draw, ..Patience::default() }
}

fn start(model: &Arc<Scripted>, behaviour: Behaviour) -> Server {
    Server::start(Arc::clone(model) as Arc<dyn entrace_remote::scripted::Oracle>, behaviour)
}

fn connect(model: &Arc<Scripted>, servers: &[&Server]) -> Result<Remote<Arc<Scripted>>, Unfit> {
    Remote::connect(&options(servers), Arc::clone(model))
}

/// A server of this kind, and the engine that it makes.
fn served(model: &Arc<Scripted>, behaviour: Behaviour) -> (Server, Remote<Arc<Scripted>>) {
    let server = start(model, behaviour);
    let remote = connect(model, &[&server]).unwrap_or_else(|error| panic!("{error}"));
    (server, remote)
}

const SCORING: [Speaks; 3] = [Speaks::Vllm, Speaks::Sglang, Speaks::LlamaServer];

/// A prompt, a trace, and a cue after some of its prefixes, with what is asked there. Returns what was told at each prefix.
fn at_prefixes(
    scorer: &dyn ScoreTree,
    prefixes: &[usize],
    request: &NextRequest,
) -> Result<Vec<NextScore>, entrace_backend::Error> {
    let mut session = scorer.session()?;
    let root = Branch { tokens: tokens(40, 3), keep: true, ..Branch::default() };
    let at = |branch: usize, n_tokens: usize| Some(Parent { branch: BranchId(branch), n_tokens });
    let trace = Branch { parent: at(0, 40), tokens: tokens(60, 5), keep: true, ..Branch::default() };
    session.extend(&[root, trace])?;
    let cue = |&n_tokens: &usize| Branch {
        parent: at(1, n_tokens),
        tokens: tokens(4, 11),
        next: Some(request.clone()),
        ..Branch::default()
    };
    let cues: Vec<Branch> = prefixes.iter().map(cue).collect();
    Ok(session.extend(&cues)?.into_iter().map(|score| score.next.unwrap()).collect())
}

fn tokens(n: usize, step: usize) -> Vec<TokenId> {
    (0..n).map(|i| (5 + (i * step + i * i) % 90) as TokenId).collect()
}

fn chosen(tokens: &[TokenId]) -> NextRequest {
    NextRequest { gather: tokens.into(), ..NextRequest::default() }
}

/// Largest difference between what is told by two engines of the same tokens.
fn difference(a: &[NextScore], b: &[NextScore]) -> f64 {
    let pairs = a.iter().zip(b).flat_map(|(a, b)| a.gather.iter().zip(&b.gather));
    pairs.map(|(a, b)| (a.unwrap() - b.unwrap()).abs()).fold(0.0, f64::max)
}
