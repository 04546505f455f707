//! Requests, the redirects that they meet, and who sees the token.
//!
//! Redirects are followed here rather than by the HTTP library, because the token goes to the endpoint's own scheme, host and port and to
//! nobody else, because metadata stands on the answer that redirects, and because a chain has an end.

use crate::error::Error;
use crate::hub::Hub;
use crate::retry::Failure;
use std::time::Duration;
use ureq::http::header::{AUTHORIZATION, CONTENT_RANGE, HeaderValue, LOCATION, RANGE};
use ureq::http::uri::{PathAndQuery, Scheme};
use ureq::http::{HeaderMap, Method, Request, Response, Uri};
use ureq::{Agent, Body};

/// Redirects that one request may meet.
const MOST_REDIRECTS: usize = 10;

/// Scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    scheme: Scheme,
    host: String,
    port: u16,
}

impl Origin {
    /// The origin of an address, if it is one of the web.
    pub(crate) fn of(address: &str) -> Option<Self> {
        Self::of_uri(&address.parse().ok()?)
    }

    fn of_uri(uri: &Uri) -> Option<Self> {
        let scheme = uri.scheme()?.clone();
        let usual = match scheme.as_str() {
            "http" => 80,
            "https" => 443,
            _ => return None,
        };
        let host = uri.host().filter(|host| !host.is_empty())?.to_ascii_lowercase();
        Some(Self { scheme, host, port: uri.port_u16().unwrap_or(usual) })
    }
}

/// Makes requests to one endpoint, and to where it redirects.
pub(crate) struct Client {
    agent: Agent,
    origin: Origin,
    bearer: Option<HeaderValue>,
    read: Duration,
    connect: Duration,
}

/// An answer that is no redirect to be followed.
pub(crate) struct Answer {
    /// Who gave it.
    pub(crate) url: String,
    /// Whether that is the endpoint rather than a host that it redirected to.
    pub(crate) is_of_endpoint: bool,
    pub(crate) response: Response<Body>,
}

/// Whether an answer that redirects says enough for its redirect not to be followed.
pub(crate) type Suffices = fn(&HeaderMap) -> bool;

impl Client {
    pub(crate) fn new(hub: &Hub) -> Result<Self, Error> {
        let refuse = |problem| Error::Variable { name: "HF_ENDPOINT", value: hub.endpoint.clone(), problem };
        let origin = Origin::of(&hub.endpoint)
            .ok_or_else(|| refuse("expected an address such as https://huggingface.co"))?;
        let bearer = hub.token.as_ref().map(|token| HeaderValue::from_str(&format!("Bearer {token}")));
        let mut bearer = bearer
            .transpose()
            .map_err(|_| refuse("the token for it has characters that a header cannot have"))?;
        if let Some(bearer) = &mut bearer {
            bearer.set_sensitive(true);
        }
        let patience = hub.patience;
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("entrace/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .timeout_resolve(Some(patience.connect))
            .timeout_connect(Some(patience.connect))
            .timeout_recv_response(Some(patience.read.saturating_mul(2)))
            .timeout_per_read(Some(patience.read))
            .timeout_per_write(Some(patience.read))
            .build()
            .new_agent();
        Ok(Self { agent, origin, bearer, read: patience.read, connect: patience.connect })
    }

    /// Asks for a file's bytes, or for those from a position on.
    pub(crate) fn get(&self, url: &str, from: u64) -> Result<Answer, Failure> {
        let range = (from > 0).then(|| format!("bytes={from}-"));
        self.send(&Method::GET, url, range.as_deref(), |_| false)
    }

    /// Asks for the headers alone.
    pub(crate) fn head(&self, url: &str, suffices: Suffices) -> Result<Answer, Failure> {
        let answer = self.send(&Method::HEAD, url, None, suffices)?;
        // Some mirrors know no HEAD.
        if matches!(answer.response.status().as_u16(), 405 | 501) {
            return self.send(&Method::GET, url, Some("bytes=0-0"), suffices);
        }
        Ok(answer)
    }

    fn send(
        &self,
        method: &Method,
        url: &str,
        range: Option<&str>,
        suffices: Suffices,
    ) -> Result<Answer, Failure> {
        let bad = |problem: String| Error::Redirect { url: url.to_string(), problem };
        let mut at: Uri = url.parse().map_err(|_| bad("is no address".into()))?;
        for _ in 0..=MOST_REDIRECTS {
            let origin = Origin::of_uri(&at);
            let is_of_endpoint = origin.as_ref() == Some(&self.origin);
            let response = self.ask(method, &at, range, is_of_endpoint)?;
            if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308)
                || suffices(response.headers())
            {
                return Ok(Answer { url: at.to_string(), is_of_endpoint, response });
            }
            let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            let next = location.and_then(|location| redirected(&at, location));
            at = next.ok_or_else(|| {
                bad(format!("is redirected to {:?}, which is no address", location.unwrap_or("")))
            })?;
            if self.origin.scheme == Scheme::HTTPS && at.scheme() == Some(&Scheme::HTTP) {
                return Err(bad(format!("is redirected to {at}, which is not encrypted")).into());
            }
        }
        Err(bad(format!("is redirected more than {MOST_REDIRECTS} times, at last to {at}")).into())
    }

