//! Drawing on a token tree: completions that grow from places of a session and become branches of it.
//!
//! A stem is a place with one random stream for each completion. What was run for the place is not run again, and a completion that is kept
//! is a branch from which others fork: a trace is written and measured on one tree. Where the stem's branch has more tokens, a completion that
//! draws those very tokens follows them.
//!
//! A watcher may pause a completion after any token ([`Watcher::pauses`]): its tokens so far are a branch, of which belief can be asked, and
//! [`SamplingSession::resume`] draws on, from the same stream and with the numbers that the completion would have had without the pause.
//!
//! [`generate`] makes requests of [`crate::Generate`] from it, so that an engine has one placement of tokens for both.

use crate::generate::{Place, RequestCompletions, Sampling};
use crate::{
    Branch, BranchId, Completion, Error, Fork, GenerateRequest, ModelInfo, More, Parent, TreeSession, Watcher,
};
use entrace_measure::TokenId;

/// Where completions grow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stem {
    /// The place after which they are drawn.
    pub from: Parent,
    /// Seeds of the random streams: one completion each.
    pub streams: Vec<u64>,
    /// Most tokens of a completion, where that is fewer than the sampling allows.
    pub max_new_tokens: Option<usize>,
    /// Whether completions become branches. One that is paused becomes one in any case.
    pub keep: bool,
}

/// A completion that was drawn on a tree.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampled {
    /// The completion, all of it where it was resumed.
    pub completion: Completion,
    /// The branch of its tokens, or of those since it was last paused; `None` where it is not kept.
    pub branch: Option<BranchId>,
    /// Whether it was paused and can be resumed by that branch. The reason why it ended says nothing then.
    pub is_paused: bool,
}

/// A token tree on which completions are drawn.
pub trait SamplingSession: TreeSession {
    /// Draws the completions of all stems, `[stem][stream]`. To the watcher the number of a stem is that of the request, its fork is 0. If
    /// anything fails, no branch is added.
    ///
    /// A completion that reaches the end of the context stops with [`entrace_measure::StopReason::Length`]; a place that leaves no room for a
    /// single token is [`Error::ContextTooLong`].
    fn sample(
        &mut self,
        stems: &[Stem],
        sampling: &Sampling,
        watcher: &mut dyn Watcher,
    ) -> Result<Vec<Vec<Sampled>>, Error>;

    /// Draws on where completions were paused, each named by its newest branch, in their order, which is their number to the watcher. What is
    /// drawn becomes a branch that forks from the newest one. The sampling must be the same as before. If anything fails, no branch is added,
    /// and the completions cannot be resumed any more.
    fn resume(
        &mut self,
        paused: &[BranchId],
        sampling: &Sampling,
        watcher: &mut dyn Watcher,
    ) -> Result<Vec<Sampled>, Error>;
}

/// Checks requests against a model, and that they leave room for a token.
pub fn check_requests(info: &ModelInfo, requests: &[GenerateRequest]) -> Result<(), Error> {
    let (limit, vocab_size) = (info.context_length, info.vocab_size);
    for (number, request) in requests.iter().enumerate() {
        let available = request.context.len();
        for (branch, fork) in request.forks.iter().enumerate() {
            if fork.n_tokens > available {
                return Err(Error::BadFork { branch, parent: number, n_tokens: fork.n_tokens, available });
            }
            let n_tokens = fork.n_tokens + fork.suffix.len();
            if n_tokens == 0 {
                return Err(Error::EmptyContext);
            }
            if n_tokens >= limit {
                return Err(Error::ContextTooLong { n_tokens: n_tokens + 1, limit });
            }
        }
        let mut tokens = request.forks.iter().flat_map(|fork| &fork.suffix).chain(&request.context);
        if let Some(&token) = tokens.find(|&&token| token as usize >= vocab_size) {
            return Err(Error::UnknownToken { token, vocab_size });
        }
    }
    Ok(())
}

/// Draws the completions of requests on an empty session of a model.
pub fn generate(
    session: &mut dyn SamplingSession,
    info: &ModelInfo,
    requests: &[GenerateRequest],
    sampling: &Sampling,
    watcher: &mut dyn Watcher,
) -> Result<Vec<RequestCompletions>, Error> {
    check_requests(info, requests)?;
    let (branches, stems) = planted(requests);
    session.extend(&branches)?;
    let forks =
        requests.iter().enumerate().flat_map(|(r, request)| (0..request.forks.len()).map(move |f| (r, f)));
    let mut watcher = OfRequests { forks: forks.collect(), watcher };
    let drawn = session.sample(&stems, sampling, &mut watcher)?;
    let completions = |sampled: Vec<Sampled>| sampled.into_iter().map(|sampled| sampled.completion).collect();
    let mut drawn = drawn.into_iter().map(completions);
    Ok(requests.iter().map(|request| drawn.by_ref().take(request.forks.len()).collect()).collect())
}

/// Contexts, as far as they are used, and suffixes as branches; a stem for each fork.
fn planted(requests: &[GenerateRequest]) -> (Vec<Branch>, Vec<Stem>) {
    let mut branches: Vec<Branch> = Vec::new();
    let mut add = |parent: Option<Parent>, tokens: &[TokenId]| {
        branches.push(Branch { parent, tokens: tokens.to_vec(), keep: true, ..Branch::default() });
        BranchId(branches.len() - 1)
    };
    let mut contexts = Vec::with_capacity(requests.len());
    for request in requests {
        let n_used = request.forks.iter().map(|fork| fork.n_tokens).max().unwrap_or(0);
        contexts.push((n_used > 0).then(|| add(None, &request.context[..n_used])));
    }
    let mut stems = Vec::new();
    for (request, context) in requests.iter().zip(contexts) {
        for Fork { n_tokens, suffix, streams, max_new_tokens } in &request.forks {
            let parent =
                context.filter(|_| *n_tokens > 0).map(|branch| Parent { branch, n_tokens: *n_tokens });
            let from = match parent {
                Some(parent) if suffix.is_empty() => parent,
                parent => Parent { branch: add(parent, suffix), n_tokens: suffix.len() },
            };
            let (streams, max_new_tokens) = (streams.clone(), *max_new_tokens);
            stems.push(Stem { from, streams, max_new_tokens, keep: false });
        }
    }
    (branches, stems)
}

/// A watcher of requests who watches stems.
struct OfRequests<'a> {
    /// Request and fork of each stem.
    forks: Vec<(usize, usize)>,
    watcher: &'a mut dyn Watcher,
}

impl OfRequests<'_> {
    fn place(&self, place: Place) -> Place {
        let (request, fork) = self.forks[place.request];
        Place { request, fork, stream: place.stream }
    }
}

impl Watcher for OfRequests<'_> {
    fn progress(&mut self, n_tokens: usize) -> bool {
        self.watcher.progress(n_tokens)
    }

    fn is_over(&mut self, place: Place, text: &str) -> bool {
        self.watcher.is_over(self.place(place), text)
    }

    fn ended(&mut self, place: Place, completion: &Completion) -> Vec<More> {
        let more = self.watcher.ended(self.place(place), completion).into_iter();
        let of_stem = |More { request, fork, streams }: More| {
            let stem = self.forks.iter().position(|&known| known == (request, fork))?;
            Some(More { request: stem, fork: 0, streams })
        };
        more.filter_map(of_stem).collect()
    }
}

/// A watcher who is told of progress alone.
pub struct Counting<'a>(pub &'a mut dyn FnMut(usize) -> bool);

impl Watcher for Counting<'_> {
    fn progress(&mut self, n_tokens: usize) -> bool {
        (self.0)(n_tokens)
    }
}
