//! The flow: listing, choice of files, download, snapshot. Without a network, what the cache has of it.

use crate::cache::Store;
use crate::choice::{Choice, Lack, OLDER_TOKENIZER, Part, TOKENIZER, Wanted};
use crate::digest::Etag;
use crate::download;
use crate::error::Error;
use crate::http::Client;
use crate::hub::Hub;
use crate::listing::{Metadata, Remote, asked};
use crate::name::{Kind, Name};
use crate::progress::{Event, Observer};
use crate::retry::Watch;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Files on their way at the same time.
const MOST_AT_ONCE: usize = 8;

/// Where wanted files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The folder of the snapshot; of a GGUF file its path, of one that is split that of the first part.
    pub path: PathBuf,
    /// The commit.
    pub commit: String,
}

impl Hub {
    /// Gets a model: its folder, or its file where the name asks for a GGUF file.
    pub fn model(&self, name: &Name, observer: &dyn Observer) -> Result<Fetched, Error> {
        let wanted = name.gguf.as_ref().map_or(Wanted::Model, Wanted::Gguf);
        self.fetch(Kind::Model, name, &wanted, observer)
    }

    /// Gets the text side of a model, tokenizer and chat template: its folder, or its file where the name asks for a GGUF file.
    pub fn text(&self, name: &Name, observer: &dyn Observer) -> Result<Fetched, Error> {
        let wanted = name.gguf.as_ref().map_or(Wanted::Text, Wanted::Gguf);
        self.fetch(Kind::Model, name, &wanted, observer)
    }

    /// Gets parts of a data set: the folder that holds them.
    pub fn dataset(
        &self,
        name: &Name,
        parts: &[Part<'_>],
        observer: &dyn Observer,
    ) -> Result<Fetched, Error> {
        self.fetch(Kind::Dataset, name, &Wanted::Parts(parts), observer)
    }

    fn fetch(
        &self,
        kind: Kind,
        name: &Name,
        wanted: &Wanted<'_>,
        observer: &dyn Observer,
    ) -> Result<Fetched, Error> {
        let store = Store::new(&self.cache, kind, &name.repo);
        let watch = Watch::new(observer);
        let fetch = Fetch { hub: self, name, wanted, store, watch: &watch };
        if self.offline {
            return fetch.cached();
        }
        let asked = asked(&self.endpoint, kind, &name.repo, name.revision(), self.token.is_some());
        let remote = Remote { client: Client::new(self)?, asked, patience: self.patience, watch: &watch };
        fetch.online(&remote)
    }
}

/// One wish.
struct Fetch<'a> {
    hub: &'a Hub,
    name: &'a Name,
    wanted: &'a Wanted<'a>,
    store: Store,
    watch: &'a Watch<'a>,
}

