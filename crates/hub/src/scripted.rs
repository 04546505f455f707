//! A Hub on loopback for tests: two listeners, as the Hub has its store of large files on another host, and faults on request.
//!
//! It answers what `huggingface_hub` and this crate ask: listings, trees, `resolve`, ranges. Faults are taken in the order in which they
//! were set, each by the first requests that it fits. Every request is recorded, with the token that came along.

use crate::name::Kind;
use serde_json::{Value, json};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Longest silence of a fault that stalls.
const LONGEST_STALL: Duration = Duration::from_secs(60);

/// A Hub that runs until it is dropped.
#[derive(Debug)]
pub struct ScriptedHub {
    endpoint: String,
    state: Arc<State>,
}

/// Where a file is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On the Hub, as small files are; its ETag is that of git.
    Hub,
    /// In the store on the other host, as large files are; its ETag is the SHA-256.
    Store,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// An answer with this status and these headers, and nothing else.
    Status(u16, Vec<(&'static str, String)>),
    /// The body ends after so many bytes, and with it the connection.
    Cut(usize),
    /// Nothing more comes after so many bytes of the body.
    Stall(usize),
    /// The first byte of the body is another one.
    Flip,
    /// The answer, but for this header.
    Header(&'static str, String),
    /// The file comes from its beginning though a range was asked for, and is cut after so many bytes.
    NoRanges(usize),
}

/// A request that came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Whether it came to the store rather than the Hub.
    pub by_store: bool,
    /// `GET` or `HEAD`.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// `Range`.
    pub range: Option<String>,
    /// `Authorization`.
    pub authorization: Option<String>,
}

#[derive(Debug)]
struct Repository {
    kind: Kind,
    id: String,
    commit: String,
    files: Vec<Stored>,
}

#[derive(Debug, Clone)]
struct Stored {
    path: String,
    bytes: Vec<u8>,
    place: Place,
    blob_id: String,
    sha256: String,
}

#[derive(Debug)]
struct Script {
    method: &'static str,
    part: String,
    fault: Fault,
    times: usize,
}

#[derive(Debug, Default)]
struct State {
    repositories: Mutex<Vec<Repository>>,
    script: Mutex<Vec<Script>>,
    seen: Mutex<Vec<Seen>>,
    store: Mutex<String>,
    is_over: AtomicBool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ScriptedHub {
    /// Starts both listeners.
    pub fn start() -> io::Result<Self> {
        let (hub, store) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
        let endpoint = format!("http://127.0.0.1:{}", hub.local_addr()?.port());
        let state = Arc::new(State::default());
        *locked(&state.store) = format!("http://localhost:{}", store.local_addr()?.port());
        for (listener, is_store) in [(hub, false), (store, true)] {
            let state = state.clone();
            std::thread::spawn(move || serve(&listener, is_store, &state));
        }
        Ok(Self { endpoint, state })
    }

    /// What `HF_ENDPOINT` should be.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Where large files are kept.
    pub fn store(&self) -> String {
        locked(&self.state.store).clone()
    }

    /// Adds a repository whose branch `main` is at a commit, or moves the branch there.
    pub fn put(&self, kind: Kind, id: &str, commit: &str, files: &[(&str, &[u8], Place)]) {
        let files = files.iter().map(|(path, bytes, place)| Stored {
            path: path.to_string(),
            bytes: bytes.to_vec(),
            place: *place,
            blob_id: {
                let mut digest = Sha1::new();
                digest.update(format!("blob {}\0", bytes.len()));
                digest.update(bytes);
                base16ct::lower::encode_string(&digest.finalize())
            },
            sha256: base16ct::lower::encode_string(&Sha256::digest(bytes)),
        });
        let repository = Repository { kind, id: id.into(), commit: commit.into(), files: files.collect() };
        locked(&self.state.repositories).insert(0, repository);
    }

    /// Lets the next so many requests of a method (of any, if empty) whose address contains a text meet a fault.
    pub fn fault(&self, method: &'static str, part: &str, times: usize, fault: Fault) {
        locked(&self.state.script).push(Script { method, part: part.into(), fault, times });
    }

    /// Takes all faults back.
    pub fn mend(&self) {
        locked(&self.state.script).clear();
    }

    /// The requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        locked(&self.state.seen).clone()
    }

    /// Forgets the requests so far.
    pub fn forget(&self) {
        locked(&self.state.seen).clear();
    }
}

impl Drop for ScriptedHub {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::Relaxed);
        // Each listener waits for a connection; one more lets it see that it is over.
        for address in [self.endpoint.clone(), self.store()] {
            let _ = TcpStream::connect(address.trim_start_matches("http://"));
        }
    }
}

