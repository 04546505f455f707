//! The token tree as a book of paths.
//!
//! A branch is written down and nothing is sent: planting a prompt and a trace costs no request. What is asked about a branch is asked about
//! its whole path. The paths of one root, a question, go into one request, so that any balancer in front of the servers keeps its prefix
//! cache warm. A call asks in two rounds at most: lists of the likeliest tokens, and then those chosen tokens that no list had. Where a server
//! refuses a request for several paths, each is asked about apart: only that tells which of them is at fault.
//!
//! Scores of a branch's own tokens are one-token reads after each of its beginnings; options that begin alike share them, as in a trie. Of a
//! whole trace (`TokenScores::Full`) they would be as many reads as it has tokens, each of its own prefix; they are left unknown.

use crate::engine::Core;
use crate::pool::Failure;
use crate::wire::{Answer, Next, NextToken, Question};
use entrace_backend::{
    Branch, BranchId, BranchScore, Each, Error, NextRequest, NextScore, Parent, Rest, TokenScores,
    TreeSession,
};
use entrace_measure::TokenId;
use entrace_measure::seed::fnv1a;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How much of the probability single precision may lose in a sum.
const LOST: f64 = 1e-6;

pub(crate) struct Session<'a> {
    core: &'a Core,
    nodes: Vec<Node>,
}

/// A branch, written down; the default is one that failed.
#[derive(Default)]
struct Node {
    /// Number of its root.
    root: usize,
    /// All tokens from the root to its end.
    path: Vec<TokenId>,
    n_own: usize,
}

/// What is asked of the token after a path.
#[derive(Default)]
struct Want {
    list: bool,
    chosen: BTreeSet<TokenId>,
}

/// Root and path.
type Place = (usize, Vec<TokenId>);

/// What is known of the token after a path.
#[derive(Default)]
struct Known {
    top: Vec<(TokenId, f64)>,
    chosen: BTreeMap<TokenId, f64>,
    /// Why it is not what was asked for.
    fault: Option<Error>,
}

/// A request for the tokens after some paths, with their places.
type Request = (Vec<Place>, Next);

impl<'a> Session<'a> {
    pub(crate) fn new(core: &'a Core) -> Self {
        Self { core, nodes: Vec::new() }
    }

    /// A branch that is in order.
    fn node(&self, index: usize, branch: &Branch) -> Result<Node, Error> {
        let info = &self.core.info;
        let (root, mut path) = match branch.parent {
            None if branch.tokens.is_empty() => return Err(Error::EmptyContext),
            None => (self.nodes.len(), Vec::new()),
            Some(Parent { branch: parent, n_tokens }) => {
                let bad = |available| Error::BadFork { branch: index, parent: parent.0, n_tokens, available };
                let node = self.nodes.get(parent.0).ok_or_else(|| bad(0))?;
                if n_tokens == 0 || n_tokens > node.n_own {
                    return Err(bad(node.n_own));
                }
                (node.root, node.path[..node.path.len() - node.n_own + n_tokens].to_vec())
            }
        };
        if let Some(&token) = branch.tokens.iter().find(|&&token| token as usize >= info.vocab_size) {
            return Err(Error::UnknownToken { token, vocab_size: info.vocab_size });
        }
        path.extend(&branch.tokens);
        let n_tokens = path.len() + usize::from(branch.next.is_some());
        if n_tokens > info.context_length {
            return Err(Error::ContextTooLong { n_tokens: path.len(), limit: info.context_length });
        }
        if let Some(classes) = branch.next.as_ref().and_then(|next| next.classes.as_ref())
            && classes.class_of.len() != info.vocab_size
        {
            return Err(Error::BadClasses { n_tokens: classes.class_of.len(), vocab_size: info.vocab_size });
        }
        Ok(Node { root, path, n_own: branch.tokens.len() })
    }

    /// Writes branches down; of one that is not in order its number.
    fn add(&mut self, branches: &[Branch]) -> Vec<Result<(), Error>> {
        let first = self.nodes.len();
        let mut added: Vec<Result<(), Error>> = Vec::with_capacity(branches.len());
        for (index, branch) in branches.iter().enumerate() {
            let inherited = branch.fault_of_parent(first, &added);
            let node = inherited.map_or_else(|| self.node(index, branch), Err);
            added.push(node.as_ref().map(|_| ()).map_err(Error::clone));
            self.nodes.push(node.unwrap_or_default());
        }
        added
    }