impl Fetch<'_> {
    fn online(&self, remote: &Remote<'_>) -> Result<Fetched, Error> {
        let listing = match remote.listing() {
            Ok(listing) => listing,
            Err(error @ Error::Unreachable { .. }) => {
                let Ok(cached) = self.cached() else { return Err(error) };
                self.watch.note(&format!("{error}; using what the cache has, commit {}", cached.commit));
                return Ok(cached);
            }
            Err(error) => return Err(error),
        };
        let commit = &listing.commit;
        let mut blobs = BTreeMap::new();
        let choice = self.wanted.choose(&listing.paths, &mut |file| {
            self.download(remote, commit, &[file.to_string()], &mut blobs)?;
            let path = blobs
                .get(file)
                .map_or_else(|| self.store.snapshot(commit).join(file), |etag| self.store.blob(etag));
            Ok(std::fs::read(&path).map_err(Error::io("read", &path))?)
        });
        let choice = choice.map_err(|lack| match lack {
            Lack::Failed(error) => error,
            Lack::Missing(needed) => {
                let (repo, revision) = (self.name.repo.clone(), self.name.revision().to_string());
                Error::NothingFits { repo, revision, needed }
            }
        })?;
        self.download(remote, commit, &choice.files, &mut blobs)?;
        for (file, etag) in &blobs {
            self.store.link(commit, file, etag)?;
        }
        let is_lacking =
            matches!(self.wanted, Wanted::Model) && !listing.paths.iter().any(|path| path == TOKENIZER);
        let absent: &[&str] = if is_lacking { &[TOKENIZER] } else { &[] };
        if let Err(error) = self.store.remember(self.name.revision(), commit, absent) {
            self.watch.note(&format!("{error}; without a network this revision will not be found"));
        }
        Ok(self.fetched(commit, &choice))
    }

    fn fetched(&self, commit: &str, choice: &Choice) -> Fetched {
        let folder = self.store.snapshot(commit);
        let path = choice.opened.as_ref().map_or_else(|| folder.clone(), |file| folder.join(file));
        Fetched { path, commit: commit.to_string() }
    }

    /// Gets the blobs of those files that the snapshot does not have, and tells which they are.
    fn download(
        &self,
        remote: &Remote<'_>,
        commit: &str,
        files: &[String],
        blobs: &mut BTreeMap<String, Etag>,
    ) -> Result<(), Error> {
        let snapshot = self.store.snapshot(commit);
        let new: Vec<&String> = files
            .iter()
            .filter(|file| !blobs.contains_key(*file) && !snapshot.join(file).is_file())
            .collect();
        if new.is_empty() {
            return Ok(());
        }
        let described = in_parallel(&new, self.watch, |file| remote.metadata(commit, file))?;
        let mut lacking: Vec<&Metadata> =
            described.iter().filter(|file| !download::is_whole(&self.store, file)).collect();
        lacking.sort_by(|a, b| a.etag.cmp(&b.etag));
        lacking.dedup_by(|a, b| a.etag == b.etag);
        if !lacking.is_empty() {
            self.store.prepare()?;
            let n_bytes = lacking.iter().map(|file| download::missing_bytes(&self.store, file)).sum();
            self.ask_for_space(n_bytes)?;
            let event = Event::Begins { repo: &self.name.repo, n_files: lacking.len(), n_bytes };
            self.watch.observer.event(event);
            let outcome =
                in_parallel(&lacking, self.watch, |file| download::blob(remote, &self.store, commit, file));
            self.watch.observer.event(Event::Ends);
            outcome?;
        }
        blobs.extend(described.into_iter().map(|file| (file.path, file.etag)));
        Ok(())
    }

    fn ask_for_space(&self, needed: u64) -> Result<(), Error> {
        // A disk that does not tell is given the benefit of the doubt.
        let Ok(available) = (self.hub.free_space)(&self.hub.cache) else { return Ok(()) };
        if available >= needed {
            return Ok(());
        }
        let (repo, cache) = (self.name.repo.clone(), self.hub.cache.clone());
        Err(Error::NoSpace { repo, needed, available, cache })
    }

    /// The snapshot as the cache has it, if that is complete.
    fn cached(&self) -> Result<Fetched, Error> {
        let revision = self.name.revision();
        let lacks = |missing: String| Error::Offline {
            repo: self.name.repo.clone(),
            revision: revision.to_string(),
            cache: self.hub.cache.clone(),
            missing,
        };
        let commit =
            self.store.commit(revision).ok_or_else(|| lacks("nothing of that revision is there".into()))?;
        let present = self.store.files(&commit);
        let all = self.store.all_files(&commit);
        let snapshot = self.store.snapshot(&commit);
        let choice = self.wanted.choose(all.as_ref().unwrap_or(&present), &mut |file| {
            std::fs::read(snapshot.join(file)).map_err(|_| Lack::Missing(file.to_string()))
        });
        let choice = choice.map_err(|lack| match lack {
            Lack::Failed(error) => error,
            Lack::Missing(what) => lacks(format!("of commit {commit} it lacks {what}")),
        })?;
        let mut missing: Vec<&str> = choice
            .files
            .iter()
            .map(String::as_str)
            .filter(|file| !present.iter().any(|p| p == file))
            .collect();
        if all.is_none() && self.lacks_a_vocabulary(&commit, &choice) {
            missing.push(TOKENIZER);
        }
        if missing.is_empty() {
            return Ok(self.fetched(&commit, &choice));
        }
        Err(lacks(format!("of commit {commit} it lacks {}", missing.join(", "))))
    }

    /// Whether a model came without its vocabulary though the repository may have one.
    fn lacks_a_vocabulary(&self, commit: &str, choice: &Choice) -> bool {
        let has = |name: &str| choice.files.iter().any(|file| file == name);
        matches!(self.wanted, Wanted::Model)
            && !has(TOKENIZER)
            && !OLDER_TOKENIZER.iter().all(|name| has(name))
            && !self.store.is_absent(commit, TOKENIZER)
    }
}

/// Does the work for each item on a few threads. The first failure stops the others.
fn in_parallel<T: Sync, R: Send>(
    items: &[T],
    watch: &Watch<'_>,
    work: impl Fn(&T) -> Result<R, Error> + Sync,
) -> Result<Vec<R>, Error> {
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Vec::new());
    let worker = || {
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            let outcome = work(item);
            let failed = outcome.is_err();
            if let Ok(mut outcomes) = outcomes.lock() {
                outcomes.push(outcome);
            }
            if failed {
                return watch.cancel();
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..items.len().min(MOST_AT_ONCE) {
            scope.spawn(worker);
        }
    });
    let outcomes = outcomes.into_inner().unwrap_or_default();
    let (done, failed): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    let mut errors: Vec<Error> = failed.into_iter().filter_map(Result::err).collect();
    errors.sort_by_key(|error| matches!(error, Error::Cancelled));
    match errors.into_iter().next() {
        Some(error) => Err(error),
        None => Ok(done.into_iter().filter_map(Result::ok).collect()),
    }
}
