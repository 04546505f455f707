//! Answers that are no success: which of them pass, and what the others mean.
//!
//! The Hub names its reasons in the header `X-Error-Code` and explains them in `X-Error-Message`, else in the body. Without a code, 401
//! means a repository that is missing or hidden, as in `huggingface_hub`. A host that the Hub redirected to has no reasons of that kind.

use crate::http::Answer;
use crate::name::Kind;
use crate::retry::Failure;
use std::fmt;
use std::io::Read;
use std::time::Duration;

/// Most bytes of an answer's text that are read for its explanation.
const MOST_SAID: u64 = 64 * 1024;
/// Most letters of it that are repeated.
const MOST_REPEATED: usize = 300;

/// Why the Hub does not give files away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// There is no such repository, or the token may not see it.
    NoRepository,
    /// The repository has no such branch, tag or commit.
    NoRevision,
    /// The revision has no such file.
    NoFile,
    /// Its owner wants to be asked first.
    Gated,
    /// The token is not valid.
    BadToken,
    /// Forbidden for another reason.
    Forbidden,
    /// Another status.
    Other,
}

/// A refusal, in the Hub's words where it has some.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// The reason.
    pub reason: Reason,
    /// The status.
    pub status: u16,
    /// What the server says about it.
    pub said: Option<String>,
    /// What was asked for.
    pub url: String,
    /// Of which repository.
    pub asked: Asked,
}

/// What is asked of which Hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The Hub.
    pub endpoint: String,
    /// What the repository holds.
    pub kind: Kind,
    /// The repository.
    pub repo: String,
    /// Its revision.
    pub revision: String,
    /// Whether a token was shown.
    pub with_token: bool,
}

impl Asked {
    /// The answer, if it is a success. `of_file` says that it is about a file of a repository that is there.
    pub(crate) fn accept(&self, answer: Answer, of_file: bool) -> Result<Answer, Failure> {
        let status = answer.response.status().as_u16();
        if answer.response.status().is_success() || answer.response.status().is_redirection() {
            return Ok(answer);
        }
        let wait = asked_to_wait(&answer);
        let (code, url) = (answer.header("x-error-code").map(str::to_string), answer.url.clone());
        let is_of_endpoint = answer.is_of_endpoint;
        let said = said(answer);
        if matches!(status, 408 | 429 | 500..=599) {
            let said = said.map(|said| format!(" ({said})")).unwrap_or_default();
            let problem = format!("the server answers {}{said}", named(status));
            return Err(Failure::Passing { url, problem, wait, progressed: false });
        }
        let reason = if is_of_endpoint {
            reason(status, code.as_deref(), said.as_deref(), of_file)
        } else {
            Reason::Other
        };
        let refusal = Refusal { reason, status, said, url, asked: self.clone() };
        Err(crate::Error::Refused(Box::new(refusal)).into())
    }
}

fn reason(status: u16, code: Option<&str>, said: Option<&str>, of_file: bool) -> Reason {
    match (code, status) {
        (Some("RepoNotFound"), _) => Reason::NoRepository,
        (Some("RevisionNotFound"), _) => Reason::NoRevision,
        (Some("EntryNotFound"), _) => Reason::NoFile,
        (Some("GatedRepo"), _) => Reason::Gated,
        (_, 401) if said.is_some_and(|said| said.contains("Invalid credentials")) => Reason::BadToken,
        (_, 404) if of_file => Reason::NoFile,
        (_, 401 | 404) if !of_file => Reason::NoRepository,
        (_, 401 | 403) => Reason::Forbidden,
        _ => Reason::Other,
    }
}

/// What the server says about its answer: a header, or `error` in a JSON text.
fn said(answer: Answer) -> Option<String> {
    if let Some(message) = answer.header("x-error-message") {
        return repeated(message);
    }
    let mut text = Vec::new();
    // An explanation that does not arrive is none.
    let _ = answer.response.into_body().into_reader().take(MOST_SAID).read_to_end(&mut text);
    let json: serde_json::Value = serde_json::from_slice(&text).ok()?;
    repeated(json.get("error")?.as_str()?)
}

