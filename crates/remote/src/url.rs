//! Where a server is, and what it must be shown and nobody else.
//!
//! `http://host:port/v1#name` is the address of an API and the name of a model there; without a name the server's only model is meant. An
//! address with a user, a password or a query is refused, because addresses are printed and recorded. Keys are [`Secret`]s: they cannot be
//! printed, and text that a server sends is scrubbed of them before it becomes an error.

use std::fmt;

/// A model behind an address.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Scheme, host and port, without a slash at the end.
    origin: String,
    /// Path of the API, such as `/v1`, without a slash at the end.
    path: String,
    /// Name of the model there.
    model: Option<String>,
}

/// Why an address is refused. It never repeats the address, which may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadAddress {
    /// It does not begin with http:// or https://, or names no host.
    #[error(
        "the address of a server begins with http:// or https:// and names a host, as in http://127.0.0.1:8000/v1#model"
    )]
    NotHttp,
    /// It holds a user or a password.
    #[error(
        "a user or password in a server's address would be recorded with it; give a key in OPENAI_API_KEY or in a header"
    )]
    Credentials,
    /// It has a query.
    #[error(
        "a query in a server's address would be recorded with it; give a key in OPENAI_API_KEY or in a header"
    )]
    Query,
    /// Two replicas name different models.
    #[error("replicas must serve one model, and two names of models are given")]
    TwoModels,
}

impl Endpoint {
    /// Whether a text is meant as an address of a server.
    pub fn is_meant(text: &str) -> bool {
        let begins = |scheme: &str| text.get(..scheme.len()).is_some_and(|t| t.eq_ignore_ascii_case(scheme));
        begins("http://") || begins("https://")
    }

    /// Reads `http://host:port/v1#name`.
    pub fn parse(text: &str) -> Result<Self, BadAddress> {
        let (address, model) = match text.split_once('#') {
            Some((address, model)) => (address, Some(model.to_string()).filter(|model| !model.is_empty())),
            None => (text, None),
        };
        if !Self::is_meant(address) {
            return Err(BadAddress::NotHttp);
        }
        let (scheme, rest) = address.split_once("://").ok_or(BadAddress::NotHttp)?;
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(BadAddress::Credentials);
        }
        if path.contains('?') {
            return Err(BadAddress::Query);
        }
        let origin = format!("{}://{}", scheme.to_ascii_lowercase(), authority.to_ascii_lowercase());
        let is_address = origin.parse::<ureq::http::Uri>().is_ok_and(|uri| uri.host().is_some());
        let is_path = path.is_empty() || path.parse::<ureq::http::uri::PathAndQuery>().is_ok();
        if authority.is_empty() || !is_address || !is_path {
            return Err(BadAddress::NotHttp);
        }
        Ok(Self { origin, path: path.trim_end_matches('/').to_string(), model })
    }

    /// The same with a name for the model, where the address has none.
    pub fn or_model(mut self, model: Option<&str>) -> Self {
        self.model = self.model.or_else(|| model.map(str::to_string));
        self
    }

    /// Name of the model, if it was given.
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// The address of the API, without the model: `http://host:port/v1`.
    pub fn base(&self) -> String {
        format!("{}{}", self.origin, self.path)
    }

    /// An address below the API, such as `/completions`.
    pub(crate) fn below(&self, path: &str) -> String {
        format!("{}{}{path}", self.origin, self.path)
    }

    /// An address beside the API: servers answer `/tokenize` next to `/v1`, not below it.
    pub(crate) fn beside(&self, path: &str) -> String {
        let parent = self.path.strip_suffix("/v1").unwrap_or(&self.path);
        format!("{}{parent}{path}", self.origin)
    }

    /// The one name of the model that replicas give.
    pub fn one_model(replicas: &[Self]) -> Result<Option<&str>, BadAddress> {
        let mut names = replicas.iter().filter_map(Self::model);
        let first = names.next();
        if names.any(|name| Some(name) != first) { Err(BadAddress::TwoModels) } else { Ok(first) }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base())?;
        self.model.as_ref().map_or(Ok(()), |model| write!(f, "#{model}"))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a text in.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for a header of a request and nothing else.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// A text without the secret in it.
    pub(crate) fn scrub(&self, text: &str) -> String {
        // The key alone is as secret as the header that carries it.
        let bare = self.0.strip_prefix("Bearer ").unwrap_or(&self.0).trim();
        if bare.len() < 4 { text.to_string() } else { text.replace(bare, "…") }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What every request carries besides its body.
#[derive(Debug, Clone, Default)]
pub struct Headers {
    pub(crate) fields: Vec<(String, Secret)>,
}

/// Why a header is refused. It never repeats the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadHeader {
    /// There is no colon, or no name before it.
    #[error("a header is written as NAME: VALUE")]
    NoName,
    /// Its name or value has characters that a header cannot have.
    #[error("the header {name:?} has characters that a header cannot have")]
    BadCharacters {
        /// Its name.
        name: String,
    },
    /// A key on the command line, which every user of the machine can read.
    #[error(
        "the value of the header {name:?} would be in the list of processes for all to read; \
         put it into an environment variable and write {name}: $VARIABLE"
    )]
    KeyOnCommandLine {
        /// Its name.
        name: String,
    },
    /// A variable that is not set.
    #[error("the header {name:?} names the environment variable {variable}, which is not set")]
    NoVariable {
        /// Its name.
        name: String,
        /// The variable.
        variable: String,
    },
}

/// Parts of the names of headers that carry keys.
const OF_KEYS: [&str; 6] = ["auth", "key", "token", "secret", "cookie", "password"];

