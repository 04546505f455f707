//! Files of Hugging Face repositories, from the cache or the network.
//!
//! A repository is named `org/name[@revision]`, and a GGUF file in one `org/name:QUANTISATION` or `org/name/file.gguf`. What comes back is a
//! path in the cache that the Python library `huggingface_hub` shares: either finds what the other downloaded.
//!
//! In reading order: `name` (what the user writes); `hub` (endpoint, token, cache and patience, from the environment); `fetch` (the flow:
//! listing, choice of files, download, snapshot); `choice` (which files of a listing are wanted); `listing` (what the Hub says of a
//! repository and its files); `download` (one file, resumed and verified); `http` (requests, redirects, the token); `retry`; `refusal` (the
//! Hub's own words); `digest` (what an ETag promises); `cache` (the layout on disk); `progress` (what a caller may show). [`scripted`] is a
//! Hub on loopback for tests, with the faults of a real one.
//!
//! Each of these holds on every path: the token goes to the endpoint and to no other host; nothing that a server sends becomes part of a path
//! before it has been checked; a file is in the cache whole and verified or not at all; a snapshot gains its files only once all are there.
//!
//! The crate does its own requests over `ureq`. `hf-hub` 0.5 sends the token along on redirects and neither resumes nor retries, and 1.0
//! brings an asynchronous runtime and Xet: some 320 crates.

mod cache;
mod choice;
mod digest;
mod download;
mod error;
mod fetch;
mod http;
mod hub;
mod listing;
mod name;
mod progress;
mod refusal;
mod retry;
pub mod scripted;
#[cfg(test)]
mod tests;

pub use choice::Part;
pub use error::Error;
pub use fetch::Fetched;
pub use hub::{Hub, Patience};
pub use name::{Gguf, Kind, Name};
pub use progress::{Event, Observer, Silent};
pub use refusal::{Asked, Reason, Refusal};