    /// What has to be asked about the branches that begin at node `first`, those that are in order.
    fn wants(&self, first: usize, branches: &[Branch], added: &[Result<(), Error>]) -> BTreeMap<Place, Want> {
        let mut wants: BTreeMap<Place, Want> = BTreeMap::new();
        let sound = self.nodes[first..].iter().zip(branches).zip(added).filter(|(_, added)| added.is_ok());
        for ((node, branch), _) in sound {
            if branch.token_scores == TokenScores::Logprobs {
                for at in self.scored(node) {
                    let want = wants.entry((node.root, node.path[..at].to_vec())).or_default();
                    want.chosen.insert(node.path[at]);
                }
            }
            if let Some(request) = &branch.next {
                let want = wants.entry((node.root, node.path.clone())).or_default();
                let (list, chosen) = self.asked(request);
                want.list |= list;
                want.chosen.extend(chosen);
            }
        }
        wants
    }

    /// Places of a branch's own tokens that something precedes.
    fn scored(&self, node: &Node) -> std::ops::Range<usize> {
        (node.path.len() - node.n_own).max(1)..node.path.len()
    }

    /// Whether a list is needed, and which tokens are asked for by number.
    fn asked<'r>(&self, request: &'r NextRequest) -> (bool, &'r [TokenId]) {
        let most = self.core.profile.gather;
        let all = request.gather.len() <= most;
        let list = request.top_k > 0 || request.classes.is_some() || !all || most == 0;
        let chosen =
            if all { &request.gather[..] } else { &request.foremost[..request.foremost.len().min(most)] };
        (list, chosen)
    }

    fn ask(&self, wants: &BTreeMap<Place, Want>) -> Result<BTreeMap<Place, Known>, Error> {
        let mut known: BTreeMap<Place, Known> =
            wants.keys().map(|place| (place.clone(), Known::default())).collect();
        self.round(self.lists(wants), &mut known)?;
        self.round(self.choices(wants, &known), &mut known)?;
        Ok(known)
    }

    /// Requests for the likeliest tokens; with chosen ones beside them where the server tells both at once.
    fn lists(&self, wants: &BTreeMap<Place, Want>) -> Vec<Request> {
        let Some(dialect) = self.core.profile.dialect else { return Vec::new() };
        let listed: Vec<(&Place, &Want)> = wants.iter().filter(|(_, want)| want.list).collect();
        let mut requests = Vec::new();
        for group in listed.chunk_by(|a, b| a.0.0 == b.0.0) {
            for part in group.chunks(dialect.most_contexts()) {
                let chosen: BTreeSet<TokenId> =
                    part.iter().flat_map(|(_, want)| want.chosen.iter().copied()).collect();
                let beside = dialect.side_by_side() && chosen.len() <= dialect.most_chosen();
                let gather = if beside { chosen.into_iter().collect() } else { Vec::new() };
                requests.push(self.request(
                    part.iter().map(|(place, _)| (*place).clone()),
                    gather,
                    self.core.profile.top_k,
                ));
            }
        }
        requests
    }

    /// Requests for chosen tokens that are not known yet.
    fn choices(&self, wants: &BTreeMap<Place, Want>, known: &BTreeMap<Place, Known>) -> Vec<Request> {
        let Some(dialect) = self.core.profile.dialect else { return Vec::new() };
        if self.core.profile.gather == 0 {
            return Vec::new();
        }
        let most = dialect.most_chosen();
        // Of each root, the contexts that a set of tokens is asked of.
        let mut requests = Vec::new();
        let missing = |(place, want): (&Place, &Want)| {
            if known[place].fault.is_some() {
                return None;
            }
            let missing: BTreeSet<TokenId> =
                want.chosen.iter().copied().filter(|token| !known[place].knows(*token)).collect();
            (!missing.is_empty()).then(|| (place.clone(), missing))
        };
        let missing: Vec<(Place, BTreeSet<TokenId>)> = wants.iter().filter_map(missing).collect();
        for group in missing.chunk_by(|a, b| a.0.0 == b.0.0) {
            if most == 1 {
                let tokens: BTreeSet<TokenId> =
                    group.iter().flat_map(|(_, missing)| missing.iter().copied()).collect();
                for token in tokens {
                    let asked: Vec<&Place> = group
                        .iter()
                        .filter(|(_, missing)| missing.contains(&token))
                        .map(|(place, _)| place)
                        .collect();
                    for part in asked.chunks(dialect.most_contexts()) {
                        requests.push(self.request(
                            part.iter().map(|place| (*place).clone()),
                            vec![token],
                            0,
                        ));
                    }
                }
                continue;
            }
            let mut places: Vec<Place> = Vec::new();
            let mut union: BTreeSet<TokenId> = BTreeSet::new();
            for (place, missing) in group {
                let n_new = missing.difference(&union).count();
                let is_full = union.len() + n_new > most || places.len() == dialect.most_contexts();
                if is_full && !places.is_empty() {
                    let gather = std::mem::take(&mut union).into_iter().collect();
                    requests.push(self.request(std::mem::take(&mut places).into_iter(), gather, 0));
                }
                places.push(place.clone());
                union.extend(missing);
            }
            if !places.is_empty() {
                requests.push(self.request(places.into_iter(), union.into_iter().collect(), 0));
            }
        }
        requests
    }

    fn request(&self, places: impl Iterator<Item = Place>, gather: Vec<TokenId>, top_k: usize) -> Request {
        let places: Vec<Place> = places.collect();
        let contexts = places.iter().map(|(_, path)| path.clone()).collect();
        (places, Next { contexts, gather, top_k, temperature: 1.0 })
    }

    /// Sends requests and takes down what they tell, or why a path has no answer.
    fn round(&self, requests: Vec<Request>, known: &mut BTreeMap<Place, Known>) -> Result<(), Error> {
        for (number, fault) in self.send(&requests, known)? {
            match &requests[number] {
                (places, _) if places.len() > 1 => self.send_one_by_one(&requests[number], &fault, known)?,
                (places, _) => known.entry(places[0].clone()).or_default().fault = Some(fault),
            }
        }
        Ok(())
    }

    /// Sends requests, takes down what they tell, and returns those that failed.
    fn send(
        &self,
        requests: &[Request],
        known: &mut BTreeMap<Place, Known>,
    ) -> Result<Vec<(usize, Error)>, Error> {
        let mut conversation = self.core.converse();
        for (places, next) in requests {
            let question = Question::Next(next.clone());
            let key = key_of(&self.nodes[places[0].0].path);
            conversation.ask(key, self.core.lane(&question), question);
        }
        let mut failed = Vec::new();
        while conversation.n_open() > 0 {
            let Some((number, ended)) = conversation.next(Duration::from_secs(1)) else { continue };
            let (places, next) = &requests[number];
            match ended {
                Ok(Answer::Next(tokens, _)) => {
                    for (place, token) in places.iter().zip(tokens) {
                        known.entry(place.clone()).or_default().learn(next, token);
                    }
                }
                Ok(Answer::Draws(..)) => {}
                Err(failure @ Failure::Item(_)) => failed.push((number, error_of(failure))),
                Err(stopped) => return Err(error_of(stopped)),
            }
        }
        Ok(failed)
    }

    /// Asks about the places of a request that failed one by one. Where the first two fail by themselves, the fault is that of all: failures in a
    /// row end a run.
    fn send_one_by_one(
        &self,
        (places, next): &Request,
        fault: &Error,
        known: &mut BTreeMap<Place, Known>,
    ) -> Result<(), Error> {
        let mut faults: Vec<Option<Error>> = Vec::with_capacity(places.len());
        for place in places {
            let alone = self.request([place.clone()].into_iter(), next.gather.clone(), next.top_k);
            faults.push(self.send(&[alone], known)?.pop().map(|(_, fault)| fault));
            if let [Some(_), Some(_)] = faults[..] {
                faults = vec![Some(fault.clone()); places.len()];
                break;
            }
        }
        for (place, fault) in places.iter().zip(faults) {
            known.entry(place.clone()).or_default().fault = fault;
        }
        Ok(())
    }

    /// Why a branch has no score: what was asked of it did not come.
    fn fault(&self, id: usize, branch: &Branch, known: &BTreeMap<Place, Known>) -> Option<Error> {
        let node = &self.nodes[id];
        let scored = (branch.token_scores == TokenScores::Logprobs).then(|| self.scored(node));
        let last = branch.next.as_ref().map(|_| node.path.len());
        let asked = scored.into_iter().flatten().chain(last);
        asked.filter_map(|n| known.get(&(node.root, node.path[..n].to_vec()))?.fault.clone()).next()
    }

    fn score(&self, id: usize, branch: &Branch, known: &BTreeMap<Place, Known>) -> BranchScore {
        let node = &self.nodes[id];
        let place = |n_tokens: usize| (node.root, node.path[..n_tokens].to_vec());
        let own = node.path.len() - node.n_own..node.path.len();
        let logprob = |at: usize| known.get(&place(at))?.of(node.path[at]);
        BranchScore {
            id: BranchId(id),
            token_logprobs: match branch.token_scores {
                TokenScores::None => Vec::new(),
                TokenScores::Logprobs => own.clone().map(logprob).collect(),
                TokenScores::Full => vec![None; node.n_own],
            },
            token_sharpness: if branch.token_scores == TokenScores::Full {
                vec![None; node.n_own]
            } else {
                Vec::new()
            },
            next: branch.next.as_ref().and_then(|request| {
                let known = known.get(&(node.root, node.path.clone()))?;
                Some(known.next_score(request, self.core.info.vocab_size))
            }),
        }
    }
}

