//! A model behind servers, as an engine.

use crate::http::Client;
use crate::pool::{Conversation, Pool, Standing, Transport};
use crate::probe::{self, Profile, Unfit};
use crate::retry::Patience;
use crate::schedule::Lane;
use crate::session::Session;
use crate::url::{Endpoint, Headers};
use crate::wire::{Answer, Dialect, Path, Question};
use crate::{Fault, generate};
use entrace_backend::generate::RequestCompletions;
use entrace_backend::{
    ChatMessage, Decoded, Each, Error, Generate, GenerateRequest, ModelInfo, Prompt, Reach, Sampling,
    ScoreTree, Text, TreeSession, Watcher,
};
use entrace_measure::{Thoughts, TokenId};
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Servers of one model, and how they are asked.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where they are.
    pub replicas: Vec<Endpoint>,
    /// What they are shown.
    pub headers: Headers,
    /// How patient we are.
    pub patience: Patience,
    /// How long to wait for the first answer of each, so that servers may be started at the same time as we are.
    pub wait: Duration,
}

/// A model behind servers, with its text side in this process.
pub struct Remote<T> {
    pub(crate) core: Core,
    text: T,
}

/// What there is of a model besides its text side.
pub(crate) struct Core {
    pool: Arc<Pool>,
    pub(crate) profile: Profile,
    pub(crate) info: ModelInfo,
}

/// The network as the pool sees it.
pub(crate) struct Network {
    pub(crate) clients: Vec<Client>,
    pub(crate) dialect: Dialect,
    pub(crate) model: String,
    pub(crate) vocab_size: usize,
    pub(crate) patience: Patience,
}

impl Transport for Network {
    fn ask(&self, replica: usize, question: &Question) -> Result<Answer, Fault> {
        let client = &self.clients[replica];
        let call = self.dialect.call(&self.model, question);
        let wait = match question {
            Question::Next(_) => self.patience.read,
            Question::Draw(draw) => {
                let (begin, token) = self.patience.draw;
                begin + token.saturating_mul(u32::try_from(draw.sampling.max_new_tokens).unwrap_or(u32::MAX))
            }
        };
        let body = client.post(call.path, &call.body, wait)?;
        let named = |fault| match fault {
            Fault::Wrong { problem } => {
                Fault::Wrong { problem: format!("{}: {problem}", client.endpoint().base()) }
            }
            Fault::Broken { problem } => {
                Fault::Broken { problem: format!("{}: {problem}", client.endpoint().base()) }
            }
            fault => fault,
        };
        self.dialect.read(question, &body, Some(self.vocab_size)).map_err(named)
    }

    fn is_alive(&self, replica: usize) -> bool {
        self.clients[replica].is_alive()
    }
}

impl<T> Remote<T>
where
    T: Deref<Target: Text + Sized> + Send + Sync,
{
    /// Waits for the servers, finds out what they can do, and makes an engine of them. `text` is the text side of their model.
    ///
    /// # Errors
    /// Where a server cannot be reached in time, refuses us, serves another model than the others, or gives numbers that cannot be right.
    pub fn connect(options: &Options, text: T) -> Result<Self, Unfit> {
        let clients = clients(options);
        wait_for(&clients, options.wait)?;
        let mut profiles = Vec::new();
        for client in &clients {
            profiles.push(probe::probe(client, &*text, &options.patience)?);
        }
        let profile = alike(&clients, profiles)?;
        let own = text.info();
        let info = ModelInfo {
            name: profile.model.clone(),
            architecture: "remote".into(),
            n_parameters: profile.n_parameters,
            dtype: "unknown".into(),
            device: profile.dialect.map_or("chat", Dialect::name).into(),
            context_length: profile.context_length.unwrap_or(own.context_length),
            n_layers: None,
            model_hash: None,
            ..own.clone()
        };
        let names: Vec<String> = options.replicas.iter().map(Endpoint::base).collect();
        let network = Network {
            clients,
            dialect: profile.dialect.unwrap_or(Dialect::Completions { token_ids: false, neutral: false }),
            model: profile.model.clone(),
            vocab_size: own.vocab_size,
            patience: options.patience,
        };
        let pool = Arc::new(Pool::new(&names, Arc::new(network), options.patience));
        Ok(Self { core: Core { pool, profile, info }, text })
    }

    /// Itself as a generator, if completions can be drawn.
    pub fn generator(&self) -> Option<&dyn Generate> {
        self.core.profile.draws().then_some(self as &dyn Generate)
    }

    /// Itself as a scorer, if next tokens can be scored.
    pub fn scorer(&self) -> Option<&dyn ScoreTree> {
        self.core.profile.scores().then_some(self as &dyn ScoreTree)
    }
}

impl<T> Remote<T> {
    /// What was found out about the servers.
    pub fn profile(&self) -> &Profile {
        &self.core.profile
    }

    /// Tells the state of the servers, from any thread and for as long as it is kept.
    pub fn standing(&self) -> impl Fn() -> Standing + Send + Sync + 'static {
        let pool = Arc::downgrade(&self.core.pool);
        move || pool.upgrade().map(|pool| pool.standing()).unwrap_or_default()
    }

    /// The text side.
    pub fn text(&self) -> &T {
        &self.text
    }

    /// The text side, to set what its template sees.
    pub fn text_mut(&mut self) -> &mut T {
        &mut self.text
    }
}

