//! What comes of the faults of a Hub: the message, the requests, and what is left in the cache.

mod cache;
mod faults;
mod hostile;
mod python;

use crate::scripted::{Place, ScriptedHub, Seen};
use crate::{Error, Event, Fetched, Hub, Kind, Name, Observer, Patience, Silent};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

const REPO: &str = "org/tiny";
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const TOKEN: &str = "hf_secret";
const WEIGHTS: &str = "model.safetensors";

/// A scripted Hub with one model, a cache, and a client that does not wait long.
struct Scene {
    hub: ScriptedHub,
    home: tempfile::TempDir,
    client: Hub,
}

/// What an observer heard.
#[derive(Default)]
struct Heard {
    notes: Mutex<Vec<String>>,
    bytes: Mutex<i64>,
    announced: Mutex<u64>,
}

impl Observer for Heard {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Begins { n_bytes, .. } => *self.announced.lock().unwrap() += n_bytes,
            Event::Received(n) => *self.bytes.lock().unwrap() += n as i64,
            Event::Lost(n) => *self.bytes.lock().unwrap() -= n as i64,
            Event::Note(text) => self.notes.lock().unwrap().push(text.to_string()),
            Event::Ends => {}
        }
    }
}

fn weights() -> Vec<u8> {
    (0..300_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

impl Scene {
    fn new() -> Self {
        let (hub, home) = (ScriptedHub::start().unwrap(), tempfile::tempdir().unwrap());
        let mut client = Hub::new(hub.endpoint(), &home.path().join("hub"));
        client.token = Some(TOKEN.to_string());
        client.patience = Patience {
            connect: Duration::from_secs(5),
            read: Duration::from_secs(1),
            attempts: 3,
            backoff: Duration::from_millis(10),
            longest: Duration::from_secs(2),
        };
        let scene = Self { hub, home, client };
        scene.put_model(COMMIT, &weights());
        scene
    }

    fn put_model(&self, commit: &str, weights: &[u8]) {
        let files: [(&str, &[u8], Place); 6] = [
            ("README.md", b"# Tiny", Place::Hub),
            ("config.json", b"{\"model_type\": \"llama\"}", Place::Hub),
            ("tokenizer.json", b"{}", Place::Hub),
            (WEIGHTS, weights, Place::Store),
            ("consolidated.safetensors", weights, Place::Store),
            ("original/params.json", b"{}", Place::Hub),
        ];
        self.hub.put(Kind::Model, REPO, commit, &files);
    }

    fn fetch(&self) -> Result<Fetched, Error> {
        self.client.model(&Name::parse(REPO).unwrap(), &Silent)
    }

    fn fetch_named(&self, name: &str) -> Result<Fetched, Error> {
        self.client.model(&Name::parse(name).unwrap(), &Silent)
    }

    /// The message of a fetch that must fail.
    fn fails(&self) -> String {
        self.fetch().unwrap_err().to_string()
    }

    fn offline(&self) -> Result<Fetched, Error> {
        let client = Hub { offline: true, ..self.client.clone() };
        client.model(&Name::parse(REPO).unwrap(), &Silent)
    }

    fn store(&self) -> PathBuf {
        self.client.cache.join("models--org--tiny")
    }

    /// Every file below the home folder but locks, as paths.
    fn left(&self) -> Vec<String> {
        let mut found = Vec::new();
        collect(self.home.path(), self.home.path(), &mut found);
        found.retain(|path| !path.contains("/.locks/"));
        found.sort();
        found
    }

    fn snapshot_files(&self) -> Vec<String> {
        self.left().iter().filter_map(|path| Some(path.split_once("/snapshots/")?.1.to_string())).collect()
    }

    fn requests(&self, method: &str, part: &str) -> Vec<Seen> {
        self.hub.seen().into_iter().filter(|seen| seen.method == method && seen.path.contains(part)).collect()
    }

    fn store_requests(&self) -> Vec<Seen> {
        self.hub.seen().into_iter().filter(|seen| seen.by_store).collect()
    }
}

fn collect(root: &Path, folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            collect(root, &path, found);
        } else {
            found.push(path.strip_prefix(root).unwrap().display().to_string());
        }
    }
}

fn says(message: &str, fragments: &[&str]) {
    for fragment in fragments {
        assert!(message.contains(fragment), "{message:?} does not say {fragment:?}");
    }
}
