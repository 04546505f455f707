//! Servers that only chat, as an engine: replies to conversations, and nothing at a prefix of one.
//!
//! Hosted models mostly are such: no tokens, no log-probabilities worth the name, no going on from a text. Their tokenizer is not needed,
//! and often not to be had.

use crate::engine::{Network, Options, clients, wait_for};
use crate::http::Client;
use crate::model_text::CONTEXT_LENGTH;
use crate::pool::{Failure, Pool, Standing};
use crate::probe::{self, Profile, Unfit};
use crate::schedule::Lane;
use crate::session::error_of;
use crate::url::Endpoint;
use crate::wire::chat::Limit;
use crate::wire::{Answer, Dialect, Draw, Drawn, Question};
use entrace_backend::{Chat, ChatMessage, Decoded, Error, ModelInfo, Prompt, Reply, Sampling, Text};
use entrace_measure::seed::fnv1a;
use entrace_measure::{Thoughts, TokenId};
use std::sync::Arc;
use std::time::Duration;

/// Longest time between two looks at whether to stop.
const GLANCE: Duration = Duration::from_millis(100);

/// A model of which servers tell its replies and no more.
pub struct Chats {
    pool: Arc<Pool>,
    profile: Profile,
    info: ModelInfo,
    thoughts: Thoughts,
}

impl Chats {
    /// Waits for the servers and makes an engine of them if they only chat; `None` where they complete prompts, so that more can be asked.
    ///
    /// # Errors
    /// Where a server cannot be reached in time, refuses us, or does neither.
    pub fn connect(options: &Options) -> Result<Option<Self>, Unfit> {
        let clients = clients(options);
        wait_for(&clients, options.wait)?;
        let mut found: Option<(Profile, Limit)> = None;
        for client in &clients {
            let Some((profile, limit)) = probe::chat(client, &options.patience)? else { return Ok(None) };
            let (first, _) = found.get_or_insert_with(|| (profile.clone(), limit));
            if first.model != profile.model {
                return Err(Unfit::Refused(format!(
                    "replicas must be alike: one serves {}, another {}",
                    first.model, profile.model
                )));
            }
        }
        let Some((profile, limit)) = found else {
            return Err(Unfit::Refused("no server was named".into()));
        };
        Ok(Some(Self::of(options, clients, profile, limit)))
    }

    fn of(options: &Options, clients: Vec<Client>, profile: Profile, limit: Limit) -> Self {
        let info = ModelInfo {
            name: profile.model.clone(),
            architecture: "remote".into(),
            n_parameters: profile.n_parameters,
            dtype: "unknown".into(),
            device: "chat".into(),
            context_length: profile.context_length.unwrap_or(CONTEXT_LENGTH),
            vocab_size: 0,
            n_layers: None,
            model_hash: None,
            tokenizer_hash: None,
            template_hash: None,
        };
        let names: Vec<String> = options.replicas.iter().map(Endpoint::base).collect();
        let network = Network {
            clients,
            dialect: Dialect::Chat { limit },
            model: profile.model.clone(),
            vocab_size: 0,
            patience: options.patience,
        };
        let pool = Arc::new(Pool::new(&names, Arc::new(network), options.patience));
        Self { pool, profile, info, thoughts: Thoughts::default() }
    }

    /// What was found out about the servers.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Tells the state of the servers, from any thread and for as long as it is kept.
    pub fn standing(&self) -> impl Fn() -> Standing + Send + Sync + 'static {
        let pool = Arc::downgrade(&self.pool);
        move || pool.upgrade().map(|pool| pool.standing()).unwrap_or_default()
    }
}

impl Chat for Chats {
    fn reply(
        &self,
        conversations: &[&[ChatMessage]],
        sampling: &Sampling,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Vec<Result<Reply, Error>>, Error> {
        let mut conversation = self.pool.converse();
        for messages in conversations {
            let key = fnv1a(messages.iter().flat_map(|message| message.content.bytes()));
            let draw = Draw {
                context: Vec::new(),
                text: None,
                messages: messages.to_vec(),
                n: 1,
                sampling: sampling.clone(),
                seed: None,
            };
            conversation.ask(key, Lane::Any, Question::Draw(draw));
        }
        let mut replies: Vec<Option<Result<Reply, Error>>> = conversations.iter().map(|_| None).collect();
        while conversation.n_open() > 0 {
            let Some((number, ended)) = conversation.next(GLANCE) else {
                if !progress(0) {
                    return Err(Error::engine("interrupted"));
                }
                continue;
            };
            replies[number] = Some(match ended {
                Ok(Answer::Draws(mut drawn, usage)) if drawn.len() == 1 => {
                    if !progress(usage.completion_tokens) {
                        return Err(Error::engine("interrupted"));
                    }
                    let Drawn { text, stop_reason, .. } = drawn.remove(0);
                    let (n_prompt_tokens, n_tokens) = (usage.prompt_tokens, usage.completion_tokens);
                    Ok(Reply { text, stop_reason, n_prompt_tokens, n_tokens })
                }
                Ok(_) => Err(Error::Refused("another answer came than was asked for".into())),
                Err(failure @ Failure::Item(_)) => Err(error_of(failure)),
                Err(stopped) => return Err(error_of(stopped)),
            });
        }
        let all: Option<Vec<_>> = replies.into_iter().collect();
        all.ok_or_else(|| Error::engine("a reply did not come"))
    }
}

/// Why there are no tokens.
fn no_tokens<T>() -> Result<T, Error> {
    Err(Error::Unencodable("be asked: the server only chats, and says nothing of its tokens".into()))
}

/// Of a text side it has the marks of thoughts alone: conversations are rendered by the server, and tokens are unknown.
impl Text for Chats {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn encode_prompt(&self, _: &str) -> Result<Prompt, Error> {
        no_tokens()
    }

    fn encode_plain(&self, _: &str) -> Result<Vec<TokenId>, Error> {
        no_tokens()
    }

    fn encode_completion(&self, _: &str) -> Result<Vec<TokenId>, Error> {
        no_tokens()
    }

    fn thoughts(&self) -> &Thoughts {
        &self.thoughts
    }

    fn has_chat_template(&self) -> bool {
        true
    }

    fn render_chat(&self, _: &[ChatMessage]) -> Result<Prompt, Error> {
        Err(Error::NoTemplate)
    }

    fn decode(&self, _: &[TokenId]) -> Decoded {
        Decoded { text: String::new(), token_ends: Vec::new() }
    }

    fn token_text(&self, _: TokenId) -> String {
        String::new()
    }

    fn stop_tokens(&self) -> &[TokenId] {
        &[]
    }
}