fn serve(listener: &TcpListener, is_store: bool, state: &Arc<State>) {
    for stream in listener.incoming().flatten() {
        if state.is_over.load(Ordering::Relaxed) {
            return;
        }
        let state = state.clone();
        std::thread::spawn(move || {
            // A client that leaves early is part of the tests.
            let _ = answer(stream, is_store, &state);
        });
    }
}

/// An answer before faults.
struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn new(status: u16, headers: Vec<(&'static str, String)>, body: Vec<u8>) -> Self {
        Self { status, headers, body }
    }

    fn error(status: u16, code: &str, message: &str) -> Self {
        let headers = vec![("X-Error-Code", code.to_string()), ("X-Error-Message", message.to_string())];
        Self::new(status, headers, json!({"error": message}).to_string().into_bytes())
    }
}

fn answer(mut stream: TcpStream, by_store: bool, state: &State) -> io::Result<()> {
    let Some(request) = read_request(&stream, by_store)? else { return Ok(()) };
    locked(&state.seen).push(request.clone());
    let fault = state.take_fault(&request);
    let mut request = request;
    if matches!(fault, Some(Fault::NoRanges(_))) {
        request.range = None;
    }
    let mut answer = if by_store { state.of_store(&request) } else { state.of_hub(&request) };
    let (mut ends, mut stalls) = (answer.body.len(), false);
    match fault {
        Some(Fault::Status(status, headers)) => {
            answer = Answer::new(status, headers, Vec::new());
            ends = 0;
        }
        Some(Fault::Cut(at) | Fault::NoRanges(at)) => ends = ends.min(at),
        Some(Fault::Stall(at)) => (ends, stalls) = (ends.min(at), true),
        Some(Fault::Flip) => answer.body.iter_mut().take(1).for_each(|byte| *byte ^= 1),
        Some(Fault::Header(name, value)) => {
            answer.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
            answer.headers.push((name, value));
        }
        None => {}
    }
    let mut head = format!("HTTP/1.1 {} Scripted\r\nConnection: close\r\n", answer.status);
    head.extend([format!("Content-Length: {}\r\n", answer.body.len())]);
    head.extend(answer.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")));
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    if request.method != "HEAD" {
        stream.write_all(&answer.body[..ends])?;
    }
    stream.flush()?;
    let mut silent = Duration::ZERO;
    while stalls && silent < LONGEST_STALL && !state.is_over.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(20));
        silent += Duration::from_millis(20);
    }
    Ok(())
}

fn read_request(stream: &TcpStream, by_store: bool) -> io::Result<Option<Seen>> {
    let mut lines = BufReader::new(stream.take(64 * 1024)).lines();
    let Some(first) = lines.next().transpose()? else { return Ok(None) };
    let mut words = first.split(' ').map(str::to_string);
    let (Some(method), Some(path)) = (words.next(), words.next()) else { return Ok(None) };
    let mut seen = Seen { by_store, method, path, range: None, authorization: None };
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "range" => seen.range = Some(value.trim().to_string()),
            "authorization" => seen.authorization = Some(value.trim().to_string()),
            _ => {}
        }
    }
    Ok(Some(seen))
}

impl State {
    fn take_fault(&self, request: &Seen) -> Option<Fault> {
        let mut script = locked(&self.script);
        let fits = |s: &Script| {
            (s.method.is_empty() || s.method == request.method) && request.path.contains(&s.part)
        };
        let at = script.iter().position(fits)?;
        script[at].times -= 1;
        let fault = script[at].fault.clone();
        if script[at].times == 0 {
            script.remove(at);
        }
        Some(fault)
    }

    fn of_store(&self, request: &Seen) -> Answer {
        if request.authorization.is_some() {
            return Answer::new(400, Vec::new(), b"only one way to authenticate is allowed".to_vec());
        }
        let repositories = locked(&self.repositories);
        let mut files = repositories.iter().flat_map(|repository| &repository.files);
        match files.find(|file| request.path.contains(&file.sha256)) {
            Some(file) => part(file, request.range.as_deref(), vec![("ETag", "\"of-the-store\"".into())]),
            None => Answer::new(404, Vec::new(), Vec::new()),
        }
    }

