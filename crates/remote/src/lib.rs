//! Engines over HTTP: vLLM, SGLang, llama.cpp's server, and others behind the OpenAI protocol.
//!
//! The only crate that knows what servers take and return, and that sees keys. `url` (addresses, secrets); `wire` (a question to JSON, JSON to a
//! checked answer); `http` (one exchange); `retry`, `schedule`, `pool` (many exchanges with some replicas); `probe` (what a server can do);
//! `engine`, `session`, `generate`, `chat` (the traits of `backend` over these); `fault` (what went wrong, by what can be done about it);
//! [`scripted`] is a server on loopback for tests. Blocking workers and channels, no asynchronous runtime.

mod chat;
mod engine;
mod fault;
mod generate;
mod http;
mod model_text;
mod pool;
mod probe;
mod retry;
mod schedule;
pub mod scripted;
mod session;
mod url;
pub mod wire;

pub use chat::Chats;
pub use engine::{Options, Remote, root_of_model};
pub use fault::{Fault, Stopped};
pub use model_text::ModelText;
pub use pool::{ReplicaStanding, Standing};
pub use probe::{Profile, Unfit};
pub use retry::Patience;
pub use url::{BadAddress, BadHeader, Endpoint, Headers, Secret};
