//! Servers on loopback for tests: a scripted model behind the protocols of vLLM, SGLang, llama.cpp and OpenAI, with faults on request.
//!
//! What a server says follows from its [`Oracle`] by definition, so that answers over HTTP can be compared with the model itself. It counts
//! requests and tokens, keeps a prefix cache of blocks as vLLM does (the tokens in it are counted, nothing is saved), and can be told to
//! misbehave in every way that clients have met: see [`Mischief`].

mod dialects;
mod http;
mod sampling;

use entrace_backend::scripted::{Scripted, SpecialToken};
use entrace_backend::{Error, Text};
use entrace_measure::TokenId;
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A model behind a server.
pub trait Oracle: Send + Sync {
    /// Number of tokens.
    fn vocab_size(&self) -> usize;
    /// Probabilities of the token after `tokens`.
    fn next(&self, tokens: &[TokenId]) -> Result<Vec<f64>, Error>;
    /// Tokens of a text.
    fn encode(&self, text: &str) -> Result<Vec<TokenId>, Error>;
    /// Text of tokens.
    fn decode(&self, tokens: &[TokenId]) -> String;
    /// Tokens that end a turn.
    fn stop_tokens(&self) -> Vec<TokenId>;
    /// Most tokens of a context.
    fn context_length(&self) -> usize;
    /// Tokens of a prompt in which special tokens are spelled out. None is put in front.
    fn encode_prompt(&self, text: &str) -> Result<Vec<TokenId>, Error> {
        self.encode(text)
    }
}

impl Oracle for Scripted {
    fn vocab_size(&self) -> usize {
        self.vocabulary().len()
    }

    fn next(&self, tokens: &[TokenId]) -> Result<Vec<f64>, Error> {
        self.distribution(tokens)
    }

    fn encode(&self, text: &str) -> Result<Vec<TokenId>, Error> {
        self.encode_plain(text)
    }

    fn decode(&self, tokens: &[TokenId]) -> String {
        Text::decode(self, tokens).text
    }

    fn stop_tokens(&self) -> Vec<TokenId> {
        Text::stop_tokens(self).to_vec()
    }

    fn context_length(&self) -> usize {
        self.info().context_length
    }

    fn encode_prompt(&self, text: &str) -> Result<Vec<TokenId>, Error> {
        let mut tokens = Text::encode_prompt(self, text)?.token_ids;
        let has_begin = self.vocabulary().special(SpecialToken::Begin).is_some();
        if has_begin && !text.starts_with(SpecialToken::Begin.text()) {
            tokens.remove(0);
        }
        Ok(tokens)
    }
}

/// What a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// vLLM.
    Vllm,
    /// SGLang.
    Sglang,
    /// llama.cpp's server.
    LlamaServer,
    /// Completions with log-probabilities by text. `true` takes tokens as prompts, as hosted APIs do; `false` is llama-cpp-python: text alone,
    /// one draw whatever `n` is, and draws that are narrowed and penalised unless it is told not to.
    Completions(bool),
    /// Chat alone.
    Chat,
}

/// What becomes of seeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seeds {
    /// Equal seeds give equal draws.
    Honoured,
    /// They change nothing.
    Ignored,
    /// Every request has the same one.
    Fixed,
}

/// How a server behaves.
#[derive(Debug, Clone)]
pub struct Behaviour {
    /// Its protocol.
    pub speaks: Speaks,
    /// Name of its model.
    pub name: String,
    /// How long each request takes.
    pub latency: Duration,
    /// Requests that run at once; others wait.
    pub slots: usize,
    /// Requests at once beyond which it answers 429.
    pub most: usize,
    /// Most tokens that it lists.
    pub most_listed: usize,
    /// The key that it asks for.
    pub key: Option<String>,
    /// What becomes of seeds.
    pub seeds: Seeds,
    /// Whether requests for chosen tokens corrupt lists that are asked for at the same time, as vLLM's V1 runner does.
    pub mixes_up: bool,
    /// Whether log-probabilities of next tokens are those at the temperature of the request.
    pub tempered: bool,
    /// The token that it puts in front of every prompt that is text.
    pub begin: Option<TokenId>,
}

impl Behaviour {
    /// A quick server that does as it should.
    pub fn new(speaks: Speaks) -> Self {
        Self {
            speaks,
            name: "scripted".into(),
            latency: Duration::ZERO,
            slots: 64,
            most: usize::MAX,
            most_listed: 20,
            key: None,
            seeds: Seeds::Honoured,
            mixes_up: false,
            tempered: false,
            begin: None,
        }
    }
}

