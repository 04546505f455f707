//! `entrace view`: who is answered, what is written, how it ends.

use crate::made_up;
use crate::support::{Scratch, command, expect};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};

/// The program serving runs. It is killed with the test.
pub(crate) struct Served {
    child: Child,
    pub(crate) link: String,
}

impl Served {
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut command = command(&[&["view"], args].concat());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut link = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut link).unwrap();
        Self { child, link: link.trim_end().to_owned() }
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    fn host(&self) -> &str {
        self.link.strip_prefix("http://").unwrap().split('/').next().unwrap()
    }

    /// Status line, headers and body of an address below the link.
    fn get(&self, path: &str) -> String {
        let link = format!("{}{path}", self.link);
        let (_, path) = link.strip_prefix("http://").unwrap().split_once('/').unwrap();
        let request = format!("GET /{path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.host());
        let mut stream = TcpStream::connect(self.host()).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_run_is_served_on_this_machine_until_it_is_told_to_end() {
    let scratch = Scratch::new();
    let run = scratch.arg("run");
    made_up::run(Path::new(&run), 12, 1);
    let mut served = Served::start(&[&run]);
    assert!(served.link.starts_with("http://127.0.0.1:") && served.link.ends_with('/'), "{}", served.link);
    let page = served.get("");
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("<main"), "{page}");
    let rows = served.get("api/rows?run=0&sort=-question&n=1");
    assert!(rows.contains("\"found\":12") && rows.contains("q000011"), "{rows}");
    let port = served.host().rsplit(':').next().unwrap().to_owned();
    let said = expect(2, &["view", &run, "--port", &port]);
    assert!(said.contains(&format!("port {port}")) && said.contains("choose another --port"), "{said}");
    #[cfg(unix)]
    {
        let killed = std::process::Command::new("kill").arg(served.process().to_string()).status().unwrap();
        assert!(killed.success());
        assert_eq!(served.child.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn what_cannot_be_viewed_is_told_before_anything_is_served() {
    let scratch = Scratch::new();
    let run = scratch.arg("run");
    made_up::run(Path::new(&run), 3, 1);
    assert!(expect(2, &["view"]).contains("<RUN>"));
    assert!(expect(2, &["view", &scratch.arg("none")]).contains("holds no run"));
    let file = scratch.arg("run/traces.parquet");
    assert!(expect(2, &["view", &run, &file]).contains("is a file; name the run folder"));
    assert!(expect(2, &["view", &run, "--export", &run]).contains("expected a file, found a folder"));
    std::fs::write(&file, "PAR1").unwrap();
    assert!(expect(2, &["view", &run]).contains("traces.parquet"));
}

#[test]
fn an_export_is_one_file() {
    let scratch = Scratch::new();
    let (run, other, file) = (scratch.arg("run"), scratch.arg("other"), scratch.arg("run.html"));
    made_up::run(Path::new(&run), 20, 1);
    made_up::run(Path::new(&other), 20, 2);
    expect(0, &["view", &run, &other, "--export", &file]);
    let page = std::fs::read_to_string(&file).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.contains("q000019"));
    assert_eq!(page.matches("<script").count(), 2);
    made_up::run(Path::new(&scratch.arg("large")), 5_001, 1);
    let said = expect(2, &["view", &scratch.arg("large"), "--export", &file]);
    assert!(said.contains("at most 5000 traces") && said.contains("serve the run"), "{said}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), page);
}
