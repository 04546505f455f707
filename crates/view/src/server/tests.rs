//! Requests as they come over the wire, from the page and from strangers.

use super::*;
use crate::made_up;
use std::io::{Read, Write};
use std::net::TcpStream;

/// Sends a request as it stands and returns the whole answer.
fn raw(server: &Server, request: &str) -> String {
    let address = server.link().strip_prefix("http://").unwrap().split('/').next().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

fn parts(server: &Server) -> (String, String) {
    let mut parts = server.link().strip_prefix("http://").unwrap().split('/').map(str::to_owned);
    (parts.next().unwrap(), parts.next().unwrap())
}

fn get(server: &Server, path: &str, host: &str) -> String {
    raw(server, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"))
}

fn server() -> (tempfile::TempDir, Server) {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("run");
    made_up::run(&dir, 5, 1);
    let view = View::unread(&[dir]).unwrap();
    (scratch, Server::start(Arc::new(view), 0).unwrap())
}

#[test]
fn the_page_and_its_answers_are_served_with_their_policy() {
    let (_scratch, server) = server();
    let (host, token) = parts(&server);
    assert!(host.starts_with("127.0.0.1:") && token.len() == 32);
    for (path, kind) in [
        ("", "text/html"),
        ("style.css", "text/css"),
        ("app.js", "text/javascript"),
        ("api/state", "application/json"),
    ] {
        let answer = get(&server, &format!("/{token}/{path}"), &host).to_lowercase();
        assert!(answer.starts_with("http/1.1 200"), "{path}: {answer}");
        for header in [
            &format!("content-type: {kind}") as &str,
            "content-security-policy: default-src 'none'; script-src 'self'",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "cache-control: no-store",
        ] {
            assert!(answer.contains(header), "{path} lacks {header}");
        }
    }
    let trace = get(&server, &format!("/{token}/api/trace?run=0&task=sums&id=q000002&sample=0"), &host);
    assert!(trace.contains("\"id\":\"q000002\""), "{trace}");
    assert!(
        get(&server, &format!("/{token}/"), &host.replace("127.0.0.1", "localhost"))
            .starts_with("HTTP/1.1 200")
    );
}

#[test]
fn strangers_are_told_nothing() {
    let (_scratch, server) = server();
    let (host, token) = parts(&server);
    let refused = |answer: String, status: &str| {
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        assert!(!answer.contains("sums") && !answer.contains(&token), "{answer}");
    };
    let almost = format!("{}{}", &token[..31], if token.ends_with('0') { '1' } else { '0' });
    for path in [
        "/",
        "/api/state",
        &format!("/{almost}/api/state"),
        &format!("/{token}"),
        "//api/state",
        &format!("/{token}x/"),
    ] {
        refused(get(&server, path, &host), "403");
    }
    for stranger in
        ["evil.example", "127.0.0.1", "localhost", "127.0.0.1:1", "0.0.0.0", "127.0.0.1.evil.example:80"]
    {
        refused(get(&server, &format!("/{token}/api/state"), stranger), "403");
    }
    refused(get(&server, &format!("http://evil.example/{token}/api/state"), &host), "403");
    let twice = format!("GET /{token}/ HTTP/1.1\r\nHost: evil\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    assert!(raw(&server, &twice).starts_with("HTTP/1.1 4"));
    for method in ["POST", "PUT", "DELETE", "HEAD", "OPTIONS"] {
        let request = format!(
            "{method} /{token}/api/state HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        refused(raw(&server, &request), "405");
    }
    for path in [
        "../manifest.json",
        "..%2f..%2fetc/passwd",
        "api/../../manifest.json",
        "manifest.json",
        "api/nothing",
    ] {
        refused(get(&server, &format!("/{token}/{path}"), &host), "404");
    }
    refused(get(&server, &format!("/{token}/api/rows?run=9"), &host), "400");
}

#[test]
fn a_port_that_is_taken_is_told() {
    let (scratch, server) = server();
    let port = parts(&server).0.rsplit(':').next().unwrap().parse().unwrap();
    let view = View::unread(&[scratch.path().join("run")]).unwrap();
    let problem = Server::start(Arc::new(view), port).unwrap_err().to_string();
    assert!(problem.starts_with(&format!("cannot listen on port {port}")), "{problem}");
}