    fn of_hub(&self, request: &Seen) -> Answer {
        let path = request.path.split('?').next().unwrap_or_default().replace("%2F", "/");
        let repositories = locked(&self.repositories);
        let missing = || Answer::error(401, "RepoNotFound", "Repository not found");
        let api = path.strip_prefix("/api/");
        let rest = api.unwrap_or(path.trim_start_matches('/'));
        let (kind, rest) = match (rest.strip_prefix("datasets/"), api.is_some()) {
            (Some(rest), _) => (Kind::Dataset, rest),
            (None, true) => (Kind::Model, rest.strip_prefix("models/").unwrap_or(rest)),
            (None, false) => (Kind::Model, rest),
        };
        let mut parts = rest.splitn(4, '/');
        let mut next = || parts.next().unwrap_or_default().to_string();
        let (id, verb, rest) = (format!("{}/{}", next(), next()), next(), next());
        let of_id = || repositories.iter().filter(|r| r.kind == kind && r.id == id);
        let Some(newest) = of_id().next() else { return missing() };
        let (revision, file) = match api {
            Some(_) => (rest.as_str(), ""),
            None => rest.split_once('/').unwrap_or((&rest, "")),
        };
        let at = if revision == "main" { Some(newest) } else { of_id().find(|r| r.commit == revision) };
        let Some(repository) = at else {
            return Answer::error(404, "RevisionNotFound", &format!("Invalid rev id: {revision}"));
        };
        match (api.is_some(), verb.as_str()) {
            (true, "revision") => json_answer(&repository.listing()),
            (true, "tree") => json_answer(&repository.tree()),
            (false, "resolve") => match repository.files.iter().find(|stored| stored.path == file) {
                Some(stored) => self.resolved(repository, stored, request.range.as_deref()),
                None => Answer::error(404, "EntryNotFound", "Entry not found"),
            },
            _ => missing(),
        }
    }

    fn resolved(&self, repository: &Repository, file: &Stored, range: Option<&str>) -> Answer {
        let commit = ("X-Repo-Commit", repository.commit.clone());
        match file.place {
            Place::Hub => part(file, range, vec![commit, ("ETag", format!("\"{}\"", file.blob_id))]),
            Place::Store => {
                let location = format!("{}/{}?signature=s", locked(&self.store), file.sha256);
                let linked = [
                    ("X-Linked-ETag", format!("\"{}\"", file.sha256)),
                    ("X-Linked-Size", file.bytes.len().to_string()),
                    ("Location", location),
                ];
                Answer::new(302, [commit].into_iter().chain(linked).collect(), Vec::new())
            }
        }
    }
}

impl Repository {
    fn listing(&self) -> Value {
        let siblings: Vec<Value> = self.files.iter().map(|file| json!({"rfilename": file.path})).collect();
        json!({"id": self.id, "sha": self.commit, "siblings": siblings})
    }

    fn tree(&self) -> Value {
        let file = |file: &Stored| {
            let size = file.bytes.len();
            let mut entry = json!({"type": "file", "path": file.path, "size": size, "oid": file.blob_id});
            if file.place == Place::Store {
                entry["lfs"] = json!({"oid": file.sha256, "size": size, "pointerSize": 134});
            }
            entry
        };
        self.files.iter().map(file).collect()
    }
}

fn json_answer(json: &Value) -> Answer {
    Answer::new(200, vec![("Content-Type", "application/json".into())], json.to_string().into_bytes())
}

/// A file, or what a range asks for of it.
fn part(file: &Stored, range: Option<&str>, mut headers: Vec<(&'static str, String)>) -> Answer {
    let total = file.bytes.len();
    let Some((first, last)) = range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-')) else {
        return Answer::new(200, headers, file.bytes.clone());
    };
    let first = first.parse().unwrap_or(0);
    let end = last.parse().map_or(total, |last: usize| (last + 1).min(total));
    if first >= end {
        return Answer::new(416, vec![("Content-Range", format!("bytes */{total}"))], Vec::new());
    }
    headers.push(("Content-Range", format!("bytes {first}-{}/{total}", end - 1)));
    Answer::new(206, headers, file.bytes[first..end].to_vec())
}
