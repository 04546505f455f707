//! One exchange with one server: a request out, a whole body or a [`Fault`] back.
//!
//! Nothing is tried again here. Connections that were idle for four seconds are not used again, because servers close theirs after five. A
//! body is taken only if all of it came: the library takes a connection that breaks within one for its end. Redirects are refused, since
//! they would carry the key to another host.

use crate::fault::Fault;
use crate::url::{Endpoint, Headers};
use crate::wire::Path;
use serde_json::Value;
use std::io::{ErrorKind, Read};
use std::time::Duration;
use ureq::http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use ureq::http::{HeaderMap, Method, Request};
use ureq::{Agent, Timeout};

/// Longest time to get a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// Longest silence within a body.
const READ: Duration = Duration::from_secs(60);
/// Connections idle for longer are not used again.
const IDLE: Duration = Duration::from_secs(4);
/// Most bytes of an answer.
const MOST_BYTES: u64 = 1 << 30;
/// Most characters of what a server says that are repeated.
const MOST_SAID: usize = 300;

/// Makes requests to one server.
pub(crate) struct Client {
    agent: Agent,
    endpoint: Endpoint,
    headers: Headers,
}

impl Client {
    pub(crate) fn new(endpoint: Endpoint, headers: Headers) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("entrace/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .max_idle_age(IDLE)
            .max_idle_connections(512)
            .max_idle_connections_per_host(256)
            .timeout_resolve(Some(CONNECT))
            .timeout_connect(Some(CONNECT))
            .timeout_per_read(None)
            .timeout_recv_body(None)
            .build()
            .new_agent();
        Self { agent, endpoint, headers }
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    fn address(&self, path: Path) -> String {
        match path {
            Path::Below(path) => self.endpoint.below(path),
            Path::Beside(path) => self.endpoint.beside(path),
        }
    }

    /// POSTs JSON and waits so long for the answer to begin.
    pub(crate) fn post(&self, path: Path, body: &Value, wait: Duration) -> Result<Vec<u8>, Fault> {
        let request = Request::builder().method(Method::POST).header(CONTENT_TYPE, "application/json");
        self.exchange(request, path, body.to_string().into_bytes(), wait)
    }

    /// GETs.
    pub(crate) fn get(&self, path: Path, wait: Duration) -> Result<Vec<u8>, Fault> {
        self.exchange(Request::builder().method(Method::GET), path, Vec::new(), wait)
    }

    fn exchange(
        &self,
        mut request: ureq::http::request::Builder,
        path: Path,
        body: Vec<u8>,
        wait: Duration,
    ) -> Result<Vec<u8>, Fault> {
        let address = self.address(path);
        request = request.uri(&address);
        for (name, value) in &self.headers.fields {
            request = request.header(name, value.expose());
        }
        let unsent = |problem: String| Fault::Refused { status: 0, problem, always: true };
        let response = if body.is_empty() {
            let request = request.body(()).map_err(|_| unsent(format!("{address} cannot be asked for")))?;
            let request = self.agent.configure_request(request).timeout_recv_response(Some(wait)).build();
            self.agent.run(request)
        } else {
            let request = request.body(body).map_err(|_| unsent(format!("{address} cannot be asked for")))?;
            let request = self.agent.configure_request(request).timeout_recv_response(Some(wait)).build();
            self.agent.run(request)
        };
        let response = response.map_err(|error| self.failure(&error, wait))?;
        let (parts, body) = response.into_parts();
        let stated =
            parts.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        let mut bytes = Vec::new();
        let read = body.into_with_config().limit(MOST_BYTES).reader().read_to_end(&mut bytes);
        let place = format!("{}: ", self.endpoint.base());
        if let Err(error) = read {
            let problem = format!("{place}the answer broke off after {} bytes: {error}", bytes.len());
            return Err(match error.kind() {
                ErrorKind::TimedOut | ErrorKind::WouldBlock => Fault::Slow { problem },
                _ => Fault::Broken { problem },
            });
        }
        if let Some(stated) = stated.filter(|&stated| stated != bytes.len()) {
            return Err(Fault::broken(format!(
                "{place}{} of {stated} bytes of the answer came",
                bytes.len()
            )));
        }
        if parts.status.is_success() {
            return Ok(bytes);
        }
        Err(self.refusal(parts.status.as_u16(), &parts.headers, &bytes))
    }

    fn refusal(&self, status: u16, headers: &HeaderMap, body: &[u8]) -> Fault {
        let base = self.endpoint.base();
        let said = self.headers.scrub(&said(body));
        let problem = format!("{base}: {said}");
        match status {
            429 | 503 => Fault::Busy {
                problem: format!("{base} is busy ({status}): {said}"),
                wait: headers
                    .get(RETRY_AFTER)
                    .and_then(|value| retry_after(value.to_str().ok()?, jiff::Timestamp::now())),
            },
            408 | 504 => Fault::Slow { problem: format!("{base} gave up waiting ({status}): {said}") },
            500..=599 => Fault::Broken { problem: format!("{base} failed ({status}): {said}") },
            300..=399 => Fault::Refused {
                status,
                problem: format!("{base} redirects; give the address that it redirects to"),
                always: true,
            },
            401 | 403 => Fault::Refused {
                status,
                problem: format!("{problem} (is the right key in OPENAI_API_KEY, or in a header?)"),
                always: true,
            },
            404 | 405 => Fault::Refused { status, problem, always: true },
            _ => Fault::Refused { status, problem, always: false },
        }
    }

    fn failure(&self, error: &ureq::Error, wait: Duration) -> Fault {
        let base = self.endpoint.base();
        let down = |what: String, reached| Fault::Down { problem: format!("{base}: {what}"), reached };
        match error {
            ureq::Error::Timeout(Timeout::Connect | Timeout::Resolve) => {
                down(format!("no connection within {} s", CONNECT.as_secs()), false)
            }
            ureq::Error::Timeout(_) => {
                Fault::Slow { problem: format!("{base}: no answer within {} s", wait.as_secs_f64()) }
            }
            ureq::Error::HostNotFound => down("the host is not known".into(), false),
            ureq::Error::ConnectionFailed => down("no connection".into(), false),
            ureq::Error::Io(error) if error.kind() == ErrorKind::ConnectionRefused => {
                down("the connection was refused".into(), false)
            }
            ureq::Error::Io(error) => down(format!("the connection broke ({error})"), true),
            ureq::Error::Protocol(error) => {
                Fault::broken(format!("{base}: the answer is not HTTP that was expected ({error})"))
            }
            error => Fault::Refused {
                status: 0,
                problem: self.headers.scrub(&format!("{base} cannot be asked: {error}")),
                always: true,
            },
        }
    }

    /// Whether the server answers at all.
    pub(crate) fn is_alive(&self) -> bool {
        let alive = |path| match self.get(path, READ.min(Duration::from_secs(10))) {
            Ok(_) => true,
            Err(Fault::Refused { status, .. }) => status != 0,
            Err(_) => false,
        };
        alive(Path::Below("/models"))
    }
}

/// What a server says of its refusal, short and in one line.
fn said(body: &[u8]) -> String {
    let text = match serde_json::from_slice::<Value>(body) {
        Ok(value) => {
            let of = |value: &Value| value.as_str().map(str::to_string);
            let error = &value["error"];
            [&error["message"], error, &value["message"], &value["detail"]]
                .into_iter()
                .find_map(of)
                .unwrap_or_else(|| value.to_string())
        }
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    if line.is_empty() {
        return "it said nothing".into();
    }
    match line.char_indices().nth(MOST_SAID) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}

/// How long `Retry-After` asks to wait: seconds, or a date.
fn retry_after(value: &str, now: jiff::Timestamp) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<f64>() {
        return (0.0..1e9).contains(&seconds).then(|| Duration::from_secs_f64(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
    let seconds = date.duration_since(now).as_secs_f64();
    Some(Duration::from_secs_f64(seconds.max(0.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_is_found_wherever_it_stands() {
        for (body, expected) in [
            (r#"{"error": {"message": "too\n  long", "code": 400}}"#, "too long"),
            (r#"{"error": "no"}"#, "no"),
            (r#"{"detail": "not found"}"#, "not found"),
            (r#"{"object": "error", "message": "bad"}"#, "bad"),
            ("<html>\n502</html>", "<html> 502</html>"),
            ("", "it said nothing"),
        ] {
            assert_eq!(said(body.as_bytes()), expected);
        }
        assert!(said("é".repeat(1000).as_bytes()).chars().count() <= MOST_SAID + 1);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: jiff::Timestamp = "2026-11-29T10:00:00Z".parse().unwrap();
        let secs = |value: &str| retry_after(value, now).map(|wait| wait.as_secs_f64());
        assert_eq!(secs("7"), Some(7.0));
        assert_eq!(secs("0.5"), Some(0.5));
        assert_eq!(secs("Sun, 29 Nov 2026 10:01:00 GMT"), Some(60.0));
        assert_eq!(secs("Sun, 29 Nov 2026 09:00:00 GMT"), Some(0.0));
        assert_eq!(secs("soon"), None);
        assert_eq!(secs("-3"), None);
    }
}