impl TreeSession for Session<'_> {
    fn extend_each(&mut self, branches: &[Branch]) -> Each<BranchScore> {
        let first = self.nodes.len();
        let added = self.add(branches);
        let wants = self.wants(first, branches, &added);
        let known = self.ask(&wants).inspect_err(|_| self.nodes.truncate(first))?;
        let mut scores: Vec<Result<BranchScore, Error>> = Vec::with_capacity(branches.len());
        for ((id, branch), added) in (first..).zip(branches).zip(added) {
            let fault = added.err().or_else(|| branch.fault_of_parent(first, &scores));
            let fault = fault.or_else(|| self.fault(id, branch, &known));
            let score = fault.map_or_else(|| Ok(self.score(id, branch, &known)), Err);
            if score.is_err() {
                self.nodes[id] = Node::default();
            }
            scores.push(score);
        }
        Ok(scores)
    }

    fn truncate(&mut self, n_branches: usize) {
        self.nodes.truncate(n_branches);
    }

    fn n_branches(&self) -> usize {
        self.nodes.len()
    }
}

impl Known {
    fn learn(&mut self, asked: &Next, token: NextToken) {
        self.chosen.extend(asked.gather.iter().copied().zip(token.gather));
        if asked.top_k > 0 {
            self.top = token.top;
        }
    }

