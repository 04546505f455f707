//! Files of Hugging Face repositories, from the cache or the network.
//!
//! A repository is named `org/name[@revision]`; what comes back is a local folder (a snapshot of the cache that the Python libraries share).
//! Honoured: `HF_HOME` (where the cache is), `HF_TOKEN`, `HF_ENDPOINT`, and `HF_HUB_OFFLINE`, with which only what is cached already is
//! used. Which files are wanted is the caller's business, as a predicate on their paths.

use hf_hub::api::sync::{ApiBuilder, ApiError};
use hf_hub::{Cache, Repo, RepoType};
use std::path::{Path, PathBuf};

/// A repository, as the user names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// `org/name`.
    pub repo: String,
    /// Branch, tag or commit; `main` unless named.
    pub revision: Option<String>,
}

/// What a repository holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A model.
    Model,
    /// A data set.
    Dataset,
}

/// Failures of getting files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not a name of a repository.
    #[error("{0:?} is neither a path that exists nor a repository org/name[@revision]")]
    NotAName(String),
    /// Offline, and the cache does not hold what is wanted.
    #[error(
        "{repo} (revision {revision}) is not in the cache at {cache}, and HF_HUB_OFFLINE is set: \
         unset it, or download the files where there is a network and copy the cache"
    )]
    Offline {
        /// The repository.
        repo: String,
        /// Its revision.
        revision: String,
        /// The cache.
        cache: PathBuf,
    },
    /// The network or the Hub refused.
    #[error(
        "cannot download {repo} (revision {revision}): {source} \
         (private and gated repositories need HF_TOKEN; with no network, give a local folder: --model, or --data-dir for a benchmark)"
    )]
    Download {
        /// The repository.
        repo: String,
        /// Its revision.
        revision: String,
        /// Why.
        source: Box<ApiError>,
    },
    /// The repository has none of the files.
    #[error("{repo} (revision {revision}) has none of the files that are needed: {needed}")]
    NothingFits {
        /// The repository.
        repo: String,
        /// Its revision.
        revision: String,
        /// What was looked for.
        needed: String,
    },
}

impl Name {
    /// Reads `org/name[@revision]`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let (repo, revision) = match text.split_once('@') {
            Some((repo, revision)) => (repo, Some(revision)),
            None => (text, None),
        };
        let fits = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        };
        let parts: Vec<&str> = repo.split('/').collect();
        if parts.len() != 2 || !parts.iter().all(|part| fits(part)) || revision.is_some_and(str::is_empty) {
            return Err(Error::NotAName(text.to_string()));
        }
        Ok(Self { repo: repo.to_string(), revision: revision.map(str::to_string) })
    }

    fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or("main")
    }
}

/// Whether a path within a model's repository is needed to run it.
pub fn is_model_file(path: &str) -> bool {
    const NAMES: [&str; 7] = [
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "chat_template.jinja",
        "model.safetensors.index.json",
    ];
    NAMES.contains(&path) || (path.ends_with(".safetensors") && !path.contains('/'))
}

/// Gets the wanted files and returns the folder that holds them. `needed` says in words what they are.
pub fn fetch(kind: Kind, name: &Name, wanted: impl Fn(&str) -> bool, needed: &str) -> Result<PathBuf, Error> {
    let repo_type = match kind {
        Kind::Model => RepoType::Model,
        Kind::Dataset => RepoType::Dataset,
    };
    let repo = Repo::with_revision(name.repo.clone(), repo_type, name.revision().to_string());
    if is_offline() {
        return cached(name, &repo, &wanted);
    }
    let failed = |source: ApiError| Error::Download {
        repo: name.repo.clone(),
        revision: name.revision().to_string(),
        source: Box::new(source),
    };
    let mut builder = ApiBuilder::from_env();
    if let Ok(token) = std::env::var("HF_TOKEN") {
        builder = builder.with_token(Some(token));
    }
    let api = builder.build().map_err(failed)?.repo(repo);
    let files: Vec<String> = api
        .info()
        .map_err(failed)?
        .siblings
        .into_iter()
        .map(|s| s.rfilename)
        .filter(|path| wanted(path))
        .collect();
    let mut folder = None;
    for file in &files {
        let local = api.get(file).map_err(failed)?;
        folder = snapshot_folder(&local, file).or(folder);
    }
    folder.ok_or_else(|| Error::NothingFits {
        repo: name.repo.clone(),
        revision: name.revision().to_string(),
        needed: needed.to_string(),
    })
}

fn is_offline() -> bool {
    std::env::var("HF_HUB_OFFLINE")
        .is_ok_and(|v| matches!(v.to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on"))
}

/// The folder of the snapshot in which `file` lies at `local`.
fn snapshot_folder(local: &Path, file: &str) -> Option<PathBuf> {
    local.ancestors().nth(file.split('/').count()).map(Path::to_path_buf)
}

fn cached(name: &Name, repo: &Repo, wanted: &impl Fn(&str) -> bool) -> Result<PathBuf, Error> {
    let cache = Cache::from_env();
    let root = cache.path().join(repo.folder_name());
    let by_reference = std::fs::read_to_string(root.join("refs").join(name.revision()));
    let commit =
        by_reference.map_or_else(|_| name.revision().to_string(), |commit| commit.trim().to_string());
    let snapshot = root.join("snapshots").join(commit);
    if holds(&snapshot, &snapshot, wanted) {
        return Ok(snapshot);
    }
    Err(Error::Offline {
        repo: name.repo.clone(),
        revision: name.revision().to_string(),
        cache: cache.path().clone(),
    })
}

/// Whether a wanted file lies below the folder.
fn holds(root: &Path, folder: &Path, wanted: &impl Fn(&str) -> bool) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    entries.filter_map(Result::ok).any(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return holds(root, &path, wanted);
        }
        path.strip_prefix(root).ok().and_then(Path::to_str).is_some_and(wanted)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_org_name_and_revision() {
        let name = Name::parse("allenai/OLMo-2-0425-1B@stage1-step10000-tokens21B").unwrap();
        assert_eq!(name.repo, "allenai/OLMo-2-0425-1B");
        assert_eq!(name.revision(), "stage1-step10000-tokens21B");
        assert_eq!(Name::parse("openai/gsm8k").unwrap().revision(), "main");
        for bad in ["gsm8k", "a/b/c", "../x", "a/", "a/b@", "/abs/path", "a b/c"] {
            assert!(matches!(Name::parse(bad), Err(Error::NotAName(_))), "{bad}");
        }
    }

    #[test]
    fn a_snapshot_is_found_without_a_network() {
        let home = tempfile::tempdir().unwrap();
        let snapshot = home.path().join("snapshots/abc/main");
        std::fs::create_dir_all(&snapshot).unwrap();
        std::fs::write(snapshot.join("test-00000-of-00001.parquet"), b"").unwrap();
        let root = home.path().join("snapshots/abc");
        assert!(holds(&root, &root, &|path| path == "main/test-00000-of-00001.parquet"));
        assert!(!holds(&root, &root, &|path| path == "other"));
        let local = snapshot.join("test-00000-of-00001.parquet");
        assert_eq!(snapshot_folder(&local, "main/test-00000-of-00001.parquet"), Some(root));
    }
}
