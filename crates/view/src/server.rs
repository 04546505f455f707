//! The page over HTTP, for the person at this machine and nobody else.
//!
//! Listens on 127.0.0.1 alone. Every address begins with a random token, which is compared in constant time; without it nothing is told, and
//! no other page can guess it. A request must name this server in `Host`, so that a name that leads elsewhere first and here later gets nothing
//! (DNS rebinding), and must be a GET. The page may load nothing but its own parts, which its content security policy says.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use oxhttp::Server as Http;
use oxhttp::model::header::{ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderName};
use oxhttp::model::{Body, Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use subtle::ConstantTimeEq as _;

use crate::error::Error;
use crate::page;
use crate::view::View;

/// Most connections at a time.
const MOST_CONNECTIONS: usize = 32;
/// How long a connection may be silent.
const SILENCE: Duration = Duration::from_secs(60);
/// How often another free port is looked for, where somebody took the last one.
const PORT_TRIES: usize = 8;

/// A page that is being served, until the process ends.
#[derive(Debug)]
pub struct Server {
    link: String,
}

impl Server {
    /// Serves runs on a port, any free one for 0.
    pub fn start(view: Arc<View>, port: u16) -> Result<Self, Error> {
        let token = token()?;
        for tried in 1.. {
            let chosen = if port == 0 { free_port()? } else { port };
            match listen(Arc::clone(&view), &token, chosen) {
                Ok(()) => return Ok(Self { link: format!("http://127.0.0.1:{chosen}/{token}/") }),
                Err(error) if port == 0 && error.kind() == io::ErrorKind::AddrInUse && tried < PORT_TRIES => {
                }
                Err(source) => return Err(Error::Listen { port, source }),
            }
        }
        unreachable!("the last try returns")
    }

    /// Where the page is, with the token.
    pub fn link(&self) -> &str {
        &self.link
    }
}

/// 128 random bits in hexadecimal.
fn token() -> Result<String, Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(Error::Random)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A port that nobody listens on.
fn free_port() -> Result<u16, Error> {
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    bound.map(|address| address.port()).map_err(|source| Error::Listen { port: 0, source })
}

fn listen(view: Arc<View>, token: &str, port: u16) -> io::Result<()> {
    let site = Site { view, token: token.to_owned(), port };
    let server = Http::new(move |request| site.respond(request))
        .bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .with_global_timeout(SILENCE)
        .with_max_concurrent_connections(MOST_CONNECTIONS);
    // The threads go on without the handle.
    server.spawn().map(|_| ())
}

/// What is served.
struct Site {
    view: Arc<View>,
    token: String,
    port: u16,
}

impl Site {
    fn respond(&self, request: &Request<Body>) -> Response<Body> {
        if !self.is_meant(request) {
            return refused(StatusCode::FORBIDDEN, "this server answers to 127.0.0.1 and localhost alone");
        }
        if request.method() != Method::GET {
            let mut response = refused(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered");
            response.headers_mut().insert(ALLOW, oxhttp::model::HeaderValue::from_static("GET"));
            return response;
        }
        let path = request.uri().path();
        let (token, rest) = path.strip_prefix('/').and_then(|path| path.split_once('/')).unwrap_or_default();
        if !bool::from(token.as_bytes().ct_eq(self.token.as_bytes())) {
            return refused(
                StatusCode::FORBIDDEN,
                "the link that entrace printed has a token, which is missing here; open that link",
            );
        }
        match rest {
            "" => response(StatusCode::OK, "text/html; charset=utf-8", page::HTML.to_owned()),
            "style.css" => response(StatusCode::OK, "text/css; charset=utf-8", page::STYLE.to_owned()),
            "app.js" => response(StatusCode::OK, "text/javascript; charset=utf-8", page::SCRIPT.to_owned()),
            _ => match rest.strip_prefix("api/") {
                Some(path) => self.answer(path, request.uri().query().unwrap_or_default()),
                None => refused(StatusCode::NOT_FOUND, "there is no such page"),
            },
        }
    }

    /// Whether the request names this server.
    fn is_meant(&self, request: &Request<Body>) -> bool {
        let own = |host: &str| {
            ["127.0.0.1", "localhost"].iter().any(|name| host == format!("{name}:{}", self.port))
        };
        let mut hosts = request.headers().get_all(HOST).iter();
        let named =
            hosts.next().and_then(|host| host.to_str().ok()).is_some_and(own) && hosts.next().is_none();
        named && request.uri().authority().is_none_or(|authority| own(authority.as_str()))
    }

    fn answer(&self, path: &str, query: &str) -> Response<Body> {
        match self.view.answer(&format!("{path}?{query}")) {
            Ok(Some(answer)) => json_response(StatusCode::OK, &answer),
            Ok(None) => told(StatusCode::NOT_FOUND, "there is no such trace"),
            Err(error @ Error::BadQuery(_)) => told(StatusCode::BAD_REQUEST, &error.to_string()),
            Err(error) => told(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        }
    }
}

fn told(status: StatusCode, problem: &str) -> Response<Body> {
    json_response(status, &json!({ "problem": problem }))
}

fn json_response(status: StatusCode, value: &Value) -> Response<Body> {
    response(status, "application/json", value.to_string())
}

fn refused(status: StatusCode, why: &str) -> Response<Body> {
    response(status, "text/plain; charset=utf-8", format!("{why}\n"))
}

fn response(status: StatusCode, content_type: &'static str, body: String) -> Response<Body> {
    let builder = Response::builder()
        .status(status)
        .header(CONTENT_TYPE, content_type)
        .header(CONTENT_SECURITY_POLICY, page::POLICY)
        .header(CACHE_CONTROL, "no-store")
        .header(HeaderName::from_static("x-content-type-options"), "nosniff")
        .header(HeaderName::from_static("x-frame-options"), "DENY")
        .header(HeaderName::from_static("referrer-policy"), "no-referrer")
        .header(HeaderName::from_static("cross-origin-resource-policy"), "same-origin")
        .header(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    builder.body(Body::from(body)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