    fn of(&self, token: TokenId) -> Option<f64> {
        let listed = || self.top.iter().find(|entry| entry.0 == token).map(|entry| entry.1);
        self.chosen.get(&token).copied().or_else(listed)
    }

    fn knows(&self, token: TokenId) -> bool {
        self.of(token).is_some()
    }

    fn next_score(&self, request: &NextRequest, vocab_size: usize) -> NextScore {
        let mut told: BTreeMap<TokenId, f64> = self.top.iter().copied().collect();
        told.extend(&self.chosen);
        let rest = self.rest(&told, vocab_size);
        let entropy = (rest == Rest::Nothing).then(|| {
            told.values().filter(|logprob| logprob.is_finite()).map(|logprob| -logprob * logprob.exp()).sum()
        });
        let class_logmass = request.classes.as_ref().map_or_else(Vec::new, |classes| {
            let mut masses = vec![0.0; classes.n_classes];
            for (&token, logprob) in &told {
                masses[usize::from(classes.class_of[token as usize])] += logprob.exp();
            }
            masses.into_iter().map(f64::ln).collect()
        });
        let top = self.top.iter().copied().take(request.top_k).collect();
        let gather = request.gather.iter().map(|token| told.get(token).copied()).collect();
        NextScore { entropy, gather, class_logmass, top, rest }
    }

    /// Of what was not told: its mass is what is missing to one, and no more than as much as the last listed token for each.
    fn rest(&self, told: &BTreeMap<TokenId, f64>, vocab_size: usize) -> Rest {
        let n_tokens = vocab_size.saturating_sub(told.len());
        if n_tokens == 0 {
            return Rest::Nothing;
        }
        let missing = (1.0 - told.values().map(|logprob| logprob.exp()).sum::<f64>() + LOST).clamp(LOST, 1.0);
        let each = self.top.last().map_or(missing, |last| last.1.exp().min(missing));
        Rest::Unlisted {
            logmass: missing.min(each * n_tokens as f64).ln(),
            each_at_most: each.ln(),
            n_tokens,
        }
    }
}

/// The key of a context: what is asked about the same one goes to the same replica.
pub(crate) fn key_of(tokens: &[TokenId]) -> u64 {
    fnv1a(tokens.iter().flat_map(|token| token.to_le_bytes()))
}

/// A failure as engines report it.
pub(crate) fn error_of(failure: Failure) -> Error {
    match failure {
        Failure::Item(fault) => Error::Refused(fault.to_string()),
        Failure::Stopped(stopped) => Error::Unavailable(stopped.to_string()),
    }
}