    fn ask(
        &self,
        method: &Method,
        at: &Uri,
        range: Option<&str>,
        with_token: bool,
    ) -> Result<Response<Body>, Failure> {
        let mut request = Request::builder().method(method).uri(at);
        if let Some(range) = range {
            request = request.header(RANGE, range);
        }
        if let Some(bearer) = self.bearer.as_ref().filter(|_| with_token) {
            request = request.header(AUTHORIZATION, bearer);
        }
        let request = request.body(()).map_err(|error| Error::Answer {
            url: at.to_string(),
            problem: format!("cannot be asked for: {error}"),
        })?;
        self.agent.run(request).map_err(|error| self.failure(&at.to_string(), error))
    }

    /// A failure of the network: passing, unless trying again cannot help.
    pub(crate) fn failure(&self, url: &str, error: ureq::Error) -> Failure {
        use ureq::Timeout;
        let problem = match &error {
            ureq::Error::Timeout(Timeout::Connect | Timeout::Resolve) => {
                format!("no connection within {} s", self.connect.as_secs_f64())
            }
            ureq::Error::Timeout(_) => format!("the server fell silent for {} s", self.read.as_secs_f64()),
            ureq::Error::HostNotFound => "the host is not known: is there a network?".to_string(),
            ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                "the connection was cut".to_string()
            }
            ureq::Error::Io(error) => error.to_string(),
            other => other.to_string(),
        };
        match error {
            ureq::Error::Io(_)
            | ureq::Error::Timeout(_)
            | ureq::Error::HostNotFound
            | ureq::Error::ConnectionFailed
            | ureq::Error::Protocol(_) => Failure::passing(url, problem),
            _ => Error::Unreachable { url: url.to_string(), problem, attempts: 1 }.into(),
        }
    }
}

impl Answer {
    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name).and_then(|value| value.to_str().ok())
    }

    /// First byte and total length that a part of a file states.
    pub(crate) fn content_range(&self) -> Option<(u64, Option<u64>)> {
        let stated = self.header(CONTENT_RANGE.as_str())?.strip_prefix("bytes ")?;
        let (range, total) = stated.split_once('/')?;
        let (first, _) = range.split_once('-')?;
        Some((first.parse().ok()?, total.parse().ok()))
    }
}

/// Where a `Location` leads from an address. Fragments are left out.
fn redirected(from: &Uri, location: &str) -> Option<Uri> {
    let location = location.split('#').next()?;
    let (scheme, authority) = (from.scheme()?, from.authority()?);
    let target: Uri = if location.contains("://") {
        location.parse().ok()?
    } else if location.starts_with("//") {
        format!("{scheme}:{location}").parse().ok()?
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}").parse().ok()?
    } else {
        let folder = from.path_and_query().map_or("/", PathAndQuery::path).rsplit_once('/')?.0;
        format!("{scheme}://{authority}{folder}/{location}").parse().ok()?
    };
    Origin::of_uri(&target).map(|_| target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        assert_eq!(Origin::of("https://HuggingFace.co/x"), Origin::of("https://huggingface.co:443"));
        for other in
            ["http://huggingface.co", "https://huggingface.co:8443", "https://huggingface.co.evil.example"]
        {
            assert_ne!(Origin::of(other), Origin::of("https://huggingface.co"), "{other}");
        }
        assert_eq!(Origin::of("https://huggingface.co@evil.example/x"), Origin::of("https://evil.example"));
        assert_eq!(Origin::of("ftp://huggingface.co"), None);
        assert_eq!(Origin::of("huggingface.co"), None);
    }

    #[test]
    fn locations_are_read_as_browsers_read_them() {
        let from: Uri = "http://hub:81/a/resolve/main/b.bin?x=1".parse().unwrap();
        for (location, target) in [
            ("https://cdn/x?y=z", "https://cdn/x?y=z"),
            ("//cdn/x", "http://cdn/x"),
            ("/c/d#e", "http://hub:81/c/d"),
            ("c.bin", "http://hub:81/a/resolve/main/c.bin"),
        ] {
            assert_eq!(redirected(&from, location).unwrap().to_string(), target);
        }
        for bad in ["file:///etc/passwd", "ftp://x/y", "http://", "http://a b/"] {
            assert_eq!(redirected(&from, bad), None, "{bad}");
        }
    }
}