impl Headers {
    /// With the key of an OpenAI-like API, if there is one.
    pub fn with_key(key: Option<Secret>) -> Self {
        let field =
            key.map(|key| ("Authorization".to_string(), Secret::new(format!("Bearer {}", key.expose()))));
        Self { fields: field.into_iter().collect() }
    }

    /// Adds `NAME: VALUE`; a value `$VARIABLE` is looked up, and a header that carries a key has no other. It takes the place of one of the
    /// same name.
    pub fn add(&mut self, line: &str, variable: impl Fn(&str) -> Option<String>) -> Result<(), BadHeader> {
        let (name, value) = line.split_once(':').ok_or(BadHeader::NoName)?;
        let (name, value) = (name.trim().to_string(), value.trim());
        if name.is_empty() {
            return Err(BadHeader::NoName);
        }
        let value = match value.strip_prefix('$') {
            Some(named) => {
                let missing = || BadHeader::NoVariable { name: name.clone(), variable: named.to_string() };
                variable(named).ok_or_else(missing)?
            }
            None if OF_KEYS.iter().any(|part| name.to_ascii_lowercase().contains(part)) => {
                return Err(BadHeader::KeyOnCommandLine { name });
            }
            None => value.to_string(),
        };
        let fits = name.parse::<ureq::http::HeaderName>().is_ok()
            && value.parse::<ureq::http::HeaderValue>().is_ok();
        if !fits {
            return Err(BadHeader::BadCharacters { name });
        }
        self.fields.retain(|(known, _)| !known.eq_ignore_ascii_case(&name));
        self.fields.push((name, Secret::new(value)));
        Ok(())
    }

    /// A text without any of the values in it.
    pub(crate) fn scrub(&self, text: &str) -> String {
        self.fields.iter().fold(text.to_string(), |text, (_, value)| value.scrub(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_an_api_and_a_model() {
        let endpoint = Endpoint::parse("HTTP://Host:8000/v1/#org/Model-7B").unwrap();
        assert_eq!(endpoint.base(), "http://host:8000/v1");
        assert_eq!(endpoint.model(), Some("org/Model-7B"));
        assert_eq!(endpoint.below("/completions"), "http://host:8000/v1/completions");
        assert_eq!(endpoint.beside("/tokenize"), "http://host:8000/tokenize");
        assert_eq!(endpoint.to_string(), "http://host:8000/v1#org/Model-7B");
        let nested = Endpoint::parse("https://gateway/team/v1").unwrap();
        assert_eq!(nested.beside("/tokenize"), "https://gateway/team/tokenize");
        assert_eq!(nested.model(), None);
        assert_eq!(nested.or_model(Some("m")).model(), Some("m"));
    }

    #[test]
    fn what_would_be_recorded_is_no_place_for_a_password() {
        for (text, problem) in [
            ("http://me:pass@host/v1", BadAddress::Credentials),
            ("http://host/v1?api_key=pass", BadAddress::Query),
            ("http://host?api_key=pass", BadAddress::Query),
            ("ftp://host/v1", BadAddress::NotHttp),
            ("http:///v1", BadAddress::NotHttp),
            ("http://a b/v1", BadAddress::NotHttp),
        ] {
            let found = Endpoint::parse(text).unwrap_err();
            assert_eq!(found, problem, "{text}");
            assert!(!found.to_string().contains("pass@") && !found.to_string().contains("=pass"));
        }
    }

    #[test]
    fn replicas_serve_one_model() {
        let endpoints =
            |texts: &[&str]| texts.iter().map(|t| Endpoint::parse(t).unwrap()).collect::<Vec<_>>();
        assert_eq!(Endpoint::one_model(&endpoints(&["http://a/v1#m", "http://b/v1"])), Ok(Some("m")));
        assert_eq!(Endpoint::one_model(&endpoints(&["http://a/v1", "http://b/v1"])), Ok(None));
        let two = endpoints(&["http://a/v1#m", "http://b/v1#n"]);
        assert_eq!(Endpoint::one_model(&two), Err(BadAddress::TwoModels));
    }

    #[test]
    fn secrets_are_not_printed() {
        let mut headers = Headers::with_key(Some(Secret::new("sk-very-secret")));
        let variable = |name: &str| (name == "ORG").then(|| "hidden-org".to_string());
        headers.add("OpenAI-Organization: $ORG", variable).unwrap();
        headers.add("X-Team: plain", variable).unwrap();
        let printed = format!("{headers:?}");
        assert!(!printed.contains("very") && !printed.contains("hidden") && !printed.contains("plain"));
        let said = "Incorrect API key sk-very-secret of hidden-org in Bearer sk-very-secret";
        assert_eq!(headers.scrub(said), "Incorrect API key … of … in Bearer …");
    }

    #[test]
    fn a_key_does_not_stand_on_the_command_line() {
        let mut headers = Headers::default();
        let variable = |name: &str| (name == "KEY").then(|| "abc".to_string());
        let refused = headers.add("Authorization: Bearer abcdef", variable).unwrap_err();
        assert!(matches!(refused, BadHeader::KeyOnCommandLine { .. }));
        assert!(!refused.to_string().contains("abcdef"));
        headers.add("api-key: $KEY", variable).unwrap();
        assert_eq!(headers.fields[0].1.expose(), "abc");
        let missing = headers.add("api-key: $OTHER", variable).unwrap_err();
        assert_eq!(
            missing.to_string(),
            "the header \"api-key\" names the environment variable OTHER, which is not set"
        );
        assert_eq!(headers.add("nothing", variable), Err(BadHeader::NoName));
    }
}
