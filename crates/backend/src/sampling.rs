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
    Branch, BranchId, Completion, Each, Error, Fork, GenerateRequest, ModelInfo, More, Parent, TreeSession,
    Watcher,
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
    /// Draws the completions of each stem, `[stem][stream]`. To the watcher the number of a stem is that of the request, its fork is 0. A stem at
    /// fault, or one of whose completions could not be drawn, has an error in its place. After an error of the whole call nothing is added.
    ///
    /// A completion that reaches the end of the context stops with [`entrace_measure::StopReason::Length`]; a place that leaves no room for a
    /// single token is [`Error::ContextTooLong`].
    fn sample(
        &mut self,
        stems: &[Stem],
        sampling: &Sampling,
        watcher: &mut dyn Watcher,
    ) -> Each<Vec<Sampled>>;

    /// Draws on where completions were paused, each named by its newest branch, in their order, which is their number to the watcher. What is
    /// drawn becomes a branch that forks from the newest one. The sampling must be the same as before. A completion that fails, and after an
    /// error of the whole call each of them, cannot be resumed any more.
    fn resume(
        &mut self,
        paused: &[BranchId],
        sampling: &Sampling,
        watcher: &mut dyn Watcher,
    ) -> Each<Sampled>;
}

/// Checks the request of this number in a call against a model, and that it leaves room for a token.
pub fn check_request(info: &ModelInfo, number: usize, request: &GenerateRequest) -> Result<(), Error> {
    let (limit, vocab_size) = (info.context_length, info.vocab_size);
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
    match tokens.find(|&&token| token as usize >= vocab_size) {
        Some(&token) => Err(Error::UnknownToken { token, vocab_size }),
        None => Ok(()),
    }
}

/// Draws the completions of requests on an empty session of a model.
pub fn generate(
    session: &mut dyn SamplingSession,
    info: &ModelInfo,
    requests: &[GenerateRequest],
    sampling: &Sampling,
    watcher: &mut dyn Watcher,
) -> Each<RequestCompletions> {
    let mut faults: Vec<Option<Error>> = (requests.iter().enumerate())
        .map(|(number, request)| check_request(info, number, request).err())
        .collect();
    let mut planted = Planted::of(requests, &faults);
    for (&request, score) in planted.owners.iter().zip(session.extend_each(&planted.branches)?) {
        faults[request] = faults[request].take().or(score.err());
    }
    planted.stems.retain(|(place, _)| faults[place.request].is_none());
    let (places, stems): (Vec<Place>, Vec<Stem>) = planted.stems.into_iter().unzip();
    let drawn = session.sample(&stems, sampling, &mut OfRequests { places: &places, watcher })?;
    let mut completions: Vec<RequestCompletions> = requests.iter().map(|_| Vec::new()).collect();
    for (place, sampled) in places.into_iter().zip(drawn) {
        match sampled {
            Ok(sampled) => completions[place.request]
                .push(sampled.into_iter().map(|sampled| sampled.completion).collect()),
            Err(error) => faults[place.request] = faults[place.request].take().or(Some(error)),
        }
    }
    Ok(completions.into_iter().zip(faults).map(|(found, fault)| fault.map_or(Ok(found), Err)).collect())
}

/// Contexts, as far as they are used, and suffixes as branches; a stem for each fork. Of requests that have a fault there is nothing.
#[derive(Default)]
struct Planted {
    branches: Vec<Branch>,
    /// The request of each branch.
    owners: Vec<usize>,
    /// Each stem with its request and fork.
    stems: Vec<(Place, Stem)>,
}

impl Planted {
    fn of(requests: &[GenerateRequest], faults: &[Option<Error>]) -> Self {
        let mut planted = Self::default();
        let sound = |&(number, _): &(usize, &GenerateRequest)| faults[number].is_none();
        let mut contexts = Vec::new();
        for (number, request) in requests.iter().enumerate().filter(sound) {
            let n_used = request.forks.iter().map(|fork| fork.n_tokens).max().unwrap_or(0);
            contexts.push((n_used > 0).then(|| planted.add(number, None, &request.context[..n_used])));
        }
        for ((number, request), context) in requests.iter().enumerate().filter(sound).zip(contexts) {
            for (fork, asked) in request.forks.iter().enumerate() {
                planted.add_stem(Place { request: number, fork, stream: 0 }, asked, context);
            }
        }
        planted
    }

    fn add(&mut self, request: usize, parent: Option<Parent>, tokens: &[TokenId]) -> BranchId {
        self.branches.push(Branch { parent, tokens: tokens.to_vec(), keep: true, ..Branch::default() });
        self.owners.push(request);
        BranchId(self.branches.len() - 1)
    }

    fn add_stem(&mut self, place: Place, fork: &Fork, context: Option<BranchId>) {
        let Fork { n_tokens, suffix, streams, max_new_tokens } = fork;
        let parent = context.filter(|_| *n_tokens > 0).map(|branch| Parent { branch, n_tokens: *n_tokens });
        let from = match parent {
            Some(parent) if suffix.is_empty() => parent,
            parent => Parent { branch: self.add(place.request, parent, suffix), n_tokens: suffix.len() },
        };
        let (streams, max_new_tokens) = (streams.clone(), *max_new_tokens);
        self.stems.push((place, Stem { from, streams, max_new_tokens, keep: false }));
    }
}

/// A watcher of requests who watches stems.
struct OfRequests<'a> {
    /// Request and fork of each stem.
    places: &'a [Place],
    watcher: &'a mut dyn Watcher,
}

impl OfRequests<'_> {
    fn place(&self, place: Place) -> Place {
        Place { stream: place.stream, ..self.places[place.request] }
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
            let stem = self.places.iter().position(|known| (known.request, known.fork) == (request, fork))?;
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