fn repeated(text: &str) -> Option<String> {
    let text: String =
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST_REPEATED).collect();
    Some(text.trim().to_string()).filter(|text| !text.is_empty())
}

/// `Retry-After` in seconds, else when the Hub's rate limit begins anew (`RateLimit: "api";r=0;t=55`).
fn asked_to_wait(answer: &Answer) -> Option<Duration> {
    let after = answer.header("retry-after").and_then(|text| text.trim().parse().ok());
    let limited = || {
        let fields = answer.header("ratelimit")?.split(';');
        fields.filter_map(|field| field.trim().strip_prefix("t=")).find_map(|seconds| seconds.parse().ok())
    };
    let is_limit = answer.response.status().as_u16() == 429;
    after.or_else(|| if is_limit { limited() } else { None }).map(Duration::from_secs)
}

/// A status with its usual name.
fn named(status: u16) -> String {
    let name = ureq::http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    name.map_or_else(|| status.to_string(), |name| format!("{status} {name}"))
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Asked { endpoint, kind, repo, revision, with_token } = &self.asked;
        let what = match kind {
            Kind::Model => "model",
            Kind::Dataset => "data set",
        };
        match self.reason {
            Reason::NoRepository => {
                let nor = if *kind == Kind::Model { "; nor is it a path that exists" } else { "" };
                write!(f, "{endpoint} has no {what} {repo} or does not show it{nor}")?
            }
            Reason::NoRevision => write!(f, "{repo} has no revision {revision:?} at {endpoint}")?,
            Reason::NoFile => write!(f, "{repo} (revision {revision}) has no such file: {}", self.url)?,
            Reason::Gated => write!(f, "{repo} is gated: its owner wants to be asked first")?,
            Reason::BadToken => write!(f, "{endpoint} does not accept the token for {repo}")?,
            Reason::Forbidden => write!(f, "{endpoint} forbids access to {repo}")?,
            Reason::Other => write!(f, "{} answers {}", self.url, named(self.status))?,
        }
        if let Some(said) = &self.said {
            write!(f, "; the Hub says: {said:?}")?;
        }
        let place = if *kind == Kind::Dataset { "datasets/" } else { "" };
        match (self.reason, with_token) {
            (Reason::NoRepository, false) => {
                write!(f, " (check the name; a private repository needs HF_TOKEN or `hf auth login`)")
            }
            (Reason::NoRepository, true) => write!(f, " (check the name, and whether the token may see it)"),
            (Reason::Gated, false) => {
                write!(f, " (ask at {endpoint}/{place}{repo}, then set HF_TOKEN or use `hf auth login`)")
            }
            (Reason::Gated, true) => {
                write!(f, " (ask at {endpoint}/{place}{repo} with the account of the token)")
            }
            (Reason::BadToken, _) => {
                write!(f, " (set HF_TOKEN to a valid one, or remove it: public repositories need none)")
            }
            (Reason::Forbidden, true) => write!(f, " (the token may lack the permission)"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_those_of_the_hub() {
        assert_eq!(reason(404, Some("RevisionNotFound"), None, false), Reason::NoRevision);
        assert_eq!(reason(401, Some("GatedRepo"), None, true), Reason::Gated);
        assert_eq!(reason(401, None, Some("Invalid username or password."), false), Reason::NoRepository);
        assert_eq!(
            reason(401, None, Some("Invalid credentials in Authorization header"), true),
            Reason::BadToken
        );
        assert_eq!(reason(403, None, None, false), Reason::Forbidden);
        assert_eq!(reason(404, None, None, false), Reason::NoRepository);
        assert_eq!(reason(404, None, None, true), Reason::NoFile);
        assert_eq!(reason(401, None, None, true), Reason::Forbidden);
        assert_eq!(reason(418, None, None, false), Reason::Other);
    }

    #[test]
    fn what_is_said_is_repeated_in_one_line() {
        assert_eq!(repeated("a\nb\u{1b}[31m"), Some("a b [31m".into()));
        assert_eq!(repeated("  "), None);
        assert_eq!(repeated(&"x".repeat(1000)).unwrap().len(), MOST_REPEATED);
    }
}
