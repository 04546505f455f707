//! What the Hub says of a repository and of its files.
//!
//! `GET /api/models/ORG/NAME/revision/REVISION` lists commit and files. `HEAD /ORG/NAME/resolve/COMMIT/PATH` tells of one file; large ones
//! are redirected to a store, and then `X-Linked-ETag` and `X-Linked-Size` on the answer that redirects are those of the file.

use crate::digest::{Etag, is_commit};
use crate::error::Error;
use crate::http::{Answer, Client};
use crate::hub::Patience;
use crate::name::{Kind, is_relative};
use crate::refusal::Asked;
use crate::retry::{Failure, Watch, patiently};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::io::Read;
use ureq::http::HeaderMap;

/// Most bytes of a listing.
const MOST_LISTED: u64 = 64 << 20;

/// What stands in an address as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The same for paths.
const PLAIN_PATH: &AsciiSet = &PLAIN.remove(b'/');

/// A repository on a Hub.
pub(crate) struct Remote<'a> {
    pub(crate) client: Client,
    pub(crate) asked: Asked,
    pub(crate) patience: Patience,
    pub(crate) watch: &'a Watch<'a>,
}

/// A revision of a repository.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) commit: String,
    /// Paths that stay below a folder; others are not files that anybody could want.
    pub(crate) paths: Vec<String>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Metadata {
    pub(crate) path: String,
    pub(crate) etag: Etag,
    pub(crate) size: Option<u64>,
}

impl Remote<'_> {
    /// The files of the revision.
    pub(crate) fn listing(&self) -> Result<Listing, Error> {
        let Asked { endpoint, kind, repo, revision, .. } = &self.asked;
        let revision = utf8_percent_encode(revision, PLAIN);
        let url = format!("{endpoint}/api/{}/{repo}/revision/{revision}", kind.plural());
        let text = patiently(self.patience, self.watch, || self.text(&url))?;
        read_listing(&text).map_err(|problem| Error::Answer { url, problem })
    }

    fn text(&self, url: &str) -> Result<Vec<u8>, Failure> {
        let answer = self.asked.accept(self.client.get(url, 0)?, false)?;
        let mut text = Vec::new();
        let body = answer.response.into_body().into_reader();
        let read = body.take(MOST_LISTED).read_to_end(&mut text);
        read.map_err(|error| self.client.failure(url, error.into()))?;
        Ok(text)
    }

    /// What a file is called in the cache, and how long it is.
    pub(crate) fn metadata(&self, commit: &str, path: &str) -> Result<Metadata, Error> {
        let url = self.address(commit, path);
        let answer = patiently(self.patience, self.watch, || {
            self.asked.accept(self.client.head(&url, is_of_a_linked_file)?, true)
        })?;
        let bad = |problem: String| Error::Answer { url: url.clone(), problem };
        if let Some(stated) = answer.header("x-repo-commit").filter(|stated| *stated != commit) {
            return Err(bad(format!("the answer is of the commit {stated:?}, not of {commit}")));
        }
        let etag = answer.header("x-linked-etag").or_else(|| answer.header("etag"));
        let etag = etag.ok_or_else(|| bad("the answer has no ETag".into()))?;
        let checked = Etag::parse(etag)
            .ok_or_else(|| bad(format!("the ETag {etag:?} cannot be the name of a file in the cache")))?;
        Ok(Metadata { path: path.to_string(), etag: checked, size: size(&answer) })
    }

    /// A file's bytes from a position on.
    pub(crate) fn body(&self, commit: &str, path: &str, from: u64) -> Result<Answer, Failure> {
        self.client.get(&self.address(commit, path), from)
    }

    pub(crate) fn address(&self, commit: &str, path: &str) -> String {
        let Asked { endpoint, kind, repo, .. } = &self.asked;
        let path = utf8_percent_encode(path, PLAIN_PATH);
        format!("{endpoint}/{}{repo}/resolve/{commit}/{path}", kind.file_prefix())
    }
}

fn is_of_a_linked_file(headers: &HeaderMap) -> bool {
    headers.contains_key("x-linked-etag")
}

fn size(answer: &Answer) -> Option<u64> {
    let number = |name: &str| answer.header(name).and_then(|text| text.parse().ok());
    if let Some((_, total)) = answer.content_range() {
        return total;
    }
    let own = if answer.response.status().is_success() { number("content-length") } else { None };
    number("x-linked-size").or(own)
}

fn read_listing(text: &[u8]) -> Result<Listing, String> {
    let json: serde_json::Value =
        serde_json::from_slice(text).map_err(|error| format!("the listing is not JSON: {error}"))?;
    let commit = json.get("sha").and_then(|sha| sha.as_str()).ok_or("the listing names no commit (sha)")?;
    if !is_commit(commit) {
        return Err(format!("the listing is of {commit:?}, which is no commit"));
    }
    let files =
        json.get("siblings").and_then(|files| files.as_array()).ok_or("the listing has no siblings")?;
    let paths = files.iter().filter_map(|file| file.get("rfilename")?.as_str());
    Ok(Listing {
        commit: commit.to_string(),
        paths: paths.filter(|path| is_relative(path)).map(str::to_string).collect(),
    })
}

/// What is asked of a Hub.
pub(crate) fn asked(endpoint: &str, kind: Kind, repo: &str, revision: &str, with_token: bool) -> Asked {
    Asked { endpoint: endpoint.into(), kind, repo: repo.into(), revision: revision.into(), with_token }
}
