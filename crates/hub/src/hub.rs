//! A Hub: where it is, what is shown to it, where its files are kept.
//!
//! Variables are those of `huggingface_hub`: `HF_ENDPOINT`; `HF_TOKEN`, else the token that `hf auth login` stored (`HF_TOKEN_PATH`, else
//! `token` in `HF_HOME`); `HF_HUB_CACHE`, else `hub` in `HF_HOME`, else in `~/.cache/huggingface`; `HF_HUB_OFFLINE`;
//! `HF_HUB_DOWNLOAD_TIMEOUT`, the seconds after which a silent connection is given up.

use crate::error::Error;
use crate::http::Origin;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The Hub itself.
const ENDPOINT: &str = "https://huggingface.co";

/// A Hub and the cache of its files. There is no `Debug`, so that no message shows the token.
#[derive(Clone)]
pub struct Hub {
    /// Scheme, host and, if need be, a path, without a slash at the end.
    pub endpoint: String,
    /// Shown to the endpoint, and to no other host.
    pub token: Option<String>,
    /// The folder of the cache.
    pub cache: PathBuf,
    /// Whether only the cache may be used.
    pub offline: bool,
    /// How long to wait, and how often to try.
    pub patience: Patience,
    /// Bytes that are free on the disk of a folder.
    pub free_space: fn(&Path) -> io::Result<u64>,
}

/// How long to wait, and how often to try.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For the next bytes on a connection.
    pub read: Duration,
    /// Attempts at one thing without progress; an attempt that brought bytes starts the count anew.
    pub attempts: u32,
    /// Before the second attempt; doubled before each further one.
    pub backoff: Duration,
    /// The longest wait that a server may ask for.
    pub longest: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            read: Duration::from_secs(10),
            attempts: 4,
            backoff: Duration::from_millis(500),
            longest: Duration::from_secs(300),
        }
    }
}

impl Hub {
    /// The Hub at an address, with a cache, and without a token.
    pub fn new(endpoint: &str, cache: &Path) -> Self {
        Self {
            endpoint: endpoint.trim_end_matches('/').to_string(),
            token: None,
            cache: cache.to_path_buf(),
            offline: false,
            patience: Patience::default(),
            free_space: |folder| fs4::available_space(folder),
        }
    }

    /// The Hub that the environment names.
    pub fn from_env() -> Result<Self, Error> {
        Self::from_variables(|name| std::env::var(name).ok().filter(|value| !value.trim().is_empty()))
    }