impl Core {
    pub(crate) fn converse(&self) -> Conversation {
        self.pool.converse()
    }

    /// The lane of a question, which matters where servers mix requests up.
    pub(crate) fn lane(&self, question: &Question) -> Lane {
        match (self.profile.dialect, question) {
            (Some(Dialect::Vllm), Question::Next(next)) if next.gather.is_empty() => Lane::Likely,
            (Some(Dialect::Vllm), Question::Next(_)) => Lane::Chosen,
            _ => Lane::Any,
        }
    }
}

/// Where a server says that its model came from: a path or a name on the Hub.
///
/// # Errors
/// As [`Remote::connect`].
pub fn root_of_model(options: &Options) -> Result<Option<String>, Unfit> {
    let clients = clients(options);
    wait_for(&clients, options.wait)?;
    clients.first().map_or(Ok(None), probe::root)
}

pub(crate) fn clients(options: &Options) -> Vec<Client> {
    options.replicas.iter().map(|endpoint| Client::new(endpoint.clone(), options.headers.clone())).collect()
}

/// Waits until every server answers.
pub(crate) fn wait_for(clients: &[Client], wait: Duration) -> Result<(), Unfit> {
    let began = Instant::now();
    for client in clients {
        loop {
            match client.get(Path::Below("/models"), Duration::from_secs(10)) {
                Ok(_) => break,
                Err(fault @ Fault::Refused { .. }) => return Err(fault.into()),
                Err(_) if began.elapsed() < wait => std::thread::sleep(Duration::from_millis(500)),
                Err(fault) => {
                    return Err(Unfit::Unreachable(format!("{fault}")));
                }
            }
        }
    }
    Ok(())
}

/// What all servers can do, if they serve one model in one way.
fn alike(clients: &[Client], profiles: Vec<Profile>) -> Result<Profile, Unfit> {
    let mut all = profiles.into_iter();
    let Some(mut first) = all.next() else { return Err(Unfit::Refused("no server was named".into())) };
    for (client, other) in clients[1..].iter().zip(all) {
        for (what, a, b) in [
            ("model", first.model.clone(), other.model.clone()),
            (
                "protocol",
                first.dialect.map_or("chat", Dialect::name).into(),
                other.dialect.map_or("chat", Dialect::name).into(),
            ),
        ] {
            if a != b {
                let (one, two) = (clients[0].endpoint().base(), client.endpoint().base());
                return Err(Unfit::Refused(format!(
                    "replicas must be alike: the {what} of {one} is {a} and that of {two} {b}"
                )));
            }
        }
        first.context_length = first.context_length.into_iter().chain(other.context_length).min();
        first.top_k = first.top_k.min(other.top_k);
        first.gather = first.gather.min(other.gather);
        first.n_at_once = first.n_at_once.min(other.n_at_once);
        first.draws_are_copies |= other.draws_are_copies;
        first.is_raw = first.is_raw.zip(other.is_raw).map(|(a, b)| a && b);
    }
    Ok(first)
}

impl<T: Deref<Target: Text + Sized> + Send + Sync> Text for Remote<T> {
    fn info(&self) -> &ModelInfo {
        &self.core.info
    }

    fn encode_prompt(&self, text: &str) -> Result<Prompt, Error> {
        self.text.encode_prompt(text)
    }

    fn encode_plain(&self, text: &str) -> Result<Vec<TokenId>, Error> {
        self.text.encode_plain(text)
    }

    fn encode_completion(&self, text: &str) -> Result<Vec<TokenId>, Error> {
        self.text.encode_completion(text)
    }

    fn thoughts(&self) -> &Thoughts {
        self.text.thoughts()
    }

    fn has_chat_template(&self) -> bool {
        self.text.has_chat_template()
    }

    fn render_chat(&self, messages: &[ChatMessage]) -> Result<Prompt, Error> {
        self.text.render_chat(messages)
    }

    fn decode(&self, token_ids: &[TokenId]) -> Decoded {
        self.text.decode(token_ids)
    }

    fn spell(&self, token_ids: &[TokenId]) -> String {
        self.text.spell(token_ids)
    }

    fn token_text(&self, token: TokenId) -> String {
        self.text.token_text(token)
    }

    fn max_token_bytes(&self) -> Option<usize> {
        self.text.max_token_bytes()
    }

    fn stop_tokens(&self) -> &[TokenId] {
        self.text.stop_tokens()
    }
}

impl<T: Deref<Target: Text + Sized> + Send + Sync> ScoreTree for Remote<T> {
    fn session(&self) -> Result<Box<dyn TreeSession + '_>, Error> {
        Ok(Box::new(Session::new(&self.core)))
    }

    fn reach(&self) -> Reach {
        let profile = &self.core.profile;
        if profile.top_k >= self.core.info.vocab_size {
            return Reach::WHOLE;
        }
        Reach { top_k: Some(profile.top_k), gather: Some(profile.gather) }
    }

    fn holds(&self) -> usize {
        usize::MAX
    }
}

impl<T: Deref<Target: Text + Sized> + Send + Sync> Generate for Remote<T> {
    fn generate_each(
        &self,
        requests: &[GenerateRequest],
        sampling: &Sampling,
        watcher: &mut dyn Watcher,
    ) -> Each<RequestCompletions> {
        generate::generate(&self.core, &*self.text, requests, sampling, watcher)
    }
}
