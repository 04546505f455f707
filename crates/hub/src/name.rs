//! Names of repositories, and of GGUF files in them, as users write them.

use crate::error::Error;

/// What a repository holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A model.
    Model,
    /// A data set.
    Dataset,
}

impl Kind {
    /// The word in the Hub's API and, as a prefix, in the cache.
    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::Model => "models",
            Self::Dataset => "datasets",
        }
    }

    /// What precedes the repository in the address of a file.
    pub(crate) fn file_prefix(self) -> &'static str {
        match self {
            Self::Model => "",
            Self::Dataset => "datasets/",
        }
    }
}

/// A repository, as the user names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// `org/name`.
    pub repo: String,
    /// Branch, tag or commit; `main` unless named.
    pub revision: Option<String>,
    /// The file wanted of a repository of GGUF files.
    pub gguf: Option<Gguf>,
}

/// A file in a repository of GGUF files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gguf {
    /// Its path in the repository.
    File(String),
    /// Its quantisation, such as `Q4_K_M`, which is in the name of the file; case does not matter.
    Quantisation(String),
}

impl Name {
    /// Reads `org/name`, `org/name:QUANTISATION` or `org/name/file.gguf`, each with or without `@revision`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let refuse = || {
            if looks_like_a_file(text) { Error::NoFile(text.into()) } else { Error::NotAName(text.into()) }
        };
        let (place, revision) = match text.split_once('@') {
            Some((place, revision)) => (place, Some(revision)),
            None => (text, None),
        };
        let mut parts = place.splitn(3, '/');
        let (Some(org), Some(rest)) = (parts.next(), parts.next()) else { return Err(refuse()) };
        let (name, gguf) = match (parts.next(), rest.split_once(':')) {
            (Some(path), None) => (rest, Some(Gguf::File(path.to_string()))),
            (None, Some((name, tag))) => (name, Some(Gguf::Quantisation(tag.to_string()))),
            (None, None) => (rest, None),
            (Some(_), Some(_)) => return Err(refuse()),
        };
        let fits = is_part(org)
            && is_part(name)
            && revision.is_none_or(is_revision)
            && match &gguf {
                Some(Gguf::File(path)) => is_relative(path) && is_gguf(path),
                Some(Gguf::Quantisation(tag)) => is_part(tag),
                None => !has_ending_of_a_file(name),
            };
        if !fits {
            return Err(refuse());
        }
        Ok(Self { repo: format!("{org}/{name}"), revision: revision.map(str::to_string), gguf })
    }

    /// The revision that is asked for.
    pub fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or("main")
    }
}

fn is_part(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('.')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

/// Whether git could call a branch, tag or commit so, and it is a path that stays where it is put.
fn is_revision(text: &str) -> bool {
    is_relative(text) && text.chars().all(|c| c.is_ascii_graphic() && !"~^:?*[\\\"<>|".contains(c))
}

/// Whether a path with slashes stays below the folder that it is put in, on every system.
pub(crate) fn is_relative(path: &str) -> bool {
    let fits = |part: &str| {
        !part.is_empty()
            && part != "."
            && part != ".."
            && !part.contains(['\\', ':'])
            && !part.contains(char::is_control)
    };
    path.split('/').all(fits)
}

pub(crate) fn is_gguf(path: &str) -> bool {
    path.to_ascii_lowercase().ends_with(".gguf")
}

fn has_ending_of_a_file(text: &str) -> bool {
    let ending = text.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    let of_files =
        ["gguf", "safetensors", "bin", "pt", "pth", "json", "jsonl", "parquet", "csv", "tsv", "zip", "gz"];
    ending.is_some_and(|ending| of_files.contains(&&*ending))
}

/// Whether a text that names no repository was meant as a path.
fn looks_like_a_file(text: &str) -> bool {
    has_ending_of_a_file(text)
        || text.ends_with('/')
        || text.starts_with(['/', '.', '~'])
        || text.contains('\\')
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
        assert_eq!(Name::parse("a/b@refs/pr/1").unwrap().revision(), "refs/pr/1");
        for bad in [
            "gsm8k",
            "a/b/c",
            "a/b@",
            "a b/c",
            "a/b@../../x",
            "a/b@/x",
            "a/b@x//y",
            "a/b@x:Q8_0",
            "a/b:",
            "a/b:../x",
        ] {
            assert!(matches!(Name::parse(bad), Err(Error::NotAName(_))), "{bad}");
        }
    }

    #[test]
    fn a_gguf_file_is_named_by_path_or_quantisation() {
        let gguf = |text: &str| Name::parse(text).unwrap().gguf.unwrap();
        assert_eq!(gguf("a/b:Q4_K_M"), Gguf::Quantisation("Q4_K_M".into()));
        assert_eq!(gguf("a/b/c.gguf"), Gguf::File("c.gguf".into()));
        assert_eq!(gguf("a/b/Q8_0/c.GGUF"), Gguf::File("Q8_0/c.GGUF".into()));
        let name = Name::parse("a/b:q8_0@v1").unwrap();
        assert_eq!((name.repo.as_str(), name.revision()), ("a/b", "v1"));
    }

    #[test]
    fn a_path_that_is_not_there_is_told_from_a_repository() {
        for path in [
            "dir/model.gguf",
            "model.gguf",
            "./a/b",
            "../x",
            "/no/such/model",
            "~/models/a",
            "a/b/",
            "a\\b.gguf",
            "a/../b.gguf",
        ] {
            assert!(matches!(Name::parse(path), Err(Error::NoFile(_))), "{path}");
        }
    }
}