    fn from_variables(variable: impl Fn(&'static str) -> Option<String>) -> Result<Self, Error> {
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.to_string());
        if Origin::of(&endpoint).is_none() {
            let problem = "expected an address such as https://huggingface.co";
            return Err(Error::Variable { name: "HF_ENDPOINT", value: endpoint, problem });
        }
        let home = variable("HF_HOME").map(|path| expanded(&path)).or_else(|| {
            let caches = variable("XDG_CACHE_HOME").map(|path| expanded(&path));
            Some(caches.or_else(|| Some(std::env::home_dir()?.join(".cache")))?.join("huggingface"))
        });
        let home = home.unwrap_or_else(|| PathBuf::from(".cache/huggingface"));
        let cache = variable("HF_HUB_CACHE").or_else(|| variable("HUGGINGFACE_HUB_CACHE"));
        let cache = cache.map_or_else(|| home.join("hub"), |path| expanded(&path));
        let stored = variable("HF_TOKEN_PATH").map_or_else(|| home.join("token"), |path| expanded(&path));
        let mut hub = Self::new(&endpoint, &cache);
        hub.token = token(variable("HF_TOKEN").or_else(|| std::fs::read_to_string(stored).ok()))?;
        hub.offline = variable("HF_HUB_OFFLINE")
            .is_some_and(|v| matches!(v.to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on"));
        if let Some(seconds) = variable("HF_HUB_DOWNLOAD_TIMEOUT") {
            hub.patience.read = seconds_of(seconds)?;
        }
        Ok(hub)
    }
}

/// A path in which `~` is the home folder.
fn expanded(path: &str) -> PathBuf {
    match (path.strip_prefix('~'), std::env::home_dir()) {
        (Some(""), Some(home)) => home,
        (Some(rest), Some(home)) if rest.starts_with('/') => home.join(&rest[1..]),
        _ => PathBuf::from(path),
    }
}

/// A token as a header can have it. The value is not repeated in messages.
fn token(text: Option<String>) -> Result<Option<String>, Error> {
    let token = text.map(|text| text.trim().to_string()).filter(|token| !token.is_empty());
    match token {
        Some(token) if !token.chars().all(|c| c.is_ascii_graphic()) => Err(Error::Variable {
            name: "HF_TOKEN",
            value: "…".into(),
            problem: "a token has no spaces or line breaks within it; the stored one is in the file `token` of HF_HOME",
        }),
        token => Ok(token),
    }
}

fn seconds_of(text: String) -> Result<Duration, Error> {
    match text.trim().parse::<u32>() {
        Ok(seconds) if seconds > 0 => Ok(Duration::from_secs(seconds.into())),
        _ => Err(Error::Variable {
            name: "HF_HUB_DOWNLOAD_TIMEOUT",
            value: text,
            problem: "expected a number of seconds, such as 10",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<Hub, Error> {
        Hub::from_variables(|name| {
            variables.iter().find(|(given, _)| *given == name).map(|(_, value)| value.to_string())
        })
    }

    #[test]
    fn the_cache_is_where_python_has_it() {
        let cache = |variables: &[(&str, &str)]| of(variables).unwrap().cache;
        assert_eq!(cache(&[("HF_HOME", "/h")]), Path::new("/h/hub"));
        assert_eq!(cache(&[("XDG_CACHE_HOME", "/x")]), Path::new("/x/huggingface/hub"));
        assert_eq!(cache(&[("HF_HOME", "/h"), ("HF_HUB_CACHE", "/c")]), Path::new("/c"));
        assert!(cache(&[]).ends_with(".cache/huggingface/hub"));
        assert!(!cache(&[("HF_HOME", "~/h")]).starts_with("~"));
    }

    #[test]
    fn the_token_is_given_or_stored() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("token"), "hf_stored\n").unwrap();
        std::fs::write(home.path().join("other"), "hf_other").unwrap();
        let (home, other) = (home.path().to_str().unwrap(), home.path().join("other"));
        let token = |variables: &[(&str, &str)]| of(variables).unwrap().token;
        assert_eq!(token(&[("HF_HOME", home)]).as_deref(), Some("hf_stored"));
        assert_eq!(token(&[("HF_HOME", home), ("HF_TOKEN", " hf_given ")]).as_deref(), Some("hf_given"));
        assert_eq!(token(&[("HF_TOKEN_PATH", other.to_str().unwrap())]).as_deref(), Some("hf_other"));
        assert_eq!(token(&[("HF_HOME", "/no/such/folder")]), None);
        let error = of(&[("HF_TOKEN", "hf_one hf_two")]).err().unwrap().to_string();
        assert!(error.contains("HF_TOKEN") && !error.contains("hf_one"), "{error}");
    }

    #[test]
    fn variables_that_cannot_be_used_are_named() {
        for (name, value) in [
            ("HF_ENDPOINT", "huggingface.co"),
            ("HF_ENDPOINT", "ftp://x"),
            ("HF_HUB_DOWNLOAD_TIMEOUT", "soon"),
        ] {
            assert!(of(&[(name, value)]).err().unwrap().to_string().contains(name));
        }
        assert_eq!(of(&[("HF_ENDPOINT", "http://127.0.0.1:1/")]).unwrap().endpoint, "http://127.0.0.1:1");
        assert!(of(&[("HF_HUB_OFFLINE", "1")]).unwrap().offline);
    }
}