/// What goes wrong with a request.
pub enum Mischief {
    /// The connection is closed before anything is said.
    Reset,
    /// Nothing is said for so long, and then the connection is closed.
    Hang(Duration),
    /// A status with headers and a body.
    Status(u16, Vec<(String, String)>, String),
    /// The body ends after so many bytes, though its length was stated.
    Cut(usize),
    /// The body ends after so many bytes, and its stated length is that.
    Truncated(usize),
    /// Another body in the place of the right one.
    Body(String),
    /// The right answer, changed.
    Change(Box<dyn FnOnce(&mut Value) + Send>),
    /// The right answer, changed as text.
    Text(Box<dyn FnOnce(String) -> String + Send>),
    /// The request is answered as if it had no such field.
    Ignore(&'static str),
}

/// A request that came in.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Its number, counted from 0.
    pub number: usize,
    /// Its path.
    pub path: String,
    /// Its body; null without one.
    pub body: Value,
    /// The value of `Authorization`.
    pub authorization: Option<String>,
}

/// What a server has counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counted {
    /// Requests by path.
    pub requests: BTreeMap<String, usize>,
    /// Sequences of all requests.
    pub sequences: usize,
    /// Tokens of their contexts.
    pub prompt_tokens: usize,
    /// Of these, tokens that were not in the prefix cache.
    pub prefilled_tokens: usize,
    /// Tokens drawn.
    pub drawn_tokens: usize,
    /// Most requests that ran at once.
    pub most_at_once: usize,
}

type Plot = Box<dyn FnMut(&Seen) -> Option<Mischief> + Send>;

/// Tokens in a block of the prefix cache.
pub const BLOCK: usize = 16;

struct Shared {
    oracle: Arc<dyn Oracle>,
    behaviour: Behaviour,
    plot: Mutex<Option<Plot>>,
    counted: Mutex<Counted>,
    cache: Mutex<HashSet<Vec<TokenId>>>,
    slots: (Mutex<usize>, Condvar),
    n_running: AtomicUsize,
    n_choosing: AtomicUsize,
    n_seen: AtomicUsize,
    /// How many completions each context has had: what is drawn after it does not depend on when others are asked for.
    n_drawn: Mutex<BTreeMap<Vec<TokenId>, u64>>,
    /// Whether it refuses every connection, as a server does that has died.
    is_dead: AtomicBool,
    ends: AtomicBool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A server that runs until it is dropped.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Server {
    /// Starts one on a free port.
    ///
    /// # Panics
    /// Where loopback has no free port.
    #[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    pub fn start(oracle: Arc<dyn Oracle>, behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            oracle,
            slots: (Mutex::new(behaviour.slots), Condvar::new()),
            behaviour,
            plot: Mutex::new(None),
            counted: Mutex::default(),
            cache: Mutex::default(),
            n_running: AtomicUsize::new(0),
            n_choosing: AtomicUsize::new(0),
            n_seen: AtomicUsize::new(0),
            n_drawn: Mutex::default(),
            is_dead: AtomicBool::new(false),
            ends: AtomicBool::new(false),
        });
        let served = Arc::clone(&shared);
        std::thread::spawn(move || http::listen(&listener, &served));
        Self { address, shared }
    }

    /// Its address as `--model` takes it, without a name.
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Decides from now on what goes wrong with each request.
    pub fn misbehave(&self, plot: impl FnMut(&Seen) -> Option<Mischief> + Send + 'static) {
        *locked(&self.shared.plot) = Some(Box::new(plot));
    }

    /// Does as it should from now on.
    pub fn behave(&self) {
        *locked(&self.shared.plot) = None;
    }

    /// Dies: connections break, and new ones with them.
    pub fn die(&self) {
        self.shared.is_dead.store(true, Ordering::SeqCst);
    }

    /// Comes back.
    pub fn come_back(&self) {
        self.shared.is_dead.store(false, Ordering::SeqCst);
    }

    /// What it has counted since it was last asked to forget.
    pub fn counted(&self) -> Counted {
        locked(&self.shared.counted).clone()
    }

    /// Forgets counts and cache.
    pub fn forget(&self) {
        *locked(&self.shared.counted) = Counted::default();
        locked(&self.shared.cache).clear();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::SeqCst);
        // Wakes the listener; where that fails it has ended already.
        let _ = std::net::TcpStream::connect(self.address);
    }
}

impl Shared {
    /// Takes note of a context: how many of its tokens are in the prefix cache. The last token is always run.
    fn prefill(&self, context: &[TokenId]) -> usize {
        let mut cache = locked(&self.cache);
        let whole = context.len().saturating_sub(1) / BLOCK;
        let cached =
            (0..=whole).rev().find(|&n| n == 0 || cache.contains(&context[..n * BLOCK])).unwrap_or(0) * BLOCK;
        for n in 1..=context.len() / BLOCK {
            cache.insert(context[..n * BLOCK].to_vec());
        }
        let mut counted = locked(&self.counted);
        counted.sequences += 1;
        counted.prompt_tokens += context.len();
        counted.prefilled_tokens += context.len() - cached;
        cached
    }
}
